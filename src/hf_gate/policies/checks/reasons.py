"""Checks the reasons sent to people (placeholders and the Hub's length limit), and fills in the placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from hf_gate.core.parsing.strict_yaml import suggest
from hf_gate.core.policy_model import Action
from hf_gate.core.requests import REASON_LIMIT, utf16_units

SUGGESTED_REASONS: Final = {
    Action.RESET: "Please complete your answers, then ask again.",
    Action.REJECT: "Your request does not meet the terms of this repository.",
}
"""What a new rule tells people until somebody writes a better reason."""

PLACEHOLDERS = ("repo", "user", "rule")
LONGEST_USER = 42  # characters of the longest username on the Hub
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]{0,40})\}")
_SYNONYMS = {
    "username": "user",
    "name": "user",
    "person": "user",
    "login": "user",
    "repository": "repo",
    "repo_id": "repo",
    "dataset": "repo",
    "model": "repo",
    "label": "rule",
    "id": "rule",
    "rule_id": "rule",
    "policy": "rule",
}


class TextFault(Struct, frozen=True):
    """A problem in a reason or an expression; `offset` and `length` refer to its text."""

    code: str
    message: str
    offset: int
    length: int
    fix: str | None = None
    hint: str = ""
    is_error: bool = True


def fill_reason(text: str, *, repo: str, user: str, rule: str) -> str:
    """Fill the placeholders.

    A text over the Hub's limit is truncated, so that a long name does not prevent a decision.
    """
    return _truncate(_fill_placeholders(text, {"repo": repo, "user": user, "rule": rule}))


def _fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _truncate(text: str) -> str:
    if utf16_units(text) <= REASON_LIMIT:
        return text
    while utf16_units(text) > REASON_LIMIT - 1:
        text = text[: REASON_LIMIT - 1] if len(text) > REASON_LIMIT else text[:-1]
    return f"{text.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def find_reason_faults(text: str) -> Iterable[TextFault]:
    """Yield the problems that can be found in the text alone."""
    for match in _PLACEHOLDER.finditer(text):
        if match[1] not in PLACEHOLDERS:
            near = suggest(match[1], PLACEHOLDERS, _SYNONYMS)
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            words = f"{{{match[1]}}} is not a placeholder; use {known}."
            yield TextFault("bad_placeholder", words, match.start(), len(match[0]), near and f"{{{near}}}")
    units = utf16_units(_PLACEHOLDER.sub("", text))
    if units > REASON_LIMIT:
        yield TextFault(
            "reason_too_long",
            _length_message(units),
            0,
            len(text),
            _shorten(text) if not _PLACEHOLDER.search(text) else None,
        )
    if any(char < " " and char != "\n" for char in text):
        yield TextFault(
            "reason_control",
            "the text contains a control character; remove it.",
            0,
            len(text),
            _remove_control_characters(text),
        )


def reason_length_problem(text: str, repos: Iterable[str], rule: str) -> str | None:
    """Return a message if the text exceeds the limit with the longest repo and username; None otherwise."""
    if not _PLACEHOLDER.search(text):
        return None  # `find_reason_faults` measures such a text
    longest = max(repos, key=len, default="x" * 40)
    units = utf16_units(_fill_placeholders(text, {"repo": longest, "user": "x" * LONGEST_USER, "rule": rule}))
    return _length_message(units) if units > REASON_LIMIT else None


def _length_message(units: int) -> str:
    return f"{units} characters; the Hub allows {REASON_LIMIT}. Shorten it by {units - REASON_LIMIT}."


def _shorten(text: str) -> str | None:
    """Return as many whole sentences as fit within the limit."""
    result = ""
    for sentence in re.findall(r"[^.!?]*[.!?]+\s*|[^.!?]+$", text):
        if utf16_units((result + sentence).strip()) > REASON_LIMIT:
            break
        result += sentence
    return result.strip() or None


def _remove_control_characters(text: str) -> str:
    return re.sub("[\x00-\x09\x0b-\x1f]+", " ", text)
