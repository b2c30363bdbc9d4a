"""Lazy listings of access requests for the async client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Self

from hf_gate.base.ids import Repo
from hf_gate.core.requests import AccessRequest
from hf_gate.hub.protocol.codec import RequestPage

from .listing import ListingState


class AsyncListing(ListingState, AsyncIterator[AccessRequest]):
    """An async iterator over requests; see `Listing`."""

    def __init__(
        self, repo: Repo, status: str, start: Callable[[Callable[[Any], None]], AsyncGenerator[RequestPage, None]]
    ) -> None:
        super().__init__(repo, status)
        # Held while one page is read, never while the caller has a row. Reading a page runs no code of the caller, so
        # this cannot deadlock with a write that the caller makes because of a row.
        self._lock = asyncio.Lock()
        self._pages = start(self._end)

    def __aiter__(self) -> Self:
        self._check_unread()
        return self

    async def __anext__(self) -> AccessRequest:
        while not self._rows:
            async with self._lock:
                if not self._rows:  # another task may have read a page meanwhile
                    await self._read_page()
        return self._rows.popleft()

    async def _read_page(self) -> None:
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
        """Read the rest of a started listing into memory."""
        while self.is_open:
            async with self._lock:
                try:
                    if self.is_open:
                        await self._read_page()
                except StopAsyncIteration:
                    return

    async def aclose(self) -> None:
        """Stop reading."""
        async with self._lock:
            self.is_open = False
            self._has_ended = True
            await self._pages.aclose()
