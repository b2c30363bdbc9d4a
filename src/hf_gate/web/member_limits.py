"""Bounds what one member may have done at the same time, so that nobody keeps the others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

MAX_RUNNING: Final = 2  # pages of one member that are made at the same time, of the six threads there are
MAX_OPEN: Final = 24  # requests of one member that are under way; a browser has six


class _OpenRequests:
    """The requests of one member."""

    def __init__(self) -> None:
        self.semaphore, self.count = asyncio.Semaphore(MAX_RUNNING), 0


class MemberLimits:
    """The requests of all members, by their ids."""

    def __init__(self) -> None:
        self._by_member: WeakValueDictionary[str, _OpenRequests] = WeakValueDictionary()

    @asynccontextmanager
    async def acquire(self, member: str) -> AsyncIterator[bool]:
        """Wait for a turn; False at once if too many requests of this member are under way."""
        turns = self._by_member.get(member)
        if turns is None:
            turns = self._by_member[member] = _OpenRequests()
        if turns.count >= MAX_OPEN:
            yield False
            return
        turns.count += 1
        try:
            async with turns.semaphore:
                yield True
        finally:
            turns.count -= 1
