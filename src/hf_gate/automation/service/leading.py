"""Decides which of several loops of a workspace runs its turns: the one that leads."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from hf_gate.core.stored_rows import ProcessRow
from hf_gate.errors import StoreBusy
from hf_gate.store.leases import LeaseKeeper
from hf_gate.store.write_lock import DOING, OnWait, Work

_POLL_S: Final = 1.0  # seconds between two looks at the lease of the loop that leads
_WAIT_S: Final = 60.0  # after which a loop that stands by reads its files again


class LoopLead(Struct):
    """The lead of this process, by its lease. Without a `keeper`, the lock of a file keeps other loops out (SQLite).

    `digest` is that of the policies and tables that the loop used last, `token` a short digest of its token.
    """

    keeper: LeaseKeeper | None = None
    digest: str = ""
    token: str = ""

    @property
    def is_held(self) -> bool:
        """Whether no other loop can run turns now."""
        return self.keeper is None or self.keeper.holds(Work.LOOP)

    def take(self, on_wait: OnWait) -> bool:
        """Wait until this process leads, for at most a minute; return whether it does.

        Raises StoreUnavailable if the database cannot be reached.
        """
        if self.keeper is None:
            return True
        self.keeper.announce(lambda: ProcessRow(role="loop", digest=self.digest, token=self.token))
        try:
            self.keeper.acquire(Work.LOOP, _WAIT_S, DOING[Work.LOOP], on_wait, poll=_POLL_S)
        except StoreBusy:
            return False
        return True
