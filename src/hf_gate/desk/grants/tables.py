"""The pages of the owner's tables: the list, one table with a search, and changes, each shown with its effect first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from hf_gate.base.display_text import make_visible
from hf_gate.base.timestamps import format_day
from hf_gate.core.people.grants import format_last_day
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, Refused, parse_number, require
from hf_gate.desk.policies.policy_texts import can_see_policy, visible_tables
from hf_gate.errors import Guarded, HfGateError, Stale, UsageError
from hf_gate.grants.people_files import format_people
from hf_gate.grants.service.tables.own_tables import (
    OwnTable,
    RowDiff,
    TableDraft,
    add_stored_rows,
    find_rows,
    list_own_tables,
    name_row,
    read_own_tables,
    save_table_draft,
)
from hf_gate.grants.service.tables.table_imports import TableImport, prepare_import, read_people_file
from hf_gate.grants.service.tables.table_records import (
    TableRecord,
    TableRowRecord,
    describe_binding,
    table_import_record,
    table_record,
    table_row_record,
)
from hf_gate.policies.facts.tables import TableRow
from hf_gate.verdicts.service.policy_watcher import require_common_files

PAGE_SIZE: Final = 100
MAX_QUERY: Final = 200
MAX_COLUMNS: Final = 30  # other columns that are shown


class TablesOfDesk(Struct, frozen=True):
    """The tables that the member may see, and whether the owner lets the desk write them."""

    tables: Sequence[OwnTable]
    allows: bool = False

    def find(self, name: str) -> OwnTable:
        """Return a table. Raises NotFound if the member may not see it."""
        return require(next((own for own in self.tables if own.name == name), None))


def can_write(context: HttpContext, desk: TablesOfDesk) -> bool:
    """Whether the member may write tables: an admin of all repos, where the owner allowed it."""
    is_admin = context.member.is_admin_of_all
    return is_admin and desk.allows


def check_may_write(context: HttpContext, desk: TablesOfDesk) -> None:
    """Raise Refused if the member may not write tables."""
    if not desk.allows:
        hint = "To allow it, write in hf-gate.yaml: desk: {may_write_tables: true}"
        raise Refused("This desk cannot change tables.", hint=hint)
    if not can_write(context, desk):
        raise Refused("Only an admin of all repos may change a table.", status=403)
    require_common_files(context.workspace, context.app_state.policies.current)


def read_visible_tables(context: HttpContext) -> TablesOfDesk:
    """Return the tables that the member may see, with the policies that they may see."""
    if not context.has_workspace:
        return TablesOfDesk(())
    bundle = context.app_state.policies.current
    if bundle is not None:
        folder = bundle.folder
        policies = [policy for policy in bundle.policies if can_see_policy(context, policy)]
        tables = {name: bundle.tables[name] for name in visible_tables(context, folder) if name in bundle.tables}
        return TablesOfDesk(list_own_tables(folder, policies, tables), folder.config.may_write_tables)
    try:  # a policy with an error hides no table
        found = read_own_tables(context.workspace)
    except HfGateError as problem:
        if context.member.repos is None:
            raise
        raise Refused(
            "The tables cannot be read now.", hint="Ask an admin of all repos, who can see why.", status=409
        ) from problem
    if not found:
        return TablesOfDesk(())
    folder = found[0].folder
    known = visible_tables(context, folder)
    seen = [
        replace(one, policies=tuple(each for each in one.policies if can_see_policy(context, each)))
        for one in found
        if one.name in known
    ]
    return TablesOfDesk(seen, folder.config.may_write_tables)


# ---- pages -----------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the tables with their files, sizes and problems."""
    desk = read_visible_tables(context)
    is_writable = can_write(context, desk)
    first = next((own for own in desk.tables if not own.is_in_policy), None)
    return context.render(
        "tables.html",
        title="Tables",
        tables=desk.tables,
        is_writable=is_writable,
        allows=desk.allows,
        command="" if is_writable or not context.can_decide else command_to_import(first),
    )


def command_to_import(own: OwnTable | None) -> str:
    """Return the command that adds or changes rows of a table from a file."""
    return f"hf-gate table import {'NAME' if own is None else own.name} FILE"


def export(context: HttpContext) -> Response:
    """Return the same tables as a file, without their rows."""
    rows = [table_record(own) for own in read_visible_tables(context).tables]
    return export_response("tables", context.params["kind"], TableRecord, rows)


def table_page(context: HttpContext) -> Response:
    """Show the rows of one table."""
    desk = read_visible_tables(context)
    return render_table(context, desk, desk.find(context.params["name"]))


def export_rows(context: HttpContext) -> Response:
    """Return the rows of one table as a file."""
    own = read_visible_tables(context).find(context.params["name"])
    if own.table.refusal:
        raise Refused(f"{own.table.refusal}.", hint="Correct the file to get its rows.", status=409)
    bindings = context.workspace.store.bindings(own.name)
    records = (table_row_record(row, context.now, bindings) for row in find_rows(own, _search_text(context)))
    return export_response(f"table-{own.name}", context.params["kind"], TableRowRecord, records)


def _search_text(context: HttpContext) -> str:
    return context.query_value("q").strip()[:MAX_QUERY]


def render_table(
    context: HttpContext,
    desk: TablesOfDesk,
    own: OwnTable,
    *,
    problem: HfGateError | None = None,
    status: int = 200,
) -> Response:
    """Show the rows of one table. `problem` says why nothing was written."""
    text = _search_text(context)
    rows = find_rows(own, text)
    start = parse_number(context.query_value("after")) or 0
    shown = [row for row in rows if row.line > start][: PAGE_SIZE + 1]
    bindings = context.workspace.store.bindings(own.name)
    is_writable = can_write(context, desk) and not own.is_in_policy
    return context.render(
        "table.html",
        status,
        title=f"Table {own.name}",
        own=own,
        text=text,
        searched=f"?{urlencode({'q': text})}" if text else "",
        total=len(rows),
        lines=[_make_line(context, own, row, bindings) for row in shown[:PAGE_SIZE]],
        next_line=shown[PAGE_SIZE - 1].line if len(shown) > PAGE_SIZE else None,
        is_first=start == 0,
        is_writable=is_writable,
        allows=desk.allows,
        command="" if is_writable or own.is_in_policy else command_to_import(own),
        wrong=[] if problem is None else _problem_lines(problem),
    )


def _problem_lines(problem: HfGateError) -> list[str]:
    words = f"{problem} {problem.hint}".strip()
    return [make_visible(line, one_line=True) for line in (f"{words[:1].upper()}{words[1:]}", *problem.details)]


def _make_line(context: HttpContext, own: OwnTable, row: TableRow, bindings: Mapping[str, str]) -> dict[str, Any]:
    zone = own.folder.zone
    record = table_row_record(row, context.now, bindings)
    return {
        "line": row.line,
        "who": name_row(row),
        "state": record.state,
        "note": row.date_problem or describe_binding(row, bindings),
        "starts": None if row.starts is None else format_day(row.starts.astimezone(zone)),
        "ends": None if row.expires is None else format_last_day(row.expires, zone),
        "cells": [(name, cell) for name, cell in [*row.columns.items()][:MAX_COLUMNS] if cell],
    }


# ---- import ---------------------------------------------------------------------------------------------------------


MAX_UPLOAD: Final = 256 << 10  # bytes of an imported file; larger ones go through the command line
MAX_LINES: Final = 20_000  # of an imported file
MAX_NAMED: Final = 20  # rows that a preview names
MAX_SHOWN: Final = 50  # rows or people that a preview names


def import_rows(context: HttpContext) -> Response:
    """Add the rows of an uploaded or pasted file: first shown, then written."""
    desk = read_visible_tables(context)
    own = desk.find(context.params["name"])
    check_may_write(context, desk)
    own = add_stored_rows(context.workspace.store, own)
    try:
        text = _read_upload(context, own.name)
        content = text.encode("utf-8", "surrogateescape")
        people = read_people_file(content, {}, context.workspace.store)
        found = prepare_import(context.workspace, own, people, replaces=context.form_value("replaces") == "yes")
        if context.form_value("do") != "write":
            return _preview(context, own, found)
        _write(context, found.draft)
    except (UsageError, Stale, Guarded) as problem:
        status = 409 if isinstance(problem, Stale | Guarded) else 422
        return render_table(context, desk, own, problem=problem, status=status)
    context.app_state.policies.expire()
    return RedirectResponse(f"/tables/{own.name}?done=1", 303)


def _read_upload(context: HttpContext, name: str) -> str:
    """Return an uploaded file, else a pasted text. Raises UsageError if it is too large."""
    text = context.form_value("file") or context.form_value("rows")
    if len(text.encode("utf-8", "surrogateescape")) > MAX_UPLOAD:
        raise UsageError(
            f"The list is larger than {MAX_UPLOAD >> 10} KiB.", hint=f"Run `hf-gate table import {name} FILE`."
        )
    if text.count("\n") > MAX_LINES:
        raise UsageError(
            f"The list has more than {MAX_LINES:,} lines.", hint=f"Run `hf-gate table import {name} FILE`."
        )
    return text


def _write(context: HttpContext, draft: TableDraft) -> None:
    if context.form_value("base") != draft.base:
        raise Stale(
            f"Table {draft.own.name} changed since you saw the preview, so nothing was written.", hint="Try again."
        )
    removed = len(draft.diff.removed)
    confirmed = removed if context.form_value("count") == str(removed) else None
    try:
        draft.check_removals(confirmed)
    except Guarded as problem:
        raise Guarded(str(problem), hint="Type the number of rows to confirm.") from None
    save_table_draft(context.workspace, draft, context.member.name, max_removed=confirmed)


def _preview(context: HttpContext, own: OwnTable, found: TableImport) -> Response:
    draft = found.draft
    groups = _groups(draft.diff)
    removed = len(draft.diff.removed)
    return context.render(
        "table-change.html",
        title=f"Import: {own.name}",
        own=own,
        draft=draft,
        text=format_people(found.people),
        counts=[(word, len(rows)) for word, rows in groups],
        rows=[(word, name_row(row)) for word, rows in groups for row in rows][:MAX_NAMED],
        total=sum(len(rows) for _, rows in groups),
        matches=table_import_record(found),
        needs_count=removed if removed > draft.removal_limit else 0,
        most=MAX_SHOWN,
    )


def _groups(diff: RowDiff) -> tuple[tuple[str, Sequence[TableRow]], ...]:
    """Return the rows of a difference with their words."""
    return ("added", diff.added), ("changed", [new for _, new in diff.changed]), ("removed", diff.removed)
