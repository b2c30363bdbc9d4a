"""The page of a selection, and what a decision about it would change: how many requests, where, with which ends."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct, field
from starlette.responses import Response

from hf_gate.core.forms.roles import Role
from hf_gate.core.lifecycle import MOVES, STATUSES, VERBS
from hf_gate.core.people.access_end import NO_HAND_TERMS, HandTerms, end_of_terms
from hf_gate.core.stored_rows import (
    GONE,
    IN_RUN,
    MOVED,
    OWN,
    PROTECTED,
    QUEUED,
    RepoRow,
    RequestRow,
    SelectionBucket,
    SelectionScope,
)
from hf_gate.decisions.service.bulk_decisions import BulkEnds
from hf_gate.desk import formatting
from hf_gate.desk.grants.access_end import EndChoices, list_end_choices
from hf_gate.desk.http_context import HttpContext, local_path
from hf_gate.grants.service.ends.terms_reader import describe_terms_problem, sort_terms
from hf_gate.requests.queue_counters import Counters
from hf_gate.requests.rows.selections import (
    count_selected,
    count_selection_buckets,
    iterate_ready_requests,
    list_ready_by_age,
)

from .queue_counts import count_matching
from .queue_query import QueueQuery, queue_url
from .request_lines import RequestLine, build_request_lines, list_answers, possible_verbs
from .verdicts import read_repos_of_requests

MAX_IN_TRAY: Final = 1000  # more requests become a run, which can be paused and undone

_WHY_EXCLUDED: Final = {
    GONE: "no longer there",
    MOVED: "changed since they were selected",
    OWN: "your own request",
    PROTECTED: "protected by hf-gate.yaml",
    QUEUED: "already in a tray",
    IN_RUN: "in a run that has not ended",
}


def describe_selection(context: HttpContext, asked: QueueQuery, counters: Counters) -> dict[str, Any]:
    """Return the values of the bar above the rows of a query: what is selected, and what can be decided about it."""
    statuses = asked.values_of("status") or STATUSES
    return {
        "picked": count_selected(context.workspace.store, context.selection_name),
        "selection_verbs": [verb for verb in VERBS if any(verb in possible_verbs(status) for status in statuses)],
        "query_text": asked.text,
        "matching": count_matching(asked.query, counters) if asked.problem is None else None,
    }


class SelectionSummary(Struct):
    """A selection and a verb: how many requests the verb applies to, and how many are excluded and why."""

    verb: str
    scope: SelectionScope
    count: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    by_repo: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    remarkable: Counter[str] = field(default_factory=Counter)
    terms: Counter[HandTerms] = field(default_factory=Counter)
    shown_terms: Mapping[int, HandTerms] = field(default_factory=dict)  # by row id; none if there are very many

    @property
    def are_terms_stored(self) -> bool:
        """Whether `terms` are those of the last evaluation, because so many are not evaluated for a page."""
        return self.count > MAX_IN_TRAY


def summarize_selection(context: HttpContext, pick: str, verb: str) -> SelectionSummary:
    """Count the selection by its current state, in the store, because it may be very large."""
    app_state = context.app_state
    protected = app_state.workspace.location.config.guards.protected if verb != "accept" else ()
    able = {move.before.value for move in MOVES if move.verb == verb and move.before is not None}
    repos = [row.id for row in app_state.membership.repos(context.member)]
    me = context.member
    summary = SelectionSummary(verb, SelectionScope(pick, able, repos, me.own_keys, protected, me.account_id))
    buckets = count_selection_buckets(app_state.workspace.store, summary.scope)
    for heap in buckets:
        if heap.why:
            why = _WHY_EXCLUDED.get(heap.why) or f"{heap.status}, where this decision is not possible"
            summary.excluded[why] += heap.n
        else:
            _add_bucket(summary, heap)
    if verb == "accept" and summary.are_terms_stored:
        summary.terms = _count_stored_terms(context, buckets)
    elif verb == "accept":
        summary.shown_terms = _read_shown_terms(context, summary)
        summary.terms = Counter(terms.without_document for terms in summary.shown_terms.values())
    return summary


def _read_shown_terms(context: HttpContext, summary: SelectionSummary) -> Mapping[int, HandTerms]:
    """Return the terms that the page of a sent form showed, or the terms as they are now."""
    reader = context.app_state.terms_reader
    rows = [row for part in iterate_decided_rows(context, summary) for row in part]
    name = f"{summary.scope.selection}:{context.form_value('terms')}"
    shown = {row.id: terms for row in rows if (terms := reader.shown.find(name, row.id, context.now))}
    return shown | reader.read_terms([row for row in rows if row.id not in shown], context.now)


def _count_stored_terms(context: HttpContext, buckets: Iterable[SelectionBucket]) -> Counter[HandTerms]:
    """Count the terms of very many acceptances as they are stored with the verdicts."""
    counts = Counter[HandTerms]()
    reader = context.app_state.terms_reader
    for bucket in buckets:
        if not bucket.why:
            terms = reader.of_unevaluated(bucket.repo) if bucket.action is None else bucket.terms or NO_HAND_TERMS
            counts[terms] += bucket.n
    return counts


def _add_bucket(summary: SelectionSummary, bucket: SelectionBucket) -> None:
    summary.count += bucket.n
    summary.by_status[bucket.status] += bucket.n
    summary.by_repo[bucket.repo] += bucket.n
    summary.by_rule[bucket.action or "", bucket.rule or "not evaluated"] += bucket.n
    if bucket.action in {"accept", "reset", "reject"} and bucket.action != summary.verb:
        summary.remarkable[f"would be {formatting.DONE[bucket.action].lower()} by the policies"] += bucket.n
    if bucket.is_again:
        summary.remarkable["asked again after they were sent back"] += bucket.n
    if bucket.was_in:
        summary.remarkable["were accepted before"] += bucket.n


def iterate_decided_rows(context: HttpContext, weighed: SelectionSummary) -> Iterator[list[RequestRow]]:
    """Yield the requests that the decision applies to, part by part."""
    store = context.workspace.store
    for idents in iterate_ready_requests(store, weighed.scope):
        yield list(store.requests(idents).values())


# ---- the page of the selection ---------------------------------------------------------------------------------------


PAGE_SIZE: Final = 100
MAX_SORTED: Final = 1000
"""The largest selection that is sorted by the length of the answers; a larger one is sorted by age."""

_SHORT_ROLES: Final = frozenset({Role.COUNTRY, Role.CONSENT, Role.EMAIL, Role.NAME, Role.BIRTH_DATE, Role.AFFILIATION})
"""Roles of questions whose answers do not say what a person wants to do."""

_NOT_SHOWN: Final = {
    GONE: "no longer there",
    MOVED: "changed since they were selected",
    QUEUED: "already in a tray",
    IN_RUN: "in a run that has not ended",
}


def page(context: HttpContext) -> Response:
    """Show the selected requests that can be decided, and how many others are selected and why they are not shown."""
    repos = [row.id for row in context.list_visible_repos().rows]
    scope = SelectionScope(context.selection_name, STATUSES, repos, ())
    buckets = count_selection_buckets(context.workspace.store, scope)
    count = sum(bucket.n for bucket in buckets if not bucket.why)
    others: dict[str, int] = {}
    for one in buckets:
        if one.why:
            others[_NOT_SHOWN.get(one.why, one.why)] = others.get(_NOT_SHOWN.get(one.why, one.why), 0) + one.n
    query = context.query_value("q")
    return context.render(
        "selected.html",
        title=f"{count:,} selected",
        count=count,
        others=others,
        shown=read_selection_page(context, scope, count, context.query_value("after")),
        has_repos=len({bucket.repo for bucket in buckets if not bucket.why}) > 1,
        back=local_path(context.query_value("next")) or (queue_url(query) if query else "/queue"),
    )


class SelectionPage(Struct, frozen=True):
    """One page of rows. `after`: the cursor of this page; `next`: that of the next page, empty at the end.

    `people`: the number of distinct people in the whole selection; None if it is too large to count.
    """

    lines: Sequence[RequestLine]
    after: str
    next: str
    is_by_length: bool
    people: int | None


def read_selection_page(context: HttpContext, scope: SelectionScope, count: int, after: str) -> SelectionPage:
    """Return a page of the requests that can be decided: longest answer first, or longest wait first
    if there are many.
    """
    store = context.workspace.store
    cursor = _parse_cursor(after)
    if count > MAX_SORTED:
        start = (cursor[0], cursor[1]) if cursor is not None and len(cursor) == 2 else None
        keys = list_ready_by_age(store, scope, start, PAGE_SIZE + 1)
        known = store.requests([ident for _, ident in keys[:PAGE_SIZE]])
        rows = [known[ident] for _, ident in keys[:PAGE_SIZE] if ident in known]
        following = _format_cursor(*keys[PAGE_SIZE - 1]) if len(keys) > PAGE_SIZE else ""
        return SelectionPage(build_request_lines(context, rows), after if start else "", following, False, None)
    found = [row for idents in iterate_ready_requests(store, scope) for row in store.requests(idents).values()]
    repos = read_repos_of_requests(context.app_state, found)
    ordered = sorted(((_sort_key(row, repos.get(row.repo)), row) for row in found), key=lambda pair: pair[0])
    start_key = (-cursor[0], cursor[1], cursor[2]) if cursor is not None and len(cursor) == 3 else None
    left = [pair for pair in ordered if start_key is None or pair[0] > start_key]
    shown = left[:PAGE_SIZE]
    following = ""
    if len(left) > PAGE_SIZE:
        length, asked_at, ident = shown[-1][0]
        following = _format_cursor(-length, asked_at, ident)
    lines = build_request_lines(context, [row for _, row in shown])
    return SelectionPage(lines, after if start_key else "", following, True, len({row.person.id for row in found}))


def _sort_key(row: RequestRow, repo: RepoRow | None) -> tuple[int, int, int]:
    """Return a key that sorts the longest answer first, then the longest wait."""
    lengths = (
        len(answer.text.strip())
        for answer in list_answers(row, repo)
        if answer.role not in _SHORT_ROLES and not answer.is_tick
    )
    return -max(lengths, default=0), row.state.asked_at, row.id


def _parse_cursor(text: str) -> tuple[int, ...] | None:
    """Return the numbers of a cursor; None if it is not one, so that the first page is shown."""
    parts = text.split(".") if len(text) <= 60 else []
    return tuple(map(int, parts)) if len(parts) in {2, 3} and all(map(is_row_number, parts)) else None


def _format_cursor(*numbers: int) -> str:
    return ".".join(str(number) for number in numbers)


def parse_unticked(context: HttpContext) -> list[int]:
    """Return the numbers of the requests that the form showed and the member unticked.

    Rows not shown are not among them.
    """
    kept = set(context.form.get("keep", []))
    shown = dict.fromkeys(context.form.get("shown", [])[:PAGE_SIZE])
    return [int(text) for text in shown if text not in kept and is_row_number(text)]


def is_row_number(text: str) -> bool:
    """Return whether a text is the number of a request in the store."""
    return text.isascii() and text.isdecimal() and len(text) < 16


# ---- ends of acceptances ---------------------------------------------------------------------------------------------


_MAX_NAMED: Final = 6  # different terms that are listed
NOTHING_SHOWN: Final[Mapping[int, HandTerms]] = MappingProxyType({})


class EndCount(Struct, frozen=True):
    """So many acceptances end on this day; `problem`: why the end is not known.

    Without both, they have no end; with only a rule, they end when its condition turns false.
    """

    n: int
    day: str
    rule: str
    problem: str


class EndSummary(Struct, frozen=True):
    """The ends of the acceptances of a page."""

    terms: Mapping[HandTerms, int]
    counts: Sequence[EndCount]
    more: int
    choices: EndChoices

    @property
    def unknown_count(self) -> int:
        """Of so many a person must choose the end."""
        return sum(n for terms, n in self.terms.items() if terms.needs_choice)

    @property
    def known_count(self) -> int:
        """Of so many the policies know the end, or that there is none."""
        return sum(n for terms, n in self.terms.items() if not terms.needs_choice)

    @property
    def is_shown(self) -> bool:
        """Whether the page has ends: a person can choose one, or a policy says something about them."""
        return not self.choices.problem or self.has_rules

    @property
    def has_rules(self) -> bool:
        """Whether any policy says something about the ends."""
        return any(terms != NO_HAND_TERMS for terms in self.terms)

    @property
    def token(self) -> str:
        """16 hex digits that differ if other terms would apply."""
        counted = sorted((terms.token, n) for terms, n in self.terms.items())
        return hashlib.blake2b(repr(counted).encode(), digest_size=8).hexdigest()


def summarize_ends(context: HttpContext, terms: Mapping[HandTerms, int]) -> EndSummary:
    """Return the ends of acceptances with these terms."""
    counted = sort_terms(terms)
    named = [
        EndCount(
            n,
            _day_of(context, each),
            each.end.rule_name,
            describe_terms_problem(each),
        )
        for each, n in counted[:_MAX_NAMED]
    ]
    more = sum(n for _, n in counted[_MAX_NAMED:])
    return EndSummary(terms, named, more, list_end_choices(context))


def _day_of(context: HttpContext, terms: HandTerms) -> str:
    """Return the last day by these terms; "" without a date."""
    end = end_of_terms(terms)
    return "" if end is None or end.written is None else context.format_end(end.written)


def parse_bulk_ends(
    context: HttpContext, summary: EndSummary, shown: Mapping[int, HandTerms] = NOTHING_SHOWN
) -> BulkEnds:
    """Return the ends that the form chose, and those that it showed.

    Raises UsageError for an end that is not valid.
    """
    chosen = context.parse_chosen_end()
    for_all = chosen is not None and (not summary.unknown_count or context.form_value("for_all") == "yes")
    reader = context.app_state.terms_reader
    now = context.now
    asks_at = cache(lambda repo: reader.without_request(repo).needs_choice)
    return BulkEnds(
        shown,
        chosen,
        for_all,
        lambda rows: reader.read_terms(rows, now),
        asks_at,
        now,
        context.workspace.zone,
    )


def lacks_choice(summary: EndSummary, ends: BulkEnds) -> bool:
    """Tell whether the member must still choose the end of some acceptances."""
    return bool(summary.unknown_count) and ends.chosen is None
