"""Computes how the end of one grant moves, by dates in tables and conditions of `keep_while`, and which notice is due.

Unknown facts move no end and end no access.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from ..domain import events as e
from ..domain.grants import GrantTerms, is_fact_name, parse_grant_end, read_duration
from ..domain.request_state import RequestState, apply_event, current_end
from ..domain.rows import RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..policy.grant_conditions import TermsEvaluator
from ..policy.model import Facts

SHORTEN_AHEAD: Final = timedelta(days=7)


class MoveKind(StrEnum):
    """How an end moves."""

    LATER = "later"  # the date in a table is later
    EARLIER = "earlier"  # the date in a table is earlier
    LAPSED = "lapsed"  # a condition of `keep_while` turned false
    RESTORED = "restored"  # the conditions are true again


_EARLIER_KINDS: Final = (MoveKind.EARLIER, MoveKind.LAPSED)


@dataclass(frozen=True, slots=True)
class EndMove:
    """One grant whose end moves, and how."""

    row: RequestRow
    kinds: tuple[MoveKind, ...]
    event: e.GrantDated

    @property
    def new_end(self) -> int | None:
        """When the access would end (ms): by date, or by a condition."""
        return state_after(self.row.state, self.event, 0).ends_at

    @property
    def is_earlier(self) -> bool:
        """Whether the access would end earlier than it does now."""
        before, after = self.row.state.ends_at, self.new_end
        return after is not None and (before is None or after < before)

    @property
    def can_shorten(self) -> bool:
        """Whether one of the two ends moves to an earlier time, even if the other one comes first now."""
        return self.is_earlier or any(kind in _EARLIER_KINDS for kind in self.kinds)


def plan_move(
    row: RequestRow, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator, now: datetime
) -> EndMove | None:
    """Return how the end of a grant moves; None if it stays."""
    state = row.state
    until, lapses = _next_date(state, terms, facts, evaluator, now), _next_lapse(state, terms, facts, evaluator, now)
    if (until, lapses) == (state.until, state.lapses_at):
        return None
    kinds: list[MoveKind] = []
    if until is not None and until != state.until:
        kinds.append(MoveKind.EARLIER if state.until is not None and until < state.until else MoveKind.LATER)
    if lapses != state.lapses_at:
        kinds.append(MoveKind.RESTORED if lapses is None else MoveKind.LAPSED)
    cause = "fact" if until != state.until else "keep_while"
    end = current_end(state)
    event = e.GrantDated(until=until, at_end=end.at_end, rule=end.rule, terms=end.terms, lapses=lapses, cause=cause)
    return EndMove(row, tuple(kinds), event)


def _next_date(
    state: RequestState, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator, now: datetime
) -> int | None:
    """Return the end by date (ms): the earliest of the dates, if all are known; otherwise the end as it is."""
    if not any(map(is_fact_name, terms.until)):
        return state.until
    found = []
    for written in terms.until:
        moment = evaluator.end_of(written, facts) if is_fact_name(written) else parse_grant_end(written, now, UTC)
        if moment is None:
            return state.until
        found.append(to_ms(moment))
    wanted = min(found)
    if state.until is not None and wanted >= state.until and state.is_final:
        return state.until
    if state.until is None or wanted >= state.until:
        return wanted
    return min(state.until, max(wanted, to_ms(now + SHORTEN_AHEAD)))


def _next_lapse(
    state: RequestState, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator, now: datetime
) -> int | None:
    """Return when access ends because a condition is false (ms); None if all are true. Unknown changes nothing.

    A second condition that turns false can bring the time nearer, because its grace is shorter.
    """
    kept = [evaluator.is_kept(condition, facts) for condition in terms.keep_while]
    if False in kept:
        first = to_ms(_first_lapse(terms, kept, now))
        if state.lapses_at is None:
            return first
        return min(state.lapses_at, first) if len(kept) > 1 else state.lapses_at
    return state.lapses_at if None in kept else None


def _first_lapse(terms: GrantTerms, kept: Sequence[bool | None], now: datetime) -> datetime:
    graces = [one.grace for one, is_true in zip(terms.keep_while, kept, strict=True) if is_true is False]
    lengths = [read_duration(grace) if grace else None for grace in graces]
    return min(now if length is None else length.after(now) for length in lengths)


def is_undecided(state: RequestState, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator) -> bool:
    """Tell whether access would end by a condition that is unknown now. Unknown ends nothing, so it waits."""
    if state.lapses_at is None or state.ends_at != state.lapses_at or state.until == state.lapses_at:
        return False
    kept = [evaluator.is_kept(condition, facts) for condition in terms.keep_while]
    return False not in kept


def plan_notice(state: RequestState, terms: GrantTerms, now: datetime) -> e.GrantNoticed | None:
    """Return the notice whose time has come. After an interruption, only the one nearest to the end is given."""
    if state.ends_at is None or state.ends_at <= to_ms(now):
        return None
    done = now if state.noticed_at is None else from_ms(state.noticed_at)
    due = [
        (length.after(now), step)
        for step in terms.notice
        if (length := read_duration(step)) is not None
        and to_ms(length.after(now)) >= state.ends_at > to_ms(length.after(done))
    ]
    return e.GrantNoticed(until=state.ends_at, step=min(due)[1]) if due else None


def state_after(state: RequestState, event: e.AnyEvent, at: int) -> RequestState:
    """Return the state of a grant after an event."""
    return apply_event(state, event, at) or state
