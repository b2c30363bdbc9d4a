"""Carries a run under the eyes of whoever watches, and tells what became of each change, by which rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ..application.record_builders import outcome_of_change
from ..application.records import OutcomeRecord
from ..domain.outcomes import OutcomeKind, exit_code_of_counts
from ..domain.runs import UNDER_WAY, ChangeOrigin, ChangeState
from .carrying import take_along
from .output import Format, clock_off
from .progress import Progress
from .telling import PAST, print_outcomes, summary
from .workspace import executor_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ..application.workspace import Workspace
    from ..domain.rows import ChangeRow, RunRow
    from ..plan.model import Change
    from .frame import Run

_SHOWN: Final = 30  # people of whom something is said
_BY_HAND: Final = frozenset({ChangeOrigin.DIRECT, ChangeOrigin.GRANT})  # the "rules" of changes that no policy planned
_IN_PART: Final = {ChangeState.DONE, *UNDER_WAY}
_NEEDS_LOOK: Final = frozenset({OutcomeKind.STALE, OutcomeKind.GONE, OutcomeKind.REFUSED, OutcomeKind.OPEN})


def carry_run(run: Run, workspace: Workspace, begun: RunRow) -> int:
    """Sends what is planned and tells what became of it, also when it was ended early."""
    try:
        with Progress(run.out, "apply", begun.total) as bar:
            executor_of(workspace, begun, lambda many: bar.tick(many=many)).execute(begun)
    except KeyboardInterrupt:
        ended = _again(workspace, begun)
        run_result(run, workspace, ended)
        run.out.say(f"Stopped; everything so far is recorded. Go on: hf-gate runs resume {begun.id}")
        raise
    except Exception as problem:
        run_result(run, workspace, _again(workspace, begun))
        run.out.say(f"What is left can go on later: hf-gate runs resume {begun.id}")
        if workspace.store.changes(begun.id, _IN_PART, 1):  # else nothing was done, and the reason decides
            take_along(problem, 5, "`runs resume` reads which, and does the rest")
        raise
    if workspace.hub.skew is not None and workspace.store.changes(begun.id, (ChangeState.DEFERRED,), 1):
        run.out.warn(f"No grant was ended: {clock_off(workspace.hub.skew)}")
    return run_result(run, workspace, _again(workspace, begun))


def _again(workspace: Workspace, begun: RunRow) -> RunRow:
    """The run as it stands now."""
    return workspace.store.run(begun.id) or begun


def run_result(run: Run, workspace: Workspace, ended: RunRow, *, whole: bool = False) -> int:
    """The document of a run, and its exit code by the table of outcomes."""
    changes = _changes(workspace, ended)
    told = [outcome_of_change(change, row) for change, row in changes]
    count = {kind.value: sum(row.outcome is kind for row in told) for kind in OutcomeKind}
    if run.out.is_human or run.out.format is Format.JSON:
        document = summary(told, ended.total, ended.id)
        run.out.document(document, lambda: _for_people(ended, changes, told, count, whole=whole))
    else:
        print_outcomes(run.out, told)
    return exit_code_of_counts(count)


def _for_people(
    ended: RunRow,
    changes: Sequence[tuple[Change, ChangeRow]],
    told: Sequence[OutcomeRecord],
    count: Mapping[str, int],
    *,
    whole: bool,
) -> list[str]:
    """What did not go as planned, or with `whole` every change; then the sum, and where to go from here."""
    lines = [
        f"{row.user or row.user_id} at {change.repo_ref}: {_became(change, row)}"
        for (change, _), row in zip(changes, told, strict=True)
        if whole or row.outcome in _NEEDS_LOOK
    ]
    if not whole and len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]
    words = [f"{number:,} {kind}" for kind, number in count.items() if number] or ["nothing to do"]
    done = done_words(change for change, row in changes if row.state is ChangeState.DONE)
    lines.append(f"Run {ended.id} ({ended.state}): {', '.join(words)}{': ' + done if done else ''}.")
    if count[OutcomeKind.DONE] and not whole:
        lines.append(f"Each of them: hf-gate runs show {ended.id}.  Back: hf-gate undo {ended.id} --out back.json")
    return lines


def _became(change: Change, row: OutcomeRecord) -> str:
    """`accepted (academic)`, where it was done; else the kind of outcome, and why."""
    if row.outcome is OutcomeKind.DONE:
        return PAST[change.action] + _rule(change)
    why = f": {row.why}" if row.why else ""
    return f"not {PAST[change.action]}, {row.outcome}{why}"


def _rule(change: Change) -> str:
    return "" if change.rule in _BY_HAND else f" ({change.rule})"


def done_words(changes: Iterable[Change]) -> str:
    """`31 accepted (academic), 56 reset (say-more)`: what was done, by which rules."""
    found = Counter(PAST[change.action] + _rule(change) for change in changes)
    return ", ".join(f"{number:,} {words}" for words, number in sorted(found.items()))


def done_changes(workspace: Workspace, ended: RunRow) -> list[Change]:
    """The changes of a run that were done."""
    return [change for change, _ in _changes(workspace, ended, (ChangeState.DONE,))]


def _changes(
    workspace: Workspace, each: RunRow, states: Collection[str] | None = None
) -> list[tuple[Change, ChangeRow]]:
    import msgspec  # noqa: PLC0415 - only who tells a run

    from ..plan.model import Change  # noqa: PLC0415 - as above

    return [(msgspec.json.decode(row.change, type=Change), row) for row in workspace.store.changes(each.id, states)]
