"""The ends of many acceptances: how many get which end, and what the member chose for the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..application.bulk_decisions import BulkEnds
from ..application.grants_in_advance import Grant
from ..application.terms_reader import describe_terms_problem, sort_terms
from ..domain.hand_terms import NO_HAND_TERMS, HandTerms, end_of_terms
from ..domain.rows import RequestRow
from .access_end import EndChoices, end_day, list_end_choices
from .request_context import RequestContext

_MAX_NAMED: Final = 6  # different terms that are listed


@dataclass(frozen=True, slots=True)
class EndCount:
    """So many acceptances end on this day; `problem`: why the end is not known.

    Without both, they have no end; with only a rule, they end when its condition turns false.
    """

    n: int
    day: str
    rule: str
    problem: str


@dataclass(frozen=True, slots=True)
class EndSummary:
    """The ends of the acceptances of a page. `grants`: people who never asked, of whom a person must choose the end."""

    terms: Mapping[HandTerms, int]
    counts: Sequence[EndCount]
    more: int
    choices: EndChoices
    grants: int = 0

    @property
    def unknown_count(self) -> int:
        """Of so many a person must choose the end."""
        return self.grants + sum(n for terms, n in self.terms.items() if terms.needs_choice)

    @property
    def known_count(self) -> int:
        """Of so many the policies know the end, or that there is none."""
        return sum(n for terms, n in self.terms.items() if not terms.needs_choice)

    @property
    def is_shown(self) -> bool:
        """Whether any policy says something about the ends."""
        return bool(self.grants) or any(terms != NO_HAND_TERMS for terms in self.terms)

    @property
    def token(self) -> str:
        """16 hex digits that differ if other terms would apply."""
        counted = sorted((terms.token, n) for terms, n in self.terms.items())
        return hashlib.blake2b(repr(counted).encode(), digest_size=8).hexdigest()


def summarize_ends(context: RequestContext, terms: Mapping[HandTerms, int], grants: Sequence[Grant] = ()) -> EndSummary:
    """Return the ends of acceptances with these terms, and of people who never asked."""
    counted = sort_terms(terms)
    named = [
        EndCount(
            n,
            _day_of(context, each),
            each.rule or "",
            describe_terms_problem(each),
        )
        for each, n in counted[:_MAX_NAMED]
    ]
    more = sum(n for _, n in counted[_MAX_NAMED:])
    reader = context.app_state.terms_reader
    asked = sum(reader.without_request(grant.repo).needs_choice for grant in grants)
    return EndSummary(terms, named, more, list_end_choices(context), asked)


def _day_of(context: RequestContext, terms: HandTerms) -> str:
    """Return the last day by these terms; "" without a date."""
    end = end_of_terms(terms)
    return "" if end is None or end.written is None else end_day(context, end.written)


def read_terms(context: RequestContext, rows: Sequence[RequestRow]) -> Mapping[int, HandTerms]:
    """Return the terms of requests as they are now, by row id."""
    return context.app_state.terms_reader.read_terms(rows, context.now)


def parse_bulk_ends(context: RequestContext, summary: EndSummary) -> BulkEnds:
    """Return the ends that the form chose. Raises UsageError for an end that is not valid."""
    chosen = context.parse_chosen_end()
    for_all = chosen is not None and (not summary.unknown_count or context.form_value("for_all") == "yes")
    reader, now = context.app_state.terms_reader, context.now
    return BulkEnds(summary.terms, chosen, for_all, lambda rows: reader.read_terms(rows, now))


def lacks_choice(summary: EndSummary, ends: BulkEnds) -> bool:
    """Tell whether the member must still choose the end of some acceptances."""
    return bool(summary.unknown_count) and ends.chosen is None
