"""Requests that are like one: the same mail domain, the same words, each with what became of it; a few of each, never all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from ..domain.query import Pattern, Query, Term
from ..domain.rows import RequestRow
from .asking import read
from .finding import request_of
from .lines import Answer, Line, lines_of
from .visit import NotFound, Visit

SHOWN: Final = 5
LONG: Final = 24  # characters: below, the same words are chance
_ODD: Final = 400  # characters of an answer that are compared


@dataclass(frozen=True, slots=True)
class Alike:
    """Some requests that share something. `href` leads to all of them in the queue; None: `note` says why none is shown."""

    what: str
    lines: Sequence[Line]
    more: bool
    href: str | None
    note: str = ""


def part(visit: Visit) -> Response:
    """The lists alone, or on a page of their own where no script asks."""
    row = request_of(visit, visit.params["id"])
    if visit.masks:
        raise NotFound
    line = lines_of(visit, [row])[0]
    template = "parts/similar.html" if visit.is_part else "similar.html"
    return visit.page(template, title=f"Like {line.who}'s request", line=line, groups=groups_of(visit, line))


def groups_of(visit: Visit, line: Line) -> list[Alike]:
    """By mail domain, and by words."""
    return [_by_domain(visit, line.row), _by_words(visit, line)]


def _by_domain(visit: Visit, row: RequestRow) -> Alike:
    mail, bundle = row.person.identity.email, visit.office.policies
    domain = (mail or "").rpartition("@")[2].lower()
    if not domain:
        return Alike("From the same mail domain", [], False, None, "No mail address is shared.")
    known = None if bundle is None else visit.office.workspace.sources.email(mail)
    if known is not None and known.free:
        return Alike(f"From {domain}", [], False, None, f"{domain} is open to everybody: it says nothing.")
    return _found(visit, row, f"From {domain}", Term("domain", (Pattern((domain,)),)))


def _by_words(visit: Visit, line: Line) -> Alike:
    told = [each for each in (*line.rest, *line.answers) if _is_telling(each)]
    if not told:
        return Alike("With the same words", [], False, None, "No answer is long enough to be compared.")
    text = max(told[:3], key=lambda each: len(each.text)).text.strip()
    return _found(visit, line.row, "With the same words", Term("answer", (Pattern((text,)),)))


def _is_telling(answer: Answer) -> bool:
    return not answer.is_tick and LONG <= len(answer.text.strip()) <= _ODD and answer.type not in {"select", "country"}


def _found(visit: Visit, row: RequestRow, what: str, term: Term) -> Alike:
    page = read(visit, Query((term,)), limit=4 * SHOWN, cursor=None, newest_first=True)
    others = [one for one in page.rows if one.person.id != row.person.id]
    href = "/queue?" + urlencode({"q": str(Query((term,)))})
    return Alike(what, lines_of(visit, others[:SHOWN]), len(others) > SHOWN, href, "" if others else "Nobody else.")
