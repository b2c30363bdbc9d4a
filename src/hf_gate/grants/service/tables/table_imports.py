"""Imports a list of people into a table: reads it, says whom its rows mean, and drafts the new version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct, structs

from hf_gate.base.display_text import limit_lines, make_visible, pluralize
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.errors import UsageError
from hf_gate.grants.drivers.workbooks import read_workbook
from hf_gate.grants.near_names import find_near_names
from hf_gate.grants.people_files import MergedRows, PeopleFile, name_lines, read_people_lines, read_people_text
from hf_gate.policies.drivers.table_files import build_table_of_file, is_json_lines
from hf_gate.policies.facts.email_addresses import parent_domains, parse_address
from hf_gate.policies.facts.tables import KEYS, Table, TableProblem, TableRow
from hf_gate.policies.parsing.table_text import DATE_COLUMNS, KEY_COLUMN, ParsedFile
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store

from .own_tables import (
    OwnTable,
    TableDraft,
    TableFile,
    columns_of,
    draft_import,
    make_table_file,
    name_row,
    read_table_file,
)
from .people_lists import PeopleIndex

_MAX_COMPARED: Final = 50_000  # the most requests that are compared with a file
_MAX_LISTED: Final = 20  # the most lines that an error names
_MAX_NEAR: Final = 1_000  # the most rows for which near names are looked up
_WORKBOOK: Final = b"PK\x03\x04"
_OLD_WORKBOOK: Final = b"\xd0\xcf\x11\xe0"
_NAME_COLUMNS: Final = ("name", "fullname", "full_name", "full name")


class LikelyRow(NamedTuple):
    """A row that means nobody who asked, and somebody whom it may mean."""

    row: TableRow
    person: PersonRow

    @property
    def near(self) -> str:
        """The name of this person."""
        return name_of_asker(self.person)


class DomainRow(NamedTuple):
    """A row with a domain, and how many people who asked have an address there."""

    row: TableRow
    people: int


class TableImport(Struct, frozen=True):
    """A drafted import, and whom its rows mean.

    Of the rows, `found` mean somebody who asked, `likely` may mean the person whom they name, and `not_found` mean
    nobody. `without_row` are the people who wait and whom no row means. `people` is the list as it was read, and
    `notes` say what was read in another way than it is written.
    """

    draft: TableDraft
    found: int
    likely: Sequence[LikelyRow]
    not_found: Sequence[TableRow]
    domains: Sequence[DomainRow]
    without_row: Sequence[PersonRow]
    people: PeopleFile
    notes: Sequence[str]


def read_people_file(content: bytes, names: Mapping[str, str], store: Store | None = None) -> PeopleFile:
    """Read a list of people: CSV, JSON lines or an .xlsx workbook.

    `names` are names of columns in the file, each with its column in the table. A column whose name is not known is
    recognised by usernames that the store has. Raises UsageError if it cannot be read.
    """

    def is_known(name: str) -> bool:
        return store is not None and bool(store.find_by_identity(None, name))

    if content.startswith(_OLD_WORKBOOK):
        raise UsageError("the file is an old or a protected workbook.", hint="Save it as CSV UTF-8.")
    if content.startswith(_WORKBOOK):
        return read_people_lines(read_workbook(content), names, is_known, unit="row")
    return read_people_text(content, names, is_known)


def check_list(people: PeopleFile, name: str, key: Sequence[str], zone: tzinfo) -> Table:
    """Return the rows of a list as a table. Raises UsageError with all wrong lines, or if there is no row."""
    read = people.read
    table = build_table_of_file(structs.replace(read, problems=()), name, key, zone, previous_rows=0)
    wrong = [problem for problem in (*read.problems, *table.problems) if problem.is_error and problem.line]
    if wrong:
        count = len({problem.line for problem in wrong})
        raise UsageError(
            f"{pluralize(count, people.unit)} of the file cannot be used.",
            hint="Correct the file. Nothing was written.",
            details=_describe_problems(wrong, people.unit),
        )
    if not read.records:
        raise UsageError("the file has no rows.", hint="Nothing was written.")
    if table.refusal:
        raise UsageError(f"the file cannot be used: {table.refusal.partition(': ')[2]}.", hint="Nothing was written.")
    return table


def _describe_problems(problems: Sequence[TableProblem], unit: str) -> list[str]:
    """Return all lines that are wrong, a line of text for each, at most `_MAX_LISTED`."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    return limit_lines(ordered, _MAX_LISTED, lambda problem: f"{unit} {problem.line}: {problem.message}")


def prepare_import(workspace: Workspace, own: OwnTable, people: PeopleFile, *, replaces: bool) -> TableImport:
    """Draft the import of a list; nothing is written. Raises UsageError with all lines that are wrong.

    A row that does not have the key of the table, and whose person did not ask, is left out and listed. If `replaces`,
    it is wrong: nobody knows whether it means a row that would be removed.
    """
    index = PeopleIndex()
    known: dict[int, PersonRow] = {}
    waiting: dict[int, PersonRow] = {}
    for request in islice(_iterate_concerned(workspace, own), _MAX_COMPARED):
        index.add(request.person)
        known[request.person.id] = request.person
        if request.state.status == Status.PENDING:
            waiting[request.person.id] = request.person
    file = read_table_file(own) if own.exists else None
    fitted, left_out = _fit_rows(own, file, index, people, replaces=replaces)
    table = check_list(fitted, own.name, own.spec.key, own.folder.zone)
    draft = draft_import(file or make_table_file(own, fitted.read.header), fitted, table, replaces=replaces)
    means = {row.line: _identify(index, row) for row in table.rows}
    matched = {person.id for people_of_row in means.values() for person in people_of_row}
    by_domain = _group_by_domain(table, known.values())
    matched |= set[int]().union(*by_domain.values())
    covered = {row.line for row in table.rows if row.domain}
    missing = [row for row in table.rows if not means[row.line] and row.line not in covered]
    found = len(table.rows) - len(missing) - len(covered)
    missing += left_out
    near = _find_near(missing, [person for ident, person in known.items() if ident not in matched])
    shared = [
        f"{people.unit} {row.line}, {row.email}: two accounts have this address: "
        + ", ".join(map(name_of_asker, means[row.line]))
        for row in table.rows
        if len(means[row.line]) > 1
    ]
    return TableImport(
        draft,
        found=found,
        likely=[LikelyRow(row, near[row.line]) for row in missing if row.line in near],
        not_found=[row for row in missing if row.line not in near],
        domains=[DomainRow(row, len(by_domain.get(row.domain, ()))) for row in table.rows if row.domain],
        without_row=[person for ident, person in waiting.items() if ident not in matched],
        people=people,
        notes=[*fitted.notes, *limit_lines(shared, _MAX_LISTED)],
    )


def _iterate_concerned(workspace: Workspace, own: OwnTable) -> Iterator[RequestRow]:
    """Yield the requests at the table's repos: those that wait first, and the oldest of each repo first."""
    repos = sorted(row.repo for row in workspace.store.repos())
    for status in (Status.PENDING, Status.ACCEPTED, Status.RESET, Status.REJECTED):
        for repo in repos:
            if own.folder.config.includes(repo) and matches_any(own.globs, repo):
                yield from workspace.store.iterate_requests(repo, status.value)


# ---- whom rows mean --------------------------------------------------------------------------------------------------


def name_of_asker(person: PersonRow) -> str:
    """Return the username of a person, else their address."""
    return person.identity.username or person.identity.email or ""


def _identify(people: PeopleIndex, row: TableRow) -> Sequence[PersonRow]:
    """Return whom a row means, by its most reliable key: two people if they share an address."""
    found = people.identify({column: row.value_of_key(column) or "" for column in KEYS})
    return found[:1] or people.find("email", row.email or "")


def _identify_cells(people: PeopleIndex, cells: Mapping[str, str]) -> Sequence[PersonRow]:
    """Return whom the cells of a row mean, although none is a key of its table: two people if they disagree."""
    address = parse_address(cells.get("email", ""))
    texts = {column: cells.get(column, "").lower() for column in KEYS}
    return people.identify(texts | {"email": "" if address is None else str(address)})


def _group_by_domain(table: Table, people: Iterable[PersonRow]) -> dict[str, set[int]]:
    """Return the people who have an address in each domain of the table."""
    found: dict[str, set[int]] = {domain: set() for domain in table.rows_by("domain")}
    for person in people if found else ():
        address = parse_address(person.identity.email or "")
        if address is not None:
            above = [f"*.{domain}" for domain in parent_domains(address.domain)[1:]]
            for domain in found.keys() & {address.domain, *above}:
                found[domain].add(person.id)
    return found


def _find_near(rows: Sequence[TableRow], people: Sequence[PersonRow]) -> dict[int, PersonRow]:
    """Return by line a person whose name or address is almost that of a row."""
    wanted = {
        row.line: [
            *filter(None, (row.username, (row.email or "").partition("@")[0])),
            *(text for name, text in row.columns.items() if name.lower() in _NAME_COLUMNS and text),
        ]
        for row in rows[:_MAX_NEAR]
    }
    spelled = [(person, _list_spellings(person)) for person in people if name_of_asker(person)]
    return find_near_names(wanted, spelled)


def _list_spellings(person: PersonRow) -> list[str]:
    identity = person.identity
    local = (identity.email or "").partition("@")[0]
    return [text for text in (identity.username, identity.fullname, local) if text]


# ---- the columns of the table ----------------------------------------------------------------------------------------


def _fit_rows(
    own: OwnTable, file: TableFile | None, index: PeopleIndex, people: PeopleFile, *, replaces: bool
) -> tuple[PeopleFile, list[TableRow]]:
    """Return the rows with the columns that the table's file has, and those whose key is not known.

    A row that names a person by another column gets the key of their request: an address, if the table asks for one.
    Rows that become one person's are merged.
    """
    read = people.read
    kept = _list_kept_columns(own, file, read.header)
    key = [column for column in own.spec.key if column in kept]
    rows = MergedRows(people.unit)
    unknown: list[TableRow] = []
    for line, cells in read.records:
        if any(cells.get(column) for column in key):
            rows.add(line, cells)
            continue
        found = _identify_cells(index, cells)
        known = {column: text for column in key if len(found) == 1 and (text := getattr(found[0].identity, column))}
        if known:
            rows.add(line, {**cells, **known})
        elif len(found) > 1:
            rows.refuse(line, "The columns of the row name two people.")
        else:
            unknown.append(_make_row(line, cells))
    if replaces or len(unknown) == len(read.records):
        for row in unknown:
            words = f"the {' or '.join(key)} of {name_row(row)[:60]!r} is not known: no request names it."
            rows.refuse(row.line, words)
    columns = [name for name in (*KEYS, *read.header) if name in kept and (name in key or name in read.header)]
    records = [
        (line, {name: cells[name] for name in columns if name in cells})
        for line, cells in rows.list_records(read.header)
    ]
    dropped = [make_visible(name, one_line=True) for name in read.header if name not in kept and name not in KEYS]
    words = f"left out: no request says the {' or '.join(key)}"
    notes = [
        *people.notes,
        *rows.describe(),
        *name_lines([row.line for row in unknown], people.unit, f"is {words}", f"are {words}"),
        *([f"left out columns that the table does not have: {', '.join(dropped)[:200]}"] if dropped else []),
    ]
    fitted = ParsedFile(tuple(dict.fromkeys(columns)), tuple(records), (*read.problems, *rows.problems))
    return structs.replace(people, read=fitted, notes=notes), unknown


def _list_kept_columns(own: OwnTable, file: TableFile | None, header: Sequence[str]) -> set[str]:
    """Return the columns of a list that the table can hold.

    A new file, JSON lines and the store hold every column, and of the keys those of the table. A CSV file with the
    column `key` holds all but addresses there. It gets the columns of dates that it lacks.
    """
    if file is None or is_json_lines(own.path):
        return {*header, *own.spec.key} - ({*KEYS} - {*own.spec.key})
    kept = {*columns_of(file), *DATE_COLUMNS}
    return kept | {"user_id", "username"} if KEY_COLUMN in kept else kept


def _make_row(line: int, cells: Mapping[str, str]) -> TableRow:
    """Return a row of a list as it is, with a key that the table does not have."""
    user_id, email, username = (cells.get(column) or None for column in KEYS)
    return TableRow(line, user_id, email, username, columns=cells)
