"""Splits long sequences into batches, groups pairs, and reads lists that come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

K = TypeVar("K")
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


def group_pairs(pairs: Iterable[tuple[K, T]]) -> dict[K, list[T]]:
    """Return the second parts of pairs by their first part, in the order in which these come first."""
    groups: dict[K, list[T]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return groups


def iterate_cursor_pages(read: Callable[[Any], P]) -> Iterator[P]:
    """Yield all pages of a list. `read` gets the cursor of a page; None for the first one."""
    page = read(None)
    yield page
    while page.next is not None:
        page = read(page.next)
        yield page
