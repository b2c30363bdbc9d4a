"""Says whether unattended work is alive: the last turns of `hf-gate run`, and what has been stuck for too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, cached_property
from itertools import takewhile
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.approvals.service.approval_alarms import describe_alarms, list_open_alarms
from hf_gate.approvals.service.quorum_rules import read_quorum_rules
from hf_gate.automation.rows import read_turns
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_span, from_ms, ms_to_iso, to_ms
from hf_gate.core.events.events import PolicyPromoted, VerdictReached, decode_event, kind_of
from hf_gate.core.people.grants import FAR_END
from hf_gate.core.policy_model import Action, Policy
from hf_gate.core.records import HealthRecord, OpenProblemRecord, TurnRecord
from hf_gate.core.runs import END_GUARD, UNSETTLED, RunKind, RunState
from hf_gate.core.stored_rows import RequestRow, RunRow, TimelineFilter
from hf_gate.core.turns import HealthState, HoldKind, TurnEnd, TurnRow
from hf_gate.decisions.service.budgets import read_budgets
from hf_gate.grants.rows import count_sudden_ends
from hf_gate.grants.service.ends.grant_ends import clock_note
from hf_gate.grants.service.ends.unknown_conditions import find_unknown_conditions, list_unknown_conditions
from hf_gate.messages.rows.notices import find_token_problem
from hf_gate.messages.service.message_records import describe_undelivered, list_undelivered
from hf_gate.policies.words.rule_phrases import describe_rule_of, has_constant
from hf_gate.requests.rows.queue import find_decidable_requests
from hf_gate.settings.service.unattended_stop import StopCause, UnattendedStop, read_stop
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.ledger import search_entries
from hf_gate.store.store import Store
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, find_refused_tables, read_current_policies

from .holds import list_holds
from .unattended import LEDGER_HINT

MAX_AGE: Final = timedelta(minutes=30)
"""The age of the last turn above which it is late, unless its loop had planned a longer pause."""

_UNPROVED: Final = timedelta(hours=25)  # a full sync is due every 24 h
_UNDONE: Final = timedelta(hours=24)  # after this time, a request should have the decision of its rule
_NOT_ENDED: Final = timedelta(days=1)  # after this time, a grant that is due should have ended
_MAX_READ: Final = 2000  # the oldest pending requests of a repo that are read
_MAX_CHECKED: Final = 100  # of them, whose time under the rule is read
_ENTRIES: Final = 50  # of a request, searched for its last verdict
_FACTS: Final = 3  # named at most
_BAD_ENDS: Final = (TurnEnd.FAILED, TurnEnd.PARTIAL, TurnEnd.LOOP_ENDED)
_DECIDING: Final = (Action.ACCEPT, Action.RESET, Action.REJECT)
_START_AGAIN: Final = "Start it again as before, for example: hf-gate run --every auto"
_NONE_FOLLOWED: Final = "No turn followed."
_CLOCK_STEP: Final = timedelta(minutes=1)  # a correction of the clock that is not worth a warning

READ_TURNS: Final = 5
"""So many turns are read. When so many turns of `run --once` have followed a loop that ended, they replace it."""


class Health(Struct, frozen=True):
    """The health of unattended work in one sentence, with the next step if there is one.

    `last` is the last turn that ended, `running` one that has begun since. `stuck` has a sentence for each problem that
    a turn cannot solve.
    """

    state: HealthState
    sentence: str
    hint: str = ""
    last: TurnRow | None = None
    running: TurnRow | None = None
    stop: UnattendedStop | None = None
    stuck: Sequence[str] = ()


def read_health(
    store: Store, now: datetime, problems: Iterable[OpenProblem] = (), *, max_age: timedelta | None = None
) -> Health:
    """Return the health by the store. `max_age` replaces `MAX_AGE`; the problems are those of `list_problems`.

    The first of these states that holds is returned: stopped, idle, failed, late, stuck, fine.
    """
    turns = read_turns(store, READ_TURNS)
    last = next((turn for turn in turns if turn.end is not None), None)
    running = turns[0] if turns and turns[0].end is None else None
    stop = read_stop(store)
    stuck = [problem.sentence for problem in problems if problem.is_stuck]
    state, sentence, hint = _judge(turns, last, stop, now, max_age, stuck)
    return Health(state, sentence, hint, last, running, stop, stuck)


def _judge(
    turns: Sequence[TurnRow],
    last: TurnRow | None,
    stop: UnattendedStop | None,
    now: datetime,
    max_age: timedelta | None,
    stuck: Sequence[str],
) -> tuple[HealthState, str, str]:
    if stop is not None:
        is_broken = stop.cause is StopCause.LEDGER_BROKEN
        why = ": the audit log does not verify" if is_broken else ""
        said = f"{stop.by} stopped all unattended work {_ago(stop.at, now)}{why}."
        return HealthState.STOPPED, said, LEDGER_HINT if is_broken else "An admin can start it again: hf-gate start"
    if not turns:
        return HealthState.STUCK if stuck else HealthState.IDLE, "`hf-gate run` was never started here.", ""
    newest = turns[0]
    ago = _ago(newest.started_at, now)
    if last is not None and last.end in _BAD_ENDS:
        return HealthState.FAILED, describe_turn(last, now), _next_after_failure(newest, now, max_age)
    if ended := _find_ended_loop(turns):
        return HealthState.FAILED, f"{describe_turn(ended, now)} Only `run --once` followed.", _START_AGAIN
    if lost := _describe_lost_turns(turns):
        return HealthState.FAILED, lost, "See the log of the service that runs it."
    if from_ms(newest.started_at) - now > _CLOCK_STEP:
        ahead = format_span(from_ms(newest.started_at) - now)
        said = (
            f"The last turn of `hf-gate run` began {ahead} in the future: the clock was ahead, so its age is unknown."
        )
        return HealthState.LATE, said, _START_AGAIN
    if now - from_ms(newest.started_at) > (max_age or _patience(newest)):
        if newest.end is None:
            said = f"The last turn of `hf-gate run` began {ago} and has not ended."
        else:
            said = f"{describe_turn(newest, now)} {_NONE_FOLLOWED}"
        return HealthState.LATE, said, _START_AGAIN
    said = f"A turn of `hf-gate run` began {ago}." if last is None else describe_turn(last, now)
    if stuck:
        needs = pluralize(len(stuck), "problem needs", "problems need")
        said = f"{said} {needs} a person."
    return HealthState.STUCK if stuck else HealthState.FINE, said, ""


def _next_after_failure(newest: TurnRow, now: datetime, max_age: timedelta | None) -> str:
    """Return the next step after a failed turn: a loop that no longer runs does not try again."""
    if newest.end is TurnEnd.LOOP_ENDED:
        return f"Check it: hf-gate doctor. {_START_AGAIN}"
    if now - from_ms(newest.started_at) > (max_age or _patience(newest)):
        return f"{_NONE_FOLLOWED} Check it: hf-gate doctor. {_START_AGAIN}"
    return f"{'The loop' if newest.interval_s else 'The next `run --once`'} tries again. Check it: hf-gate doctor"


def is_loop_alive(store: Store, now: datetime) -> bool:
    """Tell whether a loop began a turn lately and has not ended: it decides, whatever another process does."""
    newest = next((turn for turn in read_turns(store, READ_TURNS) if turn.interval_s is not None), None)
    if newest is None or newest.end is TurnEnd.LOOP_ENDED:
        return False
    return now - from_ms(newest.started_at) <= _patience(newest)


def _find_ended_loop(turns: Sequence[TurnRow]) -> TurnRow | None:
    """Return the entry of a loop that ended for good, if no loop has run since."""
    newest = next((turn for turn in turns if turn.interval_s is not None), None)
    return newest if newest is not None and newest.end is TurnEnd.LOOP_ENDED else None


def _describe_lost_turns(turns: Sequence[TurnRow]) -> str:
    """Return a sentence if turns were killed or interrupted again and again, else ""."""
    newest = turns[0]
    begun = turns[1:] if newest.end is None else turns  # without the one that may be running
    if newest.end is None and begun and begun[0].end is None:
        return "The last turn of `hf-gate run` was killed."
    lost = list(takewhile(lambda turn: turn.end in {None, TurnEnd.INTERRUPTED}, begun))
    return f"Each of the last {len(lost)} turns of `hf-gate run` was interrupted or killed." if len(lost) > 1 else ""


def _patience(turn: TurnRow) -> timedelta:
    """Return after how long the next turn is late: twice the pause of the loop, but at least `MAX_AGE`."""
    return max(MAX_AGE, timedelta(seconds=2 * (turn.interval_s or 0)))


def describe_turn(turn: TurnRow, now: datetime) -> str:
    """Return a sentence about a turn that ended."""
    ago = _ago(turn.started_at, now)
    match turn.end:
        case TurnEnd.OK:
            words = f"{pluralize(turn.repos, 'repo')}, {pluralize(turn.done, 'change')} made"
        case TurnEnd.STOPPED:
            words = "nothing was decided, because unattended work was stopped"
        case TurnEnd.INTERRUPTED:
            words = "interrupted"
        case TurnEnd.LOOP_ENDED:
            return f"`hf-gate run` ended {ago}: {(turn.problem or 'the reason is unknown').rstrip('.')}."
        case TurnEnd.PARTIAL:
            words = f"failed in part: {turn.problem}"
        case _:
            words = f"failed: {turn.problem}"
    return f"Last turn of `hf-gate run` {ago}: {words.rstrip('.')}."


def _ago(at: int, now: datetime) -> str:
    return f"{format_span(now - from_ms(at))} ago"


class ProblemKind(StrEnum):
    """What needs a person."""

    TOKEN = "token"  # noqa: S105 - a kind of problem
    HELD_POLICY = "held_policy"
    TABLE = "table"
    UNKNOWN_CONDITIONS = "unknown_conditions"
    CLOCK = "clock"
    NO_LOOP = "no_loop"
    LATE_ENDS = "late_ends"
    GUARD = "guard"
    RUN = "run"
    REFUSED = "refused"
    OUTSIDE = "outside"
    UNPROVED = "unproved"
    UNDELIVERED = "undelivered"
    UNDECIDED = "undecided"


class OpenProblem(NamedTuple):
    """A problem that needs a person. `subject` names it among the problems of its kind.

    `is_stuck`: no further turn solves it, so monitors and notices tell it. The others may still end by themselves, or
    are known to the people whom a notice would reach.
    """

    kind: ProblemKind
    subject: str
    sentence: str
    is_stuck: bool = True

    @property
    def key(self) -> str:
        """What stays the same while the problem lasts."""
        return f"{self.kind} {self.subject}"

    @property
    def record(self) -> OpenProblemRecord:
        """The problem as it leaves in JSON."""
        return OpenProblemRecord(
            kind=self.kind.value, subject=self.subject, sentence=self.sentence, is_stuck=self.is_stuck
        )

    @property
    def line(self) -> str:
        """The problem as a line of `status`."""
        return f"{_LABELS.get(self.kind, 'STUCK')}: {self.sentence}"


_LABELS: Final[Mapping[ProblemKind, str]] = {
    ProblemKind.OUTSIDE: "ALARM",
    ProblemKind.RUN: "UNFINISHED",
    ProblemKind.UNKNOWN_CONDITIONS: "UNKNOWN",
    ProblemKind.UNDELIVERED: "UNDELIVERED",
    ProblemKind.NO_LOOP: "NOT RUNNING",
    ProblemKind.REFUSED: "REFUSED",
}


def list_problems(workspace: Workspace, bundle: PolicyBundle | None = None) -> Iterator[OpenProblem]:
    """Yield what needs a person. The files of the workspace are read if no bundle is given.

    These are a token that a process cannot use, acceptances without approvals, refused tables, held policies,
    conditions that stay unknown, notices and letters that did not arrive, a wrong clock, runs that have not ended,
    grants that should have ended a day ago, lists that are not proved complete, requests that people should have
    decided, and requests that a rule should have decided a day ago.
    """
    store = workspace.store
    now = workspace.now()
    if refused_token := find_token_problem(store):
        yield OpenProblem(ProblemKind.TOKEN, "", refused_token)
    yield from _list_access(workspace, now)
    if bundle is None:
        refused = find_refused_tables(workspace)
        unknown = find_unknown_conditions(workspace)
    else:
        refused = [table for _, table in sorted(bundle.tables.items()) if table.refusal]
        unknown = list_unknown_conditions(store, bundle.tables, bundle.is_governed)
    for table in refused:
        words = f"{table.refusal_text}. See hf-gate policy check."
        yield OpenProblem(ProblemKind.TABLE, table.name, words)
    yield from _list_used_guards(workspace)
    holds = list_holds(store, to_ms(now))
    for hold in holds:
        is_stuck = hold.kind is HoldKind.HELD_POLICY  # the others end by themselves, or a person wanted them
        yield OpenProblem(ProblemKind(hold.kind), hold.subject, hold.sentence, is_stuck)
    rules = read_quorum_rules(workspace, None if bundle is None else lambda: bundle)
    blocked = Counter(problem for row in store.repos() if (problem := rules.strictest(row.repo).problem))
    for problem, repos in blocked.items():
        words = f"Nobody is accepted at {pluralize(repos, 'repo')}: {problem}."
        yield OpenProblem(ProblemKind.HELD_POLICY, problem, words)
    told = {hold.subject for hold in holds}
    yield from (_problem_of_run(run) for run in list_unfinished_runs(store) if run.id not in told)
    for conditions in unknown:
        yield OpenProblem(ProblemKind.UNKNOWN_CONDITIONS, str(conditions.repo), conditions.sentence)
    for record in list_undelivered(workspace):
        yield OpenProblem(ProblemKind.UNDELIVERED, record.name or "", *describe_undelivered(record, now))
    read_current = cache(lambda: tuple(read_current_policies(workspace) or () if bundle is None else bundle.policies))
    for row in store.repos():
        is_old = row.full_at is None or now - from_ms(row.full_at) > _UNPROVED
        if row.tried_at is not None and not row.tried_complete and is_old:
            reason = (row.problem or "the reason is unknown").rstrip(".")
            words = f"The lists of {row.repo} have not been proved complete for a day: {reason}."
            words = f"{words} Read them again: hf-gate sync --full {row.repo}"
            yield OpenProblem(ProblemKind.UNPROVED, str(row.repo), words)
        yield from _list_waiting(store, row.repo, now, read_current)


def list_unfinished_runs(store: Store) -> list[RunRow]:
    """Return the latest runs that have not ended.

    Abandoned runs, and direct decisions that were stopped, are over unless an outcome is unknown.
    """
    return [
        run
        for run in store.runs()
        if any(run.counts.get(state) for state in UNSETTLED)
        or not (run.is_over and (run.kind is RunKind.DIRECT or run.state is not RunState.STOPPED))
    ]


def _problem_of_run(run: RunRow) -> OpenProblem:
    """Return a run as a problem. Only a person continues an interrupted run of a plan; turns settle the others."""
    is_stuck = run.state is RunState.INTERRUPTED and run.kind not in (RunKind.AUTO, RunKind.DIRECT)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in run.counts.items())
    next_step = f"Continue it: hf-gate runs continue {run.id}" if is_stuck else f"hf-gate runs show {run.id}"
    words = f"Run {run.id} is {run.state}: {counts or pluralize(run.total, 'change')}. {next_step}"
    return OpenProblem(ProblemKind.RUN, run.id, words, is_stuck)


def _list_used_guards(workspace: Workspace) -> Iterator[OpenProblem]:
    """Yield which guards defer changes."""
    now = workspace.now()
    for budget in read_budgets(workspace.store, workspace.location.config.guards.budgets, now):
        if not budget.is_used_up:
            continue
        words = (
            f"The guard `{budget.name}: {budget.rate}` is used up ({budget.used:,}), so `run` and keys defer such"
            " changes. Raise it in hf-gate.yaml, or apply a plan: hf-gate plan --out plan.json"
        )
        left = _count_held_ends(workspace, now) if budget.name == END_GUARD else 0
        if left:
            words = (
                f"{pluralize(left, 'grant')} would end, because a condition is false or a table moved the date to an"
                f" earlier time in the last 7 days. The guard `{budget.name}: {budget.rate}` holds them back. If the"
                " table is wrong, correct it. To end them now: hf-gate plan --out plan.json, then hf-gate apply"
                " plan.json"
            )
        yield OpenProblem(ProblemKind.GUARD, budget.name, words, is_stuck=left > 0)


def _count_held_ends(workspace: Workspace, until: datetime) -> int:
    """Count the grants that end at or before a time, and that the guard of ends holds back now."""
    guards = {END_GUARD: workspace.location.config.guards.end}
    (budget,) = read_budgets(workspace.store, guards, workspace.now())
    sudden = count_sudden_ends(workspace.store, to_ms(until), with_undecided=False) if budget.is_used_up else {}
    return sum(sudden.values())


def describe_missing_loop(store: Store, now: datetime) -> str:
    """Return that nothing ends access on its date, because `hf-gate run` does not run.

    Return "" if it does, if another problem stops it, or if no access has an end.
    """
    is_missing = read_health(store, now).state in (HealthState.IDLE, HealthState.LATE)
    if not is_missing or next(store.iterate_due(to_ms(FAR_END)), None) is None:
        return ""
    return "Nothing ends access on its date while `hf-gate run` does not run. Start it: hf-gate run"


def _list_access(workspace: Workspace, now: datetime) -> Iterator[OpenProblem]:
    """Yield which access should have ended, or was given without enough approvals."""
    store = workspace.store
    if note := clock_note(store):
        yield OpenProblem(ProblemKind.CLOCK, "", note)
    if note := describe_missing_loop(store, now):
        yield OpenProblem(ProblemKind.NO_LOOP, "", note, is_stuck=False)
    overdue = now - _NOT_ENDED
    if late := store.count_due(to_ms(overdue)) - _count_held_ends(workspace, overdue):
        words = f"{pluralize(late, 'grant')} should have ended more than a day ago: hf-gate ends ls"
        yield OpenProblem(ProblemKind.LATE_ENDS, "", words)
    if alarm := describe_alarms(row.repo for _, row in list_open_alarms(store)):
        yield OpenProblem(ProblemKind.OUTSIDE, "", f"{alarm} List them: hf-gate ls --query approval:missing")


def _list_waiting(
    store: Store, repo: Repo, now: datetime, read_policies: Callable[[], Sequence[Policy]]
) -> Iterator[OpenProblem]:
    """Yield which requests of a repo still wait a day after a rule decided them.

    The time counts from `_WaitClock.start`: a policy that was enforced just now is not late on an old queue.
    """
    clock = _WaitClock(store)
    before = to_ms(now - _UNDONE)
    undecided = store.requests(find_decidable_requests(store, repo, before, _MAX_CHECKED, _MAX_READ)).values()
    row = next((one for one in undecided if clock.start(one) < before), None)
    if row is not None:
        ago = format_span(now - from_ms(clock.start(row)))
        rule = _describe_rule(store, row)
        is_decided = row.state.verdict is not None and row.state.verdict[0] in _DECIDING
        why = f"although {rule} decides it" if is_decided else f"because a profile was not read: {rule}"
        words = f"A request of {repo} has been waiting for {ago} {why}: hf-gate plan"
        if sentence := _quote_rule(row, read_policies()):
            words = f"{words}.{sentence}"
        yield OpenProblem(ProblemKind.UNDECIDED, str(repo), words)


@dataclass(frozen=True)
class _WaitClock:
    """Finds since when requests wait under their rule."""

    store: Store

    @cached_property
    def _promotions(self) -> Mapping[str, int]:
        """When the version in force of each policy was promoted (ms)."""
        wanted = TimelineFilter(repos=(), kind=kind_of(PolicyPromoted))
        rows = search_entries(self.store, wanted, limit=_ENTRIES).rows
        found = [(decode_event(row.link.body), row.link.at) for row in reversed(rows)]
        return {event.policy: at for event, at in found if isinstance(event, PolicyPromoted)}

    def start(self, row: RequestRow) -> int:
        """Return the latest of these times (ms): the request arrived, its rule began to apply, its policy
        was promoted.
        """
        arrived = max(row.state.asked_at, row.state.last_moved_at or 0)
        action, policy, rule, _ = row.state.verdict or ("", None, "", None)
        began = 0
        for entry in self.store.entries(request=row.id, limit=_ENTRIES):
            event = decode_event(entry.link.body)
            if isinstance(event, VerdictReached):
                if (event.action, event.policy, event.rule) != (action, policy, rule):
                    break
                began = entry.link.at
        return max(arrived, began, self._promotions.get(policy or "", 0))


def _describe_rule(store: Store, row: RequestRow) -> str:
    """Return the rule of a request's verdict, and the facts that were unknown to it."""
    _, policy, rule, _ = row.state.verdict or ("", None, "none", None)
    words = f"rule {rule} of policy {policy}" if policy is not None else "no rule"
    events = (decode_event(entry.link.body) for entry in store.entries(request=row.id, limit=_ENTRIES))
    reached = next((event for event in events if isinstance(event, VerdictReached)), None)
    missing = () if reached is None else reached.missing[:_FACTS]
    return f"{words} (unknown: {', '.join(missing)})" if missing else words


def _quote_rule(row: RequestRow, policies: Sequence[Policy]) -> str:
    """Return the sentence of the rule of a request's verdict; "" if the policy changed, or the sentence may name
    somebody.

    Monitors and receivers of notices get it.
    """
    _, policy, rule, digest = row.state.verdict or ("", None, "none", None)
    sentence = describe_rule_of(policies, policy, digest, rule)
    if not sentence or has_constant(sentence):
        return ""
    return f" The rule: {sentence.rstrip('.')}."


def health_record(health: Health) -> HealthRecord:
    """Return the record of the health of unattended work."""
    stop = health.stop
    return HealthRecord(
        state=health.state,
        sentence=health.sentence,
        hint=health.hint,
        stuck=tuple(health.stuck),
        last_turn=None if health.last is None else _turn_record(health.last),
        running_turn=None if health.running is None else _turn_record(health.running),
        stopped_by=None if stop is None else stop.by,
        stopped_at=None if stop is None else ms_to_iso(stop.at),
    )


def _turn_record(turn: TurnRow) -> TurnRecord:
    return TurnRecord(
        started_at=ms_to_iso(turn.started_at),
        ended_at=ms_to_iso(turn.ended_at),
        end=turn.end,
        problem=turn.problem,
        repos=turn.repos,
        news=turn.news,
        done=turn.done,
        deferred=turn.deferred,
    )
