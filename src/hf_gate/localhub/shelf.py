"""One request of the local Hub, and the sorted list of the requests of one status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedKeyList

from ..domain.lifecycle import Status

if TYPE_CHECKING:
    from .records import Account


class Row:
    """One request. `mailed` is False for one made by a grant; `answers` is JSON, as it goes into lists."""

    __slots__ = ("account", "answers", "asked_ms", "granter", "id", "mailed", "reviewed_ms", "status")

    def __init__(
        self,
        request_id: str,
        account: Account,
        status: Status,
        asked_ms: int,
        reviewed_ms: int | None = None,
        granter: Account | None = None,
        *,
        mailed: bool = True,
        answers: bytes | None = None,
    ) -> None:
        self.id, self.account, self.status, self.asked_ms = request_id, account, status, asked_ms
        self.reviewed_ms, self.granter, self.mailed, self.answers = reviewed_ms, granter, mailed, answers

    def copy(self) -> Row:
        return Row(
            self.id, self.account, self.status, self.asked_ms, self.reviewed_ms, self.granter,
            mailed=self.mailed, answers=self.answers,
        )  # fmt: skip


# The order of a list: by the time of asking, then by id. Lists are read from the end: newest first.
place: Final[Callable[[Row], tuple[int, str]]] = attrgetter("asked_ms", "id")


def ordered(rows: Iterable[Row] = ()) -> SortedKeyList[Row, tuple[int, str]]:
    """The requests of one status, oldest first. To add, to remove or to read a page costs the same at any depth."""
    return SortedKeyList(rows, key=place)


def newest_first(rows: SortedKeyList[Row, tuple[int, str]], below: tuple[int, str] | None = None) -> Iterator[Row]:
    """From below a key on. Do not add or remove while it runs."""
    return rows.irange_key(max_key=below, inclusive=(True, False), reverse=True)
