"""The queue: requests by query, the oldest first, each with its verdict, decided without being opened."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..domain.folding import folded
from ..domain.members import Role
from ..domain.moments import iso, moment_of, ms
from ..domain.query import Pattern, Query, Term
from ..domain.query_reading import parse_query
from ..domain.rows import QueryPage, RequestRow
from ..domain.text import csv_cell
from ..errors import InvalidQuery
from ..store.facets import Cell, count, cube
from .lines import lines_of
from .visit import NotFound, Refused, Visit

PAGE: Final = 50
PENDING: Final = "status:pending"
VIEWS: Final = (
    ("Pending", PENDING, ""),
    ("Oldest", f"{PENDING} age:>7d", ""),
    ("Suggested", f"{PENDING} verdict:accept,reset,reject", "verdict"),
    ("Needs a human", f"{PENDING} verdict:human", "verdict"),
    ("Waiting", f"{PENDING} verdict:wait", "verdict"),
    ("Let in", "status:accepted", ""),
)
"""The views that everybody has."""

_MOST: Final = 1000  # up to here requests are counted for a query that no counter knows
KEYS: Final = ("repo", "repo_type", "request_id", "user_id", "user", "fullname", "email", "status", "asked_at",
                "reviewed_at", "answers", "verdict")  # fmt: skip


def home(visit: Visit) -> Response:  # noqa: ARG001 - as every page
    """The desk begins with its queue."""
    return RedirectResponse("/queue", 303)


# ---- what is asked for -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it was written, and as it was understood: what is no term is left out and told."""

    text: str
    query: Query
    problem: InvalidQuery | None = None

    def with_term(self, key: str, value: str) -> str:
        """The query with one key asking for this value alone."""
        kept = [term for term in self.query.terms if term.key != key or term.is_not]
        return str(Query((*kept, Term(key, (Pattern((value,)),)))))

    def without(self, gone: Term) -> str:
        """The query less one term."""
        return str(Query(tuple(term for term in self.query.terms if term is not gone)))

    def value(self, key: str) -> str | None:
        """What a key is asked for, when it is one plain value."""
        found = [term for term in self.query.terms if term.key == key and not term.is_not]
        return str(found[0].values[0]) if len(found) == 1 and len(found[0].values) == 1 else None


def asked_of(visit: Visit, text: str | None = None) -> Asked:
    """A query, by default the one behind `q`; none at all means who is pending."""
    text = (visit.asked("q", PENDING) if text is None else text).strip()
    try:
        return Asked(text, parse_query(text))
    except InvalidQuery as problem:
        return Asked(text, _understood(text, problem), problem)


def _understood(text: str, problem: InvalidQuery) -> Query:
    """The terms before the one that is none."""
    try:
        return parse_query(text[: problem.at])
    except InvalidQuery:
        return Query()


def scoped(visit: Visit, query: Query) -> Query:
    """A query that finds nothing beyond the repos that this person sees."""
    paths = [str(row.repo) for row in visit.office.repos(visit.member)]
    return Query((Term("repo", tuple(Pattern((path,)) for path in paths or ["nobody/nothing"])), *query.terms))


def read(visit: Visit, query: Query, *, limit: int, cursor: str | None, newest_first: bool = False) -> QueryPage:
    """One page of what this person sees of a query."""
    office = visit.office
    return office.store.query(
        scoped(visit, query), now=ms(visit.now), zone=office.zone, limit=limit, cursor=cursor, newest_first=newest_first
    )


# ---- the page ----------------------------------------------------------------------------------------------------------


def page(visit: Visit) -> Response:
    """One page of the queue with its facets."""
    asked = asked_of(visit)
    newest = visit.asked("order") == "newest"
    found = read(visit, asked.query, limit=PAGE, cursor=visit.asked("after") or None, newest_first=newest)
    cells = cells_of(visit)
    total = total_of(visit, asked.query, cells)
    return visit.page(
        "queue.html",
        asked=asked,
        lines=lines_of(visit, found.rows),
        following=_address(asked.text, newest=newest, after=found.next) if found.next else None,
        first=None if not visit.asked("after") else _address(asked.text, newest=newest),
        turned=_address(asked.text, newest=not newest),
        newest=newest,
        total=total,
        views=views_of(visit, asked, cells),
        facets=facets_of(asked, cells),
        standing=_standing(cells),
        exports=[(kind, f"/queue.{kind}?{urlencode({'q': asked.text})}") for kind in ("csv", "json")],
        problem=visit.office.bench_problem,
        picks=visit.office.picks.among(f"s_{visit.member.name}", [row.id for row in found.rows]),
        picked=visit.office.picks.count(f"s_{visit.member.name}"),
        matching=counted(asked.query, cells),
        query_text=asked.text,
    )


def _address(text: str, *, newest: bool = False, after: str | None = None) -> str:
    return "/queue?" + urlencode(
        {"q": text} | ({"order": "newest"} if newest else {}) | ({"after": after} if after else {})
    )


def views_of(visit: Visit, asked: Asked, cells: list[Cell]) -> list[dict[str, object]]:
    """The saved views, each with how many it holds where that is known without looking."""
    own = visit.office.members.views(visit.member.name)
    named = [*((name, query, False) for name, query, _ in VIEWS), *((name, query, True) for name, query in own)]
    return [
        {
            "name": name,
            "href": _address(query),
            "is_current": query == str(asked.query) or query == asked.text,
            "n": counted(parse_query(query), cells),
            "is_own": is_own,
        }
        for name, query, is_own in named
    ]


def _standing(cells: list[Cell]) -> Counter[str]:
    found: Counter[str] = Counter()
    for cell in cells:
        if cell.status == "pending":
            found["pending"] += cell.n
            found[cell.action or "unjudged"] += cell.n
    return found


# ---- counts ------------------------------------------------------------------------------------------------------------


def cells_of(visit: Visit) -> list[Cell]:
    """How many stand where, of the repos that this person sees."""
    office = visit.office
    seen = {str(row.repo) for row in office.repos(visit.member)}
    return [cell for cell in cube(office.store) if cell.repo in seen]


def counted(query: Query, cells: list[Cell]) -> int | None:
    """How many a query of statuses, repos and verdicts holds for; None for any other."""
    if any(term.key not in {"status", "repo", "verdict", "rule"} for term in query.terms):
        return None
    return sum(cell.n for cell in cells if all(_fits(term, cell) for term in query.terms))


def _fits(term: Term, cell: Cell) -> bool:
    value = {"status": cell.status, "repo": cell.repo, "verdict": cell.action, "rule": cell.rule}[term.key]
    if value is None:
        return term.is_not
    if term.key == "repo":
        name = folded(value.rpartition("/")[2])
        fits = any(p.fits(folded(value) if "/" in "".join(p.parts) or p.is_any else name) for p in term.patterns)
    else:
        fits = any(pattern.fits(folded(value)) for pattern in term.patterns)
    return fits != term.is_not


def total_of(visit: Visit, query: Query, cells: list[Cell]) -> str:
    """`1,204`, or `more than 1,000`."""
    known = counted(query, cells)
    if known is None:
        known = count(visit.office.store, scoped(visit, query), now=ms(visit.now), zone=visit.office.zone, most=_MOST)
        if known > _MOST:
            return f"more than {_MOST:,}"
    return f"{known:,}"


def facets_of(asked: Asked, cells: list[Cell]) -> list[dict[str, object]]:
    """Counts that narrow; of a query with other terms, the choices without counts."""
    facets = []
    for title, key, place in (
        ("Repo", "repo", 0),
        ("Verdict", "verdict", 2),
        ("Rule", "rule", 3),
        ("Status", "status", 1),
    ):
        others = Query(tuple(term for term in asked.query.terms if term.key != key))
        is_counted = counted(others, cells) is not None
        numbers: Counter[str] = Counter()
        for cell in cells:
            value = cell[place]
            if isinstance(value, str) and (not is_counted or all(_fits(term, cell) for term in others.terms)):
                numbers[value] += cell.n
        current = asked.value(key)
        choices = [
            {
                "name": value,
                "n": n if is_counted else None,
                "href": _address(str(others) if value == current else asked.with_term(key, value)),
                "is_current": value == current,
            }
            for value, n in numbers.most_common(12)
            if n
        ]
        if len(choices) > 1 or current:
            facets.append({"title": title, "choices": choices, "more": max(0, len(numbers) - 12)})
    return facets


# ---- views and exports -------------------------------------------------------------------------------------------------


def save_view(visit: Visit) -> Response:
    """Keeps the query under a name, or forgets a name."""
    name, query = visit.said("name").strip()[:40], visit.said("q").strip()
    if not name:
        raise Refused("A view needs a name.")
    if visit.said("do") == "forget":
        visit.office.members.save_view(visit.member.name, name, None, ms(visit.now))
        return RedirectResponse("/queue", 303)
    parse_query(query)
    visit.office.members.save_view(visit.member.name, name, query, ms(visit.now))
    return RedirectResponse(_address(query), 303)


def export(visit: Visit) -> Response:
    """All rows of the query, as a file; who sees no names gets none."""
    kind = visit.params["kind"]
    if kind not in {"json", "jsonl", "csv"} or not visit.member.role.covers(Role.REVIEWER):
        raise NotFound
    asked = asked_of(visit)
    if asked.problem is not None:
        raise asked.problem
    rows = list(_all(visit, asked.query))
    name = f'attachment; filename="requests.{kind}"'
    if kind == "csv":
        return Response(_csv(rows), media_type="text/csv; charset=utf-8", headers={"content-disposition": name})
    if kind == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return Response(text, media_type="application/x-ndjson", headers={"content-disposition": name})
    return visit.json(rows)


def _all(visit: Visit, query: Query) -> Iterator[dict[str, object]]:
    cursor = None
    while True:
        found = read(visit, query, limit=500, cursor=cursor)
        yield from map(record, found.rows)
        cursor = found.next
        if cursor is None:
            return


def record(row: RequestRow) -> dict[str, object]:
    """A request with the keys of `hf-gate ls`."""
    who, state, request = row.person.identity, row.state, row.request
    return {
        "repo": row.repo.id,
        "repo_type": row.repo.type.value,
        "request_id": state.hub_request,
        "user_id": who.user_id,
        "user": who.username,
        "fullname": who.fullname,
        "email": who.email,
        "status": state.status,
        "asked_at": iso(moment_of(state.asked_at)),
        "reviewed_at": None if state.reviewed_at is None else iso(moment_of(state.reviewed_at)),
        "answers": dict(request.answers) if request is not None and request.has_form else None,
        "verdict": None
        if state.verdict is None
        else dict(zip(("action", "policy", "rule", "digest"), state.verdict, strict=True)),
    }


def _csv(rows: list[dict[str, object]]) -> str:
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\r\n")
    sheet.writerow(KEYS)
    for row in rows:
        sheet.writerow([_cell(row[key]) for key in KEYS])
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return csv_cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
