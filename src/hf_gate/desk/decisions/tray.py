"""The tray: queues decisions, shows, undoes, holds and sends the unsent ones."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.events.events import ChangeSettled, ChangeStarted, StatusMoved, kind_of
from hf_gate.core.lifecycle import VERBS, label_action
from hf_gate.core.queued_decisions import QueuedDecision
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.service.tray import DecisionRequest, QueueResult
from hf_gate.decisions.typed_input import parse_note, parse_reason
from hf_gate.desk import formatting
from hf_gate.desk.http_context import HttpContext, NotFound, Refused
from hf_gate.desk.messages.reason_texts import read_chosen_reason
from hf_gate.desk.requests.request_history import Reversal, find_reversal
from hf_gate.desk.requests.request_lines import RequestLine, build_request_lines, request_key
from hf_gate.requests.service.request_history import last_transition
from hf_gate.store.rows.tray import (
    list_failed_decisions,
    list_sent_decisions,
    list_unsent_decisions,
    list_waiting_decisions,
    mark_failures_seen,
    schedule_decisions,
    undo_waiting_decisions,
)

_SENT_DAYS = 7
_MAX_SENT = 20
_MAX_NAMED = 8  # decisions listed in the strip


class TrayStrip(Struct, frozen=True):
    """The strip with the unsent decisions.

    `seconds_left`: until the first is sent; None if all are on hold. `is_spread`: they are sent at different times.
    `sent`: the number of those that were sent a moment ago.
    """

    items: list[tuple[QueuedDecision, str]]
    count: int
    seconds_left: int | None
    is_spread: bool
    is_held: bool
    failed: list[tuple[QueuedDecision, str, str]]  # decision, person, key
    failures: int
    problem: str | None
    sent: int


def make_strip(context: HttpContext) -> TrayStrip:
    """Return the member's unsent and failed decisions."""
    app_state = context.app_state
    mine = [item for item in list_waiting_decisions(app_state.workspace.store) if item.run.member == context.member.id]
    failed = list_failed_decisions(app_state.workspace.store, context.member.id)
    rows = app_state.workspace.store.requests([item.request for item in (*mine[:_MAX_NAMED], *failed[:_MAX_NAMED])])
    waiting = [item for item in mine if not item.is_being_sent]
    leaving = [item.run.starts_at for item in waiting if item.run.starts_at is not None]
    left = max(0, -(-(min(leaving) - to_ms(context.now)) // 1000)) if leaving else None
    return TrayStrip(
        [(item, _display_name(rows.get(item.request))) for item in mine[:_MAX_NAMED]],
        len(mine),
        left,
        len(set(leaving)) > 1,
        bool(mine) and not leaving and len(waiting) == len(mine),
        [
            (item, _display_name(row), request_key(row))
            for item in failed[:_MAX_NAMED]
            if (row := rows.get(item.request))
        ],
        len(failed),
        app_state.tray_service.problem if mine else None,
        app_state.tray_service.count_recently_sent(context.member.id, context.now),
    )


def _display_name(row: RequestRow | None) -> str:
    return "(gone)" if row is None else row.person_name


def page(context: HttpContext) -> Response:
    """Show the page Unsent; for an open page, return the tray and the rows that it asks about."""
    keys = [key for key in context.query_value("rows").split(",") if key][:200]
    rows = []
    for key in keys:
        try:
            rows.append(context.find_request(key))
        except NotFound:
            continue
    if not context.is_part:
        return context.render("tray.html", title="Unsent", sent=_list_sent(context), days=_SENT_DAYS, most=_MAX_SENT)
    return context.render("parts/updated-rows.html", lines=build_request_lines(context, rows), is_poll=True)


class SentDecision(Struct, frozen=True):
    """A decision that was sent. `reversal`: how to reverse it, if the request has not changed since."""

    item: QueuedDecision
    line: RequestLine
    when: str
    reversal: Reversal | None


def _list_sent(context: HttpContext) -> list[SentDecision]:
    """Return the member's sent decisions of the last days, the latest first."""
    app_state = context.app_state
    sent = list_sent_decisions(
        app_state.workspace.store, context.member.id, to_ms(context.now) - _SENT_DAYS * DAY_MS, _MAX_SENT
    )
    rows = {
        row.id: row
        for row in app_state.workspace.store.requests([one.request for one in sent]).values()
        if context.can_see(row.repo)
    }
    lines = {line.row.id: line for line in build_request_lines(context, list(rows.values()))}
    latest: dict[int, QueuedDecision] = {}
    for one in sent:
        latest.setdefault(one.request, one)
    return [
        SentDecision(
            one,
            lines[one.request],
            context.format_time(from_ms(one.run.made_at)),
            find_reversal(context, row, last_transition(app_state.workspace.store, row))
            if latest[one.request] is one
            else None,
        )
        for one in sent
        if (row := rows.get(one.request)) is not None
    ]


# ---- decisions -------------------------------------------------------------------------------------------------------


def decide_requests(context: HttpContext) -> Response:
    """Queue one decision, if the request has not changed since the member saw it."""
    verb, key, version = _parse_decision(context)
    row = context.find_request(key)
    is_silent = context.form_value("silent") == "yes"
    reason = parse_reason("" if is_silent else read_chosen_reason(context), verb, is_silent=is_silent)
    app_state = context.app_state
    until = context.parse_chosen_end() if verb == "accept" else None
    text = context.form_value("note").strip() if verb == "accept" else ""
    note = parse_note(text) if text else None
    hold = None if context.form_value("when") == "later" else app_state.hold
    taken = app_state.tray_service.queue_decisions(
        DecisionRequest(verb, {row.id: version}, context.member, reason, until, note=note), context.now, hold
    )
    app_state.wake.set()
    line = build_request_lines(context, [row])[0]
    if taken.count:
        done = formatting.DONE[verb] if line.approval is None or verb != "accept" else "Approved"
        first = verb == "accept" and line.approval is not None and line.approval.next_number < line.approval.needed
        more = " Another person must approve it too." if first else ""
        rules = "".join(f" Rule {rule} changed after its end was shown." for rule in sorted(taken.renamed))
        said = f"{done} {line.who}{_describe_end(context, line)}.{more}{rules} {_describe_hold(hold)}"
        return _rows_response(context, [line], said)
    return conflict_response(context, taken, line)


def _parse_decision(context: HttpContext) -> tuple[str, str, str]:
    """Return verb, request and version from the fields of a form or the button of a row."""
    if context.form_value("verb"):
        return context.form_value("verb"), context.form_value("key"), context.form_value("version")
    for verb in VERBS:
        if context.form_value(verb):
            key, _, version = context.form_value(verb).partition(":")
            return verb, key, version
    raise Refused("Nothing was decided.", hint="Use the buttons of the request.")


def _describe_end(context: HttpContext, line: RequestLine) -> str:
    until = None if line.decision is None else line.decision.change.until
    return f" until {context.format_end(until)}" if until else ""


def _describe_hold(hold: float | None) -> str:
    return "It stays until you send it." if hold is None else f"{hold:g} seconds to undo."


def conflict_response(context: HttpContext, taken: QueueResult, line: RequestLine) -> Response:
    """Answer that nothing was queued, because the request was decided or changed before."""
    if taken.retermed:
        text = f"Nothing was sent: the access of {line.who} would end at a different time than shown."
        hint = f"Look at it again: {line.accept_label}." if not line.must_choose_end else "Choose the end."
    elif taken.conflicts:
        other = taken.conflicts[0]
        who = "You have" if other.run.member == context.member.id else f"{other.run.actor} has"
        text = f"{who} decided this already: {label_action(other.verb)} {line.who}."
        hint = "It is not sent yet. Undo it first." if other.run.member == context.member.id else "It is in their tray."
    else:
        text = f"Nothing was sent: {line.who} is {line.status} now."
        hint = _describe_last_change(context, line)
    if context.is_part:
        return context.render("parts/updated-rows.html", 409, lines=[line], message=text, hint=hint, is_bad=True)
    return context.render("refused.html", 409, message=text, hint=hint, title=text)


def _describe_last_change(context: HttpContext, line: RequestLine) -> str:
    """Say who changed the request last, and when."""
    for entry in context.workspace.store.entries(request=line.row.id, limit=20):
        if entry.link.kind in {kind_of(ChangeSettled), kind_of(StatusMoved), kind_of(ChangeStarted)}:
            who = "On the Hub, outside this desk" if entry.link.actor == "outside" else entry.link.actor
            return f"{who}, {context.format_age(from_ms(entry.link.at))} ago. Look at it again."
    return "The answers changed. Look at it again."


def _rows_response(context: HttpContext, lines: Sequence[RequestLine], text: str, undone: str = "") -> Response:
    """Answer with the current rows. `undone`: the key of the row that the cursor returns to."""
    if not context.is_part:
        return context.redirect_back()
    headers = {"hx-trigger": json.dumps({"desk-said": text})}
    if undone:
        headers["hx-trigger-after-settle"] = json.dumps({"desk-undone": undone})
    return context.render("parts/updated-rows.html", lines=lines, headers=headers)


# ---- undo, hold, send ------------------------------------------------------------------------------------------------


def _chosen_decisions(context: HttpContext) -> list[QueuedDecision]:
    """Return the member's unsent decisions: of one request, of the latest batch (`last`), or all."""
    waiting = list_unsent_decisions(context.workspace.store, context.member.id)
    if context.form_value("key"):
        row = context.find_request(context.form_value("key"))
        return [one for one in waiting if one.request == row.id]
    if context.form_value("which") == "last" and waiting:
        latest = max(waiting, key=lambda one: one.run.made_at).batch
        return [one for one in waiting if one.batch == latest]
    return waiting


def undo(context: HttpContext) -> Response:
    """Undo unsent decisions."""
    mine = _chosen_decisions(context)
    count = undo_waiting_decisions(context.workspace.store, [one.run.id for one in mine])
    text = f"{count} undone." if count else "Nothing to undo: it was sent already. To reverse it, open Unsent (g t)."
    lines = _decision_lines(context, mine)
    return _rows_response(context, lines, text, lines[0].key if count and lines else "")


def hold(context: HttpContext) -> Response:
    """Hold unsent decisions until the member sends them."""
    mine = _chosen_decisions(context)
    schedule_decisions(context.workspace.store, [one.run.id for one in mine], None)
    return _rows_response(context, _decision_lines(context, mine), "Nothing is sent until you send it.")


def send(context: HttpContext) -> Response:
    """Send unsent decisions now."""
    mine = _chosen_decisions(context)
    context.app_state.send_now(mine)
    return _rows_response(context, _decision_lines(context, mine), f"{len(mine)} being sent.")


def dismiss_outcomes(context: HttpContext) -> Response:
    """Dismiss the failed decisions."""
    mark_failures_seen(context.workspace.store, context.member.id)
    return _rows_response(context, [], "Dismissed.")


def _decision_lines(context: HttpContext, items: Sequence[QueuedDecision]) -> list[RequestLine]:
    rows = context.workspace.store.requests([item.request for item in items[:200]])
    return build_request_lines(context, list(rows.values()))
