"""Carries the changes of a run to the Hub: intents before the wire, outcomes after it, and what is unknown settled by reading.

The order is the promise. Nothing is sent that is not written down as started, and the writing is on the disk; nothing is
called done that the Hub did not say or a reading did not show; nothing is sent again that can be asked. A killed process
leaves started changes behind, and they are the first thing that the next one looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Final, TypeAlias

import msgspec

from ..domain import events as e
from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.moments import to_ms
from ..domain.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from ..domain.requests import AccessRequest, Decision
from ..domain.rows import RunRow
from ..domain.runs import UNDER_WAY, UNFINISHED, ChangeOrigin, ChangeState, RunKind, RunState
from ..domain.state import LAG, was_just_moved
from ..errors import HfGateError
from ..plan.model import Change
from ..protocol.skew import is_clock_off
from ..store.reading import Store
from ..store.writer import Writer
from .permissions import keep_halt
from .ports import ClockPort, SendPort
from .restored import check_read_whole
from .runs import check_kept
from .settling import (
    InFlightBatch,
    Item,
    Settled,
    alone,
    intent,
    observe,
    read_back,
    settle_without_sending,
    told_entries,
)

LOOK: Final = 10_000  # so many changes are looked at once more in one reading
GROUP: Final = 500  # so many intents are written in one transaction
FRESH: Final = 60.0  # seconds: a reading older than this says nothing about what to send
GRACE: Final = 20.0  # seconds: a request that was under way when a process died may still arrive this long after
LONG_AGO: Final = 3600.0  # seconds: no call waits so long for its turn after its intent was written
WISHED: Final[Mapping[str, RunState]] = {"pause": RunState.PAUSED, "stop": RunState.STOPPED}
"""How a run ends when somebody wishes so."""

Call: TypeAlias = Callable[[Repo, Iterator[Decision]], Iterator[Outcome]]
"""Sends decisions as it takes them: each is written down as started when it is taken."""


@dataclass(slots=True)
class RunExecutor:
    """One run under way. `watch` is asked between batches and answers `pause` or `stop` when somebody wished so."""

    store: Store
    hub: SendPort
    clock: ClockPort
    zone: tzinfo
    watch: Callable[[], str | None] = lambda: None
    progress: Callable[[int], None] = lambda _: None
    told: Callable[[Outcome], None] = lambda _: None
    grace: float = GRACE
    was_looked: bool = False  # a moment ago: then the first look at each repo is what the store has of it
    _wish: str | None = field(default=None, init=False)
    _looked: set[Repo] = field(default_factory=set, init=False)

    def execute(self, run: RunRow) -> RunRow:
        """Settles what a dead process left, then sends what is planned; returns the run as it stands afterwards.

        An error that ends the whole run (no permission, the Hub away) is raised after the state is written.
        """
        check_kept(self.store, run)
        stop: HfGateError | None = None
        try:
            self.settle(run)
            check_read_whole(self.store, self._repos(run))
            for repo in self._repos(run):
                try:
                    self._carry_repo(run, repo)
                except HfGateError as problem:
                    if classify_error(problem, listed=True).ends is not ErrorScope.REPO:
                        raise
                    stop = stop or problem
                if self._wish:
                    break
        except BaseException:
            self._close(run, RunState.INTERRUPTED)
            raise
        state = WISHED.get(self._wish or "", RunState.ENDED)
        if state == RunState.ENDED and (
            stop is not None or self.store.changes(run.id, (ChangeState.PLANNED, *UNDER_WAY), 1)
        ):
            state = RunState.INTERRUPTED  # what is unknown, or was not reached, is left to the next process
        ended = self._close(run, state)
        if stop is not None:
            raise stop
        return ended

    # ---- what a dead process left ------------------------------------------------------------------------------------

    def settle(self, run: RunRow) -> None:
        """Reads what became of changes that were started and never settled; sends nothing."""
        left = self._items(run, UNDER_WAY)
        for repo, items in _by_repo(left).items():
            for start in range(0, len(items), LOOK):
                self._settle_some(run, repo, items[start : start + LOOK])

    def settle_left(self, run: RunRow) -> RunRow:
        """The same for a run that nobody goes on with here: what reading shows is entered, and its counts are true again.

        The one way in which anybody settles what is not theirs. A person's decision is over then, unless it is unknown.
        """
        self.settle(run)
        return self._close(run, run.state)

    def leave(self, run: RunRow) -> RunRow:
        """The same for a run that nobody goes on with at all: what was not sent is left to whoever plans anew."""
        try:
            self.settle(run)
        except BaseException:
            self._close(run, RunState.INTERRUPTED)
            raise
        wish = WISHED.get(self.store.stop_request(run.id) or "", RunState.STOPPED)
        over = wish if self.store.changes(run.id, (ChangeState.PLANNED,), 1) else RunState.ENDED
        return self._close(run, RunState.INTERRUPTED if self.store.changes(run.id, UNDER_WAY, 1) else over)

    def _settle_some(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> None:
        self._wait_for_late_ones(run, items)
        found = self.hub.find_many(repo, [item.target for item in items])
        settled = [
            read_back(item, found.requests.get(index), complete=found.complete) for index, item in enumerate(items)
        ]
        self._write(run, repo, [one for one in settled if one is not None])

    def _wait_for_late_ones(self, run: RunRow, items: Sequence[Item]) -> None:
        """A call that left before the process died may arrive after our reading: give it its time.

        When it left is not known: it may have waited for its turn long after its intent was written. A change that is
        still marked as started was left by a process that died, and the clock may have been set since.
        """
        was_cut_off = bool(self.store.changes(run.id, (ChangeState.STARTED,), 1))
        moments = [run.made_at if item.row is None else item.row.started_at or 0 for item in items]
        if was_cut_off or self.clock.now().timestamp() - max(moments, default=0) / 1000 < LONG_AGO:
            self.clock.sleep(self.grace)

    # ---- sending -----------------------------------------------------------------------------------------------------

    def _carry_repo(self, run: RunRow, repo: Repo) -> None:
        before: list[int] = []
        while not self._should_stop():
            items = self._items(run, (ChangeState.PLANNED,), repo, LOOK)
            here = [item.n for item in items]
            if not items or here == before:  # a pass that moved nothing would not move anything the next time either
                return
            before = here
            ready = self._look_again(run, repo, items)
            grants = [item for item in ready if item.row is None and item.change.rule == ChangeOrigin.GRANT]
            others = [item for item in ready if item not in grants] if grants else ready
            if others:
                self._send(run, repo, others, self.hub.decide_many, GROUP)
            if grants:
                self._send(run, repo, grants, self._grant, 1)

    def _look_again(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> list[Item]:
        """Reads where these requests stand now; those that changed since the plan are left alone."""
        found, complete = self._look(repo, items)
        ready: list[Item] = []
        moved: list[Settled] = []
        for index, item in enumerate(items):
            seen = found.get(index)
            verdict = self._end_of_wrong_clock(item) or settle_without_sending(item, seen, complete=complete)
            if verdict is None:
                ready.append(replace(item, seen=seen))
            else:
                moved.append(verdict)
        self._write(run, repo, moved)
        return ready

    def _end_of_wrong_clock(self, item: Item) -> Settled | None:
        """The deferral of a grant's end while our clock is too far from the Hub's to say that its time is over."""
        if item.change.rule != ChangeOrigin.UNTIL or not is_clock_off(self.hub.skew):
            return None
        return Settled(
            item, OutcomeKind.DEFERRED, "this machine's clock differs from the Hub's, so no grant is ended by it"
        )

    def _look(self, repo: Repo, items: Sequence[Item]) -> tuple[Mapping[int, AccessRequest], bool]:
        """Where they stand, by their place among the items, and whether whoever is not there is in no list."""
        if self.was_looked and repo not in self._looked:
            self._looked.add(repo)
            stored = enumerate(item.target.request for item in items)
            return {index: request for index, request in stored if request is not None}, True
        found = self.hub.find_many(repo, [item.target for item in items])
        requests, complete = dict(found.requests), found.complete
        doubted = [index for index, item in enumerate(items) if self._may_be_old(item, requests.get(index))]
        if doubted:
            self.clock.sleep(LAG / 1000)
            later = self.hub.find_many(repo, [items[index].target for index in doubted])
            for place, index in enumerate(doubted):
                requests.pop(index, None)
                if place in later.requests:
                    requests[index] = later.requests[place]
            complete = complete and later.complete
        return requests, complete

    def _may_be_old(self, item: Item, seen: AccessRequest | None) -> bool:
        """Whether a look contradicts what we did a moment ago: a Hub whose lists lag does so, and somebody else may have."""
        if item.row is None or (seen is not None and seen.status == item.row.state.status):
            return False
        return was_just_moved(item.row.state, self.clock.now().timestamp() + (self.hub.skew or 0.0))

    def _send(self, run: RunRow, repo: Repo, items: Sequence[Item], call: Call, group: int) -> None:
        """One pass of batches. Whatever was started and not told when it breaks is written as it is known."""
        flight = InFlightBatch({item.n: item for item in items})
        looked_at = self.clock.now().timestamp()
        try:
            for outcome in call(repo, self._decisions(run, repo, items, flight, looked_at, group)):
                self.told(outcome)
                one = flight.settle(outcome)
                if one is not None:
                    flight.told.append(one)
                if len(flight.told) >= 100:
                    self._flush(run, repo, flight)
        finally:
            self._flush(run, repo, flight)

    def _grant(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        """The Hub has no batch for letting people in who never asked."""
        for decision in decisions:
            yield from alone(repo, decision.target, self.hub.grant_access)

    def _decisions(
        self, run: RunRow, repo: Repo, items: Sequence[Item], flight: InFlightBatch, looked_at: float, size: int
    ) -> Iterator[Decision]:
        for start in range(0, len(items), size):
            if self._should_stop() or (start and self.clock.now().timestamp() - looked_at > FRESH):
                return
            group = items[start : start + size]
            self._flush(run, repo, flight)
            self._write_intents(run, repo, group)
            flight.add(group)
            for item in group:
                target = item.as_seen(self.clock.now().timestamp())
                yield Decision(Status(item.change.after), target, item.change.reason)

    def _flush(self, run: RunRow, repo: Repo, flight: InFlightBatch) -> None:
        told, flight.told = flight.told, []
        self._write(run, repo, told)
        self.progress(sum(not one.unsent for one in told))

    def _should_stop(self) -> bool:
        self._wish = self._wish or self.watch()
        return self._wish is not None

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _write_intents(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> None:
        at = self._at()
        with self.store.writing() as write:
            write.append(repo, [intent(item, run, at) for item in items])
            write.change_states(run.id, [(item.n, ChangeState.STARTED, "") for item in items])

    def _write(self, run: RunRow, repo: Repo, settled: Sequence[Settled]) -> None:
        if not settled:
            return
        settled, at, skew = self._with_requests(repo, settled), self._at(), self.hub.skew or 0.0
        with self.store.writing() as write:
            write.append(repo, [entry for one in settled for entry in told_entries(one, run, at, self.zone, skew)])
            write.change_states(
                run.id,
                [
                    (one.item.n, ChangeState.PLANNED if one.unsent else ChangeState(one.kind), one.why)
                    for one in settled
                ],
            )

    def _with_requests(self, repo: Repo, settled: Sequence[Settled]) -> Sequence[Settled]:
        """The same, each beside the request that it made: who was let in without asking has one now.

        By a name that costs a call or two; by an id alone it would cost whole lists, and is left to the next reading,
        unless an end hangs on it. An end that finds no request stays open, so that whoever comes next dates it.
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
        idents = (
            observe(self.store, repo, [found[index] for index in at], self._at(), self.hub.skew or 0.0) if at else ()
        )
        rows = self.store.requests(idents)
        for index, ident in zip(at, idents, strict=True):
            new[index].item = replace(new[index].item, row=rows.get(ident))
        for one in new:
            if one.item.row is None and one.item.change.until and one.kind is OutcomeKind.DONE:
                one.kind = OutcomeKind.OPEN
                one.why = "it was done, and its end is not dated yet: its request was not found"
        return settled

    def _close(self, run: RunRow, state: RunState) -> RunRow:
        """The end of this process's part, also in the ledger of the workspace.

        What somebody decided at the keyboard is asked for again, not resumed: it ends here unless something is unknown.
        """
        if state in UNFINISHED and run.kind is RunKind.DIRECT and not self.store.changes(run.id, UNDER_WAY, 1):
            state = RunState.STOPPED
        is_meant = state in (RunState.PAUSED, RunState.STOPPED) and self.store.stop_request(run.id) is not None
        with self.store.writing() as write:
            if not is_meant or state != run.state:  # what was halted before may have been let go on meanwhile
                keep_halt(self.store, write, run, is_meant=is_meant)
            return close_run(write, run, state, self._at())

    def _at(self) -> int:
        return to_ms(self.clock.now())

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _repos(self, run: RunRow) -> list[Repo]:
        return list(self.store.changed_repos(run.id, (ChangeState.PLANNED,)))

    def _items(
        self, run: RunRow, states: Sequence[ChangeState], repo: Repo | None = None, limit: int | None = None
    ) -> list[Item]:
        rows = self.store.changes(run.id, states, limit, repo)
        known = self.store.requests([row.request for row in rows if row.request is not None])
        return [
            Item(row.n, msgspec.json.decode(row.change, type=Change), known.get(row.request or 0), row.repo)
            for row in rows
            if row.request is None or row.request in known
        ]


def _by_repo(items: Iterable[Item]) -> dict[Repo, list[Item]]:
    found: dict[Repo, list[Item]] = {}
    for item in items:
        found.setdefault(item.repo, []).append(item)
    return found


def halt(store: Store, run: RunRow, word: str, at: int) -> RunRow:
    """Pauses or stops a run that no process carries; what was under way when one died is left to a later reading."""
    with store.writing() as write:
        keep_halt(store, write, run, is_meant=True)
        return close_run(write, run, WISHED[word], at)


def close_run(write: Writer, run: RunRow, state: RunState, at: int) -> RunRow:
    """The run with its counts as they are now, and the entry that says how its part ended."""
    counts = write.counts(run.id)
    if state == run.state and counts == run.counts:
        return run  # nothing of it is news
    ended = msgspec.structs.replace(run, state=state, counts=counts)
    write.run(ended)
    event = e.RunEnded(run=run.id, state=state, counts=counts)
    write.append(None, [e.Entry(event=event, at=at, actor=run.actor)])
    return ended
