"""The queue: requests by query, the oldest first, each with its verdict, decided without being opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..application.record_builders import stored_request
from ..application.records import RequestRecord
from ..domain.lifecycle import Status
from ..domain.members import Role
from ..domain.moments import moment_of, ms
from ..domain.query_reading import parse_query
from ..domain.rows import QueryPage, RequestRow
from ..errors import InvalidQuery
from ..store.facets import Cell
from ..store.members import MOST_VIEWS
from . import crowd, words
from .asking import PENDING, Asked, asked_of, read, read_and_count
from .drafts import tables_known
from .exports import exported
from .lines import lines_of
from .tallies import MOST, about, address, cells_of, counted, facets_of, standing_of, total_of
from .visit import NotFound, Refused, Visit

PAGE: Final = 50
VIEWS: Final = (
    ("Pending", PENDING),
    ("Oldest", f"{PENDING} age:>7d"),
    ("Suggested", f"{PENDING} verdict:accept,reset,reject"),
    ("Needs a human", f"{PENDING} verdict:human"),
    ("On hold", f"{PENDING} verdict:wait"),
    ("Accepted", "status:accepted"),
)
"""The views that everybody has."""

_WEEK: Final = timedelta(days=7)
_LATELY: Final = 1000  # decisions of the last week that are looked at, to say how long they took


def home(visit: Visit) -> Response:  # noqa: ARG001 - as every page
    """The desk begins with its queue."""
    return RedirectResponse("/queue", 303)


# ---- the page ----------------------------------------------------------------------------------------------------------


def page(visit: Visit) -> Response:
    """One page of the queue with its facets; by person when that is asked for."""
    asked = asked_of(visit)
    by, order = crowd.way(visit), "newest" if visit.asked("order") == "newest" else None
    after = visit.asked("after") or None
    cells = cells_of(visit)
    matching = counted(asked.query, cells)
    shown = _rows(visit, asked, order, after, is_known=by is not None or matching is not None)
    following, total = shown.pop("next"), shown.pop("total", None)
    standing, more = standing_of(cells), f"&by={by}" if by else ""
    return visit.page(
        "queue.html",
        **shown,
        asked=asked,
        following=address(asked.text, by=by, order=order, after=following) if following else None,
        first=address(asked.text, by=by, order=order) if after else None,
        turned=address(asked.text, by=by, order=None if order else "newest"),
        regrouped=address(asked.text, by=None if by else crowd.BY, order=order),
        newest=order is not None,
        by=by,
        total=total or total_of(visit, asked.query, cells),
        views=views_of(visit, asked, cells, by),
        facets=facets_of(asked, cells, more),
        more=more,
        standing=standing,
        exports=[(kind, _file(asked.text, kind, by)) for kind in ("csv", "json")],
        problem=visit.office.policy_problem,
        unread=unread(visit),
        refused_tables=refused_tables(visit),
        picked=visit.office.picks.count(visit.selection),
        matching=matching,
        query_text=asked.text,
        **({} if shown["lines"] else empty(visit, asked, standing[Status.PENDING])),
    )


def _rows(visit: Visit, asked: Asked, order: str | None, after: str | None, *, is_known: bool) -> dict[str, Any]:
    """The rows, and where they go on. `is_known`: how many there are is not asked here."""
    if crowd.way(visit):
        return _people(visit, asked, order, after)
    if after is None and not is_known:
        return _searched(visit, asked, order)
    return _shown(visit, read(visit, asked.query, limit=PAGE, cursor=after, newest_first=order is not None))


def _searched(visit: Visit, asked: Asked, order: str | None) -> dict[str, Any]:
    """The first page of what no counter knows: it is looked for once, for the rows and for their number."""
    found, count = read_and_count(visit, asked.query, limit=PAGE, most=MOST, newest_first=order is not None)
    return _shown(visit, found) | {"total": about(count)}


def _shown(visit: Visit, found: QueryPage) -> dict[str, Any]:
    picks = visit.office.picks.among(visit.selection, [row.id for row in found.rows])
    return {"lines": lines_of(visit, found.rows), "picks": picks, "next": found.next}


def _people(visit: Visit, asked: Asked, order: str | None, after: str | None) -> dict[str, Any]:
    people, following = crowd.read_people(visit, asked.query, cursor=after, newest_first=order is not None)
    return {"lines": people, "hidden": sum(one.is_hidden for one in people), "next": following}


def _file(text: str, kind: str, by: str | None) -> str:
    return f"/queue.{kind}?{urlencode({'q': text} | ({'by': by} if by else {}))}"


def views_of(visit: Visit, asked: Asked, cells: Sequence[Cell], by: str | None = None) -> list[dict[str, object]]:
    """The saved views, each with how many it holds where that is known without looking."""
    own = visit.office.members.views(visit.member.id)
    named = [*((name, query, False) for name, query in VIEWS), *((name, query, True) for name, query in own)]
    return [
        {
            "name": name,
            "href": address(query, by=by),
            "is_current": query in {str(asked.query), asked.text},
            "n": _how_many(query, cells),
            "is_own": is_own,
        }
        for name, query, is_own in named
    ]


def _how_many(query: str, cells: Sequence[Cell]) -> int | None:
    try:
        return counted(parse_query(query), cells)
    except InvalidQuery:  # a view of an earlier version; its page says what is wrong
        return None


def save_view(visit: Visit) -> Response:
    """Keeps the query under a name, or forgets a name."""
    name, query = visit.said("name").strip()[:40], visit.said("q").strip()
    if not name:
        raise Refused("A view needs a name.")
    if visit.said("do") == "forget":
        visit.office.members.save_view(visit.member.id, name, None, ms(visit.now))
        return visit.back()
    if (problem := asked_of(visit, query).problem) is not None:
        raise problem
    if not visit.office.members.save_view(visit.member.id, name, query, ms(visit.now)):
        raise Refused(
            f"You have {MOST_VIEWS} saved views, and no more are kept.", hint="Forget one that you do not use."
        )
    return RedirectResponse(address(query), 303)


# ---- nobody is there -----------------------------------------------------------------------------------------------------


def unread(visit: Visit) -> list[tuple[str, str, str]]:
    """Repos whose last reading did not end well: which, why, and how old what is shown of it is."""
    found = []
    for row in visit.office.repos(visit.member):
        if row.problem:
            at = max((one for one in (row.quick_at, row.full_at) if one is not None), default=None)
            found.append((str(row.repo), row.problem, "" if at is None else visit.ago(moment_of(at))))
    return found


def refused_tables(visit: Visit) -> list[str]:
    """Why tables that this person may know of are unknown to every rule."""
    bundle = visit.office.policies
    if bundle is None or not any(table.refusal for table in bundle.tables.values()):
        return []
    known = tables_known(visit, bundle.folder)
    return [table.refusal for name, table in sorted(bundle.tables.items()) if table.refusal and name in known]


def empty(visit: Visit, asked: Asked, pending: int) -> dict[str, Any]:
    """What there is to say where no row is."""
    office = visit.office
    repos, soon = office.repos(visit.member), office.pulse.next_at
    if pending or str(asked.query) != PENDING:
        return {"repos": repos, "decided": None, "open_gates": [], "soon": ""}
    return {
        "soon": words.span(soon - visit.now) if soon is not None and soon > visit.now else "",
        "repos": repos,
        "decided": None if office.pulse.read_at is None else _decided(visit),
        "open_gates": [row.repo for row in repos if row.gated == "auto"],
    }


def _decided(visit: Visit) -> tuple[str, str] | None:
    """How many of those who asked in the last month were decided in the last week, and how long half of them waited."""
    week, month = (moment_of(ms(visit.now)) - each for each in (_WEEK, 30 * timedelta(days=1)))
    text = f"asked:>={month:%Y-%m-%d} reviewed:>={week:%Y-%m-%d}"
    found = read(visit, parse_query(text), limit=_LATELY, cursor=None, newest_first=True)
    waits = [row.state.reviewed_at - row.state.asked_at for row in found.rows if row.state.reviewed_at]
    if not waits:
        return None
    count = f"more than {_LATELY:,}" if found.next else f"{len(waits):,}"
    return count, words.span(timedelta(milliseconds=median(waits)))


# ---- files ---------------------------------------------------------------------------------------------------------------


def export(visit: Visit) -> Response:
    """All rows of the query, as a file, those of one person together when asked so; who sees no names gets none."""
    if not visit.member.role.covers(Role.REVIEWER):
        raise NotFound
    asked = asked_of(visit)
    if asked.problem is not None:
        raise asked.problem
    rows = crowd.rows_of(visit, asked.query) if crowd.way(visit) else _all(visit, asked)
    return exported("requests", visit.params["kind"], RequestRecord, request_records(visit, rows))


def request_records(visit: Visit, rows: Iterable[RequestRow]) -> Iterator[RequestRecord]:
    """Make the records of these requests, rated where the file shows it."""
    verdicts = visit.office.standing_verdicts
    return (stored_request(row, verdicts, with_quality=visit.params.get("kind") != "csv") for row in rows)


def _all(visit: Visit, asked: Asked) -> Iterator[RequestRow]:
    cursor = None
    while True:
        found = read(visit, asked.query, limit=500, cursor=cursor)
        yield from found.rows
        cursor = found.next
        if cursor is None:
            return
