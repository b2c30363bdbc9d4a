"""The values of a direct decision: targets, choice, changes and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Person, Repo
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.queued_decisions import QueuedDecision
from hf_gate.core.requests import Target
from hf_gate.core.runs import ChangeOrigin, ChangeState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow, entry_about
from hf_gate.decisions.service.runs.runs import make_direct_change
from hf_gate.decisions.service.runs.settling import match_keys
from hf_gate.errors import HfGateError
from hf_gate.hub.protocol.flows.single_decision import check_unchanged, get_person
from hf_gate.verdicts.plan.change_builders import make_change_without_request

ERASED_HAS_NO_END: Final = (
    "its personal data was erased, so its access cannot end automatically; "
    "send the request back, so that the person can ask again"
)
UNSENT_KINDS: Final = frozenset({OutcomeKind.OPEN, OutcomeKind.REFUSED})
"""Outcomes before sending that say nothing about the request, because the repo could not be read."""
_SETTLED: Final = frozenset(ChangeState(kind) for kind in OutcomeKind)


class DecisionTarget(Struct, frozen=True):
    """The person whom the caller names, the reason that this person receives, and the end of their access.

    `queued` is the waiting decision that is sent.
    """

    repo: Repo
    target: Target
    reason: str | None = None
    end: AccessEnd | None = None
    queued: QueuedDecision | None = None


class Choice(Struct, frozen=True):
    """The decision for all targets. `is_grant` includes people who never asked.

    `until` is an end for all of them, written as in rules, also for people who have access already; or `none`.
    """

    to: Status
    is_grant: bool = False
    note: str | None = None
    until: str | None = None


class DecisionResult(Struct):
    """The outcomes and the ends of access in the order of the targets, and the error that ended the run early.

    `run` is None if no run was stored.
    """

    run: str | None
    outcomes: list[Outcome]
    stopped_by: BaseException | None = None
    ends: Sequence[AccessEnd | None] = ()


class PendingDecision(Struct):
    """One target with its stored request, and its outcome if no call is needed. `n` counts from 1."""

    n: int
    subject: DecisionTarget
    row: RequestRow | None = None
    early_outcome: Outcome | None = None
    is_duplicate: bool = False  # another decision of the run is about the same request
    is_absent: bool = False  # complete lists of the Hub do not contain the person

    @property
    def repo(self) -> Repo:
        return self.subject.repo

    @property
    def target(self) -> Target:
        return self.subject.target


def outcome_before_send(decision: PendingDecision, *, complete: bool) -> Outcome | None:
    """Return the outcome if the request changed or disappeared since the caller read it; None if the decision must be
    sent.
    """
    target = decision.target
    now = None if decision.row is None else decision.row.request
    return None if target.request is None else check_unchanged(decision.repo, target, now, complete=complete)


def make_change_of(decision: PendingDecision, choice: Choice) -> Change:
    """Return the change that a run executes for one decision."""
    reason = decision.subject.reason
    end = decision.subject.end
    if decision.row is not None and decision.row.request is not None:
        return make_direct_change(decision.row, choice.to, reason, end=end)
    rule = ChangeOrigin.GRANT if choice.is_grant else ChangeOrigin.DIRECT
    target = decision.target
    if decision.row is not None and decision.row.state.hub_request is not None:
        # The record was erased, so the name must not be stored again.
        target = Target(request_id=decision.row.state.hub_request)
    return make_change_without_request(decision.repo, target, choice.to, rule=rule, reason=reason, end=end)


def make_change_row(run: RunRow, decision: PendingDecision, choice: Choice) -> ChangeRow:
    """Return the stored form of a decision's change, with its state if the outcome needs no call."""
    early = decision.early_outcome
    row = decision.row
    change = make_change_of(decision, choice)
    queued = decision.subject.queued
    if early is None:
        state = ChangeState.PLANNED
    else:
        state = ChangeState.UNSENT if early.kind in UNSENT_KINDS else ChangeState(early.kind)
    has_entry = early is None or (early.kind not in UNSENT_KINDS and not decision.is_duplicate)
    return ChangeRow(
        run=run.id,
        n=decision.n,
        repo=decision.repo,
        request=row.id if row is not None and row.request is not None and has_entry else None,
        change=msgspec.json.encode(change if queued is None else queued.change.replace_change(change)),
        state=state,
        why="" if early is None else early.why,
    )


def final_outcome(
    decision: PendingDecision, row: ChangeRow | None, outcomes: Mapping[str, Outcome], stop: BaseException | None
) -> Outcome:
    """Return the outcome for the target. An outcome reported by the Hub counts even if it could not be stored."""
    if decision.early_outcome is not None:
        return decision.early_outcome
    keys = [] if row is None else _keys_in(row)
    reported = next((outcomes[key] for key in keys if key in outcomes), None)
    if row is not None and row.state in _SETTLED:
        kind = OutcomeKind(row.state)
        why = row.why
    elif reported is not None:
        kind = reported.kind
        why = reported.why
    else:
        kind = OutcomeKind.OPEN
        why = _describe_stop(stop)
    error = stop if kind is OutcomeKind.OPEN and isinstance(stop, Exception) else None
    if reported is not None:
        error = reported.error
    target = decision.target
    hub_id = None if reported is None else reported.hub_request_id
    return Outcome(kind, decision.repo, get_person(target), target.request_id, why, hub_id, error)


def _keys_in(row: ChangeRow) -> list[str]:
    change = decode_json(row.change, Change)
    return match_keys(row.repo, change.request_id, Person(change.user_id, change.user))


def _describe_stop(stop: BaseException | None) -> str:
    is_fault = isinstance(stop, Exception) and not isinstance(stop, HfGateError)
    return f"{type(stop).__name__}: {stop}" if is_fault else str(stop or "")


def note_entry(row: RequestRow, note: str, actor: str, at: int) -> e.LedgerEntry:
    """Return the ledger entry of a reviewer's note."""
    return entry_about(row, e.NoteWritten(), actor, at, {"note": note})
