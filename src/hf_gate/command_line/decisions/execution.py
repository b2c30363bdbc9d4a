"""Executes decisions and runs for a command, and prints the outcome for every person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.decoding import decode_json
from hf_gate.base.display_text import pluralize, to_json
from hf_gate.base.ids import Person
from hf_gate.command_line.grants.hand_ends import make_end_chooser
from hf_gate.command_line.output import Format, Output, StyledLine, clock_advice, style_mark
from hf_gate.command_line.progress import Progress
from hf_gate.command_line.workspace_opening import executor_for, find_actor, open_workspace
from hf_gate.core.outcomes import Outcome, OutcomeKind, classify_error, exit_code_of, exit_code_of_counts
from hf_gate.core.people.access_end import AccessEnd, describe_given_access
from hf_gate.core.records import OutcomeRecord
from hf_gate.core.runs import UNSETTLED, ChangeOrigin, ChangeState
from hf_gate.decisions.records import outcome_of_change, outcome_record, outcomes_record
from hf_gate.errors import EndNeeded, Guarded, HfGateError, HubUnavailable
from hf_gate.hub.protocol.clock_skew import is_clock_off

from .confirmation import authorize_run

if TYPE_CHECKING:
    from collections.abc import Collection

    from hf_gate.command_line.framework import CommandContext
    from hf_gate.command_line.targets import DecisionCommand
    from hf_gate.core.changes import Change
    from hf_gate.core.stored_rows import ChangeRow, RunRow
    from hf_gate.decisions.service.decision_sender import DecisionSender
    from hf_gate.decisions.service.direct_decisions import DecisionTarget
    from hf_gate.requests.service.targets import RequestTarget
    from hf_gate.settings.service.workspace import Workspace


class CommandResult(Struct):
    """The outcomes of a decision command, the ends that it gave, its run, and the error that stopped it early."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped_by: BaseException | None = None
    run: str | None = None
    ends: Sequence[AccessEnd | None] = ()

    @property
    def is_changed(self) -> bool:
        """Return whether anything was done."""
        return any(outcome.kind is OutcomeKind.DONE for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """Return the exit code: the error's code if certainly nothing was done, else 5 for a partial result."""
        return exit_code_of(self.outcomes, self.stopped_by)

    def finish(self) -> int:
        """Return the exit code, or raise the error that stopped the run with its exit code set."""
        stop = self.stopped_by
        if stop is None:
            return self.exit_code
        if isinstance(stop, Exception):
            set_exit_code(stop, self.exit_code, "repeat the command to send the rest")
        raise stop


def set_exit_code(stop: Exception, code: int, rest: str) -> None:
    """Set the exit code on an error that ended a run. `rest` tells the user how the run continues."""
    vars(stop)["exit_code"] = code
    if isinstance(stop, HubUnavailable) and code == 5:
        stop.hint = f"Some changes were made or may have been made; {rest}."


def decision_sender(
    context: CommandContext,
    workspace: Workspace,
    new: Mapping[str, int],
    targets: Collection[DecisionTarget],
    bar: Progress | None = None,
) -> DecisionSender:
    """Return the sender of this user's decisions. `new` counts the decisions by verb.

    Raises an error if the decisions need a second person or a target is this user's own request.
    """
    from hf_gate.approvals.service.approvals import ApprovalCheck
    from hf_gate.decisions.service.decision_sender import DecisionSender

    return DecisionSender(
        workspace.store,
        workspace.hub,
        workspace.clock,
        workspace.zone,
        find_actor(context),
        ApprovalCheck(workspace),
        progress=lambda many: None if bar is None else bar.tick(many=many),
        notify=context.out.say,
        author=authorize_run(
            context, workspace, new, (one.repo for one in targets), about=_target_people(workspace, targets)
        ),
    )


def _target_people(workspace: Workspace, targets: Iterable[DecisionTarget]) -> Iterator[tuple[str | None, str | None]]:
    """Yield the names and account ids of the targets, as given and as stored."""
    for one in targets:
        target = one.target
        yield target.username, target.user_id
        if target.request is not None:
            yield target.request.person.username, target.request.person.id
        for row in workspace.store.find_by_identity(
            one.repo, target.request_id or target.user_id or target.username or ""
        ):
            yield row.person.identity.username, row.person.identity.user_id


def execute_decisions(context: CommandContext, decision: DecisionCommand) -> CommandResult:
    """Send the decisions, or in a dry run only check them. Every target has an outcome, even if the run ended early."""
    from hf_gate.settings.service.workspace import new_id

    result = CommandResult()
    try:
        with (
            open_workspace(context, writes=not decision.is_dry_run, is_preview=decision.is_dry_run) as workspace,
            Progress(context.out, decision.verb, len(decision.targets)) as bar,
        ):
            new = {decision.effect if decision.verb != "grant" else "accept": len(decision.targets)}
            targets = decision.decision_targets()
            sender = decision_sender(context, workspace, new, targets, bar)
            if decision.until is None and decision.verb in ("accept", "grant"):
                may_ask = context.may_ask and not (decision.is_confirmed or decision.is_from_stdin)
                sender.choose_ends = make_end_chooser(context, workspace, may_ask=may_ask)
            if decision.is_dry_run:
                decided = sender.preview(targets, decision.choice)
            else:
                decided = sender.decide(targets, decision.choice, run_id=new_id())
        result.run = decided.run
        result.ends = decided.ends
        result.outcomes = decided.outcomes
        result.stopped_by = decided.stopped_by
    except (EndNeeded, Guarded):
        raise
    except BaseException as problem:  # noqa: BLE001 - `CommandResult.finish` raises it again
        result.stopped_by = problem
    if not result.outcomes:
        kind = _unsent_kind(decision, result.stopped_by)
        result.outcomes = [unsent_outcome(kind, target, result.stopped_by) for target in decision.targets]
    elif len(decision.targets) == 1:
        result.stopped_by = result.stopped_by or error_of(result.outcomes[0])
    return result


def error_of(outcome: Outcome) -> Exception | None:
    """Return the error with which a single decision ends.

    A request that has disappeared since it was listed is no error.
    """
    return None if outcome.kind in {OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.GONE} else outcome.error


def _unsent_kind(decision: DecisionCommand, stop: BaseException | None) -> OutcomeKind:
    """Return the outcome if no decision was sent: by the error for a single decision, else open."""
    if len(decision.targets) == 1 and isinstance(stop, HfGateError):
        return classify_error(stop, is_listed=decision.targets[0].target.request is not None).kind
    return OutcomeKind.OPEN


def unsent_outcome(kind: OutcomeKind, target: RequestTarget, problem: BaseException | None) -> Outcome:
    """Return an outcome without an answer from the Hub: the decision ended the run or was never sent."""
    known = target.target
    person = known.request.person if known.request else Person(known.user_id, known.username)
    error = problem if isinstance(problem, Exception) else None
    is_fault = error is not None and not isinstance(error, HfGateError)
    why = f"{type(problem).__name__}: {problem}" if is_fault else str(problem or "")
    return Outcome(kind, target.repo, person, known.request_id, why, error=error)


_UNSENT: Final[Mapping[str, Any]] = {"outcome": None, "why": "dry run: nothing was sent"}
_MAX_LINES: Final = 30  # the most lines of a result that are printed
_BY_HAND: Final = frozenset({ChangeOrigin.DIRECT, ChangeOrigin.GRANT})  # rule names of changes that no policy planned
_IN_PART: Final = {ChangeState.DONE, *UNSETTLED}
_NEEDS_LOOK: Final = frozenset({OutcomeKind.STALE, OutcomeKind.GONE, OutcomeKind.REFUSED, OutcomeKind.OPEN})


def execute_run(context: CommandContext, workspace: Workspace, started: RunRow) -> int:
    """Send the planned changes and print their outcomes, even if the run ended early."""
    again = context.command_line("runs", "continue", started.id)
    try:
        with Progress(context.out, "apply", started.total) as bar:
            executor_for(workspace, started, lambda many: bar.tick(many=many)).execute(started)
    except KeyboardInterrupt:
        ended = _reload_run(workspace, started)
        print_run(context, workspace, ended)
        context.out.say(f"Stopped. All outcomes so far are recorded. To continue: {again}")
        raise
    except Exception as problem:
        print_run(context, workspace, _reload_run(workspace, started))
        context.out.say(f"To send the rest later: {again}")
        if workspace.store.changes(
            started.id, _IN_PART, 1
        ):  # otherwise nothing was done, and the error's own exit code applies
            set_exit_code(problem, 5, "`runs continue` reads the state of these requests and sends the rest")
        raise
    skew = workspace.hub.skew
    if skew is not None and is_clock_off(skew) and workspace.store.changes(started.id, (ChangeState.DEFERRED,), 1):
        context.out.warn(f"No grant was ended: {clock_advice(skew)}")
    return print_run(context, workspace, _reload_run(workspace, started))


def _reload_run(workspace: Workspace, started: RunRow) -> RunRow:
    """Return the run as currently stored."""
    return workspace.store.run(started.id) or started


def print_run(context: CommandContext, workspace: Workspace, ended: RunRow, *, whole: bool = False) -> int:
    """Print a run; return its exit code by the table of outcomes. `whole` prints every change."""
    changes = _changes(workspace, ended)
    rows = [outcome_of_change(change, row) for change, row in changes]
    count = {kind.value: sum(row.outcome is kind for row in rows) for kind in OutcomeKind}
    if context.out.is_human or context.out.format is Format.JSON:
        document = outcomes_record(rows, ended.total, ended.id)
        context.out.document(document, lambda: _run_lines(context, ended, changes, rows, count, whole=whole))
    else:
        print_outcomes(context.out, rows)
    return exit_code_of_counts(count)


def print_preview(context: CommandContext, rows: Sequence[ChangeRow]) -> int:
    """Print what a run would send, and what it would not; return the exit code that the run would have."""
    from hf_gate.core.changes import Change

    changes = [(decode_json(row.change, Change), row) for row in rows]
    records = [outcome_of_change(change, row) for change, row in changes]
    count = Counter(record.outcome for record in records)
    shown = [replace(one, **_UNSENT) if one.outcome is OutcomeKind.DONE else one for one in records]
    if context.out.is_human or context.out.format is Format.JSON:
        document = outcomes_record(shown, len(rows), None)
        context.out.document(document, lambda: _preview_lines([change for change, _ in changes], records))
    else:
        print_outcomes(context.out, shown)
    return exit_code_of_counts({kind.value: count[kind] for kind in OutcomeKind})


def _preview_lines(changes: Sequence[Change], records: Sequence[OutcomeRecord]) -> Iterator[str | StyledLine]:
    """Return a line for each of the first changes that would be sent, for each other change, and the totals."""
    from hf_gate.verdicts.plan.render import render_changes

    pairs = list(zip(changes, records, strict=True))
    sent = [change for change, record in pairs if record.outcome is OutcomeKind.DONE]
    others = [pair for pair in pairs if pair[1].outcome is not OutcomeKind.DONE]
    yield from map(style_mark, render_changes(sent[:_MAX_LINES]))
    if len(sent) > _MAX_LINES:
        yield f"  and {len(sent) - _MAX_LINES:,} more"
    for change, record in others[:_MAX_LINES]:
        line = f"{change.person_name} at {change.repo_ref}: {_describe_change(change, record)}"
        yield _style_outcome(line, record.outcome, change.action)
    if len(others) > _MAX_LINES:
        yield f"and {len(others) - _MAX_LINES:,} more"
    count = Counter(record.outcome for _, record in others)
    words = [pluralize(len(sent), "change"), *(f"{number:,} {kind}" for kind, number in count.items())]
    yield f"Dry run: {', '.join(words)}; nothing was sent."


def _run_lines(
    context: CommandContext,
    ended: RunRow,
    changes: Sequence[tuple[Change, ChangeRow]],
    rows: Sequence[OutcomeRecord],
    count: Mapping[str, int],
    *,
    whole: bool,
) -> list[str | StyledLine]:
    """Return lines for the changes that did not succeed (with `whole`, for all changes), then the totals and next
    steps.
    """
    wanted = [
        (change, row) for (change, _), row in zip(changes, rows, strict=True) if whole or row.outcome in _NEEDS_LOOK
    ]
    lines: list[str | StyledLine] = [
        _style_outcome(
            f"{row.user or row.user_id} at {change.repo_ref}: {_describe_change(change, row)}",
            row.outcome,
            change.action,
        )
        for change, row in (wanted if whole else wanted[:_MAX_LINES])
    ]
    if len(lines) < len(wanted):
        lines.append(f"and {len(wanted) - len(lines):,} more")
    words = [f"{number:,} {kind}" for kind, number in count.items() if number] or ["nothing to do"]
    done = describe_done(change for change, row in changes if row.state is ChangeState.DONE)
    lines.append(f"Run {ended.id} ({ended.state}): {', '.join(words)}{': ' + done if done else ''}.")
    if count[OutcomeKind.DONE] and not whole:
        details = context.command_line("runs", "show", ended.id)
        undo = context.command_line("undo", ended.id, "--out", "back.json")
        lines.append(f"Details: {details}.  Undo: {undo}")
    return lines


def _style_outcome(line: str, outcome: OutcomeKind | None, verb: str) -> StyledLine:
    """Return a line about an outcome, with what was done or the outcome in colour."""
    is_done = outcome is OutcomeKind.DONE
    return StyledLine(line, verb, f": {PAST[verb]}") if is_done else StyledLine(line, str(outcome), f"{outcome}:")


def _describe_change(change: Change, row: OutcomeRecord) -> str:
    """Return for example `accepted (academic)` for a change that was done; else the outcome and the reason."""
    if row.outcome is OutcomeKind.DONE:
        return PAST[change.action] + _rule_suffix(change)
    why = f": {row.why}" if row.why else ""
    return f"not {PAST[change.action]}, {row.outcome}{why}"


def _rule_suffix(change: Change) -> str:
    return "" if change.rule in _BY_HAND else f" ({change.rule})"


def describe_done(changes: Iterable[Change]) -> str:
    """Describe the number of changes by verb and rule, e.g. `31 accepted (academic), 56 reset (say-more)`."""
    found = Counter(PAST[change.action] + _rule_suffix(change) for change in changes)
    return ", ".join(f"{number:,} {words}" for words, number in sorted(found.items()))


def done_changes(workspace: Workspace, ended: RunRow) -> list[Change]:
    """Return the changes of a run that were done."""
    return [change for change, _ in _changes(workspace, ended, (ChangeState.DONE,))]


def _changes(
    workspace: Workspace, run: RunRow, states: Collection[str] | None = None
) -> list[tuple[Change, ChangeRow]]:
    from hf_gate.core.changes import Change

    return [(decode_json(row.change, Change), row) for row in workspace.store.changes(run.id, states)]


PAST: Final = {
    "accept": "accepted",
    "reject": "rejected",
    "reset": "reset",
    "cancel": "back to pending",
    "grant": "granted",
    "revoke": "revoked",
}
_AFTER: Final = {
    "accept": "can download now",
    "grant": "can download now",
    "reject": "no access, cannot ask again",
    "reset": "no access, can ask again",
    "cancel": "no access until the next decision",
}


def print_result(context: CommandContext, decision: DecisionCommand, result: CommandResult) -> None:
    """Print the outcomes in the chosen format."""
    out = context.out
    outcomes = result.outcomes
    rows = [outcome_record(outcome) for outcome in outcomes]
    if out.format is Format.QUIET:
        rows = [row for row in rows if row.outcome in {OutcomeKind.DONE, OutcomeKind.ALREADY}]
    if decision.is_dry_run:
        rows = [replace(row, **_UNSENT) if row.outcome is OutcomeKind.DONE else row for row in rows]
    if out.format is Format.JSON:
        out.document(outcomes_record(rows, len(decision.targets), result.run), lambda: ())
    elif not out.is_human:
        print_outcomes(out, rows)
    elif not outcomes:
        out.line("No targets.")
    else:
        _print_decisions(context, decision, result)


def print_outcomes(out: Output, rows: Iterable[OutcomeRecord]) -> None:
    """Print outcomes as a list of records."""
    out.records(OutcomeRecord, rows, (), name=lambda row: row.request_id or row.user or row.user_id or "", limit=-1)


def _print_decisions(context: CommandContext, decision: DecisionCommand, result: CommandResult) -> None:
    out = context.out
    outcomes = result.outcomes
    pairs = list(zip_longest(outcomes, result.ends))  # without ends if nothing could be sent
    suffix = _result_suffix(context, decision, [end for one, end in pairs if one.kind is OutcomeKind.DONE])
    for target, (outcome, end) in zip(decision.targets, pairs, strict=True):
        if line := _describe_outcome(context, decision, target, outcome, end, None if len(outcomes) > 1 else suffix):
            out.line(line if decision.is_dry_run else _style_outcome(line, outcome.kind, decision.verb))
    count = Counter(outcome.kind for outcome in outcomes)
    others = [f"{count[kind]:,} {kind.value}" for kind in OutcomeKind if kind is not OutcomeKind.DONE and count[kind]]
    if decision.is_dry_run:
        reason = f" with the reason {to_json(decision.reason)}" if decision.reason else ""
        words = [f"{pluralize(count[OutcomeKind.DONE], 'change')}{reason}", *others]
        out.line(f"Dry run: {', '.join(words)}; nothing was sent.")
    elif len(outcomes) > 1:
        words = [f"{count[OutcomeKind.DONE]:,} {PAST[decision.verb]}", *others]
        out.line(", ".join(words) + (suffix if count[OutcomeKind.DONE] else "."))
    if any(outcome.kind is OutcomeKind.DEFERRED and (outcome.why or "").startswith("approval") for outcome in outcomes):
        out.hint("Nothing was sent for `approval 1 of 2`: a second person must accept too.")
    if any(outcome.kind is OutcomeKind.REFUSED and (outcome.why or "").startswith("approval") for outcome in outcomes):
        out.hint("Ask people whose approval counts to accept. Who counts: docs/two-approvals.md.")
    if decision.effect == "reject" and any(outcome.kind is OutcomeKind.DONE for outcome in outcomes):
        out.hint("Rejected people cannot ask again. To let them, send them back: `hf-gate reset`.")


def _describe_outcome(
    context: CommandContext,
    decision: DecisionCommand,
    target: RequestTarget,
    outcome: Outcome,
    end: AccessEnd | None,
    suffix: str | None,
) -> str | None:
    """Return the line about one outcome; None if it is only counted, or printed with its error.

    `suffix` is the end of the line about a single decision, and None for one of several.
    """
    who = f"{person_label(outcome)} at {outcome.repo}"
    if outcome.kind is OutcomeKind.ALREADY:
        unsent = "; the reason was not sent" if decision.has_reason else ""
        return f"{who}: already {PAST[decision.verb]}; {_describe_unchanged(context, decision, end)}{unsent}."
    if outcome.kind is not OutcomeKind.DONE:  # an error of a single decision is printed when it is raised
        return None if suffix is not None and outcome.error is not None else f"{who}: {outcome.kind}: {outcome.why}"
    if decision.is_dry_run:
        reason = decision.reason_for(target) if decision.template else None
        return f"would {decision.verb} {target}" + (f" with the reason {to_json(reason)}" if reason else "")
    return None if suffix is None else f"{who}: {PAST[decision.verb]}; {_AFTER[decision.effect]}{suffix}"


def _describe_unchanged(context: CommandContext, decision: DecisionCommand, end: AccessEnd | None) -> str:
    """Return what becomes of access that a person has already."""
    if decision.until is None or end is None or end.gives_none:
        return "nothing would change" if decision.is_dry_run else "nothing was changed"
    words = describe_given_access(end, context.now(), context.location.zone)
    return f"would give {words}" if decision.is_dry_run else words


def _result_suffix(context: CommandContext, decision: DecisionCommand, ends: Sequence[AccessEnd | None]) -> str:
    """Return the end of a result sentence: the ends of access, or whether a reason was sent."""
    if decision.until:
        words = Counter(describe_given_access(end, context.now(), context.location.zone) for end in ends if end)
        parts = list(words) if len(words) == 1 else [f"{count:,} with {text}" for text, count in words.items()]
        return f"; {'; '.join(parts)}." if parts else "."
    if decision.effect not in {"reject", "reset"}:
        return "."
    if decision.template is not None and len(decision.targets) > 1:
        return f"; reasons sent, from the template {decision.template.name}."
    reason = decision.reason_for(decision.targets[0]) if decision.targets else None
    return f"; reason sent: {to_json(reason)}" if reason else "; no reason sent."


def person_label(outcome: Outcome) -> str:
    """Return the name of the person of an outcome; else the request id, which may be all that was given."""
    person = outcome.person
    if person.username or person.id or not outcome.request_id:
        return str(person)
    return f"request {outcome.request_id}"
