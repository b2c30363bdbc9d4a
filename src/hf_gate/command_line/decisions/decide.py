"""accept, reject, reset, cancel, grant, revoke: their options, and the checks before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import click
from msgspec.structs import replace

from hf_gate.base.batches import group_pairs
from hf_gate.command_line.framework import CommandContext, ProgramCommand, command, repo_type_option
from hf_gate.command_line.targets import DecisionCommand, did_you_mean, expand_target_globs, read_targets, suggest_names
from hf_gate.command_line.workspace_opening import announce_target
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import REASON_LIMIT, check_reason
from hf_gate.decisions.typed_input import parse_end_or_none, parse_note
from hf_gate.errors import Guarded, PersonNotFound, ReasonTooLong, RequestNotFound, UsageError, to_command_hint
from hf_gate.messages.reason_templates import ReasonTemplate
from hf_gate.messages.reason_texts import find_reason_text
from hf_gate.requests.service.targets import RequestTarget

from .confirmation import confirm_decision
from .execution import CommandResult, execute_decisions, print_result


def _decision_options(function: Callable[..., object]) -> Callable[..., object]:
    for option in reversed(
        (
            click.argument("targets", nargs=-1, metavar="[TARGET]..."),
            click.option("--from", "file", metavar="FILE", help="Read targets from a file, one per line; - is stdin."),
            click.option("--repo", metavar="REPO", help="The repo of all targets; allows request ids as targets."),
            repo_type_option,
            click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
            click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing."),
            click.option(
                "--max",
                "at_most",
                type=click.IntRange(min=1),
                default=100,
                show_default=True,
                help="Refuse more targets than this.",
            ),
            click.option("--max-changes", type=click.IntRange(min=1), help="With --yes: maximum number of changes."),
            click.option("--note", metavar="TEXT", help="Note for the audit log; never shown to the person."),
        )
    ):
        function = option(function)
    return function


_MAX_SUGGESTIONS: Final = 5  # the most misspelt names of one repo that get suggestions
_until_option = click.option(
    "--until", metavar="END", help="End of access: 90d, 12w, 6mo, 1y, 2027-06-30, or none. Default: as the rules say."
)


def _reason_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options for the reason that the person receives."""
    for option in reversed(
        (
            click.option("--reason", metavar="TEXT", help=f"Shown to the person; at most {REASON_LIMIT} characters."),
            click.option(
                "--reason-template",
                metavar="NAME",
                help="A text of the workspace or of hf-gate, e.g. say-more.",
            ),
            click.option("--no-reason", is_flag=True, help="Send no reason, on purpose."),
        )
    ):
        function = option(function)
    return function


def _make_command(
    name: str, about: str, *more: Callable[..., Callable[..., object]], examples: Sequence[str]
) -> ProgramCommand:
    def function(context: CommandContext, **given: object) -> int:
        return _decide(context, name, given)

    function.__doc__ = about
    for option in reversed(more):
        function = option(function)
    return command(name, examples=examples)(_decision_options(function))


accept = _make_command(
    "accept",
    "Accept requests: people can download at once. `approve` is the same command.",
    _until_option,
    examples=(
        "hf-gate accept ada-l@datasets/acme/eeg",
        "hf-gate accept ada-l@datasets/acme/eeg --until 1y --note 'Agreement of 3 May.'",
        "hf-gate accept 'ada-l@datasets/acme/*' --dry-run",
        "hf-gate accept datasets/acme/eeg ada-l bob99 --yes",
        "hf-gate ls datasets/acme/eeg --format jsonl | hf-gate accept - --yes",
    ),
)
reject = _make_command(
    "reject",
    (
        "Reject requests: no access, and people cannot ask again. After `reset`, they can. `deny` and `decline` "
        "are the same command."
    ),
    _reason_options,
    examples=(
        "hf-gate reject bob99@acme/med-7b --reason 'The licence does not allow resale.'",
        "hf-gate reject acme/med-7b --from names.txt --dry-run",
    ),
)
reset = _make_command(
    "reset",
    "Send requests back: no access, but people can ask again. The Hub e-mails them the reason.",
    _reason_options,
    examples=(
        "hf-gate reset ada-l@datasets/acme/eeg --reason 'Please say what you will study, and ask again.'",
        "hf-gate reset --repo datasets/acme/eeg 6925b8e04c1f2a3b4c5d6e7f --no-reason",
    ),
)
cancel = _make_command(
    "cancel",
    "Return requests to pending; accepted people lose access until the next decision.",
    examples=("hf-gate cancel ada-l@datasets/acme/eeg", "hf-gate cancel acme/med-7b ada-l bob99 --dry-run"),
)
grant = _make_command(
    "grant",
    (
        "Grant access to people who have not asked; pending requests are accepted. USER@GLOB means each matching "
        "repo in the store."
    ),
    _until_option,
    examples=(
        "hf-gate grant ada-l@datasets/acme/eeg ada-l@acme/med-7b --dry-run",
        "hf-gate grant 'ada-l@datasets/acme/*' --until 1y",
        "hf-gate grant acme/med-7b ada-l bob99 --yes",
    ),
)
revoke = _make_command(
    "revoke",
    "End people's access. After reset, they can ask again; after reject, they cannot. Cancel makes their requests "
    "pending."
    " USER@GLOB means each matching repo where USER has access according to the store; 'USER@*' means all of them.",
    click.option(
        "--how",
        type=click.Choice(["reset", "reject", "cancel"]),
        default="reset",
        show_default=True,
        help="The decision that ends their access.",
    ),
    _reason_options,
    examples=(
        "hf-gate revoke ada-l@datasets/acme/eeg --reason 'The project has ended.'",
        "hf-gate revoke 'bob99@*' --reason 'The project has ended.' --dry-run",
        "hf-gate revoke 'bob99@acme/*' --how reject --reason 'The agreement was broken.'",
    ),
)


# ---- execution -------------------------------------------------------------------------------------------------------


def _decide(context: CommandContext, verb: str, given: dict[str, object]) -> int:
    """Run a decision command with the given options: confirm, execute, print the outcomes; return the exit code."""
    decision = _read_decision(context, verb, given)
    if decision.verb == "revoke" and decision.how == "cancel" and decision.has_reason:
        raise UsageError(
            "--how cancel takes no reason, because the Hub would not show it.", hint="Use --how reset or --how reject."
        )
    _check_size(decision)
    if not decision.targets:
        print_result(context, decision, CommandResult())
        return 0
    announce_target(context, writes=True)
    if decision.effect in {"reject", "reset"} and not (decision.has_reason or given["no_reason"]):
        decision = replace(decision, reason=_ask_reason(context, decision))
    confirm_decision(context, decision)
    result = execute_decisions(context, decision)
    unwritten = context.out.write_results(
        lambda: print_result(context, decision, result), is_changed=result.is_changed and not decision.is_dry_run
    )
    _suggest_names(context, decision, result)
    return _exit_code_of(context, result) or unwritten


def _read_decision(context: CommandContext, verb: str, given: dict[str, object]) -> DecisionCommand:
    """Read and check all arguments before anything is sent."""
    reason = check_reason(given.get("reason"))  # type: ignore[arg-type]
    if reason is not None and not reason.strip():
        raise UsageError(
            "--reason is empty; nothing was sent.",
            hint="Use --reason TEXT, or --no-reason to send none.",
        )
    note = None if given["note"] is None else parse_note(str(given["note"]))
    words = list(given["targets"])  # type: ignore[call-overload]
    file = given["file"]
    repo = given["repo"]
    repo_type = given["repo_type"]
    expanded = expand_target_globs(context, words, verb, repo_type)  # type: ignore[arg-type]
    targets = read_targets(context, expanded, file, repo, repo_type)  # type: ignore[arg-type]
    return DecisionCommand(
        verb,
        targets,
        reason=reason,
        template=_read_template(context, verb, given, targets),
        how=str(given.get("how", "reset")),
        note=note,
        until=_read_until(context, given.get("until")),
        is_dry_run=bool(given["dry_run"]),
        is_confirmed=bool(given["yes"]),
        max_targets=int(given["at_most"]),  # type: ignore[call-overload]
        max_changes=given["max_changes"],  # type: ignore[arg-type]
        is_from_stdin="-" in words or file == "-",
    )


def _ask_reason(context: CommandContext, decision: DecisionCommand) -> str | None:
    """Ask for the reason; return None if it is left empty. Raises UsageError if no question can be asked."""
    if not context.may_ask or decision.is_confirmed or decision.is_from_stdin:
        raise UsageError(
            f"{decision.verb} needs a reason; nothing was sent.",
            hint="Use --reason TEXT, which the person sees, or --no-reason to send none.",
        )
    who = "the person" if len(decision.targets) == 1 else f"all {len(decision.targets)} people"
    while True:
        text: str = click.prompt(f"Reason, shown to {who}", default="", show_default=False, err=True).strip()
        if not text and not click.confirm("Send no reason? They will not know why", err=True):
            continue
        try:
            return check_reason(text or None)
        except ReasonTooLong as problem:
            context.out.say(str(problem))


def _read_template(
    context: CommandContext, verb: str, given: dict[str, object], targets: Sequence[RequestTarget]
) -> ReasonTemplate | None:
    name = given.get("reason_template")
    if sum(bool(given.get(key)) for key in ("reason", "reason_template", "no_reason")) > 1:
        raise UsageError(
            "--reason, --reason-template and --no-reason exclude each other.", hint="Use only one of them."
        )
    if name is None:
        return None
    own = {} if context.location.folder is None else context.location.config.templates
    effect = str(given.get("how", "reset")) if verb == "revoke" else verb
    return find_reason_text(own, str(name), effect, list(dict.fromkeys(target.repo for target in targets)))


def _read_until(context: CommandContext, text: object) -> str | None:
    if text is None:
        return None
    zone = ZoneInfo(context.location.config.timezone)
    return parse_end_or_none(str(text), context.now(), zone, has_workspace=context.location.folder is not None)


def _check_size(decision: DecisionCommand) -> None:
    """Raise Guarded for more targets than --max allows."""
    limit = max(decision.max_targets, decision.max_changes or 0)
    if len(decision.targets) > limit:
        raise Guarded(
            f"{len(decision.targets):,} targets exceed --max {limit}; nothing was sent.",
            hint=f"To decide about all of them: --max {len(decision.targets)}. --dry-run shows the targets.",
        )


def _suggest_names(context: CommandContext, decision: DecisionCommand, result: CommandResult) -> None:
    """Suggest similar names for people who were not found."""
    stop = result.stopped_by
    if isinstance(stop, PersonNotFound | RequestNotFound) and len(decision.targets) == 1:
        target = decision.targets[0]
        if target.target.request is None:
            stop.hint = did_you_mean(context.hub, target.repo, target.target.username) + _next_step(
                decision, target, stop
            )
        return
    unknown = group_pairs(
        (outcome.repo, outcome.person.username)
        for outcome in (result.outcomes if stop is None and context.out.is_human else ())
        if isinstance(outcome.error, PersonNotFound | RequestNotFound) and outcome.kind is OutcomeKind.REFUSED
    )
    for repo, names in unknown.items():
        for sentence in suggest_names(context.hub, repo, [name for name in names if name][:_MAX_SUGGESTIONS]):
            context.out.hint(sentence)


def _next_step(decision: DecisionCommand, target: RequestTarget, problem: PersonNotFound | RequestNotFound) -> str:
    if isinstance(problem, PersonNotFound):
        return problem.hint
    if decision.verb == "accept":
        hint = to_command_hint(problem.hint)
        return hint.replace("USER@REPO", str(target)) if target.target.username else hint
    return f"`hf-gate ls {target.repo} --status all` lists all requests."


def _exit_code_of(context: CommandContext, result: CommandResult) -> int:
    if isinstance(result.stopped_by, KeyboardInterrupt):
        done = sum(outcome.kind is OutcomeKind.DONE for outcome in result.outcomes)
        left = sum(outcome.kind is OutcomeKind.OPEN for outcome in result.outcomes)
        context.out.say(f"Stopped: {done} done, {left} open. Repeat the command to send the rest.")
    return result.finish()
