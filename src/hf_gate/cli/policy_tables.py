"""The tables that policies ask, as `policy check` tells of them: their rows, whom they list, and one that lost rows accepted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..domain.display_text import make_visible
from ..domain.timestamps import to_ms
from ..errors import HfGateError, UsageError
from .framework import Run
from .output import Row, count_of
from .workspace import actor_of, open_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..application.workspace import Workspace
    from ..policy.model import Policy, PolicyProblem, TableSpec
    from ..policy.tables import Table
    from ..sources.workspace_folder import WorkspaceFolder

_ROWS_TOLD: Final = 10  # problems with rows that are told of one table


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """One table. `pending` requests were compared with it, `matches` are those that it lists; None: there is no store."""

    spec: TableSpec
    file: str
    table: Table
    pending: int | None = None
    matches: int | None = None

    def problems(self) -> Iterator[PolicyProblem]:
        """What is wrong with the file: one that cannot be used is an error, rows that were left out a warning."""
        from ..policy.model import PolicyProblem, SourcePosition  # noqa: PLC0415 - help needs none of it

        table, name = self.table, self.spec.name
        for each in table.problems[:_ROWS_TOLD]:
            is_error = bool(table.refusal) and not each.line
            words = f"table {name}: {each.message}"
            yield PolicyProblem(each.code, words, self.file, SourcePosition(max(1, each.line)), is_error=is_error)
        if len(table.problems) > _ROWS_TOLD:
            words = f"table {name}: {len(table.problems) - _ROWS_TOLD} more lines are as wrong."
            yield PolicyProblem("table_rows", words, self.file, is_error=False)

    def to_dict(self) -> Row:
        """As JSON."""
        return {
            "table": self.spec.name,
            "file": None if self.spec.file is None else self.file,
            "key": list(self.table.key),
            "rows": len(self.table.rows),
            "refused": self.table.refusal or None,
            "pending": self.pending,
            "matches": self.matches,
        }

    def describe(self) -> str:
        """For people."""
        if self.table.refusal:
            return f"table {self.spec.name}: refused; every rule that asks it is unknown"
        found = (
            f"table {self.spec.name}: {count_of(len(self.table.rows), 'row')}, found by {' or '.join(self.table.key)}"
        )
        if self.matches is None:
            return found
        return f"{found}; lists {self.matches:,} of {count_of(self.pending or 0, 'pending request')}"


def relative_name(folder: Path, name: str) -> str:
    """A file of the workspace as it can be opened from here."""
    near = os.path.relpath(folder / name)
    return str(folder / name) if near.startswith("../..") else near


def check_tables(run: Run, folder: Path, policies: Sequence[Policy], *, counts: bool) -> list[CheckedTable]:
    """The tables of the workspace and of these policies. `counts`: also how many pending requests each lists."""
    from ..application.policy_bundle import load_tables  # noqa: PLC0415 - help needs none of it
    from ..sources.workspace_folder import read_folder, read_tables  # noqa: PLC0415 - as above

    read = read_folder(folder)
    with _workspace(run, folder) as workspace:
        if workspace is None:
            tables = read_tables(read, policies, now=run.now(), previous={})
        else:
            tables = load_tables(read, policies, workspace.store, run.now())
        found = _count_matches(read, policies, tables, workspace) if counts and workspace is not None else {}
    specs = {spec.name: spec for spec in _specs(read, policies)}
    return [
        CheckedTable(
            spec,
            relative_name(folder, spec.file) if spec.file else f"table {name}",
            tables[name],
            *found.get(name, (None, None)),
        )
        for name, spec in specs.items()
    ]


def _specs(folder: WorkspaceFolder, policies: Sequence[Policy]) -> Iterator[TableSpec]:
    yield from folder.config.tables
    for policy in policies:
        yield from policy.tables


def _count_matches(
    folder: WorkspaceFolder, policies: Sequence[Policy], tables: Mapping[str, Table], workspace: Workspace
) -> Mapping[str, tuple[int, int]]:
    from ..application.evaluation import count_table_matches  # noqa: PLC0415 - help needs none of it
    from ..policy.literals import glob_matches  # noqa: PLC0415 - as above

    store = workspace.store
    ours = [row.repo for row in store.repos() if folder.config.includes(row.repo)]
    repos = {spec.name: ours for spec in folder.config.tables}
    for policy in policies:
        mine = [repo for repo in ours if any(glob_matches(glob, repo) for glob in policy.applies_to)]
        repos |= {spec.name: mine for spec in policy.tables}
    return count_table_matches(store, tables, repos, workspace.sources, workspace.now())


@contextmanager
def _workspace(run: Run, folder: Path) -> Iterator[Workspace | None]:
    """The workspace in this folder, to read; None where there is none, and a word where it cannot be read."""
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    try:
        there = run.location.folder == folder and bootstrap.has_store(run.settings, run.location)
        workspace = bootstrap.open_workspace(run.connection, run.location, read_only=True) if there else None
    except HfGateError as problem:
        run.out.warn(f"the requests were not compared with the tables: {problem}")
        workspace = None
    if workspace is None:
        yield None
    else:
        with workspace:
            yield workspace


def accept_table(run: Run, name: str) -> int:
    """Take a table as it is now for the whole one, although it lost rows since it was read last; how many rows it has."""
    from ..application.planning import accept_table  # noqa: PLC0415 - as above
    from ..sources.workspace_folder import read_folder, read_tables  # noqa: PLC0415 - help needs none of it

    workspace = open_workspace(run, needs_folder=True, writes=True)
    if workspace.location.folder is None:
        raise AssertionError("a workspace was asked for")
    folder = read_folder(workspace.location.folder)
    policies = [parsed.policy for parsed in folder.files.values() if parsed.policy is not None]
    names = [spec.name for spec in _specs(folder, policies)]
    if name not in names:
        raise UsageError(
            f"no table is called {make_visible(name, one_line=True)[:60]}.",
            hint=f"Its tables are {', '.join(names) or 'none: write one into hf-gate.yaml'}.",
        )
    table = read_tables(folder, policies, now=workspace.now(), previous={name: 0})[name]
    if table.refusal:
        raise UsageError(f"{table.refusal}.", hint="Only lost rows can be accepted; mend the file.")
    accept_table(workspace.store, table, actor_of(run), to_ms(workspace.now()))
    return len(table.rows)
