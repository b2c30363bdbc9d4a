"""Parses letters to applicants: the map `letters` of hf-gate.yaml."""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Final

from hf_gate.base.yaml_parser import Node
from hf_gate.core.letters.letters import PER_PERSON, LetterConfig, LetterKind, find_text_fault
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.parsing.strict_yaml import pairs_of, position_of, value_of
from hf_gate.core.policy_model import SourcePosition

from .notice_config import read_mail_server

LETTER_KEYS: Final = (
    "kinds", "texts", "needs", "per_person", "smtp", "from", "user", "password",
)  # fmt: skip
_SYNONYMS: Final = {"events": "kinds", "on": "kinds", "templates": "texts", "sender": "from"}
_MAX_NEED: Final = 500  # characters; longer values are cut when a text is filled


def read_letter_config(reader: NodeReader, node: Node) -> LetterConfig:
    """Read the letters. Problems are added to the reader."""
    keys = reader.read_keys(node, "letters", LETTER_KEYS, synonyms=_SYNONYMS)
    if keys is None:
        return LetterConfig()
    if "kinds" not in keys:
        reader.add_problem(node, "no_kinds", "letters needs `kinds`.", hint="Write `kinds: [received, ends]`.")
    kinds = _read_choices(reader, keys, "kinds", tuple(kind.value for kind in LetterKind))
    needs: Map[str, str] = keys.read_part("needs", _read_needs, {})
    if LetterKind.NEEDED in kinds and "needs" not in keys:
        words = "letters of the kind needed require `needs`: what people must send, for each rule with `then: wait`."
        reader.add_problem(keys["kinds"][1], "no_needs", words, hint="Write `needs: {RULE: Send ... to ...}`.")
    mail = [name for name in ("from", "user", "password") if name in keys and "smtp" not in keys]
    if mail:
        reader.add_problem(keys[mail[0]][0], "no_server", f"letters has `{mail[0]}` but no `smtp`.")
    return LetterConfig(
        kinds=tuple(LetterKind(kind) for kind in kinds),
        texts=keys.read_part("texts", _read_texts, {}),
        needs=needs,
        per_person=keys.read_value("per_person", NodeReader.read_number, 30) or PER_PERSON,
        mail=read_mail_server(reader, keys, node, has_recipients=False) if "smtp" in keys else None,
    )


def find_need_positions(root: Node) -> dict[str, SourcePosition]:
    """Return where hf-gate.yaml names each rule in `needs` of its letters."""
    needs = value_of(value_of(root, "letters"), "needs")
    return {key.text: position_of(key) for key, _ in pairs_of(needs)}


def _read_choices(reader: NodeReader, keys: KnownKeys, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if name not in keys:
        return ()
    items = reader.read_items(keys[name][1], name, f"`{name}: [{known[0]}]`")
    found = [text for item in items if (text := reader.read_choice(item, name, known)) is not None]
    return tuple(dict.fromkeys(text for text in found if text in known))


def _read_texts(reader: NodeReader, node: Node) -> dict[LetterKind, str]:
    texts: dict[LetterKind, str] = {}
    keys = reader.read_keys(node, "texts", [kind.value for kind in LetterKind]) or KnownKeys(reader)
    for name, (_, value) in keys.items():
        text = reader.read_text(value, f"texts of {name}")
        if text is None:
            continue
        texts[LetterKind(name)] = text
        if fault := find_text_fault(text, LetterKind(name)):
            reader.add_problem(value, "bad_text", f"letters: {fault}")
    return texts


def _read_needs(reader: NodeReader, node: Node) -> Map[str, str]:
    needs: dict[str, str] = {}
    for rule, value in reader.read_ids(node, "Write needs as `rule: text` lines.", "A rule's name"):
        text = reader.read_text(value, f"needs of {rule}")
        if text is not None and len(text) > _MAX_NEED:
            reader.add_problem(value, "too_long", f"needs of {rule} has more than {_MAX_NEED} characters.")
        if text is not None:
            needs[rule] = text
    return needs
