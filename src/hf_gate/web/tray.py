"""The tray: what was decided and has not left, with undo; and the one door through which decisions come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from ..application.inputs import parse_reason
from ..application.tray import Taken, Wish
from ..domain.events import EventKind
from ..domain.moments import ms
from ..domain.rows import RequestRow
from ..domain.tray import VERBS, Held
from . import words
from .ending import day_of, until_of
from .finding import request_of
from .lines import Line, key_of, lines_of
from .reversal import Reversal, reversal_of
from .visit import NotFound, Refused, Visit

_DAYS = 7  # of what has left
_MANY = 20
_SHOWN = 8  # decisions that are named in the strip


@dataclass(frozen=True, slots=True)
class Strip:
    """The tray as its strip shows it. `left`: seconds until the first leaves; None: nothing leaves by itself."""

    items: list[tuple[Held, str]]
    count: int
    left: int | None
    is_held: bool
    failed: list[tuple[Held, str, str]]  # decision, who, key; the first of them
    failures: int
    problem: str | None

    @property
    def ids(self) -> str:
        return ",".join(str(item.id) for item, _ in self.items)


def strip_of(visit: Visit) -> Strip:
    """What this person has in the tray, and what of it did not come about."""
    office = visit.office
    mine = [item for item in office.tray.waiting() if item.member == visit.member.id]
    failed = office.tray.ended_badly(visit.member.id)
    rows = office.store.requests([item.request for item in (*mine[:_SHOWN], *failed[:_SHOWN])])
    leaving = [item.leaves_at for item in mine if item.leaves_at is not None and item.run is None]
    left = max(0, -(-(min(leaving) - ms(visit.now)) // 1000)) if leaving else None
    return Strip(
        [(item, _who(rows.get(item.request))) for item in mine[:_SHOWN]],
        len(mine),
        left,
        bool(mine) and not leaving and all(item.run is None for item in mine),
        [(item, _who(row), key_of(row)) for item in failed[:_SHOWN] if (row := rows.get(item.request))],
        len(failed),
        office.clearing.problem if mine else None,
    )


def _who(row: RequestRow | None) -> str:
    if row is None:
        return "(gone)"
    return row.person.identity.username or f"(hidden #{key_of(row)[-6:]})"


def page(visit: Visit) -> Response:
    """The strip, and the rows that a page which is open asks about, as they stand now."""
    keys = [key for key in visit.asked("rows").split(",") if key][:200]
    rows = []
    for key in keys:
        try:
            rows.append(request_of(visit, key))
        except NotFound:
            continue
    if not visit.is_part:
        return visit.page("tray.html", title="Tray", sent=_sent(visit), days=_DAYS, most=_MANY)
    return visit.page("parts/answer.html", lines=lines_of(visit, rows), is_poll=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """A decision that came about. `back`: what leads back, where nobody has moved it since."""

    item: Held
    line: Line
    when: str
    back: Reversal | None


def _sent(visit: Visit) -> list[Sent]:
    """What this person decided in the last days, the latest first."""
    office = visit.office
    held = office.tray.sent(visit.member.id, ms(visit.now) - _DAYS * 86_400_000, _MANY)
    rows = {
        row.id: row for row in office.store.requests([one.request for one in held]).values() if visit.sees(row.repo)
    }
    lines = {line.row.id: line for line in lines_of(visit, list(rows.values()))}
    latest: dict[int, int] = {}
    for one in held:
        latest.setdefault(one.request, one.id)
    return [
        Sent(
            one,
            lines[one.request],
            visit.when(words.moment(one.ended_at or one.made_at)),
            reversal_of(visit, rows[one.request]) if latest[one.request] == one.id else None,
        )
        for one in held
        if one.request in rows
    ]


# ---- decisions ---------------------------------------------------------------------------------------------------------


def decide(visit: Visit) -> Response:
    """Puts one decision into the tray. What was seen when it was taken must still be so."""
    verb, key, version = _decided(visit)
    row = request_of(visit, key)
    reason = parse_reason(visit.said("reason"), verb, is_silent=visit.said("silent") == "yes")
    office, until = visit.office, until_of(visit) if verb == "accept" else None
    hold = None if visit.said("when") == "later" else office.hold
    taken = office.clearing.take(Wish(verb, {row.id: version}, visit.member, reason, until), visit.now, hold)
    office.wake.set()
    line = lines_of(visit, [row])[0]
    office.looks.gone(row.id, visit.member.name)
    if taken.count:
        end = f" until {day_of(visit, until)}" if until else ""
        return _done(visit, [line], f"{words.DONE[verb]} {line.who}{end}. {_in_words(hold)}")
    return _lost(visit, taken, line)


def _decided(visit: Visit) -> tuple[str, str, str]:
    """The verb, the request and its version: by the fields of a sheet, or by the button of a row."""
    if visit.said("verb"):
        return visit.said("verb"), visit.said("key"), visit.said("version")
    for verb in VERBS:
        if visit.said(verb):
            key, _, version = visit.said(verb).partition(":")
            return verb, key, version
    raise Refused("Nothing was decided.", hint="Press one of the buttons beside a request.")


def _in_words(hold: float | None) -> str:
    return "It stays until you send it." if hold is None else f"{hold:g} seconds to undo."


def _lost(visit: Visit, taken: Taken, line: Line) -> Response:
    """Somebody else was there before: what they did is shown, and nothing of ours is sent."""
    if taken.clashes:
        other = taken.clashes[0]
        who = "You have" if other.member == visit.member.id else f"{other.actor} has"
        text = f"{who} decided this already: {other.verb} {line.who}."
        hint = "It has not left yet: take it back first." if other.member == visit.member.id else "It is in their tray."
    else:
        text, hint = f"Nothing was sent: {line.who} is {line.status} now.", _by_whom(visit, line)
    if visit.is_part:
        return visit.page("parts/answer.html", 409, lines=[line], message=text, hint=hint, is_bad=True)
    return visit.page("refused.html", 409, message=text, hint=hint, title=text)


def _by_whom(visit: Visit, line: Line) -> str:
    """Who moved it, and when."""
    for entry in visit.office.store.entries(request=line.row.id, limit=20):
        if entry.link.kind in {EventKind.CHANGE_SETTLED, EventKind.STATUS_MOVED, EventKind.CHANGE_STARTED}:
            who = "On the Hub, outside this desk" if entry.link.actor == "outside" else entry.link.actor
            return (
                f"{who}, {words.age(words.moment(entry.link.at), visit.now)} ago. Look at it again before you decide."
            )
    return "It reads differently now. Look at it again before you decide."


def _done(visit: Visit, lines: Sequence[Line], text: str, undone: str = "") -> Response:
    """Answer with the rows as they are now. `undone`: the key of the row to which the cursor returns."""
    if not visit.is_part:
        return visit.back()
    headers = {"hx-trigger": json.dumps({"desk-said": text})}
    if undone:
        headers["hx-trigger-after-settle"] = json.dumps({"desk-undone": undone})
    return visit.page("parts/answer.html", lines=lines, headers=headers)


# ---- undo, hold, send ----------------------------------------------------------------------------------------------------


def _mine(visit: Visit) -> list[Held]:
    """Which decisions are meant: those named, or all of this person's; `last`: the latest batch."""
    waiting = [one for one in visit.office.tray.waiting() if one.member == visit.member.id and one.run is None]
    if visit.said("key"):
        row = request_of(visit, visit.said("key"))
        return [one for one in waiting if one.request == row.id]
    if visit.said("which") == "last" and waiting:
        latest = max(waiting, key=lambda one: one.id).batch
        return [one for one in waiting if one.batch == latest]
    return waiting


def undo(visit: Visit) -> Response:
    """Takes decisions back that have not left: nobody hears of them."""
    mine = _mine(visit)
    count = visit.office.tray.take_back([one.id for one in mine], ms(visit.now))
    text = (
        f"{count} taken back."
        if count
        else "Nothing to take back: it has left. The page of the tray (g t) shows what leads back."
    )
    lines = _lines(visit, mine)
    return _done(visit, lines, text, lines[0].key if count and lines else "")


def hold(visit: Visit) -> Response:
    """They stay until somebody sends them."""
    mine = _mine(visit)
    visit.office.tray.leave_at([one.id for one in mine], None)
    return _done(visit, _lines(visit, mine), f"{len(mine)} stay until you send them.")


def send(visit: Visit) -> Response:
    """They leave now."""
    mine = _mine(visit)
    visit.office.tray.leave_at([one.id for one in mine], ms(visit.now))
    visit.office.wake.set()
    return _done(visit, _lines(visit, mine), f"{len(mine)} on their way.")


def seen(visit: Visit) -> Response:
    """What did not come about has been read."""
    failed = visit.office.tray.ended_badly(visit.member.id)
    visit.office.tray.seen([one.id for one in failed])
    return _done(visit, [], "Put aside.")


def _lines(visit: Visit, items: Sequence[Held]) -> list[Line]:
    rows = visit.office.store.requests([one.request for one in items[:200]])
    return lines_of(visit, list(rows.values()))
