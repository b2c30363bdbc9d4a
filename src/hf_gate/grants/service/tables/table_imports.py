"""Imports a file into a table: reads it, says whom its rows mean, and drafts the new version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import islice
from typing import Final

from msgspec import Struct

from hf_gate.base.display_text import make_visible
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.table_files import build_table_of_file
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.tables import KEYS, Table, TableRow
from hf_gate.policies.parsing.table_text import (
    KEY_COLUMN,
    ParsedFile,
    has_key_column,
    parse_file,
    rename_columns,
    spread_key,
)
from hf_gate.settings.service.workspace import Workspace

from .own_tables import OwnTable, TableDraft, columns_of, draft_import
from .people_lists import PeopleIndex

_MAX_COMPARED: Final = 50_000  # the most requests that are compared with a file
_NOTHING_WRITTEN: Final = "Correct it. Nothing was written."


class TableImport(Struct, frozen=True):
    """A drafted import, and whom its rows mean.

    `unmatched` are the rows that mean nobody who asked, `without_row` the people who wait and whom no row means.
    `columns` are columns that were recognised by their content, each with the column of the table that it means.
    """

    draft: TableDraft
    matched: int
    unmatched: Sequence[TableRow]
    without_row: Sequence[PersonRow]
    columns: Mapping[str, str]


def read_rows(
    content: bytes, key: Sequence[str], columns: Mapping[str, str], *, is_json: bool
) -> tuple[ParsedFile, Mapping[str, str]]:
    """Return the records of a file under the names of the table's columns, and the columns recognised by their content.

    `key` are the key columns of the table. `columns` are names of columns in the file, each with its name in the table.
    If the file has no column of a key, the only column that holds nothing but e-mail addresses is `email`. Raises
    UsageError for a name that the file does not have.
    """
    read = parse_file(content, (*key, *columns), is_json=is_json)
    absent = next((name for name in columns if name not in read.header), None)
    if absent is not None and not read.refused:
        known = make_visible(", ".join(read.header), one_line=True)[:200]
        raise UsageError(
            f"the file has no column {make_visible(absent, one_line=True)[:60]}.", hint=f"It has: {known}."
        )
    read = rename_columns(read, columns)
    recognised = recognise_email_column(read) if "email" in key else {}
    read = rename_columns(read, recognised)
    if not has_key_column(read.header, key):
        return read, recognised
    header = tuple(dict.fromkeys((*key, *(name for name in read.header if name != KEY_COLUMN))))
    return read.with_records([(line, spread_key(cells)) for line, cells in read.records], header), recognised


def check_rows(read: ParsedFile, name: str, key: Sequence[str], zone: tzinfo) -> Table:
    """Return the records of a file as a table. Raises UsageError with the place of a mistake, or if there are none."""
    table = build_table_of_file(read, name, key, zone, previous_rows=0)
    wrong = next((problem for problem in table.problems if problem.is_error and problem.line), None)
    if table.refusal or wrong is not None:
        message = table.refusal.partition(": ")[2] if wrong is None else f"line {wrong.line}: {wrong.message[:-1]}"
        raise UsageError(
            f"the file cannot be used: {message}.",
            hint=_NOTHING_WRITTEN if wrong is not None or {*key} & {*read.header} else _suggest_names(read),
        )
    if not read.records:
        raise UsageError("the file has no rows.", hint="Nothing was written.")
    return table


def _suggest_names(read: ParsedFile) -> str:
    if not has_column_names(read):
        return "Write a first line with the names of the columns, such as email. Nothing was written."
    return "Rename a column, or say what one means, as in --column email=E-Mail-Adresse. Nothing was written."


def has_column_names(read: ParsedFile) -> bool:
    """Whether the first line can be one of names of columns. With an address, it is a row like the others."""
    return not any("@" in name for name in read.header)


def recognise_email_column(read: ParsedFile) -> dict[str, str]:
    """Return the only column that holds nothing but e-mail addresses; nothing for a file with a column of a key, or
    without names of columns.
    """
    if {*KEYS, KEY_COLUMN} & {*read.header} or not has_column_names(read):
        return {}
    names = [
        name for name in read.header if name and _holds_addresses([cells.get(name, "") for _, cells in read.records])
    ]
    return {names[0]: "email"} if len(names) == 1 else {}


def _holds_addresses(cells: Sequence[str]) -> bool:
    texts = [cell.strip() for cell in cells if cell.strip()]
    return bool(texts) and all(parse_address(text) is not None for text in texts)


def prepare_import(
    workspace: Workspace,
    own: OwnTable,
    content: bytes,
    *,
    is_json: bool,
    replaces: bool,
    columns: Mapping[str, str] | None = None,
) -> TableImport:
    """Read a file and draft its import; nothing is written. Raises UsageError with the place of a mistake.

    `columns` are names of columns in the file, each with the column of the table that it means.
    """
    people = PeopleIndex()
    waiting: dict[int, PersonRow] = {}
    for request in islice(_iterate_concerned(workspace, own), _MAX_COMPARED):
        people.add(request.person)
        if request.state.status == Status.PENDING:
            waiting[request.person.id] = request.person
    read, recognised = read_rows(content, own.spec.key, columns or {}, is_json=is_json)
    parsed = _add_keys(own, people, read)
    table = check_rows(parsed, own.name, own.spec.key, own.folder.zone)
    draft = draft_import(own, dict(parsed.records), table, parsed.header, replaces=replaces)
    found = [(row, _identify(people, row)) for row in table.rows]
    matched = {person.id for _, person in found if person is not None}
    return TableImport(
        draft,
        matched=sum(person is not None for _, person in found),
        unmatched=[row for row, person in found if person is None and row.domain is None],
        without_row=[person for ident, person in waiting.items() if ident not in matched],
        columns=recognised,
    )


def _iterate_concerned(workspace: Workspace, own: OwnTable) -> Iterator[RequestRow]:
    """Yield the pending and accepted requests at the table's repos, the oldest of each repo first."""
    for repo in sorted(row.repo for row in workspace.store.repos()):
        if own.folder.config.includes(repo) and matches_any(own.globs, repo):
            for status in (Status.PENDING, Status.ACCEPTED):
                yield from workspace.store.iterate_requests(repo, status.value)


def _identify(people: PeopleIndex, row: TableRow) -> PersonRow | None:
    """Return whom a row means, by its most reliable key."""
    found = people.identify({column: row.value_of_key(column) or "" for column in KEYS})
    return found[0] if found else None


def _identify_cells(people: PeopleIndex, cells: Mapping[str, str]) -> PersonRow | None:
    """Return whom the cells of a row mean, although none is a key of its table; None if they name two people."""
    address = parse_address(cells.get("email", "").strip())
    texts = {column: cells.get(column, "").strip().removeprefix("@").lower() for column in KEYS}
    found = people.identify(texts | {"email": "" if address is None else str(address)})
    return found[0] if len(found) == 1 else None


def _add_keys(own: OwnTable, people: PeopleIndex, read: ParsedFile) -> ParsedFile:
    """Look up the key of rows that name a person by another column: by a username, where the table asks for an address.

    Raises UsageError for a row whose person did not ask, or whose key is not known.
    """
    key = own.spec.key
    others = {column for column in KEYS if column not in key and column in read.header}
    if not others or read.refused:
        return read
    kept = {*columns_of(own), *(() if own.exists else read.header)}
    records = []
    for line, cells in read.records:
        new = {column: text for column, text in cells.items() if column not in others or column in kept}
        if not any(cells.get(column, "").strip() for column in key):
            person = _identify_cells(people, cells)
            known = {} if person is None else {column: getattr(person.identity, column) or "" for column in key}
            if not any(known.values()):
                name = make_visible(next(filter(None, map(cells.get, others)), ""), one_line=True)[:60]
                raise UsageError(
                    f"line {line}: the {' or '.join(key)} of {name!r} is not known: no request names it,"
                    " or it means two people.",
                    hint=(
                        "Write it into the file, or remove the line. Nothing was written. The key is "
                        f"{' or '.join(key)}."
                    ),
                )
            new |= known
        records.append((line, new))
    header = tuple(column for column in dict.fromkeys((*read.header, *key)) if column not in others or column in kept)
    return read.with_records(records, header)
