"""Evaluates requests part by part: the changes that a plan may contain, and the results and verdicts to store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.events.evaluations import (
    NO_LOOKUPS,
    EvaluationOutcome,
    EvaluationResult,
    add_lookups,
)
from hf_gate.core.lifecycle import VERB_FOR_STATUS, Status
from hf_gate.core.policy_model import Action, Facts, Verdict
from hf_gate.core.stored_rows import ListRange, PersonRow, RequestRow, entry_about
from hf_gate.policies.evaluation.opinions import NO_RULE, why_people_decide
from hf_gate.policies.expressions.expressions import BoundFacts
from hf_gate.policies.facts.facts import RequestFacts
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.change_builders import (
    PlanSubject,
    change_for_verdict,
    is_new_verdict,
    status_after,
    verdict_event,
)
from hf_gate.verdicts.plan.guards import ChangeFilter, PolicyStart
from hf_gate.verdicts.plan.model import MAX_CHANGES
from hf_gate.verdicts.plan.render import SHADOW
from hf_gate.verdicts.rows.evaluations import find_fully_approved

from .evaluated_tables import LookupHasher
from .evaluation import (
    CHUNK,
    EvaluationInput,
    RepoPolicies,
    SourcesPort,
    build_inputs,
    find_rows_of_terms,
    needs_profile,
)
from .evaluation_times import EvaluationTimes

POLICY: Final = "policy"
NO_ROOM: Final = -(1 << 62)  # the newest request of a buffer without room for changes


class RecordOnly(ChangeFilter):
    """Allows no change, because only verdicts are recorded."""

    def allows(self, change: Change) -> bool:  # noqa: ARG002
        return False

    def refuses(self, start: PolicyStart, repo: Repo, count: int) -> bool:  # noqa: ARG002
        return True


class PlanBuffer(Struct):
    """Keeps the oldest `limit` changes and counts the others as `dropped`.

    Once the buffer is full, there is no room for changes of requests newer than `newest` (ms). If the plan is for an
    assumed time, `should_record` is false and no verdict is recorded. `protected` counts changes that guards forbid.

    `room` has how many changes of each guard a turn may send; the oldest are kept, and `left_out` counts the others.
    """

    limit: int = MAX_CHANGES
    should_record: bool = True
    filter: ChangeFilter = field(default_factory=ChangeFilter)
    is_protected: Callable[[Change], bool] = lambda _: False
    protected: int = 0
    changes: list[Change] = field(default_factory=list)
    dropped: int = 0
    newest: int | None = None
    room: Mapping[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    _kept: Counter[str] = field(default_factory=Counter)  # by guard, if the guard is in `room`

    def has_room(self, guard: str) -> bool:
        """Tell whether another change of this guard can be sent."""
        return guard not in self.room or self._kept[guard] < self.room[guard]

    def offer(self, change: Change) -> None:
        """Add a change if the guards and the filter allow it; older changes may displace it."""
        if self.is_protected(change):
            self.protected += 1
        elif self.filter.allows(change):
            self.add(change)

    def add(self, change: Change) -> None:
        """Add a change; older changes may displace it."""
        self.changes.append(change)
        if change.guard in self.room:
            self._kept[change.guard] += 1
            if self._kept[change.guard] > self.room[change.guard] + CHUNK:
                self._trim(change.guard)
        if len(self.changes) >= 2 * self.limit or (self.newest is None and len(self.changes) > self.limit):
            self.close()

    def fill(self) -> list[Change]:
        """Add the small starts and return the changes of the plan."""
        for change in self.filter.small_starts():
            self.add(change)
        for guard in self.room:
            self._trim(guard)
        self.close()
        return self.changes

    def newest_of(self, guard: str) -> int | None:
        """Return the time (ms) of the newest change of a guard for which there is room; None if there is
        room for all.
        """
        if self._kept[guard] < self.room.get(guard, MAX_CHANGES + 1):
            return None
        self._trim(guard)
        kept = [change.asked_at for change in self.changes if change.guard == guard]
        return to_ms(datetime.fromisoformat(max(kept))) if kept else NO_ROOM

    def _trim(self, guard: str) -> None:
        """Leave out the newest changes of a guard for which there is no room."""
        mine = [change for change in self.changes if change.guard == guard]
        if len(mine) > self.room[guard]:
            mine.sort(key=lambda one: (one.asked_at, one.sort_key))
            self.left_out[guard] += len(mine) - self.room[guard]
            del mine[self.room[guard] :]
            self.changes = [change for change in self.changes if change.guard != guard] + mine
        self._kept[guard] = len(mine)

    def close(self) -> None:
        """Drop the newest changes beyond the limit."""
        if len(self.changes) > self.limit:
            self.changes.sort(key=lambda one: (one.asked_at, one.sort_key))
            self.dropped += len(self.changes) - self.limit
            del self.changes[self.limit :]
            self.newest = to_ms(datetime.fromisoformat(self.changes[-1].asked_at))


class EvaluatedPart(msgspec.Struct):
    """The results for a part of a list: changes, new verdicts as ledger entries, people with a missing profile,
    counts.

    `late_count` counts changes for which the plan has no room, and `evaluated` the requests. `removed` has the row ids
    of requests that lose access.
    """

    changes: list[Change] = []
    late_count: int = 0
    removed: list[int] = []
    entries: list[e.LedgerEntry] = []
    missing_profiles: list[PersonRow] = []
    counts: dict[str, int] = {}
    results: list[EvaluationResult] = []
    evaluated: int = 0


EvaluateList: TypeAlias = Callable[[RepoPolicies, str, datetime, PlanBuffer], Iterator[EvaluatedPart]]
"""Evaluates the requests of one status at a repo part by part, while the caller fills the buffer."""


def evaluate_part(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
    part: ListRange = (None, None),
    buffer: PlanBuffer | None = None,
) -> Iterator[EvaluatedPart]:
    """Evaluate a part of a list, `CHUNK` requests at a time.

    The function only reads, so several processes can run it.
    """
    rows = store.iterate_requests(policy_set.repo, status, part=part)
    evaluation = PartEvaluation(store, policy_set, now, buffer or PlanBuffer())
    return evaluation.evaluate_chunks(store, sources, split_into_batches(rows, CHUNK))


def evaluate_requests(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    idents: Sequence[int],
    now: datetime,
    buffer: PlanBuffer,
) -> Iterator[EvaluatedPart]:
    """Evaluate these requests, `CHUNK` at a time."""
    chunks = (list(store.requests(batch).values()) for batch in split_into_batches(idents, CHUNK))
    return PartEvaluation(store, policy_set, now, buffer).evaluate_chunks(store, sources, chunks)


class PartEvaluation:
    """Collects the results of one part of a list."""

    def __init__(self, store: Store, policy_set: RepoPolicies, now: datetime, buffer: PlanBuffer) -> None:
        self.approved = frozenset(find_fully_approved(store, policy_set.repo, MAX_CHANGES))
        self.policy_set = policy_set
        self.now = now
        self.at = to_ms(now)
        self.buffer = buffer
        self._times = EvaluationTimes(policy_set, now)
        self._hasher = LookupHasher(store, policy_set.tables)
        self._done = EvaluatedPart()
        self._counts = Counter[str]()

    def evaluate_chunks(
        self, store: Store, sources: SourcesPort, chunks: Iterable[Sequence[RequestRow]]
    ) -> Iterator[EvaluatedPart]:
        """Evaluate requests chunk by chunk."""
        for rows in chunks:
            self.evaluate_rows(store, sources, rows)
            yield self.take_results()

    def evaluate_rows(self, store: Store, sources: SourcesPort, rows: Sequence[RequestRow]) -> None:
        """Evaluate requests of the list. One without a record has no facts until it is read again."""
        for case in build_inputs(store, self.policy_set, sources, rows, self.now):
            self.evaluate(case)
        self._done.evaluated += len(rows)
        for row in rows:
            if row.request is None:
                self._add_result(row, EvaluationOutcome.IGNORE, None)

    def _add_result(
        self, row: RequestRow, outcome: EvaluationOutcome, evaluate_at: int | None, facts: Facts | None = None
    ) -> None:
        if self.buffer.should_record:
            lookups = self._hasher.hash_request(facts.inputs) if isinstance(facts, RequestFacts) else NO_LOOKUPS
            version, *known = row.evaluation[:4]
            if row.state.terms is not None:
                lookups = add_lookups(row.evaluation.lookups, lookups)
            if known != [outcome, evaluate_at, lookups]:
                self._done.results.append(EvaluationResult(row.id, version, outcome, evaluate_at, lookups))

    def take_results(self) -> EvaluatedPart:
        """Return the results so far and reset them."""
        done = self._done
        done.counts = dict(self._counts)
        self._done = EvaluatedPart()
        self._counts = Counter()
        return done

    def evaluate(self, case: EvaluationInput) -> None:
        """Evaluate one request. Conditions are only traced for changes, because tracing takes time."""
        row = case.row
        facts = case.facts
        bound: dict[str, BoundFacts] = {}
        verdict = self.policy_set.evaluator.evaluate(facts, now=self.now, status=row.state.status, bound=bound)
        if verdict is None or row.request is None:
            self._add_result(row, EvaluationOutcome.IGNORE, None, facts)
            return
        outcome = EvaluationOutcome.STAY
        next_at = self._times.next_evaluation(facts) if self.buffer.should_record else None  # only results have it
        if row.state.status != Status.PENDING and verdict.rule == NO_RULE:
            self._add_result(row, EvaluationOutcome.IGNORE, next_at, facts)
            return  # an accepted request that needs no review stays accepted
        self._counts["judged"] += 1
        self._counts.update(f"{SHADOW}{one.policy}/{one.action}" for one in verdict.shadow)
        recorded = self.as_recorded(row, verdict)
        if recorded is not verdict:
            outcome = EvaluationOutcome.PEOPLE
            self._counts.update(("human", "accept_human"))
        elif (after := status_after(row.state, verdict)) is not None:
            outcome = EvaluationOutcome.CHANGE
            self._add_change(case, verdict, after, bound)
        elif verdict.action in (Action.HUMAN, Action.WAIT):
            self._counts[str(verdict.action)] += 1
            self._counts["no_rule"] += verdict.rule == NO_RULE
        if needs_profile(verdict.needs):
            outcome = EvaluationOutcome.PROFILE
            self._done.missing_profiles.append(row.person)
        self._add_result(row, outcome, next_at, facts)
        if self.buffer.should_record and is_new_verdict(row.state, recorded):
            self._done.entries.append(self._make_entry(case, recorded))

    def as_recorded(self, row: RequestRow, verdict: Verdict) -> Verdict:
        """Return the verdict with the action that follows: a person decides if the policy may not accept by itself.

        After the last approval, a rule that asks for two people may accept; the run checks who counts.
        """
        asked = replace(verdict, reviewers=1) if row.id in self.approved else verdict
        why = why_people_decide(asked, self.now, self.policy_set.evaluator.zone)
        return verdict if why is None else replace(verdict, action=Action.HUMAN)

    def _add_change(
        self, case: EvaluationInput, verdict: Verdict, after: Status, bound: Mapping[str, BoundFacts]
    ) -> None:
        """Add the change with the traced conditions of its rule, unless the plan has no room for it."""
        row = case.row
        facts = case.facts
        is_in = row.state.status == Status.ACCEPTED
        self._counts["remove" if is_in else VERB_FOR_STATUS[after]] += 1
        if is_in:
            self._done.removed.append(row.id)
        if self.buffer.newest is not None and row.state.asked_at > self.buffer.newest:
            self._done.late_count += 1
            return
        if row.request is not None:
            policy = verdict.policy or ""
            rules = self.policy_set.evaluator.trace_rules(
                facts, policy, lambda rule: rule.id == verdict.rule, bound=bound[policy]
            )
            why = next(rules).conditions
            change = change_for_verdict(PlanSubject(row.request, row.state, row.id), verdict, why)
            if change is not None:
                end = change.end
                if end is not None:
                    end = replace(end, rests_on=find_rows_of_terms(end.terms, case))
                self._done.changes.append(replace(change, end=end))

    def _make_entry(self, case: EvaluationInput, verdict: Verdict) -> e.LedgerEntry:
        private = {
            "facts": {name: fact.json_value() for name, fact in sorted(case.facts.items())},
            "tables": list(case.tables),
        }
        actor = e.policy_actor(verdict.policy, verdict.digest) if verdict.policy else POLICY
        event = verdict_event(verdict, self.policy_set.list_versions)
        return entry_about(case.row, event, actor, self.at, private)
