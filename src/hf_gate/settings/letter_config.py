"""Parses letters to applicants: the map `letters` of hf-gate.yaml."""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Final

from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.letters.letter_texts import LETTER_TEXTS
from hf_gate.core.letters.letters import OF_RULES, PER_PERSON, LetterConfig, LetterKind, find_text_fault
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.parsing.strict_yaml import pairs_of, position_of, value_of
from hf_gate.core.policy_model import SourcePosition

from .notice_config import read_mail_server

LETTER_KEYS: Final = (
    "kinds", "languages", "texts", "needs", "per_person", "smtp", "from", "user", "password",
)  # fmt: skip
LETTER_LANGUAGES: Final = tuple(LETTER_TEXTS[LetterKind.RECEIVED])
_SYNONYMS: Final = {"events": "kinds", "on": "kinds", "language": "languages", "templates": "texts", "sender": "from"}
_MAX_NEED: Final = 500  # characters; longer values are cut when a text is filled


def read_letter_config(reader: NodeReader, node: Node) -> LetterConfig:
    """Read the letters. Problems are added to the reader."""
    keys = reader.read_keys(node, "letters", LETTER_KEYS, synonyms=_SYNONYMS)
    if keys is None:
        return LetterConfig()
    if "kinds" not in keys:
        reader.add_problem(node, "no_kinds", "letters needs `kinds`.", hint="Write `kinds: [received, ends]`.")
    kinds = _read_choices(reader, keys, "kinds", tuple(kind.value for kind in LetterKind))
    languages = _read_choices(reader, keys, "languages", LETTER_LANGUAGES) or ("en",)
    needs: Map[str, Map[str, str]] = keys.read_part("needs", _read_needs, {})
    about_rules = [kind for kind in OF_RULES if kind in kinds]
    if about_rules and not needs:
        words = (
            f"letters of the kind {about_rules[0]} require `needs`: what people must send, for each rule with "
            "`then: wait`."
        )
        reader.add_problem(keys["kinds"][1], "no_needs", words, hint="Write `needs: {RULE: Send ... to ...}`.")
    if len(about_rules) > 1:
        words = "letters of the kinds needed and reminder say the same at the same time."
        reader.add_problem(
            keys["kinds"][1], "kinds_clash", words, hint="Remove `needed`: a reminder also names a date."
        )
    mail = [name for name in ("from", "user", "password") if name in keys and "smtp" not in keys]
    if mail:
        reader.add_problem(keys[mail[0]][0], "no_server", f"letters has `{mail[0]}` but no `smtp`.")
    return LetterConfig(
        kinds=tuple(LetterKind(kind) for kind in kinds),
        languages=languages,
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


def _read_texts(reader: NodeReader, node: Node) -> dict[LetterKind, dict[str, str]]:
    texts: dict[LetterKind, dict[str, str]] = {}
    keys = reader.read_keys(node, "texts", [kind.value for kind in LetterKind]) or KnownKeys(reader)
    for name, (_, value) in keys.items():
        kind = LetterKind(name)
        texts[kind] = _read_languages(reader, value, f"texts of {name}")
        faults = (find_text_fault(text, kind) for text in texts[kind].values())
        if fault := next((fault for fault in faults if fault), None):
            reader.add_problem(value, "bad_text", f"letters: {fault}")
    return texts


def _read_needs(reader: NodeReader, node: Node) -> Map[str, Map[str, str]]:
    needs: dict[str, Map[str, str]] = {}
    for rule, value in reader.read_ids(node, "Write needs as `rule: text` lines.", "A rule's name"):
        texts = _read_languages(reader, value, f"needs of {rule}")
        if any(len(text) > _MAX_NEED for text in texts.values()):
            reader.add_problem(value, "too_long", f"needs of {rule} has more than {_MAX_NEED} characters.")
        if texts:
            needs[rule] = texts
    return needs


def _read_languages(reader: NodeReader, node: Node, what: str) -> dict[str, str]:
    """Read one text for each language; a text alone is in English."""
    if isinstance(node, Scalar):
        text = reader.read_text(node, what)
        return {} if text is None else {"en": text}
    keys = reader.read_keys(node, what, LETTER_LANGUAGES) or KnownKeys(reader)
    texts = {name: reader.read_text(value, f"{what} in {name}") for name, (_, value) in keys.items()}
    return {name: text for name, text in texts.items() if text is not None}
