"""Output records of a workspace and its store: init, doctor, demo, and what is done with the whole store."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hf_gate.core.records import Count, HealthRecord, OpenProblemRecord, Record
from hf_gate.ledger.records import CheckpointRecord
from hf_gate.requests.records import SyncRecord


class InitRecord(SyncRecord, frozen=True, kw_only=True):
    """A workspace that was created, with the first sync of its repos."""

    desk: str
    policy: str
    rows: Count | None
    plan: str | None
    left_out: list[str]
    differing: list[str]
    may_decide: Annotated[dict[str, bool | None], Meta(description="by repo; null: unknown")]


class FindingRecord(Record, frozen=True, kw_only=True):
    """The result of one check. `ok` is null for a note."""

    check: str
    ok: bool | None
    detail: str
    hint: str | None


class DoctorRecord(Record, frozen=True, kw_only=True):
    """The results of the checks of an installation, and what needs a person in its store."""

    ok: bool
    checks: list[FindingRecord]
    problems: list[OpenProblemRecord]
    health: Annotated[HealthRecord | None, Meta(description="of unattended work; null without a store")]


class DemoStepRecord(Record, frozen=True, kw_only=True):
    """One step of the demo."""

    step: str
    ok: bool
    detail: str


class DemoRecord(Record, frozen=True, kw_only=True):
    """The steps of the demo, and its addresses."""

    ok: bool
    url: str
    desk_url: str | None
    login_url: str | None
    steps: list[DemoStepRecord]


class StoreCheckRecord(Record, frozen=True, kw_only=True):
    """The result of a check of the store."""

    store: str
    ok: bool
    entries: Count
    findings: list[str]


class StoreExportRecord(Record, frozen=True, kw_only=True):
    """An export of the store, with the lines of its files."""

    folder: str
    files: dict[str, Count]
    left_out: list[str]


class StoreCopyRecord(Record, frozen=True, kw_only=True):
    """A backup of the store."""

    store: str
    file: str
    bytes: Count


class BackupManifest(Record, frozen=True, kw_only=True):
    """What a backup holds, in `FILE.json` beside it."""

    version: Annotated[str, Meta(description="of the hf-gate that wrote the backup")]
    workspace: Annotated[str | None, Meta(description="the name of the workspace's folder")]
    erasures: Annotated[Count, Meta(description="people who were erased before the backup")]
    checkpoint: Annotated[CheckpointRecord, Meta(description="the time, and the heads of all chains of the ledger")]


class DisarmRecord(Record, frozen=True, kw_only=True):
    """A store that sends nothing to these repos before a full sync."""

    store: str
    repos: list[str]


class RestoreRecord(DisarmRecord, frozen=True, kw_only=True):
    """A store that was replaced with a backup."""

    file: str
    replaced: Annotated[str | None, Meta(description="where the old store is kept")]


class RetentionRecord(Record, frozen=True, kw_only=True):
    """Requests whose personal data was kept long enough, and the days of each status."""

    deleted: bool
    requests: dict[str, Count]
    days: dict[str, Count]


class RemovalRecord(Record, frozen=True, kw_only=True):
    """A store that was removed, and files that stay.

    `ends` counts the people whose access no longer ends by itself; null if the store could not be read.
    """

    store: str
    removed: list[str]
    stays: list[str]
    ends: int | None
