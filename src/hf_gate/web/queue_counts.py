"""Counts the requests that match a query, and the facets of the queue, from the store's counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlencode

from ..domain.case_folding import fold_for_search
from ..domain.lifecycle import Status
from ..domain.query import Query, Term
from ..domain.rows import QueueCount
from ..domain.timestamps import to_ms
from .queue_query import QueueQuery, limit_to_visible_repos
from .request_context import RequestContext

MAX_COUNTED: Final = 200  # requests counted one by one if the counters do not cover the query
_COLUMN: Final = {"repo": 0, "status": 1, "verdict": 2, "rule": 3}  # index of a key in QueueCount
_FACETS: Final = (("Repo", "repo"), ("Verdict", "verdict"), ("Rule", "rule"), ("Status", "status"))
_MAX_CHOICES: Final = 12  # of one facet


def list_counts(context: RequestContext) -> list[QueueCount]:
    """Return the counters of the repos that the member can see."""
    seen = {str(row.repo) for row in context.app_state.membership.repos(context.member)}
    return [cell for cell in context.workspace.queue.read_counts() if cell.repo in seen]


def count_matching(query: Query, cells: Sequence[QueueCount]) -> int | None:
    """Return the number of matches of a query on status, repo, verdict and rule; None for any other query."""
    fitting = _matching_counts(query.terms, cells)
    return None if fitting is None else sum(cell.n for cell in fitting)


def _matching_counts(terms: Iterable[Term], cells: Sequence[QueueCount]) -> Sequence[QueueCount] | None:
    """Return the counters that match all terms, or None if a term has another key. Compares each value once."""
    for term in terms:
        place = _COLUMN.get(term.key)
        if place is None:
            return None
        fit = {value for value in {cell[place] for cell in cells} if _matches(term, value)}  # type: ignore[arg-type]
        cells = [cell for cell in cells if cell[place] in fit]
    return cells


def _matches(term: Term, value: str | None) -> bool:
    if value is None:
        return term.is_not
    if term.key == "repo":
        name = fold_for_search(value.rpartition("/")[2])
        fits = any(
            p.matches(fold_for_search(value) if "/" in "".join(p.parts) or p.is_any else name) for p in term.patterns
        )
    else:
        fits = any(pattern.matches(fold_for_search(value)) for pattern in term.patterns)
    return fits != term.is_not


def format_total(context: RequestContext, query: Query, cells: Sequence[QueueCount]) -> str:
    """Return the number of matches as text: `1,204` or `more than 200`."""
    known = count_matching(query, cells)
    if known is not None:
        return f"{known:,}"
    return format_count(
        context.workspace.queue.count_matches(
            limit_to_visible_repos(context, query),
            now=to_ms(context.now),
            zone=context.workspace.zone,
            most=MAX_COUNTED,
        )
    )


def format_count(count: int) -> str:
    """Format a number that was counted up to `MAX_COUNTED` + 1."""
    return f"more than {MAX_COUNTED:,}" if count > MAX_COUNTED else f"{count:,}"


def count_pending_by_verdict(cells: Sequence[QueueCount]) -> Counter[str]:
    """Return the number of pending requests, and the numbers by verdict."""
    found: Counter[str] = Counter()
    for cell in cells:
        if cell.status == Status.PENDING:
            found[Status.PENDING] += cell.n
            found[cell.action or "unjudged"] += cell.n
    return found


def build_facets(asked: QueueQuery, cells: Sequence[QueueCount], more: str = "") -> list[dict[str, object]]:
    """Return the facets: the choices without counts if the counters do not cover the query.

    `more` is added to each address.
    """
    facets = []
    for title, key in _FACETS:
        others = Query(tuple(term for term in asked.query.terms if term.key != key))
        fitting = _matching_counts(others.terms, cells)
        numbers: Counter[str] = Counter()
        for cell in cells if fitting is None else fitting:
            if isinstance(value := cell[_COLUMN[key]], str):
                numbers[value] += cell.n
        current = asked.single_value(key)
        choices = [
            {
                "name": value,
                "n": None if fitting is None else n,
                "href": queue_url(str(others) if value == current else asked.with_term(key, value)) + more,
                "is_current": value == current,
            }
            for value, n in numbers.most_common(_MAX_CHOICES)
            if n
        ]
        if len(choices) > 1 or (current and choices):
            facets.append({"title": title, "choices": choices, "more": max(0, len(numbers) - _MAX_CHOICES)})
    return facets


def queue_url(text: str, **more: str | None) -> str:
    """Return the address of the queue with a query and further parameters; empty ones are omitted."""
    return "/queue?" + urlencode({"q": text} | {name: value for name, value in more.items() if value})
