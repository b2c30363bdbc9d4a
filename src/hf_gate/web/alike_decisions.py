"""Offers to decide together what is alike: after three alike decisions, the others who wrote the same text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from ..application.workspace import new_id
from ..domain.lifecycle import Status
from ..domain.query import Pattern, Query, Term
from ..domain.timestamps import to_ms
from ..domain.tray import QueuedDecision
from .bulk import redirect_to_bulk
from .queue_query import limit_to_visible_repos
from .request_context import Refused, RequestContext
from .request_lines import request_key

_ALIKE: Final = 3  # decisions in a row
_WITHIN: Final = timedelta(minutes=30)  # as long as a session without a click
_VERBS: Final = ("accept", "reset", "reject")
_MAX_COUNT: Final = 99


@dataclass(frozen=True, slots=True)
class AlikeOffer:
    """Requests with the same text as the last ones decided. `key`: the name of one of these in addresses."""

    verb: str
    key: str
    count: int

    @property
    def words(self) -> str:
        """How many others wrote the text: `11 more wrote this.`"""
        return f"{self.count} more wrote this." if self.count <= _MAX_COUNT else f"{_MAX_COUNT}+ more wrote this."


def find_offer(context: RequestContext) -> AlikeOffer | None:
    """Return the offer after the member's latest decision; None unless it and the two before are alike."""
    recent = context.workspace.tray.list_recent(context.member.id, _ALIKE)
    if len(recent) < _ALIKE or not _are_alike(recent, to_ms(context.now - _WITHIN)):
        return None
    if not context.workspace.queue.have_same_text([one.request for one in recent]):
        return None
    first = recent[0]
    rows = context.workspace.queue.read_first_page(
        limit_to_visible_repos(context, _same_text(first.request)),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        limit=_MAX_COUNT + _ALIKE + 1,
        most=1,
    )[0].rows
    held = context.workspace.tray.find_latest([row.id for row in rows])
    count = sum(row.id not in held or held[row.id].outcome is not None for row in rows)
    last = context.workspace.store.request(first.request)
    return AlikeOffer(first.verb, request_key(last), count) if count and last is not None else None


def _are_alike(decisions: list[QueuedDecision], since: int) -> bool:
    """Return whether decisions have one verb, reason and end, and were made by single clicks since a time (ms)."""
    first = decisions[0]
    return (
        first.verb in _VERBS
        and len({(one.verb, one.reason, one.until) for one in decisions}) == 1
        and len({one.batch for one in decisions}) == len(decisions)
        and all(one.made_at >= since for one in decisions)
    )


def _same_text(number: int) -> Query:
    same = Term("same", (Pattern((str(number),)),))
    return Query((Term("status", (Pattern((Status.PENDING.value,)),)), same))


def select_alike(context: RequestContext) -> Response:
    """Select everybody who waits with the same text as a request, and lead to the list to confirm."""
    row, verb = context.find_request(context.params["id"]), context.form_value("verb")
    if verb not in _VERBS:
        raise Refused("Nothing was decided.", hint="Choose a decision.")
    ident = new_id("b")
    query = limit_to_visible_repos(context, _same_text(row.id))
    context.workspace.selections.fill(ident, context.member.id, query, to_ms(context.now), context.workspace.zone)
    return redirect_to_bulk(context, ident, verb)
