"""Checks a parsed gate form for mistakes: keys without effect, placeholders, and a lost order of fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from hf_gate.base.yaml_parser import Mapping, Node, Problem, Scalar, problem_at
from hf_gate.base.yaml_parser import Sequence as List

GATE_KEYS = (
    "extra_gated_prompt",
    "extra_gated_fields",
    "extra_gated_heading",
    "extra_gated_description",
    "extra_gated_button_content",
    "extra_gated_eu_disallowed",
)
_GATE_LIKE = re.compile(r"(?<!\w)extra[ _-]?gated", re.IGNORECASE)
# Keys of ModelScope, whose cards look like the Hub's.
_MODELSCOPE = ("extra-gated", "extra_gated", "extra_gated_licence")
_PLACEHOLDER = re.compile(
    r"\{\{?[ ]?[a-z]\w*[ ]?\}?\}|\[[A-Z][A-Z]*(?:[_ ][A-Z]+)+\](?!\()|\[More Information Needed\]"
)
_PROMISE = re.compile(
    r"\b(specify|explain|describe|state|give|provide|add)\b.{0,40}\b(in|below|under|at)\b", re.IGNORECASE
)


WARNINGS: Final = frozenset({
    "front_matter_absent", "bom", "delimiter_blanks", "gated_in_card", "gated_false_in_card", "field_named_like_key",
    "unknown_field_key", "undocumented_key", "keys_sorted", "options_unused", "single_option", "option_promises_field",
    "yaml_second_document",
})  # fmt: skip
"""Codes of problems that lose nothing. Any other code means that a question, a choice or a text is lost."""


def is_error(problem: Problem) -> bool:
    """Tell whether a question, a choice or a text of the form is lost."""
    return problem.code not in WARNINGS


def card_problems(root: Mapping, card: str) -> Iterator[Problem]:
    """Yield gate keys without effect, and placeholders that nobody filled in."""
    has_gate = False
    for key, value in root.pairs:
        if not isinstance(key, Scalar):
            continue
        if key.text in GATE_KEYS:
            has_gate = True
            yield from _placeholders(value, card, key)
        elif _GATE_LIKE.search(key.text):
            yield _stray_key_problem(key)
        if key.text not in ("extra_gated_fields", *_MODELSCOPE):
            yield from _nested_gate_keys(value, key.text)
    for key, value in root.pairs:
        if has_gate and isinstance(key, Scalar) and key.text == "gated":
            off = isinstance(value, Scalar) and value.text.lower() in ("false", "no")
            if off:
                words = "The card says that the repo is not gated, but it has gate keys."
                yield problem_at(
                    key,
                    "gated_false_in_card",
                    words,
                    "Remove the gate keys or this line. Only the repo's settings count.",
                )
            else:
                words = "`gated` in the card has no effect."
                yield problem_at(key, "gated_in_card", words, "Remove this line; gate the repo in its settings.")


def field_problems(key: Scalar, spec: Node, kind: str, options: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    """Yield the problems of one parsed field."""
    if key.text in GATE_KEYS:
        yield problem_at(
            key,
            "field_named_like_key",
            f"A field is named {key.text}.",
            "If it is not a label, move it out of extra_gated_fields.",
        )
        yield from _nested_gate_keys(spec, key.text)
    if _PLACEHOLDER.search(key.text) or (isinstance(spec, Scalar) and _PLACEHOLDER.search(spec.text)):
        yield problem_at(key, "placeholder", "This is a template's placeholder.", "Write the real text.")
    if kind == "select" and len(options) == 1:
        yield problem_at(
            key, "single_option", "A select with one choice asks nothing.", "Add a choice, or use a checkbox."
        )
    values = [value for _, value in options]
    if len(set(values)) < len(values):
        yield problem_at(
            key,
            "duplicate_option",
            "Two choices have the same value, so their answers cannot be told apart.",
            "Give each choice a different value.",
        )
    if any(_PROMISE.search(label) for label, _ in options):
        yield problem_at(
            key,
            "option_promises_field",
            "A choice asks people for an explanation elsewhere.",
            "Make sure that the form has a text field for the explanation.",
        )
    if options and kind and kind != "select":
        yield problem_at(
            key,
            "options_unused",
            f"Only a select has options; this field is a {kind}.",
            "Write `type: select`, or remove the options.",
        )


def order_problems(fields: Mapping) -> Iterator[Problem]:
    """Yield a problem if a tool sorted the keys, because the order of the form is then lost."""
    labels = [key.text for key, _ in fields.pairs if isinstance(key, Scalar)]
    specs = [
        [key.text for key, _ in spec.pairs if isinstance(key, Scalar)]
        for _, spec in fields.pairs
        if isinstance(spec, Mapping)
    ]
    before = any("options" in keys and "type" in keys and keys.index("options") < keys.index("type") for keys in specs)
    if len(labels) > 2 and before and labels == sorted(labels):
        yield problem_at(
            fields,
            "keys_sorted",
            "The fields are in alphabetical order: a tool sorted them.",
            "Put them in the order in which people should answer.",
        )


def _stray_key_problem(key: Scalar) -> Problem:
    if key.text in _MODELSCOPE:
        words = "This is a key of ModelScope; the Hub does not read it."
        return problem_at(key, "modelscope_dialect", words, "Use extra_gated_prompt and extra_gated_fields.")
    return problem_at(key, "unknown_gate_key", "The Hub does not know this key.", f"Use one of {', '.join(GATE_KEYS)}.")


def _nested_gate_keys(node: Node, parent: str) -> Iterator[Problem]:
    """Yield gate keys below other keys. The YAML parser limits the depth."""
    if isinstance(node, List):
        for item in node.items:
            yield from _nested_gate_keys(item, parent)
    if not isinstance(node, Mapping):
        return
    for key, value in node.pairs:
        name = key.text if isinstance(key, Scalar) else ""
        if _GATE_LIKE.search(name):
            words = f"{name} is nested below another key, so it has no effect."
            yield problem_at(key, "nested_key", words, "Move it to the first column.")
        yield from _nested_gate_keys(value, parent)


def _placeholders(value: Node, card: str, key: Scalar) -> Iterator[Problem]:
    if not isinstance(value, Scalar):
        return
    match = _PLACEHOLDER.search(value.text)
    if match is None:
        return
    line = value.line
    column = value.column
    for number, text in enumerate(re.split(r"\r\n|\n|\r", card)[key.line - 1 :], key.line):
        if match[0] in text:
            line = number
            column = text.index(match[0]) + 1
            break
    yield Problem(line, column, "placeholder", "This is a template's placeholder.", "Write the real text.")
