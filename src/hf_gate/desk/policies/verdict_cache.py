"""Keeps the verdicts that pages showed, with their sentences, until something that they depend on changes."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.core.people.access_end import HandTerms
from hf_gate.core.stored_rows import RequestRow
from hf_gate.policies.words.explanations import WhySentence

_MAX_KEPT: Final = 20_000  # verdicts
_KEPT_FOR: Final = 600_000  # ms; a sentence counts days: `account only 12 days old`


class VerdictSummary(Struct, frozen=True):
    """The verdict on a request. `shadow`: action, policy and rule of a policy in shadow mode."""

    action: str
    rule: str
    policy: str | None = None
    why: WhySentence | None = None
    shadow: tuple[str, str, str] | None = None
    shadow_why: WhySentence | None = None
    reason: str | None = None  # the text that the person would get
    terms: HandTerms | None = None  # of an acceptance by hand; None if this was not evaluated now


class _KeptVerdict(NamedTuple):
    """A verdict, and what it was computed from. It holds from `start` and before `end` (ms)."""

    basis: tuple[object, ...]
    start: int
    end: int
    summary: VerdictSummary


class ShownVerdicts:
    """Keeps the verdicts of requests that the store has an evaluation of. Threads may share it.

    The version of a stored evaluation increases whenever its request, its person or a table row about them changes.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, bool], _KeptVerdict] = {}
        self._lock = threading.Lock()

    def find(self, row: RequestRow, basis: tuple[object, ...], now: int, *, hides: bool) -> VerdictSummary | None:
        """Return the verdict on a request, if it still holds."""
        kept = self._kept.get((row.id, hides))
        is_current = kept is not None and kept.start <= now < kept.end and kept.basis == (*basis, *_versions_of(row))
        return kept.summary if kept is not None and is_current else None

    def keep(
        self,
        row: RequestRow,
        basis: tuple[object, ...],
        now: int,
        end: int | None,
        summary: VerdictSummary,
        *,
        hides: bool,
    ) -> None:
        """Keep the verdict on a request. `end` is when it must be evaluated again; None if time cannot change it."""
        if row.evaluation.outcome is None:
            return
        last = now + _KEPT_FOR if end is None else min(end, now + _KEPT_FOR)
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[row.id, hides] = _KeptVerdict((*basis, *_versions_of(row)), now, last, summary)


def _versions_of(row: RequestRow) -> tuple[object, ...]:
    return row.version, row.evaluation.version
