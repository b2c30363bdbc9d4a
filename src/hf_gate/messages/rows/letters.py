"""Stores which letters to applicants are on, and claims those that are due and still apply."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec.structs import replace

from hf_gate.core.letters.letters import (
    PERSON_MS,
    LetterCase,
    LetterConfig,
    PastLetter,
    find_limit,
    find_obstacle,
)
from hf_gate.core.letters.messages import APPLICANTS
from hf_gate.store.sql import Database, decode_stored
from hf_gate.store.store import Store
from hf_gate.store.writing.letter_queue import SETTING, LetterSubscription

from .outbox import CAN_BE_DROPPED, DROPPED, MESSAGE_COLUMNS, decode_message, start_sending

_SELECT: Final = (
    f"SELECT {', '.join(f'm.{name}' for name in MESSAGE_COLUMNS)}, r.status, r.is_current, r.ends_at, v.action, v.rule,"
    " p.email FROM messages m JOIN requests r ON r.id = m.request_id JOIN people p ON p.id = m.person_id"
    f" LEFT JOIN verdicts v ON v.id = r.verdict_id WHERE m.destination = '{APPLICANTS}' AND m.state = 'waiting'"
)


# ---- what is on ------------------------------------------------------------------------------------------------------


def write_subscription(store: Store, config: LetterConfig, now: int) -> None:
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
            sql = f"UPDATE messages SET {DROPPED}, ended_at = ?, problem = ? WHERE {CAN_BE_DROPPED} AND kind = ?"
            write.db.run(sql, (now, "letters of this kind were turned off", kind))


def _read_subscription(store: Store) -> LetterSubscription:
    text = store.setting(SETTING)
    return LetterSubscription({}) if text is None else decode_stored(text, LetterSubscription)


# ---- sending ---------------------------------------------------------------------------------------------------------


def find_due_letters(store: Store, now: int, limit: int) -> list[LetterCase]:
    """Return the letters whose time has come, the oldest first. Some may no longer apply."""
    return _read_cases(store.reads, "AND m.next_at <= ? ORDER BY m.made_at, m.id LIMIT ?", (now, limit))


def claim_letter(store: Store, ident: str, config: LetterConfig, worker: str, now: int) -> LetterCase | None:
    """Store the intent to send a letter, and return it as it is then.

    Return None for one that waits no longer. A letter that does not apply, or that a limit forbids, is dropped.
    """
    with store.writing() as write:
        case = next(iter(_read_cases(write.db, "AND m.id = ?", (ident,))), None)
        if case is None:
            return None
        past = _read_past(write.db, {case.person}, now)[case.person]
        problem = find_obstacle(case, config, now) or find_limit(case.kind, past, config.per_person, now)
        if problem is None:
            return replace(case, letter=start_sending(write.db, case.letter, worker, now))
        end = f"UPDATE messages SET {DROPPED}, ended_at = ?, problem = ? WHERE id = ? AND {CAN_BE_DROPPED}"
        write.db.run(end, (now, problem, ident))
    return None


def list_next_letters(store: Store, config: LetterConfig, now: int, limit: int) -> list[LetterCase]:
    """Return the letters that would be sent, the oldest first."""
    due: list[LetterCase] = []
    cases = _read_cases(store.reads, "ORDER BY m.made_at, m.id", ())
    past = _read_past(store.reads, {case.person for case in cases}, now)
    for case in cases:
        if find_obstacle(case, config, now) is not None:
            continue
        known = past[case.person]
        if find_limit(case.kind, known, config.per_person, now) is None:
            known.append(PastLetter(case.kind, now))
            due.append(case)
        if len(due) >= limit:
            break
    return due


def _read_past(db: Database, people: Collection[int], now: int) -> dict[int, list[PastLetter]]:
    """Return what was sent to each of these people lately."""
    among, value = db.in_clause(people)
    sql = (
        f"SELECT person_id, kind, tried_at FROM messages WHERE person_id {among} AND tried_at > ?"
        " AND state IN ('sending', 'sent', 'marked_sent', 'unknown')"
    )
    past: dict[int, list[PastLetter]] = {person: [] for person in people}
    for person, kind, at in db.rows(sql, (value, now - PERSON_MS)):
        past[person].append(PastLetter(kind, at))
    return past


def _read_cases(db: Database, more: str, values: tuple[object, ...]) -> list[LetterCase]:
    """Return letters that wait, with what is true of their requests now."""
    cases = []
    for row in db.rows(f"{_SELECT} {more}", values):
        *message, status, is_current, ends_at, action, rule, email = row
        letter = decode_message(tuple(message))
        case = LetterCase(
            letter=letter,
            status=status,
            is_current=bool(is_current),
            ends_at=ends_at,
            verdict=(action, rule),
            email=email,
        )
        cases.append(case)
    return cases
