"""Sends the decisions of a person: reads the requests, stores a run of kind `direct`, executes it and returns outcomes.

A person whom the store does not know is looked up on the Hub first, so that ledger entries refer to a request. If the
Hub does not show the person (the repo hides names, or the person never asked), the caller's name or id is sent
unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.base.ids import Person, Repo, group_by_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import diff_record
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from hf_gate.core.people.access_end import NO_END, NO_END_WORD, AccessEnd, choose_end
from hf_gate.core.people.approvals import Approver
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.ports import ClockPort, HubPort, SendPort
from hf_gate.core.requests import AccessRequest, Decision, Target
from hf_gate.core.runs import ChangeState, RunKind, RunState
from hf_gate.core.stored_rows import RequestRow, RunRow, unstored_row, update_row
from hf_gate.decisions.service.runs.run_executor import make_executor
from hf_gate.decisions.service.runs.runs import write_new_run
from hf_gate.decisions.service.runs.settling import (
    make_outcome_entries,
    match_keys,
    send_alone,
    settle_without_sending,
    store_records,
)
from hf_gate.errors import HfGateError, HubError, PersonNotFound
from hf_gate.grants.service.ends.approved_ends import EndChanger
from hf_gate.grants.service.ends.end_changes import change_end_by_hand
from hf_gate.grants.service.ends.terms_reader import load_terms_reader
from hf_gate.hub.protocol.flows.single_decision import (
    DUPLICATE,
    build_error_outcome,
    build_outcome,
    make_account_error,
    make_request_error,
    repeat_outcome,
)
from hf_gate.requests.service.restore_checks import check_synced_since_restore
from hf_gate.store.rows.tray import take_waiting
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.run_items import RunItem, SettledItem

from .direct_decisions import (
    ERASED_HAS_NO_END,
    UNSENT_KINDS,
    Choice,
    DecisionResult,
    DecisionTarget,
    PendingDecision,
    final_outcome,
    make_change_of,
    make_change_row,
    note_entry,
    outcome_before_send,
)


class DecisionHub(HubPort, Protocol):
    """The Hub calls for decisions, with one call for each verb.

    The errors of single calls are more exact than the errors of a batch.
    """

    def accept(self, repo: Repo, user: Person | None = None, *, request_id: str | None = None) -> Outcome: ...
    def cancel(self, repo: Repo, user: Person | None = None, *, request_id: str | None = None) -> Outcome: ...
    def reject(
        self, repo: Repo, user: Person | None = None, *, reason: str | None, request_id: str | None = None
    ) -> Outcome: ...
    def reset(
        self, repo: Repo, user: Person | None = None, *, reason: str | None = None, request_id: str | None = None
    ) -> Outcome: ...


class DecisionSender(Struct):
    """Sends decisions as one actor.

    `progress` receives the number of settled changes, `notify` receives messages before sending. `choose_ends` returns
    the ends of acceptances for which neither the choice nor the target has one; its error prevents that anything is
    sent.
    """

    store: Store
    hub: DecisionHub
    clock: ClockPort
    zone: tzinfo
    actor: str
    approvals: ApprovalCheck
    author: RunAuthor = NO_AUTHOR
    progress: Callable[[int], None] = lambda _: None
    notify: Callable[[str], None] = lambda _: None
    choose_ends: Callable[[Sequence[PendingDecision]], Sequence[AccessEnd | None]] | None = None
    is_preview: bool = False

    def decide(self, targets: Sequence[DecisionTarget], choice: Choice, *, run_id: str) -> DecisionResult:
        """Decide about each target once, as the run `run_id`.

        An error after the run is stored is returned in the result.
        """
        decisions, stop = self._prepare(targets, choice)
        early = [
            one for decision in decisions if (one := decision.early_outcome) is not None and one.kind in UNSENT_KINDS
        ]
        if len(early) == len(decisions):
            return DecisionResult(None, early, stop)
        run = self._store_run(decisions, choice, run_id)
        if run is None:
            return DecisionResult(None, [], stop)
        outcomes: list[Outcome] = []
        sender: SendPort = _SingleCalls(self.hub) if len(decisions) == 1 else self.hub
        executor = make_executor(
            self.approvals.workspace,
            self.approvals,
            store=self.store,
            hub=sender,
            progress=self.progress,
            on_outcome=outcomes.append,
            is_store_current=True,
        )
        try:
            executor.execute(run)
            self._store_after_outcomes(decisions, choice, run)
        except BaseException as problem:  # noqa: BLE001 - the caller reports the outcomes, then raises it
            stop = stop or problem
        results = self._collect_outcomes(decisions, run, outcomes, stop)
        return DecisionResult(run_id, results, stop, [decision.subject.end for decision in decisions])

    def preview(self, targets: Sequence[DecisionTarget], choice: Choice) -> DecisionResult:
        """Return the outcomes that `decide` would have, after the same checks. Nothing is sent or stored.

        DONE means that the change would be sent. The store may be open for reading only.
        """
        self.is_preview = True
        decisions, stop = self._prepare(targets, choice)
        run = self._make_run(decisions, choice, "")
        ready = [decision for decision in decisions if decision.early_outcome is None]
        try:
            check_synced_since_restore(self.store, [decision.repo for decision in ready])
            for repo, here in group_by_repo(ready).items():
                self._foresee(repo, here, choice, run)
            self._change_ends([decision for decision in decisions if _is_already(decision)], choice)
        except HfGateError as problem:
            stop = stop or problem
        results = [final_outcome(decision, None, {}, stop) for decision in decisions]
        return DecisionResult(None, results, stop, [decision.subject.end for decision in decisions])

    def _foresee(self, repo: Repo, decisions: Sequence[PendingDecision], choice: Choice, run: RunRow) -> None:
        """Set the outcomes that these decisions would have if they were sent now."""
        ready: dict[int, RunItem] = {}
        settled: list[SettledItem] = []
        for decision in decisions:
            row = decision.row if decision.row is not None and decision.row.request is not None else None
            record = None if row is None else row.request
            item = RunItem(decision.n, make_change_of(decision, choice), row, repo, record)
            one = settle_without_sending(item, record, complete=True)
            if one is None:
                ready[item.n] = item
            else:
                settled.append(one)
        settled += self.approvals.preview(run, repo, list(ready.values()))
        outcomes = {one.item.n: (one.kind, one.why) for one in settled}
        for decision in decisions:
            kind, why = outcomes.get(decision.n, (OutcomeKind.DONE, ""))
            error = self._find_refusal(decision, choice) if kind is OutcomeKind.DONE else None
            if error is None:
                decision.early_outcome = build_outcome(kind, repo, decision.target, why)
            else:
                decision.early_outcome = build_error_outcome(repo, decision.target, error)

    def _find_refusal(self, decision: PendingDecision, choice: Choice) -> HubError | None:
        """Return the error with which the Hub would refuse a decision about a person who is in none of its lists."""
        target = decision.target
        if not decision.is_absent:
            return None
        try:
            if target.username is not None:
                self.hub.profile(target.username)
        except PersonNotFound:
            return make_account_error(target)
        except HubError:
            pass  # nobody knows whether the account exists
        return None if choice.is_grant else make_request_error(decision.repo, target)

    def _prepare(
        self, targets: Sequence[DecisionTarget], choice: Choice
    ) -> tuple[list[PendingDecision], BaseException | None]:
        """Find the request of each target and the end of each acceptance.

        The error is the first one of a single repo.
        """
        decisions = [PendingDecision(n, target) for n, target in enumerate(targets, start=1)]
        stop = self._find_requests(decisions, choice)
        self.approvals.note = choice.note
        if choice.to is Status.ACCEPTED:
            self._set_ends(decisions, choice)
        return decisions, stop

    def _set_ends(self, decisions: Sequence[PendingDecision], choice: Choice) -> None:
        """Choose the ends of acceptances. Refuse an end for an erased request: no plan can end that access."""
        ready = [decision for decision in decisions if decision.early_outcome is None]
        chooser = self.choose_ends if choice.until is None else partial(self._apply_chosen_end, choice.until)
        if chooser is not None and ready:
            for decision, end in zip(ready, chooser(ready), strict=True):
                decision.subject = replace(decision.subject, end=end)
        for decision in ready:
            is_erased = decision.row is not None and decision.row.request is None
            if is_erased and not (decision.subject.end or NO_END).is_same_as(NO_END):
                refused = OutcomeKind.REFUSED
                decision.early_outcome = build_outcome(refused, decision.repo, decision.target, ERASED_HAS_NO_END)

    def _apply_chosen_end(self, written: str, decisions: Sequence[PendingDecision]) -> list[AccessEnd | None]:
        """Return the end that a person chose, for each decision with the other terms that the rules set."""
        now = self.clock.now()
        reader = load_terms_reader(self.approvals.workspace, self.approvals.read_bundle)
        terms = reader.read_each([(decision.repo, decision.row) for decision in decisions], now)
        return [choose_end(each, written, now, self.zone) for each in terms]

    # ---- finding requests --------------------------------------------------------------------------------------------

    def _find_requests(self, decisions: Sequence[PendingDecision], choice: Choice) -> HfGateError | None:
        """Find the request of each decision, and set outcomes that need no call.

        Return the first error of a single repo.
        """
        stop: HfGateError | None = None
        for repo, here in group_by_repo(decisions).items():
            try:
                self._find_requests_at(repo, here, choice)
            except HfGateError as problem:
                rule = classify_error(problem, is_listed=False)
                if rule.scope is not ErrorScope.REPO:
                    raise
                stop = stop or problem
                kind = rule.kind if len(decisions) == 1 else OutcomeKind.OPEN
                why = f"not sent: {problem}"
                for decision in here:
                    if decision.early_outcome is None:
                        decision.early_outcome = build_outcome(kind, repo, decision.target, why, problem)
        seen: set[int] = set()
        for decision in decisions:
            if decision.row is not None and decision.early_outcome is None:
                if decision.row.id in seen:
                    decision.is_duplicate = True
                    decision.early_outcome = build_outcome(
                        OutcomeKind.ALREADY, decision.repo, decision.target, DUPLICATE
                    )
                seen.add(decision.row.id)
        return stop

    def _find_requests_at(self, repo: Repo, decisions: Sequence[PendingDecision], choice: Choice) -> None:
        sought = []
        for decision in decisions:
            target = decision.target
            if target.request is not None and target.request.status == choice.to:
                decision.row = self._find_stored(repo, target)
                decision.early_outcome = build_outcome(OutcomeKind.ALREADY, repo, target, f"already {choice.to}")
            else:
                sought.append(decision)
        if sought:
            self._read_requests(repo, sought, choice)

    def _read_requests(self, repo: Repo, decisions: Sequence[PendingDecision], choice: Choice) -> None:
        targets = [self._add_stored_record(repo, decision.target) for decision in decisions]
        if len(targets) == 1 and targets[0].username is None and targets[0].request is None:
            found = self._read_first_page(repo, targets[0], choice)
            complete = False
        else:
            reading = self.hub.find_many(repo, targets)
            found = dict(reading.requests)
            complete = reading.complete
        keep = self._read_rows if self.is_preview else self._store_rows
        rows = dict(zip(found, keep(repo, list(found.values())), strict=True))
        for index, decision in enumerate(decisions):
            decision.row = rows.get(index)
            decision.is_absent = complete and index not in found
            decision.early_outcome = outcome_before_send(decision, complete=complete)

    def _store_rows(self, repo: Repo, records: Sequence[AccessRequest]) -> list[RequestRow | None]:
        """Store records that were just read; return their requests."""
        idents = store_records(self.store, repo, records, self._at(), self.hub.skew or 0.0)
        rows = self._settle_interrupted(self.store.requests(idents))
        return [rows.get(ident) for ident in idents]

    def _read_rows(self, repo: Repo, records: Sequence[AccessRequest]) -> list[RequestRow | None]:
        """Return the requests of records that were just read as the store would have them; store nothing."""
        at = self._at()
        skew = self.hub.skew or 0.0
        rows = list[RequestRow | None]()
        for n, (known, record) in enumerate(self.store.match_records(repo, records), start=1):
            stored = None if known is None else self.store.request(known.id)
            update = diff_record(known, record, skew)
            row = unstored_row(record) if stored is None else stored
            rows.append(row if update is None else update_row(row, update, number=-n, at=at))
        return rows

    def _add_stored_record(self, repo: Repo, target: Target) -> Target:
        """Add the stored record, whose status says which list to read first.

        Add the stored username if none was given.
        """
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
        rows = self.store.find_by_identity(repo, target.request_id or target.user_id or target.username or "")
        return max(rows, key=lambda row: row.state.asked_at, default=None)

    def _read_first_page(self, repo: Repo, target: Target, choice: Choice) -> dict[int, AccessRequest]:
        """Look up an id on one page, because reading whole lists takes too many calls.

        If it is absent, it is sent without a read.
        """
        head = self.hub.head(repo, Status.ACCEPTED if choice.to is Status.PENDING else Status.PENDING)
        found = next((request for request in head.requests if target.matches(request)), None)
        return {} if found is None else {0: found}

    def _settle_interrupted(self, rows: Mapping[int, RequestRow]) -> Mapping[int, RequestRow]:
        """Settle the changes that a dead process left open, before another change of the same request starts."""
        runs = {row.state.open_run for row in rows.values() if row.state.open_run is not None}
        for ident in sorted(runs):
            run = self.store.run(ident)
            if run is None:
                continue
            self.notify(f"Run {ident} was interrupted; its outcomes are read first.")
            make_executor(self.approvals.workspace, self.approvals, store=self.store, hub=self.hub).settle_and_keep(run)
        return self.store.requests(list(rows)) if runs else rows

    # ---- storing -----------------------------------------------------------------------------------------------------

    def _store_run(self, decisions: Sequence[PendingDecision], choice: Choice, ident: str) -> RunRow | None:
        """Store the approved run, its changes and the note in one transaction, before anything is sent.

        The run takes the place of the waiting decisions that it sends; those that were undone meanwhile are left out.
        Return None if none is left.
        """
        at = self._at()
        queued = [
            one.subject.queued.run.id
            for one in decisions
            if one.subject.queued is not None
            and (one.early_outcome is None or one.early_outcome.kind not in UNSENT_KINDS)
        ]
        with self.store.writing() as write:
            taken = set(take_waiting(write, queued))
            stored = [one for one in decisions if one.subject.queued is None or one.subject.queued.run.id in taken]
            if not stored:
                return None
            run = self._make_run(stored, choice, ident, starts_at=at if taken else None)
            write_new_run(write, run, [make_change_row(run, decision, choice) for decision in stored])
            for repo, here in group_by_repo(stored).items():
                entries = [entry for decision in here for entry in self._make_early_entries(decision, choice, run, at)]
                write.append(repo, entries)
                self._append_notes(
                    write, repo, [decision.row for decision in here if decision.row is not None], choice, at
                )
        return run

    def _make_run(
        self, decisions: Sequence[PendingDecision], choice: Choice, ident: str, *, starts_at: int | None = None
    ) -> RunRow:
        verbs = Counter(
            make_change_of(decision, choice).action for decision in decisions if decision.early_outcome is None
        )
        return RunRow(
            id=ident,
            kind=RunKind.DIRECT,
            actor=self.actor,
            state=RunState.READY,
            made_at=self._at(),
            total=len(decisions),
            verbs=verbs,
            member=self.author.member,
            account=self.author.account,
            is_free=self.author.is_free,
            starts_at=starts_at,
        )

    def _make_early_entries(
        self, decision: PendingDecision, choice: Choice, run: RunRow, at: int
    ) -> list[e.LedgerEntry]:
        """Return the ledger entries for an outcome without a call; none without a stored request or a final outcome."""
        early = decision.early_outcome
        if early is None or early.kind in UNSENT_KINDS or decision.is_duplicate or decision.row is None:
            return []
        item = RunItem(decision.n, make_change_of(decision, choice), decision.row, decision.repo)
        settled = SettledItem(item, early.kind, early.why, "read")
        return make_outcome_entries(settled, run, at, self.zone, self.hub.skew or 0.0)

    def _append_notes(self, write: Writer, repo: Repo, rows: Iterable[RequestRow], choice: Choice, at: int) -> None:
        if choice.note:
            unique = {row.id: row for row in rows}
            write.append(repo, [note_entry(row, choice.note, self.actor, at) for row in unique.values()])

    def _store_after_outcomes(self, decisions: Sequence[PendingDecision], choice: Choice, run: RunRow) -> None:
        """Store what depends on outcomes: the ends of grants that already existed, and notes on requests found only
        now.
        """
        at = self._at()
        states = {row.n: row.state for row in self.store.changes(run.id)}
        for repo, here in group_by_repo(decisions).items():
            new = [
                row for decision in here if decision.row is None and (row := self._find_stored(repo, decision.target))
            ]
            if choice.note:
                with self.store.writing() as write:
                    self._append_notes(write, repo, new, choice, at)
            self._change_ends([decision for decision in here if states.get(decision.n) == ChangeState.ALREADY], choice)

    def _change_ends(self, decisions: Sequence[PendingDecision], choice: Choice) -> None:
        """Give people who have access already the chosen end. The outcome says what a longer end lacks."""
        chosen = {
            decision.row.id: (decision.row, written)
            for decision in decisions
            if decision.row is not None and (written := _read_chosen_end(decision, choice)) is not None
        }
        if not chosen:
            return
        at = self._at()
        changes = [
            change_end_by_hand(self.store, row, written, from_ms(at), self.zone) for row, written in chosen.values()
        ]
        approver = Approver(self.actor, self.author.member, self.author.account)
        changer = EndChanger(self.approvals, approver)
        lacking = changer.preview(changes, at) if self.is_preview else changer.record(changes, at)
        held = {one.change.row.id: one for one in lacking}
        ends = {change.row.id: AccessEnd(change.event.written, terms=change.terms) for change in changes}
        for decision in decisions:
            if decision.row is not None:
                decision.subject = replace(decision.subject, end=ends.get(decision.row.id))
            if decision.row is not None and (one := held.get(decision.row.id)) is not None:
                why = f"{one.why}; the person has access already, so this is about its end"
                decision.early_outcome = build_outcome(one.kind, decision.repo, decision.target, why)

    # ---- outcomes ----------------------------------------------------------------------------------------------------

    def _collect_outcomes(
        self, decisions: Sequence[PendingDecision], run: RunRow, outcomes: Sequence[Outcome], stop: BaseException | None
    ) -> list[Outcome]:
        """Return the outcome of each decision from its stored change, with the Hub client's own words if available."""
        states = {row.n: row for row in self.store.changes(run.id)}
        outcomes_by_key = {
            key: outcome for outcome in outcomes for key in match_keys(outcome.repo, outcome.request_id, outcome.person)
        }
        results: list[Outcome] = []
        first_results: dict[int, Outcome] = {}  # by the number of the request
        for decision in decisions:
            result = final_outcome(decision, states.get(decision.n), outcomes_by_key, stop)
            if decision.row is not None:
                first = first_results.setdefault(decision.row.id, result)
                result = repeat_outcome(first, decision.target) if decision.is_duplicate else result
            results.append(result)
        return results

    def _at(self) -> int:
        return to_ms(self.clock.now())


def _read_chosen_end(decision: PendingDecision, choice: Choice) -> str | None:
    """Return the end that a person chose, as written; None if they chose none."""
    end = decision.subject.end
    written = end.written if end is not None and end.is_chosen else choice.until
    return None if written == NO_END_WORD else written


def _is_already(decision: PendingDecision) -> bool:
    return decision.early_outcome is not None and decision.early_outcome.kind is OutcomeKind.ALREADY


class _SingleCalls:
    """Sends each decision in a separate call, because its errors are more exact than the errors of a batch."""

    def __init__(self, hub: DecisionHub) -> None:
        self.hub = hub
        self.find_many = hub.find_many
        self.grant_access = hub.grant_access

    @property
    def skew(self) -> float | None:
        return self.hub.skew

    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        for decision in decisions:
            yield from send_alone(repo, decision.target, self._call_for(decision))

    def _call_for(self, decision: Decision) -> Callable[..., Outcome]:
        if decision.to is Status.ACCEPTED:
            return self.hub.accept
        if decision.to is Status.PENDING:
            return self.hub.cancel
        return partial(self.hub.reject if decision.to is Status.REJECTED else self.hub.reset, reason=decision.reason)
