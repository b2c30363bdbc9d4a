"""Output records of the audit log: one entry with its seal, a verification, and a checkpoint."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from hf_gate.core.events.ledger import ChainBreak
from hf_gate.core.records import AuditRecord, Count, Record, Time


class SealedEntryRecord(AuditRecord, frozen=True, kw_only=True):
    """One entry with the personal data stored with it, and its seal."""

    private: Annotated[Any, Meta(description="personal data of the entry; null if there is none, or it was erased")]
    commitment: str | None
    hash: str


class VerificationRecord(Record, frozen=True, kw_only=True):
    """The result of a verification of the audit log."""

    ok: bool
    chains: Count
    entries: Count
    broken: list[ChainBreak]
    not_proved: list[str]


class CheckpointRecord(Record, frozen=True, kw_only=True):
    """The heads of all chains at one time. It names repos, but no people."""

    schema_version: Literal[1] = 1
    endpoint: str
    at: Time
    heads: Annotated[dict[str, tuple[int, str]], Meta(description="of each chain: its length and last hash")]
    digest: str
