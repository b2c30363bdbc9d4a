"""Output records of `hf-gate status`: what waits, and what needs a person."""

from __future__ import annotations

from hf_gate.core.records import HealthRecord, OpenProblemRecord, Record, RepoStatusRecord, Time


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
    problems: list[OpenProblemRecord]
    health: HealthRecord
    processes: list[ProcessRecord]
