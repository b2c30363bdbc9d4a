"""Counts a selection by what a decision about it would change: how many requests, where, and with which ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..domain.hand_terms import NO_HAND_TERMS, HandTerms
from ..domain.lifecycle import MOVES
from ..domain.rows import (
    GONE,
    IN_RUN,
    MOVED,
    OWN,
    PROTECTED,
    QUEUED,
    RequestRow,
    SelectionBucket,
    SelectionScope,
)
from .bulk_ends import read_terms
from .request_context import RequestContext

MAX_IN_TRAY: Final = 1000  # more requests become a run, which can be paused and undone

_WHY_EXCLUDED: Final = {
    GONE: "no longer there",
    MOVED: "changed since they were selected",
    OWN: "your own request",
    PROTECTED: "protected by hf-gate.yaml",
    QUEUED: "already in a tray",
    IN_RUN: "in a run that has not ended",
}


@dataclass(slots=True)
class SelectionSummary:
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

    @property
    def are_terms_stored(self) -> bool:
        """Whether `terms` are those of the last evaluation, because so many are not evaluated for a page."""
        return self.count > MAX_IN_TRAY


def summarize_selection(context: RequestContext, pick: str, verb: str) -> SelectionSummary:
    """Count the selection by its current state, in the store, because it may be very large."""
    app_state = context.app_state
    protected = app_state.workspace.location.config.guards.protected if verb != "accept" else ()
    able = {move.before.value for move in MOVES if move.verb == verb and move.before is not None}
    repos = [row.id for row in app_state.membership.repos(context.member)]
    me = context.member
    found = SelectionSummary(verb, SelectionScope(pick, able, repos, me.own_keys, protected, me.proven_account))
    buckets = app_state.workspace.selections.count_buckets(found.scope)
    for heap in buckets:
        if heap.why:
            why = _WHY_EXCLUDED.get(heap.why) or f"{heap.status}, where this decision is not possible"
            found.excluded[why] += heap.n
        else:
            _add_bucket(found, heap)
    if verb == "accept":
        found.terms = _count_terms(context, found, buckets)
    return found


def _count_terms(
    context: RequestContext, found: SelectionSummary, buckets: Iterable[SelectionBucket]
) -> Counter[HandTerms]:
    """Count the terms of acceptances: as they are now, or for very many as stored with the verdicts."""
    if not found.are_terms_stored:
        parts = (read_terms(context, part).values() for part in read_rows(context, found))
        return Counter(terms.without_document for part in parts for terms in part)
    counts, reader = Counter[HandTerms](), context.app_state.terms_reader
    for bucket in buckets:
        if not bucket.why:
            terms = reader.of_unevaluated(bucket.repo) if bucket.action is None else bucket.terms or NO_HAND_TERMS
            counts[terms] += bucket.n
    return counts


def _add_bucket(found: SelectionSummary, bucket: SelectionBucket) -> None:
    found.count += bucket.n
    found.by_status[bucket.status] += bucket.n
    found.by_repo[bucket.repo] += bucket.n
    found.by_rule[bucket.action or "", bucket.rule or "not evaluated"] += bucket.n
    if bucket.action in {"accept", "reset", "reject"} and bucket.action != found.verb:
        found.remarkable[f"the policies would {bucket.action}"] += bucket.n
    if bucket.is_again:
        found.remarkable["asked again after a reset"] += bucket.n
    if bucket.was_in:
        found.remarkable["were accepted before"] += bucket.n


def read_rows(context: RequestContext, weighed: SelectionSummary) -> Iterator[list[RequestRow]]:
    """Yield the requests that the decision applies to, part by part."""
    store = context.workspace.store
    for idents in context.workspace.selections.iterate_ready(weighed.scope):
        yield list(store.requests(idents).values())
