"""Decides which of several loops of a workspace runs its turns: the one that leads."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from msgspec import Struct

from hf_gate.core.stored_rows import ProcessRow
from hf_gate.errors import StoreBusy
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.write_lock import DOING, OnWait, Work

_POLL_S: Final = 1.0  # seconds between two looks at the lease of the loop that leads
_RARE_POLL_S: Final = 10.0  # with policies that cannot be loaded, so that a loop that can work comes first
_HAND_OVER_S: Final = 5.0  # in which another loop takes the lead, if there is one
_WAIT_S: Final = 60.0  # after which a loop that stands by reads its files again


class LoopLead(Struct):
    """The lead of this process, by its lease. Without a `keeper`, the lock of a file keeps other loops out (SQLite).

    `digest` is that of the policies and tables that the loop used last, empty if they cannot be loaded; `token` is a
    short digest of its token.
    """

    keeper: LeaseKeeper | None = None
    digest: str = ""
    token: str = ""

    @property
    def is_held(self) -> bool:
        """Whether no other loop can run turns now."""
        return self.keeper is None or self.keeper.holds(Work.LOOP)

    @property
    def sharers(self) -> int:
        """How many processes share the limits of the token."""
        return 1 if self.keeper is None else self.keeper.sharers

    def take(self, on_wait: OnWait) -> None:
        """Wait until this process leads, for at most a minute.

        Raises StoreUnavailable if the database cannot be reached.
        """
        if self.keeper is None:
            return
        self.keeper.announce(self._describe)  # also renews a lease that lapsed and that nobody took
        if not self.is_held:
            poll = _POLL_S if self.digest else _RARE_POLL_S
            with suppress(StoreBusy):
                self.keeper.acquire(Work.LOOP, _WAIT_S, DOING[Work.LOOP], on_wait, poll=poll)
        self.keeper.renew()  # tells others the token

    def hand_over(self) -> str | None:
        """Give the lead back before this loop ends; return a sentence if another one leads then, else None.

        Raises StoreUnavailable if the database cannot be reached.
        """
        if self.keeper is None:
            return None
        waits = self.is_held
        self.keeper.release(Work.LOOP)
        if waits:  # a newer program upgrades the store, which ends this one, before it asks for the lead
            time.sleep(_HAND_OVER_S)
        try:
            self.keeper.acquire(Work.LOOP, 0.0, "This loop ends. Unattended work is done")
        except StoreBusy as problem:
            return str(problem)
        return None

    def _describe(self) -> ProcessRow:
        """Return the loop as others see it. Without the lead it makes no calls, so it shares no limits of a token."""
        return ProcessRow(role="loop", digest=self.digest, token=self.token if self.is_held else "")
