"""Compares what a store keeps of requests beside their state with what it follows from: mail domains, and reasons given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ..domain.events import EventKind, canonical_json
from ..domain.ledger import ChainBreak
from ..domain.rows import DerivedRow, LedgerRow
from ..store.store import Store

NOT_COMPARED: Final = (
    "the country of a request: it is read from an answer, by lists that change from version to version",
    "names and mail addresses of people, as last read",
    "counts, histories and search texts",
    "plans, runs and their changes, so also what one person sent within a day, and who agreed to a plan",
    "settings, first turns and halts of policies, saved views, and decisions that were not sent",
)
"""What lies beside the ledger and is not compared with it."""

_CHUNK: Final = 1000
_STARTED: Final = EventKind.CHANGE_STARTED


class LastReasons:
    """The last reason that each request was given, as the ledger's private parts say: 8 bytes for each."""

    def __init__(self) -> None:
        self._last: dict[int, bytes | None] = {}  # None: its private part was erased

    def add(self, request: int | None, kind: str, body: bytes, private: bytes | None) -> None:
        """Take in an entry of the ledger, the oldest first."""
        if request is None or kind != _STARTED or b'"has_reason":true' not in body:
            return
        self._last[request] = None if private is None else _digest_in(private)

    def matches(self, request: int, reason: str | None) -> bool:
        """Whether that is the last reason; True when that is not known any more."""
        if request not in self._last:
            return reason is None
        last = self._last[request]
        return last is None or last == _digest(reason)


class _PrivateReason(msgspec.Struct):
    reason: str | None = None


def _digest_in(private: bytes) -> bytes | None:
    try:
        return _digest(msgspec.json.decode(private, type=_PrivateReason).reason)
    except msgspec.DecodeError:
        return None


def _digest(reason: str | None) -> bytes:
    """Of a reason without the characters that a database or JSON may replace."""
    text = (reason or "").encode("utf-8", "replace").decode().translate({0: "?", 0xFFFD: "?"})
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def find_differing_columns(
    store: Store, chain: str, requests: Sequence[int], reasons: LastReasons
) -> Iterator[ChainBreak]:
    """Requests of a chain whose mail domain or last reason is not the one that follows."""
    for start in range(0, len(requests), _CHUNK):
        rows = store.derived_columns(requests[start : start + _CHUNK])
        doubted = [number for number, row in rows.items() if _fault(number, row, reasons)]
        if not doubted:
            continue
        for number, row in store.derived_columns(doubted).items():  # it may have changed since its entries were read
            fault = _fault(number, row, _reasons_now(store, number))
            if fault:
                yield ChainBreak(chain, 0, f"request {number} {fault}")


def _reasons_now(store: Store, request: int) -> LastReasons:
    reasons, before, entries = LastReasons(), None, list[LedgerRow]()
    while page := store.entries(request=request, before=before):
        entries += page
        before = page[-1].id
    for row in reversed(entries):
        private = None if row.private is None else canonical_json(row.private)
        reasons.add(request, row.link.kind, row.link.body, private)
    return reasons


def _fault(number: int, row: DerivedRow, reasons: LastReasons) -> str:
    if row.domain != row.mail_domain:
        return "has another mail domain than its person"
    return "" if reasons.matches(number, row.reason) else "has another last reason than its entries"
