"""Stores which destinations get which notices, and queues digests and conditions: states that last, such as a failing
turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import time
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.base.timestamps import DAY_MS, HOUR_MS, from_ms
from hf_gate.core.letters.messages import MESSAGE_STATES, MessageEvent
from hf_gate.core.letters.notices import (
    DEFAULT_AFTER,
    FAILURES,
    MAX_AFTER,
    REMIND_MS,
    Condition,
    HeldCondition,
    NoticeEvent,
    NoticeItem,
    NoticeMode,
    describe_item,
    join_failures,
    next_digest,
    sum_runs,
)
from hf_gate.settings.setting_keys import STORE_RECOVERED
from hf_gate.store.sql import Database
from hf_gate.store.store import Store
from hf_gate.store.writing.notice_queue import (
    EventSubscription,
    Subscription,
    decode_events,
    insert_message,
    queue,
    read_subscriptions,
)
from hf_gate.store.writing.writer import Writer

_GROWTH_MS: Final = HOUR_MS  # a state that grows is told again after this time

_FOLLOW: Final = (
    "UPDATE notice_destinations SET ledger_id = (SELECT coalesce(max(id), 0) FROM ledger)"
    " WHERE name = ? AND ledger_id IS NULL"
)
_UNFOLLOW: Final = "UPDATE notice_destinations SET ledger_id = NULL WHERE name = ?"

# ---- destinations ----------------------------------------------------------------------------------------------------


def write_destinations(
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
        before = decode_events(events) if is_on else {}
        turns = (after or {}).get(name, DEFAULT_AFTER)
        current = {
            event.value: EventSubscription(
                mode,
                min(before[event].since, at) if event in before else at,  # a time in the future is of a wrong clock
                turns.get(event, 1),
            )
            for event, mode in modes.items()
            if mode is not NoticeMode.OFF
        }
        written = msgspec.json.encode(current).decode()
        hour = f"{digests[name]:%H:%M}"
        if (is_on, events, digest, of) != (True, written, hour, zone):
            changed.append((name, written, hour))
    removed = [name for name, (is_on, *_) in known.items() if is_on and name not in wanted]
    if not changed and not removed:
        return
    with store.writing() as write:
        for name, written, hour in changed:
            write.db.run(
                "INSERT INTO notice_destinations (name, is_on, events, digest_at, zone, sequence)"
                " VALUES (?, ?, ?, ?, ?, 0)"
                " ON CONFLICT (name) DO UPDATE SET is_on = excluded.is_on, events = excluded.events,"
                " digest_at = excluded.digest_at, zone = excluded.zone",
                (name, True, written, hour, zone),
            )
            is_following = NoticeEvent.AUDIT_LOG in decode_events(written)
            write.db.run(_FOLLOW if is_following else _UNFOLLOW, (name,))
        for name in removed:
            _turn_off(write.db, name, at)


def _turn_off(db: Database, name: str, at: int) -> None:
    """Stop a destination. Its open messages fail, and can be sent if it is named again."""
    db.run("UPDATE notice_destinations SET is_on = ? WHERE name = ?", (False, name))
    failed, can_fail = MESSAGE_STATES.sql(MessageEvent.GIVE_UP)
    sql = f"UPDATE messages SET {failed}, ended_at = ?, problem = ?, lease = NULL WHERE destination = ? AND {can_fail}"
    db.run(sql, (at, "hf-gate.yaml no longer names this destination", name))
    db.run("DELETE FROM notice_lines WHERE destination = ?", (name,))
    db.run(_UNFOLLOW, (name,))


def close_digests(store: Store, now: int) -> None:
    """Make a message of each digest that is due."""
    first: dict[str, int] = dict(store.reads.rows("SELECT destination, min(at) FROM notice_lines GROUP BY destination"))
    due = [
        subscription
        for subscription in read_subscriptions(store.reads)
        if subscription.name in first and _is_digest_due(subscription, first[subscription.name], now)
    ]
    for one in due:
        with store.writing(is_short=True) as write:
            rows = write.db.rows("SELECT item FROM notice_lines WHERE destination = ? ORDER BY at, line", (one.name,))
            if rows:
                lines = sum_runs([decode_json(row[0], NoticeItem) for row in rows])
                insert_message(write.db, one.name, lines, now)
                write.db.run("DELETE FROM notice_lines WHERE destination = ?", (one.name,))


def _is_digest_due(subscription: Subscription, first_at: int, now: int) -> bool:
    at = time.fromisoformat(subscription.digest_at)
    zone = ZoneInfo(subscription.zone)
    return next_digest(from_ms(min(first_at, now)), at, zone) <= from_ms(now)


# ---- conditions ------------------------------------------------------------------------------------------------------


def compare_conditions(
    write: Writer,
    events: Collection[NoticeEvent],
    current: Iterable[Condition],
    at: int,
    *,
    can_end: bool = True,
    by: str = "loop",
) -> None:
    """Store which conditions of these events hold now for a process, and queue what each destination must know of them.

    A condition is told when it has held for the number of turns that the destination wants, once a day while it lasts,
    and when its count has grown. An alarm that was told is also told when it is over. `can_end`: whether a failure that
    is not among the current ones is over; a turn that failed whole does not show that. A condition that several
    processes met is one, and over when the last of them no longer meets it, or was not heard of for a day.
    """
    db = write.db
    subscriptions = read_subscriptions(write.db)
    stored = {
        (NoticeEvent(event), line): (decode_json(item, HeldCondition), began_at)
        for event, line, item, began_at in db.rows("SELECT event, line, item, began_at FROM notice_conditions")
    }
    items = {(one.item.event, one.key): one.item for one in current}
    gone = {
        key: held
        for key, (held, _) in stored.items()
        if key[0] in events and key not in items and (by in held.by or not _list_others(held, by, at))
    }
    news: dict[str, list[NoticeItem]] = {subscription.name: [] for subscription in subscriptions}
    for key, item in items.items():
        before, began_at = stored.get(key, (None, at))
        turns = _count_inherited_turns(item, gone.values()) if before is None else before.turns
        told = {} if before is None else dict(before.told)
        for one in subscriptions:
            if turns + 1 >= one.after(item.event) and _is_news(item, told.get(one.name), one, at):
                news[one.name].append(item)
                told[one.name] = (at, item.count)
        others = {} if before is None else _list_others(before, by, at)
        known = item if before is None or not others else before.item  # its end is told as its beginning was
        fields = {name: getattr(known, name) for name in NoticeItem.__struct_fields__}
        held = HeldCondition(**fields, turns=min(turns + 1, MAX_AFTER), told=told, by={**others, by: at})
        _write_condition(db, key, held, began_at)
    over = {key: held for key, held in gone.items() if can_end or key[0] not in FAILURES}
    for (event, line), held in list(over.items()):
        if others := _list_others(held, by, at):
            _write_condition(db, (event, line), msgspec.structs.replace(held, by=others), at)
            del over[event, line]
        else:
            db.run("DELETE FROM notice_conditions WHERE event = ? AND line = ?", (event.value, line))
    for (event, _), held in over.items():
        ended = _end(db, held.item)
        for one in subscriptions:
            if event.is_alarm and _has_heard(held.told.get(one.name), one, event):
                news[one.name].append(ended)
    for one in subscriptions:
        queue(db, one, join_failures(news[one.name]), at)


def _list_others(held: HeldCondition, by: str, at: int) -> dict[str, int]:
    """Return which other processes met a condition in the last day."""
    return {other: met_at for other, met_at in held.by.items() if other != by and abs(at - met_at) < DAY_MS}


def find_token_problem(store: Store) -> str | None:
    """Return why a process cannot use its token; None if each can."""
    row = store.reads.row("SELECT item FROM notice_conditions WHERE event = ?", (NoticeEvent.TOKEN.value,))
    return None if row is None else describe_item(decode_json(row[0], HeldCondition).item)


def queue_recovery(store: Store, item: NoticeItem, told: Mapping[str, int], at: int) -> None:
    """Queue that an alarm is over which these destinations got past the outbox, each at its time (ms).

    Several loops may have lost the store: only the first one after the alarm queues its end.
    """
    with store.writing() as write:
        recovered = int(write.db.setting(STORE_RECOVERED) or 0)
        write.write_setting(STORE_RECOVERED, str(at))
        for subscription in read_subscriptions(write.db):
            if told.get(subscription.name, 0) > recovered:
                queue(write.db, subscription, [_end(write.db, item)], at)


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


def _is_news(item: NoticeItem, told: tuple[int, int] | None, subscription: Subscription, at: int) -> bool:
    """Tell whether a destination must be told a condition, again or for the first time."""
    if subscription.mode(item.event) is NoticeMode.OFF:
        return False
    if told is None or not _has_heard(told, subscription, item.event):
        return True
    told_at, count = told
    has_grown = item.event is NoticeEvent.AGEING and item.count > count and at - told_at >= _GROWTH_MS
    return has_grown or abs(at - told_at) >= REMIND_MS  # a time in the far future is of a wrong clock


def _has_heard(told: tuple[int, int] | None, subscription: Subscription, event: NoticeEvent) -> bool:
    """Tell whether a destination was told, and gets the event since then without a break."""
    return told is not None and event in subscription.events and told[0] >= subscription.since(event)


def _write_condition(db: Database, key: tuple[NoticeEvent, str], held: HeldCondition, began: int) -> None:
    db.run(
        "INSERT INTO notice_conditions (event, line, item, began_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (event, line) DO UPDATE SET item = excluded.item",
        (key[0].value, key[1], msgspec.json.encode(held).decode(), began),
    )
