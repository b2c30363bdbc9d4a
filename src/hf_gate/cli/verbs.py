"""accept, reject, reset, cancel, grant, revoke: what they take, and the brakes before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import click

from ..domain.ids import Repo
from ..domain.outcomes import Kind
from ..domain.requests import checked_reason
from ..errors import Guarded, PersonNotFound, RequestNotFound, UsageError
from .brakes import check_brakes
from .carrying import Result, Wish, carry_out
from .frame import GateCommand, Run, command, repo_type_option
from .nearest import did_you_mean, meant
from .targets import Aim, read_aims
from .telling import print_dry_run, print_result


def _options(function: Callable[..., object]) -> Callable[..., object]:
    for option in reversed((
        click.argument("targets", nargs=-1, metavar="[TARGET]..."),
        click.option("--from", "file", metavar="FILE", help="Targets from a file, one a line; - is stdin."),
        click.option("--repo", metavar="REPO", help="The repo of all targets; then request ids may be given."),
        repo_type_option,
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing."),
        click.option("--max", "at_most", type=click.IntRange(min=1), default=100, show_default=True, help="Refuse more targets than this."),
        click.option("--max-changes", type=click.IntRange(min=1), help="With --yes: confirms up to so many changes."),
    )):  # fmt: skip
        function = option(function)
    return function


_ADVISED: Final = 5  # misspelt names of one repo for which others are offered
_REASON = click.option("--reason", metavar="TEXT", help="Shown to the person; at most 200 characters.")


def _verb(name: str, about: str, *more: Callable[..., Callable[..., object]], examples: Sequence[str]) -> GateCommand:
    def function(run: Run, **given: object) -> int:
        return _decide(run, name, given)

    function.__doc__ = about
    for option in reversed(more):
        function = option(function)
    return command(name, examples=examples)(_options(function))


accept = _verb(
    "accept",
    "Let people in: they may download at once.",
    examples=(
        "hf-gate accept ada-l@datasets/acme/eeg",
        "hf-gate accept datasets/acme/eeg ada-l bob99 --yes",
        "hf-gate ls datasets/acme/eeg --format jsonl | hf-gate accept - --yes",
    ),
)
reject = _verb(
    "reject",
    "Refuse people: no files, and they cannot ask again. `reset` leaves them a way back.",
    _REASON,
    examples=(
        "hf-gate reject bob99@acme/med-7b --reason 'The licence does not allow resale.'",
        "hf-gate reject acme/med-7b --from names.txt --dry-run",
    ),
)
reset = _verb(
    "reset",
    "Send requests back: no files, and the person may ask again. The Hub mails them the reason.",
    _REASON,
    examples=(
        "hf-gate reset ada-l@datasets/acme/eeg --reason 'Please say what you will study, and ask again.'",
        "hf-gate reset --repo datasets/acme/eeg 6925b8e04c1f2a3b4c5d6e7f",
    ),
)
cancel = _verb(
    "cancel",
    "Put requests back to pending; who was in loses access until the next decision.",
    examples=("hf-gate cancel ada-l@datasets/acme/eeg", "hf-gate cancel acme/med-7b ada-l bob99 --dry-run"),
)
grant = _verb(
    "grant",
    "Let people in who have not asked; who has asked is accepted.",
    examples=("hf-gate grant ada-l@datasets/acme/eeg", "hf-gate grant acme/med-7b ada-l bob99 --yes"),
)
revoke = _verb(
    "revoke",
    "End people's access: by reset they may ask again, by reject they may not, by cancel they wait for a new decision.",
    click.option("--how", type=click.Choice(["reset", "reject", "cancel"]), default="reset", show_default=True, help="What they may do afterwards."),
    _REASON,
    examples=(
        "hf-gate revoke ada-l@datasets/acme/eeg",
        "hf-gate revoke bob99@acme/med-7b --how reject --reason 'The agreement was broken.'",
    ),
)  # fmt: skip


# ---- one run ----------------------------------------------------------------------------------------------------------


def _decide(run: Run, verb: str, given: dict[str, object]) -> int:
    reason = checked_reason(given.get("reason"))  # type: ignore[arg-type]
    words, file = list(given["targets"]), given["file"]  # type: ignore[call-overload]
    wish = Wish(
        verb,
        read_aims(words, file, given["repo"], given["repo_type"]),  # type: ignore[arg-type]
        reason=reason,
        how=given.get("how", "reset"),  # type: ignore[arg-type]
        dry_run=bool(given["dry_run"]),
        yes=bool(given["yes"]),
        at_most=int(given["at_most"]),  # type: ignore[call-overload]
        max_changes=given["max_changes"],  # type: ignore[arg-type]
        from_stdin="-" in words or file == "-",
    )
    if wish.verb == "revoke" and wish.how == "cancel" and wish.reason:
        raise UsageError(
            "cancel takes no reason: the Hub tells the person none.", hint="--how reset and --how reject take one."
        )
    _check_size(wish)
    if not wish.aims:
        print_result(run, wish, Result())
        return 0
    run.announce(writes=True)
    if wish.dry_run:
        print_dry_run(run, wish)
        return 0
    check_brakes(run, wish)
    result = carry_out(run, wish)
    unwritten = run.out.written(lambda: print_result(run, wish, result), is_changed=result.is_changed)
    _advise(run, wish, result)
    return _ended(run, result) or unwritten


def _check_size(wish: Wish) -> None:
    """More than `--max` is refused before anything is sent."""
    limit = max(wish.at_most, wish.max_changes or 0)
    if len(wish.aims) > limit:
        raise Guarded(
            f"{len(wish.aims):,} targets are more than --max {limit}; nothing was sent.",
            hint=f"If all are meant: --max {len(wish.aims)}. --dry-run shows them.",
        )


def _advise(run: Run, wish: Wish, result: Result) -> None:
    """Whom the caller may have meant by names that nobody there has."""
    stop = result.stopped_by
    if isinstance(stop, PersonNotFound | RequestNotFound) and len(wish.aims) == 1:
        aim = wish.aims[0]
        if aim.target.request is None:
            stop.hint = did_you_mean(run.hub, aim.repo, aim.target.username) + _next_step(wish, aim, stop)
        return
    unknown: dict[Repo, list[str]] = {}
    for outcome in result.outcomes if stop is None and run.out.is_human else ():
        if isinstance(outcome.error, PersonNotFound | RequestNotFound) and outcome.kind is Kind.REFUSED:
            unknown.setdefault(outcome.repo, []).append(outcome.person.username or "")
    for repo, names in unknown.items():
        for sentence in meant(run.hub, repo, [name for name in names if name][:_ADVISED]):
            run.out.hint(sentence)


def _next_step(wish: Wish, aim: Aim, problem: PersonNotFound | RequestNotFound) -> str:
    if isinstance(problem, PersonNotFound):
        return problem.hint
    if wish.verb == "accept":
        return problem.hint.replace("USER@REPO", str(aim)) if aim.target.username else problem.hint
    return f"`hf-gate ls {aim.repo} --status all` lists who asked."


def _ended(run: Run, result: Result) -> int:
    if isinstance(result.stopped_by, KeyboardInterrupt):
        done = sum(outcome.kind is Kind.DONE for outcome in result.outcomes)
        left = sum(outcome.kind is Kind.OPEN for outcome in result.outcomes)
        run.out.say(f"Stopped: {done} done, {left} open. The same command again does the rest.")
    return result.end()
