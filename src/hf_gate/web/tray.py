"""The tray: what was decided and has not left, with undo; and the one door through which decisions come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from ..application.inputs import parse_reason
from ..application.tray import DecisionRequest, QueueResult
from ..domain.events import EventKind
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from ..domain.tray import VERBS, QueuedDecision
from . import words
from .ending import day_of
from .lines import Line, key_of, lines_of
from .request_context import NotFound, Refused, RequestContext
from .request_history import Reversal, reversal_of

_DAYS = 7  # of what has left
_MANY = 20
_SHOWN = 8  # decisions that are named in the strip


@dataclass(frozen=True, slots=True)
class Strip:
    """The tray as its strip shows it. `left`: seconds until the first leaves; None: nothing leaves by itself."""

    items: list[tuple[QueuedDecision, str]]
    count: int
    left: int | None
    is_held: bool
    failed: list[tuple[QueuedDecision, str, str]]  # decision, who, key; the first of them
    failures: int
    problem: str | None

    @property
    def ids(self) -> str:
        return ",".join(str(item.id) for item, _ in self.items)


def strip_of(context: RequestContext) -> Strip:
    """What this person has in the tray, and what of it did not come about."""
    app_state = context.app_state
    mine = [item for item in app_state.workspace.tray.list_waiting() if item.member == context.member.id]
    failed = app_state.workspace.tray.list_failed(context.member.id)
    rows = app_state.workspace.store.requests([item.request for item in (*mine[:_SHOWN], *failed[:_SHOWN])])
    leaving = [item.leaves_at for item in mine if item.leaves_at is not None and item.run is None]
    left = max(0, -(-(min(leaving) - to_ms(context.now)) // 1000)) if leaving else None
    return Strip(
        [(item, _who(rows.get(item.request))) for item in mine[:_SHOWN]],
        len(mine),
        left,
        bool(mine) and not leaving and all(item.run is None for item in mine),
        [(item, _who(row), key_of(row)) for item in failed[:_SHOWN] if (row := rows.get(item.request))],
        len(failed),
        app_state.tray_service.problem if mine else None,
    )


def _who(row: RequestRow | None) -> str:
    if row is None:
        return "(gone)"
    return row.person.identity.username or f"(hidden #{key_of(row)[-6:]})"


def page(context: RequestContext) -> Response:
    """The strip, and the rows that a page which is open asks about, as they stand now."""
    keys = [key for key in context.query_value("rows").split(",") if key][:200]
    rows = []
    for key in keys:
        try:
            rows.append(context.find_request(key))
        except NotFound:
            continue
    if not context.is_part:
        return context.page("tray.html", title="Unsent", sent=_list_sent(context), days=_DAYS, most=_MANY)
    return context.page("parts/answer.html", lines=lines_of(context, rows), is_poll=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """A decision that came about. `back`: what leads back, where nobody has moved it since."""

    item: QueuedDecision
    line: Line
    when: str
    back: Reversal | None


def _list_sent(context: RequestContext) -> list[Sent]:
    """What this person decided in the last days, the latest first."""
    app_state = context.app_state
    held = app_state.workspace.tray.list_sent(context.member.id, to_ms(context.now) - _DAYS * 86_400_000, _MANY)
    rows = {
        row.id: row
        for row in app_state.workspace.store.requests([one.request for one in held]).values()
        if context.sees(row.repo)
    }
    lines = {line.row.id: line for line in lines_of(context, list(rows.values()))}
    latest: dict[int, int] = {}
    for one in held:
        latest.setdefault(one.request, one.id)
    return [
        Sent(
            one,
            lines[one.request],
            context.when(words.moment(one.ended_at or one.made_at)),
            reversal_of(context, rows[one.request]) if latest[one.request] == one.id else None,
        )
        for one in held
        if one.request in rows
    ]


# ---- decisions ---------------------------------------------------------------------------------------------------------


def decide(context: RequestContext) -> Response:
    """Puts one decision into the tray. What was seen when it was taken must still be so."""
    verb, key, version = _parse_decision(context)
    row = context.find_request(key)
    reason = parse_reason(context.form_value("reason"), verb, is_silent=context.form_value("silent") == "yes")
    app_state, until = context.app_state, context.chosen_end() if verb == "accept" else None
    hold = None if context.form_value("when") == "later" else app_state.hold
    taken = app_state.tray_service.queue_decisions(
        DecisionRequest(verb, {row.id: version}, context.member, reason, until), context.now, hold
    )
    app_state.wake.set()
    line = lines_of(context, [row])[0]
    app_state.presence.remove(row.id, context.member.name)
    if taken.count:
        end = f" until {day_of(context, until)}" if until else ""
        return _rows_response(context, [line], f"{words.DONE[verb]} {line.who}{end}. {_in_words(hold)}")
    return _conflict_response(context, taken, line)


def _parse_decision(context: RequestContext) -> tuple[str, str, str]:
    """The verb, the request and its version: by the fields of a sheet, or by the button of a row."""
    if context.form_value("verb"):
        return context.form_value("verb"), context.form_value("key"), context.form_value("version")
    for verb in VERBS:
        if context.form_value(verb):
            key, _, version = context.form_value(verb).partition(":")
            return verb, key, version
    raise Refused("Nothing was decided.", hint="Press one of the buttons beside a request.")


def _in_words(hold: float | None) -> str:
    return "It stays until you send it." if hold is None else f"{hold:g} seconds to undo."


def _conflict_response(context: RequestContext, taken: QueueResult, line: Line) -> Response:
    """Somebody else was there before: what they did is shown, and nothing of ours is sent."""
    if taken.conflicts:
        other = taken.conflicts[0]
        who = "You have" if other.member == context.member.id else f"{other.actor} has"
        text = f"{who} decided this already: {other.verb} {line.who}."
        hint = (
            "It has not left yet: take it back first." if other.member == context.member.id else "It is in their tray."
        )
    else:
        text, hint = f"Nothing was sent: {line.who} is {line.status} now.", _by_whom(context, line)
    if context.is_part:
        return context.page("parts/answer.html", 409, lines=[line], message=text, hint=hint, is_bad=True)
    return context.page("refused.html", 409, message=text, hint=hint, title=text)


def _by_whom(context: RequestContext, line: Line) -> str:
    """Who moved it, and when."""
    for entry in context.workspace.store.entries(request=line.row.id, limit=20):
        if entry.link.kind in {EventKind.CHANGE_SETTLED, EventKind.STATUS_MOVED, EventKind.CHANGE_STARTED}:
            who = "On the Hub, outside this desk" if entry.link.actor == "outside" else entry.link.actor
            return (
                f"{who}, {words.age(words.moment(entry.link.at), context.now)} ago. Look at it again before you decide."
            )
    return "It reads differently now. Look at it again before you decide."


def _rows_response(context: RequestContext, lines: Sequence[Line], text: str, undone: str = "") -> Response:
    """Answer with the rows as they are now. `undone`: the key of the row to which the cursor returns."""
    if not context.is_part:
        return context.back()
    headers = {"hx-trigger": json.dumps({"desk-said": text})}
    if undone:
        headers["hx-trigger-after-settle"] = json.dumps({"desk-undone": undone})
    return context.page("parts/answer.html", lines=lines, headers=headers)


# ---- undo, hold, send ----------------------------------------------------------------------------------------------------


def _mine(context: RequestContext) -> list[QueuedDecision]:
    """Which decisions are meant: those named, or all of this person's; `last`: the latest batch."""
    waiting = [
        one for one in context.workspace.tray.list_waiting() if one.member == context.member.id and one.run is None
    ]
    if context.form_value("key"):
        row = context.find_request(context.form_value("key"))
        return [one for one in waiting if one.request == row.id]
    if context.form_value("which") == "last" and waiting:
        latest = max(waiting, key=lambda one: one.id).batch
        return [one for one in waiting if one.batch == latest]
    return waiting


def undo(context: RequestContext) -> Response:
    """Takes decisions back that have not left: nobody hears of them."""
    mine = _mine(context)
    count = context.workspace.tray.undo([one.id for one in mine], to_ms(context.now))
    text = (
        f"{count} taken back."
        if count
        else "Nothing to take back: it has left. The page of the tray (g t) shows what leads back."
    )
    lines = _lines(context, mine)
    return _rows_response(context, lines, text, lines[0].key if count and lines else "")


def hold(context: RequestContext) -> Response:
    """They stay until somebody sends them."""
    mine = _mine(context)
    context.workspace.tray.set_departure([one.id for one in mine], None)
    return _rows_response(context, _lines(context, mine), f"{len(mine)} stay until you send them.")


def send(context: RequestContext) -> Response:
    """They leave now."""
    mine = _mine(context)
    context.workspace.tray.set_departure([one.id for one in mine], to_ms(context.now))
    context.app_state.wake.set()
    return _rows_response(context, _lines(context, mine), f"{len(mine)} on their way.")


def dismiss_outcomes(context: RequestContext) -> Response:
    """What did not come about has been read."""
    failed = context.workspace.tray.list_failed(context.member.id)
    context.workspace.tray.mark_seen([one.id for one in failed])
    return _rows_response(context, [], "Put aside.")


def _lines(context: RequestContext, items: Sequence[QueuedDecision]) -> list[Line]:
    rows = context.workspace.store.requests([one.request for one in items[:200]])
    return lines_of(context, list(rows.values()))
