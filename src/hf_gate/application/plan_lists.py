"""Collects what the lists of the governed repos add to a plan: from evaluations, and from stored results of unchanged requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

from ..domain.evaluations import EvaluationCount, EvaluationOutcome
from ..domain.lifecycle import Status
from ..domain.rows import PersonRow, RequestRow
from ..plan.guards import PolicyStart
from ..store.evaluations import find_removals
from ..store.store import Store
from .evaluated_parts import NO_ROOM, EvaluatedPart, EvaluateList, PartEvaluation, PlanBuffer, evaluate_requests
from .evaluation import CHUNK, RepoPolicies, SourcesPort
from .evaluation_recorder import (
    EvaluationRecorder,
    ListEvaluation,
    find_protected,
    start_of_row,
    summarize_group,
    verb_of_group,
)


class PlanLists:
    """Fills the buffer of a plan. `counts` is for its summary, `missing_profiles` has people by row id. `evaluated`
    counts the requests that were evaluated because they, or what all have in common, changed.

    With `sources`, only requests for which something changed are evaluated. If the plan does not record verdicts, or
    with `is_full`, all are evaluated.
    """

    def __init__(
        self,
        store: Store,
        buffer: PlanBuffer,
        now: datetime,
        sources: SourcesPort | None,
        protected: Collection[str],
        max_profiles: int,
        *,
        is_full: bool = False,
    ) -> None:
        self._store, self._buffer, self._now, self._sources = store, buffer, now, sources
        self._protected, self._max_profiles, self._is_full = protected, max_profiles, is_full
        self.counts: Counter[str] = Counter()
        self.missing_profiles: dict[int, PersonRow] = {}
        self.evaluated = 0
        self._removed: set[int] = set()
        self._stored: list[ListEvaluation] = []

    def add_all(self, policy_sets: Sequence[RepoPolicies], evaluate: EvaluateList) -> None:
        """Evaluate the lists of these repos, as far as necessary."""
        is_recorded = self._buffer.should_record
        recorder = EvaluationRecorder(self._store, policy_sets, self._now, self._sources) if is_recorded else None
        for policy_set in policy_sets:
            stored = []
            for status in policy_set.statuses:
                one = recorder.begin(policy_set, status, is_full=self._is_full) if recorder is not None else None
                if one is None or one.due is None:
                    self._evaluate_all(policy_set, status, evaluate, one)
                else:
                    self._evaluate_due(one, one.due)
                    stored.append(one)
            if stored:
                self._add_stored(stored)
            self._stored += stored

    def find_removed(self, rows: Sequence[int]) -> set[int]:
        """Return which of these requests lose access by a verdict; others may be in the result too."""
        repos = [one.repo_id for one in self._stored if one.status == Status.ACCEPTED]
        return self._removed | find_removals(self._store.reads, repos, rows)

    def _add(self, part: EvaluatedPart) -> None:
        self.counts.update(part.counts)
        self.missing_profiles.update((person.id, person) for person in part.missing_profiles)
        self._removed.update(part.removed)
        self.evaluated += part.evaluated
        self._buffer.dropped += part.late_count
        for change in part.changes:
            self._buffer.offer(change)

    def _evaluate_all(
        self, policy_set: RepoPolicies, status: str, evaluate: EvaluateList, one: ListEvaluation | None
    ) -> None:
        for part in evaluate(policy_set, status, self._now, self._buffer):
            if one is not None:
                one.store(part.results, part.entries)
            self._add(part)
        if one is not None:
            one.finish()

    def _evaluate_due(self, one: ListEvaluation, due: Sequence[int]) -> None:
        """Evaluate and store the requests that are due; their changes are built with the stored ones."""
        if self._sources is not None:
            room = PlanBuffer(newest=NO_ROOM)
            for part in evaluate_requests(self._store, one.policy_set, self._sources, due, self._now, room):
                one.store(part.results, part.entries)
                self.evaluated += part.evaluated

    def _add_stored(self, lists: Sequence[ListEvaluation]) -> None:
        """Add what a plan needs of the lists of one repo: counts, changes and missing profiles, by stored results.

        Changes that the filter refuses as a whole, and those without room, are only counted.
        """
        groups = [(one, group) for one in lists for group in one.read_groups()]
        for one, group in groups:
            self.counts.update(summarize_group(one.status, group))
            if group.outcome == EvaluationOutcome.PROFILE:
                for rows in islice(one.iterate_rows(group), 1 + self._max_profiles // CHUNK):
                    self._add(EvaluatedPart(missing_profiles=[row.person for row in rows[: self._max_profiles]]))
        planned = [(one, group) for one, group in groups if group.outcome == EvaluationOutcome.CHANGE]
        protected = find_protected(self._store, lists, self._protected) if planned else []
        refused = self._refuse(lists, planned, Counter(map(start_of_row, protected))) if planned else set()
        for one, group in planned:
            if one.start_of(group) not in refused:
                mine = [row for row in protected if row.state.status == one.status and group.has(row.state)]
                self._rebuild_changes(one, group, mine)

    def _refuse(
        self,
        lists: Sequence[ListEvaluation],
        planned: Sequence[tuple[ListEvaluation, EvaluationCount]],
        guarded: Mapping[PolicyStart, int],
    ) -> set[PolicyStart]:
        """Return the policy versions whose changes at a repo the filter refuses as a whole; they are counted there."""
        totals: Counter[PolicyStart] = Counter()
        for one, group in planned:
            totals[one.start_of(group)] += group.n
        refused, repo = set(), lists[0].policy_set.repo
        for start, n in totals.items():
            own = guarded.get(start, 0)
            if self._buffer.filter.refuses(start, repo, n - own):
                refused.add(start)
                self._buffer.protected += own
        return refused

    def _rebuild_changes(self, one: ListEvaluation, group: EvaluationCount, protected: Sequence[RequestRow]) -> None:
        """Add the changes of a group, the oldest first, until the plan has no room for newer ones.

        Changes for which a guard of the turn has no room are only counted; `protected` has those that no turn sends.
        """
        if self._sources is None:
            return
        evaluation, left = PartEvaluation(self._store, one.policy_set, self._now, self._buffer), group.n
        guard, done_to = verb_of_group(one.status, group), (NO_ROOM, 0)
        for rows in one.iterate_rows(group):
            if (newest := self._buffer.newest_of(guard)) is not None and rows[0].state.asked_at > newest:
                own = sum((row.state.asked_at, row.id) > done_to for row in protected)
                self._buffer.protected += own
                self._buffer.left_out[guard] += left - own
                return
            if self._buffer.newest is not None and rows[0].state.asked_at > self._buffer.newest:
                break
            done_to = (rows[-1].state.asked_at, rows[-1].id)
            evaluation.evaluate_rows(self._store, self._sources, rows)
            done = evaluation.take_results()
            self._add(EvaluatedPart(done.changes, done.late_count))
            left -= len(rows)
        self._buffer.dropped += max(0, left)
