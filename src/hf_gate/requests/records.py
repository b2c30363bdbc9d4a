"""Output records of syncs, of the form of a gate, and of the access of the token's account."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from hf_gate.base.ids import RepoType
from hf_gate.core.forms.roles import Role
from hf_gate.core.records import Count, Record, RepoProblemRecord, RepoReference

from .sync_schedule import SyncKind


class SyncedRepoRecord(RepoReference, frozen=True, kw_only=True):
    """One repo that was synced."""

    kind: SyncKind
    why: str
    complete: Annotated[bool | None, Meta(description="null for a quick sync, which proves nothing")]
    doubts: list[str]
    read: Count
    new: Count
    again: Count
    changed: Count
    moved: Count
    withdrawn: Count
    read_on: bool
    counts: dict[str, Count]


class SyncRecord(Record, frozen=True, kw_only=True):
    """The repos that were synced, and those where this failed."""

    repos: list[SyncedRepoRecord]
    failed: list[RepoProblemRecord]


class FormOptionRecord(Record, frozen=True, kw_only=True):
    """One choice of a question."""

    label: str
    value: str


class FormFieldRecord(Record, frozen=True, kw_only=True):
    """One question of a form."""

    label: str
    type: str
    role: Role
    options: list[FormOptionRecord]
    required: bool | None
    known: Annotated[bool, Meta(description="whether the Hub has this type")]


class FormProblemRecord(Record, frozen=True, kw_only=True):
    """One problem of a card."""

    line: Count
    column: Count
    code: str
    severity: str
    message: str
    fix: str


class FormRecord(Record, frozen=True, kw_only=True):
    """What a gate asks of a requester, and the problems of its card."""

    repo: str | None
    repo_type: RepoType | None
    gated: Literal[False] | str | None
    errors: Count
    warnings: Count
    fields: list[FormFieldRecord]
    prompt: str | None
    heading: str | None
    description: str | None
    button: str | None
    eu_disallowed: bool | None
    fingerprint: str | None
    prompt_fingerprint: str | None
    problems: list[FormProblemRecord]


class AccessStateRecord(RepoReference, frozen=True, kw_only=True):
    """The access of the token's account to a repo."""

    status: Literal["granted", "ask", "pending", "rejected", "reset", "sign_in", "unknown"]
