"""Decisions that a person takes at the keyboard: looked at, written down, sent and settled as one run of kind `direct`.

Whom the store does not know is looked up on the Hub first, so that there is a request to write about. Whom the Hub shows
to nobody (a repo that hides names, somebody who never asked) is decided by what the caller knew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from typing import Protocol

from ..domain import events as e
from ..domain.ids import Person, Repo
from ..domain.lifecycle import Status
from ..domain.members import NO_AUTHOR, RunAuthor
from ..domain.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from ..domain.requests import AccessRequest, Decision, Target, target_of
from ..domain.rows import RequestRow, RunRow
from ..domain.runs import ChangeState, RunKind, RunState
from ..domain.timestamps import to_ms
from ..errors import HfGateError
from ..protocol.flows.single_decision import build_outcome
from ..store.store import Store
from ..store.writer import Writer
from .decisions import (
    DUPLICATE,
    UNSENT_KINDS,
    Choice,
    DecisionResult,
    DecisionTarget,
    PendingDecision,
    end_entry,
    final_outcome,
    group_by_repo,
    make_change_of,
    make_change_row,
    match_keys,
    note_entry,
    outcome_before_send,
)
from .ports import ClockPort, HubPort, SendPort
from .run_executor import RunExecutor
from .settling import RunItem, SettledItem, make_outcome_entries, send_alone, store_records


class DecisionHub(HubPort, Protocol):
    """The Hub with its single verbs, whose errors say exactly what is the matter."""

    def accept(self, repo: Repo, user: Person | None = None, *, request_id: str | None = None) -> Outcome: ...
    def cancel(self, repo: Repo, user: Person | None = None, *, request_id: str | None = None) -> Outcome: ...
    def reject(
        self, repo: Repo, user: Person | None = None, *, reason: str | None, request_id: str | None = None
    ) -> Outcome: ...
    def reset(
        self, repo: Repo, user: Person | None = None, *, reason: str | None = None, request_id: str | None = None
    ) -> Outcome: ...


@dataclass(slots=True)
class DecisionSender:
    """Decides. `progress` is told of each that is settled, `say` what takes time before anything is sent."""

    store: Store
    hub: DecisionHub
    clock: ClockPort
    zone: tzinfo
    actor: str
    author: RunAuthor = NO_AUTHOR
    progress: Callable[[int], None] = lambda _: None
    notify: Callable[[str], None] = lambda _: None

    def decide(self, targets: Sequence[DecisionTarget], choice: Choice, *, run_id: str) -> DecisionResult:
        """Everything once, under the name `ident`. What ended it after it was begun stands in the result."""
        cases = [PendingDecision(n, ask) for n, ask in enumerate(targets, start=1)]
        stop: BaseException | None = self._look(cases, choice)
        early = [
            case.early_outcome
            for case in cases
            if case.early_outcome is not None and case.early_outcome.kind in UNSENT_KINDS
        ]
        if len(early) == len(cases):
            return DecisionResult(None, early, stop)
        run = self._begin(cases, choice, run_id)
        told: list[Outcome] = []
        sender: SendPort = _Singly(self.hub) if len(cases) == 1 else self.hub
        carrier = RunExecutor(
            self.store,
            sender,
            self.clock,
            self.zone,
            progress=self.progress,
            on_outcome=told.append,
            is_store_current=True,
        )
        try:
            carrier.execute(run)
            self._afterwards(cases, choice, run)
        except BaseException as problem:  # noqa: BLE001 - the caller tells what was done, and raises it again
            stop = stop or problem
        return DecisionResult(run_id, self._outcomes(cases, run, told, stop), stop)

    def add_note(self, request: AccessRequest, text: str) -> None:
        """Enters a reviewer's own words about a request that was read; nothing is sent."""
        at = self._at()
        row = self._find_stored(request.repo, target_of(request))
        if row is None:
            row = self.store.request(store_records(self.store, request.repo, [request], at, self.hub.skew or 0.0)[0])
        if row is not None:
            with self.store.writing() as write:
                write.append(request.repo, [note_entry(row, text, self.actor, at)])

    # ---- whom it is about --------------------------------------------------------------------------------------------

    def _look(self, cases: Sequence[PendingDecision], choice: Choice) -> HfGateError | None:
        """Finds everybody's request; what is clear without a call is said at once. What ends one repo's part is returned."""
        stop: HfGateError | None = None
        for repo, here in group_by_repo(cases).items():
            try:
                self._look_at(repo, here, choice)
            except HfGateError as problem:
                law = classify_error(problem, is_listed=False)
                if law.scope is not ErrorScope.REPO:
                    raise
                stop = stop or problem
                for case in here:
                    kind = law.kind if len(cases) == 1 else OutcomeKind.OPEN
                    case.early_outcome = case.early_outcome or build_outcome(
                        kind, repo, case.subject.target, f"not sent: {problem}", problem
                    )
        seen: set[int] = set()
        for case in cases:
            if case.row is not None and case.early_outcome is None:
                if case.row.id in seen:
                    case.early_outcome, case.is_duplicate = (
                        build_outcome(OutcomeKind.ALREADY, case.subject.repo, case.subject.target, DUPLICATE),
                        True,
                    )
                seen.add(case.row.id)
        return stop

    def _look_at(self, repo: Repo, cases: Sequence[PendingDecision], choice: Choice) -> None:
        sought = []
        for case in cases:
            request = case.subject.target.request
            if request is not None and request.status == choice.to:
                case.row = self._find_stored(repo, case.subject.target)
                case.early_outcome = build_outcome(
                    OutcomeKind.ALREADY, repo, case.subject.target, f"already {request.status}"
                )
            else:
                sought.append(case)
        if sought:
            self._find(repo, sought, choice)

    def _find(self, repo: Repo, cases: Sequence[PendingDecision], choice: Choice) -> None:
        targets = [self._best(repo, case.subject.target) for case in cases]
        if len(targets) == 1 and targets[0].username is None and targets[0].request is None:
            found, complete = self._on_first_page(repo, targets[0], choice), False
        else:
            reading = self.hub.find_many(repo, targets)
            found, complete = dict(reading.requests), reading.complete
        idents = store_records(self.store, repo, list(found.values()), self._at(), self.hub.skew or 0.0)
        rows = self._settled_first(self.store.requests(idents))
        numbers = dict(zip(found, idents, strict=True))
        for index, case in enumerate(cases):
            case.row = rows.get(numbers.get(index, 0))
            case.early_outcome = outcome_before_send(case, complete=complete)

    def _best(self, repo: Repo, target: Target) -> Target:
        """Where to look first: a name to search by, and the list in which it stood. Whom the caller named stays so."""
        if target.request is not None:
            return target
        row = self._find_stored(repo, target)
        if row is None:
            return target
        return replace(target, username=target.username or row.person.identity.username, request=row.request)

    def _find_stored(self, repo: Repo, target: Target) -> RequestRow | None:
        if target.request is not None:
            known = self.store.latest_attempts(repo, [target.request])[0]
            return None if known is None else self.store.request(known.id)
        rows = self.store.find(repo, target.request_id or target.user_id or target.username or "")
        return max(rows, key=lambda row: row.state.asked_at, default=None)

    def _on_first_page(self, repo: Repo, target: Target, choice: Choice) -> dict[int, AccessRequest]:
        """By an id alone the lists would have to be read; who is not on the page where they should be is decided unseen."""
        head = self.hub.head(repo, Status.ACCEPTED if choice.to is Status.PENDING else Status.PENDING)
        found = next((request for request in head.requests if target.matches(request)), None)
        return {} if found is None else {0: found}

    def _settled_first(self, rows: Mapping[int, RequestRow]) -> Mapping[int, RequestRow]:
        """A change that a dead process left under way is asked about before another one is begun."""
        runs = {row.state.open_run for row in rows.values() if row.state.open_run is not None}
        for ident in sorted(runs):
            run = self.store.run(ident)
            if run is None:
                continue
            self.notify(f"Run {ident} was cut off: what became of it is read first.")
            RunExecutor(self.store, self.hub, self.clock, self.zone).settle_and_keep(run)
        return self.store.requests(list(rows)) if runs else rows

    # ---- written down ------------------------------------------------------------------------------------------------

    def _begin(self, cases: Sequence[PendingDecision], choice: Choice, ident: str) -> RunRow:
        """The run with its changes, approved, and the note; one transaction. Nothing was sent yet."""
        at = self._at()
        verbs = Counter(make_change_of(case, choice).action for case in cases if case.early_outcome is None)
        run = RunRow(
            id=ident, kind=RunKind.DIRECT, actor=self.actor, state=RunState.READY, made_at=at, total=len(cases), verbs=verbs,
            member=self.author.member, account=self.author.account, is_free=self.author.is_free,
        )  # fmt: skip
        changes = [make_change_row(run, case, choice) for case in cases]
        approved = e.PlanApproved(run=ident, changes=len(cases))
        with self.store.writing() as write:
            write.run(run)
            write.changes(changes)
            write.append(None, [e.LedgerEntry(event=approved, at=at, actor=self.actor)])
            for repo, here in group_by_repo(cases).items():
                write.append(repo, [entry for case in here for entry in self._early(case, choice, run, at)])
                self._note(write, repo, [case.row for case in here if case.row is not None], choice, at)
        return run

    def _early(self, case: PendingDecision, choice: Choice, run: RunRow, at: int) -> list[e.LedgerEntry]:
        """What was clear without a call stands in the ledger too, unless it was about nobody, or no outcome yet."""
        early = case.early_outcome
        if early is None or early.kind in UNSENT_KINDS or case.is_duplicate or case.row is None:
            return []
        item = RunItem(case.n, make_change_of(case, choice), case.row, case.subject.repo)
        return make_outcome_entries(
            SettledItem(item, early.kind, early.why, "read"), run, at, self.zone, self.hub.skew or 0.0
        )

    def _note(self, write: Writer, repo: Repo, rows: Iterable[RequestRow], choice: Choice, at: int) -> None:
        if choice.note:
            unique = {row.id: row for row in rows}
            write.append(repo, [note_entry(row, choice.note, self.actor, at) for row in unique.values()])

    def _afterwards(self, cases: Sequence[PendingDecision], choice: Choice, run: RunRow) -> None:
        """What needs the outcome: the end of an access that was there before, and the note about who is there only now."""
        if not (choice.note or choice.until):
            return
        at = self._at()
        states = {row.n: row.state for row in self.store.changes(run.id)}
        for repo, here in group_by_repo(cases).items():
            new = [row for case in here if case.row is None and (row := self._find_stored(repo, case.subject.target))]
            was = {case.row.id: case.row for case in here if case.row and states.get(case.n) == ChangeState.ALREADY}
            with self.store.writing() as write:
                self._note(write, repo, new, choice, at)
                if choice.until:
                    dated = [end_entry(row, choice.until, self.actor, at, self.zone) for row in was.values()]
                    write.append(repo, dated)

    # ---- told --------------------------------------------------------------------------------------------------------

    def _outcomes(
        self, cases: Sequence[PendingDecision], run: RunRow, told: Sequence[Outcome], stop: BaseException | None
    ) -> list[Outcome]:
        """By what the store has of each change, in the words of the Hub client where it said any."""
        states = {row.n: row for row in self.store.changes(run.id)}
        said = {key: one for one in told for key in match_keys(one.repo, one.request_id, one.person)}
        return [final_outcome(case, states.get(case.n), said, stop) for case in cases]

    def _at(self) -> int:
        return to_ms(self.clock.now())


class _Singly:
    """The Hub for one person alone, who has a call alone: its errors say exactly what is the matter."""

    def __init__(self, hub: DecisionHub) -> None:
        self.hub = hub
        self.find_many = hub.find_many
        self.grant_access = hub.grant_access

    @property
    def skew(self) -> float | None:
        return self.hub.skew

    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        for decision in decisions:
            yield from send_alone(repo, decision.target, self._verb(decision))

    def _verb(self, decision: Decision) -> Callable[..., Outcome]:
        if decision.to is Status.ACCEPTED:
            return self.hub.accept
        if decision.to is Status.PENDING:
            return self.hub.cancel
        return partial(self.hub.reject if decision.to is Status.REJECTED else self.hub.reset, reason=decision.reason)
