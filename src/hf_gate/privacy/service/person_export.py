"""Collects everything that is held about one person, as a record and as a page that people can read."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hf_gate.base.decoding import decode_json
from hf_gate.base.display_text import make_visible
from hf_gate.base.private_files import write_private_file
from hf_gate.base.timestamps import ms_to_iso, to_iso
from hf_gate.core.changes import Change
from hf_gate.core.events.entry_records import name_of_entry, text_of_entry
from hf_gate.core.records import ChangeRecord, Count, ExportedRequest, PersonRecord, PlaceRecord, Record, Time
from hf_gate.core.stored_rows import LedgerRow, PersonRow, RequestRow, TimelineFilter
from hf_gate.decisions.records import change_record, person_record
from hf_gate.grants.service.row_details import pair_with_details
from hf_gate.privacy.rows.person_data import join_person_data, read_person_data
from hf_gate.requests.rows.identity import find_same_account, read_full_identity
from hf_gate.requests.service.request_records import exported_request
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.ledger import iterate_entries
from hf_gate.verdicts.service.current_verdicts import CurrentVerdicts

from .erasure_places import find_places

# ---- records ---------------------------------------------------------------------------------------------------------


class PersonEntryRecord(Record, frozen=True, kw_only=True):
    """One entry of the audit log about a person, with its personal data."""

    id: Annotated[str, Meta(description="chain#number, as `hf-gate audit show` takes it")]
    at: Time
    repo: str
    kind: str
    actor: str
    text: Annotated[str, Meta(description="the entry as a sentence")]
    private: Annotated[dict[str, Any] | None, Meta(description="null: the entry has no personal data")]


class DecisionRecord(Record, frozen=True, kw_only=True):
    """One decision in the tray of the desk."""

    repo: str
    verb: str
    reason: str | None
    actor: str
    made_at: Time
    outcome: Annotated[str | None, Meta(description="null: not sent yet")]


class BindingRecord(Record, frozen=True, kw_only=True):
    """A row of a table that was matched with an account."""

    table: str
    key: str


class StoredRowRecord(BindingRecord, frozen=True, kw_only=True):
    """A row of a table in the store."""

    cells: dict[str, str]


class PersonLetterRecord(Record, frozen=True, kw_only=True):
    """One letter to the person, without its text and address, which are not stored."""

    id: str
    kind: str
    repo: str
    made_at: Annotated[Time, Meta(description="when its cause happened")]
    sent_at: Annotated[Time | None, Meta(description="when it was sent last, or marked as sent; null: never")]
    ended_at: Annotated[Time | None, Meta(description="when its outcome was stored; null: none yet")]
    outcome: Annotated[
        str, Meta(description="waiting, sending, sent, marked_sent, unknown, bounced, failed or dropped")
    ]
    problem: str | None


class PersonExportRecord(Record, frozen=True, kw_only=True):
    """Everything that is held about one person."""

    made_at: Time
    endpoint: str
    person: PersonRecord
    requests: list[ExportedRequest]
    entries: list[PersonEntryRecord]
    changes: Annotated[list[ChangeRecord], Meta(description="changes of runs about the person")]
    decisions: list[DecisionRecord]
    letters: list[PersonLetterRecord]
    profile: Annotated[dict[str, Any] | None, Meta(description="the public profile, if a policy read it")]
    bindings: list[BindingRecord]
    table_rows: Annotated[list[StoredRowRecord], Meta(description="rows of tables in the store")]
    tables: Annotated[list[str], Meta(description="tables that contained the person at the last evaluation")]
    selections: Annotated[Count, Meta(description="selections in the desk with a request of the person")]
    places: Annotated[list[PlaceRecord], Meta(description="your files that name the person")]


# ---- collecting ------------------------------------------------------------------------------------------------------


def export_person(workspace: Workspace, person: PersonRow, own: Sequence[Path] = ()) -> PersonExportRecord:
    """Return everything that is held about a person.

    `own` are files of hf-gate that are not searched for the person.
    """
    store = workspace.store
    everybody = [person.id, *find_same_account(store, person.id)]
    found = [row for ident in everybody for row in store.attempts(None, ident)]
    attempts = sorted(found, key=lambda row: (row.repo, row.state.asked_at))
    data = join_person_data([read_person_data(store, ident) for ident in everybody])
    current = {str(row.repo): row.state.status for row in attempts if row.is_current}
    repos = {row.id: row.repo for row in attempts}
    names = {name for ident in everybody for name in read_full_identity(store, ident).pattern.names}
    verdicts = CurrentVerdicts(None)
    pairs = pair_with_details(workspace, attempts)
    return PersonExportRecord(
        made_at=to_iso(workspace.now()),
        endpoint=store.endpoint,
        person=person_record(person, current),
        requests=[exported_request(row, verdicts, details) for row, details in pairs],
        entries=_list_entries(workspace, attempts),
        changes=[change_record(row.n, decode_json(row.change, Change), row) for row in data.changes],
        decisions=[
            DecisionRecord(
                repo=str(repos[decision.request]),
                verb=decision.verb,
                reason=decision.change.reason,
                actor=decision.run.actor,
                made_at=ms_to_iso(decision.run.made_at),
                outcome=decision.outcome,
            )
            for decision in data.decisions
        ],
        letters=[
            PersonLetterRecord(
                id=letter.id,
                kind=letter.kind,
                repo=str(repos[letter.request_id or 0]),
                made_at=ms_to_iso(letter.made_at),
                sent_at=ms_to_iso(letter.tried_at),
                ended_at=ms_to_iso(letter.ended_at),
                outcome=letter.state.value,
                problem=letter.problem,
            )
            for letter in data.letters
        ],
        profile=None if data.profile is None else json.loads(data.profile),
        bindings=[BindingRecord(table=table, key=key) for table, key in data.bindings],
        table_rows=[
            StoredRowRecord(table=table, key=key, cells=json.loads(cells)) for table, key, cells in data.table_rows
        ],
        tables=data.table_hits,
        selections=data.selections,
        places=find_places(workspace.location.folder, (), own, names),
    )


def _list_entries(workspace: Workspace, attempts: Sequence[RequestRow]) -> list[PersonEntryRecord]:
    repos = {row.id: str(row.repo) for row in attempts}
    rows = iterate_entries(workspace.store, TimelineFilter(requests=list(repos)), with_private=True)
    entries = [_entry(repos[row.link.request or 0], row, workspace.zone) for row in rows]
    return sorted(entries, key=lambda entry: (entry.at, entry.id))


def _entry(repo: str, row: LedgerRow, zone: tzinfo) -> PersonEntryRecord:
    link = row.link
    return PersonEntryRecord(
        id=name_of_entry(link),
        at=ms_to_iso(link.at),
        repo=repo,
        kind=link.kind,
        actor=link.actor,
        text=text_of_entry(link, row.private, zone),
        private=None if row.private is None else dict(row.private),
    )


# ---- files -----------------------------------------------------------------------------------------------------------


def write_person_files(record: PersonExportRecord, json_file: Path) -> list[Path]:
    """Write the record as JSON and as a page beside it, both private; return the files."""
    page = json_file.with_suffix(".html")
    write_private_file(json_file, json_document(record))
    write_private_file(page, "".join(render_page(record)).encode())
    return [json_file, page]


def json_document(record: PersonExportRecord) -> bytes:
    """Return the record as an indented JSON document."""
    return msgspec.json.format(msgspec.json.encode({"schema_version": 1, **msgspec.structs.asdict(record)})) + b"\n"


def render_page(record: PersonExportRecord) -> Iterator[str]:
    """Yield a page without scripts that shows the record. All text is escaped, because strangers wrote it."""
    person = record.person
    title = _text(person.user or person.person)
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f"<h1>What is held about {title}</h1><p>Made at {_text(record.made_at)} from {_text(record.endpoint)}.</p>"
    yield from _table("Person", ("Field", "Value"), _fields(msgspec.structs.asdict(person)))
    for request in record.requests:
        fields = {
            key: value for key, value in msgspec.structs.asdict(request).items() if key not in {"answers", "record"}
        }
        yield from _table(f"Request at {request.repo}", ("Field", "Value"), _fields(fields))
        yield from _table("Answers", ("Question", "Answer"), (request.answers or {}).items())
    entries = [(entry.at, entry.repo, entry.actor, entry.text, entry.private) for entry in record.entries]
    yield from _table("Audit log", ("Time", "Repo", "By", "What", "Personal data"), entries)
    changes = [(change.repo, change.before, change.after, change.rule, change.reason) for change in record.changes]
    yield from _table("Changes of runs", ("Repo", "From", "To", "Rule", "Reason"), changes)
    decisions = [
        (decision.made_at, decision.repo, decision.verb, decision.reason, decision.actor)
        for decision in record.decisions
    ]
    yield from _table("Decisions made in the desk", ("Time", "Repo", "Decision", "Reason", "By"), decisions)
    letters = [
        (letter.made_at, letter.repo, letter.kind, letter.sent_at, letter.outcome, letter.problem)
        for letter in record.letters
    ]
    yield from _table("Letters", ("Time", "Repo", "Kind", "Sent", "Outcome", "Problem"), letters)
    yield from _table("Public profile", ("Field", "Value"), _fields(record.profile or {}))
    yield from _table(
        "Matches with tables", ("Table", "Key"), [(binding.table, binding.key) for binding in record.bindings]
    )
    rows = [(row.table, row.key, *one) for row in record.table_rows for one in row.cells.items()]
    yield from _table("Rows of tables", ("Table", "Key", "Column", "Text"), rows)
    yield from _table("Tables that list the person", ("Table",), [(name,) for name in record.tables])
    places = [(place.file, place.line, place.problem) for place in record.places]
    yield from _table("Files that name the person", ("File", "Line", "Problem"), places)
    yield "</html>\n"


def _fields(values: Mapping[str, object]) -> Iterator[tuple[object, ...]]:
    return ((key, value) for key, value in values.items())


def _table(title: str, heads: Sequence[str], rows: Any) -> Iterator[str]:  # noqa: ANN401 - rows of any values
    shown = list(rows)
    if not shown:
        return
    yield f"<h2>{_text(title)}</h2><table border='1'><tr>{''.join(f'<th>{_text(head)}</th>' for head in heads)}</tr>"
    for row in shown:
        yield f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row)}</tr>"
    yield "</table>"


def _text(value: object) -> str:
    if value is None:
        return "–"
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return html.escape(make_visible(plain))
