"""Stores messages until they are delivered: notices to the staff, and letters to applicants.

`core/letters/messages.py` says what may happen to a message.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.events.events import LedgerEntry, LetterSent
from hf_gate.core.letters.messages import (
    APPLICANTS,
    DEAD,
    LONGEST_ALARM_WAIT_MS,
    MESSAGE_STATES,
    NOTICE,
    PATIENCE_MS,
    Delivery,
    LaneCount,
    MessageEvent,
    MessageState,
    OutboxRow,
    retry_wait,
)
from hf_gate.core.letters.notices import NoticeEvent, NoticeItem
from hf_gate.store.sql import Database, Row, decode_row
from hf_gate.store.store import Store
from hf_gate.store.writing.notice_queue import IS_OPEN, insert_message
from hf_gate.store.writing.state_columns import repo_of
from hf_gate.store.writing.writer import Writer

MAIL_ACTOR: Final = "letters"
"""The actor of what the mail server said."""
MESSAGE_COLUMNS: Final = OutboxRow.__struct_fields__
MAX_ENTRIES: Final = 100
"""How many entries of the ledger a message has."""

_COLUMNS: Final = ", ".join(MESSAGE_COLUMNS)
_IS_BEHIND: Final = "SELECT name FROM notice_destinations WHERE ledger_id < (SELECT max(id) FROM ledger)"
_CLOCK_STEP_MS: Final = 60_000  # clocks of two machines may differ by so much
_NOTICE_DAYS: Final = 7  # a notice that arrived stays listed
_LETTER_DAYS: Final = 400  # a letter that ended is kept
_DUE_DAYS: Final = 30  # a letter that was not sent is dropped
_IS_DEAD: Final = f"state IN {tuple(map(str, DEAD))}"
_IS_LATE: Final = "(problem IS NOT NULL OR next_at < ?)"
_OLD_NOTICE: Final = f"kind = '{NOTICE}' AND state IN ('sent', 'marked_sent') AND ended_at < ?"
_OLD_LETTER: Final = f"kind <> '{NOTICE}' AND NOT {_IS_DEAD} AND ended_at < ?"
LOST: Final[str] = MESSAGE_STATES.sql(MessageEvent.LOSE)[0]
"""Sets the state of letters that may have arrived."""
DROPPED, CAN_BE_DROPPED = MESSAGE_STATES.sql(MessageEvent.DROP)
"""Sets the state of letters that are not sent, and the condition under which that can be."""
_LOST_LETTER: Final = f"kind <> '{NOTICE}' AND state = '{MessageState.SENDING}'"
_LATE_LETTER: Final = f"kind <> '{NOTICE}' AND {CAN_BE_DROPPED} AND made_at < ?"


# ---- sending ---------------------------------------------------------------------------------------------------------


def list_lanes(store: Store) -> list[str]:
    """Return the destinations that have open messages, or follow the ledger and have not been sent its last entry."""
    sql = f"SELECT destination FROM messages WHERE {IS_OPEN} UNION {_IS_BEHIND} ORDER BY 1"
    return [row[0] for row in store.reads.rows(sql)]


def is_untidy(store: Store, now: int) -> bool:
    """Return whether `tidy` has something to do."""
    conditions = " OR ".join(f"({each})" for each in (_LOST_LETTER, _LATE_LETTER, _OLD_NOTICE, _OLD_LETTER))
    sql = f"SELECT 1 FROM messages WHERE {conditions} LIMIT 1"
    return (
        store.reads.row(sql, tuple(now - days * DAY_MS for days in (_DUE_DAYS, _NOTICE_DAYS, _LETTER_DAYS))) is not None
    )


def tidy(store: Store, now: int) -> None:
    """Mark letters without an outcome as unknown, drop those that were due for long, and delete old rows.

    The caller holds the lock of `Work.MESSAGES`, so a process that left a letter without an outcome has died.
    """
    if not is_untidy(store, now):
        return
    with store.writing(is_short=True) as write:
        write.db.run(
            f"UPDATE messages SET {LOST}, ended_at = ?, problem = ? WHERE {_LOST_LETTER}",
            (now, "the process that sent it ended before it stored the outcome"),
        )
        write.db.run(
            f"UPDATE messages SET {DROPPED}, ended_at = ?, problem = ? WHERE {_LATE_LETTER}",
            (now, f"it was due for {_DUE_DAYS} days", now - _DUE_DAYS * DAY_MS),
        )
        write.db.run(f"DELETE FROM messages WHERE {_OLD_NOTICE}", (now - _NOTICE_DAYS * DAY_MS,))
        write.db.run(f"DELETE FROM messages WHERE {_OLD_LETTER}", (now - _LETTER_DAYS * DAY_MS,))


def claim_notice(store: Store, destination: str, worker: str, now: int) -> OutboxRow | None:
    """Return the oldest open notice of a destination, if it is due. Only the claimer sends it.

    The caller holds the lock of `Work.MESSAGES`, so a process that claimed the notice before has died. The claim is
    durable, and sets when the notice is due again if this process dies too.
    """
    if _find_head(store.reads, destination) is None:
        _queue_entries(store, destination, now)
    if _find_due(store.reads, destination, now) is None:
        return None  # the usual case needs no transaction
    with store.writing(is_short=True) as write:
        row = _find_due(write.db, destination, now)
        return None if row is None else start_sending(write.db, row, worker, now)


def _queue_entries(store: Store, destination: str, now: int) -> None:
    """Queue the next entries of the ledger for a destination that follows it, and move its position there.

    The caller holds the lock of `Work.MESSAGES`.
    """
    found = store.reads.row(f"{_IS_BEHIND} AND name = ?", (destination,))
    if found is None:
        return
    with store.writing(is_short=True) as write:
        position = write.db.count("SELECT ledger_id FROM notice_destinations WHERE name = ?", (destination,))
        sql = "SELECT max(id), count(*) FROM (SELECT id FROM ledger WHERE id > ? ORDER BY id LIMIT ?) AS next_entries"
        ((until, count),) = write.db.rows(sql, (position, MAX_ENTRIES))
        if not count:  # another process was first
            return
        item = NoticeItem(event=NoticeEvent.AUDIT_LOG, count=count, facts={"after": position})
        insert_message(write.db, destination, [item], now)
        write.db.run("UPDATE notice_destinations SET ledger_id = ? WHERE name = ?", (until, destination))


def start_sending(db: Database, row: OutboxRow, worker: str, now: int) -> OutboxRow:
    """Store that a process sends a message, and return the message as it is then."""
    next_at = now + retry_wait(row.attempts + 1, is_alarm=row.is_alarm)
    claimed, can_be = MESSAGE_STATES.sql(MessageEvent.CLAIM)
    db.run(
        (
            f"UPDATE messages SET {claimed}, lease = ?, next_at = ?, attempts = attempts + 1, tried_at = ?"
            f" WHERE id = ? AND {can_be}"
        ),
        (worker, next_at, now, row.id),
    )
    state = MESSAGE_STATES.step(row.state, MessageEvent.CLAIM)
    return replace(row, state=state, attempts=row.attempts + 1, tried_at=now)


def _find_due(db: Database, destination: str, now: int) -> OutboxRow | None:
    row = _find_head(db, destination)
    return row if row is not None and _due_at(db, row, now) <= now else None


def _find_head(db: Database, destination: str) -> OutboxRow | None:
    """Return the oldest open notice of a destination."""
    sql = f"SELECT {_COLUMNS} FROM messages WHERE destination = ? AND {IS_OPEN} ORDER BY sequence LIMIT 1"
    row = db.row(sql, (destination,))
    return None if row is None else decode_message(row)


def is_claimed(store: Store, row: OutboxRow, worker: str) -> bool:
    """Return whether a claim still holds. It does not if the lock of this process was lost, as on a lost connection."""
    sql = "SELECT 1 FROM messages WHERE id = ? AND lease = ? AND state = 'sending'"
    return store.reads.row(sql, (row.id, worker)) is not None


def _due_at(db: Database, row: OutboxRow, now: int) -> int:
    """Return when the head of a lane may be claimed. Times in the future were written by a clock that was ahead."""
    due = row.next_at
    if max(row.queued_at, row.tried_at or 0) > now + _CLOCK_STEP_MS:
        return now
    if row.tried_at is None or row.is_alarm:
        return due
    sql = f"SELECT 1 FROM messages WHERE destination = ? AND is_alarm AND {IS_OPEN} LIMIT 1"
    has_alarm = db.row(sql, (row.destination,)) is not None  # an alarm waits behind it
    return min(due, row.tried_at + LONGEST_ALARM_WAIT_MS) if has_alarm else due


def next_due(store: Store, now: int) -> int | None:
    """Return when the next notice is due (ms); None without open notices."""
    return min(next_attempts(store, now).values(), default=None)


def next_attempts(store: Store, now: int) -> dict[str, int]:
    """Return when the oldest open notice of each destination is due (ms), by its id. The others wait behind it."""
    attempts = {}
    for destination in list_lanes(store):
        row = None if destination == APPLICANTS else _find_head(store.reads, destination)
        if row is not None:
            attempts[row.id] = _due_at(store.reads, row, now)
    return attempts


def settle_message(store: Store, row: OutboxRow, worker: str, result: Delivery, now: int) -> bool:
    """Store how an attempt ended; return False if another process, a person or an erasure was first."""
    state = MESSAGE_STATES.step(row.state, row.event_after(result.kind, now))
    accepted = msgspec.json.encode(sorted({*row.accepted, *result.accepted})).decode()
    ended_at = None if state is MessageState.WAITING else now
    next_at = now + retry_wait(row.attempts, is_alarm=row.is_alarm)
    with store.writing(is_short=True) as write:
        changed = write.db.run(
            "UPDATE messages"
            " SET state = ?, next_at = ?, ended_at = ?, outcome = ?, problem = ?, accepted = ?, lease = NULL"
            " WHERE id = ? AND lease = ? AND state = ?",
            (state, next_at, ended_at, result.kind, result.problem or None, accepted, row.id, worker, row.state),
        )
        if changed and state is MessageState.SENT:
            _record_letters(write, [row.id], MAIL_ACTOR, now)
    return bool(changed)


# ---- what people say -------------------------------------------------------------------------------------------------


def requeue_messages(store: Store, idents: Sequence[str] | None, now: int, destinations: Collection[str]) -> list[str]:
    """Let dead messages to these destinations wait again; None means all notices. Return the ids of the messages."""
    changes = "ended_at = NULL, attempts = 0, next_at = ?, queued_at = ?"
    with store.writing(is_short=True) as write:
        return _mark(write.db, idents, MessageEvent.REQUEUE, destinations, changes, (now, now))


def mark_sent(store: Store, idents: Sequence[str], actor: str, now: int, destinations: Collection[str]) -> list[str]:
    """Store that a person sent messages that wait or are dead, or knows that they arrived. Return their ids."""
    changes = f"ended_at = ?, tried_at = CASE state WHEN '{MessageState.UNKNOWN}' THEN tried_at ELSE ? END"
    with store.writing(is_short=True) as write:
        done = _mark(write.db, idents, MessageEvent.MARK, destinations, changes, (now, now))
        _record_letters(write, done, actor, now)
    return done


def _mark(
    db: Database,
    idents: Sequence[str] | None,
    event: MessageEvent,
    destinations: Collection[str],
    changes: str,
    values: tuple[int, ...],
) -> list[str]:
    """Change messages to which an event can happen; return the ids of those that were changed."""
    to, can_be = MESSAGE_STATES.sql(event)
    whose, wanted = ("kind = ?", NOTICE) if idents is None else (f"id {(clause := db.in_clause(idents))[0]}", clause[1])
    sql = f"SELECT id, destination FROM messages WHERE {whose} AND {can_be} ORDER BY destination, sequence, id"
    done = [ident for ident, name in db.rows(sql, (wanted,)) if name in destinations]
    db.run_many(
        f"UPDATE messages SET {to}, {changes}, problem = NULL, lease = NULL WHERE id = ?",
        [(*values, ident) for ident in done],
    )
    return done


def _record_letters(write: Writer, idents: Sequence[str], actor: str, now: int) -> None:
    """Record in the ledger that the letters among these messages were sent."""
    among, value = write.db.in_clause(list(idents))
    sql = (
        "SELECT m.id, m.kind, m.request_id, m.person_id, o.type, o.namespace, o.name FROM messages m"
        " JOIN requests r ON r.id = m.request_id JOIN repos o ON o.id = r.repo_id"
        f" WHERE m.id {among} ORDER BY m.id"
    )
    how = "server" if actor == MAIL_ACTOR else "hand"
    entries = []
    for ident, kind, request, person, *place in write.db.rows(sql, (value,)):
        event = LetterSent(letter=ident, about=kind, how=how)
        entry = LedgerEntry(event=event, at=now, actor=actor, request=request, person=person)
        entries.append((repo_of(*place), entry))
    write.append_to_chains(entries)


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_messages(
    store: Store, states: Collection[MessageState], limit: int, *, letters: bool | None = None
) -> list[OutboxRow]:
    """Return messages in these states, the newest first; only letters or only notices if that is said."""
    among, value = store.reads.in_clause([state.value for state in states])
    kind = "" if letters is None else f" AND kind {'<>' if letters else '='} '{NOTICE}'"
    order = "ORDER BY made_at DESC, destination, sequence DESC, id"
    rows = store.reads.rows(
        f"SELECT {_COLUMNS} FROM messages WHERE state {among}{kind} {order} LIMIT ?", (value, limit)
    )
    return [decode_message(row) for row in rows]


def read_letters_to(store: Store, person: int) -> list[OutboxRow]:
    """Return the letters to a person, the oldest first."""
    rows = store.reads.rows(f"SELECT {_COLUMNS} FROM messages WHERE person_id = ? ORDER BY made_at, id", (person,))
    return [decode_message(row) for row in rows]


def count_lanes(store: Store, now: int) -> list[LaneCount]:
    """Return the numbers of each destination that is on or has open or dead messages, and of letters if there are any.

    If one notice is late, those behind it are late too.
    """
    db = store.reads
    lanes = {name: LaneCount(name) for (name,) in db.rows("SELECT name FROM notice_destinations WHERE is_on")}
    sql = (
        f"SELECT destination, count(*), min(queued_at), sum(CASE WHEN {_IS_LATE} THEN 1 ELSE 0 END),"
        f" min(CASE WHEN {_IS_LATE} THEN queued_at END) FROM messages WHERE {IS_OPEN} GROUP BY destination"
    )
    late_before = now - PATIENCE_MS
    for name, waiting, oldest_at, late, since in db.rows(sql, (late_before, late_before)):
        all_late = waiting if late and name != APPLICANTS else late
        lanes[name] = LaneCount(name, waiting, oldest_at, all_late, since)
    for name, dead in db.rows(f"SELECT destination, count(*) FROM messages WHERE {_IS_DEAD} GROUP BY destination"):
        lanes[name] = lanes.get(name, LaneCount(name))._replace(dead=dead)
    sql = (
        f"SELECT destination, problem FROM messages WHERE {IS_OPEN} AND problem IS NOT NULL"
        " ORDER BY tried_at DESC LIMIT 100"
    )
    for name, problem in reversed(db.rows(sql)):
        lanes[name] = lanes[name]._replace(problem=problem)
    for name, lines in db.rows("SELECT destination, count(*) FROM notice_lines GROUP BY destination"):
        if name in lanes:
            lanes[name] = lanes[name]._replace(collecting=lines)
    return [lane for _, lane in sorted(lanes.items())]


def decode_message(row: Row) -> OutboxRow:
    """Return a row of the table `messages`."""
    return decode_row(row, OutboxRow, items=msgspec.json.decode, is_alarm=bool, accepted=msgspec.json.decode)
