"""Reads a policy as an ordered list of sentence cards, and changes single values of their rules.

A card is a rule in words. Its parts that can be chosen or typed are fields; a condition beyond the menus, and a rule in
flow style, are edited as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from msgspec import Struct

from ..domain.display_text import clip_line
from ..domain.yaml_parser import Mapping as YamlMapping
from ..domain.yaml_parser import Node, Scalar
from .card_text import CardError, RuleLayout, TextEdit, read_layout, replace_scalar
from .expression_tokens import SourceToken, find_tokens_outside_brackets, is_wrapped, negated_tokens, tokenize
from .fact_conditions import IS_TRUE, FactCondition, parse_fact_condition
from .fact_table import CelType, find_declaration
from .model import Action
from .phrases import describe_condition, is_single_name, name_fact
from .reasons import SUGGESTED_REASONS
from .rule_phrases import ACTION_WORDS, describe_when
from .strict_yaml import pairs_of, value_of

MAX_CARDS: Final = 200
MAX_PARTS: Final = 24  # conditions of one card that have menus
MAX_WORDS: Final = 600  # columns of one condition in words


class FieldKind(StrEnum):
    """How a value is entered."""

    CHOICE = "choice"
    SEVERAL = "several"  # one or more of the choices, joined by commas
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class CardField:
    """A value of a card. `key` names it within the card; `choices` are its values with their words.

    A field that comes from another process shows its value, but cannot write another one.
    """

    key: str
    kind: FieldKind
    label: str
    value: str
    choices: tuple[tuple[str, str], ...] = ()
    unit: str = ""
    write: Callable[[str], tuple[Scalar, str, int, int | None]] = field(
        repr=False, compare=False, default=lambda _: _none()
    )

    @property
    def chosen_values(self) -> tuple[str, ...]:
        """The chosen values."""
        return tuple(self.value.split(",")) if self.kind is FieldKind.SEVERAL else (self.value,)

    def __reduce__(self) -> tuple[object, ...]:
        return CardField, (self.key, self.kind, self.label, self.value, self.choices, self.unit)


class CardPart(Struct, frozen=True):
    """A condition of a card, in words. `fields` change it; without fields it is edited as text."""

    words: str
    lead: str  # the words before it: `when`, `and`, `unless`
    fields: tuple[CardField, ...] = ()


class Card(Struct, frozen=True):
    """A rule as a sentence. `is_text` marks a rule that can only be edited as text. `line` counts from 1."""

    number: int
    rule: str
    line: int
    then: CardField | None
    parts: tuple[CardPart, ...]
    terms: tuple[CardField, ...]
    action: str = ""
    says: str = ""
    is_text: bool = False

    @property
    def fields(self) -> Iterator[CardField]:
        """All fields, in the order of the sentence."""
        if self.then is not None:
            yield self.then
        for part in self.parts:
            yield from part.fields
        yield from self.terms


class PolicyCards(Struct, frozen=True):
    """The cards of a policy. `can_move` is false if its rules are not written one below the other."""

    layout: RuleLayout
    cards: tuple[Card, ...]

    @property
    def can_move(self) -> bool:
        return bool(self.layout.blocks)


def read_cards(text: str, name: str) -> PolicyCards:
    """Read the cards of a policy; none if it is not valid YAML."""
    layout = read_layout(text, name)
    lets = {key.text: value.text for key, value in pairs_of(value_of(layout.document.root, "let")) if isinstance(value, Scalar)}  # fmt: skip
    cards = [_read_card(layout, node, number, lets) for number, node in enumerate(layout.rules[:MAX_CARDS])]
    return PolicyCards(layout, tuple(cards))


def change_value(read: PolicyCards, number: int, key: str, value: str) -> TextEdit | None:
    """Return the edit that gives a field of a card another value; None if it has it. Raises CardError."""
    card = read.cards[number] if 0 <= number < len(read.cards) else None
    found = None if card is None else next((each for each in card.fields if each.key == key), None)
    if found is None:
        raise CardError("This value no longer exists.")
    if value == found.value:
        return None
    allowed = {choice for choice, _ in found.choices}
    asked = value.split(",") if found.kind is FieldKind.SEVERAL else [value]
    if allowed and not (asked and set(asked) <= allowed):
        raise CardError(f"Choose one of the values of {found.label}.")
    if found.kind is FieldKind.NUMBER and not (value.isascii() and value.isdecimal() and len(value) <= 9):
        raise CardError(f"Write {found.label} as a whole number.")
    node, new, offset, length = found.write(value)
    return replace_scalar(read.layout, node, new, offset, length)


def _none() -> tuple[Scalar, str, int, int | None]:
    raise CardError("This value is edited as text.")


# ---- one card --------------------------------------------------------------------------------------------------------

_ACTIONS: Final = tuple((action.value, words) for action, words in ACTION_WORDS.items())
_ENDS: Final = tuple((one.value, ACTION_WORDS[one]) for one in (Action.RESET, Action.REJECT, Action.HUMAN))
_TERMS: Final[Mapping[str, tuple[str, FieldKind, tuple[tuple[str, str], ...]]]] = {
    "until": ("Access until", FieldKind.TEXT, ()),
    "at_end": ("Then", FieldKind.CHOICE, _ENDS),
    "end_reason": ("Text at the end", FieldKind.TEXT, ()),
    "at_most": ("At most", FieldKind.TEXT, ()),
    "after": ("Then", FieldKind.CHOICE, _ENDS),
    "reason": ("Text that is sent", FieldKind.TEXT, ()),
    "queue": ("List", FieldKind.TEXT, ()),
    "due": ("Due after", FieldKind.TEXT, ()),
    "priority": ("Priority", FieldKind.CHOICE, (("1", "1"), ("2", "2"), ("3", "3"))),
    "reviewers": ("Reviewers", FieldKind.CHOICE, (("1", "1"), ("2", "2"))),
    "says": ("Sentence", FieldKind.TEXT, ()),
}


def _read_card(layout: RuleLayout, node: Node, number: int, lets: Mapping[str, str]) -> Card:
    pairs = {key.text: value for key, value in pairs_of(node)}
    source = layout.document.source
    is_flow = not isinstance(node, YamlMapping) or source.text[source.index(node) : source.index(node) + 1] in (
        "{",
        "[",
    )
    then = _scalar_field(pairs, "then", "Decision", FieldKind.CHOICE, _ACTIONS)
    parts: list[CardPart] = []
    for key, lead, holds in (("when", "when", True), ("unless", "and", False)):
        value = pairs.get(key)
        if isinstance(value, Scalar):
            parts += _read_parts(
                value, key, lead if not parts else "and", lets, holds=holds, is_block=_is_block(layout, value)
            )
    terms = [_scalar_field(pairs, key, *about) for key, about in _TERMS.items() if key in pairs]
    action = pairs.get("then")
    said = dict(_ACTIONS).get(action.text, clip_line(action.text, 40)) if isinstance(action, Scalar) else ""  # fmt: skip
    says, rule = pairs.get("says"), pairs.get("id")
    if is_flow:
        then, terms = None, []
        parts = [CardPart(part.words, part.lead) for part in parts]
    return Card(
        number, rule.text if isinstance(rule, Scalar) else "", node.line, then, tuple(parts),
        tuple(term for term in terms if term is not None), said, says.text if isinstance(says, Scalar) else "", is_flow,
    )  # fmt: skip


def _is_block(layout: RuleLayout, node: Scalar) -> bool:
    source = layout.document.source
    return not node.is_plain and source.text[source.index(node) : source.index(node) + 1] not in ("'", '"')


def _scalar_field(
    pairs: Mapping[str, Node],
    key: str,
    label: str,
    kind: FieldKind,
    choices: tuple[tuple[str, str], ...],
) -> CardField | None:
    value = pairs.get(key)
    if not isinstance(value, Scalar) or not value.text or "\n" in value.text:
        return None
    if choices and value.text not in dict(choices):
        return None
    return CardField(key, kind, label, value.text, choices, write=lambda new: (value, new, 0, None))


# ---- conditions ------------------------------------------------------------------------------------------------------


def _read_parts(
    node: Scalar, key: str, lead: str, lets: Mapping[str, str], *, holds: bool, is_block: bool
) -> list[CardPart]:
    """Return a part for each joined condition of `when`, or one for the whole of `unless`."""
    tokens = tokenize(node.text).tokens
    outside = find_tokens_outside_brackets(tokens)
    has_others = any(tokens[index].text in ("||", "?") for index in outside)
    cuts = [index for index in outside if tokens[index].text == "&&"]
    if not holds or has_others:
        cuts = []
    found: list[CardPart] = []
    for number, (first, last) in enumerate(zip([-1, *cuts], [*cuts, len(tokens)], strict=True)):
        piece = tokens[first + 1 : last]
        if not piece:
            continue
        source = node.text[piece[0].start : piece[-1].end]
        words = clip_line(describe_when(source, lets, holds=holds), MAX_WORDS)
        fields: tuple[CardField, ...] = ()
        if not is_block and not (has_others and holds) and number < MAX_PARTS and "\n" not in node.text:
            fields = _ConditionFields(node, f"{key}.{number}", lets, piece, holds=holds).read_parts()
        found.append(CardPart(words, lead if not found else "and", fields))
    return found


_OPS: Final = ((">", "more than"), (">=", "at least"), ("<", "less than"), ("<=", "at most"), ("==", "exactly"), ("!=", "not exactly"))  # fmt: skip
_EQUAL: Final = (("==", "is"), ("!=", "is not"))


class _ConditionFields:
    """Finds the values of one condition in the text of its scalar."""

    def __init__(
        self, node: Scalar, key: str, lets: Mapping[str, str], tokens: Sequence[SourceToken], *, holds: bool
    ) -> None:
        self.node, self.key, self.lets, self.holds, self.tokens = node, key, lets, holds, tokens

    def read_parts(self) -> tuple[CardField, ...]:
        """Return the fields; none if the condition is beyond the menus."""
        if (toggle := self._read_toggle()) is not None:
            return (toggle,)
        inner = self.tokens
        negated = negated_tokens(inner)
        inner = inner if negated is None else negated
        while is_wrapped(inner):
            inner = inner[1:-1]
        if len(inner) < 3:
            return ()
        condition = parse_fact_condition(self._text(inner))
        if condition is None or condition.is_negated or condition.op == IS_TRUE:
            return ()
        return self._read_values(inner, condition)

    def _text(self, tokens: Sequence[SourceToken]) -> str:
        return self.node.text[tokens[0].start : tokens[-1].end]

    def _read_toggle(self) -> CardField | None:
        """Return the field of a true-or-false fact or `let`, which is written with or without `!`."""
        is_negated = self.tokens[0].text == "!"
        name = self.tokens[1:] if is_negated else self.tokens
        if not name or any(each.kind != "name" and each.text != "." for each in name):
            return None
        path, start = self._text(name), self.tokens[0].start
        declaration = find_declaration(path)
        if not (is_single_name(path) and path in self.lets) and (
            declaration is None or declaration.type is not CelType.BOOL
        ):
            return None
        words = tuple((value, describe_when(path, self.lets, holds=(value == "true") is self.holds)) for value in ("true", "false"))  # fmt: skip

        def write(value: str) -> tuple[Scalar, str, int, int | None]:
            return self.node, "" if value == "true" else "!", start, name[0].start - start

        return CardField(self.key, FieldKind.CHOICE, "Condition", "false" if is_negated else "true", words, write=write)

    def _read_values(self, tokens: Sequence[SourceToken], condition: FactCondition) -> tuple[CardField, ...]:
        last, before = tokens[-1], tokens[-2]
        name = name_fact(condition.fact)
        declaration = find_declaration(condition.fact)
        known = None if condition.key is not None or declaration is None else declaration.values
        unit = "days" if "days" in condition.fact.rpartition(".")[2] else ""
        if condition.type is CelType.INT and last.kind == "number" and before.text == condition.op:
            return (
                self._field("op", FieldKind.CHOICE, f"{name}: comparison", before.text, (before, before), str, _OPS),
                self._field("value", FieldKind.NUMBER, name, last.text, (last, last), str, unit=unit),
            )
        if condition.op in ("==", "!=") and last.kind == "text" and before.text == condition.op:
            kind, choices = (FieldKind.TEXT, ()) if known is None else (FieldKind.CHOICE, _pairs(known))
            return (
                self._field("op", FieldKind.CHOICE, f"{name}: comparison", before.text, (before, before), str, _EQUAL),
                self._field("value", kind, name, str(condition.values[0]), (last, last), _quote, choices),
            )
        if condition.op == "in" and known is not None and set(map(str, condition.values)) <= set(known):
            first = next(each for each in tokens if each.text == "[" and each.kind == "sign")
            value = ",".join(each for each in known if each in condition.values)
            return (self._field("value", FieldKind.SEVERAL, name, value, (first, last), _quote_list, _pairs(known)),)
        if condition.op in ("contains", "startsWith", "endsWith") and before.kind == "text":
            return (self._field("value", FieldKind.TEXT, name, str(condition.values[0]), (before, before), _quote),)
        return ()

    def _field(
        self, part: str, kind: FieldKind, label: str, value: str, span: tuple[SourceToken, SourceToken],
        render: Callable[[str], str], choices: tuple[tuple[str, str], ...] = (), unit: str = "",
    ) -> CardField:  # fmt: skip
        def write(new: str) -> tuple[Scalar, str, int, int | None]:
            return self.node, render(new), span[0].start, span[1].end - span[0].start

        return CardField(f"{self.key}.{part}", kind, label, value, choices, unit, write)


def _pairs(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.replace("_", " ")) for value in values)


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote_list(value: str) -> str:
    return "[" + ", ".join(map(_quote, value.split(","))) + "]"


# ---- new cards -------------------------------------------------------------------------------------------------------

NEW_CONDITIONS: Final[Mapping[str, str]] = {
    "": "everybody",
    **{
        source: describe_condition(condition) or source
        for source in (
            "email.academic", "email.free", "email.disposable", "person.account_days > 30", "person.account_days < 7",
            'answers.purpose.quality in ["good"]', 'answers.purpose.quality in ["empty", "junk"]',
            'answers.purpose.quality in ["empty", "junk", "thin"]', "history.accepted > 0", "history.rejected > 0",
        )
        if (condition := parse_fact_condition(source)) is not None
    },
}  # fmt: skip
"""The conditions that a new card offers, with their words."""


def new_rule(read: PolicyCards, then: str, condition: str) -> list[tuple[str, str]]:
    """Return the keys and values of a new rule, with an id that no other rule has. Raises CardError."""
    if then not in dict(_ACTIONS) or condition not in NEW_CONDITIONS:
        raise CardError("Choose a decision and a condition of the list.")
    taken = {card.rule for card in read.cards}
    name = next(f"{then}-{number}" for number in range(1, len(taken) + 2) if f"{then}-{number}" not in taken)
    pairs = [("id", name), *([("when", condition)] if condition else []), ("then", then)]
    if Action(then) in SUGGESTED_REASONS:
        pairs.append(("reason", SUGGESTED_REASONS[Action(then)]))
    if Action(then) is Action.WAIT:
        pairs += [("at_most", "7d"), ("after", "human")]
    return pairs
