"""Finds requests whose personal data was deleted among records from the Hub, so that a sync stores
only their status.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from hf_gate.base.batches import split_into_batches
from hf_gate.core.events.erasure import ErasedRequest, hash_account, hash_record, strip_record
from hf_gate.core.events.request_state import RecordUpdate
from hf_gate.core.requests import AccessRequest
from hf_gate.store.sql import Database, Reader

TO_SCRUB: Final = "to scrub"
"""The setting that says that deleted data may still be in free pages and in the log of the database."""

ERASURE_KEY: Final = "erasure key"
"""The setting with the key of the hashes. It is never exported."""


def read_hash_key(reader: Reader) -> bytes:
    """Return the key of the hashes."""
    found = reader.reads.setting(ERASURE_KEY)
    assert found is not None, "a store is created with this key"
    return bytes.fromhex(found)


def strip_erased(db: Database, seen: Sequence[AccessRequest]) -> tuple[list[AccessRequest], dict[int, int]]:
    """Return the records, the erased ones without personal data.

    The second value gives the request numbers of erased records by their position.
    """
    records = list(seen)
    rows = dict[int, int]()
    if not records or db.row("SELECT 1 FROM erased LIMIT 1") is None:
        return records, rows
    secret = read_hash_key(db)
    keys = [hash_record(secret, record) for record in records]
    known = find_erased_hashes(db, [key for some in keys for key in some])
    for index, some in enumerate(keys):
        if not any(key in known for key in some):
            continue
        records[index] = strip_record(records[index], some)
        row = next((number for key in some if (number := known.get(key)) is not None), None)
        if row is not None:
            rows[index] = row
    return records, rows


def find_erased_meanwhile(db: Database, updates: Sequence[RecordUpdate]) -> set[int]:
    """Return the identities (`id()`) of updates whose person was erased after they were compared with the store."""
    plain = [update for update in updates if not isinstance(update.request, ErasedRequest)]
    records, _ = strip_erased(db, [one.request for one in plain])
    return {id(one) for one, now in zip(plain, records, strict=True) if isinstance(now, ErasedRequest)}


def find_erased_hashes(reader: Reader, keys: Collection[bytes]) -> dict[bytes, int | None]:
    """Return the stored hashes among these, with their request numbers."""
    found: dict[bytes, int | None] = {}
    for batch in split_into_batches(keys, 500):
        marks = ", ".join("?" * len(batch))
        rows = reader.reads.rows(f"SELECT key, request_id FROM erased WHERE key IN ({marks})", batch)
        found |= {bytes(key): row for key, row in rows}
    return found


def find_erased_names(reader: Reader, names: Collection[str]) -> set[str]:
    """Return those of these usernames that erased people had."""
    if not names or reader.reads.row("SELECT 1 FROM erased LIMIT 1") is None:
        return set()
    secret = read_hash_key(reader)
    keys = {name: hash_account(secret, None, name) for name in names}
    known = find_erased_hashes(reader, set(keys.values()))
    return {name for name, key in keys.items() if key in known}


def is_erased_account(reader: Reader, user_id: str) -> bool:
    """Tell whether an account belonged to an erased person, who may have made a later request."""
    return bool(find_erased_hashes(reader, [hash_account(read_hash_key(reader), user_id, None)]))


def write_keys(db: Database, keys: Collection[tuple[bytes, int | None]]) -> None:
    """Store hashes with their request numbers; a known number is not forgotten."""
    db.run_many(
        "INSERT INTO erased (key, request_id) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET request_id = coalesce(excluded.request_id, erased.request_id)",
        list(keys),
    )


def link_new_request(db: Database, request: ErasedRequest, number: int) -> None:
    """Store the number of the row that was created for an erased record."""
    write_keys(db, [(key, number) for key in request.keys])
