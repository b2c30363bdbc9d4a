"""Applies what a person entered on the cards of a policy to its text: values, moved, removed and added rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from hf_gate.base.display_text import clip_line, make_visible

from .card_text import CardError, TextEdit, add_rule, move_rule, remove_rule
from .cards import A_DATE, CardField, FieldKind, PolicyCards, change_value, new_rule, read_cards

MAX_TEXT: Final = 300_000  # characters of a policy with cards; a longer one is edited as text
MAX_VALUES: Final = 40  # values that change at once
_LINE_END: Final = re.compile(r"\s*[\r\n]\s*")


class CardMove(StrEnum):
    """What happens to a whole card."""

    UP = "up"
    DOWN = "down"
    REMOVE = "remove"
    ADD = "add"


class CardChanges(Struct, frozen=True):
    """What a person entered. `values`: what each field holds, by card number and key, whether changed or not.

    `number`: the card that is moved or removed. `then` and `condition`: the new card.
    """

    values: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    move: CardMove | None = None
    number: int = 0
    then: str = ""
    condition: str = ""


class ChangedText(Struct, frozen=True):
    """A text after changes. `problems`: what was left unchanged, and why. `rule`: the rule that changed last."""

    text: str
    problems: tuple[str, ...] = ()
    rule: str = ""


def read_short_cards(text: str, name: str, tables: Iterable[str] = ()) -> PolicyCards | None:
    """Return the cards of a policy; None if the text is too long. `tables` are those of the workspace."""
    return None if len(text) > MAX_TEXT else read_cards(text, name, tables)


def apply_changes(text: str, name: str, changes: CardChanges, tables: Iterable[str] = ()) -> ChangedText:
    """Apply changes to a text. A change that cards cannot make is left out and named."""
    if len(text) > MAX_TEXT:
        return ChangedText(text, ("This policy is too long for cards. Edit it as text.",))
    read = read_cards(text, name, tables)
    problems = list[str]()
    rule = ""
    wanted = _find_new_values(read, changes)
    if len(wanted) > MAX_VALUES:
        problems.append(f"Only the first {MAX_VALUES} changes were made. Change fewer values at once.")
    for number, key, value in wanted[:MAX_VALUES]:
        try:
            edit = change_value(read, number, key, value)
        except CardError as problem:
            problems.append(f"Rule {_name(read, number)}: {problem}")
            continue
        read, rule = _apply(read, edit, name), _name(read, number)
    if changes.move is not None:
        try:
            edit, moved = _find_move(read, changes)
            read = _apply(read, edit, name)
            rule = moved
        except CardError as problem:
            problems.append(str(problem))
    return ChangedText(read.layout.text, tuple(problems), rule)


def _apply(read: PolicyCards, edit: TextEdit | None, name: str) -> PolicyCards:
    return read if edit is None else read_cards(edit.apply(read.layout.text), name, read.tables)


def _name(read: PolicyCards, number: int) -> str:
    rule = read.cards[number].rule if 0 <= number < len(read.cards) else ""
    return clip_line(rule, 40) or str(number + 1)


def _find_new_values(read: PolicyCards, changes: CardChanges) -> list[tuple[int, str, str]]:
    """Return the fields whose entered value differs from the text, in the order of the cards.

    A page shows hidden characters by their names, so a field that still holds such names was not changed.
    """
    found = []
    for card in read.cards:
        for each in card.fields:
            entered = changes.values.get((card.number, each.key))
            if entered is None:
                continue
            value = _join(each, entered)
            if value not in (each.value, make_visible(each.value)):
                found.append((card.number, each.key, value))
    return found


def _join(each: CardField, entered: tuple[str, ...]) -> str:
    if each.kind is FieldKind.TEXT:
        return _LINE_END.sub(" ", entered[-1])
    if each.kind is FieldKind.END:
        return entered[0] if entered[0] != A_DATE else entered[-1] or A_DATE
    if each.kind is not FieldKind.SEVERAL:
        return entered[-1]
    order = [choice for choice, _ in each.choices]
    known = [choice for choice in order if choice in entered]
    return ",".join([*known, *(one for one in entered if one and one not in order)])


def _find_move(read: PolicyCards, changes: CardChanges) -> tuple[TextEdit | None, str]:
    number = changes.number
    match changes.move:
        case CardMove.ADD:
            pairs = new_rule(read, changes.then, changes.condition)
            return add_rule(read.layout, _place_of_new(read), pairs), dict(pairs)["id"]
        case CardMove.REMOVE:
            return remove_rule(read.layout, number), ""
        case _:
            to = number + (1 if changes.move is CardMove.DOWN else -1)
            return move_rule(read.layout, number, to), _name(read, number)


def _place_of_new(read: PolicyCards) -> int:
    """Return where a new rule belongs: at the end, but before a last rule for all others."""
    count = len(read.layout.rules)
    has_catch_all = count == len(read.cards) > 0 and not read.cards[-1].parts
    return count - 1 if has_catch_all else count
