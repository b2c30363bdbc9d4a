"""From the store and the policies to a plan: each request judged once, what changed entered, what is due to end added."""

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
    """A plan, and whose profile would be read before the next one because it can change a verdict."""

    plan: Plan
    needs: list[PersonRow] = field(default_factory=list)


class ChangeFilter(Protocol):
    """What a change has to pass before it takes a place in a plan: it goes now, or with the `few` at the end, or not at all."""

    def allows(self, change: Change) -> bool: ...
    def small_starts(self) -> Iterable[Change]: ...


class AllowAll:
    """No doors: where a person looks at the plan."""

    def allows(self, change: Change) -> bool:  # noqa: ARG002 - as Doors has it
        return True

    def small_starts(self) -> Iterable[Change]:
        return ()


@dataclass(slots=True)
class PlanBuffer:
    """The oldest changes, at most so many; the rest is counted. `last`: who asked later (ms) finds no room any more.

    `enters` False: the moment is only supposed, so that no verdict becomes an entry. `protected` counts those who take no
    place because nothing may be done to them.
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
        """One more, if it may go; it may be put out by older ones."""
        if self.is_protected(change):
            self.protected += 1
        elif self.filter.allows(change):
            self.add(change)

    def add(self, change: Change) -> None:
        """One more; it may be put out by older ones."""
        self.kept.append(change)
        if len(self.kept) >= 2 * self.most or (self.last is None and len(self.kept) > self.most):
            self.close()

    def fill(self) -> list[Change]:
        """What it holds at the end."""
        for change in self.filter.small_starts():
            self.add(change)
        self.close()
        return self.kept

    def close(self) -> None:
        """No more than there is room for."""
        if len(self.kept) > self.most:
            self.kept.sort(key=lambda one: (one.asked_at, one.sort_key))
            self.dropped += len(self.kept) - self.most
            del self.kept[self.most :]
            self.last = to_ms(datetime.fromisoformat(self.kept[-1].asked_at))


class EvaluatedPart(msgspec.Struct):
    """What came out of a part of a list: the changes that it asks for, the verdicts that are news, whose profile is missing.

    `late` counts the changes that no plan has room for; `out` are the requests of those whom a verdict puts out.
    """

    changes: list[Change] = []
    late: int = 0
    out: list[int] = []
    news: list[e.Entry] = []
    needs: list[PersonRow] = []
    counts: dict[str, int] = {}


EvaluateList: TypeAlias = Callable[[RepoPolicies, str, datetime, PlanBuffer], Iterator[EvaluatedPart]]
"""Judges one status list of a court's repo, part by part; what is judged meanwhile fills the room."""


def propose(
    store: Store,
    courts: Sequence[RepoPolicies],
    hearing: EvaluateList,
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
    """Judges all that waits at these repos (and who is in, where a policy says so), and seals what is to change.

    Verdicts that differ from the last ones are entered into the ledger on the way, unless the moment is only supposed
    (`enters` False); nothing else is changed. Grants end at all repos that the workspace `governs`, judged or not.
    """
    room, counts = (
        PlanBuffer(most, enters, change_filter or AllowAll(), guards.protection_check(protected)),
        Counter[str](),
    )
    needs: dict[int, PersonRow] = {}
    out: set[int] = set()  # who is put out by a verdict
    for court in courts:
        for status in court.statuses:
            for heard in hearing(court, status, now, room):
                _enter(store, court, heard.news)
                counts.update(heard.counts)
                needs.update((person.id, person) for person in heard.needs)
                out.update(heard.out)
                room.dropped += heard.late
                for change in heard.changes:
                    room.offer(change)
    # One change for each request: whoever a verdict puts out needs no end of the grant beside it.
    over, counts["end_human"] = _ends(store, governs, policies, now)
    ends = [change for change in over if change.row not in out]
    counts["end"] = len(ends)
    for change in ends:
        room.offer(change)
    changes = room.fill()
    waiting = count_pending(store.repos())
    plan = make_plan(
        changes,
        policy_digest=policies_digest(policies),
        endpoint=store.endpoint,
        now=now,
        summary={**{key: counts[key] for key in SUMMARY}, **_shadows(counts), "protected": room.protected},
        guards=guards.guard_report(changes, waiting, room.protected),
        valid=valid,
        most=most,
        dropped=room.dropped,
    )
    return Proposal(plan, list(needs.values()))


def _shadows(counts: Counter[str]) -> dict[str, int]:
    return {key: counts[key] for key in sorted(counts) if key.startswith(SHADOW)}


def _enter(store: Store, court: RepoPolicies, news: Sequence[e.Entry]) -> None:
    if news:
        with store.writing() as write:
            write.append(court.repo, news)


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
    court: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
    part: Part = (None, None),
    room: PlanBuffer | None = None,
) -> Iterator[EvaluatedPart]:
    """Judges a part of a list, a thousand at a time. Reads only, so that many may do it at once."""
    sitting = _PartEvaluation(court, now, room or PlanBuffer())
    for number, case in enumerate(read_inputs(store, court, sources, status, now, part), start=1):
        sitting.judge(case)
        if number % CHUNK == 0:
            yield sitting.heard()
    yield sitting.heard()


class _PartEvaluation:
    """A part of one list under judgement."""

    def __init__(self, court: RepoPolicies, now: datetime, room: PlanBuffer) -> None:
        self.court, self.now, self.at, self.room = court, now, to_ms(now), room
        self._begin()

    def _begin(self) -> None:
        self.changes: list[Change] = []
        self.news: list[e.Entry] = []
        self.needs: list[PersonRow] = []
        self.counts: Counter[str] = Counter()
        self.out: list[int] = []
        self.late = 0

    def heard(self) -> EvaluatedPart:
        """What came out so far; a new part begins."""
        done = EvaluatedPart(self.changes, self.late, self.out, self.news, self.needs, dict(self.counts))
        self._begin()
        return done

    def judge(self, case: EvaluationInput) -> None:
        """One request: quickly, and with its reasons only where something is to change."""
        row, facts = case.row, case.facts
        verdict = self.court.evaluator.evaluate(facts, now=self.now, status=row.state.status)
        if verdict is None or row.request is None:
            return
        if row.state.status != Status.PENDING and verdict.rule == NO_RULE:
            return  # who is in stays in, and nobody has to look
        self.counts["judged"] += 1
        self.counts.update(f"{SHADOW}{one.policy}/{one.action}" for one in verdict.shadow)
        if why_people_decide(verdict, self.now, self.court.evaluator.zone) is not None:
            self.counts.update(("human", "accept_human"))
        elif (after := status_after(row.state, verdict)) is not None:
            self._plan(row, facts, verdict, after)
        elif verdict.action in (Action.HUMAN, Action.WAIT):
            self.counts[str(verdict.action)] += 1
            self.counts["no_rule"] += verdict.rule == NO_RULE
        if verdict.needs:
            self.needs.append(row.person)
        if self.room.enters and is_new_verdict(row.state, verdict):
            self.news.append(self._entry(case, verdict))

    def _plan(self, row: RequestRow, facts: Facts, verdict: Verdict, after: Status) -> None:
        """A change with its reasons: only what there is room for pays for them, and only for those of the rule that decided."""
        is_in = row.state.status == Status.ACCEPTED
        self.counts["remove" if is_in else VERB_TO[after]] += 1
        if is_in:
            self.out.append(row.id)
        if self.room.last is not None and row.state.asked_at > self.room.last:
            self.late += 1
            return
        if row.request is not None:
            why = self.court.evaluator.trace_conditions(facts, verdict.policy or "", verdict.rule)
            change = change_for_verdict(PlanSubject(row.request, row.state, row.id), verdict, why)
            if change is not None:
                self.changes.append(change)

    def _entry(self, case: EvaluationInput, verdict: Verdict) -> e.Entry:
        private = {
            "facts": {name: fact_to_json(fact) for name, fact in sorted(case.facts.items())},
            "tables": list(case.tables),
        }
        actor = e.policy_actor(verdict.policy, verdict.digest) if verdict.policy else POLICY
        event = verdict_event(verdict, self.court.lists)
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
