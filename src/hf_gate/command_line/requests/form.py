"""form check: shows what a gate asks of a requester, and the problems of the card with fixes. Needs no token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from hf_gate.base.decoding import convert_value
from hf_gate.base.display_text import limit_lines
from hf_gate.base.ids import Repo
from hf_gate.base.private_files import read_named_file
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command, repo_type_option
from hf_gate.command_line.output import safe_lines
from hf_gate.command_line.targets import find_only_repo, parse_repo_argument
from hf_gate.command_line.text_layout import clip_text
from hf_gate.command_line.workspace_opening import announce_target
from hf_gate.core.forms.form_lint import is_error
from hf_gate.core.forms.forms import GateForm, form_to_json, parse_gate_form
from hf_gate.errors import NotAllowed, RepoNotFound, UsageError
from hf_gate.requests.form_report import count_problems, requester_view, summarize_problems
from hf_gate.requests.records import FormRecord

_MAX_BYTES: Final = 4 * 1024 * 1024  # bytes of a card
_PROMPT_LINES: Final = 12
_LINE: Final = 1000  # the most columns of a line
_MODES: Final = {
    "manual": "gated: a reviewer decides each request.",
    "auto": "gated: everybody who submits the form gets access at once.",
    False: "not gated: the form is not used. Enable the gate in the repo's settings.",
    None: "a local card; the Hub decides whether its repo is gated.",
}

form = LazyGroup(
    "form",
    {
        "check": CommandEntry(
            "hf_gate.command_line.requests.form:form_check", "Show what a requester sees, and problems in the card."
        )
    },
    help="Gate forms: show what a form asks, and check it. Needs no token.",
)


@command(
    "check",
    examples=(
        "hf-gate form check datasets/acme/eeg",
        "hf-gate form check --card README.md",
        "hf-gate form check acme/med-7b --json",
    ),
)
@click.argument("repo", metavar="[REPO]", required=False)
@click.option("--card", metavar="FILE", help="A local README instead of one on the Hub; - is stdin.")
@repo_type_option
def form_check(context: CommandContext, *, repo: str | None, card: str | None, repo_type: str | None) -> int:
    """Show what a gate asks of a requester, and problems in its card: line, column, problem, fix.

    Works without a token for every public repo, and for a card that is not published yet. Exits with 1 if there are
    errors, and with 0 if there are only warnings.
    """
    if (repo or card or find_only_repo(context)) is None or (repo and card):
        raise UsageError("give either REPO or --card FILE.")
    where = None if card is not None else parse_repo_argument(context, repo, repo_type)
    if where is not None:
        mode, found = _read_from_hub(context, where)
    else:
        text = read_named_file(card or "-", most=_MAX_BYTES, hint="Name a README.md file.").decode("utf-8", "replace")
        mode = None
        found = parse_gate_form(text)
    title = str(where or ("stdin" if card == "-" else card))
    about = _MODES.get(mode, f"gated: {mode}.")
    errors, warnings = count_problems(found)
    head = {"gated": mode, "errors": errors, "warnings": warnings}
    place = {"repo": where and where.id, "repo_type": where and where.type}
    record = convert_value(head | place | form_to_json(found), FormRecord)
    context.out.document(record, lambda: _lines(title, about, found), quiet=[field.label for field in found.fields])
    return 1 if errors else 0


def _read_from_hub(context: CommandContext, repo: Repo) -> tuple[str | bool | None, GateForm]:
    """Return the gate mode of a repo and the form in its card."""
    announce_target(context)
    try:
        return context.hub.gate(repo).mode, context.hub.gate_form(repo)
    except (RepoNotFound, NotAllowed) as problem:
        problem.hint = (
            "Check the spelling. A private repo needs a token that can read it. "
            "Or check the file: hf-gate form check --card README.md"
        )
        raise


def _lines(title: str, about: str, form: GateForm) -> Iterator[str]:
    yield f"{title}: {about}"
    yield ""
    yield "What a requester sees:" if form.fields else "The form has no fields. What a requester sees:"
    yield from list_requester_view(form, _PROMPT_LINES)
    yield ""
    yield summarize_problems(form)
    for problem in form.problems:
        kind = "error" if is_error(problem) else "warning"
        yield f"  {problem.line}:{problem.column} {kind} {problem.code}: {problem.message}"
        if problem.fix:
            yield f"      Fix: {problem.fix}"


def list_requester_view(form: GateForm, most_lines: int) -> Iterator[str]:
    """Yield what a requester sees and enters, with at most so many lines of each text."""
    for name, text in requester_view(form):
        lines = [clip_text(line, _LINE) for line in safe_lines(text)]
        yield f"  {name:12} {lines[0]}"
        yield from (f"  {'':12} {line}" for line in limit_lines(lines, most_lines, rest="... {} more lines")[1:])
