"""Stores letters to applicants: which are due, the intent to send one, and what became of it.

Guarantees:
1. A letter leaves the state `due` in a transaction that ends before it is sent, and only one process can do that.
2. It becomes `due` again only if nothing arrived, by the process that tried, or if a person says so.
3. A letter whose outcome is not known stays `unknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from ..decoding import decode_json
from ..domain.events import LedgerEntry, ReminderAccepted
from ..domain.letters import (
    PERSON_MS,
    LetterCase,
    LetterConfig,
    LetterKind,
    LetterState,
    PastLetter,
    find_free_time,
    find_limit,
    find_obstacle,
)
from ..domain.notices import Delivery, DeliveryKind, retry_wait
from ..domain.timestamps import DAY_MS
from .ledger import append_entries
from .letter_queue import SETTING, LetterSubscription
from .sql import Database, Row, decode_row
from .state_columns import repo_of
from .store import Store
from .writer import Writer

MAX_ATTEMPTS: Final = 12
MAIL_ACTOR: Final = "letters"
"""The actor of what the mail server said."""
_SKIPPED_AT_ONCE: Final = 500  # letters that one claim drops at most
_KEPT_DAYS: Final = 400
_DUE_DAYS: Final = 30
_SELECT: Final = (
    "SELECT l.id, l.kind, l.person_id, l.request_id, l.key, l.made_at, l.attempts, r.status, r.is_current, r.ends_at,"
    " v.action, v.rule, p.email FROM letters l JOIN requests r ON r.id = l.request_id"
    " JOIN people p ON p.id = l.person_id LEFT JOIN verdicts v ON v.id = r.verdict_id"
)
_SELECT_ROWS: Final = (
    "SELECT id, kind, request_id, key, state, made_at, next_at, attempts, started_at, ended_at, problem FROM letters"
)
_ORDER: Final = "ORDER BY l.made_at, l.id"
_DELIVERED_BY: Final = {DeliveryKind.DELIVERED: LetterState.SENT, DeliveryKind.UNKNOWN: LetterState.UNKNOWN}


class LetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored letter. Times are in ms."""

    id: str
    kind: LetterKind
    request: int
    key: str
    state: LetterState
    made_at: int
    next_at: int
    attempts: int
    started_at: int | None
    ended_at: int | None
    problem: str | None


# ---- what is on ------------------------------------------------------------------------------------------------------


def store_subscription(store: Store, config: LetterConfig, now: int) -> None:
    """Store which kinds are on, and since when. Letters of kinds that are off now are dropped."""
    before = _read_subscription(store)
    after = LetterSubscription(
        {kind.value: before.since.get(kind, now) for kind in config.kinds}, tuple(sorted(config.needs))
    )
    if before == after or not (before.since or after.since):
        return
    with store.writing() as write:
        write.write_setting(SETTING, msgspec.json.encode(after).decode() if after.since else None)
        for kind in before.since.keys() - after.since.keys():
            sql = "UPDATE letters SET state = 'dropped', ended_at = ?, problem = ? WHERE state = 'due' AND kind = ?"
            write.db.run(sql, (now, "letters of this kind were turned off", kind))


def reminders_since(store: Store) -> int | None:
    """Return since when people who ask are reminded (ms); None before a turn found reminders in hf-gate.yaml."""
    return _read_subscription(store).since.get(LetterKind.REMINDER)


def _read_subscription(store: Store) -> LetterSubscription:
    text = store.setting(SETTING)
    return LetterSubscription({}) if text is None else decode_json(text, LetterSubscription)


def has_letters(store: Store) -> bool:
    """Return whether the store has any letter, sent ones included."""
    return store.reads.row("SELECT 1 FROM letters LIMIT 1") is not None


def tidy(store: Store, now: int) -> None:
    """Mark letters without an outcome as unknown, drop those that were due for long, and delete old rows.

    The caller holds the lock of `Work.LETTERS`, so a process that left a letter without an outcome has died.
    """
    sql = "SELECT 1 FROM letters WHERE state = 'sending' OR (state = 'due' AND made_at < ?) OR ended_at < ? LIMIT 1"
    due_before, ended_before = now - _DUE_DAYS * DAY_MS, now - _KEPT_DAYS * DAY_MS
    if store.reads.row(sql, (due_before, ended_before)) is None:
        return
    with store.writing() as write:
        write.db.run(
            "UPDATE letters SET state = 'unknown', ended_at = ?, problem = ? WHERE state = 'sending'",
            (now, "the process that sent it ended before it stored the outcome"),
        )
        write.db.run(
            "UPDATE letters SET state = 'dropped', ended_at = ?, problem = ? WHERE state = 'due' AND made_at < ?",
            (now, f"it was due for {_DUE_DAYS} days", due_before),
        )
        write.db.run("DELETE FROM letters WHERE ended_at < ? AND state <> 'unknown'", (ended_before,))


# ---- sending ---------------------------------------------------------------------------------------------------------


def claim(store: Store, config: LetterConfig, worker: str, now: int) -> LetterCase | None:
    """Store the intent to send the oldest letter that is due, and return it. Letters that do not apply are dropped."""
    if store.reads.row("SELECT 1 FROM letters WHERE state = 'due' AND next_at <= ? LIMIT 1", (now,)) is None:
        return None
    with store.writing() as write:
        sql = f"{_SELECT} WHERE l.state = 'due' AND l.next_at <= ? {_ORDER} LIMIT ?"
        for row in write.db.rows(sql, (now, _SKIPPED_AT_ONCE)):
            case = _decode_case(row)
            past = _read_past(write.db, {case.person}, now)[case.person]
            problem = find_obstacle(case, config, now)
            limit = find_limit(case.kind, past, config.per_person, now) if problem is None else None
            if limit is not None and case.kind is LetterKind.REMINDER:  # later is better than never
                free_at = find_free_time(case.kind, past, config.per_person)
                write.db.run("UPDATE letters SET next_at = ? WHERE id = ? AND state = 'due'", (free_at, case.id))
                continue
            problem = problem or limit
            if problem is None:
                changed = write.db.run(
                    "UPDATE letters SET state = 'sending', started_at = ?, attempts = attempts + 1, lease = ?, problem = NULL"
                    " WHERE id = ? AND state = 'due'",
                    (now, worker, case.id),
                )
                if changed:
                    return case
                continue
            sql = "UPDATE letters SET state = 'dropped', ended_at = ?, problem = ? WHERE id = ? AND state = 'due'"
            write.db.run(sql, (now, problem, case.id))
    return None


def is_claimed(store: Store, case: LetterCase, worker: str) -> bool:
    """Return whether a claim still holds. It does not if the lock of this process was lost, as on a lost connection."""
    sql = "SELECT 1 FROM letters WHERE id = ? AND lease = ? AND state = 'sending'"
    return store.reads.row(sql, (case.id, worker)) is not None


def settle(store: Store, case: LetterCase, worker: str, result: Delivery, now: int) -> bool:
    """Store what became of a letter; return False if a person or an erasure has decided about it meanwhile."""
    attempts = case.attempts + 1
    state = _DELIVERED_BY.get(result.kind, LetterState.FAILED)
    if result.kind is DeliveryKind.FAILED and attempts < MAX_ATTEMPTS:
        state = LetterState.DUE
    next_at = now + retry_wait(attempts, is_alarm=False)
    ended_at = None if state is LetterState.DUE else now
    only = "state = 'sending'" if state is LetterState.DUE else "state IN ('sending', 'unknown')"
    with store.writing() as write:
        changed = write.db.run(
            "UPDATE letters SET state = ?, next_at = ?, ended_at = ?, problem = ?, lease = NULL,"
            f" started_at = CASE WHEN ? THEN NULL ELSE started_at END WHERE id = ? AND lease = ? AND {only}",
            (state.value, next_at, ended_at, result.problem or None, state is LetterState.DUE, case.id, worker),
        )
        if changed and state is LetterState.SENT:
            _record_reminders(write, [case.id], MAIL_ACTOR, now)
    return bool(changed)


class MarkedLetters(NamedTuple):
    """The ids of letters that a person marked, and how many of them are reminders that now count as accepted."""

    ids: list[str]
    reminders: int = 0


def mark(store: Store, idents: Sequence[str], state: LetterState, actor: str, now: int) -> MarkedLetters:
    """Set letters as a person says: `sent` of those due, unknown or failed, `due` of those unknown or failed."""
    among, after = "'due', 'unknown', 'failed'", "ended_at = ?, started_at = coalesce(started_at, ?)"
    values: tuple[int, ...] = (now, now)
    if state is LetterState.DUE:
        among, after = "'unknown', 'failed'", "ended_at = NULL, started_at = NULL, attempts = 0, next_at = ?"
        values = (now,)
    sql = f"UPDATE letters SET state = ?, problem = NULL, lease = NULL, {after} WHERE id = ? AND state IN ({among})"
    with store.writing() as write:
        done = [ident for ident in idents if write.db.run(sql, (state.value, *values, ident))]
        is_sent = state is LetterState.SENT
        return MarkedLetters(done, _record_reminders(write, done, actor, now) if is_sent else 0)


def _record_reminders(write: Writer, idents: Sequence[str], actor: str, now: int) -> int:
    """Record in the ledger which of these letters are reminders, because a `wait` counts from that; return how many."""
    among, value = write.db.in_clause(list(idents))
    sql = (
        "SELECT l.id, l.key, l.request_id, l.person_id, o.type, o.namespace, o.name FROM letters l"
        " JOIN requests r ON r.id = l.request_id JOIN repos o ON o.id = r.repo_id"
        f" WHERE l.id {among} AND l.kind = '{LetterKind.REMINDER}' ORDER BY l.id"
    )
    entries = []
    for ident, rule, request, person, *place in write.db.rows(sql, (value,)):
        event = ReminderAccepted(rule=rule, letter=ident, how="server" if actor == MAIL_ACTOR else "hand")
        entry = LedgerEntry(event=event, at=now, actor=actor, request=request, person=person)
        entries.append((repo_of(*place), entry))
    append_entries(write, entries)
    return len(entries)


# ---- reading ---------------------------------------------------------------------------------------------------------


def list_due(store: Store, config: LetterConfig, now: int, limit: int) -> list[LetterCase]:
    """Return the letters that would be sent, the oldest first."""
    found: list[LetterCase] = []
    cases = [_decode_case(row) for row in store.reads.rows(f"{_SELECT} WHERE l.state = 'due' {_ORDER}")]
    past = _read_past(store.reads, {case.person for case in cases}, now)
    for case in cases:
        if find_obstacle(case, config, now) is not None:
            continue
        known = past[case.person]
        if find_limit(case.kind, known, config.per_person, now) is None:
            known.append(PastLetter(case.kind, now))
            found.append(case)
        if len(found) >= limit:
            break
    return found


def list_letters(store: Store, states: Sequence[LetterState], limit: int) -> list[LetterRow]:
    """Return letters in these states, the newest first."""
    among, value = store.reads.in_clause([state.value for state in states])
    sql = f"{_SELECT_ROWS} WHERE state {among} ORDER BY made_at DESC, id LIMIT ?"
    return [decode_row(row, LetterRow) for row in store.reads.rows(sql, (value, limit))]


class LateLetters(NamedTuple):
    """Letters that should have been sent: how many, since when the oldest waits (ms), and the last problem."""

    number: int
    since: int | None
    problem: str | None


def count_late(store: Store, before: int) -> LateLetters:
    """Count the letters that were tried in vain, or that were due before a time (ms)."""
    late = "FROM letters WHERE state = 'due' AND (problem IS NOT NULL OR next_at < ?)"
    count, since = store.reads.row(f"SELECT count(*), min(made_at) {late}", (before,)) or (0, None)
    row = store.reads.row(f"SELECT problem {late} AND problem IS NOT NULL ORDER BY next_at DESC LIMIT 1", (before,))
    return LateLetters(count, since, None if row is None else row[0])


def count_letters(store: Store, states: Sequence[LetterState], since: int = 0) -> int:
    """Return how many letters are in these states since a time (ms) or later."""
    among, value = store.reads.in_clause([state.value for state in states])
    return store.reads.count(f"SELECT count(*) FROM letters WHERE state {among} AND ended_at >= ?", (value, since))


def read_letters_to(store: Store, person: int) -> list[LetterRow]:
    """Return the letters to a person, the oldest first."""
    rows = store.reads.rows(f"{_SELECT_ROWS} WHERE person_id = ? ORDER BY made_at, id", (person,))
    return [decode_row(row, LetterRow) for row in rows]


def _read_past(db: Database, people: Collection[int], now: int) -> dict[int, list[PastLetter]]:
    """Return what was sent to each of these people lately."""
    among, value = db.in_clause(people)
    sql = (
        f"SELECT person_id, kind, started_at FROM letters WHERE person_id {among} AND started_at > ?"
        " AND state IN ('sending', 'sent', 'unknown')"
    )
    found: dict[int, list[PastLetter]] = {person: [] for person in people}
    for person, kind, at in db.rows(sql, (value, now - PERSON_MS)):
        found[person].append(PastLetter(kind, at))
    return found


def _decode_case(row: Row) -> LetterCase:
    ident, kind, person, request, key, made_at, attempts, status, is_current, ends_at, action, rule, email = row
    return LetterCase(
        id=ident, kind=LetterKind(kind), person=person, request=request, rule=key or None, made_at=made_at,
        attempts=attempts, status=status, is_current=bool(is_current), ends_at=ends_at, verdict=(action, rule), email=email,
    )  # fmt: skip
