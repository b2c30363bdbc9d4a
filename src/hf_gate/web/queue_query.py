"""Parses queue queries and runs them on the repos that the member can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..domain.query import VIEWER_KEYS, Pattern, Query, Term, is_open_to_viewers
from ..domain.query_parser import parse_query
from ..domain.rows import QueryPage
from ..domain.timestamps import to_ms
from ..errors import InvalidQuery, QueryTooLarge
from .request_context import RequestContext

PENDING: Final = "status:pending"


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """A query as written and as parsed. `problem` names the first invalid or forbidden term; `query` omits it."""

    text: str
    query: Query
    problem: InvalidQuery | None = None

    def with_term(self, key: str, value: str) -> str:
        """Return the query with this value as the only one of a key."""
        kept = [term for term in self.query.terms if term.key != key or term.is_not]
        return str(Query((*kept, Term(key, (Pattern((value,)),)))))

    def without_term(self, gone: Term) -> str:
        """Return the query without one term."""
        return str(Query(tuple(term for term in self.query.terms if term is not gone)))

    def single_value(self, key: str) -> str | None:
        """Return the value of a key if it has exactly one; else None."""
        found = [term for term in self.query.terms if term.key == key and not term.is_not]
        return str(found[0].values[0]) if len(found) == 1 and len(found[0].values) == 1 else None


def parse_queue_query(context: RequestContext, text: str | None = None) -> QueueQuery:
    """Parse a query, by default the address's `q`, or `status:pending`.

    Raises QueryTooLarge; other problems are in the result.
    """
    text = (context.query_value("q", PENDING) if text is None else text).strip()
    try:
        query, problem = parse_query(text), None
    except QueryTooLarge:
        raise
    except InvalidQuery as wrong:
        query, problem = _parse_before(text, wrong), wrong
    if context.is_masked:
        query, problem = _drop_terms_closed_to_viewers(query, problem)
    return QueueQuery(text, query, problem)


def _parse_before(text: str, problem: InvalidQuery) -> Query:
    """Return the terms before the invalid one."""
    try:
        return parse_query(text[: problem.at])
    except InvalidQuery:
        return Query()


def _drop_terms_closed_to_viewers(query: Query, problem: InvalidQuery | None) -> tuple[Query, InvalidQuery | None]:
    """Drop terms on names, mail addresses and answers: a match would reveal them to a viewer."""
    kept = Query(tuple(term for term in query.terms if is_open_to_viewers(term)))
    if len(kept.terms) == len(query.terms):
        return query, problem
    closed = next(term for term in query.terms if not is_open_to_viewers(term))
    what = f"{closed.key}:" if closed.key else f"the word {closed}"
    return kept, InvalidQuery(
        f"{what} searches data that viewers cannot see.",
        hint=f"Viewers can use {', '.join(sorted(VIEWER_KEYS))}, and for user: with a pseudonym from the audit log.",
        at=closed.at,
        suggestion=str(kept),
    )


def limit_to_visible_repos(context: RequestContext, query: Query) -> Query:
    """Return the query limited to the repos that the member can see; unchanged if they can see all."""
    app_state = context.app_state
    repos = [row.repo for row in app_state.workspace.store.repos()]
    theirs = [repo for repo in repos if context.can_see(repo)]
    if len(theirs) == len(repos):
        return query
    paths = [str(repo) for repo in theirs] or ["nobody/nothing"]
    return Query((Term("repo", tuple(Pattern((path,)) for path in paths)), *query.terms))


def read_and_count(
    context: RequestContext, query: Query, *, limit: int, most: int, newest_first: bool
) -> tuple[QueryPage, int]:
    """Return the first page that the member can see, and the number of matches, counted up to `most` + 1."""
    return context.workspace.queue.read_first_page(
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        limit=limit,
        most=most,
        newest_first=newest_first,
    )


def run_query(
    context: RequestContext, query: Query, *, limit: int, cursor: str | None, newest_first: bool = False
) -> QueryPage:
    """Return one page of a query, limited to what the member can see."""
    app_state = context.app_state
    return app_state.workspace.store.query(
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=app_state.workspace.zone,
        limit=limit,
        cursor=cursor,
        newest_first=newest_first,
    )
