"""Output records of unattended work: one turn of `hf-gate run`, and whether all of it is stopped."""

from __future__ import annotations

from hf_gate.core.records import Count, Record, RepoProblemRecord, RepoReference, RunRecord


class StopRecord(Record, frozen=True, kw_only=True):
    """Whether all unattended work is stopped, and whether this command changed that."""

    stopped: bool
    changed: bool


class TurnSyncRecord(RepoReference, frozen=True, kw_only=True):
    """One repo that a turn synced."""

    kind: str
    read: Count
    news: Count
    complete: bool | None


class HoldRecord(Record, frozen=True, kw_only=True):
    """What keeps changes from being sent: a policy that is not promoted, a halted run, or a repo that refused."""

    kind: str
    subject: str
    count: Count | None
    sentence: str


class DoneByRuleRecord(Record, frozen=True, kw_only=True):
    """How many changes of a turn one rule made."""

    verb: str
    policy: str | None
    rule: str
    count: Count


class TurnResultRecord(Record, frozen=True, kw_only=True):
    """What one turn of `hf-gate run` did, and what it did not do."""

    synced: list[TurnSyncRecord]
    failed: list[RepoProblemRecord]
    stopped: str | None
    unattended_stopped_by: str | None
    profiles: Count
    evaluated: Count
    clock_skew_s: int | None
    resumed: list[RunRecord]
    planned: Count
    run: str | None
    counts: dict[str, Count]
    deferred: dict[str, Count]
    ends: dict[str, Count]
    held: list[HoldRecord]
    summary: dict[str, Count]
    done: list[DoneByRuleRecord]
