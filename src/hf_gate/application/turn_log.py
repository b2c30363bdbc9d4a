"""Runs a turn and stores when it began, how it ended and what it did, so that others see if the loop has died."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from ..domain.display_text import to_one_line
from ..domain.ids import Repo
from ..domain.notices import Condition
from ..domain.outcomes import OutcomeKind
from ..domain.runs import RunState
from ..domain.timestamps import to_ms
from ..domain.turns import TurnEnd, TurnRow
from ..errors import HfGateError
from ..store.store import Store
from ..store.turns import begin_turn, write_turn_end
from .notice_conditions import compare_after_turn, list_state_conditions
from .turn import TurnContext, TurnResult, run_turn
from .unattended import record_stop

_LONGEST: Final = 300  # characters of a problem


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
    store, clock = context.workspace.store, context.workspace.clock
    started_at = to_ms(clock.now())
    turn = TurnRow(id=begin_turn(store, started_at, interval_s), started_at=started_at, interval_s=interval_s)
    follow(turn)
    try:
        result = run_turn(context, find_repos(), run_id=run_id, profile_budget=profile_budget)
    except BaseException as problem:
        is_failure = isinstance(problem, Exception)
        end = TurnEnd.FAILED if is_failure else TurnEnd.INTERRUPTED
        ended = replace(turn, ended_at=to_ms(clock.now()), end=end, problem=_describe(problem))
        with suppress(HfGateError):  # the error of the turn is the one to report
            _store_end(store, ended, [problem])
        follow(ended)
        raise
    record_stop(store)
    ended = _summarize(turn, result, to_ms(clock.now()))
    _store_end(store, ended, result.problems, _read_state(context))
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
    store: Store, turn: TurnRow, problems: Sequence[BaseException], state: Sequence[Condition] | None = None
) -> None:
    """Store the end of a turn with the notices that follow from it."""
    with store.writing() as write:
        write_turn_end(write, turn)
        compare_after_turn(write, turn, problems, state)


def record_failed_turn(
    store: Store, started_at: int, ended_at: int, interval_s: int | None, problem: HfGateError
) -> TurnRow:
    """Store a turn that failed before it could begin, for example because a policy has an error."""
    turn = TurnRow(id=begin_turn(store, started_at, interval_s), started_at=started_at)
    ended = replace(turn, ended_at=ended_at, end=TurnEnd.FAILED, problem=_describe(problem))
    _store_end(store, ended, [problem])
    return ended


def has_failed_whole(result: TurnResult) -> bool:
    """Tell whether there were errors, and nothing was read or changed."""
    done = 0 if result.run is None else result.run.counts.get(OutcomeKind.DONE, 0)
    return bool(result.problems) and not result.synced and not done


def has_failed_in_part(result: TurnResult) -> bool:
    """Tell whether a repo, a change or the rest of a run failed, or no repo was found."""
    is_interrupted = result.run is not None and result.run.state is RunState.INTERRUPTED
    return bool(result.problems or result.refused or is_interrupted) or has_found_no_repo(result)


def has_found_no_repo(result: TurnResult) -> bool:
    """Tell whether the turn had no repo to read: a typing error in `repos`, or a token that lost its rights."""
    return not result.synced and not result.failed


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
        problem=_first_problem(result),
        repos=len({one.repo for one in result.synced}),
        news=sum(one.change_count for one in result.synced),
        done=0 if result.run is None else result.run.counts.get(OutcomeKind.DONE, 0),
        deferred=result.deferred_by_guard.total(),
    )


def _first_problem(result: TurnResult) -> str | None:
    for repo, problem in result.failed.items():
        text = str(problem)
        return _shorten(text if text.startswith(str(repo)) else f"{repo}: {text}")
    if result.stopped is not None:
        return _shorten(str(result.stopped))
    for repo, refusal in result.refused.items():
        return _shorten(f"{repo} refused decisions: {refusal.why}")
    return "no repo was found" if has_found_no_repo(result) else None


def _describe(problem: BaseException) -> str:
    """Return an error for the record. The text of an unexpected error may hold personal data, so only its kind is kept."""
    return _shorten(str(problem)) if isinstance(problem, HfGateError) else type(problem).__name__


def _shorten(text: str) -> str:
    return to_one_line(text)[:_LONGEST]
