"""Reads a policy as an ordered list of sentence cards, and changes single values of their rules.

A card is a rule in words. Its parts that can be chosen or typed are fields; a condition beyond the menus, and a rule in
flow style, are edited as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from hf_gate.base.display_text import clip_line
from hf_gate.base.yaml_parser import Mapping as YamlMapping
from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.parsing.node_reader import NAME
from hf_gate.core.parsing.strict_yaml import pairs_of, value_of
from hf_gate.core.policy_model import Action
from hf_gate.policies.checks.reasons import SUGGESTED_REASONS
from hf_gate.policies.expressions.expression_parser import ExpressionNode, NodeKind, parse_expression
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.fact_conditions import FactCondition, parse_fact_condition, read_condition
from hf_gate.policies.facts.fact_table import CelType, find_declaration
from hf_gate.policies.words.phrases import describe_condition, name_fact
from hf_gate.policies.words.rule_phrases import ACTION_WORDS, describe_when

from .card_text import CardError, RuleLayout, TextEdit, read_layout, replace_scalar, set_rule_key

MAX_CARDS: Final = 200
MAX_PARTS: Final = 24  # conditions of one card that have menus
MAX_WORDS: Final = 600  # columns of one condition in words


class FieldKind(StrEnum):
    """How a value is entered."""

    CHOICE = "choice"
    SEVERAL = "several"  # one or more of the choices, joined by commas
    NUMBER = "number"
    TEXT = "text"
    END = "end"  # a date, the end of an entry in a table, a time after acceptance, or none


@dataclass(frozen=True, slots=True)
class CardField:
    """A value of a card. `key` names it within the card; `choices` are its values with their words."""

    key: str
    kind: FieldKind
    label: str
    value: str
    write: Callable[[RuleLayout, str], TextEdit | None] = field(repr=False, compare=False)
    choices: tuple[tuple[str, str], ...] = ()
    unit: str = ""

    @property
    def chosen_values(self) -> tuple[str, ...]:
        """The chosen values. Of an end at a date, also the date."""
        if self.kind is FieldKind.END and self.day:
            return A_DATE, self.day
        return tuple(self.value.split(",")) if self.kind is FieldKind.SEVERAL else (self.value,)

    @property
    def day(self) -> str:
        """The date of an end; empty if it is no date."""
        return self.value if _DATE.match(self.value) else ""


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
    """The cards of a policy. `can_move` is false if its rules are not written one below the other.

    `tables` are those that its rules can name.
    """

    layout: RuleLayout
    cards: tuple[Card, ...]
    tables: tuple[str, ...] = ()

    @property
    def can_move(self) -> bool:
        return bool(self.layout.blocks)


def read_cards(text: str, name: str, tables: Iterable[str] = ()) -> PolicyCards:
    """Read the cards of a policy; none if it is not valid YAML. `tables` are those of the workspace."""
    layout = read_layout(text, name)
    own = [key.text for key, _ in pairs_of(value_of(layout.document.root, "tables")) if NAME.match(key.text)]
    known = tuple(sorted({*tables, *own}))
    pairs = pairs_of(value_of(layout.document.root, "let"))
    lets = {key.text: value.text for key, value in pairs if isinstance(value, Scalar)}
    words = _Words(lets, known)
    cards = [_read_card(layout, node, number, words) for number, node in enumerate(layout.rules[:MAX_CARDS])]
    return PolicyCards(layout, tuple(cards), known)


def change_value(read: PolicyCards, number: int, key: str, value: str) -> TextEdit | None:
    """Return the edit that gives a field of a card another value; None if it has it. Raises CardError."""
    card = read.cards[number] if 0 <= number < len(read.cards) else None
    found = None if card is None else next((each for each in card.fields if each.key == key), None)
    if found is None:
        raise CardError("This value no longer exists.")
    if value == found.value:
        return None
    allowed = {choice for choice, _ in found.choices} - {A_DATE}
    if found.kind is FieldKind.END and _DATE.match(value):
        allowed.add(value)
    asked = value.split(",") if found.kind is FieldKind.SEVERAL else [value]
    if found.kind is FieldKind.END and value not in allowed:
        raise CardError("Choose when access ends, or enter the last day.")
    if allowed and not (asked and set(asked) <= allowed):
        raise CardError(f"Choose one of the values of {found.label}.")
    if found.kind is FieldKind.NUMBER and not (value.isascii() and value.isdecimal() and len(value) <= 9):
        raise CardError(f"Write {found.label} as a whole number.")
    return found.write(read.layout, value)


# ---- one card --------------------------------------------------------------------------------------------------------

_ACTIONS: Final = tuple((action.value, words) for action, words in ACTION_WORDS.items())
_ENDS: Final = tuple((one.value, ACTION_WORDS[one]) for one in (Action.RESET, Action.REJECT, Action.HUMAN))
A_DATE: Final = "date"
"""The choice of an end that is a date, which is entered beside it."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_SPANS: Final = (("6mo", "for 6 months"), ("1y", "for 1 year"), ("2y", "for 2 years"))
_TERMS: Final[Mapping[str, tuple[str, FieldKind, tuple[tuple[str, str], ...]]]] = {
    "at_end": ("Then", FieldKind.CHOICE, _ENDS),
    "end_reason": ("Reason when access ends", FieldKind.TEXT, ()),
    "at_most": ("At most", FieldKind.TEXT, ()),
    "after": ("Then", FieldKind.CHOICE, _ENDS),
    "reason": ("Text that is sent", FieldKind.TEXT, ()),
    "queue": ("List", FieldKind.TEXT, ()),
    "due": ("Due after", FieldKind.TEXT, ()),
    "priority": ("Priority", FieldKind.CHOICE, (("1", "1"), ("2", "2"), ("3", "3"))),
    "reviewers": ("Reviewers", FieldKind.CHOICE, (("1", "1"), ("2", "2"))),
    "says": ("Sentence", FieldKind.TEXT, ()),
}


class _Words(NamedTuple):
    """What the conditions of a policy can name: `let` definitions and tables."""

    lets: Mapping[str, str]
    tables: tuple[str, ...]


def _read_card(layout: RuleLayout, node: Node, number: int, names: _Words) -> Card:
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
                value, key, lead if not parts else "and", names, holds=holds, is_block=_is_block(layout, value)
            )
    terms = [_scalar_field(pairs, key, *about) for key, about in _TERMS.items() if key in pairs]
    terms.insert(0, _end_field(pairs, number, names.tables))
    action = pairs.get("then")
    said = ""
    if isinstance(action, Scalar):
        said = dict(_ACTIONS).get(action.text, clip_line(action.text, 40))
    says = pairs.get("says")
    rule = pairs.get("id")
    if is_flow:
        then = None
        terms = []
        parts = [CardPart(part.words, part.lead) for part in parts]
    return Card(
        number,
        rule.text if isinstance(rule, Scalar) else "",
        node.line,
        then,
        tuple(parts),
        tuple(term for term in terms if term is not None),
        said,
        says.text if isinstance(says, Scalar) else "",
        is_flow,
    )


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
    return CardField(key, kind, label, value.text, lambda layout, new: replace_scalar(layout, value, new), choices)


def _end_field(pairs: Mapping[str, Node], number: int, tables: Iterable[str]) -> CardField | None:
    """Return the field of when access ends, which a rule that accepts always has; None if it is written otherwise."""
    node = pairs.get("until", Scalar(0, 0, "", True))
    then = pairs.get("then")
    is_accept = isinstance(then, Scalar) and then.text == Action.ACCEPT
    if not is_accept or not isinstance(node, Scalar) or "\n" in node.text:
        return None
    entries = [(f"tables.{name}.expires", f"until the end of the entry in {name}") for name in tables]
    choices = [("", "no end"), (A_DATE, "until a date"), *entries, *_SPANS]
    if node.text not in dict(choices) and not _DATE.match(node.text):
        choices.append((node.text, node.text))

    def write(layout: RuleLayout, value: str) -> TextEdit | None:
        return set_rule_key(layout, number, "until", value, behind="then")

    return CardField("until", FieldKind.END, "Access", node.text, write, tuple(choices))


# ---- conditions ------------------------------------------------------------------------------------------------------


def _read_parts(node: Scalar, key: str, lead: str, names: _Words, *, holds: bool, is_block: bool) -> list[CardPart]:
    """Return a part for each joined condition of `when`, or one for the whole of `unless`."""
    try:
        parsed = parse_expression(node.text)
    except ExpressionProblem:
        return [CardPart(clip_line(describe_when(node.text, names.lets, holds=holds), MAX_WORDS), lead)]
    can_edit = not is_block and "\n" not in node.text
    parts: list[CardPart] = []
    for number, part in enumerate(parsed.conjuncts if holds else (parsed.root,)):
        words = describe_when(parsed.text(part.start, part.end), names.lets, holds=holds)
        fields: tuple[CardField, ...] = ()
        if can_edit and number < MAX_PARTS:
            fields = _ConditionFields(node, f"{key}.{number}", names, part, holds=holds).read_parts()
        parts.append(CardPart(clip_line(words, MAX_WORDS), lead if not parts else "and", fields))
    return parts


_OPS: Final = (
    *((">", "more than"), (">=", "at least"), ("<", "less than"), ("<=", "at most")),
    *(("==", "exactly"), ("!=", "not exactly")),
)
_EQUAL: Final = (("==", "is"), ("!=", "is not"))


class _ConditionFields:
    """Finds the values of one condition in the text of its scalar."""

    def __init__(self, node: Scalar, key: str, names: _Words, part: ExpressionNode, *, holds: bool) -> None:
        self.node = node
        self.key = key
        self.lets = names.lets
        self.tables = names.tables
        self.part = part
        self.holds = holds

    def read_parts(self) -> tuple[CardField, ...]:
        """Return the fields; none if the condition is beyond the menus."""
        if (toggle := self._read_toggle()) is not None:
            return (toggle, *self._read_table())
        inner = self.part.children[0] if self.part.is_operator("!") else self.part
        condition = read_condition(inner)
        if condition is None or condition.is_negated or not condition.literals:
            return ()
        return self._read_values(inner, condition)

    def _text(self, node: ExpressionNode) -> str:
        return self.node.text[node.start : node.end]

    def _read_toggle(self) -> CardField | None:
        """Return the field of a true-or-false fact or `let`, which is written with or without `!`."""
        is_negated = self.part.is_operator("!")
        name = self.part.children[0] if is_negated else self.part
        declaration = find_declaration(name.name)
        is_boolean = name.name in self.lets or (
            declaration is not None and declaration.type in (CelType.BOOL, CelType.DECLARED)
        )
        start = self.part.start
        length = name.start - self.part.start
        if name.kind is not NodeKind.NAME or not is_boolean or "(" in self.node.text[start : name.start]:
            return None
        words = tuple(
            (value, self._describe(name.name, is_true=(value == "true") is self.holds)) for value in ("true", "false")
        )

        def write(layout: RuleLayout, value: str) -> TextEdit | None:
            return replace_scalar(layout, self.node, "" if value == "true" else "!", start, length)

        return CardField(self.key, FieldKind.CHOICE, "Condition", "false" if is_negated else "true", write, words)

    def _describe(self, name: str, *, is_true: bool) -> str:
        """Return the words of a true-or-false fact; of a table without its name, which has a menu."""
        if _table_of(name):
            return "is on the list" if is_true else "is not on the list"
        return describe_when(name, self.lets, holds=is_true)

    def _read_table(self) -> tuple[CardField, ...]:
        """Return the field of the table whose entry is asked for; none for another fact."""
        name = self.part.children[0] if self.part.is_operator("!") else self.part
        table = _table_of(name.name)
        if not table:
            return ()
        choices = tuple((each, each) for each in dict.fromkeys((*self.tables, table)))

        def write(layout: RuleLayout, value: str) -> TextEdit | None:
            return replace_scalar(layout, self.node, f"tables.{value}", name.start, name.end - name.start)

        return (CardField(f"{self.key}.table", FieldKind.CHOICE, "List", table, write, choices),)

    def _read_values(self, test: ExpressionNode, condition: FactCondition) -> tuple[CardField, ...]:
        name = name_fact(condition.fact)
        declaration = find_declaration(condition.fact)
        known = None if condition.key is not None or declaration is None else declaration.values
        unit = "days" if "days" in condition.fact.rpartition(".")[2] else ""
        literal = condition.literals[0]
        if condition.op == "in" and known is not None and set(map(str, condition.values)) <= set(known):
            value = ",".join(each for each in known if each in condition.values)
            about = FieldKind.SEVERAL, name, value, test.children[1].span
            return (self._field("value", *about, _quote_list, _pairs(known)),)
        if literal is not test.children[1]:
            return ()
        sign = test.at, len(condition.op)
        if condition.type is CelType.INT and condition.op in dict(_OPS) and self._text(literal).isdecimal():
            return (
                self._field("op", FieldKind.CHOICE, f"{name}: comparison", condition.op, sign, str, _OPS),
                self._field("value", FieldKind.NUMBER, name, self._text(literal), literal.span, str, unit=unit),
            )
        value = str(condition.values[0])
        if condition.op in ("==", "!=") and isinstance(literal.value, str):
            kind, choices = (FieldKind.TEXT, ()) if known is None else (FieldKind.CHOICE, _pairs(known))
            return (
                self._field("op", FieldKind.CHOICE, f"{name}: comparison", condition.op, sign, str, _EQUAL),
                self._field("value", kind, name, value, literal.span, _quote, choices),
            )
        if condition.op in ("contains", "startsWith", "endsWith"):
            return (self._field("value", FieldKind.TEXT, name, value, literal.span, _quote),)
        return ()

    def _field(
        self,
        part: str,
        kind: FieldKind,
        label: str,
        value: str,
        span: tuple[int, int],
        render: Callable[[str], str],
        choices: tuple[tuple[str, str], ...] = (),
        unit: str = "",
    ) -> CardField:
        def write(layout: RuleLayout, new: str) -> TextEdit | None:
            return replace_scalar(layout, self.node, render(new), *span)

        return CardField(f"{self.key}.{part}", kind, label, value, write, choices, unit)


def _table_of(fact: str) -> str:
    """Return the table if a fact says whether a person is listed; empty if not."""
    head, _, table = fact.partition(".")
    return table if head == "tables" and NAME.match(table) else ""


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
            "email.academic",
            "email.free",
            "email.disposable",
            "person.account_days > 30",
            "person.account_days < 7",
            'answers.purpose.quality in ["good"]',
            'answers.purpose.quality in ["empty", "junk"]',
            'answers.purpose.quality in ["empty", "junk", "thin"]',
            "history.accepted > 0",
            "history.rejected > 0",
        )
        if (condition := parse_fact_condition(source)) is not None
    },
}
"""The conditions that a new card offers in every workspace, with their words."""


def list_new_conditions(tables: Iterable[str]) -> Mapping[str, str]:
    """Return the conditions that a new card offers, with their words."""
    return {**NEW_CONDITIONS, **{f"tables.{name}": f"on the list {name}" for name in tables}}


def new_rule(read: PolicyCards, then: str, condition: str) -> list[tuple[str, str]]:
    """Return the keys and values of a new rule, with an id that no other rule has. Raises CardError."""
    if then not in dict(_ACTIONS) or condition not in list_new_conditions(read.tables):
        raise CardError("Choose a decision and a condition of the list.")
    taken = {card.rule for card in read.cards}
    name = next(f"{then}-{number}" for number in range(1, len(taken) + 2) if f"{then}-{number}" not in taken)
    pairs = [("id", name), *([("when", condition)] if condition else []), ("then", then)]
    if Action(then) in SUGGESTED_REASONS:
        pairs.append(("reason", SUGGESTED_REASONS[Action(then)]))
    if Action(then) is Action.WAIT:
        pairs += [("at_most", "7d"), ("after", "human")]
    return pairs
