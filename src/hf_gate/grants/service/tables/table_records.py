"""Output records of the owner's tables: a table, one of its rows, and what a change writes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from hf_gate.base.timestamps import to_iso
from hf_gate.core.records import Count, Record, Time, extend_record
from hf_gate.policies.facts.tables import NO_ACCOUNT, TableRow

from .own_tables import OwnTable, TableDraft, name_row
from .table_imports import TableImport

MAX_LISTED: Final = 1_000
State = Literal["valid", "expired", "later", "unbound", "unknown"]


class TableRecord(Record, frozen=True, kw_only=True):
    """One table of the workspace."""

    table: str
    file: Annotated[str | None, Meta(description="null: the rows are in the store or in the YAML file")]
    stored: Annotated[bool, Meta(description="the rows are in the store")]
    key: list[str]
    rows: Count
    policies: Annotated[list[str], Meta(description="the policies that use it")]
    refused: Annotated[str | None, Meta(description="why the file as it is now is not used")]
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
    state: Annotated[State, Meta(description="unbound: the username has no account yet; unknown: a wrong date")]
    account: Annotated[str | None, Meta(description="the account id to which the username is bound")]
    row: Annotated[dict[str, str] | None, Meta(description="the other columns; null: hidden from viewers")]


class ListedRowRecord(Record, frozen=True, kw_only=True):
    """One row that means nobody who asked."""

    line: Count
    who: str


class LikelyRowRecord(ListedRowRecord, frozen=True, kw_only=True):
    """One row that may mean somebody who asked."""

    near: Annotated[str, Meta(description="the name of this person")]


class DomainRowRecord(ListedRowRecord, frozen=True, kw_only=True):
    """One row with a domain."""

    people: Annotated[Count, Meta(description="people who asked with an address of this domain")]


class PersonWithoutRowRecord(Record, frozen=True, kw_only=True):
    """Somebody who waits and whom no row means."""

    user: str | None
    user_id: str | None
    person: Annotated[str, Meta(description="the pseudonym that the audit log uses")]


class TableEditRecord(Record, frozen=True, kw_only=True):
    """How many rows of a table a command changes."""

    table: str
    written: bool
    added: Count
    changed: Count
    removed: Count


class TableImportRecord(TableEditRecord, frozen=True, kw_only=True):
    """What an import changes, and whom its rows mean."""

    columns: Annotated[dict[str, str], Meta(description="columns that were recognised")]
    notes: Annotated[list[str], Meta(description="what was read in another way than it is written")]
    found: Annotated[Count, Meta(description="rows that mean somebody who asked")]
    likely: list[LikelyRowRecord]
    not_found: list[ListedRowRecord]
    domains: list[DomainRowRecord]
    without_row: list[PersonWithoutRowRecord]


def table_edit_record(draft: TableDraft, *, is_written: bool) -> TableEditRecord:
    """Return the record of a change of a table."""
    return TableEditRecord(
        table=draft.own.name,
        written=is_written,
        added=len(draft.diff.added),
        changed=len(draft.diff.changed),
        removed=len(draft.diff.removed),
    )


def table_import_record(table_import: TableImport, edit: TableEditRecord | None = None) -> TableImportRecord:
    """Return the record of an import, with at most `MAX_LISTED` rows and people. `edit` says what it changes."""
    return extend_record(
        edit or table_edit_record(table_import.draft, is_written=False),
        TableImportRecord,
        columns=dict(table_import.people.columns),
        notes=list(table_import.notes),
        found=table_import.found,
        likely=[
            LikelyRowRecord(line=each.row.line, who=name_row(each.row), near=each.near)
            for each in table_import.likely[:MAX_LISTED]
        ],
        not_found=[ListedRowRecord(line=row.line, who=name_row(row)) for row in table_import.not_found[:MAX_LISTED]],
        domains=[
            DomainRowRecord(line=each.row.line, who=name_row(each.row), people=each.people)
            for each in table_import.domains[:MAX_LISTED]
        ],
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
        stored=own.spec.is_stored,
        key=list(own.table.key),
        rows=len(own.table.rows),
        policies=sorted({policy.name for policy in own.policies}),
        refused=own.table.refusal or None,
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
    if row.date_problem:
        return "unknown"
    if row.username and not (is_bound or row.email or row.user_id or row.domain):
        return "unbound"
    if row.starts is not None and now < row.starts:
        return "later"
    return "valid" if row.expires is None or now < row.expires else "expired"


def describe_binding(row: TableRow, bindings: Mapping[str, str]) -> str:
    """Return why a row with only a username counts for nobody yet; empty if it counts."""
    if not row.username or row.user_id or row.email or bindings.get(row.username):
        return ""
    if bindings.get(row.username) == NO_ACCOUNT:
        return "no account had this name; add their e-mail address or account id"
    return "its account is looked up by the next plan"
