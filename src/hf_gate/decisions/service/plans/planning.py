"""Makes the plan of a workspace: binds usernames in tables, reads needed profiles, and evaluates every request once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.policy_model import Policy
from hf_gate.core.runs import END_GUARD, ChangeOrigin
from hf_gate.core.stored_rows import PersonRow, RequestRow, count_pending
from hf_gate.grants.rows import count_sudden_ends
from hf_gate.grants.service.ends.grant_ends import EndRefresh, fetch_skew, refresh_ends
from hf_gate.hub.protocol.clock_skew import is_clock_off
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.plan import guards
from hf_gate.verdicts.plan.change_builders import PlanSubject, change_for_end
from hf_gate.verdicts.plan.guards import ChangeFilter
from hf_gate.verdicts.plan.model import (
    CLOCK_SKEW,
    ENDS_UNDECIDED,
    MAX_CHANGES,
    NO_PLAN,
    VALIDITY,
    Plan,
    build_plan,
    make_partial_plan,
)
from hf_gate.verdicts.plan.render import SHADOW
from hf_gate.verdicts.service.evaluated_parts import EvaluateList, PlanBuffer
from hf_gate.verdicts.service.evaluation import (
    RepoPolicies,
    SourcesPort,
    open_fact_sources,
    read_profiles,
)
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, policies_digest
from hf_gate.verdicts.service.table_store import bind_tables

from .plan_lists import PlanLists

# ---- ends of grants --------------------------------------------------------------------------------------------------


_CHUNK: Final = 500  # requests that are compared at once with the removals by verdicts


def plan_ends(
    store: Store,
    buffer: PlanBuffer,
    find_removed: Callable[[Sequence[int]], set[int]],
    governs: Callable[[Repo], bool],
    policies: Collection[Policy],
    now: datetime,
    undecided: Collection[int] = (),
) -> Counter[str]:
    """Offer the ends of expired grants at governed repos, those that ended first at the top, and count them.

    Grants in `undecided` (row ids) end by a condition that is unknown now, so they wait. Requests that lose access by a
    verdict get no second change. Sudden ends for which the guard has no room are counted, not built.
    """
    at = to_ms(now)
    counts = Counter[str]()
    reasons = _list_end_reasons(policies)
    sudden = count_sudden_ends(store, at, with_undecided=not undecided)
    left = sum(count for repo, count in sudden.items() if governs(repo))
    for is_sudden in (False, True):
        rows = (row for row in store.iterate_due(at, is_sudden=is_sudden) if governs(row.repo))
        for row, is_removed in _pair_with_removed(rows, find_removed):
            if is_sudden and not buffer.has_room(END_GUARD):
                break
            if row.id in undecided:
                continue
            left -= is_sudden
            change = None if is_removed else _make_end(row, now, reasons)
            if change is not None:
                counts["end"] += 1
                buffer.offer(change)
    if END_GUARD in buffer.room and left > 0:
        counts["end"] += left
        buffer.left_out[END_GUARD] += left
    return counts


def _pair_with_removed(
    rows: Iterable[RequestRow], find_removed: Callable[[Sequence[int]], set[int]]
) -> Iterator[tuple[RequestRow, bool]]:
    """Yield each request with whether it loses access by a verdict."""
    for chunk in split_into_batches(rows, _CHUNK):
        removed = find_removed([row.id for row in chunk])
        yield from ((row, row.id in removed) for row in chunk)


def _list_end_reasons(policies: Collection[Policy]) -> Mapping[str, str | None]:
    """Return the `end_reason` of each rule."""
    return {f"{policy.name}/{rule.id}": rule.end_reason for policy in policies for rule in policy.rules}


def _make_end(row: RequestRow, now: datetime, reasons: Mapping[str, str | None]) -> Change | None:
    if row.request is None:
        return None
    subject = PlanSubject(row.request, row.state, row.id)
    end_reason = reasons.get(row.state.until_rule or "")
    return change_for_end(subject, now, end_reason=end_reason, rule=ChangeOrigin.UNTIL)


# ---- plans -----------------------------------------------------------------------------------------------------------


class PlanResult(Struct, frozen=True):
    """A plan, and how many requests were evaluated and profiles read for it. The default is the result of no planning.

    `missing_profiles` are people whose unread profiles can change a verdict. `left_out` counts the changes that the
    guards have no room for, by guard. `skew` is how many seconds the clock is off if no grant ends for that reason.
    `ends` says how ends moved before.
    """

    plan: Plan = NO_PLAN
    missing_profiles: list[PersonRow] = field(default_factory=list)
    evaluated: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    profiles: int = 0
    skew: float | None = None
    ends: EndRefresh = field(default_factory=EndRefresh)


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
    sources: SourcesPort,
    is_full: bool = False,
    max_profiles: int = MAX_CHANGES,
    room: Mapping[str, int] | None = None,
) -> PlanResult:
    """Evaluate the requests of these repos in the statuses that the policies cover; return the plan of changes.

    New verdicts are recorded in the ledger if `should_record`; nothing else is stored. Expired grants end at every repo
    that `is_governed` accepts, evaluated or not, except grants in `undecided`. Only requests for which something
    changed are evaluated unless `is_full`, and the rest of the plan comes from the stored evaluations. `room` has
    how many changes of each guard can be sent; of these guards, the plan has only the oldest changes.
    """
    buffer = PlanBuffer(limit, should_record, change_filter or ChangeFilter(), guards.protection_check(protected))
    buffer.room = room or {}
    lists = PlanLists(store, buffer, now, sources, protected, max_profiles, is_full=is_full)
    lists.add_all(policy_sets, evaluate)
    counts = lists.counts
    counts.update(plan_ends(store, buffer, lists.find_removed, is_governed, policies, now, undecided))
    changes = buffer.fill()
    waiting = count_pending(store.repos())
    plan = build_plan(
        changes,
        policy_digest=policies_digest(policies),
        endpoint=store.endpoint,
        now=now,
        summary={
            **{key: counts[key] for key in SUMMARY_KEYS},
            **{key: counts[key] for key in sorted(counts) if key.startswith(SHADOW)},
            "protected": buffer.protected,
        },
        guards=guards.guard_report(changes, waiting, buffer.protected),
        valid=valid,
        most=limit,
        dropped=buffer.dropped,
    )
    profiles = list(lists.missing_profiles.values())
    return PlanResult(plan, profiles, lists.evaluated, buffer.left_out)


SUMMARY_KEYS: Final = (
    "judged",
    "accept",
    "reject",
    "reset",
    "remove",
    "end",
    "human",
    "accept_human",
    "wait",
    "no_rule",
)


def make_plan(
    workspace: Workspace,
    bundle: PolicyBundle,
    evaluate: EvaluateList,
    *,
    profile_budget: int,
    moment: datetime | None = None,
    valid: timedelta = VALIDITY,
    make_filter: Callable[[], ChangeFilter] = ChangeFilter,
    is_full: bool = False,
    room: Mapping[str, int] | None = None,
) -> PlanResult:
    """Return a plan. If profiles can change verdicts, read at most `profile_budget` profiles and plan again.

    Before that, the ends of grants are moved. With a `moment`, nothing is read from the Hub, bound, moved or recorded.
    `make_filter` is called once for each planning pass. With `is_full`, every request is evaluated, changed or not.
    `room` is as in `propose_plan`.
    """
    store = workspace.store
    sources = open_fact_sources(workspace)
    now = moment or workspace.clock.now()
    is_now = moment is None
    if is_now:
        bind_tables(store, sources, bundle.tables, profile_budget)
    skew = _excessive_skew(workspace, now) if is_now else None
    ends = EndRefresh()
    if is_now and skew is None:
        ends = refresh_ends(workspace, bundle, now, is_full=is_full)
    if is_now and is_clock_off(measured := workspace.measured_skew):  # maybe only now
        skew = measured

    def propose_once() -> PlanResult:
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
            sources=sources,
            is_full=is_full,
            max_profiles=profile_budget,
            room=room,
        )

    result = propose_once()
    read = 0
    if is_now and profile_budget and result.missing_profiles:
        read = read_profiles(store, sources, result.missing_profiles, now, profile_budget)
    if read:
        again = propose_once()
        result = replace(again, evaluated=result.evaluated + again.evaluated)
    plan = _complete_summary(result.plan, skew, ends)
    return replace(result, plan=plan, profiles=read, skew=skew, ends=ends)


def _complete_summary(plan: Plan, skew: float | None, ends: EndRefresh) -> Plan:
    """Return the plan with a summary that also tells of the clock and of ends; all interfaces show it."""
    extra = {
        CLOCK_SKEW: 0 if skew is None else round(skew),
        ENDS_UNDECIDED: len(ends.undecided),
    }
    if not any(extra.values()):
        return plan
    shown = {**plan.summary, **{key: number for key, number in extra.items() if number}}
    return make_partial_plan(replace(plan, summary=shown), plan.changes)


def _excessive_skew(workspace: Workspace, now: datetime) -> float | None:
    """Return how many seconds the Hub's clock is ahead if that is too much to end grants by our clock; else None."""
    skew = workspace.measured_skew
    due = None if skew is not None else next(iter(workspace.store.iterate_due(to_ms(now))), None)
    if due is not None:
        skew = fetch_skew(workspace.hub, due.repo)
    return skew if is_clock_off(skew) else None
