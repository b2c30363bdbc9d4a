"""What a person decides at the keyboard, as values: who is meant, what is clear without a call, the change, the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

import msgspec

from ..domain import events as e
from ..domain.grants import grant_end
from ..domain.ids import Person, Repo
from ..domain.lifecycle import Status
from ..domain.outcomes import Outcome, OutcomeKind
from ..domain.requests import Target
from ..domain.rows import ChangeRow, RequestRow, RunRow
from ..domain.runs import ChangeOrigin, ChangeState
from ..domain.timestamps import from_ms, to_ms
from ..errors import HfGateError
from ..plan.changes import make_change_without_request
from ..plan.model import Change
from ..protocol.flows.single_decision import check_unchanged, get_person
from .runs import make_direct_change

DUPLICATE: Final = "already decided in this run"
UNSENT_KINDS: Final = frozenset({OutcomeKind.OPEN, OutcomeKind.REFUSED})
"""Clear before anything was sent, and no outcome of the request: its repo could not be read."""
_SETTLED: Final = frozenset(ChangeState(kind) for kind in OutcomeKind)


@dataclass(frozen=True, slots=True)
class DecisionTarget:
    """One person's part: whom the caller means, and what they are told."""

    repo: Repo
    target: Target
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is decided about all of them. `grants`: also about who never asked; `until` as rules write it."""

    to: Status
    is_grant: bool = False
    note: str | None = None
    until: str | None = None


@dataclass(slots=True)
class DecisionResult:
    """An outcome for each that was asked, in that order, and what ended it early. `run` None: nothing was even begun."""

    run: str | None
    outcomes: list[Outcome]
    stopped_by: BaseException | None = None


@dataclass(slots=True)
class PendingDecision:
    """One ask with what was found: its request in the store, what is clear without a call, and its change."""

    n: int
    subject: DecisionTarget
    row: RequestRow | None = None
    early_outcome: Outcome | None = None
    is_duplicate: bool = False  # of a request that another case of the run is about


def group_by_repo(cases: Iterable[PendingDecision]) -> dict[Repo, list[PendingDecision]]:
    """The cases of each repo, repos in the order in which they came."""
    found: dict[Repo, list[PendingDecision]] = {}
    for case in cases:
        found.setdefault(case.subject.repo, []).append(case)
    return found


def outcome_before_send(case: PendingDecision, *, complete: bool) -> Outcome | None:
    """What the caller read, and is not so any more: it moved, or is gone. None: the run carries it, or finds it so already."""
    target, now = case.subject.target, None if case.row is None else case.row.request
    return None if target.request is None else check_unchanged(case.subject.repo, target, now, complete=complete)


def make_change_of(case: PendingDecision, choice: Choice) -> Change:
    """What is to happen to one case, as a run carries it."""
    reason, until = case.subject.reason, choice.until
    if case.row is not None and case.row.request is not None:
        return make_direct_change(case.row, choice.to, reason, until=until)
    rule = ChangeOrigin.GRANT if choice.is_grant else ChangeOrigin.DIRECT
    return make_change_without_request(
        case.subject.repo, case.subject.target, choice.to, rule=rule, reason=reason, until=until
    )


def make_change_row(run: RunRow, case: PendingDecision, choice: Choice) -> ChangeRow:
    early, row = case.early_outcome, case.row
    if early is None:
        state = ChangeState.PLANNED
    else:
        state = ChangeState.UNSENT if early.kind in UNSENT_KINDS else ChangeState(early.kind)
    is_told = early is None or (
        early.kind not in UNSENT_KINDS and not case.is_duplicate
    )  # else the ledger says nothing of it
    return ChangeRow(
        run=run.id,
        n=case.n,
        repo=case.subject.repo,
        request=row.id if row is not None and row.request is not None and is_told else None,
        change=msgspec.json.encode(make_change_of(case, choice)),
        state=state,
        why="" if early is None else early.why,
    )


def final_outcome(
    case: PendingDecision, row: ChangeRow | None, said: Mapping[str, Outcome], stop: BaseException | None
) -> Outcome:
    """An outcome about whom the caller named. What the Hub said counts also where it could not be written down any more."""
    if case.early_outcome is not None:
        return case.early_outcome
    keys = [] if row is None else _keys_in(row)
    told = next((said[key] for key in keys if key in said), None)
    if row is not None and row.state in _SETTLED:
        kind, why = OutcomeKind(row.state), row.why
    elif told is not None:
        kind, why = told.kind, told.why
    else:
        kind, why = OutcomeKind.OPEN, _in_words(stop)
    error = (
        told.error if told is not None else stop if kind is OutcomeKind.OPEN and isinstance(stop, Exception) else None
    )
    target = case.subject.target
    hub_id = None if told is None else told.hub_request_id
    return Outcome(kind, case.subject.repo, get_person(target), target.request_id, why, hub_id, error)


def _keys_in(row: ChangeRow) -> list[str]:
    change = msgspec.json.decode(row.change, type=Change)
    return match_keys(row.repo, change.request_id, Person(change.user_id, change.user))


def match_keys(repo: Repo, request_id: str | None, person: Person) -> list[str]:
    """By what an outcome finds the case that it is about."""
    named = (("r", request_id), ("i", person.id), ("u", person.username))
    return [f"{repo} {kind}:{value.lower()}" for kind, value in named if value]


def _in_words(stop: BaseException | None) -> str:
    is_fault = isinstance(stop, Exception) and not isinstance(stop, HfGateError)
    return f"{type(stop).__name__}: {stop}" if is_fault else str(stop or "")


def note_entry(row: RequestRow, note: str, actor: str, at: int) -> e.LedgerEntry:
    """A reviewer's own words about a request."""
    return e.LedgerEntry(
        event=e.NoteWritten(), at=at, actor=actor, request=row.id, person=row.person.id, private={"note": note}
    )


def end_entry(row: RequestRow, until: str | None, actor: str, at: int, zone: tzinfo) -> e.LedgerEntry:
    """Give an access that exists another end, as rules write it. None: it has no end any more."""
    end = None if until is None else to_ms(grant_end(until, from_ms(at), zone))
    event = e.GrantDated(until=end, rule=ChangeOrigin.DIRECT, written=until)
    return e.LedgerEntry(event=event, at=at, actor=actor, request=row.id, person=row.person.id)
