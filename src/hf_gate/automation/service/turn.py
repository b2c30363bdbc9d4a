"""Runs one unattended turn: syncs repos, makes a plan, executes the changes that the budgets allow, and reports the
result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct, field

from hf_gate.approvals.service.approval_alarms import raise_approval_alarms
from hf_gate.automation.records import DoneByRuleRecord, HoldRecord, TurnResultRecord, TurnSyncRecord
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import HOUR_MS, to_ms
from hf_gate.core.changes import Change
from hf_gate.core.outcomes import ErrorScope, OutcomeKind, classify_error
from hf_gate.core.policy_model import PolicyMode
from hf_gate.core.records import repo_problem_record
from hf_gate.core.runs import UNFINISHED, ChangeState, RunKind
from hf_gate.core.stored_rows import RepoRow, RunRow
from hf_gate.core.turns import Hold
from hf_gate.decisions.records import run_record
from hf_gate.decisions.rows import read_first_turns, read_holds, write_first_turns, write_holds
from hf_gate.decisions.service.budgets import read_budgets
from hf_gate.decisions.service.plans.planning import PlanResult, make_plan
from hf_gate.decisions.service.runs.run_executor import RunExecutor
from hf_gate.decisions.service.runs.runs import create_run
from hf_gate.errors import HfGateError
from hf_gate.grants.service.ends.end_moves import MoveKind
from hf_gate.grants.service.ends.grant_ends import store_skew
from hf_gate.ledger.service.ledger_checks import stop_if_broken
from hf_gate.privacy.service.retention import apply_daily
from hf_gate.requests.service.sync import SyncResult, count_by_report, sync_repo
from hf_gate.requests.sync_schedule import SyncKind, choose_sync
from hf_gate.settings.service.unattended_stop import StopCause, UnattendedStop, read_stop
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.runs import read_run_repos
from hf_gate.store.store import Store
from hf_gate.verdicts.plan import guards
from hf_gate.verdicts.plan.model import make_partial_plan
from hf_gate.verdicts.service.evaluated_parts import EvaluateList
from hf_gate.verdicts.service.evaluation import open_fact_sources
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .holds import hold_of_repo, recent_refusals
from .turn_permissions import TurnFilter, store_refusals

_REPORT_INTERVAL: Final = HOUR_MS  # ms between two comparisons with the Hub's report


class TurnResult(Struct):
    """The result of one turn. `resumed` has unfinished runs of earlier turns, after settling."""

    synced: list[SyncResult] = field(default_factory=list)
    failed: dict[Repo, HfGateError] = field(default_factory=dict)
    refused: dict[Repo, RepoRow] = field(default_factory=dict)  # recent refusals at repos with waiting changes
    planned: PlanResult = field(default_factory=PlanResult)
    holds: list[Hold] = field(default_factory=list)
    run: RunRow | None = None
    stopped: HfGateError | None = None  # the error that ended the run early
    deferred: list[Change] = field(default_factory=list)
    resumed: list[RunRow] = field(default_factory=list)
    forgotten: int = 0  # requests whose personal data was kept long enough and is deleted
    stop: UnattendedStop | None = None  # if set, nothing was changed

    @property
    def is_ledger_broken(self) -> bool:
        """Whether the turn read and planned nothing, because the ledger is broken."""
        return self.stop is not None and self.stop.cause is StopCause.LEDGER_BROKEN

    @property
    def problems(self) -> list[HfGateError]:
        """The errors of repos, and the error that ended the run early."""
        return [*self.failed.values(), *([self.stopped] if self.stopped else [])]

    @property
    def deferred_by_guard(self) -> Counter[str]:
        """The number of changes that are left for a later turn, by guard."""
        return Counter(change.guard for change in self.deferred) + self._left_out

    @property
    def deferred_by_verb(self) -> Counter[str]:
        """The number of changes that are left for a later turn, by verb: an end is a reset or a reject."""
        return Counter(change.verb for change in self.deferred) + self._left_out

    @property
    def _left_out(self) -> Counter[str]:
        return Counter(self.planned.left_out if self.stop is None else {})

    @property
    def has_changes(self) -> bool:
        """Whether a sync found anything new. If so, the next turn starts sooner."""
        return any(one.change_count for one in self.synced)


ExecutorFactory: TypeAlias = Callable[[RunRow], RunExecutor]


class TurnContext(Struct, frozen=True):
    """The dependencies of a turn.

    `make_executor` returns an executor for a run; `evaluate` evaluates one list of a repo.
    """

    workspace: Workspace
    bundle: PolicyBundle
    actor: str
    evaluate: EvaluateList
    make_executor: ExecutorFactory
    is_full: bool = False  # whether every request is evaluated, also those for which nothing changed


def run_turn(context: TurnContext, repos: Sequence[Repo], *, run_id: str, profile_budget: int = 200) -> TurnResult:
    """Run one turn. Runs of dead processes are settled first. An error at one repo does not stop the others.

    While unattended work is stopped, the turn only reads and evaluates. While the ledger is broken, it does nothing.
    """
    workspace = context.workspace
    store = context.workspace.store
    clock = context.workspace.clock
    result = TurnResult(stop=stop_if_broken(store, clock))
    if result.is_ledger_broken:
        return result
    result.resumed = settle_interrupted_runs(store, context.make_executor)
    for repo in repos:
        _sync_one(workspace, repo, result, context.actor)
    raise_approval_alarms(workspace, [repo for repo in repos if repo not in result.failed], lambda: context.bundle)
    moment = clock.now()
    room = _read_room(context, moment)
    turn_filter = _make_plan(context, result, profile_budget, room)
    store_skew(store, result.planned.skew)
    result.stop = read_stop(store)
    allowed: list[Change] = []
    if result.stop is None:
        allowed, result.deferred = guards.apply_budgets(result.planned.plan.changes, room)
    if allowed:
        plan = make_partial_plan(result.planned.plan, allowed)
        run = create_run(store, plan, run_id=run_id, kind=RunKind.AUTO, actor=context.actor, now=clock.now())
        result.run = run
        try:
            result.run = context.make_executor(run).execute(run)
        except HfGateError as problem:  # the result also reports what was done before the error
            result.run = store.run(run.id) or run
            result.stopped = problem
            if classify_error(problem, is_listed=True).scope is ErrorScope.REPO:
                left = read_run_repos(store, run.id, (ChangeState.PLANNED,))
                store_refusals(store, left, str(problem), to_ms(clock.now()))
                result.refused |= {row.repo: row for row in store.repos() if row.repo in left}
    result.holds = [*map(hold_of_repo, result.refused.values()), *turn_filter.find_holds()]
    if result.stop is None:  # otherwise a version's large first turn would come unseen after the start
        _record_first_turns(context, result, turn_filter)
        result.forgotten = sum(apply_daily(workspace, context.actor).values())
    return result


def settle_interrupted_runs(store: Store, executor_of: ExecutorFactory) -> list[RunRow]:
    """Settle the runs that a dead process or an unavailable Hub left unfinished; return the unattended ones.

    A person's run then waits for that person. An unattended run ends, and its unsent changes are planned again, because
    policies, guards and tables may have changed.
    """
    resumed = []
    under_way = {ident for row in store.open_changes() if (ident := row.state.open_run) is not None}
    for run in _find_unfinished_runs(store, under_way):
        if run.kind is RunKind.AUTO and run.state in UNFINISHED:
            resumed.append(executor_of(run).settle_and_end(run))
        elif run.id in under_way or run.state in UNFINISHED or run.counts.get(OutcomeKind.OPEN):
            executor_of(run).settle_and_keep(run)
    return resumed


def _find_unfinished_runs(store: Store, under_way: Collection[str]) -> list[RunRow]:
    """Return the latest runs and older runs with started changes, the oldest first."""
    latest = store.runs()
    left = [store.run(ident) for ident in sorted(set(under_way) - {run.id for run in latest})]
    return [*(run for run in left if run is not None), *reversed(latest)]


def _sync_one(workspace: Workspace, repo: Repo, result: TurnResult, actor: str) -> None:
    hub = workspace.hub
    store = workspace.store
    clock = workspace.clock
    try:
        due = choose_sync(store.repo(repo), to_ms(clock.now()))
        synced = sync_repo(hub, store, clock, repo, due.kind, actor=actor)
        result.synced.append(synced)
        if due.kind is SyncKind.QUICK and synced.change_count and _may_read_report(store, repo, to_ms(clock.now())):
            report = count_by_report(hub, repo)
            if choose_sync(store.repo(repo), to_ms(clock.now()), report).kind is SyncKind.FULL:
                result.synced.append(sync_repo(hub, store, clock, repo, SyncKind.FULL, actor=actor))
    except HfGateError as problem:
        result.failed[repo] = problem


def _may_read_report(store: Store, repo: Repo, now: int) -> bool:
    """Tell whether the Hub's report may be read now (at most once an hour, because it grows with the repo).

    Store the time.
    """
    row = store.repo(repo)
    if row is not None and row.counted_at is not None and 0 <= now - row.counted_at < _REPORT_INTERVAL:
        return False
    with store.writing() as write:
        write.update_repo(repo, {"counted_at": now})
    return True


def _make_plan(context: TurnContext, result: TurnResult, profile_budget: int, room: Mapping[str, int]) -> TurnFilter:
    """Make the plan of a turn without changes that need a person first; return the filter that counted those."""
    workspace = context.workspace
    store = workspace.store
    refusals = recent_refusals(store.repos(), to_ms(workspace.clock.now()))

    filters: list[TurnFilter] = []  # the last one belongs to the final plan

    def make_filter() -> TurnFilter:
        filters.append(TurnFilter(store, (*result.failed, *refusals)))
        return filters[-1]

    result.planned = make_plan(
        workspace,
        context.bundle,
        context.evaluate,
        profile_budget=profile_budget,
        make_filter=make_filter,
        is_full=context.is_full,
        room=room,
    )
    result.refused = {repo: row for repo, row in refusals.items() if str(repo) in filters[-1].counts}
    return filters[-1]


# ---- budgets and first turns -----------------------------------------------------------------------------------------


def _read_room(context: TurnContext, moment: datetime) -> dict[str, int]:
    """Return how many changes of each guard with a budget can be sent now.

    It is read once, so that the plan and what is sent agree.
    """
    budgets = read_budgets(context.workspace.store, context.bundle.config.guards.budgets, moment)
    return {budget.name: max(0, budget.rate.limit - budget.used) for budget in budgets}


def _record_first_turns(context: TurnContext, result: TurnResult, turn_filter: TurnFilter) -> None:
    """Record the policy versions that completed their first turn at a repo, including versions without changes.

    Excluded are held versions, and versions whose first turn was skipped because of a halt or a failed repo.
    """
    store = context.workspace.store
    waiting = {(digest, repo) for _, digest, repo in turn_filter.held_counts} | turn_filter.skipped_versions
    evaluated = {
        (compiled.policy.digest, policy_set.repo)
        for policy_set in context.bundle.for_repos(store, open_fact_sources(context.workspace))
        for compiled in policy_set.evaluator.policies
        if compiled.policy.mode is PolicyMode.ENFORCE and policy_set.repo not in result.failed
    }
    known = read_first_turns(store)
    fresh = [pair for pair in sorted(evaluated - known) if (pair[0], str(pair[1])) not in waiting]
    if fresh or result.holds != read_holds(store):
        with store.writing() as write:
            write_first_turns(write, fresh)
            write_holds(write, result.holds)


def count_ends(result: TurnResult) -> dict[str, int]:
    """Return what a turn did with the ends of grants, as counts."""
    ends = result.planned.ends
    moved = {kind.value: ends.counts.get(kind.value, 0) for kind in MoveKind}
    rest = {"noticed": ends.noticed, "undecided": len(ends.undecided)}
    return {**moved, **rest}


def turn_result_record(result: TurnResult, changes: Iterable[Change] = ()) -> TurnResultRecord:
    """Return the record of a turn that made these changes."""
    run = result.run
    planned = result.planned
    not_sent = (*(hold.count or 0 for hold in result.holds), *planned.left_out.values())
    done = Counter((change.verb, change.policy, change.rule) for change in changes)
    return TurnResultRecord(
        synced=[
            TurnSyncRecord(
                repo=one.repo.id,
                repo_type=one.repo.type,
                kind=one.kind,
                read=one.read,
                news=one.change_count,
                complete=one.complete,
            )
            for one in result.synced
        ],
        failed=[repo_problem_record(repo, str(problem)) for repo, problem in result.failed.items()],
        stopped=None if result.stopped is None else str(result.stopped),
        unattended_stopped_by=None if result.stop is None else result.stop.by,
        profiles=planned.profiles,
        evaluated=planned.evaluated,
        clock_skew_s=None if planned.skew is None else round(planned.skew),
        resumed=list(map(run_record, result.resumed)),
        planned=len(planned.plan.changes) + sum(not_sent),
        run=None if run is None else run.id,
        counts={} if run is None else dict(run.counts),
        deferred=dict(result.deferred_by_guard),
        ends=count_ends(result),
        held=[
            HoldRecord(kind=hold.kind, subject=hold.subject, count=hold.count, sentence=hold.sentence)
            for hold in result.holds
        ],
        summary=dict(planned.plan.summary),
        done=[
            DoneByRuleRecord(verb=verb, policy=policy, rule=rule, count=number)
            for (verb, policy, rule), number in sorted(done.items(), key=str)
        ],
    )
