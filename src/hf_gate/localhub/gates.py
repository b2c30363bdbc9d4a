"""Invented organisations and the gates that they put before their models and datasets, each as a card and as the fields it holds."""

from __future__ import annotations

import json
import re
from typing import Literal

import msgspec

from .gate_texts import CONSENTS, GATES, NAMESPACES, OTHER_WORDS, STEMS, TITLES

RepoType = Literal["model", "dataset"]
_PLAIN = re.compile(r"[A-Za-z][\w ()/.,'+-]*\Z")
_RESERVED = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


class Field(msgspec.Struct, frozen=True):
    """One line of a form: `ask` says what a person understands by it, `type` is the card's word."""

    label: str
    type: str
    ask: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def role(self) -> str:
        return _ROLES.get(self.ask, "other")


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
    """A gated repo that never existed. `card` is the whole README.md; `former` are fields that its form once had."""

    repo_type: RepoType
    namespace: str
    name: str
    card: str
    mode: Literal["auto", "manual"]
    owner_kind: Literal["org", "user"]
    description: str
    topic: str
    fields: tuple[Field, ...]
    former: tuple[Field, ...]
    wants_institution: bool


def demo_gates(preset: str, count: int) -> tuple[DemoGate, ...]:
    """The first `count` gates of a preset: the hand-written ones, then variants of them under other names and with other forms."""
    if preset not in GATES:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(GATES)}")
    written = GATES[preset]
    return tuple(_gate(written[i % len(written)], i // len(written), i) for i in range(count))


def _gate(source: dict[str, object], turn: int, index: int) -> DemoGate:
    text = {key: str(value) for key, value in source.items() if isinstance(value, str)}
    fields = tuple(_field(str(line)) for line in _lines(source["fields"]))
    former = tuple(_field(str(line)) for line in _lines(source.get("former", ())))
    name, namespace, title = text["name"], text["namespace"], text["title"]
    shape, mode = text.get("shape", "mapping"), text.get("mode", "manual")
    if turn:
        name, namespace, title = _renamed(text["topic"], turn, index)
        fields = _reworded(fields, turn)
        shape = ("mapping", "list", "objects")[(turn + index) % 3]
        mode = "auto" if index % 7 == 6 else "manual"
    repo_type: RepoType = "dataset" if text["type"] == "dataset" else "model"
    return DemoGate(
        repo_type,
        namespace,
        name,
        _card(text | {"title": title, "shape": shape}, fields),
        "auto" if mode == "auto" else "manual",
        "user" if text.get("owner") == "user" and not turn else "org",
        text["about"],
        text["topic"],
        fields,
        former,
        text.get("wants") == "institution",
    )


def _lines(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple) else ()


def _field(line: str) -> Field:
    """`label | type | ask | option; label=value; ...` as a field."""
    label, kind, ask, *rest = (part.strip() for part in line.split("|"))
    options = tuple(
        (o.partition("=")[0].strip(), o.rpartition("=")[2].strip()) for o in (rest[0].split(";") if rest else ())
    )
    return Field(label, kind, ask, options)


def _renamed(topic: str, turn: int, index: int) -> tuple[str, str, str]:
    namespace = NAMESPACES[(index * 7 + turn) % len(NAMESPACES)]
    stem, title = STEMS[(index * 5 + turn) % len(STEMS)], TITLES[topic]
    return f"{stem}-{title.replace(' ', '-')}-{index}".lower(), namespace, f"{stem} {title}"


def _reworded(fields: tuple[Field, ...], turn: int) -> tuple[Field, ...]:
    """The same questions as another team would put them: other labels, another order, sometimes one less."""
    asked: dict[str, Field] = {}
    for field in fields:
        words = CONSENTS if field.ask == "consent" else OTHER_WORDS.get(field.ask, ())
        label = words[(turn + len(asked)) % len(words)] if words else field.label
        asked.setdefault(label, Field(label, field.type, field.ask, field.options))
    kept = list(asked.values())
    tail = [field for field in kept if field.type == "checkbox"]
    head = [field for field in kept if field.type != "checkbox"]
    cut = turn % max(1, len(head) - 1)
    head = head[cut:] + head[:cut]
    dispensable = [field for field in head if field.role in ("other", "job")]
    if turn % 2 and dispensable:
        head.remove(dispensable[0])
    return tuple(head + tail)


# --- the card ------------------------------------------------------------------------------------------------


def _scalar(text: str) -> str:
    return (
        text
        if _PLAIN.match(text) and text.lower() not in _RESERVED and not text.endswith(" ")
        else json.dumps(text, ensure_ascii=False)
    )


def _card(text: dict[str, str], fields: tuple[Field, ...]) -> str:
    front = [
        f"license: {text.get('license', 'other')}",
        "language:",
        "- en",
        f"pretty_name: {_scalar(text['title'])}",
        f"tags: [{text['topic']}]",
    ]
    front += [f"extra_gated_{key}: {_scalar(text[key])}" for key in ("heading", "description") if key in text]
    if "prompt" in text:
        front += ["extra_gated_prompt: |-", *(f"  {line}" if line else "" for line in text["prompt"].split("\n"))]
    if fields:
        front += ["extra_gated_fields:", *_field_lines(fields, text.get("shape", "mapping"))]
    if "button" in text:
        front.append(f"extra_gated_button_content: {_scalar(text['button'])}")
    if text.get("eu") == "disallowed":
        front.append("extra_gated_eu_disallowed: true")
    body = f"# {text['title']}\n\n{text['about']}\n\n## Access\n\n{text.get('access', 'Requests are read by hand, usually within a week.')}\n"
    return "---\n" + "\n".join(front) + "\n---\n\n" + body


def _field_lines(fields: tuple[Field, ...], shape: str) -> list[str]:
    lead, inner = ("- ", "    ") if shape == "list" else ("  ", "    ")
    lines = []
    for field in fields:
        if not field.options and shape != "objects":
            lines.append(f"{lead}{_scalar(field.label)}: {field.type}")
            continue
        lines += [f"{lead}{_scalar(field.label)}:", f"{inner}type: {field.type}"]
        if field.options:
            lines.append(f"{inner}options:")
        for label, value in field.options:
            if label == value:
                lines.append(f"{inner}- {_scalar(label)}")
            else:
                lines += [f"{inner}- label: {_scalar(label)}", f"{inner}  value: {_scalar(value)}"]
    return lines
