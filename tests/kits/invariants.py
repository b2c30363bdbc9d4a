"""Compares the store with the local Hub's own journal: invariants I1 to I9 of docs/internals/reliability.md, a sentence for each violation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import LIST_LAG
from hf_gate.core.lifecycle import STATUSES, WITHDRAWN
from hf_gate.core.runs import ChangeOrigin
from hf_gate.core.stored_rows import ChangeRow, RunRow
from hf_gate.decisions.service.runs.run_executor import MAX_READ_AGE
from hf_gate.hub.protocol.flows.bulk import MAX_AGE_S
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.localhub.world import World
from hf_gate.store.store import Store

Move = Mapping[str, Any]

OURS: Final = frozenset({"owner"})
"""The tokens by which the desk acts; whoever else decides does it with another one."""

UNSEEN: Final = MAX_READ_AGE + MAX_AGE_S + LIST_LAG / 1000
"""Seconds: a request that is this new when our call arrives may be in no list that we looked at before we sent it."""

BY_REVIEW: Final = frozenset({"batch", "handle", "grant"})
TERMINAL: Final = frozenset({"done", "already", "stale", "gone", "refused"})
LEFT: Final = frozenset({"planned", "started", "open", "deferred"})
OVER: Final = frozenset({"ended"})


@dataclass(slots=True)
class RequestEvent:
    """One event of a request, with where it stands in the chain of its repo."""

    request: int
    seq: int
    at: int
    event: e.AnyEvent


@dataclass(slots=True)
class LedgerRecords:
    """What the ledger says, by the Hub's ids of requests. `hub_ids`: of each row of the store, the ids it ever had."""

    events: list[RequestEvent] = field(default_factory=list)
    approved: dict[str, int] = field(default_factory=dict)
    hub_ids: dict[int, str] = field(default_factory=dict)
    runs: dict[str, tuple[RunRow, Sequence[ChangeRow]]] = field(default_factory=dict)

    def key(self, request: int) -> str:
        return self.hub_ids.get(request, f"row {request}")


def read_records(store: Store) -> LedgerRecords:
    """Everything that the store tells, read once."""
    records = LedgerRecords()
    for chain in store.chains():
        for link in store.links(chain):
            event = e.decode_event(link.body)
            if isinstance(event, e.PlanApproved):
                records.approved[event.run] = event.changes
            if link.request is None:
                continue
            records.events.append(RequestEvent(link.request, link.seq, link.at, event))
            if isinstance(event, e.RequestSeen | e.RequestChanged) and event.hub_request:
                records.hub_ids[link.request] = event.hub_request
    for run in store.runs(10_000):
        records.runs[run.id] = (run, store.changes(run.id))
    return records


def add_intended_requests(records: LedgerRecords, journal: Iterable[Move], ours: Collection[str]) -> list[Move]:
    """The journal with `meant` beside each move: the request that our decision was about.

    That is the request that moved, but for one case that nobody can know when the call is sent (docs/internals/reliability.md, "Known
    limits"): the Hub's batch names accounts, and the person withdrew that request and asked anew so shortly before
    that no list had to show it. Nothing else is exempt: the older request must have a decision that is told as done, or not
    yet told, and that moved nothing else; the newer one must be younger than `UNSEEN`.
    """
    claims, done = _claims(records, {"done", "open", "started"}), _claims(records, {"done"})
    asked: dict[str, datetime] = {}
    earlier: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    found: list[Move] = []
    for move in journal:
        request, to, at = str(move["request_id"]), str(move["to"]), datetime.fromisoformat(move["time"])
        before = earlier[move["repo_type"], move["repo"], move["user_id"]]
        if move["from"] is None:
            asked[request] = at
        meant = request
        if move["token"] in ours and move["route"] == "batch":
            is_new = request in asked and (at - asked[request]).total_seconds() <= UNSEEN
            old = [one for one in reversed(before) if one != request] if is_new else []
            told = next((one for one in old if done[one, to] > 0), None)
            untold = None if claims[request, to] > 0 else next((one for one in old if claims[one, to] > 0), None)
            meant = told or untold or request
            claims[meant, to] -= 1
            done[meant, to] -= 1
        before.append(request)
        found.append({**move, "meant": meant})
    return found


def _claims(records: LedgerRecords, kinds: Collection[str]) -> Counter[tuple[str, str]]:
    """How many changes were started that ended so, by their request and where it was to go."""
    ends: dict[tuple[str, int], tuple[str, str]] = {}
    for one in records.events:
        match one.event:
            case e.ChangeStarted(run=run, after=after):
                ends[run, one.request] = (after, "started")
            case e.ChangeSettled(run=run, after=after, kind=kind) if (run, one.request) in ends:
                ends[run, one.request] = (after, kind)
            case _:
                pass
    return Counter((records.key(request), after) for (_, request), (after, kind) in ends.items() if kind in kinds)


def list_moves(journal: Iterable[Move], ours: Collection[str] = OURS) -> list[Move]:
    """What our token moved."""
    return [move for move in journal if move["token"] in ours and move["route"] in BY_REVIEW]


def find_violations(store: Store, journal: Sequence[Move], *, ours: Collection[str] = OURS) -> list[str]:
    """Every invariant that does not hold between the store and what the Hub did; [] when all is well.

    Holds at any moment, also just after a kill; `find_final_violations` adds what must hold when a run is over.
    """
    records = read_records(store)
    journal = add_intended_requests(records, journal, ours)
    mine = list_moves(journal, ours)
    checks = (
        check_intents(records, mine),
        check_outcomes(records, journal),
        check_single_moves(records, mine),
        check_single_changes(records),
        check_approval(records, mine),
    )
    return [
        *(sentence for check in checks for sentence in check),
        *check_chains(store),
        *check_projections(store, records),
    ]


def find_final_violations(store: Store, journal: Sequence[Move], *, ours: Collection[str] = OURS) -> list[str]:
    """The same, and what must hold of runs that have ended: nothing lost, and the Hub stands where we say."""
    records = read_records(store)
    moves = add_intended_requests(records, journal, ours)
    return [
        *find_violations(store, journal, ours=ours),
        *check_completeness(records),
        *check_last_outcomes(records, moves, ours),
    ]


# ---- I1: written ahead -------------------------------------------------------------------------------------------------


def check_intents(records: LedgerRecords, mine: Iterable[Move]) -> Iterator[str]:
    """For every move of ours there is an intent of its own; asked just after a kill, it was there before the call."""
    intents = Counter(
        (records.key(one.request), one.event.after) for one in records.events if isinstance(one.event, e.ChangeStarted)
    )
    done = Counter((str(move["meant"]), str(move["to"])) for move in mine)
    for (key, to), count in sorted(done.items()):
        if count > intents[key, to]:
            yield f"I1: {count} moves of {key} to {to} and {intents[key, to]} intents"


# ---- I2: what is told is true ------------------------------------------------------------------------------------------


def check_outcomes(records: LedgerRecords, journal: Iterable[Move]) -> Iterator[str]:
    """Whoever is told to be moved was moved there; `already` also where somebody else did it. Who is told to be gone left."""
    arrived = {(str(move[which]), move["to"]) for move in journal for which in ("request_id", "meant")}
    for one in records.events:
        key = records.key(one.request)
        match one.event:
            case e.ChangeSettled(kind="done" | "already" as kind, after=after, how=how):
                if (key, after) not in arrived:
                    yield f"I2: {key} is told to be {kind}, and never was {after} (told as {how})"
            case e.StatusMoved(after=after):
                if (key, after) not in arrived:
                    yield f"I2: {key} is told to have moved to {after} elsewhere, and never was"
            case e.RequestWithdrawn():
                if (key, None) not in arrived:
                    yield f"I2: {key} is told to be withdrawn, and never left"
            case _:
                pass


def check_last_outcomes(records: LedgerRecords, journal: Iterable[Move], ours: Collection[str] = OURS) -> Iterator[str]:
    """Where our own move is the last one, that it was done is the ledger's last word, unless it is open still."""
    last = {str(move["meant"]): move for move in journal}
    rows = [row for _, changes in records.runs.values() for row in changes]
    under_way = {records.key(row.request or 0) for row in rows if row.state in {"started", "open"}}
    words: dict[str, str] = {}
    for one in records.events:
        if isinstance(one.event, e.ChangeSettled) and one.event.kind in {"done", "already"}:
            words[records.key(one.request)] = one.event.after
    for key, move in sorted(last.items()):
        if (
            move["token"] in ours
            and move["route"] in BY_REVIEW
            and key not in under_way
            and words.get(key) != move["to"]
        ):
            yield f"I2: {key} is {move['to']} by our hand, and the ledger says {words.get(key)}"


# ---- I3: once ----------------------------------------------------------------------------------------------------------


def check_single_moves(records: LedgerRecords, mine: Iterable[Move]) -> Iterator[str]:
    """No run moves a request twice, and none says twice how a change ended."""
    wanted: Counter[tuple[str, str]] = Counter()
    for _, changes in records.runs.values():
        wanted.update((records.key(row.request or 0), _change(row).after) for row in changes)
    for (key, to), count in sorted(Counter((str(m["meant"]), str(m["to"])) for m in mine).items()):
        if count > max(wanted[key, to], 1):
            yield f"I3: {key} was moved to {to} {count} times by {wanted[key, to]} changes"
    ends: Counter[tuple[str, int]] = Counter()
    for one in records.events:
        if isinstance(one.event, e.ChangeSettled) and one.event.kind in TERMINAL:
            ends[one.event.run, one.request] += 1
    for (run, request), count in sorted(ends.items()):
        if count > 1:
            yield f"I3: {records.key(request)} ended {count} times in {run}"


# ---- I4: no contradiction ----------------------------------------------------------------------------------------------


def check_single_changes(records: LedgerRecords) -> Iterator[str]:
    """One run never holds two changes of one request."""
    for run, changes in records.runs.values():
        for request, count in Counter(row.request for row in changes if row.request is not None).items():
            if count > 1:
                yield f"I4: {records.key(request)} stands {count} times in {run.id}"


# ---- I5: nothing lost --------------------------------------------------------------------------------------------------


def check_completeness(records: LedgerRecords) -> Iterator[str]:
    """A run that has ended tells one end for every change, as many as were approved."""
    for run, changes in records.runs.values():
        states = Counter(row.state for row in changes)
        left = Counter(row.state for row in changes if row.state in LEFT and not _is_deferred_end(row))
        if len(changes) != run.total or records.approved.get(run.id) != run.total:
            yield f"I5: {run.id} has {len(changes)} changes of {run.total}, approved {records.approved.get(run.id)}"
        if run.state in OVER:
            if left:
                yield f"I5: {run.id} has ended, and {dict(left)} are left"
            if dict(run.counts) != dict(states):
                yield f"I5: {run.id} counts {dict(run.counts)}, its changes are {dict(states)}"


# ---- I6: nothing extra -------------------------------------------------------------------------------------------------


def check_approval(records: LedgerRecords, mine: Iterable[Move]) -> Iterator[str]:
    """Every move of ours is a change of an approved run."""
    approved = {
        (records.key(row.request or 0), _change(row).after)
        for run, changes in records.runs.values()
        if run.id in records.approved
        for row in changes
    }
    for move in mine:
        if (move["meant"], move["to"]) not in approved:
            yield f"I6: {move['meant']} ({move['user']}) went to {move['to']}, and nobody approved that"


# ---- I8, I9: the chain, and the tables that follow from it -------------------------------------------------------------


def check_chains(store: Store) -> list[str]:
    """Every chain is unbroken, every seal fits, and the requests stand where their events say."""
    return [f"I8/I9: {each.chain}#{each.seq} {each.what}" for each in verify_ledger(store, with_tables=True).broken]


def check_projections(store: Store, records: LedgerRecords) -> Iterator[str]:
    """Counters, the states of changes and the dates of grants say what the events say."""
    yield from _counters(store)
    last: dict[tuple[str, int], e.AnyEvent] = {}
    dated: Counter[int] = Counter()
    granted: Counter[int] = Counter()
    due = {
        (run.id, row.request): end is not None and not end.gives_none
        for run, rows in records.runs.values()
        for row in rows
        for end in [_change(row).end]
    }
    for one in records.events:
        if isinstance(one.event, e.ChangeStarted | e.ChangeSettled):
            last[one.event.run, one.request] = one.event
        if isinstance(one.event, e.ChangeSettled) and (one.event.kind, one.event.after) == ("done", "accepted"):
            granted[one.request] += bool(due.get((one.event.run, one.request)))
        dated[one.request] += isinstance(one.event, e.GrantDated) and one.event.cause in (None, "chosen")
    for run, changes in records.runs.values():
        for row in changes:
            said = last.get((run.id, row.request or 0))
            if row.request is not None and row.state != _state_by(said) and not _is_deferred_end(row):
                yield f"I9: change {row.n} of {run.id} is {row.state}, its events say {_state_by(said)}"
    for request, count in granted.items():
        if dated[request] != count:
            yield f"I9: {records.key(request)} was let in {count} times for a time, and dated {dated[request]} times"


def _counters(store: Store) -> Iterator[str]:
    for row in store.repos():
        names = ("pending", "accepted", "rejected", "reset", "withdrawn")
        there = {name: sum(1 for _ in store.iterate_requests(row.repo, name, with_record=False)) for name in names}
        said = {name: row.counts.get(name, 0) for name in names}
        if there != said:
            yield f"I9: {row.repo} counts {said}, there are {there}"


def find_stale_rows(store: Store, world: World) -> list[str]:
    """After a whole reading: whose current row in the store says something else than the Hub."""
    found = []
    for gated in world.repos.values():
        names = (*STATUSES, WITHDRAWN)
        rows = {
            row.person.identity.user_id: row.state.status
            for name in names
            for row in store.iterate_requests(gated.repo, name)
        }
        there = {account: str(row.status) for account, row in gated.people.items()}
        for account in rows.keys() | there.keys():
            said, is_so = rows.get(account, "unknown"), there.get(account or "", WITHDRAWN)
            if said != is_so:
                found.append(f"{account} at {gated.repo} is {is_so}, the store says {said}")
    return found


def _is_deferred_end(row: ChangeRow) -> bool:
    """Whether a run left the end of a grant to a later run, because this machine's clock was wrong."""
    return row.state == "deferred" and _change(row).rule == ChangeOrigin.UNTIL


def _state_by(event: e.AnyEvent | None) -> str:
    match event:
        case None | e.ChangeSettled(kind="deferred"):
            return "planned"
        case e.ChangeStarted():
            return "started"
        case e.ChangeSettled(kind=kind):
            return kind
        case _:
            return "?"


def _change(row: ChangeRow) -> Change:
    return msgspec.json.decode(row.change, type=Change)
