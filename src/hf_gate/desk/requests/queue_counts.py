"""The facets of the queue and the numbers of requests that match a query, from the store's counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hf_gate.core.events.classification import MailKind
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import Query, Term
from hf_gate.desk.http_context import HttpContext
from hf_gate.requests.queue_counters import CounterRow, Counters, CounterTable
from hf_gate.requests.rows.queue import read_counters

from .queue_query import QUALITY_CHOICES, WORDS, QueueQuery, count_up_to, queue_url

MAX_COUNTED: Final = 200  # requests counted one by one if the counters do not cover the query
_FACETS: Final = (
    ("Repo", "repo"), ("Purpose", "quality"), ("E-mail", "mail"), ("Verdict", "verdict"), ("Rule", "rule"),
    ("Status", "status"),
)  # fmt: skip
_CHOICES: Final = {"quality": QUALITY_CHOICES, "mail": tuple((kind.value, (kind.value,)) for kind in MailKind)}
"""The fixed choices of a facet: their words, and their values of the key."""
_MAX_CHOICES: Final = 12  # of one facet


def list_counts(context: HttpContext) -> Counters:
    """Return the counters of the repos that the member can see."""
    counters = read_counters(context.workspace.store)
    visible = context.list_visible_repos()
    if visible.are_all:
        return counters
    seen = {str(row.repo) for row in visible.rows}
    classes = {kind: [each for each in rows if each.repo in seen] for kind, rows in counters.classes.items()}
    return Counters([cell for cell in counters.cells if cell.repo in seen], classes)


def count_matching(query: Query, counters: Counters) -> int | None:
    """Return the number of matches of a query, or None if no counter covers all its keys.

    A counter covers status and repo with verdict and rule, or with one class: the purpose or the e-mail address.
    """
    table = counters.select(query.terms)
    return None if table is None else sum(table.numbers[row] for row in _matching_rows(query.terms, table))


def _matching_rows(terms: Sequence[Term], table: CounterTable) -> Sequence[CounterRow]:
    """Return the rows that match all terms. Compares each value once."""
    rows = list(table.numbers)
    for term in terms:
        place = table.places[term.key]
        fit = {value for value in {row[place] for row in rows} if _matches(term, value)}
        rows = [row for row in rows if row[place] in fit]
    return rows


def _matches(term: Term, value: object) -> bool:
    if not isinstance(value, str):
        return term.is_not
    if term.key == "repo":
        name = fold_for_search(value.rpartition("/")[2])
        fits = any(
            p.matches(fold_for_search(value) if "/" in "".join(p.parts) or p.is_any else name) for p in term.patterns
        )
    else:
        fits = any(pattern.matches(fold_for_search(value)) for pattern in term.patterns)
    return fits != term.is_not


def format_total(context: HttpContext, query: Query, counters: Counters) -> str:
    """Return the number of matches as text: `1,204` or `more than 200`."""
    known = count_matching(query, counters)
    if known is not None:
        return f"{known:,}"
    return format_count(count_up_to(context, query, MAX_COUNTED))


def format_count(count: int) -> str:
    """Format a number that was counted up to `MAX_COUNTED` + 1."""
    return f"more than {MAX_COUNTED:,}" if count > MAX_COUNTED else f"{count:,}"


def count_pending_by_verdict(counters: Counters) -> Counter[str]:
    """Return the number of pending requests, and the numbers by verdict."""
    found: Counter[str] = Counter()
    if (table := counters.select((), "status", "verdict")) is None:
        return found
    status = table.places["status"]
    verdict = table.places["verdict"]
    for row, n in table.numbers.items():
        if row[status] == Status.PENDING:
            found[Status.PENDING] += n
            found[row[verdict] or "unjudged"] += n
    return found


# ---- facets ----------------------------------------------------------------------------------------------------------


class FacetChoice(NamedTuple):
    """One choice of a facet. `n` is None if no counter covers the query."""

    name: str
    words: str
    n: int | None
    href: str
    is_current: bool


class Facet(NamedTuple):
    """The choices of one key. `hidden` choices more are not shown."""

    title: str
    key: str
    choices: Sequence[FacetChoice]
    hidden: int = 0


def build_facets(asked: QueueQuery, counters: Counters, more: str = "") -> list[Facet]:
    """Return the facets of a query, with numbers as far as the counters have them. `more` is added to each address."""
    found = [_build_facet(title, key, asked, counters, more) for title, key in _FACETS]
    return [each for each in found if len(each.choices) > 1 or any(choice.is_current for choice in each.choices)]


def _build_facet(title: str, key: str, asked: QueueQuery, counters: Counters, more: str) -> Facet:
    others = [term for term in asked.query.terms if term.key != key or term.is_not]
    table = counters.select(others, key)
    current = asked.values_of(key)
    numbers = Counter[str]()
    known = table or counters.select((), key)
    if known is None:
        return Facet(title, key, ())
    for row in known.numbers if table is None else _matching_rows(others, table):
        if (value := row[known.places[key]]) is not None:
            numbers[value] += known.numbers[row]
    choices = []
    for words, values in _CHOICES.get(key) or _name_choices(key, numbers):
        n = sum(numbers[value] for value in values)
        is_current = current == frozenset(values)
        if n or is_current:
            text = str(Query(tuple(others))) if is_current else asked.with_term(key, *values)
            count = None if table is None else n
            choices.append(FacetChoice(values[0], words, count, queue_url(text) + more, is_current))
    return Facet(title, key, choices, 0 if key in _CHOICES else max(0, len(numbers) - _MAX_CHOICES))


def _name_choices(key: str, numbers: Counter[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the most frequent values, in words."""
    for value, _ in numbers.most_common(_MAX_CHOICES):
        text = value.rpartition("/")[2] if key == "repo" else value
        yield WORDS.get(key, {}).get(value, text), (value,)
