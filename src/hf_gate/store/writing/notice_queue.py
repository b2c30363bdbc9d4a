"""Queues notices in the transaction of the event that they report: messages to send at once, and lines of the next
digest.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.letters.messages import NOTICE, OPEN
from hf_gate.core.letters.notices import NoticeEvent, NoticeItem, NoticeMode, item_of, merge_items
from hf_gate.core.request_version import VERSION_COLUMNS
from hf_gate.store.sql import Database, decode_stored

MAX_OPEN: Final = 20_000
"""How many messages of a destination may be open."""

MAX_LINES: Final = 50  # of a message
IS_OPEN: Final = f"state IN {tuple(map(str, OPEN))}"
"""The messages that are not delivered yet."""
_FEW_CHANGES: Final = 20  # a run of a person with so few changes is not told
_SAME_VERSION: Final = " AND ".join(f"b.{name} = a.{name}" for name in (*VERSION_COLUMNS, "need"))
_FIRST_APPROVALS: Final = (
    "SELECT a.request_id FROM approvals a WHERE a.request_id {among} AND NOT EXISTS (SELECT 1 FROM approvals b"
    " WHERE b.request_id = a.request_id AND b.account <> a.account"
    f" AND (b.at > a.at OR {_SAME_VERSION} AND (a.identity IS NULL OR b.identity = a.identity)))"
)
"""The requests whose latest approval is the only one of its version and rules; earlier ones have lapsed."""


class EventSubscription(msgspec.Struct, frozen=True, array_like=True):
    """An event that a destination gets: when it is sent, since when (ms), and after how many turns if it lasts."""

    mode: NoticeMode
    since: int
    after: int = 1


class Subscription(NamedTuple):
    """A destination as the store knows it."""

    name: str
    events: Mapping[str, EventSubscription]
    digest_at: str
    zone: str

    def mode(self, event: NoticeEvent) -> NoticeMode:
        """Return when this destination gets an event."""
        return self.events[event].mode if event in self.events else NoticeMode.OFF

    def since(self, event: NoticeEvent) -> int:
        """Return since when (ms) this destination gets an event."""
        return self.events[event].since if event in self.events else 0

    def after(self, event: NoticeEvent) -> int:
        """Return for how many turns a condition of this event holds before this destination is told."""
        return self.events[event].after if event in self.events else 1


def decode_events(text: str) -> dict[str, EventSubscription]:
    """Return the stored events of a destination."""
    return decode_stored(text, dict[str, EventSubscription])


def read_subscriptions(db: Database) -> list[Subscription]:
    """Return the destinations that are on."""
    rows = db.rows("SELECT name, events, digest_at, zone FROM notice_destinations WHERE is_on ORDER BY name")
    return [Subscription(name, decode_events(events), digest_at, zone) for name, events, digest_at, zone in rows]


class NoticeCollector:
    """Collects the notices of one transaction, and writes them at its end."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._found: list[tuple[NoticeItem, int]] = []
        self._at = 0

    @cached_property
    def subscriptions(self) -> Sequence[Subscription]:
        """The destinations, read once in a transaction."""
        return read_subscriptions(self._db)

    def add_event(self, event: e.AnyEvent, at: int, repo: Repo | None, request: int | None) -> None:
        """Add what an entry of the ledger tells."""
        item = item_of(event, repo, request) if self.subscriptions else None
        if item is not None:
            self._at = max(self._at, at)
            self._found.append((item, event.asked_at if isinstance(event, e.RequestSeen) else at))

    def flush(self) -> None:
        """Write the collected notices."""
        if not self._found:
            return
        untold = self._find_untold(self._found)
        found = [pair for pair in self._found if pair[0] not in untold]
        self._found = []
        for subscription in self.subscriptions:
            queue(
                self._db, subscription, [item for item, at in found if at >= subscription.since(item.event)], self._at
            )

    def _find_untold(self, items: Iterable[tuple[NoticeItem, int]]) -> list[NoticeItem]:
        """Return approvals after which nobody needs to approve any more, and runs of a few decisions by a person."""
        approvals = {item.requests[0]: item for item, _ in items if item.event is NoticeEvent.SECOND_APPROVAL}
        runs = {str(item.facts["run"]): item for item, _ in items if item.event is NoticeEvent.RUN_RESULT}
        told: set[object] = set()
        if approvals:
            among, value = self._db.in_clause(approvals)
            told |= {row[0] for row in self._db.rows(_FIRST_APPROVALS.format(among=among), (value,))}
        if runs:
            among, value = self._db.in_clause(runs)
            sql = f"SELECT id FROM runs WHERE id {among} AND (kind = 'auto' OR total > ?)"
            told |= {row[0] for row in self._db.rows(sql, (value, _FEW_CHANGES))}
        return [item for key, item in (*approvals.items(), *runs.items()) if key not in told]


def queue(db: Database, subscription: Subscription, items: Iterable[NoticeItem], at: int) -> None:
    """Queue the items for a destination: as one message, and as lines of its next digest."""
    merged = merge_items(items)
    if now := [item for item in merged if subscription.mode(item.event) is NoticeMode.IMMEDIATE]:
        insert_message(db, subscription.name, now, at)
    for item in merged:
        if subscription.mode(item.event) is NoticeMode.DIGEST:
            _add_line(db, subscription.name, item, at)


def insert_message(db: Database, destination: str, items: Sequence[NoticeItem], at: int) -> None:
    """Add a message to the end of a destination's queue; several, if it has too many lines.

    A queue that is full has its last message extended, as long as that has room.
    """
    for start in range(0, len(items), MAX_LINES):
        page = items[start : start + MAX_LINES]
        if not _extend_last(db, destination, page):
            _insert_page(db, destination, page, at)


def _insert_page(db: Database, destination: str, items: Sequence[NoticeItem], at: int) -> None:
    sql = "UPDATE notice_destinations SET sequence = sequence + 1 WHERE name = ? RETURNING sequence"
    found = db.row(sql, (destination,))
    assert found is not None, f"destination {destination} is not stored"
    is_alarm = any(item.event.is_alarm for item in items)
    values = (f"n_{secrets.token_hex(12)}", destination, found[0], _encode(items), is_alarm, at, at, at)
    db.run(
        "INSERT INTO messages (id, kind, destination, sequence, state, items, is_alarm, made_at, queued_at, next_at)"
        f" VALUES (?, '{NOTICE}', ?, ?, 'waiting', ?, ?, ?, ?, ?)",
        values,
    )


def _extend_last(db: Database, destination: str, items: Sequence[NoticeItem]) -> bool:
    """Add the items to the last message if the queue is full and nobody has tried to send that message."""
    sql = f"SELECT sequence FROM messages WHERE destination = ? AND {IS_OPEN} ORDER BY sequence"
    first = db.row(f"{sql} LIMIT 1", (destination,))
    sql = sql.replace("SELECT sequence", "SELECT sequence, id, items, attempts")
    last = db.row(f"{sql} DESC LIMIT 1", (destination,))
    if first is None or last is None or last[0] - first[0] < MAX_OPEN or last[3]:
        return False
    merged = merge_items([*decode_stored(last[2], list[NoticeItem]), *items])
    if len(merged) > MAX_LINES:
        return False
    is_alarm = any(item.event.is_alarm for item in merged)
    db.run("UPDATE messages SET items = ?, is_alarm = ? WHERE id = ?", (_encode(merged), is_alarm, last[1]))
    return True


def _encode(items: Sequence[NoticeItem]) -> str:
    return msgspec.json.encode(items).decode()


def _add_line(db: Database, destination: str, item: NoticeItem, at: int) -> None:
    own = item.facts.get("text" if item.event.is_alarm else "run", "")  # a later event of the same run replaces it
    line = f"{item.event} {item.repo or ''} {own}"
    found = db.row("SELECT item FROM notice_lines WHERE destination = ? AND line = ?", (destination, line))
    if found is not None:
        merged = merge_items([decode_stored(found[0], NoticeItem), item])[-1]
        sql = "UPDATE notice_lines SET item = ? WHERE destination = ? AND line = ?"
        db.run(sql, (msgspec.json.encode(merged).decode(), destination, line))
        return
    sql = "INSERT INTO notice_lines (destination, line, item, at) VALUES (?, ?, ?, ?)"
    db.run(sql, (destination, line, msgspec.json.encode(item).decode(), at))
