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
from .lines import Answer, Line, lines_of
from .request_context import NotFound, RequestContext

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


def part(context: RequestContext) -> Response:
    """The lists alone, or on a page of their own where no script asks."""
    row = context.find_request(context.params["id"])
    if context.masks:
        raise NotFound
    line = lines_of(context, [row])[0]
    template = "parts/similar.html" if context.is_part else "similar.html"
    return context.page(template, title=f"Like {line.who}'s request", line=line, groups=groups_of(context, line))


def groups_of(context: RequestContext, line: Line) -> list[Alike]:
    """By mail domain, and by words."""
    return [_by_domain(context, line.row), _by_words(context, line)]


def _by_domain(context: RequestContext, row: RequestRow) -> Alike:
    mail, bundle = row.person.identity.email, context.app_state.policies
    domain = (mail or "").rpartition("@")[2].lower()
    if not domain:
        return Alike("From the same mail domain", [], False, None, "No mail address is shared.")
    known = None if bundle is None else context.workspace.sources.email(mail)
    if known is not None and known.free:
        return Alike(f"From {domain}", [], False, None, f"{domain} is open to everybody: it says nothing.")
    return _found(context, row, f"From {domain}", Term("domain", (Pattern((domain,)),)))


def _by_words(context: RequestContext, line: Line) -> Alike:
    told = [each for each in (*line.rest, *line.answers) if _is_telling(each)]
    if not told:
        return Alike("With the same words", [], False, None, "No answer is long enough to be compared.")
    text = max(told[:3], key=lambda each: len(each.text)).text.strip()
    return _found(context, line.row, "With the same words", Term("answer", (Pattern((text,)),)))


def _is_telling(answer: Answer) -> bool:
    return not answer.is_tick and LONG <= len(answer.text.strip()) <= _ODD and answer.type not in {"select", "country"}


def _found(context: RequestContext, row: RequestRow, what: str, term: Term) -> Alike:
    page = read(context, Query((term,)), limit=4 * SHOWN, cursor=None, newest_first=True)
    others = [one for one in page.rows if one.person.id != row.person.id]
    href = "/queue?" + urlencode({"q": str(Query((term,)))})
    return Alike(what, lines_of(context, others[:SHOWN]), len(others) > SHOWN, href, "" if others else "Nobody else.")
