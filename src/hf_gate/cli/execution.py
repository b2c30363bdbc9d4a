"""Executes decisions and runs for a command and prints an outcome for every person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..application.record_builders import outcome_of_change, outcome_record
from ..application.records import OutcomeRecord
from ..domain.display_text import to_json
from ..domain.ids import Person
from ..domain.outcomes import Outcome, OutcomeKind, classify_error, exit_code_of, exit_code_of_counts
from ..domain.runs import UNSETTLED, ChangeOrigin, ChangeState
from ..errors import Guarded, HfGateError, HubUnavailable
from .output import Format, Output, clock_advice, count_of
from .progress import Progress
from .second_approval import authorize_run
from .workspace import actor_of, make_executor, open_workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ..application.decision_sender import DecisionSender
    from ..application.decisions import DecisionTarget
    from ..application.targets import RequestTarget
    from ..application.workspace import Workspace
    from ..domain.rows import ChangeRow, RunRow
    from ..plan.model import Change
    from .framework import Run
    from .targets import DecisionCommand


NO_CHANGES: Final[Mapping[str, int]] = {}


@dataclass(slots=True)
class CommandResult:
    """The outcomes so far, the run that they stand in, and what ended it before its end."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped_by: BaseException | None = None
    run: str | None = None

    @property
    def is_changed(self) -> bool:
        """Whether anything was done."""
        return any(outcome.kind is OutcomeKind.DONE for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """The exit code: what stopped the run decides when surely nothing was done, else it is a part."""
        return exit_code_of(self.outcomes, self.stopped_by)

    def finish(self) -> int:
        """The exit code, or the error that stopped the run: it takes the code along, and claims nothing untrue."""
        stop = self.stopped_by
        if stop is None:
            return self.exit_code
        if isinstance(stop, Exception):
            set_exit_code(stop, self.exit_code, "the same command again does the rest")
        raise stop


def set_exit_code(stop: Exception, code: int, rest: str) -> None:
    """What ended a run early takes the code of what it came to along, and claims nothing untrue: `rest` says how it goes on."""
    vars(stop)["exit_code"] = code
    if isinstance(stop, HubUnavailable) and code == 5:
        stop.hint = f"Some changes were made or may have been made; {rest}."


@contextmanager
def open_to_write(run: Run) -> Iterator[Workspace]:
    """The workspace open for writing, no longer than the `with` lasts: meanwhile nobody else may decide."""
    with open_workspace(run, writes=True) as workspace:
        yield workspace


def decision_sender(
    run: Run, workspace: Workspace, bar: Progress | None = None, new: Mapping[str, int] = NO_CHANGES, asks: Iterable[DecisionTarget] = ()
) -> DecisionSender:  # fmt: skip
    """What decides at this workspace; refuses `asks` that need a second person, or are about this user. `new` counts them by verb."""
    from ..application.decision_sender import DecisionSender  # noqa: PLC0415 - only who decides

    return DecisionSender(
        workspace.store,
        workspace.hub,
        workspace.clock,
        workspace.zone,
        actor_of(run),
        progress=lambda many: None if bar is None else bar.tick(many=many),
        notify=run.out.say,
        author=authorize_run(run, workspace, new, about=_people(workspace, asks)),
    )


def _people(workspace: Workspace, asks: Iterable[DecisionTarget]) -> Iterator[tuple[str | None, str | None]]:
    """Names and account ids of those who are meant, as they were named and as the store knows them."""
    for ask in asks:
        target = ask.target
        yield target.username, target.user_id
        if target.request is not None:
            yield target.request.person.username, target.request.person.id
        for row in workspace.store.find_by_identity(
            ask.repo, target.request_id or target.user_id or target.username or ""
        ):
            yield row.person.identity.username, row.person.identity.user_id


def execute_decisions(run: Run, wish: DecisionCommand) -> CommandResult:
    """Sends what is wished; every aim has an outcome afterwards, also when the run ended early."""
    from ..application.workspace import new_id  # noqa: PLC0415 - only who decides

    result = CommandResult()
    try:
        with open_to_write(run) as workspace, Progress(run.out, wish.verb, len(wish.targets)) as bar:
            new = {wish.effect if wish.verb != "grant" else "accept": len(wish.targets)}
            asks = wish.decision_targets()
            decided = decision_sender(run, workspace, bar, new, asks).decide(asks, wish.choice, run_id=new_id())
        result.run, result.outcomes, result.stopped_by = decided.run, decided.outcomes, decided.stopped_by
    except Guarded:
        raise
    except BaseException as problem:  # noqa: BLE001 - what was told is printed first; `Result.end` raises it again
        result.stopped_by = problem
    if not result.outcomes:
        kind = _kind_alone(wish, result.stopped_by)
        result.outcomes = [unsent_outcome(kind, aim, result.stopped_by) for aim in wish.targets]
    elif len(wish.targets) == 1:
        result.stopped_by = result.stopped_by or error_of(result.outcomes[0])
    return result


def error_of(outcome: Outcome) -> Exception | None:
    """The error that a single decision ends with; who was there when it was listed, and is no more, is none."""
    return None if outcome.kind in {OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.GONE} else outcome.error


def _kind_alone(wish: DecisionCommand, stop: BaseException | None) -> OutcomeKind:
    """What an error before anything was sent makes of a single decision; of several it leaves all open."""
    if len(wish.targets) == 1 and isinstance(stop, HfGateError):
        return classify_error(stop, is_listed=wish.targets[0].target.request is not None).kind
    return OutcomeKind.OPEN


def unsent_outcome(kind: OutcomeKind, aim: RequestTarget, problem: BaseException | None) -> Outcome:
    """An outcome that no Hub told: one that ended the run, or was never sent."""
    target = aim.target
    person = target.request.person if target.request else Person(target.user_id, target.username)
    error = problem if isinstance(problem, Exception) else None
    is_fault = error is not None and not isinstance(error, HfGateError)
    why = f"{type(problem).__name__}: {problem}" if is_fault else str(problem or "")
    return Outcome(kind, aim.repo, person, target.request_id, why, error=error)


_SHOWN: Final = 30  # people of whom something is said
_BY_HAND: Final = frozenset({ChangeOrigin.DIRECT, ChangeOrigin.GRANT})  # the "rules" of changes that no policy planned
_IN_PART: Final = {ChangeState.DONE, *UNSETTLED}
_NEEDS_LOOK: Final = frozenset({OutcomeKind.STALE, OutcomeKind.GONE, OutcomeKind.REFUSED, OutcomeKind.OPEN})


def execute_run(run: Run, workspace: Workspace, begun: RunRow) -> int:
    """Sends what is planned and tells what became of it, also when it was ended early."""
    try:
        with Progress(run.out, "apply", begun.total) as bar:
            make_executor(workspace, begun, lambda many: bar.tick(many=many)).execute(begun)
    except KeyboardInterrupt:
        ended = _reread(workspace, begun)
        print_run(run, workspace, ended)
        run.out.say(f"Stopped; everything so far is recorded. Go on: hf-gate runs resume {begun.id}")
        raise
    except Exception as problem:
        print_run(run, workspace, _reread(workspace, begun))
        run.out.say(f"What is left can go on later: hf-gate runs resume {begun.id}")
        if workspace.store.changes(begun.id, _IN_PART, 1):  # else nothing was done, and the reason decides
            set_exit_code(problem, 5, "`runs resume` reads which, and does the rest")
        raise
    if workspace.hub.skew is not None and workspace.store.changes(begun.id, (ChangeState.DEFERRED,), 1):
        run.out.warn(f"No grant was ended: {clock_advice(workspace.hub.skew)}")
    return print_run(run, workspace, _reread(workspace, begun))


def _reread(workspace: Workspace, begun: RunRow) -> RunRow:
    """The run as it stands now."""
    return workspace.store.run(begun.id) or begun


def print_run(run: Run, workspace: Workspace, ended: RunRow, *, whole: bool = False) -> int:
    """The document of a run, and its exit code by the table of outcomes."""
    changes = _changes(workspace, ended)
    told = [outcome_of_change(change, row) for change, row in changes]
    count = {kind.value: sum(row.outcome is kind for row in told) for kind in OutcomeKind}
    if run.out.is_human or run.out.format is Format.JSON:
        document = outcomes_document(told, ended.total, ended.id)
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
        f"{row.user or row.user_id} at {change.repo_ref}: {_describe_change(change, row)}"
        for (change, _), row in zip(changes, told, strict=True)
        if whole or row.outcome in _NEEDS_LOOK
    ]
    if not whole and len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]
    words = [f"{number:,} {kind}" for kind, number in count.items() if number] or ["nothing to do"]
    done = describe_done(change for change, row in changes if row.state is ChangeState.DONE)
    lines.append(f"Run {ended.id} ({ended.state}): {', '.join(words)}{': ' + done if done else ''}.")
    if count[OutcomeKind.DONE] and not whole:
        lines.append(f"Each of them: hf-gate runs show {ended.id}.  Back: hf-gate undo {ended.id} --out back.json")
    return lines


def _describe_change(change: Change, row: OutcomeRecord) -> str:
    """`accepted (academic)`, where it was done; else the kind of outcome, and why."""
    if row.outcome is OutcomeKind.DONE:
        return PAST[change.action] + _rule(change)
    why = f": {row.why}" if row.why else ""
    return f"not {PAST[change.action]}, {row.outcome}{why}"


def _rule(change: Change) -> str:
    return "" if change.rule in _BY_HAND else f" ({change.rule})"


def describe_done(changes: Iterable[Change]) -> str:
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


PAST: Final = {
    "accept": "accepted",
    "reject": "rejected",
    "reset": "reset",
    "cancel": "back to pending",
    "grant": "granted",
    "revoke": "revoked",
}
_AFTER: Final = {
    "accept": "may download now",
    "grant": "may download now",
    "reject": "no files, and cannot ask again",
    "reset": "no files, and may ask again",
    "cancel": "no files; waits for a review again",
}


def outcomes_document(outcomes: Sequence[OutcomeRecord], planned: int, run_id: str | None) -> dict[str, object]:
    """Return the document that verbs and runs print with --json."""
    count = Counter(outcome.outcome for outcome in outcomes)
    return {
        "schema_version": 1,
        "run": run_id,
        "planned": planned,
        **{kind.value: count[kind] for kind in OutcomeKind},
        "outcomes": list(outcomes),
    }


def print_result(run: Run, wish: DecisionCommand, result: CommandResult) -> None:
    """The outcomes, in the format that was asked for."""
    out, outcomes = run.out, result.outcomes
    rows = [outcome_record(outcome) for outcome in outcomes]
    if out.format is Format.QUIET:
        rows = [row for row in rows if row.outcome in {OutcomeKind.DONE, OutcomeKind.ALREADY}]
    if out.format is Format.JSON:
        out.document(outcomes_document(rows, len(wish.targets), result.run), lambda: ())
    elif not out.is_human:
        print_outcomes(out, rows)
    elif not outcomes:
        out.line("Nobody to decide on.")
    else:
        _print_decisions(run, wish, outcomes)


def print_outcomes(out: Output, rows: Iterable[OutcomeRecord]) -> None:
    """Print outcomes as a list of records."""
    out.records(OutcomeRecord, rows, (), name=lambda row: row.request_id or row.user or row.user_id or "", limit=-1)


def _print_decisions(run: Run, wish: DecisionCommand, outcomes: Sequence[Outcome]) -> None:
    out = run.out
    for outcome in outcomes:
        if len(outcomes) > 1 and outcome.kind is OutcomeKind.DONE:
            continue
        if outcome.kind is OutcomeKind.DONE:
            out.line(
                f"{person_label(outcome)} at {outcome.repo}: {PAST[wish.verb]}; {_AFTER[wish.effect]}{_rest(wish)}"
            )
        elif outcome.kind is OutcomeKind.ALREADY:
            unsaid = ", and the reason was not passed on" if wish.has_reason else ""
            ends = f", but that it now ends: {wish.until}" if wish.until else ""
            out.line(f"{person_label(outcome)} at {outcome.repo}: already so, nothing was changed{unsaid}{ends}.")
        elif len(outcomes) > 1 or outcome.kind is OutcomeKind.GONE:
            out.line(f"{person_label(outcome)} at {outcome.repo}: {outcome.kind}: {outcome.why}")
    if len(outcomes) > 1:
        count = Counter(outcome.kind for outcome in outcomes)
        words = [f"{count[OutcomeKind.DONE]:,} {PAST[wish.verb]}"]
        words += [
            f"{count[kind]:,} {kind.value}" for kind in OutcomeKind if kind is not OutcomeKind.DONE and count[kind]
        ]
        out.line(", ".join(words) + (_rest(wish) if count[OutcomeKind.DONE] else "."))
    if wish.effect == "reject" and any(outcome.kind is OutcomeKind.DONE for outcome in outcomes):
        out.hint("who was rejected cannot ask again; `hf-gate reset` gives them a way back.")


def _rest(wish: DecisionCommand) -> str:
    """The end of a sentence that tells what was done: whether a reason went along, where one can, and when it ends."""
    if wish.until:
        return f"; ends: {wish.until}."
    if wish.effect not in {"reject", "reset"}:
        return "."
    if wish.template is not None and len(wish.targets) > 1:
        return f"; reason sent: each their own, from the template {wish.template.name}."
    reason = wish.reason_for(wish.targets[0]) if wish.targets else None
    return f"; reason sent: {to_json(reason)}" if reason else "; no reason sent."


def person_label(outcome: Outcome) -> str:
    """Whom an outcome is about, for people: the person, else the request, which may be all that was given."""
    person = outcome.person
    if person.username or person.id or not outcome.request_id:
        return str(person)
    return f"request {outcome.request_id}"


def print_dry_run(run: Run, wish: DecisionCommand) -> None:
    """What would be sent, in the words of the real run."""
    out = run.out
    rows = [
        replace(
            outcome_record(unsent_outcome(OutcomeKind.OPEN, aim, None)), outcome=None, why="dry run: nothing was sent"
        )
        for aim in wish.targets
    ]
    if out.format is Format.JSON:
        out.document(outcomes_document(rows, len(wish.targets), None), lambda: ())
    elif not out.is_human:
        print_outcomes(out, rows)
    else:
        for aim in wish.targets:
            reason = wish.reason_for(aim) if wish.template else None
            out.line(f"would {wish.verb} {aim}" + (f" with the reason {to_json(reason)}" if reason else ""))
        reason = f" with the reason {to_json(wish.reason)}" if wish.reason else ""
        out.line(f"Dry run: {count_of(len(wish.targets), 'change')}{reason}; nothing was sent.")
