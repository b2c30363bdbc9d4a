"""Finds the place of a request in the queue it was opened from: its number, and the requests before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from .queue_counts import MAX_COUNTED, count_matching, format_total, list_counts
from .queue_query import PENDING, encode_query, limit_to_visible_repos, parse_queue_query
from .request_context import RequestContext, parse_fields
from .request_lines import request_key

MAX_POSITION: Final = 1000  # later positions are not counted


@dataclass(frozen=True, slots=True)
class RequestPlace:
    """The place of a request in a queue. `number` is None if the request is not in it, or far from its start.

    `total` is the number of requests as text. `before` and `after` are addresses of pages.
    """

    number: int | None
    total: str
    before: str | None
    after: str | None

    @property
    def text(self) -> str:
        """The place in words: `4 of 974`, or only `974 requests`."""
        if self.number is not None:
            return f"{self.number:,} of {self.total}"
        return f"{self.total} {'request' if self.total == '1' else 'requests'}"


def find_place(context: RequestContext, row: RequestRow) -> RequestPlace:
    """Return the place of a request in the queue of the address's query, the oldest first."""
    asked, queue = parse_queue_query(context), context.workspace.queue
    cells = list_counts(context)
    most = MAX_COUNTED if count_matching(asked.query, cells) is None else MAX_POSITION
    found = queue.find_neighbours(
        limit_to_visible_repos(context, asked.query),
        (row.state.asked_at, row.id),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        most=most,
    )
    tail = encode_query({"q": asked.text})
    before, after = (
        None if one is None else f"/requests/{request_key(one)}?{tail}" for one in (found.before, found.after)
    )
    return RequestPlace(found.number, format_total(context, asked.query, cells), before, after)


def find_referring_query(context: RequestContext) -> str | None:
    """Return the query of the queue page that led here; None if the address names one, or if it is the usual one.

    So the rows of a page need not repeat its query, which may be long.
    """
    opener = urlsplit(context.referring_url)
    if context.query or opener.path != "/queue":
        return None
    query = parse_fields(opener.query).get("q", [PENDING])[-1]
    return None if query == PENDING else query
