"""Decisions in the tray: made by a person but not sent yet."""

from __future__ import annotations

from typing import Final

import msgspec

from ..decoding import decode_json
from .hand_terms import GrantEnd

ACCEPT: Final = "accept"
VERBS: Final = (ACCEPT, "reset", "reject", "cancel")
"""The verbs that a person can use at the desk."""


class QueuedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. `leaves_at` None: the decision waits until a person sends it. `outcome` None: it has no outcome
    yet.

    `until` is the end of an acceptance, as written in rules. `hand_terms` is this end as it was shown, as JSON
    (`GrantEnd`); None if the person chose no end. Stores of earlier versions have a token of the terms for an end by
    the rules, and None for an end that a person chose. `member` is the id of the member who decided.
    """

    id: int
    request: int
    version: str  # token of the version that the person saw
    verb: str
    reason: str | None
    actor: str
    batch: str
    made_at: int  # ms
    leaves_at: int | None  # ms
    run: str | None = None
    outcome: str | None = None
    why: str | None = None
    ended_at: int | None = None  # ms
    until: str | None = None
    member: str | None = None
    hand_terms: str | None = None
    note: str | None = None  # of an acceptance, for the team

    @property
    def shown_end(self) -> GrantEnd | None:
        """The end of an acceptance as it was shown; None for a decision of an earlier version, or if none
        was chosen.
        """
        stored = self.hand_terms or ""
        return decode_json(stored, GrantEnd) if stored.startswith("{") else None
