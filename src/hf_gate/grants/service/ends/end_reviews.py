"""Reviews the ends of grants: all of them, or only those for which something changed since their last review.

With each result, the store keeps the next moment at which time alone can change it. What the reviews of a repo have in
common is its basis, as in `evaluation_times`. If the basis differs, every grant of the repo is reviewed again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct, field

from hf_gate.base.batches import split_into_batches
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.evaluations import EVALUATE_NOW, ReviewResult, add_lookups
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import GrantTerms, is_fact_name, read_duration
from hf_gate.core.policy_model import Facts
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.grants.grant_conditions import TermsEvaluator
from hf_gate.grants.rows import (
    END_LIST,
    find_due_reviews,
    find_undecided_grants,
    has_grants_with_terms,
    iterate_grants_with_terms,
    read_shapes,
    read_terms,
    write_reviews,
)
from hf_gate.policies.facts.fact_table import fact_types
from hf_gate.policies.facts.fact_values import DAY_COUNTS
from hf_gate.policies.facts.facts import RequestFacts
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.day_thresholds import find_thresholds_in, iterate_day_changes
from hf_gate.verdicts.drivers.profile import MAX_AGE
from hf_gate.verdicts.rows.evaluations import EvaluatedList, read_list, write_list
from hf_gate.verdicts.service.evaluated_tables import LookupHasher
from hf_gate.verdicts.service.evaluation import (
    CHUNK,
    EvaluationInput,
    build_inputs,
    open_fact_sources,
    policies_for_terms,
)
from hf_gate.verdicts.service.evaluation_times import EvaluationBases, have_same_tables
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .end_moves import EndMove, find_certain_end, is_undecided, plan_move, plan_notice, state_after

_NOW = "now"


class EndReview(Struct):
    """The ends that must move, the notices that are due, and the grants whose condition is unknown now (row ids).

    `reviewed` counts the grants that were reviewed.
    """

    moves: list[EndMove] = field(default_factory=list)
    notices: list[tuple[RequestRow, e.GrantNoticed]] = field(default_factory=list)
    undecided: set[int] = field(default_factory=set)
    reviewed: int = 0


class ChangedEnds:
    """Reviews the grants of the governed repos for which something changed; with `is_full`, all of them.

    Changed tables are stored, so that the grants whose rows changed are reviewed again.

    `save` stores the results after the moves and notices of the review were recorded. Moves and notices that were not
    recorded are found again in the next turn.
    """

    def __init__(
        self,
        workspace: Workspace,
        bundle: PolicyBundle,
        now: datetime,
        *,
        is_full: bool = False,
    ) -> None:
        self._store = workspace.store
        self._now = to_ms(now)
        self._repos = list(_open_repos(workspace, bundle, now))
        sets = [ends.policy_set for ends in self._repos]
        self._bases = EvaluationBases(self._store, sets, open_fact_sources(workspace), now)
        self.lists = [self._begin(ends.row, is_full=is_full) for ends in self._repos]

    def _begin(self, row: RepoRow, *, is_full: bool) -> ReviewList:
        known = read_list(self._store, row.id, END_LIST)
        is_current = not is_full and self._bases.is_current(row.repo, known)
        return ReviewList(row.id, known, self._bases.by_repo[row.repo], is_current=is_current)

    def review(self) -> EndReview:
        """Return how ends must move now, as a review of all grants would."""
        review = EndReview()
        for one, reviews in zip(self._repos, self.lists, strict=True):
            for rows in self._pages(one, reviews, review):
                reviews.results += [each for row, each in one.review(rows, review) if each != _stored_result(row)]
        return review

    def _pages(self, ends: _RepoEnds, reviews: ReviewList, review: EndReview) -> Iterator[Sequence[RequestRow]]:
        if not reviews.is_current:
            yield from iterate_grants_with_terms(self._store, ends.row.repo)
            return
        due = find_due_reviews(self._store, ends.row.id, self._now)
        review.undecided |= find_undecided_grants(self._store, ends.row.id).difference(due)
        for batch in split_into_batches(due, CHUNK):
            yield list(self._store.requests(batch).values())

    def save(self) -> None:
        """Store the results, unless another process reviewed the repo meanwhile, or by another version of a table."""
        for reviews in self.lists:
            if reviews.is_current and not reviews.results:
                continue
            with self._store.writing() as write:
                is_same = have_same_tables(write, self._bases.tables)
                if is_same and read_list(write, reviews.repo_id, END_LIST) == reviews.known:
                    write_reviews(write, reviews.results)
                    now = EvaluatedList(reviews.basis, secrets.token_hex(8), self._now)
                    write_list(write, reviews.repo_id, END_LIST, now)


class ReviewList(Struct):
    """The reviews of one repo: the stored basis and the current one, and the results to store."""

    repo_id: int
    known: EvaluatedList | None
    basis: str
    is_current: bool
    results: list[ReviewResult] = field(default_factory=list)


def _stored_result(row: RequestRow) -> ReviewResult:
    known = row.evaluation
    return ReviewResult(row.id, known.version, known.review_at, known.is_undecided, known.lookups)


# ---- one repo --------------------------------------------------------------------------------------------------------


def _open_repos(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> Iterator[_RepoEnds]:
    """Yield the governed repos that have grants with terms."""
    store = workspace.store
    shapes = read_shapes(store)
    if not shapes:
        return
    evaluator = TermsEvaluator(shapes, fact_types(tables=bundle.tables))
    for row in store.repos():
        if bundle.is_governed(row.repo) and has_grants_with_terms(store, row.id):
            yield _RepoEnds(workspace, bundle, evaluator, row, now)


class _RepoEnds:
    """Reviews grants of one repo."""

    def __init__(
        self,
        workspace: Workspace,
        bundle: PolicyBundle,
        evaluator: TermsEvaluator,
        row: RepoRow,
        now: datetime,
    ) -> None:
        self._store = workspace.store
        self._sources = open_fact_sources(workspace)
        self._evaluator = evaluator
        self._now = now
        self.row = row
        self.policy_set = policies_for_terms(
            row,
            bundle.policies,
            evaluator.facts,
            bundle.tables,
            self._sources,
            bundle.zone,
        )
        self._hasher = LookupHasher(self._store, self.policy_set.tables)
        self._thresholds: dict[str, dict[str, tuple[int, ...] | None]] = {}

    def review(self, rows: Sequence[RequestRow], review: EndReview) -> list[tuple[RequestRow, ReviewResult]]:
        """Review these grants and return the results to store. Without terms or a record, nothing can move.

        Terms that the store does not have are looked for again in the next turn.
        """
        usable = [row for row in rows if row.state.status == Status.ACCEPTED and row.state.open_after is None]
        terms = read_terms(self._store, {row.state.terms for row in usable if row.state.terms is not None})
        found: dict[int, ReviewResult] = {}
        for case in build_inputs(self._store, self.policy_set, self._sources, usable, self._now):
            own = terms.get(case.row.state.terms or "")
            found[case.row.id] = (
                _result(case.row, EVALUATE_NOW) if own is None else self._review_grant(case, own, review)
            )
        review.reviewed += len(rows)
        return [(row, found.get(row.id) or _result(row, None)) for row in rows]

    def _review_grant(self, case: EvaluationInput, terms: GrantTerms, review: EndReview) -> ReviewResult:
        row = case.row
        facts = case.facts
        now = self._now
        move = plan_move(row, terms, facts, self._evaluator, now)
        state = row.state
        if move is not None:
            review.moves.append(move)
            state = state_after(state, move.event, to_ms(now))
        certain_end = find_certain_end(state, terms, facts, self._evaluator) if state.lapses else state.ends_at
        is_open = is_undecided(state, certain_end, now)
        if is_open:
            review.undecided.add(row.id)
        if (notice := plan_notice(state, terms, now)) is not None:
            review.notices.append((row, notice))
        known = row.evaluation.lookups
        lookups = (
            add_lookups(known, self._hasher.hash_request(facts.inputs)) if isinstance(facts, RequestFacts) else known
        )
        is_due = move is not None or notice is not None
        next_at = EVALUATE_NOW if is_due else self._next_review(state, terms, facts, certain_end if is_open else None)
        return ReviewResult(row.id, row.evaluation.version, next_at, is_open, lookups)

    # ---- time --------------------------------------------------------------------------------------------------------

    def _next_review(self, state: RequestState, terms: GrantTerms, facts: Facts, waits_until: int | None) -> int | None:
        """Return when time alone can change the result of a review, in ms; None if it cannot.

        `waits_until` is when access ends at the latest, while it waits for a condition that is unknown. A moment that
        is too early is harmless, because the grant is then reviewed again.
        """
        used = self._evaluator.facts_of(terms)
        is_relative = any(
            read_duration(part.strip()) for each in terms.until if not is_fact_name(each) for part in each.split(",")
        )
        if not isinstance(facts, RequestFacts) or _NOW in used or is_relative:
            return EVALUATE_NOW
        at = facts.inputs
        moments = [*iterate_day_changes(at, self._thresholds_of(terms), self._now), *self._notice_times(state, terms)]
        moments += [hit.changes_at for hit in at.tables.values() if hit.changes_at is not None]
        if waits_until is not None:
            moments.append(from_ms(waits_until))
        if at.profile is not None and at.profile.read_at is not None:
            moments.append(at.profile.read_at + MAX_AGE)
        return min(map(to_ms, moments), default=None)

    def _thresholds_of(self, terms: GrantTerms) -> dict[str, tuple[int, ...] | None]:
        key = terms.shape.digest
        if key not in self._thresholds:
            used = self._evaluator.facts_of(terms)
            expressions = self._evaluator.expressions_of(terms)
            self._thresholds[key] = {name: find_thresholds_in(expressions, name) for name in DAY_COUNTS if name in used}
        return self._thresholds[key]

    def _notice_times(self, state: RequestState, terms: GrantTerms) -> Iterator[datetime]:
        """Yield from when each notice that is not done is due. A step of months may be due, and then not for a day."""
        if state.ends_at is None or state.ends_at <= to_ms(self._now):
            return
        end = from_ms(state.ends_at)
        done = self._now if state.noticed_at is None else from_ms(state.noticed_at)
        for step in terms.notice:
            length = read_duration(step)
            if length is not None and state.ends_at > to_ms(length.after(done)):
                yield length.first_before(end)


def _result(row: RequestRow, review_at: int | None) -> ReviewResult:
    return ReviewResult(row.id, row.evaluation.version, review_at, lookups=row.evaluation.lookups)
