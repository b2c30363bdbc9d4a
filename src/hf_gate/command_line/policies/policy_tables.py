"""The tables of policies in `policy check`: their rows and matches, and the acceptance of a table that lost rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.command_line.framework import CommandContext
from hf_gate.command_line.workspace_opening import find_actor, open_workspace
from hf_gate.errors import HfGateError, UsageError
from hf_gate.verdicts.records import CheckedTableRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hf_gate.core.policy_model import Policy, PolicyProblem, TableSpec
    from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder
    from hf_gate.policies.facts.tables import Table
    from hf_gate.settings.service.workspace import Workspace

_MAX_PROBLEMS: Final = 10  # the most problems of one table that are printed


class CheckedTable(Struct, frozen=True):
    """One table.

    `pending` requests were compared with it, and `matches` of them are listed; both are None without a store.
    """

    spec: TableSpec
    file: str
    table: Table
    pending: int | None = None
    matches: int | None = None

    def problems(self) -> Iterator[PolicyProblem]:
        """Return the problems of the file: an error if the table cannot be used, and warnings for skipped rows."""
        from hf_gate.core.policy_model import PolicyProblem, SourcePosition

        table = self.table
        name = self.spec.name
        for problem in table.problems[:_MAX_PROBLEMS]:
            is_error = bool(table.refusal) and not problem.line
            words = f"table {name}: {problem.message}"
            yield PolicyProblem(problem.code, words, self.file, SourcePosition(max(1, problem.line)), is_error=is_error)
        if len(table.problems) > _MAX_PROBLEMS:
            words = f"table {name}: {len(table.problems) - _MAX_PROBLEMS} more lines have problems."
            yield PolicyProblem("table_rows", words, self.file, is_error=False)

    def record(self) -> CheckedTableRecord:
        """Return the record of the table."""
        return CheckedTableRecord(
            table=self.spec.name,
            file=None if self.spec.file is None else self.file,
            key=list(self.table.key),
            rows=len(self.table.rows),
            refused=self.table.refusal or None,
            pending=self.pending,
            matches=self.matches,
        )

    def describe(self) -> str:
        """Return the table as one line of text."""
        if self.table.refusal:
            return f"table {self.spec.name}: refused; every rule that uses it is unknown"
        found = f"table {self.spec.name}: {pluralize(len(self.table.rows), 'row')}, key {' or '.join(self.table.key)}"
        if self.matches is None:
            return found
        return f"{found}; lists {self.matches:,} of {pluralize(self.pending or 0, 'pending request')}"


def relative_name(folder: Path, name: str) -> str:
    """Return the path of a workspace file in a form that can be opened from the working directory."""
    near = os.path.relpath(folder / name)
    return str(folder / name) if near.startswith("../..") else near


def check_tables(
    context: CommandContext, folder: Path, policies: Sequence[Policy], *, counts: bool
) -> list[CheckedTable]:
    """Read the tables of the workspace and of these policies.

    `counts` also counts the pending requests in each table.
    """
    from hf_gate.policies.drivers.workspace_folder import collect_table_specs, read_all_tables, read_folder
    from hf_gate.verdicts.service.policy_bundle import load_tables

    read = read_folder(folder)
    with _open_workspace_of(context, folder) as workspace:
        if workspace is None:
            tables = read_all_tables(read, policies, now=context.now(), previous={})
        else:
            tables = load_tables(read, policies, workspace.store, context.now())
        found = _count_matches(read, policies, tables, workspace) if counts and workspace is not None else {}
    return [
        CheckedTable(
            spec,
            relative_name(folder, spec.file) if spec.file else f"table {name}",
            tables[name],
            *found.get(name, (None, None)),
        )
        for name, spec in collect_table_specs(read, policies).items()
    ]


def _count_matches(
    folder: WorkspaceFolder, policies: Sequence[Policy], tables: Mapping[str, Table], workspace: Workspace
) -> Mapping[str, tuple[int, int]]:
    from hf_gate.core.parsing.literals import matches_any
    from hf_gate.verdicts.service.evaluation import count_table_matches, open_fact_sources

    store = workspace.store
    ours = [row.repo for row in store.repos() if folder.config.includes(row.repo)]
    repos = {spec.name: ours for spec in folder.config.tables}
    for policy in policies:
        mine = [repo for repo in ours if matches_any(policy.applies_to, repo)]
        repos |= {spec.name: mine for spec in policy.tables}
    return count_table_matches(store, tables, repos, open_fact_sources(workspace), workspace.now())


@contextmanager
def _open_workspace_of(context: CommandContext, folder: Path) -> Iterator[Workspace | None]:
    """Open the workspace of a folder for reading; None if it has no store. Warns if the store cannot be read."""
    from hf_gate.workspace.service import bootstrap

    try:
        there = context.location.folder == folder and bootstrap.has_store(context.settings, context.location)
        workspace = bootstrap.connect_workspace(context.connection, context.location, read_only=True) if there else None
    except HfGateError as problem:
        context.out.warn(f"the requests were not compared with the tables: {problem}")
        workspace = None
    if workspace is None:
        yield None
    else:
        with workspace:
            yield workspace


def accept_named_table(context: CommandContext, name: str) -> int:
    """Accept a table although it lost rows since it was last read; return its number of rows."""
    from hf_gate.grants.service.tables.own_tables import find_own_table
    from hf_gate.verdicts.service.table_store import accept_table

    workspace = open_workspace(context, needs_folder=True, writes=True)
    own = find_own_table(workspace, name)
    table = own.parse(own.read_file())
    if table.refusal:
        raise UsageError(f"{table.refusal}.", hint="Only the loss of rows can be accepted. Correct the file.")
    accept_table(workspace.store, table, find_actor(context), to_ms(workspace.now()))
    return len(table.rows)
