"""The pages of the owner's tables: the list, one table with a search, and changes, each shown with its effect first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from hf_gate.base.display_text import make_visible
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import last_day
from hf_gate.core.people.members import MemberRole
from hf_gate.errors import Guarded, HfGateError, Stale, UsageError
from hf_gate.grants.service.agreements import GrantOnRow, check_no_grant_rests, find_grants, hashes_to_keep
from hf_gate.grants.service.tables.new_lists import MEANINGS, ListColumns, draft_new_list, read_columns, save_new_list
from hf_gate.grants.service.tables.own_tables import (
    OwnTable,
    RowDiff,
    TableDraft,
    columns_of,
    draft_row,
    draft_without_line,
    find_rows,
    list_own_tables,
    name_row,
    read_own_tables,
    save_table_draft,
)
from hf_gate.grants.service.tables.table_effects import iterate_effects
from hf_gate.grants.service.tables.table_imports import TableImport, prepare_import
from hf_gate.grants.service.tables.table_records import (
    TableEffectRecord,
    TableImportRecord,
    TableRecord,
    TableRowRecord,
    describe_binding,
    describe_effect,
    describe_held_ends,
    table_effect_record,
    table_import_record,
    table_record,
    table_row_record,
)
from hf_gate.policies.drivers.table_files import is_json_lines
from hf_gate.policies.facts.tables import TableRow
from hf_gate.requests.rows.selections import select_requests
from hf_gate.settings.service.workspace import new_id
from hf_gate.verdicts.pages.policy_texts import can_see_policy, visible_tables
from hf_gate.verdicts.service.policy_watcher import require_common_files
from hf_gate.web.exports import export_response
from hf_gate.web.http_context import HttpContext, Refused, parse_number, require

PAGE_SIZE: Final = 100
MAX_QUERY: Final = 200
MAX_COLUMNS: Final = 30  # other columns that are shown or can be filled in


class TablesOfDesk(Struct, frozen=True):
    """The tables that the member may see, and whether the owner lets the desk write them."""

    tables: Sequence[OwnTable]
    allows: bool = False

    def find(self, name: str) -> OwnTable:
        """Return a table. Raises NotFound if the member may not see it."""
        return require(next((own for own in self.tables if own.name == name), None))


def can_write(context: HttpContext, desk: TablesOfDesk) -> bool:
    """Whether the member may write tables: an admin of all repos, where the owner allowed it."""
    is_admin = context.member.role.covers(MemberRole.ADMIN) and context.member.repos is None
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
    first = next((own for own in desk.tables if own.spec.file is not None), None)
    return context.render(
        "tables.html",
        title="Tables",
        tables=desk.tables,
        is_writable=is_writable,
        allows=desk.allows,
        command="" if is_writable or context.is_masked else command_to_add(first),
    )


def command_to_add(own: OwnTable | None) -> str:
    """Return the command that adds a row to a table, with a key column that its file has."""
    if own is None:
        return "hf-gate table add NAME email=ada@example.org"
    columns = writable_columns(own)
    key = next((name for name in own.spec.key if name in columns), own.spec.key[0])
    return f"hf-gate table add {own.name} {key}={_EXAMPLES[key]}"


def export(context: HttpContext) -> Response:
    """Return the same tables as a file, without their rows."""
    rows = [table_record(own) for own in read_visible_tables(context).tables]
    return export_response("tables", context.params["kind"], TableRecord, rows)


def table_page(context: HttpContext) -> Response:
    """Show the rows of one table. Viewers see how many there are, and no row."""
    desk = read_visible_tables(context)
    return render_table(context, desk, desk.find(context.params["name"]))


def export_rows(context: HttpContext) -> Response:
    """Return the rows of one table as a file."""
    own = read_visible_tables(context).find(context.params["name"])
    if own.table.outdated:
        raise Refused(f"{own.table.file_problem}.", hint="Correct the file to get its rows.", status=409)
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
    wrong: str = "",
    status: int = 200,
) -> Response:
    """Show the rows of one table. `wrong` says why nothing was written."""
    text = _search_text(context)
    rows = [] if context.is_masked else find_rows(own, text)
    start = parse_number(context.query_value("after")) or 0
    shown = [row for row in rows if row.line > start][: PAGE_SIZE + 1]
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
        total=len(rows),
        lines=[_make_line(context, own, row, bindings) for row in shown[:PAGE_SIZE]],
        next_line=shown[PAGE_SIZE - 1].line if len(shown) > PAGE_SIZE else None,
        is_first=start == 0,
        is_writable=is_writable,
        allows=desk.allows,
        columns=columns,
        head=digest_of_columns(columns),
        command="" if is_writable or own.spec.file is None else command_to_add(own),
        wrong=wrong,
        typed=[context.form_value(f"col.{number}") for number in range(len(columns))],
    )


def _make_line(context: HttpContext, own: OwnTable, row: TableRow, bindings: Mapping[str, str]) -> dict[str, Any]:
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


# ---- edits -----------------------------------------------------------------------------------------------------------


MAX_UPLOAD: Final = 256 << 10  # bytes of an imported file; larger ones go through the command line
MAX_LINES: Final = 20_000  # of an imported file
MAX_NAMED: Final = 20  # rows that a preview names
MAX_SHOWN: Final = 50  # rows or people that a preview names
_COLUMN: Final = "col."
_EXAMPLES: Final = {"email": "ada@example.org", "username": "ada", "user_id": "0123456789abcdef01234567"}


class DraftView(Struct, frozen=True):
    """A drafted change. `repeats` are the fields that send it again to be written."""

    draft: TableDraft
    what: str
    repeats: Mapping[str, str]
    matches: TableImportRecord | None = None


def change_rows(context: HttpContext) -> Response:
    """Add or change one row, or remove one: first shown with its effect, then written."""
    return _change(context, _draft_rows)


def import_rows(context: HttpContext) -> Response:
    """Add the rows of an uploaded or pasted file: first shown with its effect, then written."""
    return _change(context, _draft_import)


def _change(context: HttpContext, make: Callable[[HttpContext, OwnTable], DraftView]) -> Response:
    desk = read_visible_tables(context)
    own = desk.find(context.params["name"])
    check_may_write(context, desk)
    try:
        view = make(context, own)
        if context.form_value("do") == "end":
            return _select_grants(context, own, view)
        if context.form_value("do") == "write":
            _write(context, view)
            context.app_state.policies.expire()
            return RedirectResponse(f"/tables/{own.name}?done=1", 303)
        return _preview(context, own, view)
    except (UsageError, Stale, Guarded) as problem:
        words = f"{problem} {problem.hint or ''}".strip()
        words = make_visible(f"{words[:1].upper()}{words[1:]}", one_line=True)
        status = 409 if isinstance(problem, Stale | Guarded) else 422
        return render_table(context, desk, own, wrong=words, status=status)


def _typed_cells(context: HttpContext, own: OwnTable) -> dict[str, str]:
    """Return the typed values by column. The fields have numbers, because a column can have any name."""
    columns = writable_columns(own)
    texts = {name: context.form_value(f"{_COLUMN}{number}") for number, name in enumerate(columns)}
    if any(texts.values()) and context.form_value("head") != digest_of_columns(columns):
        raise Stale(f"The columns of table {own.name} changed since you opened it.", hint="Open the table again.")
    return texts


def _draft_rows(context: HttpContext, own: OwnTable) -> DraftView:
    line = context.form_value("line")
    if line:
        if not line.isdecimal() or len(line) > 9:
            raise UsageError("This row does not exist.")
        return DraftView(draft_without_line(own, int(line)), "Remove row", {"line": line})
    typed = _typed_cells(context, own)
    cells = {name: text for name, text in typed.items() if text.strip()}
    replaces = context.form_value("replaces") == "yes"
    repeats = {f"{_COLUMN}{number}": text for number, text in enumerate(typed.values()) if text}
    repeats["head"] = context.form_value("head")
    draft = draft_row(own, cells, replaces=replaces)
    return DraftView(
        draft, "Change row" if replaces else "Add row", repeats | ({"replaces": "yes"} if replaces else {})
    )


def _draft_import(context: HttpContext, own: OwnTable) -> DraftView:
    text = _read_upload(context, own.name)
    content = text.encode("utf-8", "surrogateescape")
    replaces = context.form_value("replaces") == "yes"
    found = prepare_import(context.workspace, own, content, is_json=is_json_lines(own.path), replaces=replaces)
    repeats = {"rows": text} | ({"replaces": "yes"} if replaces else {})
    return DraftView(found.draft, "Import", repeats, table_import_record(found))


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


def _write(context: HttpContext, view: DraftView) -> None:
    draft = view.draft
    if context.form_value("base") != draft.base:
        raise Stale(
            f"Table {draft.own.name} changed since you saw the preview, so nothing was written.", hint="Try again."
        )
    grants = find_grants(context.workspace, draft)
    if context.form_value("keep") != "yes":
        _check_grants(draft, grants)
    removed = len(draft.diff.removed)
    is_confirmed = context.form_value("count") == str(removed)
    try:
        draft.check_removals(removed if is_confirmed else None)
    except Guarded as problem:
        raise Guarded(str(problem), hint="Type the number of rows to confirm.") from None
    save_table_draft(
        context.workspace,
        draft,
        context.member.name,
        max_removed=removed if is_confirmed else None,
        kept=hashes_to_keep(grants),
    )


def _select_grants(context: HttpContext, own: OwnTable, view: DraftView) -> Response:
    """Select the requests whose access rests on the rows that would go, and open the page that ends this access."""
    grants = find_grants(context.workspace, view.draft)
    if not grants:
        raise Stale("No access depends on these rows now.", hint="Show the effect again.")
    pick = new_id("b")
    ids = [grant.request.id for grant in grants]
    select_requests(context.workspace.store, pick, context.member.id, ids, to_ms(context.now))
    return RedirectResponse(f"/bulk/{pick}?{urlencode({'verb': 'reset', 'next': f'/tables/{own.name}'})}", 303)


def _check_grants(draft: TableDraft, grants: Sequence[GrantOnRow]) -> None:
    try:
        check_no_grant_rests(draft.own.name, grants)
    except Guarded as problem:
        hint = "Show the effect again. Press End access there, or tick the box to keep the digests."
        raise Guarded(str(problem), hint=hint) from None


def _preview(context: HttpContext, own: OwnTable, view: DraftView) -> Response:
    diff = view.draft.diff
    effects = _read_effects(context, view.draft)
    return context.render(
        "table-change.html",
        title=f"{view.what}: {own.name}",
        own=own,
        view=view,
        counts=[(sign, word, len(rows)) for sign, word, rows in _groups(diff)],
        rows=[(word, name_row(row)) for _, word, rows in _groups(diff) for row in rows][:MAX_NAMED],
        total=len(diff.added) + len(diff.changed) + len(diff.removed),
        effects=[(one, describe_effect(one, context.format_iso)) for one in effects[:MAX_SHOWN]],
        effect_count=len(effects),
        held=describe_held_ends(effects),
        grants=find_grants(context.workspace, view.draft),
        needs_count=len(diff.removed) if len(diff.removed) > view.draft.removal_limit else 0,
        most=MAX_SHOWN,
        action="rows" if view.matches is None else "import",
    )


def _read_effects(context: HttpContext, draft: TableDraft) -> list[TableEffectRecord]:
    bundle = context.app_state.policies.current
    return [table_effect_record(effect) for effect in iterate_effects(context.workspace, draft, bundle)]


def _groups(diff: RowDiff) -> tuple[tuple[str, str, Sequence[TableRow]], ...]:
    """Return the rows of a difference with their signs and words."""
    return (
        ("+", "added", diff.added),
        ("~", "changed", [new for _, new in diff.changed]),
        ("-", "removed", diff.removed),
    )


# ---- new lists -------------------------------------------------------------------------------------------------------


_MEANING: Final = "as."


def new_list_page(context: HttpContext) -> Response:
    """Show the form for a new list."""
    check_may_write(context, read_visible_tables(context))
    return _render_new_list(context)


def make_list(context: HttpContext) -> Response:
    """Make a table from a pasted list or a file: first shown with its columns and matches, then written."""
    check_may_write(context, read_visible_tables(context))
    name = context.form_value("name").strip()
    text = ""
    columns = None
    try:
        text = _read_upload(context, name or "NAME")
        columns = read_columns(text, _chosen_meanings(context))
        found = draft_new_list(context.workspace, name, columns)
        if context.form_value("do") != "write" or context.form_value("shown") != digest_of_draft(found):
            return _render_new_list(context, text, columns, found)
        save_new_list(context.workspace, found, context.member.name)
    except (UsageError, Stale, Guarded) as problem:
        words = make_visible(f"{problem} {problem.hint or ''}".strip(), one_line=True)
        status = 409 if isinstance(problem, Stale | Guarded) else 422
        return _render_new_list(context, text, columns, wrong=f"{words[:1].upper()}{words[1:]}", status=status)
    context.app_state.policies.expire()
    return RedirectResponse(f"/tables/{name}?done=1", 303)


def digest_of_draft(found: TableImport) -> str:
    """Return what tells a confirmation of another list than was shown."""
    return hashlib.sha256(found.draft.content).hexdigest()


def _chosen_meanings(context: HttpContext) -> dict[str, str]:
    """Return the meanings that were chosen for columns. The fields have numbers, because a column can have any name."""
    found = {}
    for number in range(MAX_COLUMNS):
        name = context.form_value(f"column.{number}")
        meaning = context.form_value(f"{_MEANING}{number}", "?")
        if name and meaning in MEANINGS:
            found[name] = meaning
    return found


def _render_new_list(
    context: HttpContext,
    text: str = "",
    columns: ListColumns | None = None,
    found: TableImport | None = None,
    *,
    wrong: str = "",
    status: int = 200,
) -> Response:
    """Show the form, and what a list means if it could be read."""
    effects = [] if found is None else _read_effects(context, found.draft)
    is_text = not text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").count("\ufffd")
    return context.render(
        "new-list.html",
        status,
        title="New list",
        name=context.form_value("name"),
        rows=text if is_text else "",
        columns=[] if columns is None or not columns.has_choice else [*columns.meanings.items()][:MAX_COLUMNS],
        meanings=MEANINGS,
        left_out=[] if found is None or columns is None else [*columns.left_out, *found.left_out],
        found=None if found is None else table_import_record(found),
        count=0 if found is None else len(found.draft.after.rows),
        shown="" if found is None else digest_of_draft(found),
        effects=[(effect, describe_effect(effect, context.format_iso)) for effect in effects[:MAX_SHOWN]],
        effect_count=len(effects),
        waiting=sum(effect.status == Status.PENDING for effect in effects),
        most=MAX_SHOWN,
        wrong=wrong,
    )
