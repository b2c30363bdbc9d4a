"""From the store and the policies to a plan: each request judged once, what changed entered, what is due to end added."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ..domain import events as e
from ..domain.moments import ms
from ..domain.rows import PersonRow, RequestRow
from ..plan import guards
from ..plan.desired import Subject, change_for, ended, is_news, plain, verdict_event
from ..plan.model import MOST, VALID, Change, Plan, sealed
from ..policy.model import Action, Facts, Mode, Policy, Verdict
from .judging import Case, Court, SourcesPort, cases
from .ports import StorePort

POLICY: Final = "policy"
UNTIL: Final = "until"


@dataclass(slots=True)
class Proposal:
    """A plan, and whose profile would be read before the next one because it can change a verdict."""

    plan: Plan
    needs: list[PersonRow] = field(default_factory=list)
    entered: int = 0  # verdicts that are new or differ


@dataclass(slots=True)
class _Heap:
    """The oldest changes, at most so many; the rest is counted."""

    most: int
    kept: list[Change] = field(default_factory=list)
    dropped: int = 0

    def add(self, change: Change) -> None:
        self.kept.append(change)
        if len(self.kept) >= 2 * self.most:
            self.kept.sort(key=lambda one: (one.asked_at, one.order))
            self.dropped += len(self.kept) - self.most
            del self.kept[self.most :]


def propose(
    store: StorePort,
    courts: Sequence[Court],
    sources: SourcesPort,
    *,
    now: datetime,
    policies: Collection[Policy],
    protected: Collection[str] = (),
    valid: timedelta = VALID,
    most: int = MOST,
) -> Proposal:
    """Judges all that waits at these repos (and who is in, where a policy says so), and seals what is to change.

    Verdicts that differ from the last ones are entered into the ledger on the way; nothing else is changed.
    """
    heap, counts = _Heap(most), Counter[str]()
    proposal_needs: dict[int, PersonRow] = {}
    entered = 0
    for court in courts:
        for status in court.statuses:
            bench = _Sitting(store, court, now, heap, counts, proposal_needs)
            bench.hear(cases(store, court, sources, status, now))
            entered += bench.entered
    ends = _ends(store, courts, policies, now)
    counts["end"] = len(ends)
    for change in ends:
        heap.add(change)
    changes, out = guards.protect(heap.kept, protected)
    waiting = sum(row.counts.get("pending", 0) for row in store.repos())
    plan = sealed(
        changes,
        policy_digest=policies_digest(policies),
        endpoint=store.endpoint,
        now=now,
        summary={**{key: counts[key] for key in SUMMARY}, "protected": len(out)},
        guards=guards.told(changes, waiting, len(out)),
        valid=valid,
        most=most,
        dropped=heap.dropped,
    )
    return Proposal(plan, list(proposal_needs.values()), entered)


SUMMARY: Final = ("judged", "accept", "reject", "reset", "remove", "end", "human", "wait", "no_rule")


def policies_digest(policies: Iterable[Policy]) -> str:
    """Over what all policies mean together: a plan holds only as long as none of them changes."""
    return hashlib.sha256(e.canonical(sorted((policy.name, policy.digest) for policy in policies))).hexdigest()


class _Sitting:
    """One status list of one repo, judged in one pass."""

    def __init__(
        self,
        store: StorePort,
        court: Court,
        now: datetime,
        heap: _Heap,
        counts: Counter[str],
        needs: dict[int, PersonRow],
    ) -> None:
        self.store, self.court, self.now, self.heap, self.counts, self.needs = store, court, now, heap, counts, needs
        self.entered = 0
        self._entries: list[e.Entry] = []

    def hear(self, all_cases: Iterable[Case]) -> None:
        """Judge each; write what is new a thousand at a time."""
        for case in all_cases:
            self._judge(case)
            if len(self._entries) >= 1000:
                self._write()
        self._write()

    def _judge(self, case: Case) -> None:
        row, facts = case.row, case.facts
        verdict = self.court.judge.quick(facts, now=self.now, status=row.state.status)
        if verdict is None:
            return
        self.counts["judged"] += 1
        if row.request is None:
            return
        change = change_for(Subject(row.request, row.state, row.id), verdict)
        if change is not None:
            self._plan(row, facts)
        elif verdict.action in (Action.HUMAN, Action.WAIT):
            self.counts[str(verdict.action)] += 1
            self.counts["no_rule"] += verdict.rule == "none"
        if verdict.needs:
            self.needs[row.person.id] = row.person
        if is_news(row.state, verdict):
            self._enter(case, verdict)

    def _plan(self, row: RequestRow, facts: Facts) -> None:
        """The same verdict once more, with its reasons: only what is planned pays for them."""
        verdict = self.court.judge.verdict(facts, now=self.now, status=row.state.status)
        change = None
        if verdict is not None and row.request is not None:
            change = change_for(Subject(row.request, row.state, row.id), verdict)
        if change is not None:
            self.counts[change.verb] += 1
            self.heap.add(change)

    def _enter(self, case: Case, verdict: Verdict) -> None:
        private = {
            "facts": {name: plain(fact) for name, fact in sorted(case.facts.items())},
            "tables": list(case.tables),
        }
        actor = f"policy:{verdict.policy}@{(verdict.digest or '')[:8]}" if verdict.policy else POLICY
        self._entries.append(
            e.Entry(
                event=verdict_event(verdict, self.court.lists),
                at=ms(self.now),
                actor=actor,
                request=case.row.id,
                person=case.row.person.id,
                private=private,
            )
        )

    def _write(self) -> None:
        if not self._entries:
            return
        with self.store.writing() as write:
            write.append(self.court.repo, self._entries)
        self.entered += len(self._entries)
        self._entries = []


def _ends(store: StorePort, courts: Sequence[Court], policies: Collection[Policy], now: datetime) -> list[Change]:
    """Grants whose time is over, at repos of the desk: their end is planned, late when we come late."""
    mine = {court.repo for court in courts}
    reasons = {rule.id: rule.end_reason for policy in policies if policy.mode is Mode.ENFORCE for rule in policy.rules}
    found = []
    for row in store.due(ms(now)):
        if row.repo in mine and row.request is not None:
            subject = Subject(row.request, row.state, row.id)
            change = ended(subject, now, end_reason=reasons.get(row.state.until_rule or ""), rule=UNTIL)
            if change is not None:
                found.append(change)
    return found
