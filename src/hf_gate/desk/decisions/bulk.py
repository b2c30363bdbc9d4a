"""Decides many requests at once: the stored selection, the page that shows the effects, and the confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from hf_gate.approvals.service.approvals import endorse
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.lifecycle import STATUS_AFTER_VERB, VERBS, VERBS_WITH_REASON, Status, label_action
from hf_gate.core.records import RequestRecord
from hf_gate.core.stored_rows import RunRow, count_pending
from hf_gate.decisions.service.bulk_decisions import BulkDecision, BulkEnds, create_bulk_run
from hf_gate.decisions.service.runs.runs import make_direct_change
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.decisions.typed_input import is_confirmed, parse_reason
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, NotFound, Refused, local_path, require_one_of
from hf_gate.desk.messages.reason_texts import list_choices, preview_reason, read_chosen_reason
from hf_gate.desk.requests.queue import request_records
from hf_gate.desk.requests.queue_counts import list_counts
from hf_gate.desk.requests.queue_query import limit_to_visible_repos, parse_queue_query
from hf_gate.desk.requests.request_lines import version_with_terms
from hf_gate.desk.requests.selection import (
    MAX_IN_TRAY,
    SelectionSummary,
    describe_selection,
    iterate_decided_rows,
    lacks_choice,
    parse_bulk_ends,
    parse_unticked,
    read_selection_page,
    summarize_ends,
    summarize_selection,
)
from hf_gate.errors import UsageError
from hf_gate.members.service.members import ActQuorum
from hf_gate.requests.answer_ratings import Quality
from hf_gate.requests.rows.selections import (
    count_left_out,
    count_selected_by_quality,
    delete_selection,
    deselect_requests,
    find_selection_owner,
    freeze_selection,
    iterate_ready_requests,
    leave_out_by_quality,
    leave_out_requests,
    put_back_left_out,
    remove_left_out,
    select_matching_requests,
    select_requests,
    subtract_selection,
)
from hf_gate.settings.service.workspace import new_id
from hf_gate.verdicts.plan import guards
from hf_gate.verdicts.plan.guards import Confirmation, required_confirmation
from hf_gate.verdicts.plan.model import build_plan

from .approvals import summarize_approvals
from .plan_maker import store_plan

EACH_PERSON: Final = "each person"
HOLD: Final = 60.0  # seconds in the tray for more than one request
CONTRARY_QUALITIES: Final[Mapping[str, tuple[Quality, ...]]] = {
    "reset": (Quality.GOOD,),
    "reject": (Quality.GOOD,),
    "accept": (Quality.EMPTY, Quality.JUNK),
}
"""The quality of a purpose that speaks against a decision; one button leaves such requests out."""

_MAX_KEYS: Final = 500
_PAGES_OF_SELECTION: Final = {"keep": "after", "next": "following", "first": ""}
"""The buttons of the page of the selection, with the field that has the place of the page to show."""


# ---- the selection ---------------------------------------------------------------------------------------------------


def select(context: HttpContext) -> Response:
    """Add to the selection, remove from it, fill it with all matches of a query, or clear it."""
    store = context.workspace.store
    pick = context.selection_name
    do = context.form_value("do")
    rows = [context.find_request(key) for key in context.form.get("key", [])[:_MAX_KEYS] if key]
    if do == "add":
        select_requests(store, pick, context.member.id, [row.id for row in rows], to_ms(context.now))
    elif do == "remove":
        deselect_requests(store, pick, [row.id for row in rows])
    elif do == "all":
        _select_all(context, pick)
    elif do == "clear":
        delete_selection(store, pick)
    elif do in _PAGES_OF_SELECTION:
        deselect_requests(store, pick, parse_unticked(context))
        after = context.form_value(_PAGES_OF_SELECTION[do]) if _PAGES_OF_SELECTION[do] else ""
        back = context.return_url or "/queue"
        return RedirectResponse(f"/selection?{urlencode({'after': after, 'next': back})}", 303)
    else:
        raise Refused("The selection was not changed.", hint="Use the buttons on the page.")
    if context.is_part:
        asked = parse_queue_query(context, context.form_value("q"))
        return context.render("parts/selection.html", **describe_selection(context, asked, list_counts(context)))
    return context.redirect_back()


def _select_all(context: HttpContext, pick: str) -> None:
    """Select all current matches of the query; later requests are not included."""
    asked = parse_queue_query(context, context.form_value("q"))
    if asked.problem is not None:
        raise asked.problem
    select_matching_requests(
        context.workspace.store,
        pick,
        context.member.id,
        limit_to_visible_repos(context, asked.query),
        to_ms(context.now),
        context.workspace.zone,
    )


def begin(context: HttpContext) -> Response:
    """Copy the selection, with the rows ticked on the page, and redirect to the confirmation page."""
    store = context.workspace.store
    verb = context.form_value("verb")
    if verb not in VERBS:
        raise Refused("Nothing was decided.", hint="Choose a decision for the selection.")
    deselect_requests(store, context.selection_name, parse_unticked(context))
    rows = [context.find_request(key) for key in context.form.get("key", [])[:_MAX_KEYS] if key]
    if rows:
        select_requests(store, context.selection_name, context.member.id, [row.id for row in rows], to_ms(context.now))
    ident = new_id("b")
    if not freeze_selection(store, context.selection_name, ident, context.member.id, to_ms(context.now)):
        raise Refused("No request is selected.", hint="Tick some rows first, or press x on them.")
    return redirect_to_bulk(context, ident, verb)


def redirect_to_bulk(context: HttpContext, pick: str, verb: str) -> Response:
    """Redirect to the confirmation page of a selection; it keeps the address to return to."""
    more = {"next": context.return_url} if context.return_url else {}
    return RedirectResponse(f"/bulk/{pick}?{urlencode({'verb': verb} | more)}", 303)


# ---- the confirmation page -------------------------------------------------------------------------------------------


def _own_selection(context: HttpContext) -> str:
    pick = context.params["id"]
    if (
        not pick.startswith("b_")
        or not pick[2:].isalnum()
        or find_selection_owner(context.workspace.store, pick) != context.member.id
    ):
        raise NotFound
    return pick


def _confirmation_for(context: HttpContext, weighed: SelectionSummary) -> Confirmation:
    """Return the confirmation that the decision needs."""
    waiting = count_pending(context.list_visible_repos().rows)
    removed = 0 if weighed.verb == "accept" else weighed.by_status[Status.ACCEPTED]
    return required_confirmation({weighed.verb: weighed.count - removed, "remove": removed}, waiting)


def page(context: HttpContext) -> Response:
    """Show what the decision would change, and the form to confirm it."""
    typed = TypedForm(after=context.query_value("after"))
    return _page(context, _own_selection(context), context.query_value("verb"), typed)


class TypedForm(Struct, frozen=True):
    """What a member typed on the page."""

    after: str = ""
    reason: str = ""


def _page(
    context: HttpContext, pick: str, verb: str, typed: TypedForm, *, wrong: str = "", status: int = 200
) -> Response:
    weighed = summarize_selection(context, pick, require_one_of(verb, VERBS))
    quorum = context.app_state.membership.compute_act_quorum(context.member, {verb: weighed.count})
    choices = list_choices(context, verb, None, "you")
    chosen = next((choice.text for choice in choices if choice.is_chosen), "")
    ends = summarize_ends(context, weighed.terms)
    context.app_state.terms_reader.shown.remember(f"{pick}:{ends.token}", weighed.shown_terms)
    contrary = count_selected_by_quality(context.workspace.store, weighed.scope, CONTRARY_QUALITIES.get(verb, ()))
    return context.render(
        "bulk.html",
        status,
        title=f"{label_action(verb)} {pluralize(weighed.count, 'request')}?",
        pick=pick,
        weighed=weighed,
        verb=verb,
        reason=typed.reason,
        typed=typed,
        choices=choices,
        preview=preview_reason(verb, EACH_PERSON, typed.reason or chosen) if verb in VERBS_WITH_REASON else None,
        shown=read_selection_page(context, weighed.scope, weighed.count, typed.after),
        ends=ends,
        approvals=summarize_approvals(context, weighed),
        are_ends_stored=weighed.are_terms_stored,
        chosen_end=context.form_value("until"),
        chosen_day=context.form_value("day"),
        contrary=contrary if contrary < weighed.count else 0,
        left_out=count_left_out(context.workspace.store, pick),
        is_typed=_confirmation_for(context, weighed) is Confirmation.TYPED,
        wrong=wrong,
        calls=sum(-(-n // 100) for n in weighed.by_repo.values()),
        hold=HOLD,
        goes=_choose_route(weighed, quorum),
        why_two=quorum.why if quorum.is_large else "",
        next_step=quorum.team.describe_next_step() if quorum.is_large else "",
        other="reset" if verb == "reject" else None,
        back=_return_url(context),
    )


def bulk_preview_part(context: HttpContext) -> Response:
    """Return what each person will read as a part of the page. Nothing is stored."""
    _own_selection(context)
    verb = require_one_of(context.form_value("verb"), VERBS_WITH_REASON)
    return context.render(
        "parts/reason-preview.html", preview=preview_reason(verb, EACH_PERSON, read_chosen_reason(context))
    )


def _return_url(context: HttpContext) -> str:
    """Return the address of the page where the selection was made."""
    return context.return_url or local_path(context.query_value("next")) or "/queue"


def export(context: HttpContext) -> Response:
    """Return the requests that the verb applies to as a file, with the fields of the queue's file."""
    pick = _own_selection(context)
    verb = require_one_of(context.query_value("verb"), VERBS)
    weighed = summarize_selection(context, pick, verb)
    rows = (row for part in iterate_decided_rows(context, weighed) for row in part)
    return export_response("selection", context.params["kind"], RequestRecord, request_records(context, rows))


# ---- confirmation ----------------------------------------------------------------------------------------------------


def confirm(context: HttpContext) -> Response:
    """Leave out the unticked rows, then do what the pressed button says: decide about the others, or show a page."""
    pick = _own_selection(context)
    verb = context.form_value("verb")
    reason = "" if context.form_value("silent") == "yes" else read_chosen_reason(context)
    typed = TypedForm(context.form_value("after"), reason)
    unticked = parse_unticked(context)
    are_ends_as_shown = _are_ends_as_shown(context, pick, verb)
    _leave_out(context, pick, unticked)
    do = context.form_value("do", "send")
    if do == "contrary":
        scope = summarize_selection(context, pick, verb).scope
        leave_out_by_quality(context.workspace.store, scope, CONTRARY_QUALITIES.get(verb, ()))
        remove_left_out(context.workspace.store, context.selection_name, pick)
    elif do == "back":
        put_back_left_out(context.workspace.store, pick)
    if do != "send":
        after = {"next": context.form_value("following"), "first": ""}.get(do, typed.after)
        return _page(context, pick, verb, replace(typed, after=after))
    weighed = summarize_selection(context, pick, verb)
    if context.form_value("count") != str(weighed.count + len(unticked)):
        wrong = "The numbers changed since you opened the page. Check them again."
        return _page(context, pick, verb, typed, wrong=wrong, status=409)
    if not are_ends_as_shown:
        wrong = "For some requests, access would end at a different time than shown. Check the end dates again."
        return _page(context, pick, verb, typed, wrong=wrong, status=409)
    if wrong := _find_mistake(context, weighed, typed):
        return _page(context, pick, verb, typed, wrong=wrong, status=422)
    if not weighed.count:
        raise Refused("No selected request can be decided this way.", hint="Choose another decision.")
    is_silent = context.form_value("silent") == "yes"
    return _decide(context, weighed, parse_reason(typed.reason, verb, is_silent=is_silent))


def _are_ends_as_shown(context: HttpContext, pick: str, verb: str) -> bool:
    """Whether the acceptances end as the page said when it was shown, before rows were unticked.

    A form without a page names no ends; it is valid while no policy says anything about them.
    """
    if verb != "accept" or context.form_value("do", "send") != "send":
        return True
    summary = summarize_ends(context, summarize_selection(context, pick, verb).terms)
    shown = context.form_value("terms")
    return shown == summary.token if shown else not summary.has_rules


def _find_mistake(context: HttpContext, weighed: SelectionSummary, typed: TypedForm) -> str:
    """Return what is wrong with the form; "" if it can be confirmed."""
    is_typed = _confirmation_for(context, weighed) is Confirmation.TYPED
    if is_typed and not is_confirmed(context.form_value("typed"), weighed.count):
        return f"Type {weighed.count} to confirm."
    try:
        parse_reason(typed.reason, weighed.verb, is_silent=context.form_value("silent") == "yes")
        summary = summarize_ends(context, weighed.terms)
        if weighed.verb == "accept" and lacks_choice(summary, parse_bulk_ends(context, summary)):
            return f"Choose an end for {pluralize(summary.unknown_count, 'request')}: the policies do not say it."
    except UsageError as problem:
        return f"{problem} {problem.hint}"
    return ""


def _decide(context: HttpContext, weighed: SelectionSummary, reason: str | None) -> Response:
    """Queue the decisions, start a run or make a plan."""
    verb = weighed.verb
    pick = weighed.scope.selection
    way = _choose_route(weighed, context.app_state.membership.compute_act_quorum(context.member, {verb: weighed.count}))
    if way != "tray":
        return (_store_as_plan if way == "plan" else _start_run)(context, weighed, reason)
    rows = [row for part in iterate_decided_rows(context, weighed) for row in part]
    ends = _ends_of(context, weighed)
    seen = {row.id: version_with_terms(context, row, weighed.shown_terms.get(row.id)) for row in rows}
    hold = context.app_state.hold if len(rows) == 1 else max(HOLD, context.app_state.hold)
    chosen = ends.chosen
    request = DecisionRequest(
        verb, seen, context.member, reason, chosen if ends.for_all else None, None if ends.for_all else chosen
    )
    taken = context.app_state.tray_service.queue_decisions(request, context.now, hold)
    subtract_selection(context.workspace.store, context.selection_name, pick)
    if left_out := [row.id for row in taken.uncounted]:
        select_requests(
            context.workspace.store, context.selection_name, context.member.id, left_out, to_ms(context.now)
        )
    context.app_state.wake.set()
    return RedirectResponse(_return_url(context), 303)


def _ends_of(context: HttpContext, weighed: SelectionSummary) -> BulkEnds:
    """Return the ends of the acceptances; none for another decision."""
    if weighed.verb != "accept":
        return BulkEnds()
    return parse_bulk_ends(context, summarize_ends(context, weighed.terms), weighed.shown_terms)


def _leave_out(context: HttpContext, pick: str, requests: Sequence[int]) -> None:
    """Leave requests out of the copy, and remove them from the selection of the queue: they are unticked there too."""
    if requests:
        leave_out_requests(context.workspace.store, pick, requests)
        remove_left_out(context.workspace.store, context.selection_name, pick)


def _choose_route(weighed: SelectionSummary, quorum: ActQuorum) -> str:
    """Return how decisions are sent: `plan` if two people must agree, `tray`, or `run` for very many."""
    if quorum.is_large:
        return "plan"
    return "tray" if weighed.count <= MAX_IN_TRAY else "run"


def _start_run(context: HttpContext, weighed: SelectionSummary, reason: str | None) -> Response:
    """Start a run for the selection."""
    app_state = context.app_state
    ident = new_id("r")
    after = STATUS_AFTER_VERB[weighed.verb].value
    ends = _ends_of(context, weighed)
    order = BulkDecision(ident, context.member.name, after, reason, weighed.count, ends=ends)

    def begin() -> RunRow:
        with app_state.tray_service.lock:
            author = app_state.membership.check_limit(
                context.member, weighed.verb, weighed.count, refused="Nothing was sent."
            )
            return create_bulk_run(
                app_state.workspace.store,
                replace(order, author=author),
                iterate_ready_requests(app_state.workspace.store, weighed.scope),
                context.now,
            )

    app_state.run_worker.enqueue(ident, begin)
    subtract_selection(app_state.workspace.store, context.selection_name, weighed.scope.selection)
    return RedirectResponse(f"/runs/{ident}", 303)


def _store_as_plan(context: HttpContext, weighed: SelectionSummary, reason: str | None) -> Response:
    """Store a plan for the selection, for a second person to agree to."""
    store = context.workspace.store
    after = STATUS_AFTER_VERB[weighed.verb].value
    decided = _ends_of(context, weighed)
    changes = list[Change]()
    for part in iterate_decided_rows(context, weighed):
        ends = decided.assign(part)
        changes += [make_direct_change(row, after, reason, end=ends[row.id]) for row in part if row.id in ends]
    waiting = count_pending(store.repos())
    plan = build_plan(
        changes,
        policy_digest="",
        endpoint=store.endpoint,
        now=context.now,
        summary={"planned": len(changes)},
        guards=guards.guard_report(changes, waiting, 0),
    )
    digest = store_plan(context.workspace, plan, context.member, "bulk", need=len(changes))
    if context.member.account_id is not None:
        endorse(context.workspace, digest, len(changes), context.member, context.member.name)
    subtract_selection(store, context.selection_name, weighed.scope.selection)
    return RedirectResponse(f"/plans/{digest}", 303)
