"""ask and withdraw: request access and withdraw a request, as the token's account."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import limit_lines, pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.private_files import read_named_file
from hf_gate.command_line.decisions.confirmation import confirm
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.text_layout import clip_text
from hf_gate.command_line.workspace_opening import announce_target
from hf_gate.core.forms.form_lint import is_error
from hf_gate.core.forms.forms import collapse_whitespace
from hf_gate.errors import NotAllowed, NotGated, RequestNotFound, UsageError
from hf_gate.hub.protocol.flows.repos import make_no_pending_error
from hf_gate.hub.why.questions import describe_access
from hf_gate.policies.facts.form_facts import TICKED
from hf_gate.requests.records import AccessStateRecord

from .form import list_requester_view

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import Field, GateForm

_LABEL: Final = 70  # the most columns of a label in a list
_TEXT_LINES: Final = 40  # the most lines of one text of a gate
_GATE_LINES: Final = 200  # the most lines of a gate
_UNCHANGED: Final = frozenset({"granted", "pending", "rejected"})  # states in which asking changes nothing
_REQUESTED: Final = frozenset({"granted", "pending"})  # states in which there is a request that the owners may accept
_WITHOUT_PENDING: Final = frozenset({"granted", "rejected", "reset", "ask"})  # states of access


@command(
    "ask",
    examples=(
        "hf-gate ask datasets/acme/eeg -a 'Affiliation=University of Basel' -a 'I agree=true'",
        "hf-gate ask acme/med-7b --answers answers.json --dry-run",
    ),
)
@click.argument("repo", metavar="REPO")
@click.option("-a", "--answer", "given", multiple=True, metavar="LABEL=TEXT", help="One answer; can be repeated.")
@click.option("--answers", "file", metavar="FILE", help="JSON object that maps labels to answers; - is stdin.")
@click.option("--dry-run", is_flag=True, help="Check the answers against the form; send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for missing answers and a confirmation; it ticks no box.")
@repo_type_option
def ask(
    context: CommandContext,
    *,
    repo: str,
    given: tuple[str, ...],
    file: str | None,
    dry_run: bool,
    yes: bool,
    repo_type: str | None,
) -> int:
    """Ask for access as the token's account. The owners see your username, full name, e-mail address and answers.

    It shows the text of the gate first. A checkbox must be ticked, by -a 'LABEL=true' or at the question; --yes
    ticks none. The exit code is 0 if the request is there afterwards: sent now or before, or accepted.
    """
    where = context.parse_repo(repo, repo_type)
    answers = {**_read_answers(file), **dict(map(_parse_answer, given))}
    try:
        status, is_sent = _ask_for_access(context, where, answers, dry_run=dry_run, yes=yes)
    except NotAllowed as problem:
        problem.hint = f"To see what is in the way, and what to do: {context.command_line('why', str(where))}"
        raise
    access = describe_access(status, where, context.endpoint, context.account)
    written = _print_status(context, where, status, list(access.to_lines()), is_changed=is_sent)
    return written or (0 if dry_run or status in _REQUESTED else access.exit_code)


def _ask_for_access(
    context: CommandContext, repo: Repo, answers: dict[str, str], *, dry_run: bool, yes: bool
) -> tuple[str, bool]:
    """Send the request unless it changes nothing; return the state afterwards, and whether a request was sent."""
    announce_target(context, writes=True)
    if context.hub.gate(repo).mode is False:
        raise NotGated(f"{repo} is not gated.", hint="You can download it without asking.")
    form = context.hub.gate_form(repo)
    _check_labels(form, answers)
    status = context.hub.check_access(repo)
    if status == "sign_in":
        raise NotAllowed(f"{repo}: no token was sent, and asking needs one.")
    if status in _UNCHANGED:
        context.out.say("Asking changes nothing now; nothing was sent.")
        return status, False
    _show_gate(context, repo, form)
    answers = _complete_answers(context, repo, form, answers, allows_missing=yes)
    _require_ticks(form, answers)
    if dry_run:
        context.out.say(f"Dry run: {pluralize(len(answers), 'answer')} checked, no problems; nothing was sent.")
        return status, False
    if not yes:
        confirm(context, "Send this request?", "nothing was sent", "Add --yes to send the request.")
    status = context.hub.ask_access(repo, answers)
    context.out.say("The request was sent.")
    return status, True


@command("withdraw", examples=("hf-gate withdraw datasets/acme/eeg", "hf-gate withdraw acme/med-7b --json"))
@click.argument("repo", metavar="REPO")
@click.option("--dry-run", is_flag=True, help="Show the state of the request; send nothing.")
@repo_type_option
def withdraw(context: CommandContext, *, repo: str, dry_run: bool, repo_type: str | None) -> int:
    """Withdraw your own pending request; the Hub deletes it."""
    where = context.parse_repo(repo, repo_type)
    announce_target(context, writes=True)
    status = context.hub.check_access(where) if dry_run else ""
    try:
        if status in _WITHOUT_PENDING:
            raise make_no_pending_error(where)
        if dry_run:
            context.out.say("Dry run: nothing was sent.")
        else:
            context.hub.withdraw(where)
    except RequestNotFound as problem:
        problem.hint = problem.hint or "Only a pending request can be withdrawn. To ask: hf-gate ask REPO"
        raise
    status = status or context.hub.check_access(where)
    lines = [f"{where}: {status}; {describe_access(status, where, context.endpoint, context.account).sentence}"]
    return _print_status(context, where, status, lines, is_changed=not dry_run)


def _print_status(context: CommandContext, repo: Repo, status: str, lines: list[str], *, is_changed: bool) -> int:
    record = AccessStateRecord(repo=repo.id, repo_type=repo.type, status=status)  # type: ignore[arg-type]
    return context.out.write_results(
        lambda: context.out.document(record, lambda: lines, quiet=[status]), is_changed=is_changed
    )


def _parse_answer(text: str) -> tuple[str, str]:
    label, equals, answer = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not LABEL=TEXT.", hint="`hf-gate form check REPO` shows the labels.")
    return collapse_whitespace(label), answer


def _read_answers(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        found = json.loads(read_named_file(file))
    except ValueError as problem:
        raise UsageError(f"{file} is not valid JSON: {problem}.") from None
    except RecursionError:
        raise UsageError(f"{file} is nested too deeply; nothing was sent.") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
        raise UsageError(
            f"{file} is not a JSON object that maps labels to text.",
            hint='Write {"Affiliation": "University of Basel"}.',
        )
    return {collapse_whitespace(label): value for label, value in found.items()}


def _show_gate(context: CommandContext, repo: Repo, form: GateForm) -> None:
    """Print what the person agrees to and shares. Raises UsageError if the card cannot be read: a box might be lost."""
    page = f"{context.endpoint}/{repo.web_path}"
    if not form.fields and any(map(is_error, form.problems)):
        raise UsageError(f"the form of {repo} cannot be read; nothing was sent.", hint=f"Ask on its page: {page}")
    context.out.say(
        f"Gate of {repo}. If you ask, its owners get your answers, and your username, full name and e-mail address:"
    )
    rest = f"  ... {{}} more lines. Read them all on its page: {page}"
    for line in limit_lines(list(list_requester_view(form, _TEXT_LINES)), _GATE_LINES, rest=rest):
        context.out.say(line)


def _check_labels(form: GateForm, answers: Mapping[str, str]) -> None:
    labels = [field.label for field in form.fields]
    for label in answers:
        if labels and label not in labels:
            raise UsageError(
                f"the form has no field {label!r}.", hint=f"Its fields are {', '.join(map(repr, labels))}."
            )


def _complete_answers(
    context: CommandContext, repo: Repo, form: GateForm, answers: dict[str, str], *, allows_missing: bool
) -> dict[str, str]:
    """Return the answers, with missing ones asked for on the terminal."""
    missing = [field for field in form.fields if field.label not in answers and field.type != "ip_location"]
    if not missing or allows_missing:
        return answers
    if not context.may_ask:
        for field in missing:
            context.out.say(f"  {clip_text(field.label, _LABEL)}")
        raise UsageError(
            f"the form needs the {pluralize(len(missing), 'answer')} above; nothing was sent.",
            hint="Add -a 'LABEL=TEXT' for each answer, or --yes to send without them; a box needs -a 'LABEL=true'."
            f" `hf-gate form check {repo}` shows the full labels.",
        )
    return {**answers, **{field.label: _ask_answer(context, field) for field in missing}}


def _require_ticks(form: GateForm, answers: Mapping[str, str]) -> None:
    """Raise UsageError for a box that is not ticked: the page of the Hub sends no form with an open box."""
    for field in form.fields:
        if field.type == "checkbox" and answers.get(field.label, "").strip().casefold() not in TICKED:
            raise UsageError(
                f"the box {clip_text(field.label, _LABEL)!r} is not ticked; nothing was sent.",
                hint=f"If you agree, add -a {shlex.quote(f'{field.label}=true')}. --yes ticks no box.",
            )


def _ask_answer(context: CommandContext, field: Field) -> str:
    if field.type == "checkbox":
        context.out.say(field.label)
        return "true" if click.confirm("Tick this box?", err=True) else "false"
    if field.options:
        context.out.say(f"{field.label}: {', '.join(option.value for option in field.options)}")
        return _ask_choice(context, [option.value for option in field.options])
    context.out.say(field.label)
    return str(click.prompt("Answer", err=True))


def _ask_choice(context: CommandContext, values: list[str]) -> str:
    """Ask until the answer is one of the values.

    `click.Choice` would print the values unsafely; they are text from outside.
    """
    while (answer := str(click.prompt("One of these", err=True))) not in values:
        context.out.say(f"{answer!r} is not one of {', '.join(values)}.")
    return answer
