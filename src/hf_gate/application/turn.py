"""One turn of the unattended loop: read, learn, judge, do what the budgets allow, end what is over; and say all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..domain.ids import Repo
from ..domain.outcomes import ErrorScope, OutcomeKind, classify_error
from ..domain.rows import RunRow
from ..domain.runs import UNFINISHED, ChangeState, RunKind
from ..domain.timestamps import to_ms
from ..errors import HfGateError
from ..plan import guards
from ..plan.guards import PolicyStart
from ..plan.model import Change, Plan, make_partial_plan
from ..policy.model import PolicyMode
from ..store.promotions import read_first_turns, write_first_turns
from ..store.store import Store
from .halts_and_promotions import HaltedChanges, Refusal, TurnFilter, recent_refusals, store_held_counts, store_refusals
from .planning import EvaluateList, PlanResult, make_plan
from .policy_bundle import PolicyBundle
from .record_builders import run_record
from .run_executor import RunExecutor
from .runs import create_run
from .sync import SyncResult, count_by_report, sync_repo
from .sync_schedule import SyncKind, choose_sync, read_last_full_sync
from .workspace import Workspace

_COUNTED: Final = 3_600_000  # ms between two comparisons with the Hub's own report


@dataclass(slots=True)
class TurnResult:
    """What one turn came to. `held`: how many changes wait of a policy version that may not act there yet.

    `halted`: what waits because somebody paused or stopped a run of it. `resumed`: runs that an earlier turn left
    half-way, as they stand now. `skew`: so many seconds the clock is off, too many to end a grant by it.
    """

    synced: list[SyncResult] = field(default_factory=list)
    failed: dict[Repo, HfGateError] = field(default_factory=dict)
    refused: dict[Repo, Refusal] = field(default_factory=dict)  # decisions, lately: what is to change waits
    profiles: int = 0
    plan: Plan | None = None
    run: RunRow | None = None
    stopped: HfGateError | None = None  # what ended the sending early
    deferred: list[Change] = field(default_factory=list)
    held: Mapping[PolicyStart, int] = field(default_factory=dict)
    skipped_versions: set[tuple[str, str]] = field(default_factory=set)  # versions and repos, for `_remember`
    halted: list[HaltedChanges] = field(default_factory=list)
    resumed: list[RunRow] = field(default_factory=list)
    skew: float | None = None

    @property
    def has_changes(self) -> bool:
        """Whether anything new was met: then the next look comes sooner."""
        return any(one.change_count for one in self.synced)


ExecutorFactory: TypeAlias = Callable[[RunRow], RunExecutor]


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What one turn works with. `executor_of` makes what executes a run; `evaluate` evaluates one list of a repo."""

    workspace: Workspace
    bundle: PolicyBundle
    actor: str
    evaluate: EvaluateList
    make_executor: ExecutorFactory


def run_turn(context: TurnContext, repos: Sequence[Repo], *, run_id: str, profile_budget: int = 200) -> TurnResult:
    """Do everything once. What a dead process left comes first; a repo that fails does not delay the others."""
    workspace, store, clock = context.workspace, context.workspace.store, context.workspace.clock
    done = TurnResult()
    done.resumed = settle_interrupted_runs(store, context.make_executor)
    for repo in repos:
        _sync_repos(workspace, repo, done, context.actor)
    done.plan = _make_plan(context, done, profile_budget).plan
    take = _within_budgets(context, done.plan, done)
    if take:
        plan = make_partial_plan(done.plan, take)
        run = create_run(store, plan, run_id=run_id, kind=RunKind.AUTO, actor=context.actor, now=clock.now())
        done.run = run
        try:
            done.run = context.make_executor(run).execute(run)
        except HfGateError as problem:  # what was done before is told as well
            done.run, done.stopped = store.run(run.id) or run, problem
            if classify_error(problem, is_listed=True).scope is ErrorScope.REPO:
                left = store.changed_repos(run.id, (ChangeState.PLANNED,))
                store_refusals(store, left, str(problem), to_ms(clock.now()))
    _remember(context, done)
    return done


def settle_interrupted_runs(store: Store, executor_of: ExecutorFactory) -> list[RunRow]:
    """Runs that a dead process or an absent Hub left half done: people's are settled and wait for them.

    Our own are settled and over: what they did not send is judged anew, for policies, guards and tables may be others.
    """
    resumed = []
    under_way = {ident for row in store.open_changes() if (ident := row.state.open_run) is not None}
    for run in _runs_to_resume(store, under_way):
        if run.kind is RunKind.AUTO and run.state in UNFINISHED:
            resumed.append(executor_of(run).settle_and_end(run))
        elif run.id in under_way or run.state in UNFINISHED or run.counts.get(OutcomeKind.OPEN):
            executor_of(run).settle_and_keep(run)
    return resumed


def _runs_to_resume(store: Store, under_way: Collection[str]) -> list[RunRow]:
    """The latest runs, and those that left something under way however long ago; the oldest first."""
    latest = store.runs()
    left = [store.run(ident) for ident in sorted(set(under_way) - {run.id for run in latest})]
    return [*(run for run in left if run is not None), *reversed(latest)]


def _sync_repos(workspace: Workspace, repo: Repo, done: TurnResult, actor: str) -> None:
    hub, store, clock = workspace.hub, workspace.store, workspace.clock
    row, note = store.repo(repo), read_last_full_sync(store, repo)
    try:
        due = choose_sync(row, to_ms(clock.now()), note)
        synced = sync_repo(hub, store, clock, repo, due.kind, actor=actor)
        done.synced.append(synced)
        if due.kind is SyncKind.QUICK and synced.change_count and _may_count(store, repo, to_ms(clock.now())):
            report = count_by_report(hub, repo)
            if choose_sync(store.repo(repo), to_ms(clock.now()), note, report).kind is SyncKind.FULL:
                done.synced.append(sync_repo(hub, store, clock, repo, SyncKind.FULL, actor=actor))
    except HfGateError as problem:
        done.failed[repo] = problem


def _may_count(store: Store, repo: Repo, now: int) -> bool:
    """Whether the Hub's report may be read: once an hour, since one answer is as long as the repo is large."""
    row = store.repo(repo)
    if row is not None and row.counted_at is not None and 0 <= now - row.counted_at < _COUNTED:
        return False
    with store.writing() as write:
        write.update_repo(repo, {"counted_at": now})
    return True


def _make_plan(context: TurnContext, done: TurnResult, profile_budget: int) -> PlanResult:
    """Plan a turn: without what needs a person's word first, which is counted."""
    store, now = context.workspace.store, to_ms(context.workspace.clock.now())
    lately = recent_refusals(store.repos(), now)
    made: list[TurnFilter] = []  # the last ones are those of the plan that came out

    def anew() -> TurnFilter:
        made.append(TurnFilter(store, (*done.failed, *lately)))
        return made[-1]

    found = make_plan(
        context.workspace, context.bundle, context.evaluate, profile_budget=profile_budget, make_filter=anew
    )
    doors = made[-1]
    done.profiles, done.held, done.halted = found.profiles, doors.held_counts, list(doors.halted.values())
    done.refused = {repo: refusal for repo, refusal in lately.items() if doors.skipped_counts[str(repo)]}
    done.skipped_versions, done.skew = doors.skipped_versions, found.skew
    return found


# ---- what may be done without being asked ------------------------------------------------------------------------------


def _within_budgets(context: TurnContext, plan: Plan, done: TurnResult) -> list[Change]:
    budgets, store = context.bundle.config.guards.budgets, context.workspace.store
    now = to_ms(context.workspace.clock.now())
    used = {verb: store.count_done(verb, now - rate.seconds * 1000) for verb, rate in budgets.items()}
    take, done.deferred = guards.apply_budgets(plan.changes, budgets, used)
    return take


def _remember(context: TurnContext, done: TurnResult) -> None:
    """Let a version whose first cycle at a repo is over go on there, also one that had nothing to do.

    Not one that is held, nor one whose first cycle was not looked at: because somebody halted it, or the repo is away.
    """
    store = context.workspace.store
    waiting = {(digest, repo) for _, digest, repo in done.held} | done.skipped_versions
    judged = {
        (one.policy.digest, policy_set.repo)
        for policy_set in context.bundle.for_repos(store, context.workspace.sources)
        for one in policy_set.evaluator.policies
        if one.policy.mode is PolicyMode.ENFORCE and policy_set.repo not in done.failed
    }
    store_held_counts(store, done.held)
    known = read_first_turns(store)
    fresh = [pair for pair in sorted(judged - known) if (pair[0], str(pair[1])) not in waiting]
    if fresh:
        with store.writing() as write:
            write_first_turns(write, fresh)


def count_by_policy(held: Mapping[PolicyStart, int]) -> dict[str, int]:
    """How many changes wait of each policy, at all repos together."""
    found: Counter[str] = Counter()
    for (policy, _, _), number in held.items():
        found[policy] += number
    return dict(sorted(found.items()))


def turn_to_dict(done: TurnResult) -> dict[str, object]:
    """One turn as a JSON document."""
    plan, run, held = done.plan, done.run, count_by_policy(done.held)
    return {
        "schema_version": 1,
        "synced": [
            {"repo": one.repo.id, "repo_type": one.repo.type.value, "kind": str(one.kind), "read": one.read, "news": one.change_count, "complete": one.complete}
            for one in done.synced
        ],
        "failed": [
            {"repo": repo.id, "repo_type": repo.type.value, "why": str(problem)} for repo, problem in done.failed.items()
        ],
        "refused": [
            {"repo": repo.id, "repo_type": repo.type.value, "why": refusal.why} for repo, refusal in done.refused.items()
        ],
        "stopped": None if done.stopped is None else str(done.stopped),
        "profiles": done.profiles,
        "clock_skew_s": None if done.skew is None else round(done.skew),
        "resumed": list(map(run_record, done.resumed)),
        "planned": 0 if plan is None else len(plan.changes) + sum(held.values()) + sum(one.count for one in done.halted),
        "run": None if run is None else run.id,
        "counts": {} if run is None else dict(run.counts),
        "deferred": dict(Counter(change.verb for change in done.deferred)),
        "held": held,
        "halted": [{"run": one.run.id, "state": one.run.state, "count": one.count} for one in done.halted],
        "summary": {} if plan is None else plan.summary,
    }  # fmt: skip
