"""Reports on a gate form: what requesters see, and its problems by severity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hf_gate.base.display_text import make_visible, pluralize
from hf_gate.core.forms.form_lint import is_error
from hf_gate.core.forms.forms import Field, GateForm

_ANSWERED_BY: Final = {
    "text": "text",
    "checkbox": "tick box",
    "select": "choose one",
    "country": "country, from a list",
    "date_picker": "date",
    "ip_location": "country of the IP address, filled in by the Hub",
}


def count_problems(form: GateForm) -> tuple[int, int]:
    """Return the number of errors and the number of warnings."""
    errors = sum(map(is_error, form.problems))
    return errors, len(form.problems) - errors


def summarize_problems(form: GateForm) -> str:
    """Return a sentence with the numbers of errors and warnings."""
    errors, warnings = count_problems(form)
    if not form.problems:
        return "No problems."
    parts = [pluralize(count, word) for count, word in ((errors, "error"), (warnings, "warning")) if count]
    return f"{', '.join(parts)}."


def requester_view(form: GateForm) -> Iterator[tuple[str, str]]:
    """Yield what a requester sees and enters as pairs of name and value, in the Hub's order."""
    for name in ("heading", "prompt", "description"):
        if text := getattr(form, name):
            yield name, text
    for number, field in enumerate(form.fields, 1):
        yield f"question {number}", f"{field.label} ({_describe_input(field)})"
    yield "always", "the username, the full name and the e-mail address of the account"
    if form.button:
        yield "button", form.button
    if form.eu_disallowed:
        yield "note", "The card says that the EU is not allowed."


def _describe_input(field: Field) -> str:
    words = _ANSWERED_BY.get(
        field.type, f"type {field.type!r}, which the Hub does not know" if field.type else "no type"
    )
    return f"{words}: {', '.join(option.label for option in field.options)}" if field.options else words


def render_markdown(title: str, mode: str, form: GateForm) -> Iterator[str]:
    """Yield the report as Markdown, for a pull request or a job summary. Text from the card is escaped."""
    yield f"## Gate form of {_escape_markdown(title)}"
    yield ""
    yield _escape_markdown(mode)
    yield ""
    yield f"**{summarize_problems(form)}**"
    if form.problems:
        yield from ("", "| line | column | severity | code | problem | fix |", "|---|---|---|---|---|---|")
        for problem in form.problems:
            severity = "error" if is_error(problem) else "warning"
            words = f"`{problem.code}` | {_escape_markdown(problem.message)} | {_escape_markdown(problem.fix)}"
            yield f"| {problem.line} | {problem.column} | {severity} | {words} |"
    yield from ("", "### What a requester sees", "")
    yield from (f"- **{name}**: {_escape_markdown(text)}" for name, text in requester_view(form))


def _escape_markdown(text: str) -> str:
    """Return a text on one line, escaped so that Markdown, HTML and @mentions in it have no effect."""
    line = make_visible(" ".join(text.split()), one_line=True)
    safe = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return safe.replace("@", "@<!-- -->")
