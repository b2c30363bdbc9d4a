"""Stores notices until they are delivered: the messages of each destination in order, and the lines of the next digest.

Guarantees:
1. A notice is written in the transaction of what it tells (`notice_queue`).
2. Only the oldest open message of a destination can be claimed, and only by one process at a time.
3. A message ends as delivered or dead; nothing else removes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import time
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ..decoding import decode_json
from ..domain.notices import (
    DEFAULT_AFTER,
    FAILURES,
    GIVE_UP_MS,
    LONGEST_ALARM_WAIT_MS,
    MAX_AFTER,
    REMIND_MS,
    STANDING,
    Condition,
    Delivery,
    DeliveryKind,
    HeldCondition,
    LaneCount,
    MessageState,
    NoticeEvent,
    NoticeItem,
    NoticeMode,
    OutboxRow,
    join_failures,
    next_digest,
    retry_wait,
    sum_runs,
)
from ..domain.timestamps import DAY_MS, HOUR_MS, from_ms
from .notice_queue import EventSubscription, Subscription, decode_events, insert_message, queue, read_subscriptions
from .sql import Database, Row, decode_row
from .store import Store
from .writer import Writer

KEPT_MS: Final = 7 * DAY_MS
"""How long a delivered message stays listed."""

_CLOCK_STEP_MS: Final = 60_000  # clocks of two machines may differ by so much
_GROWTH_MS: Final = HOUR_MS  # a state that grows is told again after this time
_COLUMNS: Final = ", ".join(OutboxRow.__struct_fields__)
_OPEN: Final = "state IN ('waiting', 'sending')"


# ---- destinations ------------------------------------------------------------------------------------------------------


def store_destinations(
    store: Store,
    wanted: Mapping[str, Mapping[NoticeEvent, NoticeMode]],
    digests: Mapping[str, time],
    zone: str,
    at: int,
    after: Mapping[str, Mapping[NoticeEvent, int]] | None = None,
) -> None:
    """Store which destinations hf-gate.yaml names. What happened before a destination was named is not told to it."""
    rows = store.reads.rows("SELECT name, is_on, events, digest_at, zone FROM notice_destinations")
    known = {name: (bool(is_on), events, digest, of) for name, is_on, events, digest, of in rows}
    changed: list[tuple[str, str, str]] = []
    for name, modes in wanted.items():
        is_on, events, digest, of = known.get(name, (False, "{}", "", ""))
        before, turns = decode_events(events) if is_on else {}, (after or {}).get(name, DEFAULT_AFTER)
        current = {
            event.value: EventSubscription(
                mode,
                min(before[event].since, at) if event in before else at,  # a time in the future is of a wrong clock
                turns.get(event, 1),
            )
            for event, mode in modes.items()
            if mode is not NoticeMode.OFF
        }
        written, hour = msgspec.json.encode(current).decode(), f"{digests[name]:%H:%M}"
        if (is_on, events, digest, of) != (True, written, hour, zone):
            changed.append((name, written, hour))
    removed = [name for name, (is_on, *_) in known.items() if is_on and name not in wanted]
    if not changed and not removed:
        return
    with store.writing() as write:
        for name, written, hour in changed:
            write.db.run(
                "INSERT INTO notice_destinations (name, is_on, events, digest_at, zone, sequence) VALUES (?, ?, ?, ?, ?, 0)"
                " ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on, events = excluded.events,"
                " digest_at = excluded.digest_at, zone = excluded.zone",
                (name, True, written, hour, zone),
            )
        for name in removed:
            _turn_off(write.db, name, at)


def _turn_off(db: Database, name: str, at: int) -> None:
    """Stop a destination. Its open messages become dead letters, which can be sent if it is named again."""
    db.run("UPDATE notice_destinations SET is_on = ? WHERE name = ?", (False, name))
    sql = f"UPDATE outbox SET state = 'dead', ended_at = ?, problem = ?, lease = NULL WHERE destination = ? AND {_OPEN}"
    db.run(sql, (at, "hf-gate.yaml no longer names this destination", name))
    db.run("DELETE FROM notice_lines WHERE destination = ?", (name,))


def close_digests(store: Store, now: int) -> None:
    """Make a message of each digest that is due."""
    first: dict[str, int] = dict(store.reads.rows("SELECT destination, min(at) FROM notice_lines GROUP BY destination"))
    due = [
        one
        for one in read_subscriptions(store.reads)
        if one.name in first and _is_digest_due(one, first[one.name], now)
    ]
    for one in due:
        with store.writing() as write:
            rows = write.db.rows("SELECT item FROM notice_lines WHERE destination = ? ORDER BY at, line", (one.name,))
            if rows:
                lines = sum_runs([decode_json(row[0], NoticeItem) for row in rows])
                insert_message(write.db, one.name, lines, now)
                write.db.run("DELETE FROM notice_lines WHERE destination = ?", (one.name,))


def _is_digest_due(one: Subscription, first_at: int, now: int) -> bool:
    at, zone = time.fromisoformat(one.digest_at), ZoneInfo(one.zone)
    return next_digest(from_ms(min(first_at, now)), at, zone) <= from_ms(now)


# ---- conditions --------------------------------------------------------------------------------------------------------


def compare_conditions(
    write: Writer, events: Collection[NoticeEvent], current: Iterable[Condition], at: int, *, can_end: bool = True
) -> None:
    """Store which conditions of these events hold now, and queue what each destination must know of them.

    A condition is told when it has held for the number of turns that the destination wants, once a day while it lasts, and
    when its count has grown. An alarm that was told is also told when it is over. `can_end`: whether a failure that is not
    among the current ones is over; a turn that failed whole does not show that.
    """
    db, subscriptions = write.db, read_subscriptions(write.db)
    stored = {
        (NoticeEvent(event), line): (decode_json(item, HeldCondition), began_at)
        for event, line, item, began_at in db.rows("SELECT event, line, item, began_at FROM notice_conditions")
    }
    items = {(one.item.event, one.key): one.item for one in current}
    gone = {key: held for key, (held, _) in stored.items() if key[0] in events and key not in items}
    news: dict[str, list[NoticeItem]] = {one.name: [] for one in subscriptions}
    for key, item in items.items():
        before, began_at = stored.get(key, (None, at))
        turns = _count_inherited_turns(item, gone.values()) if before is None else before.turns
        told = {} if before is None else dict(before.told)
        for one in subscriptions:
            if turns + 1 >= one.after(item.event) and _is_news(item, told.get(one.name), one, at):
                news[one.name].append(item)
                told[one.name] = (at, item.count)
        fields = {name: getattr(item, name) for name in NoticeItem.__struct_fields__}
        held = HeldCondition(**fields, turns=min(turns + 1, MAX_AFTER), told=told)
        if held != before:
            _write_condition(db, key, held, began_at)
    over = {key: held for key, held in gone.items() if can_end or key[0] not in FAILURES}
    for event, line in over:
        db.run("DELETE FROM notice_conditions WHERE event = ? AND line = ?", (event.value, line))
    for (event, _), held in over.items():
        ended = _end(db, held.item)
        for one in subscriptions:
            if event.is_alarm and _has_heard(held.told.get(one.name), one, event):
                news[one.name].append(ended)
    for one in subscriptions:
        queue(db, one, join_failures(news[one.name]), at)


def queue_recovery(store: Store, item: NoticeItem, destinations: Collection[str], at: int) -> None:
    """Queue that an alarm is over which these destinations got past the outbox."""
    with store.writing() as write:
        for one in read_subscriptions(write.db):
            if one.name in destinations:
                queue(write.db, one, [_end(write.db, item)], at)


def _end(db: Database, item: NoticeItem) -> NoticeItem:
    """Return the line that says that an alarm is over, with the number of alarms that last."""
    lasting = sum(NoticeEvent(event).is_alarm for (event,) in db.rows("SELECT event FROM notice_conditions"))
    facts: dict[str, str | int] = {**item.facts, "state": "over"}
    return msgspec.structs.replace(item, facts={**facts, "lasting": lasting} if lasting else facts)


def _count_inherited_turns(item: NoticeItem, gone: Iterable[HeldCondition]) -> int:
    """Return for how many turns a failure has lasted that now has another cause."""
    if item.event not in FAILURES:
        return 0
    return max((one.turns for one in gone if one.event in FAILURES and one.repo in (None, item.repo)), default=0)


def _is_news(item: NoticeItem, told: tuple[int, int] | None, one: Subscription, at: int) -> bool:
    """Tell whether a destination must be told a condition, again or for the first time."""
    if one.mode(item.event) is NoticeMode.OFF:
        return False
    if told is None or not _has_heard(told, one, item.event):
        return True
    told_at, count = told
    has_grown = item.event in STANDING and item.count > count and at - told_at >= _GROWTH_MS
    return has_grown or abs(at - told_at) >= REMIND_MS  # a time in the far future is of a wrong clock


def _has_heard(told: tuple[int, int] | None, one: Subscription, event: NoticeEvent) -> bool:
    """Tell whether a destination was told, and gets the event since then without a break."""
    return told is not None and event in one.events and told[0] >= one.since(event)


def _write_condition(db: Database, key: tuple[NoticeEvent, str], held: HeldCondition, began: int) -> None:
    db.run(
        "INSERT INTO notice_conditions (event, line, item, began_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (event, line) DO UPDATE SET item = excluded.item",
        (key[0].value, key[1], msgspec.json.encode(held).decode(), began),
    )


# ---- delivery ----------------------------------------------------------------------------------------------------------


def list_lanes(store: Store) -> list[str]:
    """Return the destinations that have open messages."""
    return [row[0] for row in store.reads.rows(f"SELECT DISTINCT destination FROM outbox WHERE {_OPEN} ORDER BY 1")]


def claim(store: Store, destination: str, worker: str, now: int) -> OutboxRow | None:
    """Return the oldest open message of a destination, if it is due. Only the claimer sends it.

    The caller holds the lock of `Work.NOTICES`, so a process that claimed the message before has died. The claim is
    durable, and sets when the message is due again if this process dies too.
    """
    if _find_due(store.reads, destination, now) is None:
        return None  # the usual case needs no transaction
    with store.writing() as write:
        row = _find_due(write.db, destination, now)
        if row is None:
            return None
        next_at = now + retry_wait(row.attempts + 1, is_alarm=row.is_alarm)
        write.db.run(
            "UPDATE outbox SET state = 'sending', lease = ?, next_at = ?, attempts = attempts + 1, tried_at = ?"
            " WHERE id = ?",
            (worker, next_at, now, row.id),
        )
        return msgspec.structs.replace(row, state=MessageState.SENDING, attempts=row.attempts + 1, tried_at=now)


def _find_due(db: Database, destination: str, now: int) -> OutboxRow | None:
    row = _find_head(db, destination)
    return row if row is not None and _due_at(db, row, now) <= now else None


def _find_head(db: Database, destination: str) -> OutboxRow | None:
    """Return the oldest open message of a destination."""
    sql = f"SELECT {_COLUMNS} FROM outbox WHERE destination = ? AND {_OPEN} ORDER BY sequence LIMIT 1"
    found = db.row(sql, (destination,))
    return None if found is None else _decode(found)


def is_claimed(store: Store, row: OutboxRow, worker: str) -> bool:
    """Return whether a claim still holds. It does not if the lock of this process was lost, as on a lost connection."""
    sql = "SELECT 1 FROM outbox WHERE id = ? AND lease = ? AND state = 'sending'"
    return store.reads.row(sql, (row.id, worker)) is not None


def _due_at(db: Database, row: OutboxRow, now: int) -> int:
    """Return when the head of a lane may be claimed. Times in the future were written by a clock that was ahead."""
    due = row.next_at
    if max(row.queued_at, row.tried_at or 0) > now + _CLOCK_STEP_MS:
        return now
    if row.tried_at is None or row.is_alarm:
        return due
    sql = f"SELECT 1 FROM outbox WHERE destination = ? AND is_alarm AND {_OPEN} LIMIT 1"
    has_alarm = db.row(sql, (row.destination,)) is not None  # an alarm waits behind it
    return min(due, row.tried_at + LONGEST_ALARM_WAIT_MS) if has_alarm else due


def next_due(store: Store, now: int) -> int | None:
    """Return when the next message is due (ms); None without open messages."""
    return min(next_attempts(store, now).values(), default=None)


def next_attempts(store: Store, now: int) -> dict[str, int]:
    """Return when the oldest open message of each destination is due (ms), by its id. The others wait behind it."""
    found = {}
    for destination in list_lanes(store):
        if (row := _find_head(store.reads, destination)) is not None:
            found[row.id] = _due_at(store.reads, row, now)
    return found


def settle(store: Store, row: OutboxRow, worker: str, result: Delivery, now: int) -> bool:
    """Store how an attempt ended; return False if another process has taken the message over meanwhile."""
    state, next_at = _state_after(row, result, now)
    ended_at = None if state is MessageState.WAITING else now
    accepted = msgspec.json.encode(sorted({*row.accepted, *result.accepted})).decode()
    with store.writing() as write:
        changed = write.db.run(
            "UPDATE outbox SET state = ?, next_at = ?, ended_at = ?, outcome = ?, problem = ?, accepted = ?, lease = NULL"
            " WHERE id = ? AND lease = ?",
            (state, next_at, ended_at, result.kind, result.problem or None, accepted, row.id, worker),
        )
        write.db.run("DELETE FROM outbox WHERE state = 'delivered' AND ended_at < ?", (now - KEPT_MS,))
    return bool(changed)


def _state_after(row: OutboxRow, result: Delivery, now: int) -> tuple[MessageState, int]:
    if result.kind is DeliveryKind.DELIVERED:
        return MessageState.DELIVERED, row.next_at
    next_at = now + retry_wait(row.attempts, is_alarm=row.is_alarm)
    is_dead = result.kind is DeliveryKind.REFUSED or now - row.queued_at >= GIVE_UP_MS
    return (MessageState.DEAD if is_dead else MessageState.WAITING), next_at


def requeue(store: Store, idents: Sequence[str] | None, now: int, destinations: Collection[str]) -> list[str]:
    """Put dead letters back into the queue of a destination that is on; None means all. Return their ids."""
    rows = store.reads.rows("SELECT id, destination FROM outbox WHERE state = 'dead' ORDER BY destination, sequence")
    wanted = [ident for ident, name in rows if name in destinations and (idents is None or ident in idents)]
    done = []
    if wanted:
        with store.writing() as write:
            sql = (
                "UPDATE outbox SET state = 'waiting', ended_at = NULL, attempts = 0, next_at = ?, queued_at = ?"
                " WHERE id = ? AND state = 'dead'"
            )
            done = [ident for ident in wanted if write.db.run(sql, (now, now, ident))]
    return done


def read_messages(store: Store, states: Collection[MessageState], limit: int) -> list[OutboxRow]:
    """Return messages in these states, the newest first."""
    among, value = store.reads.in_clause([state.value for state in states])
    sql = f"SELECT {_COLUMNS} FROM outbox WHERE state {among} ORDER BY made_at DESC, destination, sequence DESC LIMIT ?"
    return [_decode(row) for row in store.reads.rows(sql, (value, limit))]


def count_lanes(store: Store) -> list[LaneCount]:
    """Return the numbers of each destination that the store knows, also of those that are off now but have messages."""
    open_rows = store.reads.rows(
        f"SELECT destination, count(*), min(queued_at) FROM outbox WHERE {_OPEN} GROUP BY destination"
    )
    dead: dict[str, int] = dict(
        store.reads.rows("SELECT destination, count(*) FROM outbox WHERE state = 'dead' GROUP BY destination")
    )
    lines: dict[str, int] = dict(
        store.reads.rows("SELECT destination, count(*) FROM notice_lines GROUP BY destination")
    )
    waiting = {name: (count, oldest) for name, count, oldest in open_rows}
    names = {row[0] for row in store.reads.rows("SELECT name FROM notice_destinations WHERE is_on")}
    return [
        LaneCount(name, *waiting.get(name, (0, None)), lines.get(name, 0), dead.get(name, 0))
        for name in sorted(names | waiting.keys() | dead.keys())
    ]


def find_failed_heads(store: Store) -> dict[str, tuple[int, str | None]]:
    """Return the destinations whose next message was tried in vain: since when it waits (ms), and why."""
    rows = store.reads.rows(
        f"SELECT destination, queued_at, problem FROM outbox AS o WHERE {_OPEN} AND outcome IS NOT NULL AND attempts > 0"
        f" AND sequence = (SELECT min(sequence) FROM outbox AS i WHERE i.destination = o.destination AND {_OPEN})"
    )
    return {destination: (queued_at, problem) for destination, queued_at, problem in rows}


def _decode(row: Row) -> OutboxRow:
    return decode_row(row, OutboxRow, items=msgspec.json.decode, is_alarm=bool, accepted=msgspec.json.decode)
