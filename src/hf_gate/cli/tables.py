"""table ls, show, add, remove: the owner's tables, and single rows of their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from ..application.agreements import GrantOnRow, check_no_grant_rests, find_grants, hashes_to_keep
from ..application.decisions import Choice, DecisionTarget
from ..application.own_tables import (
    OwnTable,
    TableDraft,
    diff_rows,
    draft_removal,
    draft_row,
    find_own_table,
    find_rows,
    name_row,
    read_own_tables,
    save_draft,
)
from ..application.table_effects import iterate_effects, read_bundle
from ..application.table_records import (
    TableEffectRecord,
    TableRecord,
    TableRowRecord,
    describe_binding,
    describe_effect,
    describe_held_ends,
    table_effect_record,
    table_record,
    table_row_record,
)
from ..application.workspace import new_id
from ..domain.display_text import pluralize, to_one_line
from ..domain.grants import last_day
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.requests import check_reason, target_of
from ..errors import Guarded, UsageError
from ..policy.tables import TableRow
from .execution import decision_sender
from .framework import CommandEntry, GateGroup, Run, command, limit_options
from .output import Column, Row
from .request_table import repo_argument
from .workspace import actor_of, describe_refusal, open_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace

table = GateGroup(
    "table",
    {
        "ls": CommandEntry("tables:table_ls", "List the tables of the workspace."),
        "show": CommandEntry("tables:table_show", "Show the rows of a table."),
        "add": CommandEntry("tables:table_add", "Add or change one row.", has_effect=True),
        "remove": CommandEntry("tables:table_remove", "Remove rows.", has_effect=True),
        "import": CommandEntry("table_imports:table_import", "Add the rows of a file to a table.", has_effect=True),
        "diff": CommandEntry("table_imports:table_diff", "Show what a new file would change."),
    },
    help="Tables: your lists of people. Their files stay yours: comments, order and layout are kept.",
)

_ENDED: Final = frozenset({OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.GONE})
_MAX_NAMED: Final = 20  # the most people that are named


@command("ls", examples=("hf-gate table ls", "hf-gate table ls --json"))
def table_ls(run: Run) -> int:
    """List the tables of hf-gate.yaml and of the policies: their files, keys and rows, and the policies that use them."""
    workspace = open_workspace(run, needs_folder=True)
    columns: list[Column[TableRecord]] = [
        Column("TABLE", lambda row: row.table),
        Column("ROWS", lambda row: f"{row.rows:,}", is_right_aligned=True),
        Column("KEY", lambda row: ", ".join(row.key), drop_rank=2),
        Column("FILE", lambda row: row.file or "(in the policy)", is_flexible=True, drop_rank=3),
        Column("POLICIES", lambda row: ", ".join(row.policies) or "-", is_flexible=True, drop_rank=1),
        Column("PROBLEM", lambda row: row.refused or "-", is_flexible=True),
    ]
    rows = [table_record(own) for own in read_own_tables(workspace)]
    run.out.records(TableRecord, rows, columns, name=lambda row: row.table, limit=-1)
    return 0


@command("show", examples=("hf-gate table show partners", "hf-gate table show partners --query ada --json"))
@click.argument("name")
@click.option("--query", metavar="TEXT", help="Only rows that contain this text.")
@limit_options
def table_show(run: Run, *, name: str, query: str | None, limit: int | None) -> int:
    """Show the rows of a table, with what counts now and the account to which each username is bound."""
    workspace = open_workspace(run, needs_folder=True)
    own = find_own_table(workspace, name)
    if own.table.file_problem:
        run.out.warn(describe_refusal(own.table))
    zone = workspace.zone
    bindings, now = workspace.store.bindings(own.name), workspace.now()
    found = find_rows(own, query or "")
    columns: list[Column[TableRowRecord]] = [
        Column("LINE", lambda row: str(row.line), is_right_aligned=True, drop_rank=3),
        Column("WHO", who_of_record, is_flexible=True, min_width=12),
        Column("STATE", lambda row: row.state),
        Column("FROM", lambda row: _day(row.starts, zone), drop_rank=4),
        Column("EXPIRES", lambda row: _day(row.expires, zone, is_end=True), drop_rank=1),
        Column("OTHER COLUMNS", lambda row: _other_cells(row.row or {}), is_flexible=True, drop_rank=2),
    ]
    is_whole = run.out.records(
        TableRowRecord,
        (table_row_record(row, now, bindings) for row in found),
        columns,
        name=who_of_record,
        limit=limit,
        empty="The table has no such row." if query else "The table has no rows.",
        part="the first {} rows",
    )
    waiting = sum(bool(describe_binding(row, bindings)) for row in found)
    if waiting and is_whole:
        run.out.say(f"{pluralize(waiting, 'username')} bound to no account: these rows count for nobody.", "dim")
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


def _other_cells(cells: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {text}" for name, text in cells.items() if text) or "-"


# ---- single rows -------------------------------------------------------------------------------------------------------


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
def table_add(run: Run, *, name: str, cells: tuple[str, ...], replaces: bool, dry_run: bool) -> int:
    """Add one row to a table's file, or change one. The rest of the file stays as it is.

    A new row counts from the next plan or turn of `hf-gate run`, even for people on hold.
    """
    workspace = open_workspace(run, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    own = find_own_table(workspace, name)
    draft = draft_row(own, _parse_cells(cells), replaces=replaces)
    return finish_draft(run, workspace, draft, is_dry_run=dry_run)


def _parse_cells(cells: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in cells:
        column, sign, value = text.partition("=")
        if not sign or not column.strip():
            raise UsageError(f"{to_one_line(text)[:60]} is not COLUMN=VALUE.", hint="For example: email=ada@x.example")
        if column.strip() in found:
            raise UsageError(f"{to_one_line(column)[:60]} is given twice.", hint="Give each column once.")
        found[column.strip()] = value
    return found


@command("remove", examples=("hf-gate table remove partners ada@unibas.example", "hf-gate table remove class ada-l"))
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--end-access", is_flag=True, help="First end the access that depends on the rows (send back).")
@click.option("--reason", help="With --end-access: the text for these people, at most 200 characters.")
@click.option(
    "--keep-hash", is_flag=True, help="Keep their access, and keep the digests of row and file in the audit log."
)
@click.option("--dry-run", is_flag=True, help="Show the effect; write nothing.")
def table_remove(
    run: Run, *, name: str, keys: tuple[str, ...], end_access: bool, reason: str | None, keep_hash: bool, dry_run: bool
) -> int:
    """Remove rows from a table's file. KEY is an account id, a username, an e-mail address or @domain.

    This changes nobody's access at once. The next plan shows what the policies do without the rows. A row with a
    `file_hash` or a `version` is an agreement: if somebody has access that depends on it, choose what happens to it.
    """
    workspace = open_workspace(run, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    check_reason(reason)
    own = find_own_table(workspace, name)
    draft = draft_removal(own, keys)
    grants = find_grants(workspace, draft)
    if dry_run:
        lines = list(_grant_lines(grants, end_access))
        print_draft(run, draft, effects_of(workspace, draft), is_written=False, more_lines=lines)
    if end_access and grants:
        end_grants(run, workspace, grants, reason, is_dry_run=dry_run)
    elif not keep_hash:
        check_no_grant_rests(own.name, grants)
    effects = effects_of(workspace, draft)
    kept = {} if end_access else hashes_to_keep(grants)
    save_draft(workspace, draft, actor_of(run), kept=kept, is_dry_run=dry_run)
    if not dry_run:
        print_draft(run, draft, effects, is_written=True)
    return 0


def end_grants(
    run: Run, workspace: Workspace, grants: Sequence[GrantOnRow], reason: str | None, *, is_dry_run: bool = False
) -> None:
    """Send back the requests of these grants. Raises Guarded if they are many, or any of them keeps its access."""
    if len(grants) > _MAX_NAMED:
        raise Guarded(f"{len(grants)} people would lose access; nothing was written.", hint="Use hf-gate revoke first.")
    targets = [
        DecisionTarget(one.request.repo, target_of(one.request.request), reason)
        for one in grants
        if one.request.request is not None
    ]
    sender = decision_sender(run, workspace, None, {"reset": len(targets)}, targets)
    if is_dry_run:
        result = sender.preview(targets, Choice(Status.RESET))
    else:
        result = sender.decide(targets, Choice(Status.RESET), run_id=new_id())
    if result.stopped_by is not None:
        raise result.stopped_by
    left = [one for one in result.outcomes if one.kind not in _ENDED]
    if left:
        raise Guarded(
            f"{len(left)} of {len(targets)} people keep their access, so no row was removed.", hint=left[0].why
        )
    did = "Would end" if is_dry_run else "Ended"
    run.out.say(f"{did} the access of {pluralize(len(targets), 'person', 'people')}.")


def _grant_lines(grants: Sequence[GrantOnRow], is_ended: bool) -> Iterator[str]:
    """Return what happens to access that rests on rows that go, as lines of text."""
    if not grants:
        return
    names = [one.request.target_name for one in grants[:_MAX_NAMED]]
    more = f" and {len(grants) - _MAX_NAMED:,} more" if len(grants) > _MAX_NAMED else ""
    what = "would be sent back first" if is_ended else "access depends on these rows; add --end-access or --keep-hash"
    yield f"  {' '.join(names)}{more}  {what}"


# ---- results -----------------------------------------------------------------------------------------------------------


def finish_draft(run: Run, workspace: Workspace, draft: TableDraft, *, is_dry_run: bool) -> int:
    """Write a draft unless it is a dry run, and print what changed and for whom."""
    effects = effects_of(workspace, draft)
    if draft.content:
        save_draft(workspace, draft, actor_of(run), is_dry_run=is_dry_run)
    print_draft(run, draft, effects, is_written=not is_dry_run)
    return 0


def effects_of(workspace: Workspace, draft: TableDraft) -> list[TableEffectRecord]:
    """Return the people whom a draft lists differently."""
    return [table_effect_record(one) for one in iterate_effects(workspace, draft, read_bundle(workspace))]


def print_draft(
    run: Run,
    draft: TableDraft,
    effects: Sequence[TableEffectRecord],
    *,
    is_written: bool,
    more: Row | None = None,
    more_lines: Sequence[str] = (),
) -> None:
    """Print the rows and the people that a draft changes."""
    diff = diff_rows(draft.before, draft.after)
    doc = {
        "table": draft.own.name,
        "written": is_written,
        "added": len(diff.added),
        "changed": len(diff.changed),
        "removed": len(diff.removed),
        "people": list(effects),
        **(more or {}),
    }
    lines = lambda: (*_draft_lines(draft, effects, is_written=is_written), *more_lines)  # noqa: E731 - called for people only
    run.out.document(doc, lines, quiet=[draft.own.name])


def _draft_lines(draft: TableDraft, effects: Sequence[TableEffectRecord], *, is_written: bool) -> Iterator[str]:
    diff = diff_rows(draft.before, draft.after)
    sizes = {"added": len(diff.added), "changed": len(diff.changed), "removed": len(diff.removed)}
    counts = ", ".join(f"{count:,} {word}" for word, count in sizes.items() if count) or "no row changes"
    yield f"table {draft.own.name}: {counts}{'' if is_written else ' (nothing written)'}"
    for sign, rows in (("+", diff.added), ("~", [new for _, new in diff.changed]), ("-", diff.removed)):
        for row in rows[:_MAX_NAMED]:
            yield f"  {sign} {name_of_row(row, draft.own.folder.zone)}"
        if len(rows) > _MAX_NAMED:
            yield f"  {sign} and {len(rows) - _MAX_NAMED:,} more"
    yield from effect_lines(draft.own, effects)


def effect_lines(own: OwnTable, effects: Sequence[TableEffectRecord]) -> Iterator[str]:
    """Return whom a change concerns, as lines of text."""
    if not effects:
        yield "  affects nobody who is waiting or has access"
        return
    waiting = sum(one.status == Status.PENDING for one in effects)
    yield f"  affects {waiting:,} waiting, {len(effects) - waiting:,} with access:"
    for one in effects[:_MAX_NAMED]:
        who = one.user or one.request_id or "hidden"
        effect = describe_effect(one, partial(_format_moment, own.folder.zone))
        yield f"    {who}@{repo_argument(one)}  {one.status}, {effect}"
    if len(effects) > _MAX_NAMED:
        yield f"    and {len(effects) - _MAX_NAMED:,} more"
    if held := describe_held_ends(effects):
        yield f"  {held}"
    if own.policies:
        yield "  To see what the policies do now: hf-gate plan"


def _format_moment(zone: tzinfo, moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(zone):%Y-%m-%d %H:%M}"


def name_of_row(row: TableRow, zone: tzinfo) -> str:
    """Return how people name a row, with its last day."""
    who = name_row(row)
    return who if row.expires is None else f"{who}, expires {last_day(row.expires, zone)}"
