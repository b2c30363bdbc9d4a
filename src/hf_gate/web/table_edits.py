"""Changes tables from the desk, where the owner allowed it: each change is shown with its effect before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..application.agreements import check_no_grant_rests, find_grants, hashes_to_keep
from ..application.own_tables import (
    OwnTable,
    TableDraft,
    diff_rows,
    draft_row,
    draft_without_line,
    name_row,
    save_draft,
)
from ..application.table_effects import iterate_effects
from ..application.table_imports import prepare_import
from ..application.table_records import ImportMatchesRecord, import_matches_record, table_effect_record
from ..application.workspace import new_id
from ..domain.display_text import make_visible
from ..domain.timestamps import to_ms
from ..errors import Guarded, Stale, UsageError
from ..sources.table_files import SHRINK_LIMIT, is_json_lines
from .request_context import RequestContext
from .tables import check_may_write, digest_of_columns, read_visible_tables, render_table, writable_columns

MAX_UPLOAD: Final = 256 << 10  # bytes of an imported file; larger ones go through the command line
MAX_NAMED: Final = 20  # rows that a preview names
MAX_SHOWN: Final = 50  # rows or people that a preview names
_COLUMN: Final = "col."
_CONFIRM: Final = "means."


@dataclass(frozen=True, slots=True)
class DraftView:
    """A drafted change. `repeats` are the fields that send it again to be written."""

    draft: TableDraft
    what: str
    repeats: Mapping[str, str]
    matches: ImportMatchesRecord | None = None
    bound: Mapping[str, str] = field(default_factory=dict)
    confirmed: int = 0


def change_rows(context: RequestContext) -> Response:
    """Add or change one row, or remove one: first shown with its effect, then written."""
    return _change(context, _draft_rows)


def import_rows(context: RequestContext) -> Response:
    """Add the rows of an uploaded or pasted file: first shown with its effect, then written."""
    return _change(context, _draft_import)


def _change(context: RequestContext, make: Any) -> Response:  # noqa: ANN401 - one of the two functions below
    desk = read_visible_tables(context)
    own = desk.find(context.params["name"])
    check_may_write(context, desk)
    try:
        view: DraftView = make(context, own)
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


def _typed_cells(context: RequestContext, own: OwnTable) -> dict[str, str]:
    """Return the typed values by column. The fields have numbers, because a column can have any name."""
    columns = writable_columns(own)
    texts = {name: context.form_value(f"{_COLUMN}{number}") for number, name in enumerate(columns)}
    if any(texts.values()) and context.form_value("head") != digest_of_columns(columns):
        raise Stale(f"Table {own.name} has other columns since you opened it.", hint="Open the table again.")
    return texts


def _draft_rows(context: RequestContext, own: OwnTable) -> DraftView:
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


def _draft_import(context: RequestContext, own: OwnTable) -> DraftView:
    text = context.form_value("file") or context.form_value("rows")
    content = text.encode("utf-8", "surrogateescape")
    if len(content) > MAX_UPLOAD:
        raise UsageError(
            f"The file is larger than {MAX_UPLOAD >> 10} KiB.", hint=f"Run `hf-gate table import {own.name} FILE`."
        )
    replaces = context.form_value("replaces") == "yes"
    confirmations = [
        f"{name.removeprefix(_CONFIRM)}={values[-1]}"
        for name, values in context.form.items()
        if name.startswith(_CONFIRM) and values and values[-1]
    ]
    found = prepare_import(
        context.workspace, own, content, is_json=is_json_lines(own.path), replaces=replaces, confirmations=confirmations
    )
    repeats = {"rows": text} | ({"replaces": "yes"} if replaces else {})
    return DraftView(found.draft, "Import", repeats, import_matches_record(found.matches), found.bound, found.confirmed)


def _write(context: RequestContext, view: DraftView) -> None:
    draft = view.draft
    if context.form_value("base") != draft.base:
        raise Stale(
            f"Table {draft.own.name} changed since you saw the preview, so nothing was written.", hint="Try again."
        )
    grants = find_grants(context.workspace, draft)
    if context.form_value("keep") != "yes":
        _check_grants(draft, grants)
    removed, before = len(diff_rows(draft.before, draft.after).removed), len(draft.before.rows)
    share = draft.own.spec.max_removed
    allowed = max(1, int((SHRINK_LIMIT if share is None else share) * before))
    if removed > allowed and context.form_value("count") != str(removed):
        raise Guarded(
            f"{removed} of {before} rows would be removed. Nothing was written.",
            hint="Type the number of rows to confirm.",
        )
    save_draft(
        context.workspace, draft, context.member.name, bound=view.bound, confirmed=view.confirmed,
        kept=hashes_to_keep(grants),
    )  # fmt: skip


def _select_grants(context: RequestContext, own: OwnTable, view: DraftView) -> Response:
    """Select the requests whose access rests on the rows that would go, and open the page that ends this access."""
    grants = find_grants(context.workspace, view.draft)
    if not grants:
        raise Stale("No access depends on these rows any more.", hint="Show the effect again.")
    pick, ids = new_id("b"), [grant.request.id for grant in grants]
    context.workspace.selections.add(pick, context.member.id, ids, to_ms(context.now))
    return RedirectResponse(f"/bulk/{pick}?{urlencode({'verb': 'reset', 'next': f'/tables/{own.name}'})}", 303)


def _check_grants(draft: TableDraft, grants: Any) -> None:  # noqa: ANN401 - the result of `find_grants`
    try:
        check_no_grant_rests(draft.own.name, grants)
    except Guarded as problem:
        hint = "Show the effect again. Press End access there, or tick the box to keep the digests."
        raise Guarded(str(problem), hint=hint) from None


def _preview(context: RequestContext, own: OwnTable, view: DraftView) -> Response:
    diff = diff_rows(view.draft.before, view.draft.after)
    effects = [
        table_effect_record(one) for one in iterate_effects(context.workspace, own, view.draft.before, view.draft.after)
    ]
    before = len(view.draft.before.rows)
    share = own.spec.max_removed
    allowed = max(1, int((SHRINK_LIMIT if share is None else share) * before))
    return context.render(
        "table-change.html",
        title=f"{view.what}: {own.name}",
        own=own,
        view=view,
        counts=[(sign, word, len(rows)) for sign, word, rows in _groups(diff)],
        rows=[(word, name_row(row)) for _, word, rows in _groups(diff) for row in rows][:MAX_NAMED],
        total=len(diff.added) + len(diff.changed) + len(diff.removed),
        effects=effects[:MAX_SHOWN],
        effect_count=len(effects),
        grants=find_grants(context.workspace, view.draft),
        needs_count=len(diff.removed) if len(diff.removed) > allowed else 0,
        most=MAX_SHOWN,
        confirm=_CONFIRM,
        action="rows" if view.matches is None else "import",
    )


def _groups(diff: Any) -> Any:  # noqa: ANN401 - a RowDiff
    return (
        ("+", "added", diff.added),
        ("~", "changed", [new for _, new in diff.changed]),
        ("-", "removed", diff.removed),
    )
