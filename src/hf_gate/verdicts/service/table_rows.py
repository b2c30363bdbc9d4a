"""Changes rows of tables with `store: true`, one at a time. A row is checked as a row of a file is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo

from hf_gate.base.timestamps import to_ms
from hf_gate.core.policy_model import TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.table_files import make_stored_table
from hf_gate.policies.facts.tables import KEYS, Table, TableRow
from hf_gate.policies.parsing.table_text import KEY_COLUMN, MAX_COLUMNS, column_name
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.rows.table_rows import write_table_rows


def change_row(
    workspace: Workspace, spec: TableSpec, known: Table, key: str, cells: Mapping[str, str] | None, *, actor: str
) -> tuple[str, bool]:
    """Store a row of a table, or delete it if `cells` is None; return its key as stored, and whether it changed.

    `key` is an account id, a username, an address or `@domain`. Raises UsageError for a row that nobody can match, or
    that repeats one of the `known` rows, because rules cannot use a table that says two things about a person.
    """
    named = {column_name(name): cell for name, cell in (cells or {}).items()}
    if found := sorted({*named} & {*KEYS, KEY_COLUMN}):
        raise UsageError(f"the column {found[0]} is the key of the row.", hint="Name the person in the address only.")
    if len(named) < len(cells or {}) or "" in named:
        raise UsageError("two columns have the same name, or one has none.", hint="Name each column once.")
    found_row = _check_row(spec, key, named, workspace.zone)
    stored = found_row.stored_key
    if cells is not None and any(twin.stored_key != stored for twin in _find_twins(known, found_row)):
        raise UsageError("a row with another key names this person too.", hint=f"hf-gate table show {spec.name}")
    row = None if cells is None else {name: cell for name, cell in named.items() if cell}
    at = to_ms(workspace.now())
    columns = {"from", "expires"}.union(*(one.columns for one in known.rows))
    most = MAX_COLUMNS - len(KEYS) if row is not None and not row.keys() <= columns else None  # counts all rows
    changed = write_table_rows(workspace.store, spec.name, {stored: row}, actor=actor, at=at, most_columns=most)
    return stored, changed > 0


def _find_twins(table: Table, row: TableRow) -> Iterator[TableRow]:
    """Yield the rows of a table that have a key in common with a row."""
    for kind in (*KEYS, "domain"):
        yield from table.rows_by(kind).get(row.value_of_key(kind) or "", ())


def _check_row(spec: TableSpec, key: str, cells: Mapping[str, str], zone: tzinfo) -> TableRow:
    """Return a row as rules read it. Raises UsageError if a file could not have it."""
    table = make_stored_table(spec, {key: cells}, zone)
    if wrong := next((problem for problem in table.problems if problem.is_error), None):
        raise UsageError(wrong.message)
    return table.rows[0]
