"""Stores the keys of other systems. Secrets are stored only as digests. A key has a name, verbs and repos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hf_gate.core.events import events as e
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.people.members import KEY_ACTOR, KeyMember, MemberRole
from hf_gate.members.sessions import ApiKey, digest_secret
from hf_gate.store.sql import Database, Reader, decode_row
from hf_gate.store.store import Store

_COLUMNS: Final = ", ".join(ApiKey.__struct_fields__)


def list_api_keys(reader: Reader) -> list[ApiKey]:
    """Return all keys, by name."""
    return _select(reader.reads, "TRUE ORDER BY name")


def find_key_by_secret(reader: Reader, secret: str) -> KeyMember | None:
    """Return the key of a secret as a member; None if the secret does not work."""
    return _as_member(_select(reader.reads, "digest = ?", digest_secret(secret)))


def find_key_by_id(reader: Reader, member: str) -> KeyMember | None:
    """Return a key by its id as a member; None if it was revoked."""
    return _as_member(_select(reader.reads, "name = ?", member.removeprefix(KEY_ACTOR)))


def make_key(store: Store, key: ApiKey, by: str) -> bool:
    """Store a new key; return False if there is one of this name."""
    with store.writing(is_short=True) as write:
        if _select(write.db, "name = ?", key.name):
            return False
        values = msgspec.structs.asdict(key) | {"verbs": json.dumps(key.verbs)}
        values["repos"] = None if key.repos is None else json.dumps(key.repos)
        write.db.run(f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", tuple(values.values()))
        event = e.KeyMade(key=key.name, verbs=key.verbs, digest=key.digest, repos=key.repos)
        write.append(None, [LedgerEntry(event=event, at=key.made_at, actor=by)])
    return True


def revoke_key(store: Store, name: str, by: str, at: int) -> bool:
    """Delete a key; return False if there is none."""
    with store.writing(is_short=True) as write:
        if not _select(write.db, "name = ?", name):
            return False
        write.db.run("DELETE FROM api_keys WHERE name = ?", (name,))
        write.append(None, [LedgerEntry(event=e.KeyRevoked(key=name), at=at, actor=by)])
    return True


def _as_member(found: Sequence[ApiKey]) -> KeyMember | None:
    if not found:
        return None
    key = found[0]
    ident = f"{KEY_ACTOR}{key.name}"
    return KeyMember(name=ident, role=MemberRole.REVIEWER, repos=key.repos, is_active=True, id=ident, verbs=key.verbs)


def _select(db: Database, where: str, *values: Any) -> list[ApiKey]:  # noqa: ANN401 - values of columns
    rows = db.rows(f"SELECT {_COLUMNS} FROM api_keys WHERE {where}", values)
    return [decode_row(row, ApiKey, verbs=_read_words, repos=_read_words) for row in rows]


def _read_words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
