"""Executes a run: sends its planned changes to the Hub and records every outcome.

`core/runs.py` says what may happen to a run and to a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, TypeAlias

from msgspec.structs import replace

from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.base.batches import split_into_batches
from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Repo, group_by_repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import LIST_LAG, was_just_moved
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from hf_gate.core.people.grants import parse_grant_end
from hf_gate.core.ports import ClockPort, SendPort
from hf_gate.core.requests import AccessRequest, Decision
from hf_gate.core.runs import (
    FAILED,
    RUN_STATES,
    UNFINISHED,
    UNSETTLED,
    ChangeOrigin,
    ChangeState,
    RunEvent,
    RunKind,
    RunState,
)
from hf_gate.core.stored_rows import ChangeRow, RunRow
from hf_gate.errors import HfGateError
from hf_gate.grants.rows import write_terms
from hf_gate.hub.protocol.clock_skew import is_clock_off
from hf_gate.requests.service.restore_checks import check_synced_since_restore
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.runs import read_run_repos
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.run_items import RunItem, SettledItem

from .runs import check_changes_match_plan, store_halt
from .settling import (
    InFlightBatch,
    make_intent_entry,
    make_outcome_entries,
    send_alone,
    settle_by_read,
    settle_without_sending,
    store_records,
    terms_to_store,
)

READ_BATCH: Final = 10_000  # the number of changes whose requests are reread together
INTENT_BATCH: Final = 500  # the number of intents stored in one transaction
RETRY_PAUSE: Final = 30_000  # ms until unsent decisions of the desk are sent again
MAX_READ_AGE: Final = 60.0  # seconds; after this, requests are read again before they are sent
LATE_CALL_WAIT: Final = 20.0  # seconds in which a dead process's call may still arrive at the Hub
MAX_CALL_DELAY: Final = 3600.0  # seconds; the longest time between an intent and its call

Call: TypeAlias = Callable[[Repo, Iterator[Decision]], Iterator[Outcome]]
"""Sends decisions from an iterator, which stores each decision as started before yielding it."""


@dataclass(slots=True)
class RunExecutor:
    """Executes one run. `read_stop_request` is called between batches and returns `pause`, `stop` or None.

    `is_store_current` means that the store was compared with the Hub a moment ago; the first read of each repo then
    uses the store.
    """

    store: Store
    hub: SendPort
    clock: ClockPort
    zone: tzinfo
    approvals: ApprovalCheck
    read_stop_request: Callable[[], str | None] = lambda: None
    progress: Callable[[int], None] = lambda _: None
    on_outcome: Callable[[Outcome], None] = lambda _: None
    late_call_wait: float = LATE_CALL_WAIT
    is_store_current: bool = False
    _stop_request: str | None = field(default=None, init=False)
    _read_repos: set[Repo] = field(default_factory=set, init=False)

    def execute(self, run: RunRow) -> RunRow:
        """Settle what a dead process left open, send the planned changes, and return the updated run.

        Raises the error that ended the run (no permission, Hub unavailable) after the state is stored, and Guarded for
        a run that was stopped or abandoned. A run that has ended is returned as it is.
        """
        if run.state is RunState.ENDED:
            return run
        RUN_STATES.step(run.state, RunEvent.BEGIN)
        check_changes_match_plan(self.store, run)
        stop: HfGateError | None = None
        try:
            self.settle_started(run)
            check_synced_since_restore(self.store, self._repos_to_send(run))
            for repo in self._repos_to_send(run):
                try:
                    self._execute_repo(run, repo)
                except HfGateError as problem:
                    if classify_error(problem, is_listed=True).scope is not ErrorScope.REPO:
                        raise
                    stop = stop or problem
                if self._stop_request:
                    break
        except BaseException:
            self._close(run, RunEvent.BREAK_OFF)
            raise
        event = RunEvent(self._stop_request or RunEvent.END)
        has_rest = stop is not None or self.store.changes(run.id, (ChangeState.PLANNED, *UNSETTLED), 1)
        if event is RunEvent.END and has_rest:
            event = RunEvent.BREAK_OFF  # the next process settles or sends the rest
        elif event is RunEvent.PAUSE and not has_rest:
            event = RunEvent.END  # the pause came after the last change was sent
        ended = self._close(run, event)
        if stop is not None:
            raise stop
        return ended

    def preview(self, run: RunRow, rows: Sequence[ChangeRow]) -> list[ChangeRow]:
        """Return the changes with the outcomes that `execute` would give to the planned ones, after the same reads.

        DONE means that the change would be sent. Nothing is sent or stored.
        """
        planned = [row for row in rows if row.state == ChangeState.PLANNED]
        check_synced_since_restore(self.store, list(dict.fromkeys(row.repo for row in planned)))
        known: dict[int, SettledItem] = {}
        for repo, here in group_by_repo(planned).items():
            for some in split_into_batches(here, READ_BATCH):
                ready, settled = self._find_stale_changes(repo, self._items_of(some))
                settled += self.approvals.preview(run, repo, ready)
                known |= {item.n: SettledItem(item, OutcomeKind.DONE) for item in ready}
                known |= {one.item.n: one for one in settled}
        return [
            replace(row, state=ChangeState(known[row.n].kind), why=known[row.n].why) if row.n in known else row
            for row in rows
        ]

    # ---- settling ----------------------------------------------------------------------------------------------------

    def settle_started(self, run: RunRow) -> None:
        """Read back changes that were started but not settled; send nothing."""
        left = self._read_items(run, UNSETTLED)
        for repo, items in group_by_repo(left).items():
            for batch in split_into_batches(items, READ_BATCH):
                self._settle_batch(run, repo, batch)

    def settle_and_keep(self, run: RunRow) -> RunRow:
        """Settle a run without sending the rest; return the run with its counts.

        A run of direct decisions ends here, unless an outcome is still unknown.
        """
        self.settle_started(run)
        return self._close(run, RunEvent.SETTLE)

    def settle_and_end(self, run: RunRow) -> RunRow:
        """Settle a run and end it. Unsent changes are left to the next plan."""
        try:
            self.settle_started(run)
        except BaseException:
            self._close(run, RunEvent.BREAK_OFF)
            raise
        requested = RunEvent(self.store.stop_request(run.id) or RunEvent.GIVE_UP)
        over = requested if self.store.changes(run.id, (ChangeState.PLANNED,), 1) else RunEvent.END
        return self._close(run, RunEvent.BREAK_OFF if self.store.changes(run.id, UNSETTLED, 1) else over)

    def _settle_batch(self, run: RunRow, repo: Repo, items: Sequence[RunItem]) -> None:
        self._wait_for_late_calls(run, items)
        found = self.hub.find_many(repo, [item.target for item in items])
        records = found.requests
        complete = found.complete
        settled = [settle_by_read(item, records.get(index), complete=complete) for index, item in enumerate(items)]
        self._store_settled(run, repo, [one for one in settled if one is not None])

    def _wait_for_late_calls(self, run: RunRow, items: Sequence[RunItem]) -> None:
        """Wait until any call of a dead process must have arrived at the Hub, so that a read shows its effect.

        The time of the call is unknown, because it may have waited for the rate limit after its intent was stored.
        Always wait for a change that is still marked as started: a dead process left it, and the clock may have been
        changed since.
        """
        was_cut_off = bool(self.store.changes(run.id, (ChangeState.STARTED,), 1))
        moments = [run.made_at if item.row is None else item.row.started_at or 0 for item in items]
        if was_cut_off or self.clock.now().timestamp() - max(moments, default=0) / 1000 < MAX_CALL_DELAY:
            self.clock.sleep(self.late_call_wait)

    # ---- sending -----------------------------------------------------------------------------------------------------

    def _execute_repo(self, run: RunRow, repo: Repo) -> None:
        before: list[int] = []
        while not self._should_stop():
            items = self._read_items(run, (ChangeState.PLANNED,), repo, READ_BATCH)
            here = [item.n for item in items]
            if not items or here == before:  # without progress, the next pass would do the same
                return
            before = here
            ready = self._drop_stale_changes(run, repo, items)
            grants = [item for item in ready if item.row is None and item.change.rule == ChangeOrigin.GRANT]
            others = [item for item in ready if item not in grants] if grants else ready
            if others:
                self._send(run, repo, others, self.hub.decide_many, INTENT_BATCH)
            if grants:
                self._send(run, repo, grants, self._send_grants, 1)

    def _drop_stale_changes(self, run: RunRow, repo: Repo, items: Sequence[RunItem]) -> list[RunItem]:
        """Read these requests again, settle those that changed since the plan, and return the others."""
        ready, moved = self._find_stale_changes(repo, items)
        self._store_settled(run, repo, moved)
        return ready

    def _find_stale_changes(self, repo: Repo, items: Sequence[RunItem]) -> tuple[list[RunItem], list[SettledItem]]:
        """Read these requests again; return the changes to send, and those that changed since the plan."""
        found, complete = self._read_requests(repo, items)
        ready: list[RunItem] = []
        moved: list[SettledItem] = []
        for index, item in enumerate(items):
            seen = found.get(index)
            verdict = (
                self._defer_end_if_clock_is_off(item)
                or settle_without_sending(item, seen, complete=complete)
                or self._refuse_past_end(item)
            )
            if verdict is None:
                ready.append(replace(item, hub_record=seen))
            else:
                moved.append(verdict)
        return ready, moved

    def _defer_end_if_clock_is_off(self, item: RunItem) -> SettledItem | None:
        """Defer the end of a grant if this machine's clock differs too much from the Hub's.

        An end that has moved since the plan was made is not sent.
        """
        if not item.change.is_end:
            return None
        end = None if item.row is None else item.row.state.ends_at
        if end is None or end > self._at():
            return SettledItem(item, OutcomeKind.STALE, "its end has moved since")
        if not is_clock_off(self.hub.skew):
            return None
        why = "this machine's clock differs from the Hub's, so it ends no grants"
        return SettledItem(item, OutcomeKind.DEFERRED, why)

    def _refuse_past_end(self, item: RunItem) -> SettledItem | None:
        """Refuse an acceptance whose access would have ended already."""
        change = item.change
        now = self.clock.now()
        if change.after != Status.ACCEPTED or not change.until or parse_grant_end(change.until, now, self.zone) > now:
            return None
        return SettledItem(item, OutcomeKind.STALE, f"the end {change.until} had passed when the decision was due")

    def _read_requests(self, repo: Repo, items: Sequence[RunItem]) -> tuple[Mapping[int, AccessRequest], bool]:
        """Return the requests by the index of their item, and whether a missing request is certainly in no list."""
        if self.is_store_current and repo not in self._read_repos:
            self._read_repos.add(repo)
            stored = enumerate(item.target.request for item in items)
            return {index: request for index, request in stored if request is not None}, True
        found = self.hub.find_many(repo, [item.target for item in items])
        requests = dict(found.requests)
        complete = found.complete
        doubtful = [index for index, item in enumerate(items) if self._may_be_outdated(item, requests.get(index))]
        if doubtful:
            self.clock.sleep(LIST_LAG / 1000)
            later = self.hub.find_many(repo, [items[index].target for index in doubtful])
            for place, index in enumerate(doubtful):
                requests.pop(index, None)
                if place in later.requests:
                    requests[index] = later.requests[place]
            complete = complete and later.complete
        return requests, complete

    def _may_be_outdated(self, item: RunItem, seen: AccessRequest | None) -> bool:
        """Tell whether a read contradicts our own recent change.

        The Hub's lists may lag, or another person changed the request.
        """
        if item.row is None or (seen is not None and seen.status == item.row.state.status):
            return False
        return was_just_moved(item.row.state, self.clock.now().timestamp() + (self.hub.skew or 0.0))

    def _send(self, run: RunRow, repo: Repo, items: Sequence[RunItem], call: Call, group: int) -> None:
        """Send batches. After an error, the outcomes received so far are stored."""
        flight = InFlightBatch({item.n: item for item in items})
        looked_at = self.clock.now().timestamp()
        try:
            for outcome in call(repo, self._start_decisions(run, repo, items, flight, looked_at, group)):
                self.on_outcome(outcome)
                one = flight.settle(outcome)
                if one is not None:
                    flight.settled.append(one)
                if len(flight.settled) >= 100:
                    self._flush(run, repo, flight)
        finally:
            self._flush(run, repo, flight)

    def _send_grants(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        """Send grants one by one, because the Hub has no batch call for people who never asked."""
        for decision in decisions:
            yield from send_alone(repo, decision.target, self.hub.grant_access)

    def _start_decisions(
        self, run: RunRow, repo: Repo, items: Sequence[RunItem], flight: InFlightBatch, looked_at: float, size: int
    ) -> Iterator[Decision]:
        for start in range(0, len(items), size):
            if self._should_stop() or (start and self.clock.now().timestamp() - looked_at > MAX_READ_AGE):
                return
            group = items[start : start + size]
            self._flush(run, repo, flight)
            group = self._store_intents(run, repo, group)
            flight.add(group)
            for item in group:
                target = item.target_to_send(self.clock.now().timestamp())
                yield Decision(Status(item.change.after), target, item.change.reason)

    def _flush(self, run: RunRow, repo: Repo, flight: InFlightBatch) -> None:
        settled = flight.settled
        flight.settled = []
        self._store_settled(run, repo, settled)
        self.progress(sum(not one.is_unsent for one in settled))

    def _should_stop(self) -> bool:
        self._stop_request = self._stop_request or self.read_stop_request()
        return self._stop_request is not None

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _store_intents(self, run: RunRow, repo: Repo, items: Sequence[RunItem]) -> Sequence[RunItem]:
        """Store these changes as started; return those that may be sent.

        Approvals are checked in the same transaction, so that none can be taken back between the check and the intent.
        """
        at = self._at()
        quorums = self.approvals.read_quorums(repo, items)
        with self.store.writing() as write:
            ready, deferred = self.approvals.admit(write, run, items, quorums, at)
            write.append(repo, [make_intent_entry(item, run, at) for item in ready])
            write.set_change_states(run.id, [(item.n, ChangeState.STARTED, "") for item in ready])
        self._store_settled(run, repo, deferred)
        return ready

    def _store_settled(self, run: RunRow, repo: Repo, settled: Sequence[SettledItem]) -> None:
        if not settled:
            return
        settled = self._attach_requests(repo, settled)
        at = self._at()
        skew = self.hub.skew or 0.0
        entries = [entry for one in settled for entry in make_outcome_entries(one, run, at, self.zone, skew)]
        states = [ChangeState.PLANNED if one.is_unsent else ChangeState(one.kind) for one in settled]
        terms = [each for one in settled if (each := terms_to_store(one, at, self.zone)) is not None]
        with self.store.writing() as write:
            write_terms(write, terms)
            write.append(repo, entries)
            write.set_change_states(
                run.id, [(one.item.n, state, one.why) for one, state in zip(settled, states, strict=True)]
            )

    def _attach_requests(self, repo: Repo, settled: Sequence[SettledItem]) -> Sequence[SettledItem]:
        """Attach the requests that grants created for people who never asked.

        Finding them by username takes one or two calls. Finding them by id alone takes whole lists, so this is left to
        the next sync unless the grant has an end. A grant with an end but no request stays open, so that the next
        executor sets its end.
        """
        ended = (OutcomeKind.DONE, OutcomeKind.ALREADY)
        made = [one for one in settled if one.item.row is None and one.kind in ended]
        new = [one for one in made if one.item.target.username or one.item.change.until]
        if not new:
            return settled
        try:
            found = self.hub.find_many(repo, [one.item.target for one in new]).requests
        except HfGateError:
            found = {}
        at = sorted(found)
        records = [found[index] for index in at]
        idents = store_records(self.store, repo, records, self._at(), self.hub.skew or 0.0) if records else ()
        rows = self.store.requests(idents)
        for index, ident in zip(at, idents, strict=True):
            new[index].item = replace(new[index].item, row=rows.get(ident))
        for one in new:
            if one.item.row is None and one.item.change.until and one.kind is OutcomeKind.DONE:
                one.kind = OutcomeKind.OPEN
                one.why = "access was granted, but its end is not set yet: the request was not found"
        return settled

    def _close(self, run: RunRow, event: RunEvent) -> RunRow:
        """Store the run as it is after an event, and record it in the ledger of the workspace.

        A run of direct decisions is not resumed: it ends here, unless an outcome is unknown. What it did not send of
        the decisions made in the desk waits again.
        """
        if run.starts_at is not None:
            with self.store.writing() as write:
                write.release_unsent(run, self._at() + RETRY_PAUSE if run.starts_at else None)
        state = RUN_STATES.step(run.state, event)
        if state in UNFINISHED and run.kind is RunKind.DIRECT and not self.store.changes(run.id, UNSETTLED, 1):
            event = RunEvent.GIVE_UP if self.store.changes(run.id, (ChangeState.PLANNED,), 1) else RunEvent.END
        is_requested = state in (RunState.PAUSED, RunState.STOPPED) and self.store.stop_request(run.id) is not None
        with self.store.writing() as write:
            if not is_requested or state != run.state:  # an earlier halt may have been removed meanwhile
                store_halt(self.store, write, run, is_requested=is_requested)
            return close_run(write, run, event, self._at())

    def _at(self) -> int:
        return to_ms(self.clock.now())

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _repos_to_send(self, run: RunRow) -> list[Repo]:
        return read_run_repos(self.store, run.id, (ChangeState.PLANNED,))

    def _read_items(
        self, run: RunRow, states: Sequence[ChangeState], repo: Repo | None = None, limit: int | None = None
    ) -> list[RunItem]:
        return self._items_of(self.store.changes(run.id, states, limit, None if repo is None else [repo]))

    def _items_of(self, rows: Sequence[ChangeRow]) -> list[RunItem]:
        known = self.store.requests([row.request for row in rows if row.request is not None])
        return [
            RunItem(row.n, decode_json(row.change, Change), known.get(row.request or 0), row.repo)
            for row in rows
            if row.request is None or row.request in known
        ]


def make_executor(
    workspace: Workspace,
    approvals: ApprovalCheck,
    *,
    store: Store | None = None,
    hub: SendPort | None = None,
    read_stop_request: Callable[[], str | None] = lambda: None,
    progress: Callable[[int], None] = lambda _: None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    is_store_current: bool = False,
) -> RunExecutor:
    """Return an executor. This is the only place that makes one.

    `store` and `hub` are used instead of those of the workspace.
    """
    return RunExecutor(
        store or workspace.store,
        hub or workspace.hub,
        workspace.clock,
        workspace.zone,
        approvals,
        read_stop_request,
        progress,
        on_outcome,
        is_store_current=is_store_current,
    )


def halt_run(store: Store, run: RunRow, request: RunEvent, at: int) -> RunRow:
    """Pause or stop a run that no process executes; started changes are settled later."""
    with store.writing() as write:
        store_halt(store, write, run, is_requested=True)
        return close_run(write, run, request, at)


def close_run(write: Writer, run: RunRow, event: RunEvent, at: int) -> RunRow:
    """Store a run with its current counts as it is after an event, and record that in the ledger."""
    counts = write.count_changes(run.id)
    if RUN_STATES.step(run.state, event) == run.state and counts == run.counts:
        return run
    is_unseen = run.starts_at is not None and any(counts.get(failed) for failed in FAILED)
    closed = write.move_run(run, event, counts=counts, is_unseen=is_unseen)
    ended = e.RunEnded(run=run.id, state=closed.state, counts=counts)
    write.append(None, [e.LedgerEntry(event=ended, at=at, actor=run.actor)])
    return closed
