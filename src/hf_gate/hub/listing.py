"""A lazy listing that knows how complete it is."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

from ..domain.completeness import NOT_READ, Completeness
from ..domain.flat import Cell, flat_rows
from ..domain.ids import Repo
from ..domain.requests import AccessRequest
from ..protocol.codec import Quarantined, RequestPage


class _Told:
    """What both kinds of listing tell about themselves."""

    repo: Repo
    status: str
    completeness: Completeness
    quarantined: list[Quarantined]

    def __init__(self, repo: Repo, status: str) -> None:
        self.repo, self.status = repo, status
        self._count = 0
        self.completeness = NOT_READ
        self.quarantined = []
        self._rows: deque[AccessRequest] = deque()
        self.is_open = False

    def __repr__(self) -> str:
        is_whole, why = self.completeness.proved, self.completeness.why
        so_far = "" if is_whole else " so far"
        state = "proved whole" + (f" ({why})" if why else "") if is_whole else f"not proved whole: {why}"
        rows = f"{self._count} row{'' if self._count == 1 else 's'}{so_far}"
        return f"<{type(self).__name__} {self.repo} {self.status}: {rows}, {state}>"

    def _end(self, completeness: Completeness) -> None:
        self.completeness, self.is_open = completeness, False

    def _fail(self, error: BaseException) -> None:
        self._end(Completeness(False, f"ended by an error: {error}"))

    def _add(self, page: RequestPage) -> None:
        self._rows.extend(page.rows)
        self._count += len(page.rows)
        self.quarantined.extend(page.quarantined)


class Listing(_Told, Iterator[AccessRequest]):
    """Requests as they are read, a page ahead at most.

    `completeness` says "not read to the end" until the end, then whether the listing is proved whole, else why not.
    `quarantined` holds records that could not be read. A write to the same repo through the same `Hub` first reads
    the listing to its end, into memory, so that nobody is skipped.
    """

    def __init__(
        self, repo: Repo, status: str, start: Callable[[Callable[[Any], None]], Generator[RequestPage, None, Any]]
    ) -> None:
        super().__init__(repo, status)
        self._lock = threading.RLock()
        self._pages = start(self._end)

    def __next__(self) -> AccessRequest:
        with self._lock:
            while not self._rows:
                self._turn()
            return self._rows.popleft()

    def _turn(self) -> None:
        self.is_open = True
        try:
            self._add(next(self._pages))
        except StopIteration:
            self.is_open = False
            raise
        except BaseException as error:
            self._fail(error)
            raise

    def read_ahead(self) -> None:
        """Read to the end, into memory, if it was begun."""
        with self._lock:
            while self.is_open:
                try:
                    self._turn()
                except StopIteration:
                    return

    def to_rows(self) -> list[dict[str, Cell]]:
        """Read what is left into flat dicts with the same keys: `pandas.DataFrame(rows)` takes them.

        Times are `datetime` in UTC, each answer has a key `answer: LABEL`, and None is what the Hub did not tell.
        """
        return flat_rows(self)

    def close(self) -> None:
        """Stop reading."""
        with self._lock:
            self.is_open = False
            self._pages.close()


class AsyncListing(_Told, AsyncIterator[AccessRequest]):
    """The same, for `async for`."""

    def __init__(
        self, repo: Repo, status: str, start: Callable[[Callable[[Any], None]], AsyncGenerator[RequestPage, None]]
    ) -> None:
        super().__init__(repo, status)
        # Held for one page and never while a row is with the caller: reading a page runs nothing of the caller's, so
        # whoever holds it waits for nobody who wants it, not even for a write that a row of this listing led to.
        self._lock = asyncio.Lock()
        self._pages = start(self._end)

    async def __anext__(self) -> AccessRequest:
        while not self._rows:
            async with self._lock:
                if not self._rows:  # else another task read on meanwhile
                    await self._turn()
        return self._rows.popleft()

    async def _turn(self) -> None:
        self.is_open = True
        try:
            self._add(await anext(self._pages))
        except StopAsyncIteration:
            self.is_open = False
            raise
        except BaseException as error:
            self._fail(error)
            raise

    async def read_ahead(self) -> None:
        """Read to the end, into memory, if it was begun."""
        while self.is_open:
            async with self._lock:
                try:
                    if self.is_open:
                        await self._turn()
                except StopAsyncIteration:
                    return

    async def to_rows(self) -> list[dict[str, Cell]]:
        """The same as `Listing.to_rows`."""
        return flat_rows([request async for request in self])

    async def aclose(self) -> None:
        """Stop reading."""
        async with self._lock:
            self.is_open = False
            await self._pages.aclose()
