"""Changes rows of tables for other systems, which have a key with the verb `table`."""

from __future__ import annotations

import json
from typing import Annotated, TypeAlias

from msgspec import Meta

from hf_gate.core.people.members import TABLE, KeyMember
from hf_gate.core.policy_model import TableSpec
from hf_gate.core.records import Record
from hf_gate.desk.http_context import HttpContext, Refused
from hf_gate.policies.drivers.workspace_folder import collect_table_specs
from hf_gate.policies.facts.tables import Table
from hf_gate.verdicts.service.policy_bundle import PolicyBundle
from hf_gate.verdicts.service.table_rows import change_row

_Name: TypeAlias = Annotated[str, Meta(max_length=100)]
_Text: TypeAlias = Annotated[str, Meta(max_length=1000)]
_Number: TypeAlias = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
RowCells: TypeAlias = Annotated[dict[_Name, _Text | _Number | float | bool | None], Meta(max_length=50)]
"""The columns of a row, as a system sends them."""

_MAX_KEY = 320


class TableRowOut(Record, frozen=True, kw_only=True):
    """A row that was written or deleted. `changed`: false if it was so already."""

    schema_version: int = 1
    table: str
    key: str
    changed: bool


def write_row(context: HttpContext, cells: RowCells | None) -> TableRowOut:
    """Write the row that the address names, or delete it if there are no `cells`."""
    name = context.params["name"]
    key = context.params["key"]
    caller = context.member
    if not isinstance(caller, KeyMember) or TABLE not in caller.verbs:
        hint = "Make a key that may: hf-gate keys add NAME --repos REPO --verbs table"
        raise Refused("Only a key with the verb table may change rows.", hint=hint, status=403)
    spec, known = _find_stored_table(context, name)
    if len(key) > _MAX_KEY or "\N{REPLACEMENT CHARACTER}" in key:
        raise Refused(f"The key of a row is UTF-8, and has at most {_MAX_KEY} characters.")
    texts = None if cells is None else {each: _to_text(cell) for each, cell in cells.items()}
    stored, is_changed = change_row(context.workspace, spec, known, key, texts, actor=caller.name)
    if is_changed:
        context.app_state.policies.expire()
    return TableRowOut(table=name, key=stored, changed=is_changed)


def _find_stored_table(context: HttpContext, name: str) -> tuple[TableSpec, Table]:
    """Return the declaration of a table in the store, and its rows some seconds ago.

    The key must cover all repos whose policies use the table.
    """
    policies = context.app_state.policies
    bundle = policies.recent
    spec = _find_spec(bundle, name)
    if spec is None:  # maybe it was declared a moment ago
        policies.expire()
        bundle = policies.current
        spec = _find_spec(bundle, name)
    if bundle is None or spec is None:
        raise Refused("There is no such table.", hint="Declare it in hf-gate.yaml under `tables`.", status=404)
    rows = (row for row in context.workspace.store.repos() if not context.can_see(row.repo))
    if any((found := policies.for_repo(row, bundle)) is not None and name in found.tables for row in rows):
        raise Refused("This key does not cover all repos whose rules use the table.", status=403)
    if not spec.is_stored:
        hint = f"Declare it as `{name}: {{store: true}}` in hf-gate.yaml, or change the file."
        raise Refused("The rows of this table are in a file.", hint=hint, status=409)
    return spec, bundle.tables[name]


def _find_spec(bundle: PolicyBundle | None, name: str) -> TableSpec | None:
    return None if bundle is None else collect_table_specs(bundle.folder, bundle.policies).get(name)


def _to_text(cell: str | float | bool | None) -> str:
    """Return a value of JSON as the text of a cell."""
    return "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell)
