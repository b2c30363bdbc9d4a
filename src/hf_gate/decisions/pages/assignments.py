"""Assigns one request or the selected ones to members."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.service.assignments import MAX_ASSIGNED, NOBODY, assign_requests, find_assignee, list_assignable
from hf_gate.errors import Stale, UsageError
from hf_gate.requests.pages.request_lines import RequestLine, build_request_lines, request_key
from hf_gate.requests.rows.selections import count_selected, delete_selection, read_selected_requests, select_requests
from hf_gate.web.http_context import HttpContext, Refused

_MAX_KEYS: Final = 500  # rows of one page


class AssignmentChoice(Struct, frozen=True):
    """The form that asks to whom one request (`line`), or the selected ones, should be assigned."""

    url: str
    names: Sequence[str]  # the member who asks comes first
    me: str
    count: int
    line: RequestLine | None = None
    current: str | None = None  # to whom the request is assigned now
    back: str = ""  # the page of the selection; "": the page that the form is inserted into

    @property
    def first_choice(self) -> str:
        """The member that is chosen at first."""
        return next((name for name in self.names if name != self.current), self.names[0])


def choose_assignee(context: HttpContext, line: RequestLine) -> AssignmentChoice | None:
    """Return the form for one request; None if it is not pending, or if nobody else can decide it."""
    names = list_names(context, line.row) if line.row.state.status == Status.PENDING and not line.is_leaving else []
    if not names:
        return None
    current = context.member.name if line.assignee == "you" else line.assignee
    return AssignmentChoice(f"/requests/{line.key}/assign", names, context.member.name, 1, line, current)


def selection_sheet(context: HttpContext) -> Response:
    """Return the form for the member's selection, as a part for a dialog or as a page."""
    names = list_names(context)
    count = count_selected(context.workspace.store, context.selection_name)
    if not count or not names:
        raise Refused(
            "No request is selected." if names else "Nobody else can decide.",
            hint="Tick some rows first, or press x on them." if names else "Invite members on the page Settings.",
        )
    back = "" if context.is_part else context.return_url or "/queue"
    choice = AssignmentChoice("/assign", names, context.member.name, count, back=back)
    template = "parts/assign-sheet.html" if context.is_part else "assign.html"
    return context.render(template, title="Assign the selection", assignment=choice, still_selected=0)


def assign(context: HttpContext) -> Response:
    """Assign one request."""
    row = context.find_request(context.params["id"])
    if not context.is_part:
        _assign(context, [row])
        return context.redirect_back(f"/requests/{request_key(row)}#decide")
    try:
        name = _assign(context, [row])
        problem = None
    except (Refused, UsageError, Stale) as refused:
        name = ""
        problem = refused
    (line,) = build_request_lines(context, [context.find_request(request_key(row))])
    if problem is not None:
        text = str(problem)
        hint = problem.hint
        return context.render(
            "parts/updated-rows.html", 409, lines=[line], alike=None, message=text, hint=hint, is_bad=True
        )
    said = json.dumps({"desk-said": f"The request of {line.who} is assigned to {name}."})
    return context.render("parts/updated-rows.html", lines=[line], headers={"hx-trigger": said}, alike=None)


def assign_selected(context: HttpContext) -> Response:
    """Assign the member's selection, with the rows ticked on the page, and clear it; ask to whom if the form does not
    say.
    """
    selection = context.selection_name
    store = context.workspace.store
    ticked = [context.find_request(key) for key in context.form.get("key", [])[:_MAX_KEYS] if key]
    if ticked:
        select_requests(store, selection, context.member.id, [row.id for row in ticked], to_ms(context.now))
    if not context.form_value("to"):
        return selection_sheet(context)
    rows = store.requests(read_selected_requests(store, selection, MAX_ASSIGNED + 1)).values()
    if not rows:
        raise Refused("No request is selected.", hint="Tick some rows first, or press x on them.")
    _assign(context, [row for row in rows if context.can_see(row.repo)])
    delete_selection(store, selection)
    return context.redirect_back()


def list_names(context: HttpContext, row: RequestRow | None = None) -> list[str]:
    """Return the names of the members whom a request can be assigned to, the member who asks first.

    There are none for a viewer, or if nobody else can decide.
    """
    if context.is_masked:
        return []
    names = [member.name for member in list_assignable(context.workspace, row)]
    if len(names) < 2 and (row is None or not row.state.assigned):
        return []
    return sorted(names, key=lambda name: (name != context.member.name, name))


def _assign(context: HttpContext, rows: Sequence[RequestRow]) -> str:
    """Assign requests to the chosen member, and return to whom: `you`, a name or `nobody`."""
    chosen = context.form_value("to")[:100]
    if not chosen:
        raise Refused("Nothing was assigned.", hint="Choose a member.")
    member = find_assignee(context.workspace, chosen, context.member)
    assign_requests(context.workspace, rows, member, by=context.member, now=context.now)
    if member is None:
        return NOBODY
    return "you" if member.is_same_person(context.member) else member.name
