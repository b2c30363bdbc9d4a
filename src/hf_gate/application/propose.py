"""Evaluates every request once, records new verdicts, and puts the changes and the ends of grants into a plan."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

import msgspec

from ..domain import events as e
from ..domain.ids import Repo
from ..domain.lifecycle import VERB_TO, Status
from ..domain.moments import to_ms
from ..domain.rows import Part, PersonRow, RequestRow, count_pending
from ..domain.runs import ChangeOrigin
from ..plan import guards
from ..plan.changes import (
    PlanSubject,
    change_for_end,
    change_for_verdict,
    fact_to_json,
    is_new_verdict,
    status_after,
    verdict_event,
)
from ..plan.model import MAX_CHANGES, VALIDITY, Change, Plan, make_plan
from ..plan.render import SHADOW
from ..policy.model import Action, Facts, Policy, Verdict
from ..policy.opinions import NO_RULE, why_people_decide
from ..store.reading import Store
from .evaluation import CHUNK, EvaluationInput, RepoPolicies, SourcesPort, read_inputs

POLICY: Final = "policy"


@dataclass(slots=True)
class Proposal:
    """A plan, and the people whose profile can change a verdict and was not read yet."""

    plan: Plan
    needs: list[PersonRow] = field(default_factory=list)


class ChangeFilter(Protocol):
    """Decides which changes a plan may hold: now, at the end with the small starts of policies, or not at all."""

    def allows(self, change: Change) -> bool: ...
    def small_starts(self) -> Iterable[Change]: ...


class AllowAll:
    """Allows every change: a person looks at the plan."""

    def allows(self, change: Change) -> bool:  # noqa: ARG002 - as ChangeFilter has it
        return True

    def small_starts(self) -> Iterable[Change]:
        return ()


@dataclass(slots=True)
class PlanBuffer:
    """Keeps the oldest `most` changes and counts the others. `last`: changes of newer requests (ms) have no place any more.

    `enters` False: the moment is only assumed, so no verdict is recorded. `protected` counts changes that guards forbid.
    """

    most: int = MAX_CHANGES
    enters: bool = True
    filter: ChangeFilter = field(default_factory=AllowAll)
    is_protected: Callable[[Change], bool] = lambda _: False
    protected: int = 0
    kept: list[Change] = field(default_factory=list)
    dropped: int = 0
    last: int | None = None

    def offer(self, change: Change) -> None:
        """Add a change if it is allowed; older ones may displace it."""
        if self.is_protected(change):
            self.protected += 1
        elif self.filter.allows(change):
            self.add(change)

    def add(self, change: Change) -> None:
        """Add a change; older ones may displace it."""
        self.kept.append(change)
        if len(self.kept) >= 2 * self.most or (self.last is None and len(self.kept) > self.most):
            self.close()

    def fill(self) -> list[Change]:
        """Return the changes of the plan."""
        for change in self.filter.small_starts():
            self.add(change)
        self.close()
        return self.kept

    def close(self) -> None:
        """Drop the newest changes above the limit."""
        if len(self.kept) > self.most:
            self.kept.sort(key=lambda one: (one.asked_at, one.sort_key))
            self.dropped += len(self.kept) - self.most
            del self.kept[self.most :]
            self.last = to_ms(datetime.fromisoformat(self.kept[-1].asked_at))


class EvaluatedPart(msgspec.Struct):
    """The results for a part of a list: changes, new verdicts as entries, and the people whose profile is missing.

    `late` counts changes that have no place in the plan; `out` are requests whose access a verdict ends.
    """

    changes: list[Change] = []
    late: int = 0
    out: list[int] = []
    news: list[e.Entry] = []
    needs: list[PersonRow] = []
    counts: dict[str, int] = {}


EvaluateList: TypeAlias = Callable[[RepoPolicies, str, datetime, PlanBuffer], Iterator[EvaluatedPart]]
"""Evaluates one status list of a repo part by part; the caller fills the buffer meanwhile."""


def propose(
    store: Store,
    policy_sets: Sequence[RepoPolicies],
    evaluate: EvaluateList,
    *,
    now: datetime,
    policies: Collection[Policy],
    protected: Collection[str] = (),
    governs: Callable[[Repo], bool] = lambda _: True,
    valid: timedelta = VALIDITY,
    most: int = MAX_CHANGES,
    enters: bool = True,
    change_filter: ChangeFilter | None = None,
) -> Proposal:
    """Evaluate the pending requests of these repos, and accepted ones if a policy says so; return the plan of changes.

    New verdicts are recorded in the ledger unless the moment is only assumed (`enters` False); nothing else changes.
    Grants end at all repos that the workspace `governs`, evaluated or not.
    """
    buffer, counts = (
        PlanBuffer(most, enters, change_filter or AllowAll(), guards.protection_check(protected)),
        Counter[str](),
    )
    needs: dict[int, PersonRow] = {}
    out: set[int] = set()  # who is put out by a verdict
    for policy_set in policy_sets:
        for status in policy_set.statuses:
            for part in evaluate(policy_set, status, now, buffer):
                _enter(store, policy_set, part.news)
                counts.update(part.counts)
                needs.update((person.id, person) for person in part.needs)
                out.update(part.out)
                buffer.dropped += part.late
                for change in part.changes:
                    buffer.offer(change)
    # One change for each request: whoever a verdict puts out needs no end of the grant beside it.
    over, counts["end_human"] = _ends(store, governs, policies, now)
    ends = [change for change in over if change.row not in out]
    counts["end"] = len(ends)
    for change in ends:
        buffer.offer(change)
    changes = buffer.fill()
    waiting = count_pending(store.repos())
    plan = make_plan(
        changes,
        policy_digest=policies_digest(policies),
        endpoint=store.endpoint,
        now=now,
        summary={**{key: counts[key] for key in SUMMARY}, **_shadows(counts), "protected": buffer.protected},
        guards=guards.guard_report(changes, waiting, buffer.protected),
        valid=valid,
        most=most,
        dropped=buffer.dropped,
    )
    return Proposal(plan, list(needs.values()))


def _shadows(counts: Counter[str]) -> dict[str, int]:
    return {key: counts[key] for key in sorted(counts) if key.startswith(SHADOW)}


def _enter(store: Store, policy_set: RepoPolicies, news: Sequence[e.Entry]) -> None:
    if news:
        with store.writing() as write:
            write.append(policy_set.repo, news)


SUMMARY: Final = (
    "judged",
    "accept",
    "reject",
    "reset",
    "remove",
    "end",
    "end_human",
    "human",
    "accept_human",
    "wait",
    "no_rule",
)


def policies_digest(policies: Iterable[Policy]) -> str:
    """Over what all policies mean together: a plan holds only as long as none of them changes."""
    return hashlib.sha256(e.canonical(sorted((policy.name, policy.digest) for policy in policies))).hexdigest()


def evaluate_part(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
    part: Part = (None, None),
    buffer: PlanBuffer | None = None,
) -> Iterator[EvaluatedPart]:
    """Evaluate a part of a list, a thousand at a time. It only reads, so several processes may do it at once."""
    evaluation = _PartEvaluation(policy_set, now, buffer or PlanBuffer())
    for number, case in enumerate(read_inputs(store, policy_set, sources, status, now, part), start=1):
        evaluation.evaluate(case)
        if number % CHUNK == 0:
            yield evaluation.take_results()
    yield evaluation.take_results()


class _PartEvaluation:
    """Collects the results of one part of a list."""

    def __init__(self, policy_set: RepoPolicies, now: datetime, buffer: PlanBuffer) -> None:
        self.policy_set, self.now, self.at, self.buffer = policy_set, now, to_ms(now), buffer
        self._begin()

    def _begin(self) -> None:
        self.changes: list[Change] = []
        self.news: list[e.Entry] = []
        self.needs: list[PersonRow] = []
        self.counts: Counter[str] = Counter()
        self.out: list[int] = []
        self.late = 0

    def take_results(self) -> EvaluatedPart:
        """Return the results so far and begin a new part."""
        done = EvaluatedPart(self.changes, self.late, self.out, self.news, self.needs, dict(self.counts))
        self._begin()
        return done

    def evaluate(self, case: EvaluationInput) -> None:
        """Evaluate one request; its conditions are traced only if something changes."""
        row, facts = case.row, case.facts
        verdict = self.policy_set.evaluator.evaluate(facts, now=self.now, status=row.state.status)
        if verdict is None or row.request is None:
            return
        if row.state.status != Status.PENDING and verdict.rule == NO_RULE:
            return  # who is in stays in, and nobody has to look
        self.counts["judged"] += 1
        self.counts.update(f"{SHADOW}{one.policy}/{one.action}" for one in verdict.shadow)
        if why_people_decide(verdict, self.now, self.policy_set.evaluator.zone) is not None:
            self.counts.update(("human", "accept_human"))
        elif (after := status_after(row.state, verdict)) is not None:
            self._plan(row, facts, verdict, after)
        elif verdict.action in (Action.HUMAN, Action.WAIT):
            self.counts[str(verdict.action)] += 1
            self.counts["no_rule"] += verdict.rule == NO_RULE
        if verdict.needs:
            self.needs.append(row.person)
        if self.buffer.enters and is_new_verdict(row.state, verdict):
            self.news.append(self._entry(case, verdict))

    def _plan(self, row: RequestRow, facts: Facts, verdict: Verdict, after: Status) -> None:
        """Add a change with the conditions of the rule that decided, if it has a place in the plan: tracing takes time."""
        is_in = row.state.status == Status.ACCEPTED
        self.counts["remove" if is_in else VERB_TO[after]] += 1
        if is_in:
            self.out.append(row.id)
        if self.buffer.last is not None and row.state.asked_at > self.buffer.last:
            self.late += 1
            return
        if row.request is not None:
            why = self.policy_set.evaluator.trace_conditions(facts, verdict.policy or "", verdict.rule)
            change = change_for_verdict(PlanSubject(row.request, row.state, row.id), verdict, why)
            if change is not None:
                self.changes.append(change)

    def _entry(self, case: EvaluationInput, verdict: Verdict) -> e.Entry:
        private = {
            "facts": {name: fact_to_json(fact) for name, fact in sorted(case.facts.items())},
            "tables": list(case.tables),
        }
        actor = e.policy_actor(verdict.policy, verdict.digest) if verdict.policy else POLICY
        event = verdict_event(verdict, self.policy_set.lists)
        row = case.row
        return e.Entry(event=event, at=self.at, actor=actor, request=row.id, person=row.person.id, private=private)


def _ends(
    store: Store, governs: Callable[[Repo], bool], policies: Collection[Policy], now: datetime
) -> tuple[list[Change], int]:
    """Grants whose time is over, at repos of the workspace: their end is planned, late when we come late.

    Also how many of them end by a person's hand (`at_end: human`), who are in until somebody decides.
    """
    reasons = {f"{policy.name}/{rule.id}": rule.end_reason for policy in policies for rule in policy.rules}
    found, humans = [], 0
    for row in store.due(to_ms(now)):
        if not governs(row.repo) or row.request is None:
            continue
        humans += row.state.at_end == Action.HUMAN
        subject = PlanSubject(row.request, row.state, row.id)
        change = change_for_end(
            subject, now, end_reason=reasons.get(row.state.until_rule or ""), rule=ChangeOrigin.UNTIL
        )
        if change is not None:
            found.append(change)
    return found, humans
