"""Reports on a gate form: what requesters see, and its problems by severity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hf_gate.base.display_text import pluralize
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
