"""Keeps values that lapse, such as one-time links, for all desks of a store."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Generic, NamedTuple, TypeVar

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.members.rows.shared_values import (
    read_shared_value,
    take_shared_value,
    write_shared_value,
)
from hf_gate.store.store import Store

T = TypeVar("T", bound=msgspec.Struct)


class _Kept(NamedTuple):
    """A value in this process. `until` is by the monotonic clock."""

    subject: str
    value: msgspec.Struct
    until: float


class SharedValues(Generic[T]):
    """Values of one kind, by key. Of each subject, the latest `of_subject` values are kept.

    On PostgreSQL they are in the store, so that any desk can answer what another one began. On SQLite, where one
    machine has the store, they are in this process, at most `most` of them.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        of: type[T],
        *,
        of_subject: int = 1,
        most: int = 1000,
    ) -> None:
        self._store = store if store.is_shared else None
        self._kind = kind
        self._of = of
        self._of_subject = of_subject
        self._most = most
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def issue(self, subject: str, value: T, seconds: float) -> str:
        """Keep a value under a new secret, and return the secret."""
        secret = secrets.token_urlsafe(32)
        self.keep(secret, subject, value, seconds)
        return secret

    def keep(self, key: str, subject: str, value: T, seconds: float) -> None:
        """Keep a value for so many seconds; it replaces that of the same key."""
        if self._store is not None:
            content = msgspec.json.encode(value)
            lifetime = round(seconds * 1000)
            write_shared_value(
                self._store, self._kind, key, subject, content, lifetime=lifetime, of_subject=self._of_subject
            )
            return
        now = time.monotonic()
        with self._lock:
            kept = {name: one for name, one in self._kept.items() if one.until > now and name != key}
            same = [name for name, one in kept.items() if one.subject == subject]
            for name in same[: len(same) - self._of_subject + 1]:
                del kept[name]
            while len(kept) >= self._most:
                kept.pop(next(iter(kept)))
            self._kept = {**kept, key: _Kept(subject, value, now + seconds)}

    def find(self, key: str) -> T | None:
        """Return the value of a key; None if there is none, or it has lapsed."""
        if self._store is not None:
            return self._decode(read_shared_value(self._store, self._kind, key))
        return self._unless_lapsed(self._kept.get(key))

    def take(self, key: str) -> T | None:
        """Return the value of a key, and delete it: each value is taken once."""
        if self._store is None:
            with self._lock:
                return self._unless_lapsed(self._kept.pop(key, None))
        if self.find(key) is None:  # strangers must not take the write lock
            return None
        return self._decode(take_shared_value(self._store, self._kind, key))

    def _decode(self, content: bytes | None) -> T | None:
        return None if content is None else decode_json(content, self._of)

    def _unless_lapsed(self, one: _Kept | None) -> T | None:
        value = one.value if one is not None and time.monotonic() < one.until else None
        return value if isinstance(value, self._of) else None
