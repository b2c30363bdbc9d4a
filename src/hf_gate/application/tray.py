"""Queues decisions in the tray and sends each one once, when it is due. Decisions of a dead process are read back.

A decision is marked with its run before the run is stored. If that run does not exist, the decision was not sent.
Otherwise the run's changes hold its outcome, and unknown outcomes are read from the Hub.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..domain.hand_terms import NO_END, NO_END_WORD, NO_HAND_TERMS, GrantEnd, choose_end, end_of_terms
from ..domain.lifecycle import MOVES, STATUS_AFTER_VERB, Status
from ..domain.members import Member, RunAuthor
from ..domain.outcomes import Outcome, OutcomeKind
from ..domain.requests import Target, target_of
from ..domain.rows import ChangeRow, RequestRow
from ..domain.runs import UNSETTLED, ChangeState
from ..domain.timestamps import from_ms, to_ms
from ..domain.tray import ACCEPT, VERBS, QueuedDecision
from ..errors import Guarded, HfGateError, NotAllowed, UsageError
from .approval_status import read_approval_status
from .approvals import ApprovalGate, as_approver
from .decision_sender import DecisionSender
from .decisions import Choice, DecisionTarget
from .members import Membership
from .run_executor import make_executor
from .runs import is_over
from .terms_reader import NO_POLICIES, TermsReader, UnreadablePolicies, is_valid_at, make_end_choice_error
from .workspace import Workspace, new_id

RETRY_PAUSE: Final = 30_000  # ms until unsent decisions are retried
_ENDED_STATES: Final = frozenset(ChangeState(kind) for kind in OutcomeKind if kind is not OutcomeKind.OPEN)


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


class TrayService(Struct):
    """Queues decisions and sends them when they are due. `problem` says why the last decisions were not sent.

    `lock` is held from the check of one person's limit until the decisions are queued.
    """

    workspace: Workspace
    membership: Membership
    terms: TermsReader
    lock: threading.RLock = field(default_factory=threading.RLock)
    problem: str | None = None

    def queue_decisions(self, request: DecisionRequest, now: datetime, hold: float | None) -> QueueResult:
        """Queue decisions for `hold` seconds (None: until a person sends them). Send nothing.

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
        ends, retermed = self._choose_ends(fresh, request, now)
        fresh = [row for row in fresh if row not in retermed]
        shared, uncounted = self._check_approvals(fresh, request)
        fresh = [row for row in fresh if row not in uncounted]
        at = to_ms(now)
        batch = new_id()
        items = [
            QueuedDecision(
                id=0,
                request=row.id,
                version=row.version.token,
                verb=request.verb,
                reason=request.reason,
                actor=request.by.name,
                member=request.by.id,
                batch=batch,
                made_at=at,
                leaves_at=None if hold is None else at + round(hold * 1000),
                until=ends[row.id].until,
                hand_terms=ends[row.id].stored,
                note=request.note if request.verb == ACCEPT else None,
            )
            for row in fresh
        ]
        with (
            self.lock,
            self.workspace.store.hold_write_lock(),
        ):  # between the check of the limit and this write, no thread or process sends other decisions
            self.membership.check_limit(request.by, request.verb, len(items))
            clashes = self.workspace.tray.add(items, shared)
        renamed = frozenset(rule for row in fresh if "@" in (rule := ends[row.id].rule))
        return QueueResult(batch, len(items) - len(clashes), clashes, moved, retermed, uncounted, renamed)

    def _choose_ends(
        self, rows: Sequence[RequestRow], request: DecisionRequest, now: datetime
    ) -> tuple[dict[int, _QueuedEnd], list[RequestRow]]:
        """Return the end of each decision, and the rows whose terms are not those shown.

        Raises an error if terms are not known and the person chose no end, or one beyond the ceiling.
        """
        if request.verb != ACCEPT:
            return {row.id: _QueuedEnd() for row in rows}, []
        zone = self.workspace.zone
        retermed = list[RequestRow]()
        ends = dict[int, _QueuedEnd]()
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
            if end is None and chosen is not None:
                ends[row.id] = _QueuedEnd()
            else:
                end = end or replace(NO_END, shown_at=terms.shown_at)
                ends[row.id] = _QueuedEnd(end.written, msgspec.json.encode(end).decode(), rule)
        return ends, retermed

    def _check_approvals(
        self, rows: Sequence[RequestRow], request: DecisionRequest
    ) -> tuple[frozenset[int], list[RequestRow]]:
        """Return the requests that need two people, and those of them that this person cannot approve.

        Raise NotAllowed if this person cannot approve any of the rows. The run checks it again.
        """
        if request.verb != ACCEPT:
            return frozenset(), []
        found = read_approval_status(self.workspace, rows, as_approver(request.by))
        refused = {ident: one.why_not for ident, one in found.items() if one.why_not}
        if refused and len(refused) == len(rows):
            why = next(iter(refused.values()))
            raise NotAllowed(why, hint="Ask another member with a proven account to approve.")
        return frozenset(found) - refused.keys(), [row for row in rows if row.id in refused]

    # ---- sending -----------------------------------------------------------------------------------------------------

    def send_due(self, now: datetime) -> int:
        """Send the due decisions; return how many ended. Unsent decisions stay and are tried again."""
        self.problem = None
        groups: dict[tuple[str | None, ...], list[QueuedDecision]] = {}
        for item in self.workspace.tray.list_due(to_ms(now)):
            groups.setdefault((item.actor, item.member, item.verb, item.note), []).append(item)
        return sum(self._send(items, to_ms(now)) for items in groups.values())

    def _send(self, items: Sequence[QueuedDecision], now: int) -> int:
        """Send decisions with the same actor and verb as one run; return how many ended."""
        first = items[0]
        targets = dict[int, DecisionTarget]()
        rows = self.workspace.store.requests([item.request for item in items])
        ended = list[tuple[int, str, str]]()
        unread = list[QueuedDecision]()
        sender = _make_decision_sender(self.membership, first.actor, first.member)
        for item in items:
            try:
                targets[item.id] = self._make_target(item, rows.get(item.request), from_ms(now), sender.approvals)
            except UnreadablePolicies as problem:
                unread.append(item)
                self.problem = str(problem)
            except HfGateError as problem:
                kind = OutcomeKind.REFUSED if isinstance(problem, NotAllowed | UsageError) else OutcomeKind.STALE
                ended.append((item.id, kind, str(problem)))
        if ended:
            self.workspace.tray.record_outcomes(ended, now)
        if unread:
            self._keep_unsent(unread, str(self.problem), now)
        over = len(ended)
        run = new_id()
        self.workspace.tray.set_run(list(targets), run)
        ready = self.workspace.tray.list_of_run(run)  # without those that were undone meanwhile
        if not ready:
            return over
        choice = Choice(STATUS_AFTER_VERB[first.verb], note=first.note)
        try:
            decided = sender.decide([targets[item.id] for item in ready], choice, run_id=run)
        except HfGateError as problem:
            self._keep_unsent(ready, str(problem), now)
            return over
        if decided.stopped_by is not None:
            self.problem = str(decided.stopped_by)
        states = {} if decided.run is None else {row.n: row for row in self.workspace.store.changes(decided.run)}
        pairs = zip(ready, decided.outcomes, strict=True)
        return over + self._store_outcomes([(item, one, states.get(n)) for n, (item, one) in enumerate(pairs, 1)], now)

    def _make_target(
        self, item: QueuedDecision, row: RequestRow | None, now: datetime, gate: ApprovalGate
    ) -> DecisionTarget:
        """Return what is sent for a decision.

        Raises UnreadablePolicies if it cannot be sent now, and another error if it must not be sent any more.
        """
        if row is None or row.version.token != item.version:
            raise Guarded(_describe_difference(row))
        if not self.membership.can_decide(item, row):
            raise NotAllowed(f"{item.actor} may no longer decide at this repo")
        if item.verb == ACCEPT and (problem := gate.find_problem(row.repo)):
            raise UnreadablePolicies(problem)
        end = self._read_end(item, row, now) if item.verb == ACCEPT else None
        return DecisionTarget(row.repo, _target_of(row), item.reason, end)

    def _read_end(self, item: QueuedDecision, row: RequestRow, now: datetime) -> GrantEnd | None:
        """Return the end of a queued acceptance as it was shown, for `SHOWN_FOR`.

        Later, the terms must still be the same.
        """
        end = item.shown_end
        if end is not None and end.shown_at is not None and is_valid_at(end.shown_at, now):
            return None if end.is_same_as(NO_END) else self.terms.check_end(row.repo, end)
        if item.hand_terms is None and item.until is None:
            return None
        terms = self.terms.read_terms([row], now)[row.id]
        if terms is NO_POLICIES:
            raise UnreadablePolicies("the policies cannot be read")
        if item.hand_terms is None or (end is not None and end.is_chosen):
            return choose_end(terms, item.until or NO_END_WORD, now, self.workspace.zone)
        current = end_of_terms(terms)
        is_same = terms.token == item.hand_terms if end is None else end.is_same_as(current or NO_END)
        if not is_same:
            raise Guarded("its access would end at a different time than shown")
        return current

    def _store_outcomes(self, cases: Iterable[tuple[QueuedDecision, Outcome, ChangeRow | None]], now: int) -> int:
        ended = []
        left = []
        for item, outcome, row in cases:
            if outcome.kind is not OutcomeKind.OPEN or row is None:
                ended.append((item.id, outcome.kind.value, outcome.why))
            elif row.state is ChangeState.PLANNED:
                left.append(item)  # these were certainly not sent
        self.workspace.tray.record_outcomes(ended, now)
        if left:
            self._keep_unsent(left, self.problem or "the run ended before they were sent", now)
        return len(ended)

    def _keep_unsent(self, items: Sequence[QueuedDecision], why: str, now: int) -> None:
        """Return unsent decisions to the tray, to be tried again after `RETRY_PAUSE`."""
        self.problem = why
        ids = [item.id for item in items]
        self.workspace.tray.set_run(ids, None)
        self.workspace.tray.set_departure(ids, now + RETRY_PAUSE)

    # ---- recovery ----------------------------------------------------------------------------------------------------

    def recover(self, now: datetime) -> int:
        """Read back decisions that a dead process sent; return how many are still unknown."""
        runs: dict[str, list[QueuedDecision]] = {}
        for item in self.workspace.tray.list_waiting():
            if item.run is not None:
                runs.setdefault(item.run, []).append(item)
        return sum(self._read_back(run, items, to_ms(now)) for run, items in runs.items())

    def _read_back(self, ident: str, items: Sequence[QueuedDecision], now: int) -> int:
        run = self.workspace.store.run(ident)
        if run is None:
            self.workspace.tray.set_run([item.id for item in items], None)
            return 0
        if not is_over(run) or self.workspace.store.changes(ident, UNSETTLED, 1):
            make_executor(self.workspace, ApprovalGate(self.workspace)).settle_and_keep(run)
        states = {row.request: row for row in self.workspace.store.changes(ident)}
        pairs = [(one, row) for one in items if (row := states.get(one.request)) is not None]
        ended = [(one.id, row.state, row.why) for one, row in pairs if row.state in _ENDED_STATES]
        back = [one for one in items if (row := states.get(one.request)) is None or row.state is ChangeState.PLANNED]
        self.workspace.tray.record_outcomes(ended, now)
        self.workspace.tray.set_run([one.id for one in back], None)
        return len(items) - len(ended) - len(back)


class _QueuedEnd(NamedTuple):
    """The end of a queued acceptance, as written and as `QueuedDecision.hand_terms`.

    `rule` has a version if it changed.
    """

    until: str | None = None
    stored: str | None = None
    rule: str = ""


def _check_decision(row: RequestRow, request: DecisionRequest) -> None:
    status = row.state.status
    if not any(move.verb == request.verb and move.before == status for move in MOVES):
        raise UsageError(f"cannot {request.verb} a request that is {status}.", hint="Reload the page and decide again.")
    who = row.person.identity
    if request.by.is_own(who.username, who.user_id):
        raise NotAllowed("you cannot decide your own request.", hint="Another member must decide about it.")


def _target_of(row: RequestRow) -> Target:
    if row.request is not None:
        return target_of(row.request)
    who = row.person.identity
    return Target(who.username, who.user_id, row.state.hub_request)


def _describe_difference(row: RequestRow | None) -> str:
    if row is None:
        return "it is no longer in the store"
    return f"it is {row.state.status} now" if row.state.status != Status.PENDING else "its answers changed"


def _make_decision_sender(membership: Membership, actor: str, member: str | None = None) -> DecisionSender:
    """Return a sender of decisions for an actor. `member` is the id of the deciding member."""
    found = membership.find_by_id(member)
    author = RunAuthor(member=member)
    desk = membership.workspace
    if found is not None:
        is_free = membership.read_team(found).is_alone
        author = RunAuthor(member=member, account=found.proven_account, is_free=is_free)
    gate = ApprovalGate(desk)
    return DecisionSender(desk.store, desk.hub, desk.clock, desk.zone, actor, gate, author=author)
