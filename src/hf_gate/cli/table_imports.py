"""table diff and import: compares a table with a file, and adds the rows of a file to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from ..application.agreements import check_no_grant_rests, find_grants, hashes_to_keep
from ..application.own_tables import OwnTable, TableDraft, diff_rows, find_own_table, read_own_tables, save_draft
from ..application.table_imports import TableImport, prepare_import
from ..application.table_records import ImportMatchesRecord, TableEffectRecord, import_matches_record
from ..application.workspace import Workspace
from ..errors import Guarded, UsageError
from ..private_files import open_regular_file
from ..sources.table_files import MAX_BYTES, SHRINK_LIMIT, is_json_lines
from .framework import Run, command
from .tables import effects_of, print_draft
from .workspace import actor_of, open_workspace

_MAX_NAMED: Final = 20  # the most rows or people that are named


@command("diff", examples=("hf-gate table diff class class-2027.csv", "hf-gate table diff class class-2027.csv --json"))
@click.argument("names", nargs=-1, required=True, metavar="[TABLE] FILE")
def table_diff(run: Run, *, names: tuple[str, ...]) -> int:
    """Show what changes if FILE replaces the table: rows, and the people who wait or have access. Writes nothing."""
    workspace = open_workspace(run, needs_folder=True)
    own, content, is_json = _read_names(workspace, names)
    found = prepare_import(workspace, own, content, is_json=is_json, replaces=True)
    _print_import(run, found, effects_of(workspace, found.draft), is_written=False)
    return 0


@command(
    "import",
    examples=(
        "hf-gate table import agreements signed.csv",
        "hf-gate table import agreements signed.csv --confirm 7=ada-l --yes",
        "hf-gate table import class new.csv --replace --yes",
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="[TABLE] FILE")
@click.option(
    "--confirm", "confirmations", multiple=True, metavar="LINE=USER", help="The row in this line is for USER."
)
@click.option("--replace", "replaces", is_flag=True, help="Remove the rows that FILE does not have.")
@click.option("--max-removed", type=click.IntRange(0), help="With --replace: maximum number of rows to remove.")
@click.option("--keep-hash", is_flag=True, help="With --replace: also remove signed rows that access depends on.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_import(
    run: Run,
    *,
    names: tuple[str, ...],
    confirmations: tuple[str, ...],
    replaces: bool,
    max_removed: int | None,
    keep_hash: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Add the rows of FILE to a table: new rows at its end, known ones with their new values.

    FILE is a CSV file, JSON lines, or - for stdin. Without TABLE, the table with the name of the file is used.

    Rows are matched by account id, e-mail address or username with the people who asked. Rows that match nobody, and
    people on hold without a row, are listed with proposals. Confirm a proposal to use it: --confirm LINE=USER.
    """
    workspace = open_workspace(run, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    own, content, is_json = _read_names(workspace, names)
    found = prepare_import(workspace, own, content, is_json=is_json, replaces=replaces, confirmations=confirmations)
    effects = effects_of(workspace, found.draft)
    if dry_run:
        _print_import(run, found, effects, is_written=False)
    grants = find_grants(workspace, found.draft)
    if not keep_hash:
        check_no_grant_rests(own.name, grants)
    _check_removed(found.draft, max_removed)
    _confirm(run, found.draft, yes=yes or dry_run)
    save_draft(
        workspace, found.draft, actor_of(run), bound=found.bound, confirmed=found.confirmed,
        kept=hashes_to_keep(grants), is_dry_run=dry_run,
    )  # fmt: skip
    if not dry_run:
        _print_import(run, found, effects, is_written=True)
    return 0


def _print_import(run: Run, found: TableImport, effects: Sequence[TableEffectRecord], *, is_written: bool) -> None:
    matches = import_matches_record(found.matches)
    more = {"matched": matches.matched, "unmatched": matches.unmatched, "without_row": matches.without_row}
    lines = list(_match_lines(found.draft.own.name, matches))
    print_draft(run, found.draft, effects, is_written=is_written, more=more, more_lines=lines)


def _match_lines(table: str, matches: ImportMatchesRecord) -> Iterator[str]:
    """Return whom the rows mean, and the proposals, as lines of text."""
    yield f"  rows that match a requester: {matches.matched:,}; rows that match nobody: {len(matches.unmatched):,}"
    rows = sorted(matches.unmatched, key=lambda row: not row.proposals)
    for row in rows[:_MAX_NAMED]:
        names = [f"perhaps {one.user or one.user_id} ({one.why})" for one in row.proposals]
        yield f"    line {row.line}, {row.who}: {', or '.join(names) or 'no similar requester'}"
    if len(rows) > _MAX_NAMED:
        yield f"    and {len(rows) - _MAX_NAMED:,} more"
    if rows and rows[0].proposals:
        yield f"  To confirm a match: hf-gate table import {table} FILE --confirm LINE=USER"
    if matches.without_row:
        names = [one.user or one.user_id or "hidden" for one in matches.without_row[:_MAX_NAMED]]
        more = len(matches.without_row) - len(names)
        yield f"  waiting without a row: {', '.join(names)}{f' and {more:,} more' if more else ''}"


def _check_removed(draft: TableDraft, limit: int | None) -> None:
    """Raise Guarded if more rows go than a file of this table may lose."""
    removed = len(diff_rows(draft.before, draft.after).removed)
    share = draft.own.spec.max_removed
    allowed = (
        max(1, int((SHRINK_LIMIT if share is None else share) * len(draft.before.rows))) if limit is None else limit
    )
    if removed > allowed:
        raise Guarded(
            f"{removed:,} of {len(draft.before.rows):,} rows would be removed, but at most {allowed:,} may be; nothing was written.",
            hint=f"To remove them all, add --max-removed {removed}.",
        )


def _read_names(workspace: Workspace, names: tuple[str, ...]) -> tuple[OwnTable, bytes, bool]:
    """Return the table, the content of the file, and whether that is JSON lines."""
    if len(names) > 2:
        raise UsageError("give one table and one file.", hint="For example: hf-gate table import partners new.csv")
    file = names[-1]
    own = find_own_table(workspace, names[0]) if len(names) == 2 else _table_of_file(workspace, file)
    return own, _read_file(file), is_json_lines(own.path if file == "-" else Path(file))


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
        with sys.stdin.buffer if name == "-" else open_regular_file(Path(name)) as file:
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
