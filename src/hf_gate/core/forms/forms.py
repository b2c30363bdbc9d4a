"""Parses gate forms: the `extra_gated_*` keys of a card, with a problem for each mistake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field

from hf_gate.base.decoding import convert_value
from hf_gate.base.frontmatter import find_front_matter
from hf_gate.base.yaml_parser import Mapping, Node, ParsedYaml, Problem, Scalar, parse_yaml, problem_at
from hf_gate.base.yaml_parser import Sequence as List

from .form_lint import card_problems, field_problems, is_error, order_problems
from .roles import Role, role_of

KNOWN_TYPES = ("text", "checkbox", "select", "country", "date_picker", "ip_location")
"""The types that the Hub shows. `ip_location` is undocumented; it has no input, because the Hub fills it in."""

_TYPES = f"one of {', '.join(KNOWN_TYPES)}"
_SPEC_KEYS = ("type", "options", "required", "optional", "label", "description")
_IN_THE_BROWSER = "In the browser, every question must be answered."
_UNDOCUMENTED = {
    key: (f"`{key}` is not documented. {_IN_THE_BROWSER}", "Remove it. Say in the label if the answer can be empty.")
    for key in ("required", "optional")
} | {
    "label": ("`label` is not documented. People see the field's key.", "Write what people should see as the key."),
    "description": (
        "`description` of a field is not documented.",
        "Put it into the field's key, or into extra_gated_description.",
    ),
}


class Option(Struct, frozen=True):
    """One choice of a select. In an option without a value, the text is both label and value."""

    label: str
    value: str


class Field(Struct, frozen=True):
    """One question. `label` is the key of its answer with white space folded; `type` is as written in the card.

    `required` is the card's value. The Hub probably ignores it: in the browser, every input is required. `known` is
    False if the Hub does not have the type; the field is still shown and exported.
    """

    label: str
    type: str
    role: Role
    options: tuple[Option, ...] = ()
    required: bool | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class GateForm:
    """The gate form of a card; absent parts are None. Forms with equal `fingerprint` ask for the same answers.

    `fingerprint` is None without fields, `prompt_fingerprint` without a prompt; both are None if the YAML is broken.
    `written_as` is "mapping" or "list", because two official documents of the Hub differ.
    """

    fields: tuple[Field, ...] = ()
    prompt: str | None = None
    heading: str | None = None
    description: str | None = None
    button: str | None = None
    eu_disallowed: bool | None = None
    fingerprint: str | None = None
    prompt_fingerprint: str | None = None
    problems: tuple[Problem, ...] = ()
    written_as: str | None = None


def parse_gate_form(card_text: str) -> GateForm:
    """Parse the gate form of a README. Never raises. Lines and columns of problems refer to the whole card."""
    block = find_front_matter(card_text)
    problems = list(block.problems)
    if block.text is None:
        return GateForm(problems=_sort_by_place(problems))
    parsed = parse_yaml(block.text, first_line=block.first_line)
    problems += _explain_yaml_problems(parsed, block.text, block.first_line)
    if not isinstance(parsed.root, Mapping):
        if parsed.root is not None and not _is_null(parsed.root):
            words = "The front matter is not a list of `key: value` lines."
            problems.append(problem_at(parsed.root, "front_matter_no_map", words, "Write each key on a separate line."))
        return GateForm(problems=_sort_by_place(problems))
    gate = _GateFormParser(parsed.root, problems)
    form = gate.parse()
    problems += card_problems(parsed.root, card_text)
    return replace(form, problems=_sort_by_place(problems))


def fingerprint(fields: Sequence[Field]) -> str:
    """Return the SHA-256 (hex) of the fields' [label, type, [option values]], encoded as JSON in UTF-8
    without spaces.
    """
    return digest_gate_text(encode_fields(fields))


def encode_fields(fields: Sequence[Field]) -> str:
    """Return the text of which `fingerprint` is the digest."""
    rows = [[item.label, item.type, [option.value for option in item.options]] for item in fields]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def list_gate_texts(form: GateForm) -> list[tuple[str, str]]:
    """Return the texts of a gate that have a digest, with their kinds: the prompt and the form."""
    prompt = [("prompt", form.prompt)] if form.prompt is not None else []
    return [*prompt, ("form", encode_fields(form.fields))] if form.fields else [*prompt]


def collapse_whitespace(text: str) -> str:
    """Fold white space. Labels are compared in this form, because cards wrap the same sentence differently."""
    return " ".join(text.split())


def form_to_json(form: GateForm) -> dict[str, object]:
    """Return the object that `form check --json` prints for a form."""
    shown: dict[str, Any] = msgspec.to_builtins(form)
    del shown["written_as"]
    return shown | {
        "fields": [each | {"options": list(each["options"])} for each in shown["fields"]],
        "problems": [
            {
                "line": problem.line,
                "column": problem.column,
                "code": problem.code,
                "severity": "error" if is_error(problem) else "warning",
                "message": problem.message,
                "fix": problem.fix,
            }
            for problem in form.problems
        ],
    }


def form_from_json(document: str) -> GateForm:
    """Return the form stored as the JSON of `form_to_json`, without the problems of the card."""
    return convert_value(json.loads(document) | {"problems": ()}, GateForm)


@lru_cache(256)
def list_choice_labels(document: str | None) -> frozenset[str]:
    """Return the labels of the questions of a stored form that nobody answers in words: choices, dates and boxes."""
    fields = () if document is None else form_from_json(document).fields
    return frozenset(each.label for each in fields if each.known and each.type != "text")


class _GateFormParser(Struct):
    """Parses the top level of one front matter, and collects problems."""

    root: Mapping
    problems: list[Problem]
    written_as: str | None = None
    labels: dict[str, Scalar] = field(default_factory=dict)

    def parse(self) -> GateForm:
        fields = tuple(self._parse_fields(self._find_entry("extra_gated_fields")))
        prompt = self._parse_text("extra_gated_prompt")
        return GateForm(
            fields=fields,
            prompt=prompt,
            heading=self._parse_text("extra_gated_heading"),
            description=self._parse_text("extra_gated_description"),
            button=self._parse_text("extra_gated_button_content"),
            eu_disallowed=self._parse_flag("extra_gated_eu_disallowed"),
            fingerprint=fingerprint(fields) if fields else None,
            prompt_fingerprint=None if prompt is None else digest_gate_text(prompt),
            written_as=self.written_as,
        )

    def _report(self, node: Node, code: str, message: str, fix: str) -> None:
        self.problems.append(problem_at(node, code, message, fix))

    def _find_entry(self, name: str) -> tuple[Node, Node] | None:
        """Return a top-level key with its value; None if it is absent or duplicated."""
        found = [pair for pair in self.root.pairs if isinstance(pair[0], Scalar) and pair[0].text == name]
        return found[0] if len(found) == 1 else None

    def _find_value(self, name: str) -> Node | None:
        entry = self._find_entry(name)
        return None if entry is None or _is_null(entry[1]) else entry[1]

    def _parse_text(self, name: str) -> str | None:
        node = self._find_value(name)
        if node is None:
            return None
        if not isinstance(node, Scalar):
            self._report(node, "not_text", f"{name} must be text.", "Put it in quotes, or after `|`.")
            return None
        return node.text

    def _parse_flag(self, name: str) -> bool | None:
        node = self._find_value(name)
        if node is None:
            return None
        truth = _parse_bool(node)
        if truth is None:
            self._report(
                node,
                "not_a_bool",
                f"{name} must be true or false.",
                "Write true or false; yes and no are text in YAML 1.2.",
            )
        return truth

    def _parse_fields(self, entry: tuple[Node, Node] | None) -> Iterator[Field]:
        if entry is None:
            return
        key, node = entry
        if _is_null(node) or (isinstance(node, Mapping | List) and not _count_children(node)):
            self._report(
                key,
                "fields_empty",
                "extra_gated_fields has no fields.",
                "Write `Label: type` lines below it, or remove it.",
            )
        elif isinstance(node, Mapping):
            self.written_as = "mapping"
            yield from self._parse_pairs(node)
        elif isinstance(node, List):
            self.written_as = "list"
            for item in node.items:
                yield from self._parse_item(item)
        else:
            words = "extra_gated_fields must be a list of fields, not text."
            fix = "Write `Label: type` lines; a label with ` #` in it needs quotes."
            self._report(node, "fields_no_map", words, fix)

    def _parse_item(self, item: Node) -> Iterator[Field]:
        if not isinstance(item, Mapping):
            self._report(item, "list_item", "This item has no type.", "Write `- Label: type`.")
            return
        keys = {key.text for key, _ in item.pairs if isinstance(key, Scalar)}
        if "type" in keys and keys & {"name", "label"}:
            self._report(
                item, "list_item", "The Hub does not support items with `name` and `type`.", "Write `- Label: type`."
            )
        yield from self._parse_pairs(item)

    def _parse_pairs(self, node: Mapping) -> Iterator[Field]:
        self.problems += order_problems(node)
        for key, spec in node.pairs:
            if not isinstance(key, Scalar):
                code = "placeholder" if isinstance(key, Mapping) else "label_no_text"
                self._report(key, code, "This label is not text.", "Fill in the template, or put the label in quotes.")
                continue
            label = collapse_whitespace(key.text)
            self._check_label(label, key)
            if not label:
                self._report(key, "label_empty", "This field has no label.", "Write the question as the label.")
            item = self._parse_field(label, key, spec)
            self.problems += field_problems(
                key, spec, item.type, [(option.label, option.value) for option in item.options]
            )
            yield item

    def _check_label(self, label: str, key: Scalar) -> None:
        first = self.labels.setdefault(label, key)
        is_reported = any((problem.line, problem.column) == (key.line, key.column) for problem in self.problems)
        if first is not key and not is_reported:  # the YAML parser reports duplicates in one mapping
            words = f"Line {first.line} has the same label, so answers to the two cannot be told apart."
            self._report(key, "duplicate_label", words, "Give each field a different label.")

    def _parse_field(self, label: str, key: Scalar, spec: Node) -> Field:
        kind, options, required = self._parse_spec(key, spec)
        known = kind in KNOWN_TYPES
        if not kind:
            self._report(key, "type_missing", "This field has no type.", f"Write `Label: type` with {_TYPES}.")
        elif not known:
            guess = f"{kind.lower()}, in lower case" if kind.lower() in KNOWN_TYPES else _TYPES
            self._report(spec, "unknown_type", f"The Hub has no type {kind[:60]!r}.", f"Write {guess}.")
        return Field(label, kind, role_of(label, kind.lower()), options, required, known)

    def _parse_spec(self, field_key: Scalar, spec: Node) -> tuple[str, tuple[Option, ...], bool | None]:
        if isinstance(spec, Scalar):
            kind = "" if _is_null(spec) else collapse_whitespace(spec.text)
            self._check_has_options(field_key, kind)
            return kind, (), None
        if not isinstance(spec, Mapping):
            return "", (), None
        found: dict[str, Node] = {}
        for key, value in spec.pairs:
            name = key.text if isinstance(key, Scalar) else ""
            if name in _SPEC_KEYS:
                found.setdefault(name, value)
            else:
                self._report_unknown_key(key, value)
            if name in _UNDOCUMENTED:
                self._report(key, "undocumented_key", *_UNDOCUMENTED[name])
        node = found.get("type")
        kind = collapse_whitespace(node.text) if isinstance(node, Scalar) and not _is_null(node) else ""
        if "options" not in found:
            self._check_has_options(field_key, kind)
        return kind, tuple(self._parse_options(found.get("options"))), _is_required(found)

    def _report_unknown_key(self, key: Node, value: Node) -> None:
        inner = _type_of(value)
        if inner in KNOWN_TYPES:
            name = collapse_whitespace(key.text)[:60] if isinstance(key, Scalar) else "this"
            words = f"{name!r} looks like a separate field, but belongs to the one above."
            self._report(key, "field_misindented", words, "Indent it like the field above.")
        else:
            self._report(
                key,
                "unknown_field_key",
                "Fields on the Hub do not have this key.",
                "Remove it; a field has type and options.",
            )

    def _check_has_options(self, key: Scalar, kind: str) -> None:
        if kind == "select":
            self._report(
                key,
                "options_missing",
                "This select has no choices.",
                "Write `options:` with at least two choices below it.",
            )

    def _parse_options(self, node: Node | None) -> Iterator[Option]:
        if node is None:
            return
        if not isinstance(node, List):
            self._report(node, "options_no_list", "options must be a list.", "Write each choice as `- choice`.")
            return
        for item in node.items:
            option = _parse_option(item)
            if option is None:
                self._report(
                    item,
                    "option_unclear",
                    "This choice is neither a text nor a label with a value.",
                    "Write `- choice`, or `label:` with `value:`.",
                )
            else:
                yield option


def _parse_option(item: Node) -> Option | None:
    if isinstance(item, Scalar):
        return Option(collapse_whitespace(item.text), item.text)
    if not isinstance(item, Mapping):
        return None
    parts = {key.text: value.text for key, value in item.pairs if isinstance(key, Scalar) and isinstance(value, Scalar)}
    label = parts.get("label")
    value = parts.get("value")
    if label is None and value is None:
        return None
    return Option(
        collapse_whitespace(label if label is not None else value or ""), value if value is not None else label or ""
    )


def _is_required(found: dict[str, Node]) -> bool | None:
    if "required" in found:
        return _parse_bool(found["required"])
    optional = _parse_bool(found["optional"]) if "optional" in found else None
    return None if optional is None else not optional


def _type_of(node: Node) -> str:
    """Return the type in a spec, which is a text or a mapping; empty if there is none."""
    if isinstance(node, Mapping):
        found = [value for key, value in node.pairs if isinstance(key, Scalar) and key.text == "type"]
        node = found[0] if found else node
    return collapse_whitespace(node.text) if isinstance(node, Scalar) else ""


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_plain and node.text in ("", "~", "null", "Null", "NULL")


def _parse_bool(node: Node) -> bool | None:
    """Return a boolean as YAML 1.2 spells it; None for anything else."""
    word = node.text.lower() if isinstance(node, Scalar) and node.is_plain else ""
    if isinstance(node, Scalar) and node.text not in (word, word.upper(), word.title()):
        return None
    return {"true": True, "false": False}.get(word)


def _count_children(node: Mapping | List) -> int:
    return len(node.pairs) if isinstance(node, Mapping) else len(node.items)


def _explain_yaml_problems(parsed: ParsedYaml, text: str, first_line: int) -> Iterator[Problem]:
    """Yield the problems of the YAML. A code fence that broke it is named as the cause."""
    for problem in parsed.problems:
        row = problem.line - first_line
        line = text.split("\n")[row] if 0 <= row <= text.count("\n") else ""
        if parsed.root is None and line.lstrip().startswith(("```", "~~~")):
            words = "A code fence inside the front matter breaks its YAML."
            yield Problem(problem.line, problem.column, "front_matter_in_fence", words, "Remove the fence.")
        else:
            yield problem


def _sort_by_place(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda each: (each.line, each.column)))


def digest_gate_text(text: str) -> str:
    """Return the SHA-256 (hex) of a prompt or of encoded fields."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
