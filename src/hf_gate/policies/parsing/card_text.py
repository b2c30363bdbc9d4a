"""Edits the text of a policy by rules and by single values; every other byte of the file stays.

A rule is a block of whole lines: its own, and the comment lines directly above. Blocks change places; the text between
them stays where it is. Each edit is read back, and refused if the file then says anything else than was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from hf_gate.base.yaml_parser import Alias, Mapping, Node, Scalar
from hf_gate.core.parsing.strict_yaml import (
    ScalarSource,
    SourceText,
    YamlDocument,
    escape_scalar,
    items_of,
    pair_of,
    pairs_of,
    plain_or_quoted,
    read_yaml,
    value_of,
)

Plain: TypeAlias = "str | list[Plain] | list[tuple[Plain, Plain]]"
MAX_VALUE: Final = 4_000  # characters of a typed value


class CardError(ValueError):
    """An edit that cards cannot make; the text can be edited instead."""


class TextEdit(Struct, frozen=True):
    """A piece of a text and what replaces it. `start` and `end` are indexes of characters."""

    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]

    def undo(self, text: str) -> TextEdit:
        """Return the edit that restores `text` after this one was applied to it."""
        return TextEdit(self.start, self.start + len(self.new), text[self.start : self.end])


class RuleBlock(Struct, frozen=True):
    """The lines of one rule, from its first comment line to its last character, without the last line end."""

    start: int
    end: int


class RuleLayout(Struct, frozen=True):
    """Where the rules of a policy stand. `blocks` is empty if they are not a list of lines, such as `rules: [...]`."""

    document: YamlDocument
    rules: tuple[Node, ...]
    blocks: tuple[RuleBlock, ...] = ()
    indent: str = ""

    @property
    def text(self) -> str:
        return self.document.source.text


def read_layout(text: str, name: str) -> RuleLayout:
    """Read where the rules stand. There are none if the text is not valid YAML."""
    document = read_yaml(text, name)
    rules = items_of(value_of(document.root, "rules"))
    dashes = [_find_dash(document.source, rule) for rule in rules]
    if not rules or None in dashes or len({dash[1] for dash in dashes if dash}) != 1:
        return RuleLayout(document, rules)
    found = [dash for dash in dashes if dash is not None]
    blocks = _find_blocks(document, found)
    return RuleLayout(document, rules, blocks, found[0][1])


def replace_scalar(
    layout: RuleLayout, node: Scalar, new: str, offset: int = 0, length: int | None = None
) -> TextEdit | None:
    """Return the edit that gives a scalar, or a piece of it, new text; None if it has that text already.

    The quotes of the scalar stay. A plain scalar that would read differently without quotes gets them.
    """
    source = layout.document.source
    stop = len(node.text) if length is None else offset + length
    if node.text[offset:stop] == new:
        return None
    if len(new) > MAX_VALUE or _UNWRITABLE.search(new):
        raise CardError("This value is too long, or has a line end or a hidden character; edit it as text.")
    scalar = ScalarSource(source, node)
    wanted = node.text[:offset] + new + node.text[stop:]
    if scalar.style == "block" or not wanted:
        raise CardError("This value is written over several lines, or would be empty; edit it as text.")
    if scalar.style == "plain" and plain_or_quoted(wanted) != wanted:
        edit = TextEdit(scalar.start, scalar.end, plain_or_quoted(wanted))
    else:
        closing = 0 if scalar.style == "plain" else 1
        end = scalar.end - closing if stop == len(node.text) else scalar.index(stop)
        start = scalar.start + closing if offset == 0 else end if offset == stop else scalar.index(offset)
        edit = TextEdit(start, end, escape_scalar(new, scalar.style))
    before = layout.document.root
    after = read_yaml(edit.apply(layout.text), source.name).root
    if before is None or after is None or plain_node(after) != plain_node(before, {id(node): wanted}):
        raise CardError("This value cannot be written here; edit it as text.")
    return edit


def set_rule_key(layout: RuleLayout, index: int, key: str, value: str, *, behind: str) -> TextEdit | None:
    """Return the edit that gives a key of a rule a value; a new key stands behind another one. No value removes it.

    Return None if nothing changes.
    """
    _check(layout, index)
    rule = layout.rules[index]
    text = layout.text
    source = layout.document.source
    known = pair_of(rule, key)
    before = pair_of(rule, behind)
    if known is not None and value and isinstance(known[1], Scalar):
        return replace_scalar(layout, known[1], value)
    if before is None or (known is None and not value):
        return None
    name, node = known or before
    start = source.index(_at(node.line))
    end = start + len(source.line(node.line))
    pairs: list[tuple[Plain, Plain]] = [(one.text, plain_node(item)) for one, item in pairs_of(rule) if one is not name]
    if known is not None:
        ending = _LINE_END.match(text, end)
        edit = TextEdit(start, end if ending is None else ending.end(), "")
    else:
        new = f"{key}: {plain_or_quoted(value)}"
        edit = TextEdit(end, end, f"{_main_line_end(text)}{' ' * (name.column - 1)}{new}")
        pairs = []
        for one, item in pairs_of(rule):
            pairs += [(one.text, plain_node(item)), *([(key, value)] if one is name else [])]
    return _verify_edit(layout, edit, [pairs if number == index else each for number, each in enumerate(layout.rules)])


_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ufeff\ud800-\udfff]")


def move_rule(layout: RuleLayout, index: int, to: int) -> TextEdit | None:
    """Return the edit that moves a rule to another place of the list; None if it stands there."""
    _check(layout, index, to)
    if index == to:
        return None
    order = list(range(len(layout.blocks)))
    order.insert(to, order.pop(index))
    first = min(index, to)
    last = max(index, to)
    parts = []
    for place in range(first, last + 1):
        block = layout.blocks[order[place]]
        parts.append(layout.text[block.start : block.end])
        if place < last:
            parts.append(layout.text[layout.blocks[place].end : layout.blocks[place + 1].start])
    edit = TextEdit(layout.blocks[first].start, layout.blocks[last].end, "".join(parts))
    return _verify_edit(layout, edit, [layout.rules[n] for n in order])


def remove_rule(layout: RuleLayout, index: int) -> TextEdit:
    """Return the edit that removes the lines of a rule."""
    _check(layout, index)
    if len(layout.blocks) == 1:
        raise CardError("This is the only rule; a policy needs at least one.")
    block = layout.blocks[index]
    text = layout.text
    ending = _LINE_END.match(text, block.end)
    start = block.start
    if ending is None:
        start -= len(_line_end_before(text, start))
    edit = TextEdit(start, block.end if ending is None else ending.end(), "")
    return _verify_edit(layout, edit, [rule for n, rule in enumerate(layout.rules) if n != index])


def add_rule(layout: RuleLayout, index: int, pairs: Sequence[tuple[str, str]]) -> TextEdit:
    """Return the edit that adds a rule with these keys and values before the rule `index`, or after the last."""
    if not layout.blocks or not 0 <= index <= len(layout.blocks):
        raise CardError("These rules are not in a list with one rule below the other; edit them as text.")
    text = layout.text
    ending = _main_line_end(text)
    lines = [f"{key}: {plain_or_quoted(value)}" for key, value in pairs]
    rule = layout.indent + "- " + f"{ending}{layout.indent}  ".join(lines)
    if index < len(layout.blocks):
        edit = TextEdit(layout.blocks[index].start, layout.blocks[index].start, rule + ending)
    else:
        edit = TextEdit(layout.blocks[-1].end, layout.blocks[-1].end, ending + rule)
    new: list[tuple[Plain, Plain]] = [(key, value) for key, value in pairs]
    wanted: list[Node | Plain] = list(layout.rules)
    return _verify_edit(layout, edit, [*wanted[:index], new, *wanted[index:]])


# ---- lines -----------------------------------------------------------------------------------------------------------

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_DASH: Final = re.compile(r"([ ]*)-(?=[ \t]|$)")
_SKIPPED: Final = re.compile(r"[ \t]*(#.*)?$")


def _find_dash(source: SourceText, rule: Node) -> tuple[int, str] | None:
    """Return the line and the indent of the `-` of a rule; None for a rule that does not begin a line."""
    for number in range(rule.line, 0, -1):
        line = source.line(number)
        match = _DASH.match(line)
        if match is not None:
            between = line[match.end() : rule.column - 1] if number == rule.line else line[match.end() :]
            is_first = not between.strip() if number == rule.line else _SKIPPED.match(between) is not None
            return (number, match[1]) if is_first else None
        if number == rule.line:
            if line[: rule.column - 1].strip():
                return None
        elif _SKIPPED.match(line) is None:
            return None
    return None


def _find_blocks(document: YamlDocument, dashes: Sequence[tuple[int, str]]) -> tuple[RuleBlock, ...]:
    source = document.source
    column = len(dashes[0][1])
    end = _line_after_rules(document)
    heads = [_first_comment(source, line, column) for line, _ in dashes]
    blocks = []
    for number, (line, _) in enumerate(dashes):
        last = (heads[number + 1] if number + 1 < len(heads) else end) - 1
        while last > line and _is_between(source.line(last), column):
            last -= 1
        start = source.index(_at(heads[number]))
        blocks.append(RuleBlock(start, source.index(_at(last)) + len(source.line(last))))
    return tuple(blocks)


def _at(line: int) -> Scalar:
    return Scalar(line, 1, "", True)


def _first_comment(source: SourceText, line: int, column: int) -> int:
    """Return the first of the comment lines directly above a line; deeper ones belong to the rule above."""
    while line > 1:
        above = source.line(line - 1)
        bare = above.lstrip(" ")
        if not bare.startswith("#") or len(above) - len(bare) > column:
            break
        line -= 1
    return line


def _is_between(line: str, column: int) -> bool:
    """Tell whether a line behind a rule is no part of it: empty, a comment that is not indented, or an end marker."""
    bare = line.lstrip(" \t")
    return not bare or (bare.startswith("#") and len(line) - len(bare) <= column) or line.startswith("...")


def _line_after_rules(document: YamlDocument) -> int:
    pair = pair_of(document.root, "rules")
    keys = [key.line for key, _ in document.root.pairs] if isinstance(document.root, Mapping) else []
    return min((line for line in keys if pair is not None and line > pair[0].line), default=document.source.lines + 1)


def _line_end_before(text: str, index: int) -> str:
    before = text[max(0, index - 2) : index]
    return "\r\n" if before == "\r\n" else before[-1:]


def _main_line_end(text: str) -> str:
    first = _LINE_END.search(text)
    return "\n" if first is None else first[0]


# ---- reading back ----------------------------------------------------------------------------------------------------


def _check(layout: RuleLayout, *indexes: int) -> None:
    if not layout.blocks:
        raise CardError("These rules are not in a list with one rule below the other; edit them as text.")
    if not all(0 <= index < len(layout.blocks) for index in indexes):
        raise CardError("This rule no longer exists.")


def _verify_edit(layout: RuleLayout, edit: TextEdit, rules: Sequence[Node | Plain]) -> TextEdit:
    """Return the edit if the file then has exactly these rules, and all else as before."""
    root = layout.document.root
    wanted = value_of(root, "rules")
    after = read_yaml(edit.apply(layout.text), layout.document.source.name).root
    plain_rules = [
        plain_node(rule) if isinstance(rule, Scalar | Mapping | Alias) else _plain_of(rule) for rule in rules
    ]
    if root is None or after is None or plain_node(after) != plain_node(root, {id(wanted): plain_rules}):
        raise CardError("The lines of this rule cannot be moved on their own; edit them as text.")
    return edit


def _plain_of(value: Node | Plain) -> Plain:
    return value if isinstance(value, str | list) else plain_node(value)


def plain_node(node: Node, instead: dict[int, Plain] | None = None) -> Plain:
    """Return a node without positions; `instead` holds what stands for some nodes, by their id()."""
    if instead is not None and id(node) in instead:
        return instead[id(node)]
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Alias):
        return f"*{node.name}"
    if isinstance(node, Mapping):
        return [(plain_node(key, instead), plain_node(value, instead)) for key, value in node.pairs]
    return [plain_node(item, instead) for item in node.items]
