"""What stands beside a request: its earlier attempts, similar requests, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from ..application.evaluation import last_transition
from ..domain.event_descriptions import describe_event
from ..domain.events import ChangeSettled, ChangeStarted, EventKind, StatusMoved, decode_event
from ..domain.lifecycle import VERB_FOR_STATUS, Status
from ..domain.outcomes import OutcomeKind
from ..domain.query import Pattern, Query, Term
from ..domain.rows import LedgerRow, RequestRow
from ..domain.timestamps import from_ms, to_iso
from . import words
from .asking import run_query
from .lines import Answer, Line, lines_of, verbs_for
from .request_context import NotFound, RequestContext

_ENTRIES = 200  # of one attempt


@dataclass(frozen=True, slots=True)
class Happened:
    """One entry of the history. `is_outside`: not by this desk."""

    at: str
    at_iso: str
    text: str
    actor: str
    kind: str
    is_outside: bool
    attempt: int


def history_of(context: RequestContext, attempts: Sequence[RequestRow]) -> list[Happened]:
    """Every entry about these attempts, the latest first."""
    number = {one.id: one.state.attempt for one in attempts}
    found = [row for attempt in attempts for row in context.workspace.store.entries(request=attempt.id, limit=_ENTRIES)]
    began = {key: row for row in found if (key := _started_change(row)) is not None}
    told = []
    for row in sorted(found, key=lambda row: row.id, reverse=True):
        event, at = decode_event(row.link.body), from_ms(row.link.at)
        private = None if context.masks else row.private
        if row.link.kind == EventKind.NOTE_WRITTEN:
            text = str((private or {}).get("note", "a note"))
        elif isinstance(event, ChangeSettled) and (first := began.pop((row.link.request, event.run), None)):
            text = _whole(
                describe_event(decode_event(first.link.body), None if context.masks else first.private), event, private
            )
        elif isinstance(event, ChangeStarted) and (row.link.request, event.run) not in began:
            continue  # told with what became of it
        else:
            text = describe_event(event, private)
        told.append(
            Happened(
                words.when(at, context.workspace.zone, context.now),
                to_iso(at),
                text,
                row.link.actor,
                row.link.kind,
                isinstance(event, StatusMoved),
                number.get(row.link.request or 0, 1),
            )
        )
    return told


def _started_change(row: LedgerRow) -> tuple[int | None, str] | None:
    """Which change of a request an entry begins."""
    event = decode_event(row.link.body)
    return (row.link.request, event.run) if isinstance(event, ChangeStarted) else None


def _whole(begun: str, event: ChangeSettled, private: Mapping[str, object] | None) -> str:
    """A change in one sentence: `pending to accepted, with the reason "..."`, and what became of it unless it was done."""
    moved, _, more = begun.partition(": started")
    came = (
        ""
        if event.kind == OutcomeKind.DONE and event.how == "told"
        else f": {describe_event(event, private).partition(': ')[2]}"
    )
    return f"{moved}{came}{more}"


_STAYS: Final = {
    "accepted": "What they downloaded meanwhile stays with them.",
    "rejected": "They may have read the reason; only this page forgets it.",
    "reset": "The Hub has mailed them that they may ask again, and that mail cannot be taken back.",
    "pending": "",
}
_THEN: Final = {
    "cancel": "They wait for a review again",
    "accept": "They may download again, at once",
    "reset": "The request is cleared, and they may ask again",
    "reject": "They cannot ask again",
}
_WITHOUT: Final = {"accepted": "; their access ends", "rejected": "", "reset": "", "pending": ""}


@dataclass(frozen=True, slots=True)
class Reversal:
    """The verb that leads back. `what` was done `ago` by `actor`; `then` says what follows, `stays` what is not undone."""

    verb: str
    what: str
    ago: str
    actor: str
    then: str
    stays: str


def reversal_of(context: RequestContext, row: RequestRow) -> Reversal | None:
    """Of the act of this desk that brought a request to where it stands; None: it was moved elsewhere, or not yet."""
    if context.masks or not row.is_current:
        return None
    how = last_transition(context.workspace.store, row)
    if how is None or how.run_id is None or how.is_first:
        return None
    before = _before(context, row, how.run_id)
    if before is None or before == row.state.status:
        return None
    verb = VERB_FOR_STATUS[before]
    if verb not in verbs_for(row.state.status):
        return None
    return Reversal(
        verb,
        row.state.status if row.state.status != Status.PENDING else "put back to pending",
        context.ago(from_ms(how.at)),
        "you" if how.actor == context.member.name else how.actor,
        f"{_THEN[verb]}{_WITHOUT[row.state.status]}.",
        _STAYS[row.state.status],
    )


def _before(context: RequestContext, row: RequestRow, run: str) -> str | None:
    """Where it stood when that run moved it; who had no request goes back to one that is cleared."""
    for entry in context.workspace.store.entries(request=row.id, run=run, limit=10):
        event = decode_event(entry.link.body)
        if isinstance(event, ChangeStarted):
            return event.before if event.before in VERB_FOR_STATUS else "reset"
    return None


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


def similar_part(context: RequestContext) -> Response:
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
    mail, bundle = row.person.identity.email, context.app_state.policies.current
    domain = (mail or "").rpartition("@")[2].lower()
    if not domain:
        return Alike("From the same mail domain", [], False, None, "No mail address is shared.")
    known = None if bundle is None else context.workspace.sources.email(mail)
    if known is not None and known.free:
        return Alike(f"From {domain}", [], False, None, f"{domain} is open to everybody: it says nothing.")
    return _find_alike(context, row, f"From {domain}", Term("domain", (Pattern((domain,)),)))


def _by_words(context: RequestContext, line: Line) -> Alike:
    told = [each for each in (*line.rest, *line.answers) if _is_telling(each)]
    if not told:
        return Alike("With the same words", [], False, None, "No answer is long enough to be compared.")
    text = max(told[:3], key=lambda each: len(each.text)).text.strip()
    return _find_alike(context, line.row, "With the same words", Term("answer", (Pattern((text,)),)))


def _is_telling(answer: Answer) -> bool:
    return not answer.is_tick and LONG <= len(answer.text.strip()) <= _ODD and answer.type not in {"select", "country"}


def _find_alike(context: RequestContext, row: RequestRow, what: str, term: Term) -> Alike:
    page = run_query(context, Query((term,)), limit=4 * SHOWN, cursor=None, newest_first=True)
    others = [one for one in page.rows if one.person.id != row.person.id]
    href = "/queue?" + urlencode({"q": str(Query((term,)))})
    return Alike(what, lines_of(context, others[:SHOWN]), len(others) > SHOWN, href, "" if others else "Nobody else.")
