"""The owner's table files: finds and reads them, and writes single rows back into them, with an
entry in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from hf_gate.base.display_text import limit_lines, make_visible
from hf_gate.base.private_files import read_unchanged_file
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.parsing.strict_yaml import suggest
from hf_gate.core.policy_model import FactEnd, Policy, Rule, TableSpec
from hf_gate.errors import Guarded, Stale, UsageError
from hf_gate.grants.drivers.file_replacement import CHANGED_HINT, digest_of_file, replace_file
from hf_gate.grants.people_files import PeopleFile, find_near_columns
from hf_gate.grants.table_edits import Cells, RowEdits, edit_table
from hf_gate.policies.drivers.table_files import (
    MAX_BYTES,
    SHRINK_LIMIT,
    StoredRows,
    build_table_of_file,
    cells_beside_key,
    encode_stored_rows,
    is_json_lines,
    is_own_file,
    parse_table,
)
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder, collect_table_specs, read_folder
from hf_gate.policies.expressions.expression_parser import read_names
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.fact_table import tables_of
from hf_gate.policies.facts.tables import KEYS, Table, TableRow
from hf_gate.policies.parsing.table_text import (
    ParsedFile,
    column_name,
    decode,
    has_key_column,
    header_line,
    parse_csv,
    parse_json_lines,
    spread_key,
)
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.rows.table_rows import read_table_rows, write_table_rows
from hf_gate.verdicts.service.policy_bundle import load_tables
from hf_gate.verdicts.service.table_store import note_accepted

_MAX_WRONG: Final = 20  # the most rows that an error names


class OwnTable(Struct, frozen=True):
    """One table of the workspace. `table` is what policies see; `policies` are those that use or define it.

    `stored` are the rows of a table in the store. They are edited as JSON lines.
    """

    folder: WorkspaceFolder
    spec: TableSpec
    table: Table
    policies: tuple[Policy, ...] = ()
    stored: StoredRows = {}

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.spec.name

    @property
    def globs(self) -> tuple[str, ...]:
        """The repos whose requests the table can concern."""
        is_shared = any(spec.name == self.name for spec in self.folder.config.tables)
        return (
            self.folder.config.repos if is_shared else tuple(g for policy in self.policies for g in policy.applies_to)
        )

    @property
    def path(self) -> Path:
        """The file. Raises UsageError for a table whose rows are in the YAML file."""
        if self.spec.is_stored:
            return self.folder.path / f"{self.name}.jsonl"  # no such file exists: its name says the format
        if self.spec.file is None:
            raise UsageError(
                f"the rows of table {self.name} are in a YAML file, so only its author can change them.",
                hint=f"Move them to a file: {self.name}: {{file: tables/{self.name}.csv, key: username}}",
            )
        return self.folder.path / self.spec.file

    @property
    def is_in_policy(self) -> bool:
        """Whether the rows are in a YAML file, which only its author changes."""
        return self.spec.file is None and not self.spec.is_stored

    @property
    def exists(self) -> bool:
        """Whether the file exists. It is made by the first import."""
        return self.spec.is_stored or self.path.exists()

    def read_file(self) -> bytes:
        """Return the content of the file. Raises UsageError if it cannot be read."""
        if self.spec.is_stored:
            return encode_stored_rows(self.stored)
        try:
            content = read_unchanged_file(self.path, MAX_BYTES) if is_own_file(self.path) else b""
        except FileNotFoundError:
            raise UsageError(
                f"{self.path} does not exist.",
                hint=f"The first import makes it: hf-gate table import {self.name} FILE",
            ) from None
        except OSError as problem:
            raise UsageError(f"{self.path} cannot be read: {problem.strerror}.") from None
        if content is None:
            raise Stale(f"{self.path.name} changed while it was read.", hint=CHANGED_HINT)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{self.path.name} is larger than {MAX_BYTES >> 20} MiB.")
        return content

    def parse(self, content: bytes) -> Table:
        """Parse a content as this table. A table without rows is allowed."""
        is_json = is_json_lines(self.path)
        return parse_table(content, self.name, self.spec.key, is_json=is_json, zone=self.folder.zone, previous_rows=0)


class TableFile(Struct, frozen=True):
    """A table's file as it was read, once. `is_new`: there is no file yet."""

    own: OwnTable
    content: bytes
    table: Table
    is_new: bool = False


def read_table_file(own: OwnTable) -> TableFile:
    """Return the file of a table. Raises UsageError if it cannot be used."""
    content = own.read_file()
    table = own.parse(content)
    if table.refusal:
        raise UsageError(f"{table.refusal}.", hint="Correct the file first.")
    return TableFile(own, content, table)


def make_table_file(own: OwnTable, columns: Sequence[str]) -> TableFile:
    """Return the file that the first import of a table makes, without a row."""
    content = b"" if is_json_lines(own.path) else header_line(columns)
    return TableFile(own, content, own.parse(content), is_new=True)


class TableDraft(Struct, frozen=True):
    """A checked new content of a table's file. `base` is the digest of the content that it was made from.

    `is_new`: there is no file yet.
    """

    own: OwnTable
    base: str
    before: Table
    content: bytes
    after: Table
    is_new: bool

    @property
    def diff(self) -> RowDiff:
        """The rows that change."""
        return diff_rows(self.before, self.after)

    @property
    def removal_limit(self) -> int:
        """How many rows may go without a confirmation of their number."""
        return max(1, int(SHRINK_LIMIT * len(self.before.rows)))

    def check_removals(self, max_removed: int | None) -> None:
        """Raise Guarded if more rows go than a person confirmed, or than a table may lose without that."""
        removed = len(self.diff.removed)
        allowed = self.removal_limit if max_removed is None else max_removed
        if removed > allowed:
            raise Guarded(
                f"{removed:,} of {len(self.before.rows):,} rows would be removed, but at most {allowed:,} may be;"
                " nothing was written.",
                hint=f"To remove them all, add --max-removed {removed}.",
            )


def read_own_tables(workspace: Workspace) -> list[OwnTable]:
    """Return the tables of the workspace and its policies, sorted by name. Raises UsageError without a workspace."""
    if workspace.location.folder is None:
        raise UsageError("there is no workspace here.", hint="Make one with hf-gate init, or give --workspace DIR.")
    folder = read_folder(workspace.location.folder)
    tables = load_tables(folder, folder.policies, workspace.store, workspace.now())
    return [add_stored_rows(workspace.store, own) for own in list_own_tables(folder, folder.policies, tables)]


def add_stored_rows(store: Store, own: OwnTable) -> OwnTable:
    """Return a table with its rows in the store, as they are edited."""
    return structs.replace(own, stored=read_table_rows(store, own.name)) if own.spec.is_stored else own


def list_own_tables(folder: WorkspaceFolder, policies: Sequence[Policy], tables: Mapping[str, Table]) -> list[OwnTable]:
    """Return these tables with the policies among these that use them, sorted by name."""
    specs = collect_table_specs(folder, policies)
    return [
        OwnTable(folder, specs[name], tables[name], tuple(_policies_using(policies, name))) for name in sorted(tables)
    ]


def _policies_using(policies: Sequence[Policy], name: str) -> Iterator[Policy]:
    """Yield the policies that define a table or name it in an expression or an end."""
    for policy in policies:
        texts = [*policy.let.values(), *(text for rule in policy.rules for text in _texts_of(rule))]
        used = tables_of(each for text in texts for each in read_names(text))
        if name in used or any(spec.name == name for spec in policy.tables):
            yield policy


def _texts_of(rule: Rule) -> Iterator[str]:
    """Yield the texts of a rule that can name a table."""
    end = rule.until.name if isinstance(rule.until, FactEnd) else None
    yield from filter(None, (rule.when, rule.unless, rule.keep_while, end))


def find_own_table(workspace: Workspace, name: str) -> OwnTable:
    """Return a table by its name. Raises UsageError if there is none."""
    tables = {table.name: table for table in read_own_tables(workspace)}
    if name in tables:
        return tables[name]
    near = suggest(name, tuple(tables))
    known = (
        f"The tables are: {', '.join(tables)}."
        if tables
        else "Add to hf-gate.yaml: tables: {NAME: {file: tables/NAME.csv, key: [username, email]}}"
    )
    raise UsageError(
        f"there is no table {make_visible(name, one_line=True)[:60]}.",
        hint=f"Did you mean {near}? {known}" if near else known,
    )


def rows_of_key(table: Table, text: str) -> list[TableRow]:
    """Return the rows that a typed key names: an account id, a username, an e-mail address or `@domain`."""
    plain = text.strip().lower()
    address = parse_address(text.strip())
    wanted = {plain, plain.removeprefix("@"), str(address) if address else plain}
    return [row for row in table.rows if any(row.value_of_key(each) in wanted for each in (*table.key, "domain"))]


def same_people(table: Table, row: TableRow) -> list[TableRow]:
    """Return the rows of a table that have a key in common with another row."""
    keys = set(keys_of_row(row))
    return [one for one in table.rows if any((each, one.value_of_key(each)) in keys for each in (*table.key, "domain"))]


# ---- changes ---------------------------------------------------------------------------------------------------------


def draft_edits(file: TableFile, edits: RowEdits) -> TableDraft:
    """Return the table with these edits. Raises UsageError if the file would be unusable after them."""
    own = file.own
    new = edit_table(file.content, edits, key=own.spec.key, is_json=is_json_lines(own.path))
    after = own.parse(new)
    known = {(problem.code, problem.message) for problem in file.table.problems}
    fresh = [each for each in after.problems if (each.code, each.message) not in known]
    wrong = next((each for each in fresh if each.is_error), None)
    if after.refusal or wrong is not None:
        message = after.refusal if wrong is None else f"table {own.name}: {wrong.message[:-1]}"
        raise UsageError(f"{message}. Nothing was written.", hint="Correct the values.")
    base = digest_of_file(b"" if file.is_new else file.content)
    return TableDraft(own, base, file.table, new, after, file.is_new)


def row_of_cells(own: OwnTable, cells: Cells) -> TableRow:
    """Return a row of this table with these cells. Raises UsageError with the first thing that is wrong with them."""
    given = _canonical_cells(own, cells)
    cells = {**dict.fromkeys(own.spec.key, ""), **given}
    parsed = ParsedFile(tuple(cells), ((1, cells),))
    read = build_table_of_file(parsed, own.name, own.spec.key, own.folder.zone, previous_rows=0)
    wrong = next((problem for problem in read.problems if problem.is_error and problem.line), None)
    if wrong is None and read.rows:
        return read.rows[0]
    message = read.refusal.partition(": ")[2] if wrong is None else wrong.message[:-1]
    near = next((f" Did you mean {near[0]}?" for name in given if (near := find_near_columns(name))), "")
    raise UsageError(f"{message}. Nothing was written.", hint=f"The key is {' or '.join(own.spec.key)}.{near}")


def _canonical_cells(own: OwnTable, cells: Cells) -> dict[str, str]:
    given = {column_name(name): value for name, value in cells.items()}
    return spread_key(given) if has_key_column(tuple(given), own.spec.key) else given


def columns_of(file: TableFile) -> tuple[str, ...]:
    """Return the columns of a table's CSV file."""
    return parse_csv(decode(file.content), file.own.spec.key).header


def draft_row(own: OwnTable, cells: Cells, *, replaces: bool) -> TableDraft:
    """Return the table with one more row, or, if `replaces`, with new values in the row with the same key."""
    row = row_of_cells(own, cells)
    file = read_table_file(own)
    twins = same_people(file.table, row)
    if not replaces and twins:
        raise UsageError(
            f"line {twins[0].line} of table {own.name} has the same key. Nothing was written.",
            hint="To change that row, add --replace.",
        )
    if replaces and len(twins) != 1:
        raise UsageError(f"{len(twins)} rows of table {own.name} have this key, so none was changed.")
    edits = RowEdits(changed={twins[0].line: cells}) if replaces else RowEdits(added=[cells])
    return draft_edits(file, edits)


def draft_import(file: TableFile, people: PeopleFile, rows: Table, *, replaces: bool) -> TableDraft:
    """Return the table with the `rows` of a list: new rows are added, known ones changed; if `replaces`, all others go.

    A known row keeps what the list does not name, and unless `replaces`, what is empty there. Raises UsageError with
    all rows that mean the same row of the table.
    """
    name = file.own.name
    records = dict(people.read.records)
    added: list[Cells] = []
    changed: dict[int, Cells] = {}
    writers: dict[int, int] = {}  # the line of the file that changes a line of the table
    wrong: list[str] = []
    index = index_rows(file.table)
    for row in rows.rows:
        twins = {twin.line for key in keys_of_row(row) if (twin := index.get(key)) is not None}
        if len(twins) > 1:
            lines = " and ".join(map(str, sorted(twins)))
            wrong.append(f"{people.unit} {row.line} belongs to lines {lines} of table {name}")
        if not twins:
            added.append(records[row.line])
        for line in twins:
            if line in writers:  # the second row would replace the first
                words = f"{people.unit}s {writers[line]} and {row.line} of the file"
                wrong.append(f"{words} name the same row (line {line} of {name})")
            writers[line] = row.line
            changed[line] = {column: text for column, text in records[row.line].items() if text or replaces}
    if wrong:
        raise UsageError(
            f"rows of the file do not fit table {name}. Nothing was written.",
            hint="Correct the file, or the table.",
            details=limit_lines(wrong, _MAX_WRONG),
        )
    removed = {row.line for row in file.table.rows} - writers.keys() if replaces else set()
    return draft_edits(file, RowEdits(added, changed, removed))


def draft_removal(own: OwnTable, keys: Sequence[str]) -> TableDraft:
    """Return the table without the rows of these keys. Raises UsageError for a key that no row has."""
    file = read_table_file(own)
    lines: set[int] = set()
    for text in keys:
        rows = rows_of_key(file.table, text)
        if not rows:
            raise UsageError(
                f"no row of table {own.name} has the key {make_visible(text, one_line=True)[:80]}.",
                hint=f"`hf-gate table show {own.name}` lists its rows.",
            )
        lines |= {row.line for row in rows}
    return draft_edits(file, RowEdits(removed=lines))


def save_table_draft(
    workspace: Workspace,
    draft: TableDraft,
    actor: str,
    *,
    max_removed: int | None = None,
    is_dry_run: bool = False,
) -> None:
    """Write a table's file and record who changed how many rows. Raises Stale if the file changed meanwhile.

    `max_removed` is the number of rows that a person confirmed to remove; without it, a table can lose `removal_limit`.
    A dry run only checks that the file can be written.
    """
    draft.check_removals(max_removed)
    own = draft.own
    store = workspace.store
    if own.spec.is_stored:
        if not is_dry_run:
            _save_stored_rows(workspace, draft, actor)
        return
    diff = draft.diff
    count_key = setting_keys.row_count_key(own.name)
    known_count = store.setting(count_key)

    def record(digest: str) -> None:
        event = e.TableChanged(
            table=own.name,
            before=draft.base,
            after=digest,
            added=len(diff.added),
            changed=len(diff.changed),
            removed=len(diff.removed),
        )
        with store.writing() as write:
            write.append(None, [e.LedgerEntry(event=event, at=to_ms(workspace.now()), actor=actor)])
            note_accepted(write, draft.after)

    def withdraw() -> None:
        with store.writing() as write:
            write.write_setting(count_key, known_count)

    replace_file(
        own.folder.path,
        own.spec.file or "",
        draft.content,
        base=draft.base,
        record=record,
        withdraw=withdraw,
        is_new=draft.is_new,
        is_dry_run=is_dry_run,
    )


def _save_stored_rows(workspace: Workspace, draft: TableDraft, actor: str) -> None:
    """Write the rows that differ into the store. Others may have changed meanwhile; they stay.

    Raises Stale if one of these rows changed meanwhile.
    """
    own = draft.own
    records = dict(parse_json_lines(decode(draft.content)).records)
    after = {row.stored_key: cells_beside_key(row.stored_key, records[row.line]) for row in draft.after.rows}
    keys = own.stored.keys() | after.keys()
    rows = {key: after.get(key) for key in sorted(keys) if after.get(key) != own.stored.get(key)}
    write_table_rows(workspace.store, own.name, rows, actor=actor, at=to_ms(workspace.now()), known=own.stored)


# ---- differences -----------------------------------------------------------------------------------------------------


class RowDiff(Struct, frozen=True):
    """How two versions of a table differ, row by row. `changed` has the old and the new row."""

    added: tuple[TableRow, ...]
    removed: tuple[TableRow, ...]
    changed: tuple[tuple[TableRow, TableRow], ...]


def diff_rows(before: Table, after: Table) -> RowDiff:
    """Compare two versions of a table. Rows with a common key are the same row, each only once.

    A key may stand in several rows, so rows with all keys in common are paired first.
    """
    pairs: dict[int, TableRow] = {}  # by the line of the new row
    left = {row.line: row for row in before.rows}
    for keys_to_match in (lambda row: (keys_of_row(row),), keys_of_row):
        index: dict[object, list[TableRow]] = {}
        for row in reversed(before.rows):
            for key in keys_to_match(row):
                index.setdefault(key, []).append(row)
        for row in after.rows:
            known = None if row.line in pairs else _take_row(index, keys_to_match(row), left)
            if known is not None:
                pairs[row.line] = known
    added = tuple(row for row in after.rows if row.line not in pairs)
    common = ((pairs[row.line], row) for row in after.rows if row.line in pairs)
    changed = ((old, new) for old, new in common if (keys_of_row(old), old.terms) != (keys_of_row(new), new.terms))
    return RowDiff(added, tuple(left.values()), tuple(changed))


def _take_row(
    index: Mapping[object, list[TableRow]], keys: Iterable[object], left: dict[int, TableRow]
) -> TableRow | None:
    """Return the first row with one of these keys that is left, and take it out."""
    for key in keys:
        rows = index.get(key, [])
        while rows:
            row = rows.pop()
            if left.pop(row.line, None) is not None:
                return row
    return None


def index_rows(table: Table) -> dict[tuple[str, str], TableRow]:
    """Return the rows of a table by each of their keys."""
    return {key: row for row in table.rows for key in keys_of_row(row)}


def find_rows(own: OwnTable, text: str) -> list[TableRow]:
    """Return the rows with a cell that contains a text, whatever its case; all rows for an empty text."""
    wanted = text.casefold()
    return [row for row in own.table.rows if not wanted or any(wanted in cell.casefold() for cell in _cells_of(row))]


def _cells_of(row: TableRow) -> Iterator[str]:
    return filter(None, (row.user_id, row.username, row.email, row.domain, *row.columns.values()))


def name_row(row: TableRow) -> str:
    """Return how people name a row."""
    return row.username or row.email or (f"@{row.domain}" if row.domain else row.user_id or "-")


def keys_of_row(row: TableRow) -> tuple[tuple[str, str], ...]:
    """Return the keys of a row with their columns."""
    return tuple((each, value) for each in (*KEYS, "domain") if (value := row.value_of_key(each)))
