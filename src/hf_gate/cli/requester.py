"""ask and withdraw: the other side of the gate, for the token's own account."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..domain.display_text import clip
from ..domain.forms import collapse_whitespace
from ..domain.ids import Repo, parse_repo
from ..errors import NotGated, RequestNotFound, UsageError
from .framework import Run, command, repo_type_option
from .output import Row, count_of
from .workspace import announce

if TYPE_CHECKING:
    from ..domain.forms import Field, GateForm

_LABEL: Final = 70  # columns of a label that is only named
_MEANS: Final = {
    "granted": "you may download.",
    "pending": "your request waits for a review.",
    "rejected": "your request was rejected; asking again changes nothing.",
    "reset": "your request was sent back; you may ask again.",
    "ask": "you have not asked yet.",
    "sign_in": "a token is needed.",
    "unknown": "the Hub did not say where your request stands.",
}


@command(
    "ask",
    examples=(
        "hf-gate ask datasets/acme/eeg -a 'Affiliation=University of Basel' -a 'I agree=true'",
        "hf-gate ask acme/med-7b --answers answers.json --dry-run",
    ),
)
@click.argument("repo", metavar="REPO")
@click.option("-a", "--answer", "given", multiple=True, metavar="LABEL=TEXT", help="One answer; may be repeated.")
@click.option("--answers", "file", metavar="FILE", help="Answers as a JSON object of label to text; - is stdin.")
@click.option("--dry-run", is_flag=True, help="Check the answers against the form, and send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for missing answers: leave them out.")
@repo_type_option
def ask(
    run: Run, *, repo: str, given: tuple[str, ...], file: str | None, dry_run: bool, yes: bool, repo_type: str | None
) -> int:
    """Ask for access as the token's account. Your name, e-mail and answers go to the owners of the repo."""
    where = parse_repo(repo, repo_type)
    answers = {**_read_answers(file), **dict(map(_pair, given))}
    announce(run, writes=True)
    if run.hub.gate(where).mode is False:
        raise NotGated(f"{where} is not gated: no need to ask.", hint="Download it as it is.")
    answers = _complete(run, where, answers, leave_out=yes)
    if dry_run:
        status = run.hub.check_access(where)
        run.out.say(f"Dry run: {count_of(len(answers), 'answer')} fit the form; nothing was sent.")
    else:
        status = run.hub.ask_access(where, answers)
    return _tell(run, where, status, is_changed=not dry_run)


@command("withdraw", examples=("hf-gate withdraw datasets/acme/eeg", "hf-gate withdraw acme/med-7b --json"))
@click.argument("repo", metavar="REPO")
@click.option("--dry-run", is_flag=True, help="Say where the request stands, and send nothing.")
@repo_type_option
def withdraw(run: Run, *, repo: str, dry_run: bool, repo_type: str | None) -> int:
    """Withdraw your own pending request; the Hub deletes it."""
    where = parse_repo(repo, repo_type)
    announce(run, writes=True)
    if dry_run:
        run.out.say("Dry run: nothing was sent.")
    else:
        try:
            run.hub.withdraw(where)
        except RequestNotFound as problem:
            problem.hint = problem.hint or "Only a pending request can be taken back; `hf-gate ask` makes one."
            raise
    return _tell(run, where, run.hub.check_access(where), is_changed=not dry_run)


def _tell(run: Run, repo: Repo, status: str, *, is_changed: bool) -> int:
    doc: Row = {"schema_version": 1, "repo": repo.id, "repo_type": repo.type.value, "status": status}
    lines = [f"{repo}: {status}; {_MEANS.get(status, '')}".rstrip("; ")]
    return run.out.write_results(lambda: run.out.document(doc, lambda: lines, quiet=[status]), is_changed=is_changed)


def _pair(text: str) -> tuple[str, str]:
    label, equals, answer = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is no LABEL=TEXT.", hint="`hf-gate form check REPO` shows the labels.")
    return collapse_whitespace(label), answer


def _read_answers(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        found = json.loads(raw)
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}.") from None
    except ValueError as problem:
        raise UsageError(f"{file} is no JSON: {problem}.") from None
    except RecursionError:
        raise UsageError(f"{file} is nested too deep to be answers; nothing was sent.") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
        raise UsageError(
            f"{file} is no JSON object of label to text.", hint='Write {"Affiliation": "University of Basel"}.'
        )
    return {collapse_whitespace(label): value for label, value in found.items()}


def _complete(run: Run, repo: Repo, answers: dict[str, str], *, leave_out: bool) -> dict[str, str]:
    """The answers, checked against the form; missing ones are asked for where somebody sits."""
    form = run.hub.gate_form(repo)
    known = {field.label: field for field in form.fields}
    for label in answers:
        if known and label not in known:
            raise UsageError(f"the form does not ask {label!r}.", hint=f"It asks {', '.join(map(repr, known))}.")
    missing = [field for label, field in known.items() if label not in answers and field.type != "ip_location"]
    if not missing or leave_out:
        return answers
    if not run.may_ask:
        for field in missing:
            run.out.say(f"  {clip(field.label, _LABEL)}")
        raise UsageError(
            f"the form also asks for the {count_of(len(missing), 'answer')} above; nothing was sent.",
            hint=f"Add -a 'LABEL=TEXT' for each, or --yes to leave them out. `hf-gate form check {repo}` shows labels whole.",
        )
    return {**answers, **_ask_missing(run, form, missing)}


def _ask_missing(run: Run, form: GateForm, missing: list[Field]) -> dict[str, str]:
    if form.prompt:
        for line in form.prompt.splitlines():
            run.out.say(line)
    return {field.label: _one_answer(run, field) for field in missing}


def _one_answer(run: Run, field: Field) -> str:
    if field.type == "checkbox":
        run.out.say(field.label)
        return "true" if click.confirm("Tick this box?", err=True) else "false"
    if field.options:
        run.out.say(f"{field.label}: {', '.join(option.value for option in field.options)}")
        return _one_of(run, [option.value for option in field.options])
    run.out.say(field.label)
    return str(click.prompt("Answer", err=True))


def _one_of(run: Run, values: list[str]) -> str:
    """Asked until it is one of them; `click.Choice` would print the values as they come, and they are from outside."""
    while (answer := str(click.prompt("One of these", err=True))) not in values:
        run.out.say(f"{answer!r} is none of {', '.join(values)}.")
    return answer
