"""Lazy listings of access requests with a statement of their completeness."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

from hf_gate.base.ids import Repo
from hf_gate.core.completeness import NOT_READ, Completeness
from hf_gate.core.requests import AccessRequest
from hf_gate.errors import UsageError
from hf_gate.hub.protocol.codec import Quarantined, RequestPage


class ListingState:
    """The common state of blocking and async listings."""

    repo: Repo
    status: str
    completeness: Completeness
    quarantined: list[Quarantined]

    def __init__(self, repo: Repo, status: str) -> None:
        self.repo = repo
        self.status = status
        self._count = 0
        self.completeness = NOT_READ
        self.quarantined = []
        self._rows: deque[AccessRequest] = deque()
        self.is_open = False
        self._has_ended = False

    def __repr__(self) -> str:
        is_complete = self.completeness.proved
        why = self.completeness.why
        so_far = "" if is_complete else " so far"
        state = "complete" + (f" ({why})" if why else "") if is_complete else f"not proved complete: {why}"
        rows = f"{self._count} row{'' if self._count == 1 else 's'}{so_far}"
        return f"<{type(self).__name__} {self.repo} {self.status}: {rows}, {state}>"

    def _end(self, completeness: Completeness) -> None:
        self.completeness = completeness
        self.is_open = False
        self._has_ended = True

    def _check_unread(self) -> None:
        """Raise UsageError if all requests were read already, because a second iteration would be empty."""
        if self._has_ended and not self._rows:
            raise UsageError(
                f"this listing of {self.repo} was already read; it can be read only once.",
                hint="List again, or keep the requests: rows = list(hub.list_pending(repo)).",
            )

    def _fail(self, error: BaseException) -> None:
        self._end(Completeness(False, f"ended by an error: {error}"))

    def _add(self, page: RequestPage) -> None:
        self._rows.extend(page.rows)
        self._count += len(page.rows)
        self.quarantined.extend(page.quarantined)


class Listing(ListingState, Iterator[AccessRequest]):
    """An iterator over requests that reads at most one page ahead.

    After the end, `completeness` says whether the listing is proved complete, and if not, why not. `quarantined`
    contains records that could not be read. A write to the same repo through the same `Hub` first reads the rest of the
    listing into memory, so that no request is skipped.
    """

    def __init__(
        self, repo: Repo, status: str, start: Callable[[Callable[[Any], None]], Generator[RequestPage, None, Any]]
    ) -> None:
        super().__init__(repo, status)
        self._lock = threading.RLock()
        self._pages = start(self._end)

    def __iter__(self) -> Iterator[AccessRequest]:  # noqa: PYI034 - the result can be asked again after its end
        self._check_unread()
        return self._iterate()

    def _iterate(self) -> Iterator[AccessRequest]:
        """Yield the rest. The iterator itself can be asked again after its end, as `islice` in a loop does."""
        while (row := next(self, None)) is not None:
            yield row

    def __next__(self) -> AccessRequest:
        with self._lock:
            while not self._rows:
                self._read_page()
            return self._rows.popleft()

    def _read_page(self) -> None:
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
        """Read the rest of a started listing into memory."""
        with self._lock:
            while self.is_open:
                try:
                    self._read_page()
                except StopIteration:
                    return

    def close(self) -> None:
        """Stop reading."""
        with self._lock:
            self.is_open = False
            self._has_ended = True
            self._pages.close()
