"""Builds invented gated repos: the card with its gate form, and the fields of the form."""

from __future__ import annotations

import json
import re
from typing import Literal

import msgspec

from tools.people.gate_texts import CONSENTS, GATES, NAMESPACES, OTHER_WORDS, STEMS, TITLES

RepoType = Literal["model", "dataset"]
_PLAIN = re.compile(r"[A-Za-z][\w ()/.,'+-]*\Z")
_RESERVED = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


class DemoField(msgspec.Struct, frozen=True, array_like=True):
    """One field of a form: `question` is its meaning to a person; `type` is the type in the card."""

    label: str
    type: str
    question: str
    role: str
    options: tuple[tuple[str, str], ...] = ()


_ROLES = {
    "purpose": "purpose",
    "use": "purpose",
    "affiliation": "affiliation",
    "country": "country",
    "country_name": "country",
    "email": "email",
    "name": "name",
    "first_name": "name",
    "last_name": "name",
    "job": "job",
    "level": "job",
    "birth_date": "birth_date",
    "consent": "consent",
}


class DemoGate(msgspec.Struct, frozen=True):
    """An invented gated repo. `card` is the complete README.md; `former_fields` are fields that the form once had."""

    repo_type: RepoType
    namespace: str
    name: str
    card: str
    mode: Literal["auto", "manual"]
    owner_kind: Literal["org", "user"]
    topic: str
    fields: tuple[DemoField, ...]
    former_fields: tuple[DemoField, ...]
    is_for_institutions: bool


def build_gates(preset: str, count: int) -> tuple[DemoGate, ...]:
    """Return `count` gates of a preset: first the hand-written ones, then variants with other names and forms."""
    if preset not in GATES:
        raise ValueError(f"unknown preset {preset!r}; known presets: {', '.join(GATES)}")
    written = GATES[preset]
    return tuple(_build_gate(written[i % len(written)], i // len(written), i) for i in range(count))


def _build_gate(source: dict[str, object], turn: int, index: int) -> DemoGate:
    text = {key: str(value) for key, value in source.items() if isinstance(value, str)}
    fields = tuple(_parse_field(str(line)) for line in _get_lines(source["fields"]))
    former = tuple(_parse_field(str(line)) for line in _get_lines(source.get("former", ())))
    name, namespace, title = text["name"], text["namespace"], text["title"]
    shape, mode = text.get("shape", "mapping"), text.get("mode", "manual")
    if turn:
        name, namespace, title = _vary_name(text["topic"], turn, index)
        fields = _vary_fields(fields, turn)
        shape = ("mapping", "list", "objects")[(turn + index) % 3]
        mode = "auto" if index % 7 == 6 else "manual"
    repo_type: RepoType = "dataset" if text["type"] == "dataset" else "model"
    return DemoGate(
        repo_type,
        namespace,
        name,
        _build_card(text | {"title": title, "shape": shape}, fields),
        "auto" if mode == "auto" else "manual",
        "user" if text.get("owner") == "user" and not turn else "org",
        text["topic"],
        fields,
        former,
        text.get("wants") == "institution",
    )


def _get_lines(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple) else ()


def _parse_field(line: str) -> DemoField:
    """Parse `label | type | question | option; label=value; ...`."""
    label, kind, ask, *rest = (part.strip() for part in line.split("|"))
    options = tuple(
        (o.partition("=")[0].strip(), o.rpartition("=")[2].strip()) for o in (rest[0].split(";") if rest else ())
    )
    return DemoField(label, kind, ask, _ROLES.get(ask, "other"), options)


def _vary_name(topic: str, turn: int, index: int) -> tuple[str, str, str]:
    namespace = NAMESPACES[(index * 7 + turn) % len(NAMESPACES)]
    stem, title = STEMS[(index * 5 + turn) % len(STEMS)], TITLES[topic]
    return f"{stem}-{title.replace(' ', '-')}-{index}".lower(), namespace, f"{stem} {title}"


def _vary_fields(fields: tuple[DemoField, ...], turn: int) -> tuple[DemoField, ...]:
    """Return the same questions with other labels, in another order, and sometimes with one fewer."""
    by_label: dict[str, DemoField] = {}
    for field in fields:
        words = CONSENTS if field.question == "consent" else OTHER_WORDS.get(field.question, ())
        label = words[(turn + len(by_label)) % len(words)] if words else field.label
        by_label.setdefault(label, DemoField(label, field.type, field.question, field.role, field.options))
    varied = list(by_label.values())
    tail = [field for field in varied if field.type == "checkbox"]
    head = [field for field in varied if field.type != "checkbox"]
    cut = turn % max(1, len(head) - 1)
    head = head[cut:] + head[:cut]
    dispensable = [field for field in head if field.role in ("other", "job")]
    if turn % 2 and dispensable:
        head.remove(dispensable[0])
    return tuple(head + tail)


# --- the card ------------------------------------------------------------------------------------------------


def _to_yaml_scalar(text: str) -> str:
    return (
        text
        if _PLAIN.match(text) and text.lower() not in _RESERVED and not text.endswith(" ")
        else json.dumps(text, ensure_ascii=False)
    )


def _build_card(text: dict[str, str], fields: tuple[DemoField, ...]) -> str:
    front = [
        f"license: {text.get('license', 'other')}",
        "language:",
        "- en",
        f"pretty_name: {_to_yaml_scalar(text['title'])}",
        f"tags: [{text['topic']}]",
    ]
    front += [f"extra_gated_{key}: {_to_yaml_scalar(text[key])}" for key in ("heading", "description") if key in text]
    if "prompt" in text:
        front += ["extra_gated_prompt: |-", *(f"  {line}" if line else "" for line in text["prompt"].split("\n"))]
    if fields:
        front += ["extra_gated_fields:", *_build_field_lines(fields, text.get("shape", "mapping"))]
    if "button" in text:
        front.append(f"extra_gated_button_content: {_to_yaml_scalar(text['button'])}")
    if text.get("eu") == "disallowed":
        front.append("extra_gated_eu_disallowed: true")
    body = f"# {text['title']}\n\n{text['about']}\n\n## Access\n\n{text.get('access', 'Requests are read by hand, usually within a week.')}\n"
    return "---\n" + "\n".join(front) + "\n---\n\n" + body


def _build_field_lines(fields: tuple[DemoField, ...], shape: str) -> list[str]:
    lead, inner = ("- ", "    ") if shape == "list" else ("  ", "    ")
    lines = []
    for field in fields:
        if not field.options and shape != "objects":
            lines.append(f"{lead}{_to_yaml_scalar(field.label)}: {field.type}")
            continue
        lines += [f"{lead}{_to_yaml_scalar(field.label)}:", f"{inner}type: {field.type}"]
        if field.options:
            lines.append(f"{inner}options:")
        for label, value in field.options:
            if label == value:
                lines.append(f"{inner}- {_to_yaml_scalar(label)}")
            else:
                lines += [f"{inner}- label: {_to_yaml_scalar(label)}", f"{inner}  value: {_to_yaml_scalar(value)}"]
    return lines
