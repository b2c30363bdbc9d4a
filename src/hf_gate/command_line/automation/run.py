"""run: run the policies unattended, and report what each turn did and did not do."""

from __future__ import annotations

import math
import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.environment import require_writes
from hf_gate.base.timestamps import format_span, to_ms
from hf_gate.command_line.decisions.execution import describe_done, done_changes
from hf_gate.command_line.framework import command, full_evaluation_option
from hf_gate.command_line.output import clock_advice
from hf_gate.command_line.workspace_opening import executor_for, find_actor, open_with_policies, select_repos
from hf_gate.config import parse_seconds
from hf_gate.core.outcomes import exit_code_of_counts
from hf_gate.core.runs import ChangeState
from hf_gate.core.turns import TurnEnd
from hf_gate.errors import (
    HfGateError,
    HubUnavailable,
    NotAllowed,
    Offline,
    StoreBusy,
    StoreTooNew,
    StoreUnavailable,
    UsageError,
)

from .log_lines import LogLines
from .run_notices import NoticeSender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hf_gate.automation.service.leading import LoopLead
    from hf_gate.automation.service.turn import TurnResult
    from hf_gate.base.ids import Repo
    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.changes import Change
    from hf_gate.core.turns import TurnRow
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

_LATE_HOURS: Final = 2  # an end that is less late is on time: turns take place every few minutes
_RETRY_PAUSE: Final = 5.0  # seconds until a loop that could not ask for the lead asks again
_REPO_SEARCH_INTERVAL: Final = 3600.0  # seconds between two searches for repos that match a glob
_UNFINISHED: Final[Mapping[str, str]] = {
    ChangeState.PLANNED: "not sent, will be evaluated again",
    ChangeState.STARTED: "open",
}


@command(
    "run",
    examples=("hf-gate run --once --json", "hf-gate run --every 5m", "hf-gate run --every auto --reserve 50"),
)
@click.option("--once", is_flag=True, help="Run one turn, then exit; for cron and jobs.")
@click.option(
    "--every",
    metavar="TIME",
    help="Repeat at this interval: 5m, or auto (1 to 30 minutes, shorter while there are changes).",
)
@click.option(
    "--profiles",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Maximum number of profiles to read in a turn.",
)
@click.option("--reserve", metavar="PERCENT", help="Share of the token's calls kept free for other work; default: 25.")
@click.option(
    "--log",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Messages on stderr: text, or JSON lines with the time and the turn.",
)
@full_evaluation_option
def run_(
    context: CommandContext,
    once: bool,
    every: str | None,
    profiles: int,
    reserve: str | None,
    log: str,
    full_evaluation: bool,
) -> int:
    """Run the policies unattended. Each turn syncs, evaluates, applies within the guards, and ends expired grants.

    Changes that exceed a guard are reported and left for a later turn. A policy version whose first turn at a repo
    would change more than 50 requests waits for `hf-gate policy promote`. Ctrl-C stops after the current batch.
    """
    if once == (every is not None):
        raise UsageError("give either --once or --every TIME.", hint="For example: hf-gate run --every auto")
    require_writes("the store")
    pause = None if every in {None, "auto"} else parse_seconds(str(every), "--every")
    if reserve is not None:
        context.flags["reserve"] = reserve
    loop = _Loop(context, profiles, is_single=once, is_full=full_evaluation)
    loop.connect()
    if log == "json":
        lines = LogLines(context.now)
        click.get_current_context().find_root().call_on_close(lines.install())
        context.out.write_log = lines.write
        loop.follow_turn = lines.follow
    if once:
        return loop.run_turn()
    with loop.lock:
        try:
            loop.follow_store()
        except StoreBusy as problem:
            hint = "One loop is enough. End that process before you start another."
            raise StoreBusy(f"{problem}", hint=hint) from None
        except (UsageError, StoreUnavailable):
            pass  # each turn reports this, and tries again
        return loop.run_forever(pause)


class _Loop:
    """Runs turns. Errors of the Hub or of one repo are reported, and the next turn tries again.

    Each turn rereads the workspace with its policies and tables, and the file of the token. It holds the store only
    while it runs.
    """

    def __init__(self, context: CommandContext, profiles: int, *, is_single: bool, is_full: bool = False) -> None:
        self.context = context
        self.profiles = profiles
        self.is_single = is_single
        self.is_full = is_full
        self.lock = ExitStack()  # keeps other loops from the turns of the store
        self.lead: LoopLead | None = None  # None: `run --once`, or a loop that has no lock yet
        self._url: str | None = None  # of the store that the lock is for
        self.pause = 300.0
        self.has_news = False
        self._repos: list[Repo] = []
        self._repos_found_at = float("-inf")
        self._is_warned = False
        self._token = ""  # fingerprint
        self._token_problem: UsageError | None = None
        self._notices = NoticeSender(context)
        self.follow_turn: Callable[[TurnRow], None] = lambda _: None

    def connect(self) -> None:
        """Read the settings.

        If only the token file is wrong, go on without a token until the turn reports that, so that it is stored and
        told.
        """
        token_file = self.context.flags.get("token_file")
        try:
            _ = self.context.connection
        except UsageError as problem:
            if token_file is None:
                raise
            self._token_problem = problem
            self.context.flags["token_file"] = None
            connection = self.context.connection
            connection.settings = replace(connection.settings, token="")
            self.context.flags["token_file"] = token_file

    def run_forever(self, pause: float | None) -> int:
        """Run turns until the process is stopped. An error that no later turn can mend ends the loop, and is told."""
        try:
            return self._repeat_turns(pause)
        except Exception as problem:
            self._tell_end(problem)
            raise

    def _tell_end(self, problem: Exception) -> None:
        """Store that the loop has ended and send the notice about it: directly if the store cannot be written.

        Nothing is stored or sent if another loop goes on. The error of the loop is the one to report, so nothing is
        raised here.
        """
        from hf_gate.automation.service.turn_log import describe_problem, make_loop_end_item

        with suppress(Exception):
            if self.lead is not None and (other := self.lead.hand_over()) is not None:
                self.context.out.say(other)
                return
        is_stored = False
        with suppress(Exception):
            is_stored = self._store_turn(to_ms(self.context.now()), TurnEnd.LOOP_ENDED, problem)
        with suppress(Exception):
            if is_stored:
                self._notices.send()
            else:
                self._notices.tell_end_directly(make_loop_end_item(describe_problem(problem)))

    def _store_turn(self, started_at: int, end: TurnEnd, problem: Exception) -> bool:
        """Store a turn that could not begin, or that the loop has ended; return False if that is not stored.

        A failure of `run --once` beside a loop that decides is only printed: it stops nothing.
        """
        from hf_gate.automation.service.health import is_loop_alive
        from hf_gate.automation.service.turn_log import record_turn
        from hf_gate.messages.service.notifications import store_destinations
        from hf_gate.workspace.service import bootstrap

        context = self.context
        location = context.last_location
        if location.folder is None or not bootstrap.has_store(context.settings, location):
            return False
        waits = end is TurnEnd.LOOP_ENDED
        with bootstrap.connect_workspace(context.connection, location, waits=waits, command="hf-gate run") as workspace:
            if self.is_single and is_loop_alive(workspace.store, context.now()):
                return False
            store_destinations(workspace)
            interval = None if self.is_single else round(self.pause)
            self.follow_turn(record_turn(workspace.store, started_at, to_ms(context.now()), interval, end, problem))
        return True

    def _repeat_turns(self, pause: float | None) -> int:
        self._notices.load_modules()
        self.pause = self.pause if pause is None else pause
        self._token = self.context.follow_token()
        has_failed = False
        while True:
            self._stand_by()
            self._follow_token()
            clock = self.context.connection.clock
            started_at = clock.now().timestamp()
            self.has_news = False
            try:
                self.run_turn()
            except HfGateError as problem:
                is_refused = isinstance(problem, NotAllowed) and problem.status == HTTPStatus.UNAUTHORIZED
                if (is_refused and self._is_token_fixed) or isinstance(problem, StoreTooNew):
                    raise
                source = self.context.settings.token_from or "its file"
                how = f"reads the token from {source} and tries again" if is_refused else "tries again"
                self.context.out.warn(f"{problem} The next turn {how}.")
                has_failed = True
            else:
                if has_failed:
                    self.context.out.say("This turn worked again: the failure before is over.")
                has_failed = False
            self._adapt_pause(pause)
            asks_again = self.lead is not None and not self.lead.is_held
            self._notices.wait_until(started_at + (min(self.pause, _RETRY_PAUSE) if asks_again else self.pause))

    def follow_store(self) -> None:
        """Hold the lock of the store that hf-gate.yaml names now.

        On PostgreSQL, the loop stands by while another one leads. Raises StoreBusy if one runs already on SQLite.
        """
        from hf_gate.workspace.service import bootstrap

        context = self.context
        context.forget_location()
        location = context.last_location
        url = bootstrap.store_url(context.settings, location)
        if self.lead is None or url != self._url:
            self.lead = None
            self.lock.close()
            self.lead = self.lock.enter_context(bootstrap.hold_loop_lock(context.connection, location))
            self._url = url

    def _stand_by(self) -> None:
        """Wait while another loop leads, and say once which one. What prevents that is left to the turn to report."""
        out = self.context.out
        is_told = False

        def tell(holder: str, _: float) -> None:
            nonlocal is_told
            if not is_told:
                out.say(f"Standing by: {holder} leads. This loop takes over when it ends or stands still.")
                self._notices.stands_by = True
                self._notices.send(has_store=True)
            is_told = True

        with suppress(HfGateError):
            self.follow_store()
            while self.lead is not None and not self.lead.is_held:
                self._ask_for_lead(self.lead, tell)
                self.follow_store()
            self._notices.stands_by = False
            if is_told:
                out.say("This loop leads now.")

    def _ask_for_lead(self, lead: LoopLead, on_wait: Callable[[str, float], None]) -> None:
        """Ask for the lead for a minute, also with policies that cannot be loaded: the turns report these."""
        from hf_gate.verdicts.service.policy_bundle import load_policies
        from hf_gate.workspace.service import bootstrap

        why = ""

        def tell(holder: str, seconds: float) -> None:
            on_wait(holder, seconds)
            if why:
                self.context.out.warn(f"{why} This loop could not decide anything now.")

        context = self.context
        lead.token = self._token
        # makes or upgrades the store, which has the leases
        with bootstrap.connect_workspace(context.connection, context.last_location, lends=True) as workspace:
            try:
                lead.digest = load_policies(workspace).files_digest
            except HfGateError as problem:
                lead.digest = ""
                why = str(problem)
        lead.take(tell)

    @property
    def _leads(self) -> bool:
        """Whether no other loop can run turns of this store now."""
        return self.is_single if self.lead is None else self.lead.is_held

    @property
    def _is_token_fixed(self) -> bool:
        """Whether a turn can only have the token of the turn before: it comes from the command line or the
        environment.
        """
        is_from_environment = self.context.settings.token_from is None and bool(os.environ.get("HF_TOKEN"))
        return is_from_environment or self.context.flags.get("token") is not None

    def _follow_token(self) -> None:
        """Use the token that its source holds now. Raises UsageError if it belongs to another account.

        If the source cannot be read, the turn fails: the token before may be revoked.
        """
        self._token_problem = None
        try:
            settings = self.context.read_settings()
        except UsageError as problem:
            self._token_problem = problem
            return
        with suppress(HubUnavailable, Offline):  # the turn reports these
            self._token = self.context.connection.follow_token(settings)

    def _adapt_pause(self, pause: float | None) -> None:
        """Choose the next pause, or warn once if the given one uses more than the usual share of the token's calls."""
        from hf_gate.requests.sync_schedule import minimum_pause, next_pause

        seen = self.context.hub.outlook()
        calls = 4 * len(self._repos)
        if pause is None:
            sharers = 1 if self.lead is None else self.lead.sharers
            self.pause = next_pause(
                self.pause, has_news=self.has_news, calls=calls * sharers, quota=seen.quota, window=seen.window_s
            )
            return
        least = minimum_pause(calls, seen.quota, seen.window_s)
        if pause < least and not self._is_warned:
            self._is_warned = True
            self.context.out.warn(budget_warning(pause, least, len(self._repos)))

    def run_turn(self) -> int:
        """Run one turn and print it; return its exit code. Notices are sent afterwards, also if the turn failed."""
        try:
            code = self._run_stored_turn()
        except Exception as problem:
            self._notices.follow_turn(problem)
            raise
        self._notices.follow_turn()
        return code

    def _run_stored_turn(self) -> int:
        started_at = to_ms(self.context.now())
        try:
            if self._token_problem is not None:
                raise self._token_problem
            find_actor(self.context)  # an error is that of the turn
            workspace, bundle = open_with_policies(self.context, stays_open=False)
        except HfGateError as problem:
            with suppress(HfGateError):  # if the store cannot be opened either, there is nothing to store it in
                if self._leads and not isinstance(problem, StoreBusy):
                    self._store_turn(started_at, TurnEnd.FAILED, problem)
            raise
        with workspace:
            if not self._leads:
                raise StoreBusy(
                    "another `hf-gate run` is active; this one waits.", hint="It takes over if the other ends."
                )
            return self._turn(workspace, bundle)

    def _turn(self, workspace: Workspace, bundle: PolicyBundle) -> int:
        from hf_gate.automation.service.turn import TurnContext, turn_result_record
        from hf_gate.automation.service.turn_log import has_found_no_repo, run_recorded_turn
        from hf_gate.messages.service.letters import store_subscription
        from hf_gate.messages.service.notifications import store_destinations
        from hf_gate.settings.service.workspace import new_id
        from hf_gate.verdicts.service.evaluation_pool import EvaluationPool
        from hf_gate.workspace.service import bootstrap

        bootstrap.keep_config(self.context.settings, workspace.location)
        if self.lead is not None:
            self.lead.digest = bundle.files_digest
            self.lead.token = self._token
        store_destinations(workspace)
        store_subscription(workspace)
        with EvaluationPool(workspace, bundle) as pool:
            turn_context = TurnContext(
                workspace,
                bundle,
                find_actor(self.context),
                pool.evaluate,
                lambda run: executor_for(workspace, run),
                self.is_full,
            )
            done = run_recorded_turn(
                turn_context,
                lambda: self.repos(workspace),
                run_id=new_id(),
                profile_budget=self.profiles,
                interval_s=None if self.is_single else round(self.pause),
                follow=self.follow_turn,
            )
        self.has_news = done.has_changes
        if done.planned.skew is not None:
            self.context.out.warn(f"No grant was ended: {clock_advice(done.planned.skew)}")
        if has_found_no_repo(done):
            self.context.out.warn("No repo was found. Check `repos` in hf-gate.yaml and the rights of the token.")
        self._send_heartbeat(workspace, done)
        changes = [] if done.run is None else done_changes(workspace, done.run)
        self.context.out.document(turn_result_record(done, changes), lambda: list(_turn_lines(done, changes)))
        return _exit_code(done)

    def _send_heartbeat(self, workspace: Workspace, done: TurnResult) -> None:
        """Call the heartbeat service if the turn was good. A failed call is a warning."""
        from hf_gate.automation.service.turn_log import has_failed_in_part

        reference = workspace.location.config.heartbeat_url
        folder = workspace.location.folder
        is_good = done.stop is None and not has_failed_in_part(done)
        if reference is None or folder is None or not is_good:
            return
        from hf_gate.automation.channels import KEY, call_heartbeat
        from hf_gate.messages.channels.secret_references import resolve_secret

        try:
            problem = call_heartbeat(resolve_secret(reference, KEY, folder))
        except UsageError as refused:
            problem = f"{refused} {refused.hint or ''}".strip()
        if problem is not None:
            self.context.out.warn(f"The heartbeat was not sent: {problem}")

    def repos(self, workspace: Workspace) -> list[Repo]:
        """Return the repos of the workspace. Globs are resolved again every hour."""
        now = workspace.clock.now().timestamp()
        if now - self._repos_found_at >= _REPO_SEARCH_INTERVAL:
            self._repos = select_repos(self.context, (), None)
            self._repos_found_at = now
        return self._repos


def budget_warning(pause: float, least: float, repos: int) -> str:
    """Return the warning for an interval that uses more than the usual share of the token's calls."""
    from hf_gate.requests.sync_schedule import QUOTA_SHARE

    return (
        f"Syncing {pluralize(repos, 'repo')} every {format_span(pause)} uses {QUOTA_SHARE * least / pause:.0%} of "
        "this token's"
        f" calls. --every {math.ceil(least / 60)}m or auto keeps it at {QUOTA_SHARE:.0%}."
    )


def _exit_code(done: TurnResult) -> int:
    """Return the exit code by the table of outcomes; 5 if a part failed, 1 while the audit log is broken.

    Raises the error if everything failed.
    """
    from hf_gate.automation.service.turn_log import has_failed_in_part, has_failed_whole

    if has_failed_whole(done):
        raise done.problems[0]
    if has_failed_in_part(done):
        return 5
    if done.is_ledger_broken:
        return 1
    return exit_code_of_counts({} if done.run is None else done.run.counts)


def _turn_lines(done: TurnResult, changes: Sequence[Change]) -> Iterator[str]:
    """Return one turn as lines: what was synced, what was done, and what was not done and why."""
    from hf_gate.automation.service.unattended import LEDGER_HINT
    from hf_gate.verdicts.plan.render import render_shadow_actions

    if done.is_ledger_broken:
        yield f"Nothing was read or changed: the audit log does not verify. {LEDGER_HINT}"
        return
    news = sum(one.change_count for one in done.synced)
    kinds = ", ".join(sorted({str(one.kind) for one in done.synced})) or "nothing"
    yield f"Synced {pluralize(len(done.synced), 'repo')} ({kinds}): {pluralize(news, 'change')} found."
    for repo, problem in done.failed.items():
        yield f"  {repo} could not be synced: {problem}"
    if done.forgotten:
        yield f"  deleted personal data of {pluralize(done.forgotten, 'old request')}."
    if done.planned.profiles:
        yield f"  {pluralize(done.planned.profiles, 'profile')} read."
    for each in done.resumed:
        counts = _join_counts({_UNFINISHED.get(state, state): number for state, number in each.counts.items()})
        yield f"  run {each.id}, interrupted earlier, was settled ({each.state}): {counts}."
    if done.run is not None:
        counts = _join_counts(done.run.counts)
        words = describe_done(changes)
        yield f"  run {done.run.id} ({done.run.state}): {counts}{': ' + words if words else ''}."
    yield from (f"  {line}" for line in render_shadow_actions(done.planned.plan))
    if done.stop is not None:
        count = len(done.planned.plan.changes) + sum(done.planned.left_out.values())
        said = f"{pluralize(count, 'change')} not made" if count else "Nothing is decided"
        yield f"  {said}: {done.stop.by} stopped all unattended work. An admin can start it again: hf-gate start"
    yield from _describe_remaining(done)
    yield from _describe_ends(done)


_MOVES: Final[Mapping[str, str]] = {
    "later": "moved to a later date",
    "earlier": "moved to an earlier date",
    "lapsed": "set because a condition is false",
    "restored": "removed because the conditions are true again",
}


def _describe_ends(done: TurnResult) -> Iterator[str]:
    """Return how ends moved, which ends wait, and how late ended grants are."""
    for kind, number in done.planned.ends.counts.items():
        yield f"  {pluralize(number, 'end date')} {_MOVES[kind]}."
    if done.planned.ends.noticed:
        yield f"  {pluralize(done.planned.ends.noticed, 'notice')} recorded that access ends soon."
    if done.planned.ends.undecided:
        waiting = pluralize(len(done.planned.ends.undecided), "grant does not end yet", "grants do not end yet")
        yield f"  {waiting}, because a condition of `keep_while` is unknown now."
    if late := lateness_of(done.planned.plan.changes):
        yield f"  {late}"


def lateness_of(changes: Iterable[Change]) -> str:
    """Return how late the ends of a plan are, in one sentence; "" if all are on time (less than two hours late)."""
    facts = (one.facts for change in changes if change.is_end for one in change.because)
    hours = [late for fact in facts if isinstance(late := fact.get("hours_late"), int) and late >= _LATE_HOURS]
    if not hours:
        return ""
    span = pluralize(max(hours) // 24, "day") if max(hours) >= 24 else pluralize(max(hours), "hour")
    return f"{pluralize(len(hours), 'grant')} ended up to {span} late."


def _describe_remaining(done: TurnResult) -> Iterator[str]:
    """Return what this turn did not do although the policies require it, each with the next step."""
    if done.stopped is not None:
        yield f"  stopped: {done.stopped}"
    for verb, number in sorted(done.deferred_by_verb.items()):
        yield (
            f"  {number:,} to {verb} exceed a guard in hf-gate.yaml (see `hf-gate status`) and are left for a later "
            "turn."
            " Earlier, by hand: `hf-gate plan --out plan.json`, then `hf-gate apply plan.json`."
        )
    yield from (f"  {hold.sentence}" for hold in done.holds)


def _join_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number)
