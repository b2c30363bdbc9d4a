"""Makes the plan of a workspace: binds usernames in tables, reads needed profiles, and evaluates every request once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from ..domain import events as e
from ..domain.ids import Repo
from ..domain.lifecycle import VERB_FOR_STATUS, Status
from ..domain.rows import ListRange, PersonRow, RequestRow, count_pending
from ..domain.runs import ChangeOrigin
from ..domain.timestamps import to_ms
from ..errors import HfGateError
from ..plan import guards
from ..plan.changes import (
    PlanSubject,
    change_for_end,
    change_for_verdict,
    is_new_verdict,
    status_after,
    verdict_event,
)
from ..plan.model import CLOCK_SKEW, ENDS_HELD, ENDS_UNDECIDED, MAX_CHANGES, VALIDITY, Change, Plan, make_partial_plan
from ..plan.model import make_plan as seal_plan
from ..plan.render import SHADOW
from ..policy.model import Action, Facts, Policy, Verdict
from ..policy.opinions import NO_RULE, why_people_decide
from ..protocol.clock_skew import is_clock_off
from ..store.approvals import find_fully_approved
from ..store.store import Store
from .evaluation import CHUNK, EvaluationInput, RepoPolicies, SourcesPort, read_inputs, read_profiles
from .grant_ends import EndRefresh, refresh_ends
from .policy_bundle import PolicyBundle, policies_digest
from .policy_saves import read_holds
from .table_store import bind_tables
from .workspace import Workspace

POLICY: Final = "policy"


@dataclass(slots=True)
class PlanProposal:
    """A plan, and the people whose unread profiles can change a verdict."""

    plan: Plan
    missing_profiles: list[PersonRow] = field(default_factory=list)


class ChangeFilter(Protocol):
    """Decides which changes a plan may contain. Changes from `small_starts` are added at the end."""

    def allows(self, change: Change) -> bool: ...
    def small_starts(self) -> Iterable[Change]: ...


class AllowAll:
    """Allows every change, because a person checks the plan."""

    def allows(self, change: Change) -> bool:  # noqa: ARG002 - the signature of ChangeFilter
        return True

    def small_starts(self) -> Iterable[Change]:
        return ()


@dataclass(slots=True)
class PlanBuffer:
    """Keeps the oldest `limit` changes and counts the others as `dropped`.

    Once the buffer is full, there is no room for changes of requests newer than `newest` (ms). If the plan is for an
    assumed time, `should_record` is false and no verdict is recorded. `protected` counts changes that guards forbid.
    """

    limit: int = MAX_CHANGES
    should_record: bool = True
    filter: ChangeFilter = field(default_factory=AllowAll)
    is_protected: Callable[[Change], bool] = lambda _: False
    protected: int = 0
    changes: list[Change] = field(default_factory=list)
    dropped: int = 0
    newest: int | None = None

    def offer(self, change: Change) -> None:
        """Add a change if the guards and the filter allow it; older changes may displace it."""
        if self.is_protected(change):
            self.protected += 1
        elif self.filter.allows(change):
            self.add(change)

    def add(self, change: Change) -> None:
        """Add a change; older changes may displace it."""
        self.changes.append(change)
        if len(self.changes) >= 2 * self.limit or (self.newest is None and len(self.changes) > self.limit):
            self.close()

    def fill(self) -> list[Change]:
        """Add the small starts and return the changes of the plan."""
        for change in self.filter.small_starts():
            self.add(change)
        self.close()
        return self.changes

    def close(self) -> None:
        """Drop the newest changes beyond the limit."""
        if len(self.changes) > self.limit:
            self.changes.sort(key=lambda one: (one.asked_at, one.sort_key))
            self.dropped += len(self.changes) - self.limit
            del self.changes[self.limit :]
            self.newest = to_ms(datetime.fromisoformat(self.changes[-1].asked_at))


class EvaluatedPart(msgspec.Struct):
    """The results for a part of a list: changes, new verdicts as ledger entries, people with a missing profile, counts.

    `late_count` counts changes for which the plan has no room. `removed` has the row ids of requests that lose access.
    """

    changes: list[Change] = []
    late_count: int = 0
    removed: list[int] = []
    entries: list[e.LedgerEntry] = []
    missing_profiles: list[PersonRow] = []
    counts: dict[str, int] = {}


EvaluateList: TypeAlias = Callable[[RepoPolicies, str, datetime, PlanBuffer], Iterator[EvaluatedPart]]
"""Evaluates the requests of one status at a repo part by part, while the caller fills the buffer."""


def propose_plan(
    store: Store,
    policy_sets: Sequence[RepoPolicies],
    evaluate: EvaluateList,
    *,
    now: datetime,
    policies: Collection[Policy],
    protected: Collection[str] = (),
    is_governed: Callable[[Repo], bool] = lambda _: True,
    valid: timedelta = VALIDITY,
    limit: int = MAX_CHANGES,
    should_record: bool = True,
    change_filter: ChangeFilter | None = None,
    undecided: Collection[int] = (),
) -> PlanProposal:
    """Evaluate the requests of these repos in the statuses that the policies cover; return the plan of changes.

    New verdicts are recorded in the ledger if `should_record`; nothing else is stored. Expired grants end at every repo
    that `is_governed` accepts, evaluated or not, except grants in `undecided`.
    """
    buffer, counts = (
        PlanBuffer(limit, should_record, change_filter or AllowAll(), guards.protection_check(protected)),
        Counter[str](),
    )
    needs: dict[int, PersonRow] = {}
    removed: set[int] = set()  # row ids of requests that lose access by a verdict
    for policy_set in policy_sets:
        for status in policy_set.statuses:
            for part in evaluate(policy_set, status, now, buffer):
                _record_verdicts(store, policy_set, part.entries)
                counts.update(part.counts)
                needs.update((person.id, person) for person in part.missing_profiles)
                removed.update(part.removed)
                buffer.dropped += part.late_count
                for change in part.changes:
                    buffer.offer(change)
    # Each request gets one change: if a verdict removes the access, the end of the grant needs no change.
    ended, counts["end_human"] = _plan_ends(store, is_governed, policies, now, undecided)
    ends = [change for change in ended if change.row not in removed]
    counts["end"] = len(ends)
    for change in ends:
        buffer.offer(change)
    changes = buffer.fill()
    waiting = count_pending(store.repos())
    plan = seal_plan(
        changes,
        policy_digest=policies_digest(policies),
        endpoint=store.endpoint,
        now=now,
        summary={**{key: counts[key] for key in SUMMARY_KEYS}, **_shadow_counts(counts), "protected": buffer.protected},
        guards=guards.guard_report(changes, waiting, buffer.protected),
        valid=valid,
        most=limit,
        dropped=buffer.dropped,
    )
    return PlanProposal(plan, list(needs.values()))


def _shadow_counts(counts: Counter[str]) -> dict[str, int]:
    return {key: counts[key] for key in sorted(counts) if key.startswith(SHADOW)}


def _record_verdicts(store: Store, policy_set: RepoPolicies, news: Sequence[e.LedgerEntry]) -> None:
    if news:
        with store.writing() as write:
            write.append(policy_set.repo, news)


SUMMARY_KEYS: Final = (
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


def evaluate_part(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
    part: ListRange = (None, None),
    buffer: PlanBuffer | None = None,
) -> Iterator[EvaluatedPart]:
    """Evaluate a part of a list, `CHUNK` requests at a time. The function only reads, so several processes can run it."""
    approved = frozenset(find_fully_approved(store.reads, policy_set.repo, MAX_CHANGES))
    evaluation = _PartEvaluation(policy_set, now, buffer or PlanBuffer(), approved)
    for number, case in enumerate(read_inputs(store, policy_set, sources, status, now, part), start=1):
        evaluation.evaluate(case)
        if number % CHUNK == 0:
            yield evaluation.take_results()
    yield evaluation.take_results()


class _PartEvaluation:
    """Collects the results of one part of a list."""

    def __init__(
        self, policy_set: RepoPolicies, now: datetime, buffer: PlanBuffer, approved: Collection[int] = ()
    ) -> None:
        self.policy_set, self.now, self.at, self.buffer = policy_set, now, to_ms(now), buffer
        self.approved = approved  # requests with two approvals
        self._reset()

    def _reset(self) -> None:
        self.changes: list[Change] = []
        self.news: list[e.LedgerEntry] = []
        self.needs: list[PersonRow] = []
        self.counts: Counter[str] = Counter()
        self.out: list[int] = []
        self.late = 0

    def take_results(self) -> EvaluatedPart:
        """Return the results so far and reset them."""
        done = EvaluatedPart(self.changes, self.late, self.out, self.news, self.needs, dict(self.counts))
        self._reset()
        return done

    def evaluate(self, case: EvaluationInput) -> None:
        """Evaluate one request. Conditions are only traced for changes, because tracing takes time."""
        row, facts = case.row, case.facts
        verdict = self.policy_set.evaluator.evaluate(facts, now=self.now, status=row.state.status)
        if verdict is None or row.request is None:
            return
        if row.state.status != Status.PENDING and verdict.rule == NO_RULE:
            return  # an accepted request that needs no review stays accepted
        self.counts["judged"] += 1
        self.counts.update(f"{SHADOW}{one.policy}/{one.action}" for one in verdict.shadow)
        recorded = self._as_recorded(row, verdict)
        if recorded is not verdict:
            self.counts.update(("human", "accept_human"))
        elif (after := status_after(row.state, verdict)) is not None:
            self._add_change(row, facts, verdict, after)
        elif verdict.action in (Action.HUMAN, Action.WAIT):
            self.counts[str(verdict.action)] += 1
            self.counts["no_rule"] += verdict.rule == NO_RULE
        if verdict.needs:
            self.needs.append(row.person)
        if self.buffer.should_record and is_new_verdict(row.state, recorded):
            self.news.append(self._make_entry(case, recorded))

    def _as_recorded(self, row: RequestRow, verdict: Verdict) -> Verdict:
        """Return the verdict with the action that follows: a person decides if the policy may not accept by itself.

        After the last approval, a rule that asks for two people may accept; the run checks who counts.
        """
        asked = dataclass_replace(verdict, reviewers=1) if row.id in self.approved else verdict
        why = why_people_decide(asked, self.now, self.policy_set.evaluator.zone)
        return verdict if why is None else dataclass_replace(verdict, action=Action.HUMAN)

    def _add_change(self, row: RequestRow, facts: Facts, verdict: Verdict, after: Status) -> None:
        """Add the change with the traced conditions of its rule, unless the plan has no room for it."""
        is_in = row.state.status == Status.ACCEPTED
        self.counts["remove" if is_in else VERB_FOR_STATUS[after]] += 1
        if is_in:
            self.out.append(row.id)
        if self.buffer.newest is not None and row.state.asked_at > self.buffer.newest:
            self.late += 1
            return
        if row.request is not None:
            why = self.policy_set.evaluator.trace_conditions(facts, verdict.policy or "", verdict.rule)
            change = change_for_verdict(PlanSubject(row.request, row.state, row.id), verdict, why)
            if change is not None:
                self.changes.append(change)

    def _make_entry(self, case: EvaluationInput, verdict: Verdict) -> e.LedgerEntry:
        private = {
            "facts": {name: fact.json_value() for name, fact in sorted(case.facts.items())},
            "tables": list(case.tables),
            **({"agreements": case.agreements} if case.agreements else {}),
        }
        actor = e.policy_actor(verdict.policy, verdict.digest) if verdict.policy else POLICY
        event = verdict_event(verdict, self.policy_set.list_versions)
        if case.agreements:
            event = replace(event, agreements={name: each["row"] for name, each in case.agreements.items()})
        row = case.row
        return e.LedgerEntry(
            event=event, at=self.at, actor=actor, request=row.id, person=row.person.id, private=private
        )


def _plan_ends(
    store: Store,
    governs: Callable[[Repo], bool],
    policies: Collection[Policy],
    now: datetime,
    undecided: Collection[int] = (),
) -> tuple[list[Change], int]:
    """Return the changes that end expired grants at governed repos, however late.

    Also return how many expired grants have `at_end: human`; these people keep access until a person decides. Grants in
    `undecided` (row ids) end by a condition that is unknown now, so they wait.
    """
    holds = read_holds(store)  # a text that was saved from the desk is sent after its promotion
    promoted = [one for one in policies if one.name not in holds or holds[one.name].before == one.digest]
    reasons = {f"{policy.name}/{rule.id}": rule.end_reason for policy in promoted for rule in policy.rules}
    found, humans = [], 0
    for row in store.iterate_due(to_ms(now)):
        if not governs(row.repo) or row.request is None or row.id in undecided:
            continue
        humans += row.state.at_end == Action.HUMAN
        subject = PlanSubject(row.request, row.state, row.id)
        end_reason = reasons.get(row.state.until_rule or "")
        change = change_for_end(subject, now, end_reason=end_reason, rule=ChangeOrigin.UNTIL)
        if change is not None:
            found.append(change)
    return found, humans


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan and how many profiles were read for it.

    `skew` is how many seconds the clock is off if no grant ends for that reason. `ends` says how ends moved before.
    """

    plan: Plan
    profiles: int = 0
    skew: float | None = None
    ends: EndRefresh = field(default_factory=EndRefresh)


def make_plan(
    workspace: Workspace,
    bundle: PolicyBundle,
    evaluate: EvaluateList,
    *,
    profile_budget: int,
    moment: datetime | None = None,
    valid: timedelta = VALIDITY,
    make_filter: Callable[[], ChangeFilter] = AllowAll,
) -> PlanResult:
    """Return a plan. If profiles can change verdicts, read at most `profile_budget` profiles and plan again.

    Before that, the ends of grants are moved. With a `moment`, nothing is read from the Hub, bound, moved or recorded. `make_filter` is called once for each planning pass.
    """
    store, sources = workspace.store, workspace.sources
    now, is_now = moment or workspace.clock.now(), moment is None
    if is_now:
        bind_tables(store, sources, bundle.tables, profile_budget, to_ms(now))
    skew = _excessive_skew(workspace, now) if is_now else None
    ends = refresh_ends(workspace, bundle, now) if is_now and skew is None else EndRefresh()

    def propose_once() -> PlanProposal:
        return propose_plan(
            store,
            bundle.for_repos(store, sources),
            evaluate,
            now=now,
            policies=bundle.policies,
            protected=bundle.config.guards.protected,
            is_governed=bundle.is_governed if skew is None else lambda _: False,
            valid=valid,
            should_record=is_now,
            change_filter=make_filter(),
            undecided=ends.undecided,
        )

    proposal, read = propose_once(), 0
    if is_now and profile_budget and proposal.missing_profiles:
        read = read_profiles(store, sources, proposal.missing_profiles, now, profile_budget)
    plan = propose_once().plan if read else proposal.plan
    extra = {CLOCK_SKEW: 0 if skew is None else round(skew), ENDS_HELD: ends.held, ENDS_UNDECIDED: len(ends.undecided)}
    if any(extra.values()):  # all interfaces show the summary
        shown = {**plan.summary, **{key: number for key, number in extra.items() if number}}
        plan = make_partial_plan(replace(plan, summary=shown), plan.changes)
    return PlanResult(plan, read, skew, ends)


def _excessive_skew(workspace: Workspace, now: datetime) -> float | None:
    """Return how many seconds the Hub's clock is ahead if that is too much to end grants by our clock; else None."""
    hub = workspace.hub
    if hub.skew is None and (due := next(iter(workspace.store.iterate_due(to_ms(now))), None)) is not None:
        with suppress(HfGateError):
            hub.gate(due.repo)  # no call has been made yet; any answer contains the Hub's time
    return hub.skew if is_clock_off(hub.skew) else None
