"""ask and withdraw: request access and withdraw a request, as the token's account."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..domain.display_text import clip, pluralize
from ..domain.forms import collapse_whitespace
from ..domain.ids import Repo
from ..errors import NotGated, RequestNotFound, UsageError
from ..private_files import read_regular_file
from ..protocol.flows.repos import make_no_pending_error
from .framework import Run, command, repo_type_option
from .output import Row
from .workspace import announce

if TYPE_CHECKING:
    from ..domain.forms import Field, GateForm

_LABEL: Final = 70  # the most columns of a label in a list
_MEANING: Final = {
    "granted": "you can download.",
    "pending": "your request is waiting for review.",
    "rejected": "your request was rejected; you cannot ask again.",
    "reset": "your request was sent back; you can ask again.",
    "ask": "you have not asked yet.",
    "sign_in": "you need a token.",
    "unknown": "the Hub did not report the state of your request.",
}

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
@click.option("-y", "--yes", is_flag=True, help="Do not ask for missing answers; send the request without them.")
@repo_type_option
def ask(
    run: Run, *, repo: str, given: tuple[str, ...], file: str | None, dry_run: bool, yes: bool, repo_type: str | None
) -> int:
    """Ask for access as the token's account. The owners of the repo see your name, e-mail address and answers."""
    where = run.parse_repo(repo, repo_type)
    answers = {**_read_answers(file), **dict(map(_parse_answer, given))}
    announce(run, writes=True)
    if run.hub.gate(where).mode is False:
        raise NotGated(f"{where} is not gated.", hint="You can download it without asking.")
    answers = _complete_answers(run, where, answers, allows_missing=yes)
    if dry_run:
        status = run.hub.check_access(where)
        run.out.say(f"Dry run: {pluralize(len(answers), 'answer')} checked, no problems; nothing was sent.")
    else:
        status = run.hub.ask_access(where, answers)
    return _print_status(run, where, status, is_changed=not dry_run)


@command("withdraw", examples=("hf-gate withdraw datasets/acme/eeg", "hf-gate withdraw acme/med-7b --json"))
@click.argument("repo", metavar="REPO")
@click.option("--dry-run", is_flag=True, help="Show the state of the request; send nothing.")
@repo_type_option
def withdraw(run: Run, *, repo: str, dry_run: bool, repo_type: str | None) -> int:
    """Withdraw your own pending request; the Hub deletes it."""
    where = run.parse_repo(repo, repo_type)
    announce(run, writes=True)
    status = run.hub.check_access(where) if dry_run else ""
    try:
        if status in _WITHOUT_PENDING:
            raise make_no_pending_error(where)
        if dry_run:
            run.out.say("Dry run: nothing was sent.")
        else:
            run.hub.withdraw(where)
    except RequestNotFound as problem:
        problem.hint = problem.hint or "Only a pending request can be withdrawn. To ask: hf-gate ask REPO"
        raise
    return _print_status(run, where, status or run.hub.check_access(where), is_changed=not dry_run)


def _print_status(run: Run, repo: Repo, status: str, *, is_changed: bool) -> int:
    doc: Row = {"repo": repo.id, "repo_type": repo.type.value, "status": status}
    lines = [f"{repo}: {status}; {_MEANING.get(status, '')}".rstrip("; ")]
    return run.out.write_results(lambda: run.out.document(doc, lambda: lines, quiet=[status]), is_changed=is_changed)


def _parse_answer(text: str) -> tuple[str, str]:
    label, equals, answer = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not LABEL=TEXT.", hint="`hf-gate form check REPO` shows the labels.")
    return collapse_whitespace(label), answer


def _read_answers(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        raw = sys.stdin.buffer.read() if file == "-" else read_regular_file(Path(file))
        found = json.loads(raw)
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}.") from None
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


def _complete_answers(run: Run, repo: Repo, answers: dict[str, str], *, allows_missing: bool) -> dict[str, str]:
    """Check the answers against the form, and ask for missing ones on the terminal."""
    form = run.hub.gate_form(repo)
    known = {field.label: field for field in form.fields}
    for label in answers:
        if known and label not in known:
            raise UsageError(f"the form has no field {label!r}.", hint=f"Its fields are {', '.join(map(repr, known))}.")
    missing = [field for label, field in known.items() if label not in answers and field.type != "ip_location"]
    if not missing or allows_missing:
        return answers
    if not run.may_ask:
        for field in missing:
            run.out.say(f"  {clip(field.label, _LABEL)}")
        raise UsageError(
            f"the form needs the {pluralize(len(missing), 'answer')} above; nothing was sent.",
            hint=f"Add -a 'LABEL=TEXT' for each answer, or --yes to send without them. `hf-gate form check {repo}` shows the full labels.",
        )
    return {**answers, **_ask_missing(run, form, missing)}


def _ask_missing(run: Run, form: GateForm, missing: list[Field]) -> dict[str, str]:
    if form.prompt:
        for line in form.prompt.splitlines():
            run.out.say(line)
    return {field.label: _ask_answer(run, field) for field in missing}


def _ask_answer(run: Run, field: Field) -> str:
    if field.type == "checkbox":
        run.out.say(field.label)
        return "true" if click.confirm("Tick this box?", err=True) else "false"
    if field.options:
        run.out.say(f"{field.label}: {', '.join(option.value for option in field.options)}")
        return _ask_choice(run, [option.value for option in field.options])
    run.out.say(field.label)
    return str(click.prompt("Answer", err=True))


def _ask_choice(run: Run, values: list[str]) -> str:
    """Ask until the answer is one of the values.

    `click.Choice` would print the values unsafely; they are text from outside.
    """
    while (answer := str(click.prompt("One of these", err=True))) not in values:
        run.out.say(f"{answer!r} is not one of {', '.join(values)}.")
    return answer
