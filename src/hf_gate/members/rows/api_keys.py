"""Stores the keys of other systems. Secrets are stored only as digests.

A key has a name, verbs and repos. A newer secret of the same name takes over; the earlier ones work until their end.
"""

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
_WORKS: Final = "(until_at IS NULL OR until_at >= ?)"


def list_api_keys(reader: Reader, at: int) -> list[ApiKey]:
    """Return the secrets that work, by name, the newest of each first."""
    return _select(reader.reads, f"{_WORKS} ORDER BY name, made_at DESC, digest", at)


def find_key_by_secret(reader: Reader, secret: str, at: int) -> KeyMember | None:
    """Return the key of a secret as a member; None if the secret does not work."""
    return _as_member(_select(reader.reads, f"digest = ? AND {_WORKS}", digest_secret(secret), at))


def find_key_by_id(reader: Reader, member: str, at: int) -> KeyMember | None:
    """Return a key by its id as a member; None if it was revoked."""
    name = member.removeprefix(KEY_ACTOR)
    return _as_member(_select(reader.reads, f"name = ? AND {_WORKS} ORDER BY made_at DESC LIMIT 1", name, at))


def make_key(store: Store, key: ApiKey, by: str, *, old_until: int) -> int | None:
    """Store a new secret. Earlier ones of the same name work until `old_until` at most (ms).

    Return that time; None if there was no earlier one that works.
    """
    with store.writing(is_short=True) as write:
        later = "UPDATE api_keys SET until_at = ? WHERE name = ? AND (until_at IS NULL OR until_at > ?)"
        write.db.run(later, (old_until, key.name, old_until))
        end = old_until if _select(write.db, f"name = ? AND {_WORKS}", key.name, key.made_at) else None
        values = msgspec.structs.asdict(key) | {"verbs": json.dumps(key.verbs)}
        values["repos"] = None if key.repos is None else json.dumps(key.repos)
        write.db.run(f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", tuple(values.values()))
        event = e.KeyMade(key=key.name, verbs=key.verbs, digest=key.digest, repos=key.repos, old_until=end)
        write.append(None, [LedgerEntry(event=event, at=key.made_at, actor=by)])
    return end


def revoke_key(store: Store, name: str, by: str, at: int) -> bool:
    """End all secrets of a key; return False if none works."""
    with store.writing(is_short=True) as write:
        if not _select(write.db, f"name = ? AND {_WORKS}", name, at):
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
