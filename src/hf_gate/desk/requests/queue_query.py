"""Parses queue queries, runs them on the repos that the member can see, and says their terms in words, as chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import urlencode

from msgspec import Struct

from hf_gate.approvals.service.approval_status import has_half_approved, resolve_approvals
from hf_gate.base.timestamps import to_ms
from hf_gate.core.parsing.query import Age, Day, Pattern, Query, Term, Value, one_of
from hf_gate.core.stored_rows import QueryPage
from hf_gate.desk.http_context import HttpContext
from hf_gate.errors import InvalidQuery, QueryTooLarge
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.rows.queue import count_matches

PENDING: Final = "status:pending"
_MAX_ENDS: Final = 40  # places where the valid part of a query is searched to end


class QueueQuery(Struct, frozen=True):
    """A query as written and as parsed. `problem` names the first invalid term; `query` omits it.

    `rest` is the text that `query` omits.
    """

    text: str
    query: Query
    problem: InvalidQuery | None = None
    rest: str = ""

    @property
    def keyed_terms(self) -> str:
        """The terms with a key, as a query; the search form keeps them beside the words in its box."""
        return str(Query(tuple(term for term in self.query.terms if term.key)))

    @property
    def words(self) -> str:
        """The text of the search box: the free words, and what is not valid, to be corrected."""
        words = Query(tuple(term for term in self.query.terms if not term.key))
        return f"{words} {self.rest}".strip()

    def with_term(self, key: str, *values: str) -> str:
        """Return the query with these values as the only ones of a key."""
        kept = [term for term in self.query.terms if term.key != key or term.is_not]
        return str(Query((*kept, one_of(key, *values))))

    def without_term(self, gone: Term) -> str:
        """Return the query without one term."""
        return str(Query(tuple(term for term in self.query.terms if term is not gone)))

    def values_of(self, key: str) -> frozenset[str]:
        """Return the values of a key if one term without stars names them; else none."""
        found = [term for term in self.query.terms if term.key == key and not term.is_not]
        if len(found) != 1 or not all(pattern.is_plain for pattern in found[0].patterns):
            return frozenset()
        return frozenset(pattern.parts[0] for pattern in found[0].patterns)


def parse_queue_query(context: HttpContext, text: str | None = None) -> QueueQuery:
    """Parse a query, by default the address's `q`, or `status:pending`.

    Raises QueryTooLarge; other problems are in the result.
    """
    text = (context.query_value("q", PENDING) if text is None else text).strip()
    try:
        return QueueQuery(text, parse_query(text))
    except QueryTooLarge:
        raise
    except InvalidQuery as wrong:
        query, end = _parse_before(text, wrong.at)
        return QueueQuery(text, query, wrong, text[end:].strip())


def merge_search(terms: str, typed: str) -> str:
    """Return the query of the search form: `typed` in its box, beside the keyed `terms` that it keeps.

    A typed term replaces those of the same key: `status:accepted` in the queue of pending requests. `ends:<30d`
    replaces `status:pending` too. Raises QueryTooLarge; other problems stay in the text.
    """
    try:
        kept = parse_query(terms).terms
        new = parse_query(typed).terms
    except QueryTooLarge:
        raise
    except InvalidQuery:
        return f"{terms} {typed}".strip()
    keys = {(term.key, term.label) for term in new if term.key and not term.is_not}
    if ("ends", None) in keys and PENDING in {str(term) for term in kept}:
        keys.add(("status", None))  # pending requests have no end of access
    return str(Query((*(term for term in kept if term.is_not or (term.key, term.label) not in keys), *new)))


def queue_url(text: str, **more: str | None) -> str:
    """Return the address of the queue with a query and further parameters; empty ones are omitted."""
    return "/queue?" + encode_query({"q": text} | {name: value for name, value in more.items() if value})


def encode_query(values: Mapping[str, str]) -> str:
    """Return the values as the query of an address. Characters that a query may have stay, so that pages are small."""
    return urlencode(values, safe=":,/*")


def _parse_before(text: str, at: int) -> tuple[Query, int]:
    """Return the terms before the one that is invalid at this place, and where they end."""
    ends = [at, *(place for place in range(at - 1, 0, -1) if text[place].isspace())]
    for end in ends[:_MAX_ENDS]:  # the place may be within a term, after spaces in its quoted label
        try:
            return parse_query(text[:end]), end
        except InvalidQuery:
            continue
    return Query(), 0


def limit_to_visible_repos(context: HttpContext, query: Query) -> Query:
    """Return the query as this member asks it: of repos that they can see, with the requests of its
    `approval:` terms.
    """
    visible = context.list_visible_repos()
    query = resolve_approvals(context.workspace, query, lambda: context.app_state.policies.current)
    if visible.are_all:
        return query
    paths = [str(row.repo) for row in visible.rows] or ["nobody/nothing"]
    return replace(query, terms=(one_of("repo", *paths), *query.terms))


def count_up_to(context: HttpContext, query: Query, most: int) -> int:
    """Count the matches of a query that the member can see, up to `most` + 1."""
    return count_matches(
        context.workspace.store,
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        most=most,
    )


def has_half_approved_request(context: HttpContext) -> bool:
    """Tell whether the member can see a pending request that needs one more approval."""
    visible = context.list_visible_repos()
    shown = {str(row.repo) for row in visible.rows}
    return has_half_approved(
        context.workspace,
        lambda repo: visible.are_all or str(repo) in shown,
        lambda: context.app_state.policies.current,
    )


def run_query(
    context: HttpContext, query: Query, *, limit: int, cursor: str | None, newest_first: bool = False, most: int = 0
) -> QueryPage:
    """Return one page of a query, limited to what the member can see. Matches are counted up to `most` + 1 at least."""
    return context.workspace.store.query(
        limit_to_visible_repos(context, query),
        now=to_ms(context.now),
        zone=context.workspace.zone,
        limit=limit,
        cursor=cursor,
        newest_first=newest_first,
        most=most,
    )


# ---- the terms in words ----------------------------------------------------------------------------------------------

QUALITY_CHOICES: Final = (("nothing useful", ("junk", "empty")), ("short", ("thin",)), ("answered", ("good",)))
"""The choices of the facet Purpose with the values of `quality:`. A form without such a question has none of them."""

WORDS: Final = {
    "status": {
        "pending": "Pending",
        "accepted": "Accepted",
        "rejected": "Rejected",
        "reset": "Sent back",
        "withdrawn": "Withdrawn",
    },
    "verdict": {
        "accept": "Would accept",
        "human": "Needs review",
        "wait": "On hold",
        "reset": "Would send back",
        "reject": "Would reject",
    },
    "shadow": {
        "accept": "would accept",
        "human": "needs review",
        "wait": "on hold",
        "reset": "would send back",
        "reject": "would reject",
    },
    "ends": {"none": "never"},
    "quality": {
        "junk": "meaningless",
        "empty": "left empty",
        "thin": "short",
        "good": "answered",
        "missing": "no answer",
    },
}
"""Values of keys in words; other values are shown as they are."""

_NAMES: Final = {
    "repo": "Repo",
    "user": "Person",
    "email": "Address",
    "domain": "Mail domain",
    "country": "Country",
    "age": "Asked",
    "asked": "Asked",
    "reviewed": "Decided",
    "ends": "Access ends",
    "rule": "Rule",
    "shadow": "In shadow mode:",
    "table": "Table",
    "reason": "Reason",
    "answer": "Any answer",
    "approval": "Approval",
    "quality": "Purpose",
    "mail": "E-mail",
    "same": "Same text as request",
}
_UNITS: Final = {"h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_SIGNS: Final = {">": "more than", "<": "less than", ">=": "at least", "<=": "at most"}
_DAYS: Final = {"": "on", ">": "after", "<": "before", ">=": "from", "<=": "up to"}
_MAX_VALUES: Final = 3  # of one term; the tooltip shows all
_MAX_LENGTH: Final = 60  # of one value


class TermWords(NamedTuple):
    """A term in words. `name` is empty if the value says it all: Pending."""

    name: str
    value: str


class TermChip(NamedTuple):
    """A term with the address of the query without it. `text` is the term as it is written in a query."""

    words: TermWords
    text: str
    href: str


def build_chips(asked: QueueQuery, more: str, *, with_words: bool = False) -> list[TermChip]:
    """Return the chips of a query. Free words are in the search box, so they have no chip unless wanted."""
    return [
        TermChip(describe_term(term), str(term), queue_url(asked.without_term(term)) + more)
        for term in asked.query.terms
        if term.key or with_words
    ]


def describe_term(term: Term) -> TermWords:
    """Return a term in words. It contains text from the member, so pages must show it as text."""
    name = _NAMES.get(term.key, "") if term.key else "Text"
    if term.key == "form":
        name = _shorten(term.label or "")
    if any(isinstance(value, Pattern) and value.is_any for value in term.values):
        return TermWords(name or term.key.capitalize(), "none" if term.is_not else "any")
    values = _list_values(term)
    hidden = len(values) - _MAX_VALUES
    if hidden > 1:
        values = [*values[:_MAX_VALUES], f"{hidden} more"]
    value = " or ".join(dict.fromkeys(values))
    if term.is_not:
        value = f"not {value}" if name else f"Not {value[:1].lower()}{value[1:]}"
    return TermWords(name, value)


def _list_values(term: Term) -> list[str]:
    values = [_describe_value(term, value) for value in term.values]
    if term.key == "quality":
        joined = {WORDS["quality"][value] for value in QUALITY_CHOICES[0][1]}
        if joined <= set(values):
            return [QUALITY_CHOICES[0][0], *(value for value in values if value not in joined)]
    return values


def _describe_value(term: Term, value: Value) -> str:
    if isinstance(value, Age):
        unit = _UNITS[value.unit] + ("" if value.number == 1 else "s")
        when = "from now" if term.key == "ends" else "ago"
        return f"{_SIGNS[value.sign]} {value.number:,} {unit} {when}"
    if isinstance(value, Day):
        return f"{_DAYS[value.sign]} {value.day.isoformat()}"
    if not term.key:
        return f"“{_shorten('*'.join(value.parts))}”"
    return _describe_pattern(term, value)


def _describe_pattern(term: Term, pattern: Pattern) -> str:
    parts = pattern.parts
    if pattern.is_plain:
        text = parts[0].rpartition("/")[2] if term.key == "repo" else parts[0]
        known = WORDS.get(term.key, {})
        return known.get(pattern.folded_parts[0]) or _shorten(text) or "empty"
    shown = _shorten("*".join(parts))
    if term.is_not or term.key in {"repo", "status", "verdict", "shadow", "quality", "mail"}:
        return shown
    match parts:
        case ("", text, ""):
            return f"contains {_shorten(text)}"
        case (text, ""):
            return f"begins with {_shorten(text)}"
        case ("", text):
            return f"ends with {_shorten(text)}"
        case _:
            return shown


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
