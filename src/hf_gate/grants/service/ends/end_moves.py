"""Computes how the end of one grant moves, by dates in tables and conditions of `keep_while`, and which notice is due.

Unknown facts move no end and end no access.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, repeat, zip_longest
from typing import Final

from msgspec import Struct

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.end_rows import EndRows, list_table_versions
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import RequestState, apply_event, current_end
from hf_gate.core.people.grants import (
    GrantCondition,
    GrantTerms,
    first_lapse,
    is_fact_name,
    parse_grant_end,
    read_duration,
)
from hf_gate.core.policy_model import Facts
from hf_gate.core.stored_rows import RequestRow
from hf_gate.grants.grant_conditions import TermsEvaluator
from hf_gate.verdicts.service.evaluation import find_end_rows


class MoveKind(StrEnum):
    """How an end moves."""

    LATER = "later"  # the date in a table is later
    EARLIER = "earlier"  # the date in a table is earlier
    LAPSED = "lapsed"  # a condition of `keep_while` turned false
    RESTORED = "restored"  # a condition is true again


_EARLIER_KINDS: Final = (MoveKind.EARLIER, MoveKind.LAPSED)


class EndMove(Struct, frozen=True):
    """One grant whose end moves, and how."""

    row: RequestRow
    kinds: tuple[MoveKind, ...]
    event: e.GrantDated
    rows: EndRows

    @property
    def private(self) -> e.Private | None:
        """What the ledger keeps of the person, under a commitment."""
        return {"rows": self.rows} if self.rows else None

    @property
    def new_end(self) -> int | None:
        """When the access would end (ms): by date, or by a condition."""
        return state_after(self.row.state, self.event, 0).ends_at

    @property
    def is_earlier(self) -> bool:
        """Whether the access would end earlier than it does now."""
        before = self.row.state.ends_at
        after = self.new_end
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
    until = _next_date(state, terms, facts, evaluator, now)
    lapses = _next_lapses(state, terms, facts, evaluator, now)
    if (until, lapses) == (state.until, state.lapses):
        return None
    kinds: list[MoveKind] = []
    if until is not None and until != state.until:
        kinds.append(MoveKind.EARLIER if state.until is not None and until < state.until else MoveKind.LATER)
    pairs = list(zip_longest(state.lapses, lapses))
    if any(before is None and after is not None for before, after in pairs):
        kinds.append(MoveKind.LAPSED)
    if any(before is not None and after is None for before, after in pairs):
        kinds.append(MoveKind.RESTORED)
    cause = "fact" if until != state.until else "keep_while"
    end = current_end(state)
    rows = find_end_rows(evaluator.facts_of(terms), facts)
    event = e.GrantDated(
        until=until,
        at_end=end.at_end,
        rule=end.rule,
        terms=end.terms,
        lapses=lapses,
        cause=cause,
        lists=list_table_versions(rows),
    )
    return EndMove(row, tuple(kinds), event, rows)


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
    return min(found)


def _next_lapses(
    state: RequestState, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator, now: datetime
) -> tuple[int | None, ...]:
    """Return when each condition that is false ends access (ms); nothing if none is. Unknown changes nothing.

    The grace of each condition counts from the turn that found it false.
    """
    lapses = tuple(
        _next_lapse(known, condition, evaluator.is_kept(condition, facts), now)
        for condition, known in pair_with_lapses(terms, state)
    )
    return () if first_lapse(lapses) is None else lapses


def _next_lapse(known: int | None, condition: GrantCondition, is_kept: bool | None, now: datetime) -> int | None:
    if is_kept is None or (known is not None and not is_kept):
        return known
    if is_kept:
        return None
    grace = read_duration(condition.grace) if condition.grace else None
    return to_ms(now if grace is None else grace.after(now))


def pair_with_lapses(terms: GrantTerms, state: RequestState) -> Iterator[tuple[GrantCondition, int | None]]:
    """Yield each condition of the terms with the time when it ends access (ms), if it was found false."""
    return zip(terms.keep_while, chain(state.lapses, repeat(None)), strict=False)


def find_certain_end(state: RequestState, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator) -> int | None:
    """Return when access ends (ms) by its date or by a condition that is known to be false; None if by neither."""
    false = (
        at
        for condition, at in pair_with_lapses(terms, state)
        if at is not None and evaluator.is_kept(condition, facts) is False
    )
    return min((at for at in (state.until, *false) if at is not None), default=None)


def is_undecided(state: RequestState, certain_end: int | None, now: datetime) -> bool:
    """Tell whether access would end by a condition that is unknown now. Unknown ends nothing, so it waits."""
    return state.ends_at != certain_end and (certain_end is None or certain_end > to_ms(now))


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
