"""The requests of one status in their order, in pieces: to enter, leave or page costs the same at any depth of a list of a million."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from ..domain.lifecycle import Status

if TYPE_CHECKING:
    from .records import Account

PIECE: Final = 1024


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


# Where a request stands in its list: by the time of asking, then by id. Lists are read from the end: newest first.
place: Final[Callable[[Row], tuple[int, str]]] = attrgetter("asked_ms", "id")


class Shelf:
    """Oldest first. Each place is taken once, for it ends in the request's id. A piece grows to twice its size, then it is cut."""

    __slots__ = ("_ends", "_piece", "_pieces", "_size")

    def __init__(self, rows: Iterable[Row] = (), piece: int = PIECE) -> None:
        every = sorted(rows, key=place)
        self._size, self._piece = len(every), piece
        self._pieces = [every[at : at + piece] for at in range(0, len(every), piece)]
        self._ends = [place(piece[-1]) for piece in self._pieces]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Row]:
        for piece in self._pieces:
            yield from piece

    def add(self, row: Row) -> None:
        self._size += 1
        if not self._pieces:
            self._pieces, self._ends = [[row]], [place(row)]
            return
        at = min(bisect_left(self._ends, place(row)), len(self._pieces) - 1)
        piece = self._pieces[at]
        piece.insert(bisect_left(piece, place(row), key=place), row)
        if len(piece) > 2 * self._piece:
            self._pieces[at : at + 1] = piece[: self._piece], piece[self._piece :]
            self._ends[at : at + 1] = place(piece[self._piece - 1]), place(piece[-1])
        else:
            self._ends[at] = place(piece[-1])

    def remove(self, row: Row) -> None:
        self._size -= 1
        at = bisect_left(self._ends, place(row))
        piece = self._pieces[at]
        del piece[bisect_left(piece, place(row), key=place)]
        if not piece:  # else its end may stand too high now, which misleads nobody: no other piece begins below it
            del self._pieces[at], self._ends[at]

    def down(self, below: tuple[int, str] | None = None) -> Iterator[Row]:
        """Newest first, from behind a place; not to be kept while something enters or leaves."""
        at, cut = len(self._pieces), 0
        if below is not None:
            at = bisect_left(self._ends, below)
            if at < len(self._pieces):
                cut = bisect_left(self._pieces[at], below, key=place)
                yield from reversed(self._pieces[at][:cut])
        for piece in reversed(self._pieces[:at]):
            yield from reversed(piece)
