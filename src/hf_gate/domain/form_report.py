"""What a check of a gate form says: what a requester meets, and its problems sorted into errors and warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .form_lint import is_error
from .forms import Field, GateForm
from .text import visible

_ANSWERED_BY: Final = {
    "text": "text",
    "checkbox": "tick box",
    "select": "choose one",
    "country": "country, from a list",
    "date_picker": "date",
    "ip_location": "filled in by the Hub: the country of the address",
}


def counts(form: GateForm) -> tuple[int, int]:
    """How many errors and how many warnings."""
    errors = sum(map(is_error, form.problems))
    return errors, len(form.problems) - errors


def verdict(form: GateForm) -> str:
    """One sentence about the problems."""
    errors, warnings = counts(form)
    if not form.problems:
        return "No problems."
    parts = [_number(count, word) for count, word in ((errors, "error"), (warnings, "warning")) if count]
    return f"{', '.join(parts)}."


def what_requesters_see(form: GateForm) -> Iterator[tuple[str, str]]:
    """What a requester reads and gives, as names with values, in the order in which the Hub shows them."""
    for name in ("heading", "prompt", "description"):
        if text := getattr(form, name):
            yield name, text
    for number, field in enumerate(form.fields, 1):
        yield f"question {number}", f"{field.label} ({_input(field)})"
    yield "always", "the username and the e-mail address of the account"
    if form.button:
        yield "button", form.button
    if form.eu_disallowed:
        yield "note", "The card says that the EU is not allowed."


def _input(field: Field) -> str:
    words = _ANSWERED_BY.get(
        field.type, f"type {field.type!r}, which the Hub does not know" if field.type else "no type"
    )
    return f"{words}: {', '.join(option.label for option in field.options)}" if field.options else words


def markdown(title: str, mode: str, form: GateForm) -> Iterator[str]:
    """The check as Markdown, for a pull request or a job summary; nothing that the card says acts as Markdown."""
    yield f"## Gate form of {_escaped(title)}"
    yield ""
    yield _escaped(mode)
    yield ""
    yield f"**{verdict(form)}**"
    if form.problems:
        yield from ("", "| line | column | severity | code | problem | fix |", "|---|---|---|---|---|---|")
        for each in form.problems:
            severity = "error" if is_error(each) else "warning"
            words = f"`{each.code}` | {_escaped(each.message)} | {_escaped(each.fix)}"
            yield f"| {each.line} | {each.column} | {severity} | {words} |"
    yield from ("", "### What a requester meets", "")
    yield from (f"- **{name}**: {_escaped(text)}" for name, text in what_requesters_see(form))


def _escaped(text: str) -> str:
    """A text on one line on which Markdown and HTML do not act, and which names nobody by @."""
    line = visible(" ".join(text.split()), one_line=True)
    safe = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return safe.replace("@", "@<!-- -->")


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
