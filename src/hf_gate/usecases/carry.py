"""Carries the changes of a run to the Hub: intents before the wire, outcomes after it, and what is unknown settled by reading.

The order is the promise. Nothing is sent that is not written down as started, and the writing is on the disk; nothing is
called done that the Hub did not say or a reading did not show; nothing is sent again that can be asked. A killed process
leaves started changes behind, and they are the first thing that the next one looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

import msgspec

from ..domain import events as e
from ..domain.grants import end_of
from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.moments import iso, moment_of, ms
from ..domain.outcomes import Ends, Kind, Outcome, law_of
from ..domain.requests import AccessRequest, Decision, Target
from ..domain.state import answers_digest
from ..errors import HfGateError, OutcomeUnknown
from ..plan.model import Change
from .ports import ClockPort, HubPort, RequestRow, RunRow, StorePort, WritePort

LOOK: Final = 10_000  # so many changes are looked at once more in one reading
GROUP: Final = 500  # so many intents are written in one transaction
FRESH: Final = 60.0  # seconds: a reading older than this says nothing about what to send
GRACE: Final = 20.0  # seconds: a request that was under way when a process died may still arrive this long after
PLANNED, STARTED = "planned", "started"


@dataclass(frozen=True, slots=True)
class Item:
    """One change of a run with the request that it is about."""

    n: int
    change: Change
    row: RequestRow

    @property
    def target(self) -> Target:
        """Whom it means, by everything that is known of them; ids come before names."""
        who = self.row.person.identity
        request = self.row.request
        return Target(who.username, who.user_id, self.row.state.hub_request, request)

    @property
    def bare(self) -> Target:
        """The same without the record: it was just looked at, and is not to be read once more."""
        return Target(self.target.username, self.target.user_id, self.target.request_id)


@dataclass(slots=True)
class Settled:
    """What became of one change, on its way into the store."""

    item: Item
    kind: Kind
    why: str = ""
    how: str = "told"
    hub_reply: str | None = None
    unsent: bool = False  # it goes back to planned: a later look may send it


@dataclass(slots=True)
class Carrier:
    """One run under way. `watch` is asked between batches and answers `pause` or `stop` when somebody wished so."""

    store: StorePort
    hub: HubPort
    clock: ClockPort
    zone: tzinfo
    watch: Callable[[], str | None] = lambda: None
    progress: Callable[[int], None] = lambda _: None
    grace: float = GRACE
    _wish: str | None = field(default=None, init=False)

    def carry(self, run: RunRow) -> RunRow:
        """Settles what a dead process left, then sends what is planned; returns the run as it stands afterwards.

        An error that ends the whole run (no permission, the Hub away) is raised after the state is written.
        """
        stop: HfGateError | None = None
        try:
            self.settle(run)
            for repo in self._repos(run):
                try:
                    self._carry_repo(run, repo)
                except HfGateError as problem:
                    if law_of(problem, listed=True).ends is not Ends.REPO:
                        raise
                    stop = stop or problem
                if self._wish:
                    break
        except BaseException:
            self._close(run, "interrupted")
            raise
        state = {"pause": "paused", "stop": "stopped"}.get(self._wish or "", "ended")
        if stop is not None and state == "ended":
            state = "interrupted"
        ended = self._close(run, state)
        if stop is not None:
            raise stop
        return ended

    # ---- what a dead process left ------------------------------------------------------------------------------------

    def settle(self, run: RunRow) -> None:
        """Reads what became of changes that were started and never settled; sends nothing."""
        left = self._items(run, (STARTED, Kind.OPEN.value))
        for repo, items in _by_repo(left).items():
            for start in range(0, len(items), LOOK):
                self._settle_some(run, repo, items[start : start + LOOK])

    def _settle_some(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> None:
        self._wait_for_late_ones(items)
        found = self.hub.find_many(repo, [item.target for item in items])
        settled = [
            read_back(item, found.requests.get(index), complete=found.complete) for index, item in enumerate(items)
        ]
        self._write(run, repo, [one for one in settled if one is not None])

    def _wait_for_late_ones(self, items: Sequence[Item]) -> None:
        """A call that left before the process died may arrive after our reading: give it its time."""
        started = max((item.row.started_at or 0 for item in items), default=0) / 1000
        self.clock.sleep(min(self.grace, started + self.grace - self.clock.now().timestamp()))

    # ---- sending -----------------------------------------------------------------------------------------------------

    def _carry_repo(self, run: RunRow, repo: Repo) -> None:
        before: list[int] = []
        while not self._wished():
            items = self._items(run, (PLANNED,), repo, LOOK)
            here = [item.n for item in items]
            if not items or here == before:  # a pass that moved nothing would not move anything the next time either
                return
            before = here
            ready = self._look_again(run, repo, items)
            if ready:
                self._send(run, repo, ready)

    def _look_again(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> list[Item]:
        """Reads where these requests stand now; those whose ground moved are told so and left alone."""
        found = self.hub.find_many(repo, [item.target for item in items])
        ready: list[Item] = []
        moved: list[Settled] = []
        for index, item in enumerate(items):
            verdict = judge_ground(item, found.requests.get(index), complete=found.complete)
            if verdict is None:
                ready.append(item)
            else:
                moved.append(verdict)
        self._write(run, repo, moved)
        return ready

    def _send(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> None:
        """One pass of batches. Whatever was started and not told when it breaks is written as it is known."""
        flight = _Flight({item.n: item for item in items})
        looked_at = self.clock.now().timestamp()
        try:
            for outcome in self.hub.decide_many(repo, self._decisions(run, repo, items, flight, looked_at)):
                one = flight.landed(outcome)
                if one is not None:
                    flight.told.append(one)
                if len(flight.told) >= 100:
                    self._flush(run, repo, flight)
        finally:
            self._flush(run, repo, flight)

    def _decisions(
        self, run: RunRow, repo: Repo, items: Sequence[Item], flight: _Flight, looked_at: float
    ) -> Iterator[Decision]:
        for start in range(0, len(items), GROUP):
            if self._wished() or (start and self.clock.now().timestamp() - looked_at > FRESH):
                return
            group = items[start : start + GROUP]
            self._flush(run, repo, flight)
            self._write_intents(run, repo, group)
            flight.started(group)
            for item in group:
                yield Decision(Status(item.change.after), item.bare, item.change.reason)

    def _flush(self, run: RunRow, repo: Repo, flight: _Flight) -> None:
        told, flight.told = flight.told, []
        self._write(run, repo, told)
        self.progress(sum(not one.unsent for one in told))

    def _wished(self) -> bool:
        self._wish = self._wish or self.watch()
        return self._wish is not None

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _write_intents(self, run: RunRow, repo: Repo, items: Sequence[Item]) -> None:
        at = self._at()
        with self.store.writing() as write:
            write.append(repo, [intent(item, run, at) for item in items])
            write.change_states(run.id, [(item.n, STARTED, "") for item in items])

    def _write(self, run: RunRow, repo: Repo, settled: Sequence[Settled]) -> None:
        if not settled:
            return
        at = self._at()
        with self.store.writing() as write:
            write.append(repo, [entry for one in settled for entry in told_entries(one, run, at, self.zone)])
            write.change_states(
                run.id, [(one.item.n, PLANNED if one.unsent else one.kind.value, one.why) for one in settled]
            )

    def _close(self, run: RunRow, state: str) -> RunRow:
        """The end of this process's part, also in the ledger of the desk."""
        with self.store.writing() as write:
            return close_run(write, run, state, self._at())

    def _at(self) -> int:
        return ms(self.clock.now())

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _repos(self, run: RunRow) -> list[Repo]:
        return list(dict.fromkeys(row.repo for row in self.store.changes(run.id, (PLANNED,))))

    def _items(
        self, run: RunRow, states: Sequence[str], repo: Repo | None = None, limit: int | None = None
    ) -> list[Item]:
        rows = [row for row in self.store.changes(run.id, states) if repo is None or row.repo == repo][:limit]
        known = self.store.requests([row.request for row in rows if row.request is not None])
        return [
            Item(row.n, msgspec.json.decode(row.change, type=Change), known[row.request])
            for row in rows
            if row.request is not None and row.request in known
        ]


class _Flight:
    """What was given to the Hub client and has not come back: each outcome finds its change again."""

    def __init__(self, items: Mapping[int, Item]) -> None:
        self.items = items
        self.told: list[Settled] = []
        self._by_key: dict[str, Item] = {}

    def started(self, items: Iterable[Item]) -> None:
        for item in items:
            for key in _keys(item.bare.request_id, item.bare.user_id, item.bare.username):
                self._by_key.setdefault(key, item)

    def landed(self, outcome: Outcome) -> Settled | None:
        keys = _keys(outcome.request_id, outcome.person.id, outcome.person.username)
        item = next((self._by_key[key] for key in keys if key in self._by_key), None)
        return None if item is None else settled_by(item, outcome)


def _keys(request_id: str | None, user_id: str | None, username: str | None) -> list[str]:
    named = (("r", request_id), ("i", user_id), ("u", username))
    return [f"{kind}:{value.lower()}" for kind, value in named if value]


def _by_repo(items: Iterable[Item]) -> dict[Repo, list[Item]]:
    found: dict[Repo, list[Item]] = {}
    for item in items:
        found.setdefault(item.row.repo, []).append(item)
    return found


# ---- what is thought between the calls: pure ---------------------------------------------------------------------------


def judge_ground(item: Item, now: AccessRequest | None, *, complete: bool) -> Settled | None:
    """Whether a planned change still stands on the ground that it was planned on; None: send it."""
    change = item.change
    if now is None:
        if complete:
            return Settled(item, Kind.GONE, "it is in no list any more")
        return Settled(item, Kind.OPEN, "it was not found, and the lists could not be read whole", unsent=False)
    if now.status == change.after:
        return Settled(item, Kind.ALREADY, f"it is {change.after} already", "read")
    if now.status != change.before:
        return Settled(item, Kind.STALE, f"it was {change.before}, now it is {now.status}")
    if iso(now.asked_at) != change.asked_at:
        return Settled(item, Kind.STALE, "it is a new attempt")
    if answers_digest(now) != change.answers_digest:
        return Settled(item, Kind.STALE, "its answers changed")
    return None


def read_back(item: Item, now: AccessRequest | None, *, complete: bool) -> Settled | None:
    """What became of a change that was started; None when reading cannot tell, and it stays open."""
    change = item.change
    if now is None:
        return Settled(item, Kind.GONE, "it is in no list any more", "read") if complete else None
    if now.status == change.after:
        return Settled(item, Kind.DONE, "its answer was lost; read back", "read")
    if now.status == change.before and iso(now.asked_at) == change.asked_at:
        return Settled(item, Kind.DEFERRED, "it had not reached the Hub", "read", unsent=True)
    return Settled(item, Kind.STALE, f"somebody else moved it: now it is {now.status}", "read")


def settled_by(item: Item, outcome: Outcome) -> Settled:
    """What an outcome of the client says about a planned change: a request that was there and is no more is gone."""
    error = outcome.error
    if outcome.kind is Kind.OPEN and error is not None and not isinstance(error, OutcomeUnknown):
        return Settled(item, Kind.DEFERRED, outcome.why, unsent=True)
    kind, why = outcome.kind, outcome.why
    if kind is Kind.REFUSED and isinstance(error, HfGateError):
        kind = law_of(error, listed=True).kind
    read = "read" if "read back" in why else "told"
    return Settled(item, kind, why, read, outcome.hub_request_id)


def intent(item: Item, run: RunRow, at: int) -> e.Entry:
    """The entry that is on the disk before anything is sent."""
    change = item.change
    private = {"reason": change.reason} if change.reason else None
    event = e.ChangeStarted(
        run=run.id,
        before=change.before,
        after=change.after,
        rule=change.rule,
        digest=change.policy_digest,
        plan=run.plan,
        has_reason=change.reason is not None,
    )
    return _entry(item, event, at, actor_of(change, run), private)


def told_entries(one: Settled, run: RunRow, at: int, zone: tzinfo) -> list[e.Entry]:
    """The entries of what became of one change: its end, and the end of the grant if it dated one."""
    change, actor = one.item.change, actor_of(one.item.change, run)
    event = e.ChangeSettled(run=run.id, kind=one.kind.value, after=change.after, how=one.how, hub_reply=one.hub_reply)
    entries = [_entry(one.item, event, at, actor, {"why": one.why} if one.why else None)]
    if one.kind is Kind.DONE and change.after == Status.ACCEPTED and change.until:
        end = end_of(change.until, moment_of(at), zone)
        dated = e.GrantDated(until=ms(end), at_end=change.at_end or "reset", rule=change.rule, written=change.until)
        entries.append(_entry(one.item, dated, at, actor, None))
    return entries


def actor_of(change: Change, run: RunRow) -> str:
    """A policy acts in its own name and version; else whoever began the run."""
    return f"policy:{change.policy}@{(change.policy_digest or '')[:8]}" if change.policy else run.actor


def _entry(item: Item, event: e.AnyEvent, at: int, actor: str, private: e.Private | None) -> e.Entry:
    return e.Entry(event=event, at=at, actor=actor, request=item.row.id, person=item.row.person.id, private=private)


def close_run(write: WritePort, run: RunRow, state: str, at: int) -> RunRow:
    """The run with its counts as they are now, and the entry that says how its part ended."""
    counts = write.counts(run.id)
    ended = msgspec.structs.replace(run, state=state, counts=counts)
    write.run(ended)
    event = e.RunEnded(run=run.id, state=state, counts=counts)
    write.append(None, [e.Entry(event=event, at=at, actor=run.actor)])
    return ended
