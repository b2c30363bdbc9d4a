"""Assigns one request or the selected ones to members, and stores which members are away, with their deputies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from starlette.responses import Response

from ..application.assignments import (
    MAX_ASSIGNED,
    NOBODY,
    assign_requests,
    find_assignee,
    is_same_member,
    list_assignable,
)
from ..application.deputies import end_absence, list_absences, set_deputy
from ..domain.display_text import pluralize
from ..domain.lifecycle import Status
from ..domain.members import Member
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from ..errors import Stale, UsageError
from .request_context import Refused, RequestContext
from .request_lines import RequestLine, request_key, request_lines

_MAX_KEYS: Final = 500  # rows of one page


class AssignmentChoice(Struct, frozen=True):
    """The form that asks to whom one request (`line`), or the selected ones, should be assigned."""

    url: str
    names: Sequence[str]  # the member who asks comes first
    me: str
    count: int
    line: RequestLine | None = None
    current: str | None = None  # to whom the request is assigned now
    away: Mapping[str, str] = field(default_factory=dict)  # the last day of those who are away
    back: str = ""  # the page of the selection; "": the page that the form is inserted into

    @property
    def first_choice(self) -> str:
        """The member that is chosen at first."""
        return next((name for name in self.names if name != self.current), self.names[0])


def choose_assignee(context: RequestContext, line: RequestLine) -> AssignmentChoice | None:
    """Return the form for one request; None if it is not pending, or if nobody else can decide it."""
    names = list_names(context, line.row) if line.row.state.status == Status.PENDING and not line.is_leaving else []
    if not names:
        return None
    current = None if line.assignee is None else line.assignee.name
    return AssignmentChoice(
        f"/requests/{line.key}/assign",
        _order_names(context, names),
        context.member.name,
        1,
        line,
        current,
        _list_away(context),
    )


def selection_sheet(context: RequestContext) -> Response:
    """Return the form for the member's selection, as a part for a dialog or as a page."""
    names, count = list_names(context), context.workspace.selections.count(context.selection_name)
    if not count or not names:
        raise Refused(
            "No request is selected." if names else "Nobody else can decide.",
            hint="Tick some rows first, or press x on them." if names else "Invite members on the page Settings.",
        )
    back = "" if context.is_part else context.return_url or "/queue"
    away = _list_away(context)
    choice = AssignmentChoice("/assign", _order_names(context, names), context.member.name, count, away=away, back=back)
    template = "parts/assign-sheet.html" if context.is_part else "assign.html"
    return context.render(template, title="Assign the selection", assignment=choice, still_selected=0)


def _list_away(context: RequestContext) -> dict[str, str]:
    """Return the last day of each absent member, by name."""
    return {one.name: one.until for one in list_absences(context.app_state.membership, context.now)}


def _order_names(context: RequestContext, names: Sequence[str]) -> list[str]:
    """Return the names with the member who asks first."""
    return sorted(names, key=lambda name: (name != context.member.name, name))


def assign(context: RequestContext) -> Response:
    """Assign one request; the form says to whom it was assigned when the page was made."""
    row = context.find_request(context.params["id"])
    seen = {row.id: context.form_value("seen")[:100] or None}
    if not context.is_part:
        _assign(context, {row.id: row}, seen)
        return context.redirect_back(f"/requests/{request_key(row)}#decide")
    try:
        to, problem = _assign(context, {row.id: row}, seen), None
    except (Refused, UsageError, Stale) as refused:
        to, problem = "", refused
    (line,) = request_lines(context, [context.find_request(request_key(row))])
    if problem is not None:
        text, hint = str(problem), problem.hint
        return context.render(
            "parts/updated-rows.html", 409, lines=[line], alike=None, message=text, hint=hint, is_bad=True
        )
    told = json.dumps({"desk-said": f"The request of {line.who} is assigned to {to}."})
    return context.render("parts/updated-rows.html", lines=[line], headers={"hx-trigger": told}, alike=None)


def assign_selected(context: RequestContext) -> Response:
    """Assign the member's selection, with the rows ticked on the page, and clear it; ask to whom if the form does not say."""
    pick, selections = context.selection_name, context.workspace.selections
    ticked = [context.find_request(key) for key in context.form.get("key", [])[:_MAX_KEYS] if key]
    if ticked:
        selections.add(pick, context.member.id, [row.id for row in ticked], to_ms(context.now))
    if not context.form_value("to"):
        return selection_sheet(context)
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


def _assign(context: RequestContext, rows: Mapping[int, RequestRow], seen: Mapping[int, str | None]) -> str:
    """Assign requests to the chosen member, and say to whom. Raises Refused if some changed since they were looked at."""
    chosen = context.form_value("to")[:100]
    if not chosen:
        raise Refused("Nothing was assigned.", hint="Choose a member.")
    member = find_assignee(context.workspace, chosen, context.member)
    result = assign_requests(context.workspace, list(rows.values()), seen, member, by=context.member, now=context.now)
    if result.changed:
        raise Refused(
            describe_changed(len(result.changed), len(result.assigned), member), hint="Look again.", status=409
        )
    if member is None:
        return NOBODY
    return "you" if is_same_member(member, context.member) else member.name


def describe_changed(changed: int, assigned: int, member: Member | None) -> str:
    """Return a sentence about requests that were assigned or decided by somebody else meanwhile."""
    others = f" {pluralize(assigned, 'request')} assigned to {member.name if member else 'nobody'}." if assigned else ""
    return f"Somebody else assigned or decided {pluralize(changed, 'request')} meanwhile, so nothing changed there.{others}"


# ---- absences --------------------------------------------------------------------------------------------------------


def leave(context: RequestContext) -> Response:
    """Store that the member is away, and who stands in."""
    deputy, until = context.form_value("deputy")[:100], context.form_value("until")[:40]
    membership, me = context.app_state.membership, context.member
    set_deputy(membership, me, deputy, until, by=me.name, now=context.now)
    return context.redirect_back("/settings#h-a")


def come_back(context: RequestContext) -> Response:
    """Store that the member is back."""
    end_absence(context.app_state.membership, context.member, by=context.member.name, now=context.now)
    return context.redirect_back("/settings#h-a")
