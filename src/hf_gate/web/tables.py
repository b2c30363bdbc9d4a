"""The pages of the owner's tables: the list, and one table with a search, page by page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from ..application.own_tables import OwnTable, columns_of, find_rows, list_own_tables, name_row, read_own_tables
from ..application.table_records import (
    TableRecord,
    TableRowRecord,
    describe_binding,
    table_record,
    table_row_record,
)
from ..domain.grants import last_day
from ..domain.members import MemberRole
from ..errors import HfGateError
from ..policy.tables import TableRow
from .drafts import can_see_policy, visible_tables
from .exports import export_response
from .request_context import NotFound, Refused, RequestContext, parse_number

PAGE_SIZE: Final = 100
MAX_QUERY: Final = 200
MAX_COLUMNS: Final = 30  # other columns that are shown or can be filled in


@dataclass(frozen=True, slots=True)
class TablesOfDesk:
    """The tables that the member may see, and whether the owner lets the desk write them."""

    tables: Sequence[OwnTable]
    allows: bool = False

    def find(self, name: str) -> OwnTable:
        """Return a table. Raises NotFound if the member may not see it."""
        found = next((one for one in self.tables if one.name == name), None)
        if found is None:
            raise NotFound
        return found


def can_write(context: RequestContext, desk: TablesOfDesk) -> bool:
    """Whether the member may write tables: an admin of all repos, where the owner allowed it."""
    is_admin = context.member.role.covers(MemberRole.ADMIN) and context.member.repos is None
    return is_admin and desk.allows


def check_may_write(context: RequestContext, desk: TablesOfDesk) -> None:
    """Raise Refused if the member may not write tables."""
    if not desk.allows:
        hint = "To allow it, write in hf-gate.yaml: desk: {may_write_tables: true}"
        raise Refused("This desk cannot change tables.", hint=hint)
    if not can_write(context, desk):
        raise Refused("Only an admin of all repos may change a table.", status=403)


def read_visible_tables(context: RequestContext) -> TablesOfDesk:
    """Return the tables that the member may see, with the policies that they may see."""
    if not context.has_workspace:
        return TablesOfDesk(())
    bundle = context.app_state.policies.current
    if bundle is not None:
        folder = bundle.folder
        policies = [each for each in bundle.policies if can_see_policy(context, each)]
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


def page(context: RequestContext) -> Response:
    """Show the tables with their files, sizes and problems."""
    return context.render("tables.html", title="Tables", tables=read_visible_tables(context).tables)


def export(context: RequestContext) -> Response:
    """Return the same tables as a file, without their rows."""
    rows = [table_record(own) for own in read_visible_tables(context).tables]
    return export_response("tables", context.params["kind"], TableRecord, rows)


def table_page(context: RequestContext) -> Response:
    """Show the rows of one table. Viewers see how many there are, and no row."""
    desk = read_visible_tables(context)
    return render_table(context, desk, desk.find(context.params["name"]))


def export_rows(context: RequestContext) -> Response:
    """Return the rows of one table as a file. Viewers get them without names, addresses and other columns."""
    own = read_visible_tables(context).find(context.params["name"])
    if own.table.outdated:
        raise Refused(f"{own.table.file_problem}.", hint="Correct the file to get its rows.", status=409)
    bindings, masked = context.workspace.store.bindings(own.name), context.is_masked
    rows = own.table.rows if masked else find_rows(own, _search_text(context))
    records = (table_row_record(row, context.now, bindings, is_masked=masked) for row in rows)
    return export_response(f"table-{own.name}", context.params["kind"], TableRowRecord, records)


def _search_text(context: RequestContext) -> str:
    return context.query_value("q").strip()[:MAX_QUERY]


def render_table(
    context: RequestContext, desk: TablesOfDesk, own: OwnTable, *, wrong: str = "", status: int = 200,
) -> Response:  # fmt: skip
    """Show the rows of one table. `wrong` says why nothing was written."""
    text = _search_text(context)
    found = [] if context.is_masked else find_rows(own, text)
    start = parse_number(context.query_value("after")) or 0
    shown = [row for row in found if row.line > start][: PAGE_SIZE + 1]
    bindings = context.workspace.store.bindings(own.name)
    is_writable = can_write(context, desk) and own.spec.file is not None
    columns = writable_columns(own) if is_writable else ()
    return context.render(
        "table.html",
        status,
        title=f"Table {own.name}",
        own=own,
        text=text,
        searched=f"?{urlencode({'q': text})}" if text else "",
        total=len(found),
        lines=[_make_line(context, own, row, bindings) for row in shown[:PAGE_SIZE]],
        next_line=shown[PAGE_SIZE - 1].line if len(shown) > PAGE_SIZE else None,
        is_first=start == 0,
        is_writable=is_writable,
        allows=desk.allows,
        columns=columns,
        head=digest_of_columns(columns),
        wrong=wrong,
        typed=[context.form_value(f"col.{number}") for number in range(len(columns))],
    )


def _make_line(context: RequestContext, own: OwnTable, row: TableRow, bindings: Mapping[str, str]) -> dict[str, Any]:
    zone = own.folder.zone
    record = table_row_record(row, context.now, bindings)
    return {
        "line": row.line,
        "who": name_row(row),
        "state": record.state,
        "note": row.date_problem or describe_binding(row, bindings),
        "starts": None if row.starts is None else f"{row.starts.astimezone(zone):%Y-%m-%d}",
        "ends": None if row.expires is None else f"{last_day(row.expires, zone)}",
        "cells": [(name, cell) for name, cell in [*row.columns.items()][:MAX_COLUMNS] if cell],
    }


def writable_columns(own: OwnTable) -> Sequence[str]:
    """Return the columns of the file; none if it cannot be read now."""
    try:
        return [name for name in columns_of(own) if name][:MAX_COLUMNS]
    except (HfGateError, UnicodeDecodeError):
        return ()


def digest_of_columns(columns: Sequence[str]) -> str:
    """Return what tells a form that was made for other columns."""
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]
