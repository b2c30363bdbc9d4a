"""Queues the decisions of members as waiting runs, and sends each one once, when it is due.

The run that sends decisions takes the place of their waiting runs in one transaction. Its changes hold their outcomes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict, replace

from hf_gate.approvals.rows.approvals import delete_approval
from hf_gate.approvals.service.approval_status import read_approval_status
from hf_gate.approvals.service.approvals import ApprovalCheck, as_approver
from hf_gate.base.batches import group_pairs
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import ACCEPT, MOVES, STATUS_AFTER_VERB, VERBS
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.people.access_end import NO_END, NO_END_WORD, NO_HAND_TERMS, AccessEnd, choose_end, end_of_terms
from hf_gate.core.people.approvals import Approver
from hf_gate.core.people.members import KEY_ACTOR, Member, RunAuthor
from hf_gate.core.queued_decisions import QueuedChange, QueuedDecision
from hf_gate.core.requests import Target, target_of
from hf_gate.core.runs import RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow, entry_about
from hf_gate.decisions.service.runs.run_executor import RETRY_PAUSE, make_executor
from hf_gate.errors import Guarded, HfGateError, NotAllowed, UsageError
from hf_gate.grants.service.ends.terms_reader import (
    NO_POLICIES,
    TermsReader,
    UnreadablePolicies,
    is_valid_at,
    make_end_choice_error,
)
from hf_gate.members.service.members import Membership
from hf_gate.settings.service.unattended_stop import read_stop
from hf_gate.settings.service.workspace import Workspace, new_id
from hf_gate.settings.workspace_config import RunGuards
from hf_gate.store.rows.tray import (
    add_waiting_decisions,
    end_unsent_decisions,
    list_begun_decision_runs,
    list_due_decisions,
    schedule_decisions,
    undo_acceptance,
)
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.guards import apply_budgets, protection_check

from .budgets import read_budgets
from .decision_sender import DecisionSender
from .direct_decisions import Choice, DecisionTarget, PendingDecision, make_change_of
from .runs.settling import planned_version

PROTECTED: Final = "the guards of the workspace protect this person"
SENT_FOR: Final = 60_000  # ms that the desk says how many decisions were sent


class DecisionRequest(Struct, frozen=True):
    """A decision about requests, each with the version that the person saw.

    `until` is the end that the person chose for an acceptance, as written in rules, or `none`. Without it, each
    acceptance gets the terms of the policies, and `until_if_unknown` where these are not known.
    """

    verb: str
    versions: Mapping[int, str]  # by row id: the token of the version, and of the terms that were shown after a point
    by: Member
    reason: str | None = None
    until: str | None = None
    until_if_unknown: str | None = None
    note: str | None = None  # for the team, with an acceptance


class QueueResult(Struct, frozen=True):
    """The queued decisions and the rest: `conflicts` already have a queued decision, `moved` changed since they were
    shown.

    The acceptances in `retermed` would end at another time than was shown, or their policy no longer applies. Those in
    `uncounted` need two people, and this person cannot approve them. `renamed` are the rules that changed after the end
    that they set was shown, each with its version.
    """

    batch: str
    count: int
    conflicts: list[QueuedDecision] = field(default_factory=list)
    moved: list[RequestRow] = field(default_factory=list)
    retermed: list[RequestRow] = field(default_factory=list)
    uncounted: list[RequestRow] = field(default_factory=list)
    renamed: frozenset[str] = frozenset()


class SentDecisions(Struct, frozen=True):
    """How many decisions of a member took effect in a row, and when the last of them did (ms)."""

    count: int
    at: int


class TrayService(Struct):
    """Queues decisions and sends them when they are due. `problem` says why the last decisions were not sent.

    `sent` has what this process sent, by member. `lock` keeps the times of acts in order.
    """

    workspace: Workspace
    membership: Membership
    terms: TermsReader
    lock: threading.RLock = field(default_factory=threading.RLock)
    problem: str | None = None
    sent: dict[str, SentDecisions] = field(default_factory=dict)
    latest: int = 0  # ms; when the latest decision was made

    def queue_decisions(
        self,
        request: DecisionRequest,
        now: datetime,
        hold: float | None,
        record: Callable[[Writer, str], None] = lambda _write, _batch: None,
    ) -> QueueResult:
        """Queue decisions for `hold` seconds (None: until a person sends them). Send nothing.

        `record` adds something in the transaction that queues a decision, for the batch; its error prevents that.
        Raises an error and queues nothing if a verb does not fit a status, or if a request is the member's own.
        """
        if request.verb not in VERBS:
            raise UsageError(f"{request.verb!r} is not a decision.", hint=f"Use one of {', '.join(VERBS)}.")
        rows = self.workspace.store.requests(list(request.versions))
        seen = request.versions
        moved = [row for ident, row in rows.items() if not row.version.is_token(seen[ident]) or not row.is_current]
        fresh = [row for row in rows.values() if row not in moved]
        for row in fresh:
            _check_decision(row, request)
        renamed = set[str]()
        ends, retermed = self._choose_ends(fresh, request, now, renamed)
        fresh = [row for row in fresh if row not in retermed]
        shared, uncounted = self._check_approvals(fresh, request)
        fresh = [row for row in fresh if row not in uncounted]
        batch = new_id()
        hint = f"Select the requests and press {request.verb.capitalize()} to make a plan. "

        def check_limit() -> None:
            self.membership.check_limit(request.by, request.verb, len(fresh), refused="Nothing was decided.", hint=hint)

        with self.lock:
            self.latest = at = max(to_ms(now), self.latest + 1)  # no two acts have the same time
            items = [
                _make_waiting(request, f"{batch}.{n:04}", at, hold, row, ends.get(row.id))
                for n, row in enumerate(fresh)
            ]
            records = [row.id for row in fresh if row.request is not None]
            clashes = add_waiting_decisions(
                self.workspace.store, items, shared, records, check_limit, lambda write: record(write, batch)
            )
        return QueueResult(batch, len(fresh) - len(clashes), clashes, moved, retermed, uncounted, frozenset(renamed))

    def _choose_ends(
        self, rows: Sequence[RequestRow], request: DecisionRequest, now: datetime, renamed: set[str]
    ) -> tuple[dict[int, AccessEnd | None], list[RequestRow]]:
        """Return the end of each acceptance, and the rows whose terms are not those shown. Add to `renamed`.

        Raises an error if terms are not known and the person chose no end.
        """
        if request.verb != ACCEPT:
            return {}, []
        zone = self.workspace.zone
        retermed = list[RequestRow]()
        ends = dict[int, AccessEnd | None]()
        shown = {
            row.id: terms for row in rows if (terms := self.terms.shown.find(request.versions[row.id], row.id, now))
        }
        read = self.terms.read_terms([row for row in rows if row.id not in shown], now)
        for row in rows:
            terms = shown.get(row.id) or read[row.id]
            chosen = request.until or (request.until_if_unknown if terms.needs_choice else None)
            token = request.versions[row.id].partition(".")[2] or NO_HAND_TERMS.token
            if chosen is None and token != terms.token:
                retermed.append(row)
                continue
            if chosen is None and terms.needs_choice:
                raise make_end_choice_error(row.person.identity.username, terms)
            end = end_of_terms(terms) if chosen is None else choose_end(terms, chosen, now, zone)
            try:
                rule = "" if end is None else self.terms.check_end(row.repo, end).rule
            except HfGateError:
                retermed.append(row)
                continue
            if "@" in rule:
                renamed.add(rule)
            if end is None:
                end = replace(NO_END, shown_at=terms.end.shown_at)
            ends[row.id] = end
        return ends, retermed

    def _check_approvals(
        self, rows: Sequence[RequestRow], request: DecisionRequest
    ) -> tuple[frozenset[int], list[RequestRow]]:
        """Return the requests that need two people, and those of them that this person cannot approve.

        The acceptance of a key is not refused here: it counts as none. Raise NotAllowed if this person cannot approve
        any of the rows. The run checks it again.
        """
        if request.verb != ACCEPT:
            return frozenset(), []
        found = read_approval_status(self.workspace, rows, as_approver(request.by))
        refused = {ident: one.why_not for ident, one in found.items() if one.why_not and not request.by.is_key}
        if refused and len(refused) == len(rows):
            why = next(iter(refused.values()))
            raise NotAllowed(why, hint="Ask another member to approve.")
        return frozenset(found) - refused.keys(), [row for row in rows if row.id in refused]

    # ---- sending -----------------------------------------------------------------------------------------------------

    def send_due(self, now: datetime) -> None:
        """Send the due decisions, those of one actor, verb and note together. Unsent decisions stay and are tried
        again. While unattended work is stopped, decisions of keys stay.
        """
        self.problem = None
        is_stopped = read_stop(self.workspace.store) is not None
        due = list_due_decisions(self.workspace.store, to_ms(now))
        groups = group_pairs(((one.run.actor, one.run.member, one.verb, one.change.note), one) for one in due)
        for items in groups.values():
            try:
                if not is_stopped or not _is_of_key(items[0].run):
                    self._send(items, now)
            except HfGateError as problem:
                self.problem = str(problem)
            finally:
                left = [item.run.id for item in items]
                schedule_decisions(self.workspace.store, left, to_ms(now) + RETRY_PAUSE, due=to_ms(now))

    def _send(self, items: Sequence[QueuedDecision], now: datetime) -> None:
        """Send decisions with the same actor and verb as one run."""
        first = items[0]
        if _is_of_key(first.run):
            items = self._select_within_guards(items, now)
        ready = list[DecisionTarget]()
        ended = list[tuple[QueuedDecision, OutcomeKind, str]]()
        rows = self.workspace.store.requests([item.request for item in items])
        sender = _make_decision_sender(self.membership, first.run.actor, first.run.member)
        for item in items:
            try:
                ready.append(self._make_target(item, rows.get(item.request), now, sender.approvals))
            except UnreadablePolicies as problem:
                self.problem = str(problem)
            except HfGateError as problem:
                kind = OutcomeKind.REFUSED if isinstance(problem, NotAllowed | UsageError) else OutcomeKind.STALE
                ended.append((item, kind, str(problem)))
        end_unsent_decisions(self.workspace.store, ended)
        if ready:
            choice = Choice(STATUS_AFTER_VERB[first.verb], note=first.change.note)
            decided = sender.decide(ready, choice, run_id=new_id())
            if decided.stopped_by is not None:
                self.problem = str(decided.stopped_by)
            self._note_sent(first.run.member, decided.outcomes, now)
            end_unsent_decisions(
                self.workspace.store,
                [
                    (target.queued, outcome.kind, outcome.why)
                    for target, outcome in zip(ready, decided.outcomes, strict=False)  # no outcomes if none was left
                    if target.queued is not None and outcome.kind is OutcomeKind.REFUSED
                ],
            )

    def _select_within_guards(self, items: Sequence[QueuedDecision], now: datetime) -> list[QueuedDecision]:
        """Return the decisions of a key for which the guards have room now; refuse those about protected people."""
        guards = self._read_guards()
        is_protected = protection_check(guards.protected)
        refused = [item for item in items if is_protected(item.change)]
        end_unsent_decisions(self.workspace.store, [(item, OutcomeKind.REFUSED, PROTECTED) for item in refused])
        changes = [item.change for item in items if item not in refused]
        budgets = read_budgets(self.workspace.store, guards.budgets, now)
        allowed, _ = apply_budgets(changes, {one.name: one.rate.limit - one.used for one in budgets})
        chosen = set(map(id, allowed))
        return [item for item in items if id(item.change) in chosen]

    def describe_used_guard(self, change: Change, now: datetime) -> str:
        """Return the guard that leaves no room for a decision of a key now, as it is written; "" if there is room."""
        budgets = read_budgets(self.workspace.store, self._read_guards().budgets, now)
        return next((f"{one.name}: {one.rate}" for one in budgets if one.name == change.guard and one.is_used_up), "")

    def _read_guards(self) -> RunGuards:
        bundle = None if self.terms.read_bundle is None else self.terms.read_bundle()
        return (self.workspace.location.config if bundle is None else bundle.config).guards

    def _note_sent(self, member: str | None, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Add the decisions that took effect to those that the member sent before, if these are recent."""
        count = sum(outcome.kind in {OutcomeKind.DONE, OutcomeKind.ALREADY} for outcome in outcomes)
        if member is not None and count:
            self.sent[member] = SentDecisions(self.count_recently_sent(member, now) + count, to_ms(now))

    def count_recently_sent(self, member: str, now: datetime) -> int:
        """Return how many decisions of a member took effect, none of them `SENT_FOR` after the one before."""
        sent = self.sent.get(member)
        return 0 if sent is None or to_ms(now) - sent.at > SENT_FOR else sent.count

    def _make_target(
        self, item: QueuedDecision, row: RequestRow | None, now: datetime, approvals: ApprovalCheck
    ) -> DecisionTarget:
        """Return what is sent for a decision.

        Raises UnreadablePolicies if it cannot be sent now, and another error if it must not be sent any more.
        """
        if row is None:
            raise Guarded("it is no longer in the store")
        if row.version.token != item.change.version:
            difference = planned_version(item.change).difference(row.version) if item.change.asked_at else None
            raise Guarded(difference or "it changed since the decision was made")
        member = self.membership.find_by_id(item.run.member)
        if not self.membership.can_decide(member, [row.repo]) or (member is not None and row.is_made_by(member)):
            raise NotAllowed(f"{item.run.actor} may no longer decide at this repo")
        if item.verb == ACCEPT and (problem := approvals.find_problem(row.repo)):
            raise UnreadablePolicies(problem)
        end = self._read_end(item.change.end, row, now) if item.verb == ACCEPT else None
        return DecisionTarget(row.repo, _target_of(row), item.change.reason, end, item)

    def _read_end(self, end: AccessEnd | None, row: RequestRow, now: datetime) -> AccessEnd | None:
        """Return the end of a queued acceptance as it was shown, for `SHOWN_FOR`.

        Later, the terms must still be the same.
        """
        if end is None:
            return None
        if end.shown_at is not None and is_valid_at(end.shown_at, now):
            return self.terms.check_end(row.repo, end)
        terms = self.terms.read_terms([row], now)[row.id]
        if terms is NO_POLICIES:
            raise UnreadablePolicies("the policies cannot be read")
        if end.is_chosen:
            return choose_end(terms, end.written or NO_END_WORD, now, self.workspace.zone)
        current = end_of_terms(terms)
        if not end.is_same_as(current or NO_END):
            raise Guarded("its access would end at a different time than shown")
        return current

    def recover(self) -> None:
        """Settle the decisions that a dead process was sending. Those that it did not send wait again."""
        for run in list_begun_decision_runs(self.workspace.store):
            make_executor(self.workspace, ApprovalCheck(self.workspace)).settle_and_keep(run)


def _make_waiting(
    request: DecisionRequest, ident: str, at: int, hold: float | None, row: RequestRow, end: AccessEnd | None
) -> tuple[RunRow, ChangeRow]:
    """Return a decision made at a time (ms) as a run with its change, which has what the person saw."""
    run = RunRow(
        id=ident,
        kind=RunKind.DIRECT,
        actor=request.by.name,
        state=RunState.QUEUED,
        made_at=at,
        total=1,
        verbs={request.verb: 1},
        member=request.by.id,
        account=request.by.account_id,
        starts_at=None if hold is None else at + round(hold * 1000),
    )
    target = DecisionTarget(row.repo, _target_of(row), request.reason, None if end == NO_END else end)
    change = make_change_of(PendingDecision(1, target, row), Choice(STATUS_AFTER_VERB[request.verb]))
    held = QueuedChange(
        **asdict(change),
        version=row.version.token,
        batch=ident.partition(".")[0],
        note=request.note if request.verb == ACCEPT else None,
    )
    return run, ChangeRow(run=ident, n=1, repo=row.repo, request=row.id, change=msgspec.json.encode(held))


def _check_decision(row: RequestRow, request: DecisionRequest) -> None:
    status = row.state.status
    if not any(move.verb == request.verb and move.before == status for move in MOVES):
        raise UsageError(f"cannot {request.verb} a request that is {status}.", hint="Reload the page and decide again.")
    if row.is_made_by(request.by):
        raise NotAllowed("you cannot decide your own request.", hint="Another member must decide about it.")


def _is_of_key(run: RunRow) -> bool:
    return run.member is not None and run.member.startswith(KEY_ACTOR)


def _target_of(row: RequestRow) -> Target:
    return row.target if row.request is None else target_of(row.request)


def _make_decision_sender(membership: Membership, actor: str, member: str | None = None) -> DecisionSender:
    """Return a sender of decisions for an actor. `member` is the id of the deciding member."""
    found = membership.find_by_id(member)
    desk = membership.workspace
    is_free = found is not None and membership.read_team(found).is_alone
    author = RunAuthor(member=member, account=None if found is None else found.account_id, is_free=is_free)
    return DecisionSender(desk.store, desk.hub, desk.clock, desk.zone, actor, ApprovalCheck(desk), author=author)


def withdraw_approval(workspace: Workspace, row: RequestRow, approver: Approver) -> None:
    """Take back a person's own approval of a request. Raises UsageError if there is none, or if it is too late.

    Their acceptance that waits in the tray to be sent again is undone, because it would approve again.
    """
    if approver.account is None:
        raise UsageError("Your Hub account is unknown, so you have no approvals.")
    at = int(workspace.now().timestamp() * 1000)
    with workspace.store.writing() as write:
        if not delete_approval(write, row.id, approver.account):
            raise UsageError("You have not approved this request.", hint="Reload the page.")
        if not undo_acceptance(write, row.id, approver.member or ""):
            raise UsageError("Your acceptance is being sent.", hint="Reload the page.")
        event = e.ApprovalWithdrawn(account=approver.account, member=approver.member)
        write.append(row.repo, [entry_about(row, event, approver.actor, at)])
