"""accept, reject, reset, cancel, grant, revoke: what they take, and the brakes before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import click

from ..application.inputs import ReasonTemplate, find_template, parse_end, parse_note
from ..application.targets import RequestTarget
from ..domain.ids import Repo
from ..domain.outcomes import OutcomeKind
from ..domain.requests import check_reason
from ..errors import Guarded, PersonNotFound, ReasonTooLong, RequestNotFound, UsageError
from .confirmation import confirm_decision
from .execution import CommandResult, execute_decisions, print_dry_run, print_result
from .framework import GateCommand, Run, command, repo_type_option
from .name_suggestions import did_you_mean, suggest_names
from .repo_globs import expand_globs
from .targets import DecisionCommand, read_targets
from .workspace import announce


def _options(function: Callable[..., object]) -> Callable[..., object]:
    for option in reversed((
        click.argument("targets", nargs=-1, metavar="[TARGET]..."),
        click.option("--from", "file", metavar="FILE", help="Read targets from a file, one per line; - is stdin."),
        click.option("--repo", metavar="REPO", help="The repo of all targets; then request ids may be given."),
        repo_type_option,
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing."),
        click.option("--max", "at_most", type=click.IntRange(min=1), default=100, show_default=True, help="Refuse more targets than this."),
        click.option("--max-changes", type=click.IntRange(min=1), help="With --yes: confirms up to so many changes."),
        click.option("--note", metavar="TEXT", help="Note for the audit log; never shown to the person."),
    )):  # fmt: skip
        function = option(function)
    return function


_ADVISED: Final = 5  # misspelt names of one repo for which others are offered
_UNTIL = click.option(
    "--until", metavar="END", help="When it ends: 90d, 12w, 6mo, 1y or 2027-06-30. `hf-gate run` ends it."
)


def _reason(function: Callable[..., object]) -> Callable[..., object]:
    for option in reversed((
        click.option("--reason", metavar="TEXT", help="Shown to the person; at most 200 characters."),
        click.option("--reason-template", metavar="NAME", help="A text of the workspace's `templates:`; NAME:de for one language."),
        click.option("--lang", metavar="LANGUAGE", help="The language of --reason-template, such as de."),
        click.option("--no-reason", is_flag=True, help="Send no reason, on purpose."),
    )):  # fmt: skip
        function = option(function)
    return function


def _verb(name: str, about: str, *more: Callable[..., Callable[..., object]], examples: Sequence[str]) -> GateCommand:
    def function(run: Run, **given: object) -> int:
        return _decide(run, name, given)

    function.__doc__ = about
    for option in reversed(more):
        function = option(function)
    return command(name, examples=examples)(_options(function))


accept = _verb(
    "accept",
    "Accept requests: people can download at once. `approve` is the same command.",
    _UNTIL,
    examples=(
        "hf-gate accept ada-l@datasets/acme/eeg",
        "hf-gate accept ada-l@datasets/acme/eeg --until 1y --note 'Agreement of 3 May.'",
        "hf-gate accept 'ada-l@datasets/acme/*' --dry-run",
        "hf-gate accept datasets/acme/eeg ada-l bob99 --yes",
        "hf-gate ls datasets/acme/eeg --format jsonl | hf-gate accept - --yes",
    ),
)
reject = _verb(
    "reject",
    "Reject requests: no access, and people cannot ask again. After `reset` they can. `deny` and `decline` are the same command.",
    _reason,
    examples=(
        "hf-gate reject bob99@acme/med-7b --reason 'The licence does not allow resale.'",
        "hf-gate reject acme/med-7b --from names.txt --dry-run",
    ),
)
reset = _verb(
    "reset",
    "Send requests back: no access, but people can ask again. The Hub mails them the reason.",
    _reason,
    examples=(
        "hf-gate reset ada-l@datasets/acme/eeg --reason 'Please say what you will study, and ask again.'",
        "hf-gate reset --repo datasets/acme/eeg 6925b8e04c1f2a3b4c5d6e7f --no-reason",
    ),
)
cancel = _verb(
    "cancel",
    "Return requests to pending; accepted people lose access until the next decision.",
    examples=("hf-gate cancel ada-l@datasets/acme/eeg", "hf-gate cancel acme/med-7b ada-l bob99 --dry-run"),
)
grant = _verb(
    "grant",
    "Grant access to people who have not asked; pending requests are accepted.",
    _UNTIL,
    examples=("hf-gate grant ada-l@datasets/acme/eeg", "hf-gate grant acme/med-7b ada-l bob99 --yes"),
)
revoke = _verb(
    "revoke",
    "End people's access. After reset they can ask again, after reject they cannot; cancel returns them to pending.",
    click.option("--how", type=click.Choice(["reset", "reject", "cancel"]), default="reset", show_default=True, help="What they may do afterwards."),
    _reason,
    examples=(
        "hf-gate revoke ada-l@datasets/acme/eeg --reason 'The project has ended.'",
        "hf-gate revoke bob99@acme/med-7b --how reject --reason 'The agreement was broken.'",
    ),
)  # fmt: skip


# ---- one run ----------------------------------------------------------------------------------------------------------


def _decide(run: Run, verb: str, given: dict[str, object]) -> int:
    wish = _wish(run, verb, given)
    if wish.verb == "revoke" and wish.how == "cancel" and wish.has_reason:
        raise UsageError(
            "cancel takes no reason: the Hub tells the person none.", hint="--how reset and --how reject take one."
        )
    _check_size(wish)
    if not wish.targets:
        print_result(run, wish, CommandResult())
        return 0
    announce(run, writes=True)
    if wish.is_dry_run:
        print_dry_run(run, wish)
        return 0
    if wish.effect in {"reject", "reset"} and not (wish.has_reason or given["no_reason"]):
        wish = replace(wish, reason=_ask_reason(run, wish))
    confirm_decision(run, wish)
    result = execute_decisions(run, wish)
    unwritten = run.out.write_results(lambda: print_result(run, wish, result), is_changed=result.is_changed)
    _advise(run, wish, result)
    return _exit_code_of(run, result) or unwritten


def _wish(run: Run, verb: str, given: dict[str, object]) -> DecisionCommand:
    """Everything that was given, read and checked before anything is sent."""
    reason = check_reason(given.get("reason"))  # type: ignore[arg-type]
    if reason is not None and not reason.strip():
        raise UsageError(
            "--reason is empty; nothing was sent.",
            hint="--reason TEXT tells people why; --no-reason sends none, on purpose.",
        )
    note = None if given["note"] is None else parse_note(str(given["note"]))
    words, file = list(given["targets"]), given["file"]  # type: ignore[call-overload]
    repo, repo_type = given["repo"], given["repo_type"]
    aims = read_targets(expand_globs(run, words, verb, repo_type), file, repo, repo_type)  # type: ignore[arg-type]
    return DecisionCommand(
        verb,
        aims,
        reason=reason,
        template=_template(run, given, aims),
        how=str(given.get("how", "reset")),
        note=note,
        until=_until(run, given.get("until")),
        is_dry_run=bool(given["dry_run"]),
        is_confirmed=bool(given["yes"]),
        max_targets=int(given["at_most"]),  # type: ignore[call-overload]
        max_changes=given["max_changes"],  # type: ignore[arg-type]
        is_from_stdin="-" in words or file == "-",
    )


def _ask_reason(run: Run, wish: DecisionCommand) -> str | None:
    """The reason that somebody types now; None when they leave it empty. UsageError when nobody can be asked."""
    if not run.may_ask or wish.is_confirmed or wish.is_from_stdin:
        raise UsageError(
            f"{wish.verb} needs a reason, and nothing was sent.",
            hint="--reason TEXT is shown to the person; --no-reason sends none, on purpose.",
        )
    who = "the person" if len(wish.targets) == 1 else f"all {len(wish.targets)} people"
    while True:
        text: str = click.prompt(f"Reason, shown to {who}", default="", show_default=False, err=True).strip()
        if not text and not click.confirm("Send no reason? They are left to guess", err=True):
            continue
        try:
            return check_reason(text or None)
        except ReasonTooLong as problem:
            run.out.say(str(problem))


def _template(run: Run, given: dict[str, object], aims: Sequence[RequestTarget]) -> ReasonTemplate | None:
    name = given.get("reason_template")
    if sum(bool(given.get(key)) for key in ("reason", "reason_template", "no_reason")) > 1:
        raise UsageError("--reason, --reason-template and --no-reason: give one of them.")
    language = given.get("lang")
    if language and (name is None or ":" in str(name)):
        raise UsageError(
            "--lang says the language of --reason-template NAME, once.", hint="--reason-template NAME --lang de"
        )
    if name is None:
        return None
    if language:
        name = f"{name}:{language}"
    if run.location.folder is None:
        raise UsageError(
            "a template needs a workspace (it stands in hf-gate.yaml); there is none here.",
            hint="`hf-gate init` makes one.",
        )
    return find_template(run.location.config.templates, str(name), list(dict.fromkeys(aim.repo for aim in aims)))


def _until(run: Run, text: object) -> str | None:
    if text is None:
        return None
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only with --until

    zone = ZoneInfo(run.location.config.timezone)
    return parse_end(str(text), run.now(), zone, has_workspace=run.location.folder is not None)


def _check_size(wish: DecisionCommand) -> None:
    """More than `--max` is refused before anything is sent."""
    limit = max(wish.max_targets, wish.max_changes or 0)
    if len(wish.targets) > limit:
        raise Guarded(
            f"{len(wish.targets):,} targets are more than --max {limit}; nothing was sent.",
            hint=f"If all are meant: --max {len(wish.targets)}. --dry-run shows them.",
        )


def _advise(run: Run, wish: DecisionCommand, result: CommandResult) -> None:
    """Whom the caller may have meant by names that nobody there has."""
    stop = result.stopped_by
    if isinstance(stop, PersonNotFound | RequestNotFound) and len(wish.targets) == 1:
        aim = wish.targets[0]
        if aim.target.request is None:
            stop.hint = did_you_mean(run.hub, aim.repo, aim.target.username) + _next_step(wish, aim, stop)
        return
    unknown: dict[Repo, list[str]] = {}
    for outcome in result.outcomes if stop is None and run.out.is_human else ():
        if isinstance(outcome.error, PersonNotFound | RequestNotFound) and outcome.kind is OutcomeKind.REFUSED:
            unknown.setdefault(outcome.repo, []).append(outcome.person.username or "")
    for repo, names in unknown.items():
        for sentence in suggest_names(run.hub, repo, [name for name in names if name][:_ADVISED]):
            run.out.hint(sentence)


def _next_step(wish: DecisionCommand, aim: RequestTarget, problem: PersonNotFound | RequestNotFound) -> str:
    if isinstance(problem, PersonNotFound):
        return problem.hint
    if wish.verb == "accept":
        return problem.hint.replace("USER@REPO", str(aim)) if aim.target.username else problem.hint
    return f"`hf-gate ls {aim.repo} --status all` lists who asked."


def _exit_code_of(run: Run, result: CommandResult) -> int:
    if isinstance(result.stopped_by, KeyboardInterrupt):
        done = sum(outcome.kind is OutcomeKind.DONE for outcome in result.outcomes)
        left = sum(outcome.kind is OutcomeKind.OPEN for outcome in result.outcomes)
        run.out.say(f"Stopped: {done} done, {left} open. The same command again does the rest.")
    return result.finish()
