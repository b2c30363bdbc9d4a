"""run and expire: the loop that needs nobody there, and what ends when."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Final

import click

from ..application.record_builders import grant_end_record
from ..application.records import GrantEndRecord
from ..domain.outcomes import OutcomeKind, exit_code_of_counts
from ..domain.runs import ChangeState, RunState
from ..domain.timestamps import from_ms
from ..errors import HfGateError, NotAllowed, UsageError
from .execution import describe_done, done_changes
from .framework import CommandEntry, GateGroup, command, limit_options
from .output import Column, clock_advice, count_of, format_duration, format_end
from .request_table import repo_argument
from .workspace import actor_of, make_executor, open_with_policies, open_workspace, select_repos

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..application.halts_and_promotions import HaltedChanges
    from ..application.policy_bundle import PolicyBundle
    from ..application.turn import TurnResult
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..plan.model import Change
    from .framework import Run

_LOOK_FOR_REPOS: Final = 3600.0  # seconds between two looks for repos that a glob means
_LEFT: Final[Mapping[str, str]] = {ChangeState.PLANNED: "not sent and judged anew", ChangeState.STARTED: "open"}


@command(
    "run",
    examples=("hf-gate run --once --json", "hf-gate run --every 5m", "hf-gate run --every auto --reserve 50"),
)
@click.option("--once", is_flag=True, help="One turn, for cron and jobs.")
@click.option(
    "--every", metavar="TIME", help="Turn after turn: 5m, or auto (1 to 30 minutes, sooner while there is news)."
)
@click.option(
    "--profiles", type=click.IntRange(0), default=200, show_default=True, help="Profiles read in a turn at most."
)
@click.option("--reserve", metavar="PERCENT", help="Of the token's calls, left free for other work: 25 unless said.")
def run_(run: Run, once: bool, every: str | None, profiles: int, reserve: str | None) -> int:
    """Run the policies unattended: sync, evaluate, apply within the guards, and end expired grants.

    What is over a guard is deferred to the next turn and named. A policy version whose first turn at a repo would change
    more than 50 requests waits for `hf-gate policy promote`. Ctrl-C ends it after the batch in flight.
    """
    from ..config import parse_seconds  # noqa: PLC0415 - only here

    if once == (every is not None):
        raise UsageError("say --once, or --every TIME.", hint="hf-gate run --every auto")
    pause = None if every in {None, "auto"} else parse_seconds(str(every), "--every")
    if reserve is not None:
        run.flags["reserve"] = reserve
    loop = _Loop(run, profiles)
    return loop.run_turn() if once else loop.run_forever(pause)


class _Loop:
    """Turn after turn; a Hub that is away or a repo that fails is told, and tried again the next time.

    Each turn reads the workspace anew, policies and tables too, and has the store to itself no longer than it lasts.
    """

    def __init__(self, run: Run, profiles: int) -> None:
        self.run, self.profiles = run, profiles
        self.pause = 300.0
        self.has_news = False
        self._repos: list[Repo] = []
        self._looked = float("-inf")
        self._is_warned = False

    def run_forever(self, pause: float | None) -> int:
        """Until somebody ends it, or the token is refused."""
        clock = self.run.connection.clock
        while True:
            began = clock.now().timestamp()
            self.has_news = False
            try:
                self.run_turn()
            except NotAllowed:
                raise
            except HfGateError as problem:
                self.run.out.warn(f"{problem} The next turn tries again.")
            self.pause = self._next() if pause is None else pause
            self._warn_of_greed(pause)
            clock.sleep(max(0.0, began + self.pause - clock.now().timestamp()))

    def _next(self) -> float:
        from ..application.sync_schedule import next_pause  # noqa: PLC0415 - only who loops

        seen, calls = self.run.hub.outlook(), 4 * len(self._repos)
        return next_pause(self.pause, has_news=self.has_news, calls=calls, quota=seen.quota, window=seen.window_s)

    def _warn_of_greed(self, pause: float | None) -> None:
        """Says once when a pause that somebody chose leaves others less of the token than is usual."""
        from ..application.sync_schedule import minimum_pause  # noqa: PLC0415 - as above

        seen = self.run.hub.outlook()
        least = minimum_pause(4 * len(self._repos), seen.quota, seen.window_s)
        if pause is not None and pause < least and not self._is_warned:
            self._is_warned = True
            self.run.out.warn(budget_warning(pause, least, len(self._repos)))

    def run_turn(self) -> int:
        """One turn, told in a line; its exit code."""
        self.run.forget_location()  # hf-gate.yaml may have been edited since the last turn
        workspace, bundle = open_with_policies(self.run)
        with workspace:
            return self._turn(workspace, bundle)

    def _turn(self, workspace: Workspace, bundle: PolicyBundle) -> int:
        from ..application.evaluation_pool import EvaluationPool  # noqa: PLC0415 - only who runs
        from ..application.turn import TurnContext, run_turn, turn_to_dict  # noqa: PLC0415 - as above
        from ..application.workspace import new_id  # noqa: PLC0415 - as above

        with EvaluationPool(workspace, bundle) as pool:
            context = TurnContext(
                workspace, bundle, actor_of(self.run), pool.evaluate, lambda run: make_executor(workspace, run)
            )
            done = run_turn(context, self.repos(workspace), run_id=new_id(), profile_budget=self.profiles)
        self.has_news = done.has_changes
        if done.skew is not None:
            self.run.out.warn(f"No grant was ended: {clock_advice(done.skew)}")
        changes = [] if done.run is None else done_changes(workspace, done.run)
        document = {**turn_to_dict(done), "done": _done_rows(changes)}
        self.run.out.document(document, lambda: list(_lines(done, changes)))
        return _code(done)

    def repos(self, workspace: Workspace) -> list[Repo]:
        """The repos of the workspace; what globs mean is asked again every hour."""
        now = workspace.clock.now().timestamp()
        if now - self._looked >= _LOOK_FOR_REPOS:
            self._repos, self._looked = select_repos(self.run, (), None), now
        return self._repos


def budget_warning(pause: float, least: float, repos: int) -> str:
    """How much of the token's calls a pause takes that is shorter than the share of looking asks for."""
    from ..application.sync_schedule import QUOTA_SHARE  # noqa: PLC0415 - only who loops

    return (
        f"To look at {count_of(repos, 'repo')} every {format_duration(pause)} takes {QUOTA_SHARE * least / pause:.0%} of this token's"
        f" calls; --every {ceil(least / 60)}m, or auto, keeps it to {QUOTA_SHARE:.0%}."
    )


def _code(done: TurnResult) -> int:
    """By the table of outcomes: a part that failed beside one that did not is 5; nothing but failure raises its reason."""
    counts = {} if done.run is None else done.run.counts
    failures = [*done.failed.values(), *([done.stopped] if done.stopped else [])]
    if failures and not done.synced and not counts.get(OutcomeKind.DONE):
        raise failures[0]
    if failures or done.refused or (done.run is not None and done.run.state is RunState.INTERRUPTED):
        return 5
    return exit_code_of_counts(counts)


def _done_rows(changes: Sequence[Change]) -> list[dict[str, object]]:
    """What was done, by verb and rule."""
    found = Counter((change.verb, change.policy, change.rule) for change in changes)
    return [
        {"verb": verb, "policy": policy, "rule": rule, "count": number}
        for (verb, policy, rule), number in sorted(found.items(), key=str)
    ]


def _lines(done: TurnResult, changes: Sequence[Change]) -> Iterator[str]:
    """One turn in words: what was new, what was done, and what was not and why."""
    from ..plan.render import render_shadow_actions  # noqa: PLC0415 - only who runs

    news = sum(one.change_count for one in done.synced)
    kinds = ", ".join(sorted({str(one.kind) for one in done.synced})) or "nothing"
    yield f"Read {count_of(len(done.synced), 'repo')} ({kinds}): {count_of(news, 'change')} found."
    for repo, problem in done.failed.items():
        yield f"  {repo} could not be read: {problem}"
    if done.profiles:
        yield f"  {count_of(done.profiles, 'profile')} read."
    for each in done.resumed:
        counts = _counts({_LEFT.get(state, state): number for state, number in each.counts.items()})
        yield f"  run {each.id}, left half-way before, was settled ({each.state}): {counts}."
    if done.run is not None:
        counts = _counts(done.run.counts)
        words = describe_done(changes)
        yield f"  run {done.run.id} ({done.run.state}): {counts}{': ' + words if words else ''}."
    if done.plan is not None:
        yield from (f"  {line}" for line in render_shadow_actions(done.plan))
    yield from _describe_remaining(done)
    late = [change for change in done.plan.changes if change.rule == "until"] if done.plan else []
    days = [int(one.facts["days_late"]) for change in late for one in change.because if one.facts.get("days_late")]
    if days:
        yield f"  {count_of(len(days), 'grant')} over for {max(days)} days or less: this comes late."


def _describe_remaining(done: TurnResult) -> Iterator[str]:
    """What the policies want and this turn did not do, each with what lets it go on."""
    from ..application.halts_and_promotions import REFUSAL_PAUSE  # noqa: PLC0415 - only who runs
    from ..application.turn import count_by_policy  # noqa: PLC0415 - as above

    for repo, refusal in done.refused.items():
        again = from_ms(refusal.at + REFUSAL_PAUSE)
        yield (
            f"  {repo} took no decisions lately: {refusal.why} Tried again after {again:%H:%M} UTC;"
            " sooner by hand: hf-gate plan --out plan.json."
        )
    if done.stopped is not None:
        yield f"  stopped: {done.stopped}"
    for verb, number in _count_names(change.verb for change in done.deferred):
        yield (
            f"  {number:,} to {verb} are over a guard in hf-gate.yaml (`hf-gate status` says which): left for a later"
            " turn. Sooner, by hand: `hf-gate plan --out plan.json`, then `hf-gate apply plan.json`."
        )
    for policy, number in count_by_policy(done.held).items():
        yield (
            f"  {number:,} of policy {policy} wait: its first turn would change more than 50 requests at a repo."
            f" Look with `hf-gate plan`, then `hf-gate policy promote {policy}`."
        )
    for one in done.halted:
        yield f"  {one.count:,} wait: run {one.run.id}, which was to do this, was {one.run.state}. {_go_on(one)}"


def _go_on(waiting: HaltedChanges) -> str:
    """How whoever halted a run lets its policies act again."""
    ident = waiting.run.id
    if waiting.run.state is RunState.PAUSED:
        return f"Go on: hf-gate runs resume {ident}; or for good: hf-gate runs stop {ident}."
    if not waiting.policies:
        return "To end them by hand: hf-gate plan --out plan.json."
    return f"Edit the policy, or let it act as it is: hf-gate policy promote {' or '.join(sorted(waiting.policies))}."


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number)


def _count_names(names: Iterator[str]) -> list[tuple[str, int]]:
    return sorted(Counter(names).items())


# ---- what ends when ----------------------------------------------------------------------------------------------------

expire = GateGroup("expire", {"ls": CommandEntry("run:expire_ls", "What ends when.")}, help="Grants that end.")


@command("ls", examples=("hf-gate expire ls", "hf-gate expire ls --within 30d --json"))
@click.option("--within", metavar="TIME", default="36500d", help="Only what ends in this time: 30d.")
@limit_options
def expire_ls(run: Run, within: str, limit: int | None) -> int:
    """List grants with an end, earliest first. `hf-gate run` plans each end when it is due."""
    from ..config import parse_seconds  # noqa: PLC0415 - only here

    workspace = open_workspace(run)
    now = workspace.now()
    last = round((now.timestamp() + parse_seconds(within, "--within")) * 1000)
    rows = map(grant_end_record, workspace.store.iterate_due(last))

    columns: Sequence[Column[GrantEndRecord]] = (
        Column("ENDS", lambda row: format_end((datetime.fromisoformat(row.until) - now).total_seconds())),
        Column("WHO", lambda row: row.user or row.user_id or ""),
        Column("REPO", repo_argument),
        Column("THEN", lambda row: "a person decides" if row.at_end == "human" else str(row.at_end)),
        Column("RULE", lambda row: row.rule or "by hand", is_flexible=True),
    )
    run.out.records(
        GrantEndRecord,
        rows,
        columns,
        name=lambda row: row.request_id or "",
        limit=limit,
        empty="Nothing ends.",
        part="the first {} to end",
    )
    return 0
