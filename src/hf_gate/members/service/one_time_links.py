"""Keeps one-time links until they are used or lapse, for all desks of a store."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final, NamedTuple

from hf_gate.members.rows.one_time_links import read_link, take_link, write_link
from hf_gate.members.sessions import OneTimeLink
from hf_gate.store.store import Store

_MAX_LINKS: Final = 1000  # at a time, in one process
_MAX_OF_MEMBER: Final = 20  # of these, the links of one member of one kind


class _KeptLink(NamedTuple):
    """A link in this process. `until` is by the monotonic clock."""

    link: OneTimeLink
    until: float


class OneTimeLinks:
    """The links by their secrets. Of each member, the latest of a kind are kept.

    On PostgreSQL they are in the store, so that any desk can answer what another one began. On SQLite, where one
    machine has the store, they are in this process.
    """

    def __init__(self, store: Store) -> None:
        self._store = store if store.is_shared else None
        self._kept: dict[str, _KeptLink] = {}
        self._lock = threading.Lock()

    def issue(self, link: OneTimeLink, seconds: float) -> str:
        """Keep a link under a new secret, and return the secret."""
        secret = secrets.token_urlsafe(32)
        self.keep(secret, link, seconds)
        return secret

    def keep(self, secret: str, link: OneTimeLink, seconds: float) -> None:
        """Keep a link for so many seconds."""
        if self._store is not None:
            write_link(self._store, secret, link, lifetime=round(seconds * 1000), most=_MAX_OF_MEMBER)
            return
        now = time.monotonic()
        with self._lock:
            kept = {name: one for name, one in self._kept.items() if one.until > now and name != secret}
            same = [name for name, one in kept.items() if one.link == link]
            for name in same[: len(same) - _MAX_OF_MEMBER + 1]:
                del kept[name]
            while len(kept) >= _MAX_LINKS:
                kept.pop(next(iter(kept)))
            self._kept = {**kept, secret: _KeptLink(link, now + seconds)}

    def find(self, secret: str) -> OneTimeLink | None:
        """Return the link of a secret; None if there is none, or it has lapsed."""
        if self._store is not None:
            return read_link(self._store, secret)
        return _unless_lapsed(self._kept.get(secret))

    def take(self, secret: str) -> OneTimeLink | None:
        """Return the link of a secret, and delete it: each link is taken once."""
        if self._store is None:
            with self._lock:
                return _unless_lapsed(self._kept.pop(secret, None))
        if self.find(secret) is None:  # strangers must not take the write lock
            return None
        return take_link(self._store, secret)


def _unless_lapsed(one: _KeptLink | None) -> OneTimeLink | None:
    return one.link if one is not None and time.monotonic() < one.until else None
