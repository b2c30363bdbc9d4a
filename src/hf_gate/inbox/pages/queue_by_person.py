"""The queue grouped by person, where one decision applies to all ticked requests of a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from hf_gate.base.batches import iterate_cursor_pages
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import VERBS, Status
from hf_gate.core.parsing.query import Query
from hf_gate.core.stored_rows import PeoplePage, RequestRow
from hf_gate.inbox.rows import read_people_page
from hf_gate.inbox.service.request_chips import MAX_CHIPS, ChipKind
from hf_gate.requests.pages.queue_query import limit_to_visible_repos
from hf_gate.requests.pages.request_lines import ChipLabel, RequestLine, build_request_lines
from hf_gate.web.http_context import HttpContext

BY_PERSON: Final = "person"
PAGE_SIZE: Final = 30
MAX_SHOWN: Final = 8  # requests of a person in one row; the person's page shows all
_EXPORT_PAGE_SIZE: Final = 500  # people


class PersonRequests(Struct, frozen=True):
    """One person with the requests that match the query, oldest first."""

    lines: Sequence[RequestLine]
    count: int

    @property
    def first(self) -> RequestLine:
        return self.lines[0]

    @property
    def latest(self) -> RequestLine:
        """Return the newest request: it has the person's current name and account."""
        return max(self.lines, key=lambda line: line.asked_at)

    @property
    def key(self) -> str:
        return self.first.row.person.pseudonym

    @property
    def is_hidden(self) -> bool:
        return self.first.is_hidden

    @property
    def asked_at(self) -> datetime:
        return self.first.asked_at

    @property
    def chips(self) -> list[ChipLabel]:
        """Return the exceptions of all requests, each once, the weightiest first."""
        found = {chip.kind: chip for line in self.lines for chip in line.chips}
        return [found[kind] for kind in ChipKind if kind in found][:MAX_CHIPS]

    @property
    def account(self) -> str:
        return self.latest.account

    @property
    def has_notes(self) -> bool:
        return self.latest.has_notes

    @property
    def verbs(self) -> list[str]:
        """Return the verbs possible for at least one request; canceling a pending one changes nothing."""
        lines = [line for line in self.lines if not line.is_leaving]
        able = {verb for line in lines for verb in line.verbs if verb != "cancel" or line.status != Status.PENDING}
        if all(line.approval is not None and line.approval.why_not for line in lines if "accept" in line.verbs):
            able.discard("accept")
        return [verb for verb in VERBS if verb in able]


def grouping_of(context: HttpContext) -> str | None:
    """Return how the address groups the rows: by person, or None."""
    return BY_PERSON if context.query_value("by") == BY_PERSON else None


def read_people(
    context: HttpContext, query: Query, *, cursor: str | None, newest_first: bool = False
) -> tuple[list[PersonRequests], str | None]:
    """Return one page of people and the cursor of the next page."""
    found = _read_page(context, query, PAGE_SIZE, cursor, newest_first=newest_first)
    shown = [rows[:MAX_SHOWN] for rows in found.people if rows]
    lines = {line.row.id: line for line in build_request_lines(context, [row for rows in shown for row in rows])}
    counts = [len(rows) for rows in found.people if rows]
    people = [PersonRequests([lines[row.id] for row in rows], n) for rows, n in zip(shown, counts, strict=True)]
    return people, found.next


def _read_page(
    context: HttpContext, query: Query, limit: int, cursor: str | None, *, newest_first: bool = False
) -> PeoplePage:
    """Read people and their requests, limited to what the member can see."""
    return read_people_page(
        context.workspace.store,
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        limit=limit,
        newest_first=newest_first,
        cursor=cursor,
    )


def list_all_rows(context: HttpContext, query: Query) -> Iterator[RequestRow]:
    """Yield all rows of a query for a file, grouped by person."""
    for page in iterate_cursor_pages(lambda cursor: _read_page(context, query, _EXPORT_PAGE_SIZE, cursor)):
        for rows in page.people:
            yield from rows
