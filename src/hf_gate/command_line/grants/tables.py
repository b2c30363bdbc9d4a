"""table: the owner's tables, single rows of their files, and imports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from hf_gate.base.display_text import limit_lines, name_first, pluralize, to_one_line
from hf_gate.base.private_files import read_named_file
from hf_gate.command_line.decisions.confirmation import confirm
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command, limit_options
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import find_actor, open_workspace
from hf_gate.core.people.grants import last_day
from hf_gate.errors import UsageError
from hf_gate.grants.service.tables.own_tables import (
    OwnTable,
    TableDraft,
    draft_removal,
    draft_row,
    find_own_table,
    find_rows,
    name_row,
    read_own_tables,
    save_table_draft,
)
from hf_gate.grants.service.tables.table_imports import TableImport, prepare_import, read_people_file
from hf_gate.grants.service.tables.table_records import (
    TableRecord,
    TableRowRecord,
    describe_binding,
    table_edit_record,
    table_import_record,
    table_record,
    table_row_record,
)
from hf_gate.policies.drivers.table_files import MAX_BYTES
from hf_gate.policies.facts.tables import TableRow

if TYPE_CHECKING:
    from hf_gate.grants.people_files import PeopleFile
    from hf_gate.settings.service.workspace import Workspace

table = LazyGroup(
    "table",
    {
        "ls": CommandEntry("hf_gate.command_line.grants.tables:table_ls", "List the tables of the workspace."),
        "show": CommandEntry("hf_gate.command_line.grants.tables:table_show", "Show the rows of a table."),
        "add": CommandEntry("hf_gate.command_line.grants.tables:table_add", "Add or change one row.", has_effect=True),
        "remove": CommandEntry("hf_gate.command_line.grants.tables:table_remove", "Remove rows.", has_effect=True),
        "import": CommandEntry(
            "hf_gate.command_line.grants.tables:table_import",
            "Add, change or replace rows from a file.",
            has_effect=True,
        ),
    },
    help="Tables: your lists of people, in files or in the store. Files keep their comments, order and layout.",
)

_MAX_NAMED: Final = 20  # the most rows or people that are named
_MAX_REMOVED: Final = "Allow more removed rows than the table may lose, up to this number."


@command("ls", examples=("hf-gate table ls", "hf-gate table ls --json"))
def table_ls(context: CommandContext) -> int:
    """List the tables of hf-gate.yaml and of the policies: their files, keys and rows, and the
    policies that use them.
    """
    workspace = open_workspace(context, needs_folder=True)
    columns: list[Column[TableRecord]] = [
        Column("TABLE", lambda row: row.table),
        Column("ROWS", lambda row: f"{row.rows:,}", is_right_aligned=True),
        Column("KEY", lambda row: ", ".join(row.key), drop_rank=2),
        Column(
            "FILE",
            lambda row: row.file or ("(in the store)" if row.stored else "(in the policy)"),
            is_flexible=True,
            drop_rank=3,
        ),
        Column("POLICIES", lambda row: ", ".join(row.policies) or "-", is_flexible=True, drop_rank=1),
        Column("PROBLEM", lambda row: row.refused or "-", is_flexible=True),
    ]
    rows = [table_record(own) for own in read_own_tables(workspace)]
    context.out.records(
        TableRecord,
        rows,
        columns,
        name=lambda row: row.table,
        limit=-1,
        empty="There are no tables. Name a file and its key in hf-gate.yaml under `tables`; see docs/tables.md.",
    )
    return 0


@command("show", examples=("hf-gate table show partners", "hf-gate table show partners --query ada --json"))
@click.argument("name")
@click.option("--query", metavar="TEXT", help="Only rows that contain this text.")
@limit_options
def table_show(context: CommandContext, *, name: str, query: str | None, limit: int | None) -> int:
    """Show the rows of a table, with what counts now and the account to which each username is bound."""
    workspace = open_workspace(context, needs_folder=True)
    own = find_own_table(workspace, name)
    if own.table.refusal:
        context.out.warn(f"{own.table.refusal_text}.")
    zone = workspace.zone
    bindings = workspace.store.bindings(own.name)
    now = workspace.now()
    rows = find_rows(own, query or "")
    columns: list[Column[TableRowRecord]] = [
        Column("LINE", lambda row: str(row.line), is_right_aligned=True, drop_rank=3),
        Column("WHO", who_of_record, is_flexible=True, min_width=12),
        Column("STATE", lambda row: row.state),
        Column("FROM", lambda row: _day(row.starts, zone), drop_rank=4),
        Column("EXPIRES", lambda row: _day(row.expires, zone, is_end=True), drop_rank=1),
        Column(
            "OTHER COLUMNS",
            lambda row: ", ".join((f"{name}: {text}" for name, text in (row.row or {}).items() if text)) or "-",
            is_flexible=True,
            drop_rank=2,
        ),
    ]
    is_whole = context.out.records(
        TableRowRecord,
        (table_row_record(row, now, bindings) for row in rows),
        columns,
        name=who_of_record,
        limit=limit,
        empty="The table has no such row." if query else "The table has no rows.",
        part="the first {} rows",
    )
    waiting = sum(bool(describe_binding(row, bindings)) for row in rows)
    if waiting and is_whole:
        context.out.say(f"{pluralize(waiting, 'username')} bound to no account: these rows count for nobody.", "dim")
        context.out.hint(
            f"`{context.command_line('plan')}` looks up new names."
            " For others, add an e-mail address or account id to the row."
        )
    return 0


def _day(moment: str | None, zone: tzinfo, *, is_end: bool = False) -> str:
    """Return the day of a start or end as its owner would write it."""
    if moment is None:
        return "-"
    found = datetime.fromisoformat(moment)
    return (last_day(found, zone) if is_end else found.astimezone(zone).date()).isoformat()


def who_of_record(row: TableRowRecord) -> str:
    """Return how people name the person or the domain of a row."""
    return row.username or row.email or row.domain or row.user_id or "-"


# ---- single rows -----------------------------------------------------------------------------------------------------


@command(
    "add",
    examples=(
        "hf-gate table add partners email=ada@unibas.example expires=2027-06-30",
        "hf-gate table add unwelcome username=spam-bot reason='Resells data' expires=2027-01-01",
    ),
)
@click.argument("name")
@click.argument("cells", nargs=-1, required=True, metavar="COLUMN=VALUE...")
@click.option("--replace", "replaces", is_flag=True, help="Change the row that has this key.")
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_add(context: CommandContext, *, name: str, cells: tuple[str, ...], replaces: bool, dry_run: bool) -> int:
    """Add one row to a table's file, or change one. The rest of the file stays as it is.

    A new row counts from the next plan or turn of `hf-gate run`, even for people on hold.
    """
    workspace = open_workspace(context, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    own = find_own_table(workspace, name)
    draft = draft_row(own, parse_pairs(cells, "email=ada@x.example"), replaces=replaces)
    return _finish(context, workspace, draft, _Answers(dry_run))


def parse_pairs(texts: Sequence[str], example: str) -> dict[str, str]:
    """Return what stands before and after the sign `=` in each text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"{to_one_line(text)[:60]} is not COLUMN=VALUE.", hint=f"For example: {example}")
        if name.strip() in pairs:
            raise UsageError(f"{to_one_line(name)[:60]} is given twice.", hint="Give each column once.")
        pairs[name.strip()] = value
    return pairs


@command("remove", examples=("hf-gate table remove partners ada@unibas.example", "hf-gate table remove class ada-l"))
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--max-removed", type=click.IntRange(0), help=_MAX_REMOVED)
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_remove(
    context: CommandContext,
    *,
    name: str,
    keys: tuple[str, ...],
    max_removed: int | None,
    dry_run: bool,
) -> int:
    """Remove rows from a table's file. KEY is an account id, a username, an e-mail address or @domain.

    This changes nobody's access at once. The next plan shows what the policies do without the rows.
    """
    workspace = open_workspace(context, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    draft = draft_removal(find_own_table(workspace, name), keys)
    return _finish(context, workspace, draft, _Answers(dry_run, max_removed))


# ---- files -----------------------------------------------------------------------------------------------------------


_COLUMN: Final = "A column of the table and its name in FILE, such as email=E-Mail-Adresse."


@command(
    "import",
    examples=(
        "hf-gate table import roster students.csv",
        "hf-gate table import roster office.csv --column email=E-Mail-Adresse --yes",
        "hf-gate table import roster new.csv --replace --yes",
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="[TABLE] FILE")
@click.option("--column", "columns", multiple=True, metavar="COLUMN=NAME", help=_COLUMN)
@click.option("--replace", "replaces", is_flag=True, help="Remove the rows that FILE does not have.")
@click.option("--max-removed", type=click.IntRange(0), help=_MAX_REMOVED)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_import(
    context: CommandContext,
    *,
    names: tuple[str, ...],
    columns: tuple[str, ...],
    replaces: bool,
    max_removed: int | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Add, change or replace rows from FILE: new rows at the end of the table, known ones with their new values.

    FILE is a CSV file, an .xlsx workbook, JSON lines, or - for stdin. Without TABLE, the table with the name of the
    file is used. The first import makes the file of the table.

    A row names a person by username, e-mail address, profile, account id or @domain, in any column. Each row is found,
    likely or not found among the people who asked. A row without the key of the table gets it from their request.
    """
    workspace = open_workspace(context, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    found = _read_import(workspace, names, columns, replaces=replaces)
    answers = _Answers(dry_run, max_removed, asks=not (yes or dry_run))
    return _finish(context, workspace, found.draft, answers, found=found)


def _read_import(
    workspace: Workspace, names: tuple[str, ...], columns: tuple[str, ...], *, replaces: bool
) -> TableImport:
    """Read the file of a command and draft its import."""
    if len(names) > 2:
        raise UsageError("give one table and one file.", hint="For example: hf-gate table import partners new.csv")
    file = names[-1]
    own = find_own_table(workspace, names[0]) if len(names) == 2 else _table_of_file(workspace, file)
    people = read_named_list(file, columns, workspace)
    return prepare_import(workspace, own, people, replaces=replaces)


def read_named_list(file: str, columns: Sequence[str], workspace: Workspace | None) -> PeopleFile:
    """Read the list of people that a command names. `columns` are options such as email=E-Mail-Adresse."""
    names = {name: column for column, name in parse_pairs(columns, "email=E-Mail-Adresse").items()}
    store = None if workspace is None else workspace.store
    return read_people_file(read_named_file(file, most=MAX_BYTES), names, store)


def match_lines(found: TableImport, most: int = _MAX_NAMED) -> Iterator[str]:
    """Return how a list was read and whom its rows mean, as lines of text, naming at most `most`."""
    yield from (f"  {note}" for note in found.notes)
    for name, column in found.people.columns.items():
        yield f"  column {name} is read as {column}"
    for domain in found.domains[:most]:
        people = f"{pluralize(domain.people, 'person', 'people')} who asked"
        yield f"  {name_row(domain.row)}: {people if domain.people else 'nobody with such an address has asked'}"
    yield f"  found: {found.found:,}; likely: {len(found.likely):,}; not found: {len(found.not_found):,}"
    unit = found.people.unit
    likely = [(each.row, f"did you mean {each.near}?") for each in found.likely]
    for rows in (likely, [(row, "not found") for row in found.not_found]):
        lines = limit_lines(rows, most, lambda each: f"{unit} {each[0].line}, {name_row(each[0])}: {each[1]}")
        yield from (f"    {line}" for line in lines)
    if found.without_row:
        names = [person.identity.username or person.identity.user_id or "hidden" for person in found.without_row]
        yield f"  waiting without a row: {name_first(names, most)}"


def _table_of_file(workspace: Workspace, file: str) -> OwnTable:
    """Return the table with the name of the file, else the only table that has a file."""
    tables = [each for each in read_own_tables(workspace) if not each.is_in_policy]
    named = [each for each in tables if each.name == Path(file).stem] or tables
    if len(named) == 1:
        return named[0]
    known = ", ".join(each.name for each in tables) or "none"
    raise UsageError("which table?", hint=f"Name it before the file. The tables with files are: {known}.")


# ---- results ---------------------------------------------------------------------------------------------------------


class _Answers(NamedTuple):
    """What the options of a command say about the change. `asks`: a person is asked before anything is written."""

    is_dry_run: bool
    max_removed: int | None = None
    asks: bool = False


def _finish(
    context: CommandContext,
    workspace: Workspace,
    draft: TableDraft,
    answers: _Answers,
    *,
    found: TableImport | None = None,
) -> int:
    """Check a draft, write it unless it is a dry run, and print what changed."""
    if answers.is_dry_run:
        _print_draft(context, draft, found, is_written=False)
    draft.check_removals(answers.max_removed)
    if answers.asks:
        _confirm(context, draft)
    save_table_draft(
        workspace, draft, find_actor(context), max_removed=answers.max_removed, is_dry_run=answers.is_dry_run
    )
    if not answers.is_dry_run:
        _print_draft(context, draft, found, is_written=True)
    return 0


def _confirm(context: CommandContext, draft: TableDraft) -> None:
    """Ask before rows are written. Raises Guarded if the answer is no, or nobody can be asked."""
    diff = draft.diff
    total = len(diff.added) + len(diff.changed) + len(diff.removed)
    if not total:
        return
    counts = f"{len(diff.added):,} added, {len(diff.changed):,} changed, {len(diff.removed):,} removed"
    question = f"Write to table {draft.own.name}: {counts}?"
    confirm(context, question, f"nothing was written ({counts})", "Add --yes, or --dry-run to see the effect.")


def _print_draft(context: CommandContext, draft: TableDraft, found: TableImport | None, *, is_written: bool) -> None:
    """Print the rows that a draft changes, and whom the rows of an import mean."""
    edit = table_edit_record(draft, is_written=is_written)
    record = edit if found is None else table_import_record(found, edit)
    more = () if found is None else match_lines(found)
    context.out.document(
        record, lambda: (*_draft_lines(context, draft, is_written=is_written), *more), quiet=[draft.own.name]
    )


def _draft_lines(context: CommandContext, draft: TableDraft, *, is_written: bool) -> Iterator[str]:
    diff = draft.diff
    sizes = {"added": len(diff.added), "changed": len(diff.changed), "removed": len(diff.removed)}
    counts = ", ".join(f"{count:,} {word}" for word, count in sizes.items() if count) or "nothing to change"
    yield f"table {draft.own.name}: {counts}{'' if is_written else ' (nothing written)'}"
    for sign, rows in (("+", diff.added), ("~", [new for _, new in diff.changed]), ("-", diff.removed)):
        names = limit_lines(rows, _MAX_NAMED, lambda row: name_of_row(row, draft.own.folder.zone))
        yield from (f"  {sign} {line}" for line in names)
    if is_written and draft.own.policies:
        yield f"  To see what the policies do now: {context.command_line('plan')}"


def name_of_row(row: TableRow, zone: tzinfo) -> str:
    """Return how people name a row, with its last day."""
    who = name_row(row)
    return who if row.expires is None else f"{who}, expires {last_day(row.expires, zone)}"
