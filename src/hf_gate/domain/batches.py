"""Splits long sequences into batches, and reads lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class CursorPage(Protocol):
    """One page of a list. `next` is the cursor of the next page; None on the last page."""

    @property
    def next(self) -> Any: ...  # noqa: ANN401 - a text or a number


P = TypeVar("P", bound=CursorPage)


def split_into_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def iterate_cursor_pages(read: Callable[[Any], P]) -> Iterator[P]:
    """Yield all pages of a list. `read` gets the cursor of a page; None for the first one."""
    page = read(None)
    yield page
    while page.next is not None:
        page = read(page.next)
        yield page
