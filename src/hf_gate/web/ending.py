"""An acceptance that ends: for how long it may be, when that is over, and what will happen then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ..domain.grants import end_of
from ..policy.spelling import MisspeltError, parse_until
from . import words
from .visit import Refused, Visit

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


def ends_of(visit: Visit) -> Ends:
    """Counted from this moment, as they will be from the moment of sending."""
    zone, today = visit.office.zone, visit.now.astimezone(visit.office.zone).date()
    presets = [
        End(written, label, words.day(end_of(written, visit.now, zone), zone, visit.now)) for written, label in PRESETS
    ]
    first, last = today + timedelta(days=1), today + timedelta(days=3650)
    return Ends(presets, first.isoformat(), last.isoformat(), "" if _is_desk(visit) else NO_DESK)


NO_DESK: Final = "An end is kept and carried out by a desk, and there is none here: hf-gate init makes one."


def _is_desk(visit: Visit) -> bool:
    return visit.office.place.folder is not None


def until_of(visit: Visit) -> str | None:
    """The end that was chosen in a form: a length of time, or the day of the calendar; None: no end was asked for."""
    chosen = visit.said("until")
    return checked_end(visit, visit.said("day").strip() if chosen == "day" else chosen) if chosen else None


def checked_end(visit: Visit, text: str) -> str:
    """Return the end as it was written; Refused if it is none, is over, or if no desk would carry it out."""
    if not _is_desk(visit):
        raise Refused(NO_DESK)
    if not text:
        raise Refused("Until when?", hint="Choose a day, or a length of time.")
    try:
        parse_until(text)
        is_over = end_of(text, visit.now, visit.office.zone) <= visit.now
    except (MisspeltError, ValueError):
        raise Refused(f"{text[:40]!r} is no day.", hint="Choose one of the calendar, or a length of time.") from None
    if is_over:
        raise Refused(f"{text} is over already.", hint="Choose a day that is still to come.")
    return text


def day_of(visit: Visit, written: str) -> str:
    """The day that an end means, if it was sent now."""
    return words.day(end_of(written, visit.now, visit.office.zone), visit.office.zone, visit.now)
