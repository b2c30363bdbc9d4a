"""An acceptance that ends: for how long it may be, when that is over, and what will happen then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from ..application.decisions import end_entry
from ..application.inputs import NO_WORKSPACE, parse_end
from ..application.second_person import why_no_more_ends
from ..domain.grants import end_of
from ..domain.lifecycle import Status
from ..domain.moments import moment_of, ms
from ..domain.rows import RequestRow
from ..domain.tray import ground_of
from ..errors import Guarded, NotAllowed, UsageError
from . import words
from .finding import request_of
from .lines import key_of
from .visit import Refused, Visit

NO_END: Final = "none"
PRESETS: Final = (("30d", "30 days"), ("90d", "90 days"), ("365d", "365 days"))
AFTERWARDS: Final = (
    "Then the next plan after that moment resets them: no files any more, and they may ask again. hf-gate run carries"
    " it out by itself, else whoever applies that plan. What was downloaded until then stays with them."
)


@dataclass(frozen=True, slots=True)
class End:
    """One choice: as rules write it, in words, and the day on which access would end."""

    written: str
    label: str
    day: str


@dataclass(frozen=True, slots=True)
class Ends:
    """What can be chosen. `first` and `last` bound the calendar; `problem` says why nothing can."""

    presets: list[End]
    first: str
    last: str
    problem: str = ""
    afterwards: str = AFTERWARDS
    is_change: bool = False  # of somebody who is in already
    current: str = ""  # the day on which their access ends now


def ends_of(visit: Visit, row: RequestRow | None = None) -> Ends:
    """Counted from this moment, as they will be from the moment of sending. `row`: somebody who is in already."""
    zone, today = visit.office.zone, visit.now.astimezone(visit.office.zone).date()
    presets = [
        End(written, label, words.day(end_of(written, visit.now, zone), zone, visit.now)) for written, label in PRESETS
    ]
    first, last = today + timedelta(days=1), today + timedelta(days=3650)
    until = None if row is None else row.state.until
    current = "" if until is None else words.day(moment_of(until), zone, visit.now)
    problem = "" if _is_desk(visit) else NO_WORKSPACE
    return Ends(presets, first.isoformat(), last.isoformat(), problem, is_change=row is not None, current=current)


def _is_desk(visit: Visit) -> bool:
    return visit.office.location.folder is not None


def until_of(visit: Visit) -> str | None:
    """Return the end that was chosen in a form: a length of time, or a date of the calendar; None: no end."""
    chosen = visit.said("until")
    return typed_end(visit, visit.said("day") if chosen == "day" else chosen) if chosen else None


def typed_end(visit: Visit, text: str) -> str:
    """Return the end as it was written, if it can be one."""
    return parse_end(text, visit.now, visit.office.zone, has_workspace=_is_desk(visit))


def day_of(visit: Visit, written: str) -> str:
    """The day that an end means, if it was sent now."""
    return words.day(end_of(written, visit.now, visit.office.zone), visit.office.zone, visit.now)


# ---- of somebody who is in ---------------------------------------------------------------------------------------------


def change_end(visit: Visit) -> Response:
    """Give the access of somebody who is in another end, or none. Nothing is sent: the Hub knows no ends."""
    row, office = request_of(visit, visit.params["id"]), visit.office
    if not visit.said("until"):
        raise Refused("Until when?", hint="Choose a day, a length of time, or no end.")
    if not _is_desk(visit):
        raise UsageError(NO_WORKSPACE, hint="`hf-gate init` makes one.")
    until = None if visit.said("until") == NO_END else until_of(visit)
    with office.store.writing() as write:
        _check_change(visit, office.store.request(row.id))
        if until is not None and (why := why_no_more_ends(office.store, office.team(visit.member), visit.now)):
            raise Guarded(why, hint="Let another admin set the others.")
        write.append(row.repo, [end_entry(row, until, visit.member.name, ms(visit.now), office.zone)])
    return visit.back(f"/requests/{key_of(row)}")


def _check_change(visit: Visit, row: RequestRow | None) -> None:
    """Refuse what moved since the page was drawn, what is on its way to another status, and one's own access."""
    if row is None or row.state.status != Status.ACCEPTED or ground_of(row) != visit.said("version"):
        raise Refused("They moved since you looked.", hint="Look at the request again.", status=409)
    held = visit.office.tray.about([row.id]).get(row.id)
    if row.state.open_run is not None or (held is not None and held.outcome is None):
        raise Refused(
            "A decision about them is on its way.", hint="Undo it first, or wait until it is sent.", status=409
        )
    who = row.person.identity
    if visit.member.is_own(who.username, who.user_id):
        raise NotAllowed("You cannot change the end of your own access.", hint="Another reviewer has to do it.")
