"""Output records of the owner's tables: a table, one of its rows, and one person whom a new
version lists differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from hf_gate.base.timestamps import ms_to_iso, to_iso
from hf_gate.core.lifecycle import Status
from hf_gate.core.records import Count, Record, RequestReference, Time, extend_record
from hf_gate.grants.service.ends.grant_ends import MAX_EARLIER
from hf_gate.policies.facts.tables import NO_ACCOUNT, TableRow

from .own_tables import OwnTable, TableDraft, name_row
from .table_effects import TableEffect
from .table_imports import TableImport

MAX_LISTED: Final = 1_000
State = Literal["valid", "expired", "later", "unknown"]
Hit = Annotated[str, Meta(description="valid, expired, missing or unknown")]


class TableRecord(Record, frozen=True, kw_only=True):
    """One table of the workspace."""

    table: str
    file: Annotated[str | None, Meta(description="null: the rows are in the YAML file")]
    key: list[str]
    rows: Count
    policies: Annotated[list[str], Meta(description="the policies that use it")]
    refused: Annotated[str | None, Meta(description="why the file as it is now is not used")]
    in_force_since: Annotated[Time | None, Meta(description="when the version in force was last the file's")]
    problems: Annotated[Count, Meta(description="lines with an error or a warning")]


class TableRowRecord(Record, frozen=True, kw_only=True):
    """One row of a table."""

    line: Count
    user_id: str | None
    username: str | None
    email: str | None
    domain: Annotated[str | None, Meta(description="the row covers everybody with an address of this domain")]
    starts: Time | None = msgspec.field(name="from")
    expires: Time | None
    state: Annotated[State, Meta(description="unknown: a date cannot be read, or the username waits for an account")]
    account: Annotated[str | None, Meta(description="the account id to which the username is bound")]
    row: Annotated[dict[str, str] | None, Meta(description="the other columns; null: hidden from viewers")]


class TableEffectRecord(RequestReference, frozen=True, kw_only=True):
    """One request whose person two versions of a table list differently."""

    status: str
    before: Hit
    after: Hit
    verdict_before: Annotated[str | None, Meta(description="null: no policy evaluates it, or policies cannot be read")]
    verdict_after: str | None
    ends_before: Annotated[Time | None, Meta(description="of a pending request: the end of an acceptance now")]
    ends_after: Time | None
    starts_at: Annotated[Time | None, Meta(description="when a row starts or expires; null: the next turn")]


class UnmatchedRowRecord(Record, frozen=True, kw_only=True):
    """One row that means nobody who asked."""

    line: Count
    who: str


class PersonWithoutRowRecord(Record, frozen=True, kw_only=True):
    """Somebody who waits and whom no row means."""

    user: str | None
    user_id: str | None
    person: Annotated[str, Meta(description="the pseudonym that the audit log uses")]


class TableEditRecord(Record, frozen=True, kw_only=True):
    """The rows of a table that a command changes, and the people whom it then lists differently."""

    table: str
    written: bool
    added: Count
    changed: Count
    removed: Count
    people: list[TableEffectRecord]


class TableImportRecord(TableEditRecord, frozen=True, kw_only=True):
    """What an import changes, and whom its rows mean."""

    columns: Annotated[dict[str, str], Meta(description="columns recognised by their content")]
    matched: Count
    unmatched: list[UnmatchedRowRecord]
    without_row: list[PersonWithoutRowRecord]


class NewTableRecord(Record, frozen=True, kw_only=True):
    """A table whose file was made."""

    table: str
    file: str | None


def table_edit_record(draft: TableDraft, people: Iterable[TableEffectRecord], *, is_written: bool) -> TableEditRecord:
    """Return the record of a change of a table."""
    return TableEditRecord(
        table=draft.own.name,
        written=is_written,
        added=len(draft.diff.added),
        changed=len(draft.diff.changed),
        removed=len(draft.diff.removed),
        people=list(people),
    )


def table_import_record(table_import: TableImport, edit: TableEditRecord | None = None) -> TableImportRecord:
    """Return the record of an import, with at most `MAX_LISTED` rows and people. `edit` says what it changes."""
    return extend_record(
        edit or table_edit_record(table_import.draft, (), is_written=False),
        TableImportRecord,
        columns=dict(table_import.columns),
        matched=table_import.matched,
        unmatched=[UnmatchedRowRecord(line=row.line, who=name_row(row)) for row in table_import.unmatched[:MAX_LISTED]],
        without_row=[
            PersonWithoutRowRecord(
                user=person.identity.username, user_id=person.identity.user_id, person=person.pseudonym
            )
            for person in table_import.without_row[:MAX_LISTED]
        ],
    )


def table_record(own: OwnTable) -> TableRecord:
    """Return the record of a table."""
    return TableRecord(
        table=own.name,
        file=own.spec.file,
        key=list(own.table.key),
        rows=len(own.table.rows),
        policies=sorted({policy.name for policy in own.policies}),
        refused=own.table.file_problem or None,
        in_force_since=own.table.in_force_since,
        problems=len(own.table.problems),
    )


def table_row_record(row: TableRow, now: datetime, bindings: Mapping[str, str]) -> TableRowRecord:
    """Return the record of one row. `bindings` are the accounts of usernames."""
    account = bindings.get(row.username or "") or None
    return TableRowRecord(
        line=row.line,
        user_id=row.user_id,
        username=row.username,
        email=row.email,
        domain=None if row.domain is None else f"@{row.domain}",
        starts=None if row.starts is None else to_iso(row.starts),
        expires=None if row.expires is None else to_iso(row.expires),
        state=_state_of_row(row, now, is_bound=account is not None),
        account=account,
        row=dict(row.columns),
    )


def _state_of_row(row: TableRow, now: datetime, *, is_bound: bool) -> State:
    if row.date_problem or (row.username and not (is_bound or row.email or row.user_id or row.domain)):
        return "unknown"
    if row.starts is not None and now < row.starts:
        return "later"
    return "valid" if row.expires is None or now < row.expires else "expired"


def describe_binding(row: TableRow, bindings: Mapping[str, str]) -> str:
    """Return why a row with only a username counts for nobody yet; empty if it counts."""
    if not row.username or row.user_id or row.email or bindings.get(row.username):
        return ""
    if bindings.get(row.username) == NO_ACCOUNT:
        return "no account had this name; confirm who it is"
    return "waits until its account is looked up"


def table_effect_record(effect: TableEffect) -> TableEffectRecord:
    """Return the record of one person whom a new version lists differently."""
    row = effect.row
    identity = row.person.identity
    return TableEffectRecord(
        repo=row.repo.id,
        repo_type=row.repo.type,
        request_id=None if row.request is None else row.request.request_id,
        user_id=identity.user_id,
        user=identity.username,
        status=row.state.status,
        before=effect.before.state,
        after=effect.after.state,
        verdict_before=effect.before.verdict,
        verdict_after=effect.after.verdict,
        ends_before=ms_to_iso(effect.before.ends_at),
        ends_after=ms_to_iso(effect.after.ends_at),
        starts_at=ms_to_iso(effect.starts_at),
    )


def describe_held_ends(effects: Iterable[TableEffectRecord]) -> str:
    """Return that the next turn holds the earlier ends for a person, because they are many; "" if it does not."""
    ends = [
        (effect.ends_before, effect.ends_after)
        for effect in effects
        if effect.status == Status.ACCEPTED and not effect.starts_at
    ]
    count = sum(after is not None and (before is None or after < before) for before, after in ends)
    return (
        f"{count:,} end dates move to an earlier time; these are more than {MAX_EARLIER}, so a person must confirm them"
        if count > MAX_EARLIER
        else ""
    )


_STATES: Final = {"missing": "not listed", "valid": "listed", "unknown": "not known yet"}
"""How people call the state of an entry."""


def describe_effect(effect: TableEffectRecord, format_time: Callable[[str], str]) -> str:
    """Return what changes for a person, in words: the entry in the table, the verdict and the end of access."""
    is_waiting = effect.status == Status.PENDING
    before, after = (_STATES.get(state, state) for state in (effect.before, effect.after))
    parts = [f"{before} becomes {after}" if before != after else after]
    if effect.verdict_before != effect.verdict_after:
        parts.append(f"{effect.verdict_before or 'no verdict'} becomes {effect.verdict_after or 'no verdict'}")
    if effect.ends_before != effect.ends_after:
        before, after = (
            "no end" if end is None else format_time(end) for end in (effect.ends_before, effect.ends_after)
        )
        parts.append(f"access {'would end' if is_waiting else 'ends'} {after} instead of {before}")
    start = "" if effect.starts_at is None else f", from {format_time(effect.starts_at)} on"
    return "; ".join(parts) + start
