"""Runs a turn, stores when it began, how it ended and what it did, and queues the notices about what it changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from hf_gate.automation.rows import begin_turn, has_loop_ended_before, write_turn_end
from hf_gate.base.display_text import to_one_line
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.config import PACKAGE
from hf_gate.core.letters.notices import MAX_REQUESTS, NOTHING_TO_DO, Condition, NoticeEvent, NoticeItem
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.runs import RunState
from hf_gate.core.turns import TurnEnd, TurnRow
from hf_gate.errors import LOGIN_ADVICE, HfGateError, HubError, HubUnavailable, NotAllowed, NoToken
from hf_gate.ledger.service.ledger_checks import read_check
from hf_gate.messages.rows.notices import compare_conditions
from hf_gate.requests.rows.queue import count_older, find_older
from hf_gate.settings.service.unattended_stop import StopCause, read_stop
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .health import READ_TURNS, ProblemKind, list_problems
from .turn import TurnContext, TurnResult, run_turn
from .unattended import LEDGER_HINT, record_stop

# ---- notices ---------------------------------------------------------------------------------------------------------


OLD_DAYS: Final = 5
"""A pending request is old after so many days."""

_REFUSED_TEXT: Final = "The Hub refuses the token of hf-gate run, so nothing is decided."
_NO_REPO_HINT: Final = "Check `repos` in hf-gate.yaml and the rights of the token."
_TRIES_AGAIN: Final = "The next turn tries again."
_TURN_EVENTS: Final = (NoticeEvent.FAILED_TURN, NoticeEvent.TOKEN)
_LONGEST: Final = 300  # characters of a problem
_NUMBER: Final = re.compile(r"\d+")
_STATE_EVENTS: Final = (NoticeEvent.AGEING, NoticeEvent.STUCK)


class TurnFailure(NamedTuple):
    """Why a turn failed: an error, or a sentence with the next step. `repo` is None if the whole turn failed."""

    problem: BaseException | str
    repo: Repo | None = None
    hint: str = ""


def queue_turn_notices(
    write: Writer,
    turn: TurnRow,
    failures: Sequence[TurnFailure],
    state: Sequence[Condition] | None = None,
    broken: str | None = None,
) -> None:
    """Queue notices about what a turn changed, in the transaction that stores its end.

    `state` comes from `list_state_conditions`; None if the turn could not find out. `broken` is the first break of the
    ledger, because of which unattended work is stopped.
    """
    is_telling = turn.end in {TurnEnd.OK, TurnEnd.PARTIAL, TurnEnd.FAILED}  # not stopped or interrupted
    events = (_TURN_EVENTS if is_telling else ()) + (() if state is None else _STATE_EVENTS)
    conditions = [*(map(condition_of_failure, failures) if is_telling else ()), *(state or ())]
    if turn.end is TurnEnd.LOOP_ENDED:
        events += (NoticeEvent.LOOP_ENDED,)
        conditions.append(Condition("loop", make_loop_end_item(turn.problem)))
    elif not has_loop_ended_before(write, turn.id, READ_TURNS - 1 if turn.interval_s is None else 1):
        events += (
            NoticeEvent.LOOP_ENDED,
        )  # over: a new loop has gone on after its first turn, or `run --once` replaces it
    if turn.end not in {TurnEnd.LOOP_ENDED, TurnEnd.INTERRUPTED}:
        events += (NoticeEvent.LEDGER_BROKEN,)
        conditions += [] if broken is None else [_make_ledger_condition(broken)]
    if events:
        at = turn.ended_at or turn.started_at
        can_end = turn.end is not TurnEnd.FAILED
        compare_conditions(write, events, conditions, at, can_end=can_end)


def make_loop_end_item(problem: str | None) -> NoticeItem:
    """Return the notice that an error ended a loop for good."""
    text = f"`hf-gate run` has ended: {(problem or 'the reason is unknown').rstrip('.')}."
    hint = "Nothing is decided until it is started again as before, for example: hf-gate run --every auto"
    return NoticeItem(event=NoticeEvent.LOOP_ENDED, facts={"text": text, "hint": hint})


def _make_ledger_condition(broken: str) -> Condition:
    facts = {
        "text": f"The audit log does not verify: {broken}.",
        "hint": f"All unattended work is stopped. {LEDGER_HINT}",
    }
    return Condition("ledger", NoticeItem(event=NoticeEvent.LEDGER_BROKEN, facts=facts))


def condition_of_failure(failure: TurnFailure) -> Condition:
    """Return a failure as a condition.

    The same cause at the same repo is the same condition, whatever its text says.
    """
    problem = failure.problem
    repo = None if failure.repo is None else str(failure.repo)
    if isinstance(problem, NotAllowed) and problem.status == HTTPStatus.UNAUTHORIZED:
        return _make_token_condition(_REFUSED_TEXT, problem)
    if isinstance(problem, NoToken):
        return _make_token_condition(f"hf-gate run has no token, so nothing is decided: {problem}", problem)
    text = problem if isinstance(problem, str) else describe_problem(problem)
    if repo is not None:  # the line names it, and repos with the same text become one line
        text = text.removeprefix(f"{repo}: ").replace(repo, "the repo")
    facts = {"text": _shorten(text), "hint": _shorten(failure.hint or advise(problem))}
    item = NoticeItem(event=NoticeEvent.FAILED_TURN, repo=repo, facts=facts)
    return Condition(f"{repo or 'turn'} {_cause_of(problem)}", item)


def _make_token_condition(text: str, problem: HfGateError) -> Condition:
    """Return that the loop has no token that works. Its text changes with the cause; the condition stays one."""
    facts = {"text": _shorten(text), "hint": _shorten(advise(problem))}
    return Condition("token", NoticeItem(event=NoticeEvent.TOKEN, facts=facts))


def _cause_of(problem: BaseException | str) -> str:
    """Return what stays the same while an error has the same cause: the Hub words its errors differently each time."""
    if isinstance(problem, HubError):
        is_outage = isinstance(problem, HubUnavailable)
        return f"{type(problem).__name__} {'' if is_outage else problem.status or ''}".strip()
    return f"{type(problem).__name__} {_NUMBER.sub('#', str(problem))[:_LONGEST]}"


def advise(problem: BaseException | str) -> str:
    """Return what to do after an error of a turn, or that there is nothing to do."""
    if isinstance(problem, HubUnavailable):
        return f"{NOTHING_TO_DO} {_TRIES_AGAIN}"
    if isinstance(problem, HfGateError) and problem.hint:
        hint = problem.hint.replace(LOGIN_ADVICE, "Replace the token of hf-gate run")
        return hint if isinstance(problem, NotAllowed) else f"{hint} {_TRIES_AGAIN}"
    if isinstance(problem, HfGateError | str):
        return f"See hf-gate doctor. {_TRIES_AGAIN}"
    return "See the log of the process, and start it again if it has ended."


def list_state_conditions(workspace: Workspace, bundle: PolicyBundle) -> list[Condition]:
    """Return what lasts apart from turns: old requests of each repo, and what is stuck."""
    store = workspace.store
    now = workspace.now()
    rows = workspace.store.repos()
    before = to_ms(now - timedelta(days=OLD_DAYS))
    conditions: list[Condition] = []
    for repo in (row.repo for row in rows if bundle.config.includes(row.repo)):
        name = str(repo)
        if count := count_older(store, repo, before):
            first = tuple(find_older(store, repo, before, MAX_REQUESTS))
            item = NoticeItem(
                event=NoticeEvent.AGEING, repo=name, count=count, requests=first, facts={"days": OLD_DAYS}
            )
            conditions.append(Condition(name, item))
    conditions += [
        Condition(problem.key, NoticeItem(event=NoticeEvent.STUCK, facts={"text": problem.sentence}))
        for problem in list_problems(workspace, bundle)
        if problem.is_stuck and problem.kind is not ProblemKind.TOKEN  # it is told by itself
    ]
    return conditions


# ---- turns -----------------------------------------------------------------------------------------------------------


def run_recorded_turn(
    context: TurnContext,
    find_repos: Callable[[], Sequence[Repo]],
    *,
    run_id: str,
    profile_budget: int = 200,
    interval_s: int | None = None,
    follow: Callable[[TurnRow], None] = lambda _: None,
) -> TurnResult:
    """Run one turn and store it, however it ends. `find_repos` may call the Hub; its errors are the turn's.

    `follow` gets the turn when it begins and when it has ended.
    """
    store = context.workspace.store
    clock = context.workspace.clock
    started_at = to_ms(clock.now())
    turn = TurnRow(id=begin_turn(store, started_at, interval_s), started_at=started_at, interval_s=interval_s)
    follow(turn)
    try:
        result = run_turn(context, find_repos(), run_id=run_id, profile_budget=profile_budget)
    except BaseException as problem:
        is_failure = isinstance(problem, Exception)
        end = TurnEnd.FAILED if is_failure else TurnEnd.INTERRUPTED
        ended = replace(turn, ended_at=to_ms(clock.now()), end=end, problem=describe_problem(problem))
        with suppress(HfGateError):  # the error of the turn is the one to report
            _store_end(store, ended, [TurnFailure(problem)])
        follow(ended)
        raise
    record_stop(store)
    ended = _summarize(turn, result, to_ms(clock.now()))
    _store_end(store, ended, list(list_failures(result)), _read_state(context))
    follow(ended)
    return result


def _read_state(context: TurnContext) -> list[Condition] | None:
    """Return what lasts, for notices; None if nobody is told, or if it cannot be read."""
    if not context.workspace.location.config.notify:
        return None
    try:
        return list_state_conditions(context.workspace, context.bundle)
    except HfGateError:
        return None


def _store_end(
    store: Store, turn: TurnRow, failures: Sequence[TurnFailure], state: Sequence[Condition] | None = None
) -> None:
    """Store the end of a turn with the notices that follow from it."""
    stop = read_stop(store)
    broken = None
    if stop is not None and stop.cause is StopCause.LEDGER_BROKEN:
        broken = next(iter(read_check(store).broken), "it was broken before the store was restored")
    with store.writing() as write:
        write_turn_end(write, turn)
        queue_turn_notices(write, turn, failures, state, broken)


def record_turn(
    store: Store, started_at: int, ended_at: int, interval_s: int | None, end: TurnEnd, problem: Exception
) -> TurnRow:
    """Store a turn that failed before it could begin, or the end of a loop by an error, with the notices about it."""
    turn = TurnRow(
        id=begin_turn(store, started_at, interval_s),
        started_at=started_at,
        interval_s=interval_s,
        ended_at=ended_at,
        end=end,
        problem=describe_problem(problem),
    )
    _store_end(store, turn, [TurnFailure(problem)] if end is TurnEnd.FAILED else [])
    return turn


def has_failed_whole(result: TurnResult) -> bool:
    """Tell whether there were errors, and nothing was read or changed."""
    done = 0 if result.run is None else result.run.counts.get(OutcomeKind.DONE, 0)
    return bool(result.problems) and not result.synced and not done


def has_failed_in_part(result: TurnResult) -> bool:
    """Tell whether a repo, a change or the rest of a run failed, or no repo was found."""
    return next(list_failures(result), None) is not None


def has_found_no_repo(result: TurnResult) -> bool:
    """Tell whether the turn had no repo to read: a typing error in `repos`, or a token that lost its rights."""
    return not result.synced and not result.failed and not result.is_ledger_broken


def _summarize(turn: TurnRow, result: TurnResult, now: int) -> TurnRow:
    end = TurnEnd.STOPPED if result.stop is not None else TurnEnd.OK
    if has_failed_whole(result) or has_found_no_repo(result):
        end = TurnEnd.FAILED
    elif has_failed_in_part(result):
        end = TurnEnd.PARTIAL
    return replace(
        turn,
        ended_at=now,
        end=end,
        problem=next(map(_describe_failure, list_failures(result)), None),
        repos=len({one.repo for one in result.synced}),
        news=sum(one.change_count for one in result.synced),
        done=0 if result.run is None else result.run.counts.get(OutcomeKind.DONE, 0),
        deferred=result.deferred_by_guard.total(),
    )


def list_failures(result: TurnResult) -> Iterator[TurnFailure]:
    """Yield why a turn failed, whole or in part."""
    for repo, problem in result.failed.items():
        yield TurnFailure(problem, repo)
    reasons = {row.refused_why for row in result.refused.values()}
    if result.stopped is not None and str(result.stopped) not in reasons:
        yield TurnFailure(result.stopped)
    for repo, row in result.refused.items():
        yield TurnFailure(f"decisions were refused: {row.refused_why}", repo)
    if has_found_no_repo(result):
        yield TurnFailure("no repo was found", hint=_NO_REPO_HINT)
    elif result.run is not None and result.run.state is RunState.INTERRUPTED and result.stopped is None:
        yield TurnFailure(f"run {result.run.id} was interrupted", hint=f"{NOTHING_TO_DO} {_TRIES_AGAIN}")


def _describe_failure(failure: TurnFailure) -> str:
    text = str(failure.problem)
    is_named = failure.repo is None or text.startswith(str(failure.repo))
    return _shorten(text if is_named else f"{failure.repo}: {text}")


def describe_problem(problem: BaseException) -> str:
    """Return an error for the record.

    The text of an unexpected error may hold personal data, so only its kind is kept.
    """
    if isinstance(problem, HfGateError):
        return _shorten(str(problem))
    if part := _find_missing_part(problem):
        return f"{part}, a part of the installation, cannot be read. Install hf-gate again"
    return type(problem).__name__


def _find_missing_part(problem: BaseException) -> str | None:
    """Return the file or module of the installed package that an error is about; None if it is about something else."""
    if isinstance(problem, ImportError):
        return problem.name
    name = str(problem.filename) if isinstance(problem, OSError) else ""
    return Path(name).name if Path(name).is_relative_to(PACKAGE) else None


def _shorten(text: str) -> str:
    return to_one_line(text)[:_LONGEST]
