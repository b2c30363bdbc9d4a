"""Reads the decisions of members from their runs, and changes those that wait to be sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from hf_gate.base.batches import group_pairs
from hf_gate.base.decoding import decode_json
from hf_gate.core.lifecycle import ACCEPT
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.queued_decisions import QueuedChange, QueuedDecision
from hf_gate.core.runs import FAILED, RUN_STATES, ChangeState, RunEvent, RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RunRow
from hf_gate.store.sql import Database, Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

from .runs import RUN_AT, SELECT_BOTH, build_changes, build_run, check_records_kept, insert_changes, select_runs

_SELECT = f"{SELECT_BOTH} r.kind = '{RunKind.DIRECT}' AND r.member IS NOT NULL AND"
_BEGUN = f"state IN ('{RunState.READY}', '{RunState.INTERRUPTED}')"
_QUEUED = f"state = '{RunState.QUEUED}'"
_END, _ = RUN_STATES.sql(RunEvent.END)
UNSENT = (
    f"(r.{_QUEUED} OR r.{_BEGUN})"
    f" AND c.state IN ('{ChangeState.PLANNED}', '{ChangeState.STARTED}', '{ChangeState.OPEN}')"
)
"""The condition of a decision without an outcome, in which `r` is the run and `c` the change."""

_FIRST = "ORDER BY r.starts_at IS NULL, r.starts_at, r.made_at, c.run, c.n"
MAX_TIME = 1 << 62  # ms
_LATEST = "ORDER BY r.made_at DESC, c.run DESC, c.n DESC"


def add_waiting_decisions(
    store: Store,
    items: Sequence[tuple[RunRow, ChangeRow]],
    shared: Collection[int],
    records: Collection[int],
    check_limit: Callable[[], None] = lambda: None,
    record: Callable[[Writer], None] = lambda _: None,
) -> list[QueuedDecision]:
    """Add decisions, each as a waiting run with its change.

    `check_limit` raises an error if one person may not make them; until they are added, nobody writes others.

    Return the earlier decisions about requests that have one without an outcome; these are not replaced. Several
    members can accept a `shared` request at once, because it needs two people. `record` adds something in the
    transaction, if any decision is added. Raises Guarded if the personal data of one of `records` was deleted.
    """
    clashes = list[QueuedDecision]()
    added = list[tuple[ChangeRow, int]]()
    with store.writing(is_short=True) as write:
        check_limit()
        check_records_kept(write.db, records)
        among, value = write.db.in_clause([change.request for _, change in items])
        known = _select(write.db, f"{UNSENT} AND c.request_id {among} {_FIRST}", value)
        earlier = group_pairs((one.request, one) for one in known)
        for run, change in items:
            rest = [one for one in earlier.get(change.request or 0, ()) if not _are_two(one, run, change, shared)]
            clashes += rest[:1]
            if not rest:
                write.write_run(run)
                added.append((change, write.repo_id(change.repo)))
        insert_changes(write.db, added)
        if added:
            record(write)
    return clashes


def list_waiting_decisions(reader: Reader) -> list[QueuedDecision]:
    """Return all decisions without an outcome; those that are sent first come first."""
    return _select(reader.reads, f"{UNSENT} {_FIRST}")


def list_unsent_decisions(reader: Reader, member: str) -> list[QueuedDecision]:
    """Return a member's decisions that are not being sent yet, in the order of `list_waiting_decisions`."""
    return [one for one in _select(reader.reads, f"r.{_QUEUED} {_FIRST}") if one.run.member == member]


def list_due_decisions(reader: Reader, now: int) -> list[QueuedDecision]:
    """Return the waiting decisions that are due, in the order in which they were made."""
    where = f"r.{_QUEUED} AND r.starts_at <= ? ORDER BY r.made_at, c.run"
    return _select(reader.reads, where, now)


def list_begun_decision_runs(reader: Reader) -> list[RunRow]:
    """Return the runs of decisions that began and did not end."""
    return select_runs(reader.reads, f"kind = '{RunKind.DIRECT}' AND member IS NOT NULL AND {_BEGUN}")


def find_latest_decisions(
    reader: Reader, requests: Iterable[int], member: str | None = None
) -> dict[int, QueuedDecision]:
    """Return the latest decision about each of these requests, ended or not; this member's unsent ones
    come first.
    """
    among, value = reader.reads.in_clause(list(requests))
    own = f"CASE WHEN r.member = ? AND {UNSENT} THEN 1 ELSE 0 END"
    order = f"ORDER BY {own}, r.made_at, c.run, c.n"
    found = _select(reader.reads, f"c.request_id {among} {order}", value, member or "")
    return {item.request: item for item in found}


def find_decision_of_batch(reader: Reader, request: int, batch: str) -> QueuedDecision | None:
    """Return the decision about a request in an act, ended or not; None if it was undone."""
    found = _select(reader.reads, f"c.request_id = ? {_LATEST}", request)
    return next((one for one in found if one.batch == batch), None)


def list_sent_decisions(reader: Reader, member: str, since: int, limit: int) -> list[QueuedDecision]:
    """Return a member's decisions that took effect since a time (ms), latest first."""
    among, value = reader.reads.in_clause((ChangeState.DONE, ChangeState.ALREADY))
    where = f"r.member = ? AND r.made_at >= ? AND c.state {among} {_LATEST} LIMIT ?"
    return _select(reader.reads, where, member, since, value, limit)


def list_recent_decisions(reader: Reader, member: str, limit: int) -> list[QueuedDecision]:
    """Return a member's latest decisions, unsent or sent, the latest first."""
    return _select(reader.reads, f"r.member = ? {_LATEST} LIMIT ?", member, limit)


def list_failed_decisions(reader: Reader, member: str) -> list[QueuedDecision]:
    """Return a member's decisions that did not take effect, except those the member has marked as seen."""
    among, value = reader.reads.in_clause(FAILED)
    where = f"r.is_unseen AND r.member = ? AND c.state {among} ORDER BY r.made_at, c.run, c.n"
    return _select(reader.reads, where, member, value)


def list_decisions_about(reader: Reader, person: int) -> list[QueuedDecision]:
    """Return the decisions about a person's requests, in the order in which they were made."""
    mine = "SELECT id FROM requests WHERE person_id = ?"
    return _select(reader.reads, f"c.request_id IN ({mine}) ORDER BY r.made_at, c.run, c.n", person)


# ---- changes ---------------------------------------------------------------------------------------------------------


def undo_waiting_decisions(store: Store, runs: Collection[str]) -> int:
    """Delete waiting decisions; return how many."""
    with store.writing(is_short=True) as write:
        among, value = write.db.in_clause(runs)
        return len(delete_waiting(write.db, f"id {among}", value))


def undo_decisions_of(store: Store, member: str) -> int:
    """Delete all waiting decisions of a member or a key; return how many."""
    return undo_waiting_decisions(store, [item.run.id for item in list_unsent_decisions(store, member)])


def schedule_decisions(store: Store, runs: Collection[str], at: int | None, *, due: int = MAX_TIME) -> int:
    """Set when waiting decisions are sent (ms); None: when a person sends them. Return how many.

    With `due`, only those that are due at that time (ms).
    """
    with store.writing(is_short=True) as write:
        among, value = write.db.in_clause(runs)
        sql = f"UPDATE runs SET starts_at = ? WHERE id {among} AND {_QUEUED} AND coalesce(starts_at, ?) <= ?"
        return write.db.run(sql, (at, value, MAX_TIME, due))


def end_unsent_decisions(store: Store, ended: Sequence[tuple[QueuedDecision, OutcomeKind, str]]) -> None:
    """Store the outcomes of waiting decisions that must not be sent, with the reasons."""
    with store.writing(is_short=True) as write:
        for item, kind, why in ended:
            counts = msgspec.json.encode({kind: 1}).decode()
            sql = f"UPDATE runs SET {_END}, is_unseen = TRUE, counts = ? WHERE id = ? AND {_QUEUED}"
            if write.db.run(sql, (counts, item.run.id)):
                change = msgspec.json.encode(replace(item.change, note=None))
                write.replace_changes(item.run.id, [(item.row.n, change)])
                write.set_change_states(item.run.id, [(item.row.n, kind, why)])


def mark_failures_seen(store: Store, member: str) -> None:
    """Mark the failed decisions of a member as seen."""
    with store.writing(is_short=True) as write:
        write.db.run("UPDATE runs SET is_unseen = FALSE WHERE member = ? AND is_unseen", (member,))


def take_waiting(write: Writer, runs: Collection[str]) -> list[str]:
    """Delete waiting decisions, because another run sends them; return them without those undone or held meanwhile."""
    among, value = write.db.in_clause(runs)
    return delete_waiting(write.db, f"starts_at IS NOT NULL AND id {among}", value)


def undo_acceptance(write: Writer, request: int, member: str) -> bool:
    """Undo a member's unsent acceptance of a request; return False if it is being sent."""
    found = _select(write.db, f"{UNSENT} AND c.request_id = ? AND r.member = ? {_FIRST}", request, member)
    accepts = [decision for decision in found if decision.verb == ACCEPT]
    among, value = write.db.in_clause([decision.run.id for decision in accepts])
    return len(delete_waiting(write.db, f"id {among}", value)) == len(accepts)


def delete_waiting(db: Database, where: str, *values: object) -> list[str]:
    """Delete the waiting decisions whose runs satisfy a condition; return these runs."""
    found = [row[0] for row in db.rows(f"SELECT id FROM runs WHERE {_QUEUED} AND {where}", values)]
    among, value = db.in_clause(found)
    db.run(f"DELETE FROM changes WHERE run {among}", (value,))
    db.run(f"DELETE FROM runs WHERE id {among}", (value,))
    return found


def _select(db: Database, where: str, *values: object) -> list[QueuedDecision]:
    found = list[QueuedDecision]()
    for row in db.rows(f"{_SELECT} {where}", values):
        run = build_run(row[RUN_AT:])
        (change,) = build_changes(run.id, [row[:RUN_AT]])
        found.append(QueuedDecision(run, change, decode_json(change.change, QueuedChange)))
    return found


def _are_two(one: QueuedDecision, run: RunRow, change: ChangeRow, shared: Collection[int]) -> bool:
    """Tell whether two people accept the same request, which needs two people."""
    return change.request in shared and one.verb == ACCEPT and ACCEPT in run.verbs and one.run.member != run.member
