"""Output records of `hf-gate status`: what waits, the token, guards, and what a person must look at."""

from __future__ import annotations

from hf_gate.base.ids import RepoType
from hf_gate.core.records import Count, HealthRecord, Record, RepoReference, RepoStatusRecord, RunRecord, Time
from hf_gate.messages.records import DestinationRecord


class TokenStatusRecord(Record, frozen=True, kw_only=True):
    """What is known of the token: whether the Hub accepts it, and how many calls are left."""

    ok: bool | None = None
    account: str | None = None
    detail: str = ""
    remaining: Count | None = None
    quota: Count | None = None
    window_s: float | None = None
    clock_skew_s: int | None = None


class GuardStatusRecord(Record, frozen=True, kw_only=True):
    """A rate limit of unattended work, and how much of it is used."""

    name: str
    limit: Count
    seconds: Count
    used: Count
    stuck: bool


class RefusedTableRecord(Record, frozen=True, kw_only=True):
    """A table whose file as it is now is not used."""

    table: str
    why: str


class UnknownConditionsRecord(RepoReference, frozen=True, kw_only=True):
    """Grants whose end nothing moves any more, because tables that they read are not declared."""

    grants: Count
    tables: list[str]


class MissingApprovalsRecord(Record, frozen=True, kw_only=True):
    """A request that was accepted outside hf-gate with fewer approvals than needed."""

    request_id: str | None
    repo: str
    repo_type: RepoType
    at: Time
    given: Count
    needed: Count


class ProcessRecord(Record, frozen=True, kw_only=True):
    """A loop or a desk that runs, on PostgreSQL. `files` is the digest of its policies and tables."""

    id: str
    role: str
    leads: bool
    host: str
    version: str
    revision: str
    files: str


class StatusRecord(Record, frozen=True, kw_only=True):
    """The state of a workspace."""

    endpoint: str
    desk: str | None
    at: Time
    repos: list[RepoStatusRecord]
    token: TokenStatusRecord
    guards: list[GuardStatusRecord]
    held: dict[str, Count]
    refused_tables: list[RefusedTableRecord]
    held_ends: Count
    unknown_conditions: list[UnknownConditionsRecord]
    undelivered: list[DestinationRecord]
    approvals_missing: list[MissingApprovalsRecord]
    runs: list[RunRecord]
    health: HealthRecord
    processes: list[ProcessRecord]
