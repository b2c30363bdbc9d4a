"""Changes rows of tables with `store: true`, one at a time. A row is checked as a row of a file is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import tzinfo

from hf_gate.base.timestamps import to_ms
from hf_gate.core.policy_model import TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.table_files import make_stored_table
from hf_gate.policies.facts.tables import KEYS
from hf_gate.policies.parsing.table_text import KEY_COLUMN, MAX_COLUMNS, column_name
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.rows.table_rows import write_table_rows


def change_row(
    workspace: Workspace,
    spec: TableSpec,
    key: str,
    cells: Mapping[str, str] | None,
    *,
    known_columns: Collection[str],
    actor: str,
) -> tuple[str, bool]:
    """Store a row of a table, or delete it if `cells` is None; return its key as stored, and whether it changed.

    `key` is an account id, a username, an address or `@domain`. `known_columns` are those of the table, whose
    columns are counted only if the row has another. Raises UsageError for a row that nobody can match.
    """
    named = {column_name(name): cell for name, cell in (cells or {}).items()}
    if found := sorted({*named} & {*KEYS, KEY_COLUMN}):
        raise UsageError(f"the column {found[0]} is the key of the row.", hint="Name the person in the address only.")
    stored = _check_row(spec, key, named, workspace.zone)
    row = None if cells is None else {name: cell for name, cell in named.items() if cell}
    at = to_ms(workspace.now())
    most = MAX_COLUMNS - len(KEYS) if row is not None and not row.keys() <= {*known_columns} else None
    changed = write_table_rows(workspace.store, spec.name, {stored: row}, actor=actor, at=at, most_columns=most)
    return stored, changed > 0


def _check_row(spec: TableSpec, key: str, cells: Mapping[str, str], zone: tzinfo) -> str:
    """Return the key of a row as it is stored, the same for each way to write it."""
    table = make_stored_table(spec, {key: cells}, zone)
    if wrong := next((problem for problem in table.problems if problem.is_error), None):
        raise UsageError(wrong.message)
    return table.rows[0].stored_key
