"""Collects what the lists of the governed repos add to a plan: from evaluations, and from stored results of unchanged
requests.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.evaluations import EvaluationCount, EvaluationOutcome, EvaluationResult
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.lifecycle import VERB_FOR_STATUS, Status
from hf_gate.core.policy_model import Action
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.policies.evaluation.opinions import NO_RULE, STATUS_AFTER
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.guards import PolicyStart
from hf_gate.verdicts.plan.render import SHADOW
from hf_gate.verdicts.rows.evaluations import (
    EvaluatedList,
    find_due_evaluations,
    find_removals,
    iterate_planned,
    read_counts,
    read_list,
    write_list,
)
from hf_gate.verdicts.service.evaluated_parts import (
    NO_ROOM,
    EvaluatedPart,
    EvaluateList,
    PartEvaluation,
    PlanBuffer,
    evaluate_requests,
)
from hf_gate.verdicts.service.evaluation import CHUNK, RepoPolicies, SourcesPort
from hf_gate.verdicts.service.evaluation_times import EvaluationBases, have_same_tables

# ---- evaluations -----------------------------------------------------------------------------------------------------


class EvaluationRecorder:
    """Begins the evaluation of lists."""

    def __init__(self, store: Store, policy_sets: Sequence[RepoPolicies], now: datetime, sources: SourcesPort) -> None:
        self._store = store
        self._now = to_ms(now)
        self._bases = EvaluationBases(store, policy_sets, sources, now)

    def begin(self, policy_set: RepoPolicies, status: str, *, is_full: bool = False) -> ListEvaluation | None:
        """Begin to evaluate the requests of one status at a repo; None if the store does not know the repo."""
        row = self._store.repo(policy_set.repo)
        if row is None:
            return None
        known = read_list(self._store, row.id, status)
        if known is None or is_full or not self._bases.is_current(policy_set.repo, known):
            known = EvaluatedList(None, secrets.token_hex(8), self._now)
            with self._store.writing() as write:
                write_list(write, row.id, status, known)
        tables = {name: self._bases.tables[name] for name in policy_set.tables}
        basis = self._bases.by_repo[policy_set.repo]
        return ListEvaluation(self._store, policy_set, row.id, status, known, basis, self._now, tables)


class ListEvaluation:
    """The evaluation of one list. `due` has the requests to evaluate, the oldest first; None means all of them.

    If another process begins to evaluate the whole list meanwhile, or by another version of a table, nothing more is
    stored.
    """

    def __init__(
        self,
        store: Store,
        policy_set: RepoPolicies,
        repo_id: int,
        status: str,
        known: EvaluatedList,
        basis: str,
        now: int,
        tables: Mapping[str, tuple[str, str]],
    ) -> None:
        self._store = store
        self.policy_set = policy_set
        self.repo_id = repo_id
        self.status = status
        self._known = known
        self._basis = basis
        self._now = now
        self._tables = tables
        self.due = None if known.basis is None else find_due_evaluations(store, repo_id, status, now)

    def store(self, results: Sequence[EvaluationResult], entries: Sequence[LedgerEntry]) -> None:
        """Store results and new verdicts."""
        if not results and not entries:
            return
        with self._store.writing() as write:
            if not self._is_own(write):
                return
            write.store_evaluations(self.policy_set.repo, results, entries)
            if self._known.at != self._now:
                self._known = self._known._replace(at=self._now)
                write_list(write, self.repo_id, self.status, self._known)

    def finish(self) -> None:
        """Store that every request of the list was evaluated on the current basis, or is due."""
        with self._store.writing() as write:
            if self._is_own(write):
                write_list(write, self.repo_id, self.status, self._known._replace(basis=self._basis))

    def _is_own(self, write: Writer) -> bool:
        current = read_list(write, self.repo_id, self.status)
        known = self._known
        is_same = current is not None and (current.basis, current.pass_id) == (known.basis, known.pass_id)
        return is_same and have_same_tables(write, self._tables)

    # ---- stored results ----------------------------------------------------------------------------------------------

    def read_groups(self) -> list[EvaluationCount]:
        """Return how many requests of the list have each outcome and verdict."""
        return read_counts(self._store, self.repo_id, self.status)

    def iterate_rows(self, group: EvaluationCount) -> Iterator[Sequence[RequestRow]]:
        """Yield the requests of a group with a planned change or a missing profile, the oldest first."""
        return iterate_planned(self._store, self.repo_id, self.status, group.outcome, group.verdict_id)

    def start_of(self, group: EvaluationCount) -> PolicyStart:
        """Return the policy version that plans the changes of a group here."""
        return group.policy or "", group.digest or "", str(self.policy_set.repo)


def verb_of_group(status: str, group: EvaluationCount) -> str:
    """Return the verb of the planned changes of a group; it is their guard too."""
    return (
        "remove" if status == Status.ACCEPTED else VERB_FOR_STATUS[STATUS_AFTER[Status(status), Action(group.action)]]
    )


def summarize_evaluations(status: str, group: EvaluationCount) -> Counter[str]:
    """Return what a group adds to the summary of a plan."""
    counts: Counter[str] = Counter(judged=group.n)
    for policy, _, action in group.shadow:
        counts[f"{SHADOW}{policy}/{action}"] += group.n
    match group.outcome:
        case EvaluationOutcome.PEOPLE:
            counts.update(human=group.n, accept_human=group.n)
        case EvaluationOutcome.CHANGE:
            counts[verb_of_group(status, group)] += group.n
        case _:
            if group.action in (Action.HUMAN, Action.WAIT):
                counts[group.action] += group.n
                counts["no_rule"] += group.n if group.rule == NO_RULE else 0
    return counts


def find_protected(store: Store, lists: Sequence[ListEvaluation], names: Iterable[str]) -> list[RequestRow]:
    """Return the requests of protected names or account ids with a stored change that is no accept."""
    places = {(one.policy_set.repo, one.status) for one in lists}
    wanted = {name.lower() for name in names}
    rows = {row.id: row for name in wanted for row in store.find_by_identity(None, name)}
    found = []
    for row in rows.values():
        verdict = row.state.verdict
        person = row.request.person if row.request else None
        if person is None or verdict is None or (row.repo, row.state.status) not in places:
            continue
        is_named = {str(value).lower() for value in (person.username, person.id) if value} & wanted
        if is_named and row.evaluation.outcome == EvaluationOutcome.CHANGE and verdict[0] != Action.ACCEPT:
            found.append(row)
    return found


def start_of_row(row: RequestRow) -> PolicyStart:
    """Return the policy version that plans the change of a request."""
    _, policy, _, digest = row.state.verdict or ("", None, "", None)
    return policy or "", digest or "", str(row.repo)


# ---- plans -----------------------------------------------------------------------------------------------------------


class PlanLists:
    """Fills the buffer of a plan. `counts` is for its summary, `missing_profiles` has people by row id,
    and `evaluated` counts the requests that were evaluated because they, or what all have in common, changed.

    Only requests for which something changed are evaluated; all of them if the plan does not record verdicts, or with
    `is_full`.
    """

    def __init__(
        self,
        store: Store,
        buffer: PlanBuffer,
        now: datetime,
        sources: SourcesPort,
        protected: Collection[str],
        max_profiles: int,
        *,
        is_full: bool = False,
    ) -> None:
        self._store = store
        self._buffer = buffer
        self._now = now
        self._sources = sources
        self._protected = protected
        self._max_profiles = max_profiles
        self._is_full = is_full
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
        return self._removed | find_removals(self._store, repos, rows)

    def _add(self, part: EvaluatedPart) -> None:
        self.counts.update(part.counts)
        self.missing_profiles.update((person.id, person) for person in part.missing_profiles)
        self._removed.update(part.removed)
        self.evaluated += part.evaluated
        self._buffer.dropped += part.late_count
        for change in part.changes:
            self._buffer.offer(change)

    def _evaluate_all(
        self, policy_set: RepoPolicies, status: str, evaluate: EvaluateList, evaluation: ListEvaluation | None
    ) -> None:
        for part in evaluate(policy_set, status, self._now, self._buffer):
            if evaluation is not None:
                evaluation.store(part.results, part.entries)
            self._add(part)
        if evaluation is not None:
            evaluation.finish()

    def _evaluate_due(self, evaluation: ListEvaluation, due: Sequence[int]) -> None:
        """Evaluate and store the requests that are due; their changes are built with the stored ones."""
        room = PlanBuffer(newest=NO_ROOM)
        for part in evaluate_requests(self._store, evaluation.policy_set, self._sources, due, self._now, room):
            evaluation.store(part.results, part.entries)
            self.evaluated += part.evaluated

    def _add_stored(self, lists: Sequence[ListEvaluation]) -> None:
        """Add what a plan needs of the lists of one repo: counts, changes and missing profiles, by stored results.

        Changes that the filter refuses as a whole, and those without room, are only counted.
        """
        groups = [(one, group) for one in lists for group in one.read_groups()]
        for one, group in groups:
            self.counts.update(summarize_evaluations(one.status, group))
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
        refused = set()
        repo = lists[0].policy_set.repo
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
        evaluation = PartEvaluation(self._store, one.policy_set, self._now, self._buffer)
        left = group.n
        guard = verb_of_group(one.status, group)
        done_to = (NO_ROOM, 0)
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
