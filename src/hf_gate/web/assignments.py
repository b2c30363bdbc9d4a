"""Assigns requests to members: one on its page, or the selected ones in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from ..application.assignments import MAX_ASSIGNED, assign_requests, find_assignee, list_assignable
from ..domain.display_text import pluralize
from ..domain.members import Member
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from .request_context import Refused, RequestContext
from .request_lines import request_key

_MAX_KEYS: Final = 500  # rows of one page


def assign(context: RequestContext) -> Response:
    """Assign one request; the form says to whom it was assigned when the page was made."""
    row = context.find_request(context.params["id"])
    _assign(context, {row.id: row}, {row.id: context.form_value("seen")[:100] or None})
    return context.redirect_back(f"/requests/{request_key(row)}#decide")


def assign_selected(context: RequestContext) -> Response:
    """Assign the member's selection, with the rows ticked on the page, and clear it."""
    pick, selections = context.selection_name, context.workspace.selections
    ticked = [context.find_request(key) for key in context.form.get("key", [])[:_MAX_KEYS] if key]
    if ticked:
        selections.add(pick, context.member.id, [row.id for row in ticked], to_ms(context.now))
    seen = selections.read_assigned(pick, MAX_ASSIGNED + 1)
    shown = dict(text.split(":", 1) for text in context.form.get("assigned", [])[:_MAX_KEYS] if ":" in text)
    seen |= {row.id: shown.get(request_key(row)) for row in ticked}
    if not seen:
        raise Refused("No request is selected.", hint="Tick some rows first, or press x on them.")
    found = context.workspace.store.requests(list(seen))
    _assign(context, {ident: row for ident, row in found.items() if context.can_see(row.repo)}, seen)
    selections.clear(pick)
    return context.redirect_back()


def list_names(context: RequestContext, row: RequestRow | None = None) -> list[str]:
    """Return the names of the members whom a request can be assigned to; none for a desk of one person."""
    if context.is_masked:
        return []
    names = [one.name for one in list_assignable(context.workspace, row)]
    return names if len(names) > 1 or (row is not None and row.state.assigned) else []


def _assign(context: RequestContext, rows: Mapping[int, RequestRow], seen: Mapping[int, str | None]) -> None:
    """Assign requests to the chosen member. Raises Refused if some changed since they were looked at."""
    chosen = context.form_value("to")[:100]
    if not chosen:
        raise Refused("Nothing was assigned.", hint="Choose a member.")
    member = find_assignee(context.workspace, chosen, context.member)
    result = assign_requests(context.workspace, list(rows.values()), seen, member, by=context.member, now=context.now)
    if result.changed:
        raise Refused(
            describe_changed(len(result.changed), len(result.assigned), member), hint="Look again.", status=409
        )


def describe_changed(changed: int, assigned: int, member: Member | None) -> str:
    """Return a sentence about requests that were assigned or decided by somebody else meanwhile."""
    others = f" {pluralize(assigned, 'request')} assigned to {member.name if member else 'nobody'}." if assigned else ""
    return f"Somebody else assigned or decided {pluralize(changed, 'request')} meanwhile, so nothing changed there.{others}"
