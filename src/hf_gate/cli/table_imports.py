"""table diff and import: compares a table with a file, and adds the rows of a file to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from ..application.own_tables import (
    OwnTable,
    TableDraft,
    diff_rows,
    draft_import,
    find_own_table,
    read_own_tables,
    save_draft,
)
from ..application.table_imports import read_import
from ..application.workspace import Workspace
from ..errors import Guarded, UsageError
from ..sources.table_files import MAX_BYTES, is_json_lines
from .framework import Run, command
from .tables import effects_of, print_draft
from .workspace import actor_of, open_workspace


@command("diff", examples=("hf-gate table diff class class-2027.csv", "hf-gate table diff class class-2027.csv --json"))
@click.argument("names", nargs=-1, required=True, metavar="[TABLE] FILE")
def table_diff(run: Run, *, names: tuple[str, ...]) -> int:
    """Show what changes if FILE replaces the table: rows, and the people who wait or have access. Writes nothing."""
    workspace = open_workspace(run, needs_folder=True)
    own, records = _read_names(workspace, names)
    draft = draft_import(own, records, replaces=True)
    print_draft(run, draft, effects_of(workspace, draft), is_written=False)
    return 0


@command(
    "import",
    examples=("hf-gate table import agreements signed.csv", "hf-gate table import class new.csv --replace --yes"),
)
@click.argument("names", nargs=-1, required=True, metavar="[TABLE] FILE")
@click.option("--replace", "replaces", is_flag=True, help="Remove the rows that FILE does not have.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_import(run: Run, *, names: tuple[str, ...], replaces: bool, yes: bool, dry_run: bool) -> int:
    """Add the rows of FILE to a table: new rows at its end, known ones with their new values.

    FILE is a CSV file, JSON lines, or - for stdin. Without TABLE, the table with the name of the file is used.
    Shows the rows and the people that change, and asks before it writes.
    """
    workspace = open_workspace(run, needs_folder=True, writes=not dry_run)
    own, records = _read_names(workspace, names)
    draft = draft_import(own, records, replaces=replaces)
    effects = effects_of(workspace, draft)
    if not dry_run:
        _confirm(run, draft, yes=yes)
        save_draft(workspace, draft, actor_of(run))
    print_draft(run, draft, effects, is_written=not dry_run)
    return 0


def _read_names(workspace: Workspace, names: tuple[str, ...]) -> tuple[OwnTable, Mapping[int, Mapping[str, str]]]:
    """Return the table and the records of the file that the arguments name."""
    if len(names) > 2:
        raise UsageError("give one table and one file.", hint="For example: hf-gate table import partners new.csv")
    file = names[-1]
    own = find_own_table(workspace, names[0]) if len(names) == 2 else _table_of_file(workspace, file)
    content = _read_file(file)
    is_json = is_json_lines(own.path if file == "-" else Path(file))
    return own, read_import(own, content, is_json=is_json)


def _table_of_file(workspace: Workspace, file: str) -> OwnTable:
    """Return the table with the name of the file, else the only table that has a file."""
    tables = [each for each in read_own_tables(workspace) if each.spec.file is not None]
    named = [each for each in tables if each.name == Path(file).stem] or tables
    if len(named) == 1:
        return named[0]
    known = ", ".join(each.name for each in tables) or "none"
    raise UsageError("which table?", hint=f"Name it before the file. The tables with files are: {known}.")


def _read_file(name: str) -> bytes:
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise UsageError(f"{name} cannot be read: {problem.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise UsageError(f"{name} is larger than {MAX_BYTES >> 20} MiB.")
    return content


def _confirm(run: Run, draft: TableDraft, *, yes: bool) -> None:
    """Ask before rows are written. Raises Guarded if the answer is no, or nobody can be asked."""
    diff = diff_rows(draft.before, draft.after)
    total = len(diff.added) + len(diff.changed) + len(diff.removed)
    if yes or not total:
        return
    counts = f"{len(diff.added):,} added, {len(diff.changed):,} changed, {len(diff.removed):,} removed"
    if not run.may_ask:
        raise Guarded(
            f"{total:,} rows need confirmation ({counts}); nothing was written.",
            hint="Add --yes, or --dry-run to see the effect.",
        )
    if not click.confirm(f"Write to table {draft.own.name}: {counts}?", err=True):
        raise Guarded("not confirmed; nothing was written.", hint="--dry-run shows the effect.")
