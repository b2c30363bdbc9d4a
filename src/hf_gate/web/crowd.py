"""The queue by person: what one person asked for stands together, and one decision reaches what is ticked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..domain.lifecycle import Status
from ..domain.query import Query
from ..domain.rows import PeoplePage, RequestRow
from ..domain.timestamps import to_ms
from ..domain.tray import VERBS
from .asking import limit_to_visible_repos
from .lines import Line, lines_of
from .request_context import RequestContext

BY: Final = "person"
PAGE: Final = 30
SHOWN: Final = 8  # requests of one person; the others stand on their page
_MANY: Final = 500  # people a step of an export


@dataclass(frozen=True, slots=True)
class PersonRequests:
    """One person with all of their requests that the query finds, the oldest first."""

    lines: Sequence[Line]
    count: int

    @property
    def first(self) -> Line:
        return self.lines[0]

    @property
    def latest(self) -> Line:
        """By which they are described: names are those that were read last, flags those of today."""
        return max(self.lines, key=lambda line: line.asked)

    @property
    def key(self) -> str:
        return self.first.row.person.pseudonym

    @property
    def is_hidden(self) -> bool:
        return self.first.is_hidden

    @property
    def asked_at(self) -> datetime:
        return self.first.asked

    @property
    def verbs(self) -> list[str]:
        """What can be decided about any of them; cancelling who waits would change nothing."""
        lines = [line for line in self.lines if not line.is_leaving]
        able = {verb for line in lines for verb in line.verbs if verb != "cancel" or line.status != Status.PENDING}
        return [verb for verb in VERBS if verb in able]


def way(context: RequestContext) -> str | None:
    """How the rows are to be grouped: by person, or not."""
    return BY if context.query_value("by") == BY else None


def read_people(
    context: RequestContext, query: Query, *, cursor: str | None, newest_first: bool = False
) -> tuple[list[PersonRequests], str | None]:
    """One page of people, and where the next one begins."""
    found = _page(context, query, PAGE, cursor, newest_first=newest_first)
    shown = [rows[:SHOWN] for rows in found.people if rows]
    lines = {line.row.id: line for line in lines_of(context, [row for rows in shown for row in rows])}
    counts = [len(rows) for rows in found.people if rows]
    people = [PersonRequests([lines[row.id] for row in rows], n) for rows, n in zip(shown, counts, strict=True)]
    return people, found.next


def _page(
    context: RequestContext, query: Query, limit: int, cursor: str | None, *, newest_first: bool = False
) -> PeoplePage:
    """What this person sees of a query."""
    return context.workspace.queue.read_people_page(
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        limit=limit,
        newest_first=newest_first,
        cursor=cursor,
    )


def rows_of(context: RequestContext, query: Query) -> Iterator[RequestRow]:
    """Everybody's rows for a file, those of one person together."""
    cursor = None
    while True:
        found = _page(context, query, _MANY, cursor)
        for rows in found.people:
            yield from rows
        cursor = found.next
        if cursor is None:
            return
