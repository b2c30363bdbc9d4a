"""Compares two derived columns of requests with their sources: the e-mail domain and the last reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from hf_gate.base.batches import split_into_batches
from hf_gate.base.decoding import decode_json
from hf_gate.core.events.events import ChangeStarted, canonical_json, kind_of
from hf_gate.core.events.ledger import ChainBreak
from hf_gate.core.stored_rows import DerivedRow, TimelineFilter
from hf_gate.store.rows.ledger import iterate_entries
from hf_gate.store.rows.requests import read_derived_columns
from hf_gate.store.store import Store

NOT_COMPARED: Final = (
    "the country of a request, which is derived from an answer by lists that differ between versions",
    "quality of the purpose, kind of e-mail address and fingerprint of the text, which depend on the version's rules",
    "names and e-mail addresses of people, as last read",
    "counts, histories and search texts",
    "the account id of a person whose stored records name none",
    "until when the link of a member is valid, and how the member was admitted",
    "letters that were not sent, and why; letters that an earlier version sent",
    "plans, runs and their changes, including what one person sent within a day and who approved a plan",
    "settings, first turns and halts of policies, saved views, and unsent decisions",
)
"""Data outside the ledger that is not compared with the ledger."""

_CHUNK: Final = 1000
_STARTED: Final = kind_of(ChangeStarted)


class LastReasons:
    """The last reason of each request, from the private parts of the ledger: an 8-byte digest for each."""

    def __init__(self) -> None:
        self._last: dict[int, bytes | None] = {}  # None: the private part was erased

    def add(self, request: int | None, kind: str, body: bytes, private: bytes | None) -> None:
        """Add an entry of the ledger. Entries must be added oldest first."""
        if request is None or kind != _STARTED or b'"has_reason":true' not in body:
            return
        self._last[request] = None if private is None else _digest_in(private)

    def matches(self, request: int, reason: str | None) -> bool:
        """Tell whether this is the last reason; True if the last reason was erased."""
        if request not in self._last:
            return reason is None
        last = self._last[request]
        return last is None or last == _digest(reason)


class _PrivateReason(msgspec.Struct):
    reason: str | None = None


def _digest_in(private: bytes) -> bytes | None:
    try:
        return _digest(decode_json(private, _PrivateReason).reason)
    except msgspec.DecodeError:
        return None


def _digest(reason: str | None) -> bytes:
    """Return the digest of a reason without the characters that a database or JSON may replace."""
    text = (reason or "").encode("utf-8", "replace").decode().translate({0: "?", 0xFFFD: "?"})
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def find_differing_columns(
    store: Store, chain: str, requests: Sequence[int], reasons: LastReasons
) -> Iterator[ChainBreak]:
    """Yield the requests of a chain whose e-mail domain or last reason differs from the source."""
    for batch in split_into_batches(requests, _CHUNK):
        rows = read_derived_columns(store, batch)
        suspects = [number for number, row in rows.items() if _describe_fault(number, row, reasons)]
        if not suspects:
            continue
        # the requests may have changed since their entries were read
        for number, row in read_derived_columns(store, suspects).items():
            fault = _describe_fault(number, row, _read_reasons(store, number))
            if fault:
                yield ChainBreak(chain, 0, f"request {number} {fault}")


def _read_reasons(store: Store, request: int) -> LastReasons:
    reasons = LastReasons()
    for row in reversed(list(iterate_entries(store, TimelineFilter(requests=[request]), with_private=True))):
        private = None if row.private is None else canonical_json(row.private)
        reasons.add(request, row.link.kind, row.link.body, private)
    return reasons


def _describe_fault(number: int, row: DerivedRow, reasons: LastReasons) -> str:
    if row.domain != row.mail_domain:
        return "has a different e-mail domain from its person"
    return "" if reasons.matches(number, row.reason) else "has a different last reason from its entries"
