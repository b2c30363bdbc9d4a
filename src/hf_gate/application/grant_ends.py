"""Moves the ends of grants: dates in tables, conditions of `keep_while`, and notices whose time has come.

Guarantees:
1. What is unknown moves no end and ends no access.
2. A later date counts at once; an earlier date takes effect no sooner than 7 days ahead.
3. If one turn would move more than 20 ends to an earlier time, a person must confirm it first.
4. No end moves to an earlier time while this machine's clock is wrong or cannot be compared with the Hub's.
5. A grant that a person marked as not to be renewed gets no later date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from ..domain import events as e
from ..domain.grants import GrantTerms, is_fact_name, parse_grant_end, read_duration
from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.request_state import RequestState, apply_event, current_end
from ..domain.rows import RequestRow
from ..domain.timestamps import format_span, from_ms, to_ms
from ..errors import Guarded, HfGateError
from ..policy.fact_table import fact_types
from ..policy.grant_conditions import TermsEvaluator
from ..policy.model import Facts
from ..protocol.clock_skew import is_clock_off
from ..store.grant_terms import iterate_grants_with_terms, read_terms
from ..store.store import Store
from . import setting_keys
from .evaluation import build_inputs, policies_for_terms
from .policy_bundle import PolicyBundle
from .ports import HubPort
from .workspace import Workspace

SHORTEN_AHEAD: Final = timedelta(days=7)
MAX_EARLIER: Final = 20  # ends that one turn moves to an earlier time without confirmation
CONFIRM_COMMAND: Final = "hf-gate expire confirm"
_ACTOR: Final = "policy"


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
        return _after(self.row.state, self.event, 0).ends_at

    @property
    def is_earlier(self) -> bool:
        """Whether the access would end earlier than it does now."""
        before, after = self.row.state.ends_at, self.new_end
        return after is not None and (before is None or after < before)

    @property
    def can_shorten(self) -> bool:
        """Whether one of the two ends moves to an earlier time, even if the other one comes first now."""
        return self.is_earlier or any(kind in _EARLIER_KINDS for kind in self.kinds)


@dataclass(slots=True)
class EndReview:
    """The ends that must move, the notices that are due, and the grants whose condition is unknown now (row ids)."""

    moves: list[EndMove] = field(default_factory=list)
    notices: list[tuple[RequestRow, e.GrantNoticed]] = field(default_factory=list)
    undecided: set[int] = field(default_factory=set)

    @property
    def earlier(self) -> list[EndMove]:
        """The moves to an earlier time."""
        return [move for move in self.moves if move.is_earlier]


@dataclass(slots=True)
class EndRefresh:
    """What a turn did with the ends: moves by kind, recorded notices, and moves that wait for a confirmation."""

    counts: Mapping[str, int] = field(default_factory=dict)
    noticed: int = 0
    held: int = 0
    undecided: frozenset[int] = frozenset()


# ---- one grant ---------------------------------------------------------------------------------------------------------


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
    """Return when access ends because a condition is false (ms); None if all are true. Unknown changes nothing."""
    kept = [evaluator.is_kept(condition, facts) for condition in terms.keep_while]
    if False in kept:
        return state.lapses_at if state.lapses_at is not None else to_ms(_first_lapse(terms, kept, now))
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


def _after(state: RequestState, event: e.AnyEvent, at: int) -> RequestState:
    return apply_event(state, event, at) or state


# ---- all grants --------------------------------------------------------------------------------------------------------


def review_ends(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> EndReview:
    """Return how the ends of all grants with terms must move. Nothing is written."""
    store, review = workspace.store, EndReview()
    terms = read_terms(store)
    if not terms:
        return review
    evaluator = TermsEvaluator(terms.values(), fact_types(tables=bundle.tables))
    for repo_row in store.repos():
        if not bundle.is_governed(repo_row.repo):
            continue
        policy_set = policies_for_terms(repo_row, bundle.policies, evaluator.facts, bundle.tables, workspace.sources)
        for page in iterate_grants_with_terms(store, repo_row.repo):
            rows = [row for row in page if row.state.status == Status.ACCEPTED and row.state.open_after is None]
            for case in build_inputs(store, policy_set, workspace.sources, rows, now):
                own = terms.get(case.row.state.terms or "")
                if own is not None:
                    _review_grant(review, case.row, own, case.facts, evaluator, now)
    return review


def _review_grant(
    review: EndReview, row: RequestRow, terms: GrantTerms, facts: Facts, evaluator: TermsEvaluator, now: datetime
) -> None:
    move = plan_move(row, terms, facts, evaluator, now)
    state = row.state
    if move is not None:
        review.moves.append(move)
        state = _after(state, move.event, to_ms(now))
    if is_undecided(state, terms, facts, evaluator):
        review.undecided.add(row.id)
    if (notice := plan_notice(state, terms, now)) is not None:
        review.notices.append((row, notice))


def refresh_ends(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> EndRefresh:
    """Move the ends of all grants and record due notices, except moves that need a confirmation.

    Before an end moves to an earlier time, the clock is compared with the Hub's. If it is too far off, nothing moves; if
    it cannot be compared, those ends stay and wait.
    """
    review, store = review_ends(workspace, bundle, now), workspace.store
    shortening = [move for move in review.moves if move.can_shorten]
    skew = fetch_skew(workspace.hub, shortening[0].row.repo) if shortening else 0.0
    if is_clock_off(skew):
        return EndRefresh()
    undecided = frozenset(review.undecided)
    if skew is None:
        waiting, held = {move.row.id for move in shortening}, read_held_ends(store)
        ends = ((move.row.id, move.row.state.ends_at) for move in shortening)
        undecided |= {row_id for row_id, end in ends if end is not None and end <= to_ms(now)}
    else:
        waiting = {move.row.id for move in review.earlier} if len(review.earlier) > MAX_EARLIER else set()
        held = len(waiting)
    moves = [move for move in review.moves if move.row.id not in waiting]
    notices = [(row, event) for row, event in review.notices if row.id not in waiting]
    record_moves(store, moves, notices, actor=_ACTOR, at=to_ms(now))
    store_held_ends(store, held)
    return EndRefresh(count_kinds(moves), len(notices), held, undecided)


def fetch_skew(hub: HubPort, repo: Repo) -> float | None:
    """Return how many seconds the Hub's clock is ahead, by one call if none has been made yet; None if unknown."""
    if hub.skew is None:
        with suppress(HfGateError):
            hub.gate(repo)  # any answer contains the Hub's time
    return hub.skew


def require_right_clock(hub: HubPort, repo: Repo) -> None:
    """Raise Guarded if this machine's clock is too far from the Hub's, or if the Hub does not answer."""
    skew = fetch_skew(hub, repo)
    if skew is None:
        raise Guarded("This machine's clock cannot be compared with the Hub's.", hint="Try again when the Hub answers.")
    if is_clock_off(skew):
        side = "behind" if skew > 0 else "ahead of"
        raise Guarded(
            f"This machine's clock is {format_span(timedelta(seconds=abs(skew)))} {side} the Hub's.",
            hint="Correct the clock, then try again.",
        )


def record_moves(
    store: Store,
    moves: Sequence[EndMove],
    notices: Sequence[tuple[RequestRow, e.GrantNoticed]] = (),
    *,
    actor: str,
    at: int,
) -> None:
    """Record moved ends and notices in the ledger."""
    groups: dict[Repo, list[e.LedgerEntry]] = {}
    events: list[tuple[RequestRow, e.GrantDated | e.GrantNoticed]] = [(move.row, move.event) for move in moves]
    for row, event in (*events, *notices):
        name = _policy_of(row) if actor == _ACTOR else actor
        entry = e.LedgerEntry(event=event, at=at, actor=name, request=row.id, person=row.person.id)
        groups.setdefault(row.repo, []).append(entry)
    if groups:
        with store.writing() as write:
            for repo, entries in groups.items():
                write.append(repo, entries)


def _policy_of(row: RequestRow) -> str:
    """Return the actor of a move: the policy that gave the access, or the digest of its terms if a person did."""
    policy, slash, _ = (row.state.until_rule or "").partition("/")
    return e.policy_actor(policy if slash else "terms", row.state.terms)


def count_kinds(moves: Iterable[EndMove]) -> dict[str, int]:
    """Count moves by kind."""
    return dict(Counter(kind.value for move in moves for kind in move.kinds))


def store_held_ends(store: Store, count: int) -> None:
    """Store how many moves to an earlier end wait for a confirmation, for the status."""
    if count != read_held_ends(store):
        with store.writing() as write:
            write.write_setting(setting_keys.HELD_ENDS, str(count) if count else None)


def read_held_ends(store: Store) -> int:
    """Return how many moves to an earlier end wait for a confirmation since the last turn."""
    return int(store.setting(setting_keys.HELD_ENDS) or 0)


def held_ends_note(count: int) -> str:
    """Return what is held and how to confirm it, in one sentence; "" if nothing is held."""
    if not count:
        return ""
    return (
        f"{count:,} grants would end earlier; more than {MAX_EARLIER} in a turn wait for a person."
        f" Review and confirm them: {CONFIRM_COMMAND}"
    )
