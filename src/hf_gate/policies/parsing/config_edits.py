"""Adds a table to the text of an hf-gate.yaml; every other byte of the file stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from hf_gate.base.yaml_parser import Alias, Mapping, Node, Scalar
from hf_gate.core.parsing.strict_yaml import SourceText, pairs_of, read_yaml, value_of
from hf_gate.errors import UsageError

Plain: TypeAlias = "str | list[Plain] | list[tuple[Plain, Plain]]"


class TextEdit(Struct, frozen=True):
    """A piece of a text and what replaces it. `start` and `end` are indexes of characters."""

    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def describe_table(name: str, file: str, key: Sequence[str]) -> str:
    """Return the entry of a table, as it is written under `tables`."""
    return f"{name}: {{file: {file}, key: [{', '.join(key)}]}}"


def add_table(text: str, source: str, name: str, entry: str) -> str:
    """Return the text with the entry of a table that it does not have yet.

    The result is read back. Raises UsageError if it says anything else than before and this entry.
    """
    document = read_yaml(text, source)
    edit = _find_place(document.source, document.root, entry)
    new = text if edit is None else edit.apply(text)
    after = read_yaml(new, source)
    wanted = _describe_root(read_yaml(f"tables: {{{entry}}}", source).root)["tables"]
    found = _describe_root(after.root)
    had = _describe_root(document.root)
    tables = found.pop("tables", None)
    known = had.pop("tables", {})
    if after.problems or name in known or tables != {**known, **wanted} or found != had:
        raise UsageError(f"{source} cannot be changed here.", hint=f"Add this line under `tables`: {entry}")
    return new


def _find_place(source: SourceText, root: Node | None, entry: str) -> TextEdit | None:
    """Return the edit that adds the entry: to the tables that there are, or behind the last line."""
    text = source.text
    ending = "\r\n" if "\r\n" in text else "\n"
    tables = value_of(root, "tables")
    if tables is None:
        gap = "" if text.endswith(("\n", "\r")) else ending
        return TextEdit(len(text), len(text), f"{gap}tables:{ending}  {entry}{ending}")
    if not isinstance(tables, Mapping) or not tables.pairs:
        return None
    start = source.index(tables)
    if text[start] == "{":
        return TextEdit(start + 1, start + 1, f"{entry}, ")
    first = source.index(tables.pairs[0][0])
    return TextEdit(first, first, f"{entry}{ending}{' ' * (tables.column - 1)}")


def _describe_root(root: Node | None) -> dict[str, dict[str, Plain]]:
    """Return the values of each key by their own keys; what is no map is one value without a key."""
    found: dict[str, dict[str, Plain]] = {}
    for key, value in pairs_of(root):
        pairs = [(name.text, _plain_node(item)) for name, item in pairs_of(value)]
        found[key.text] = dict(pairs) if pairs else {"": _plain_node(value)}
    return found


def _plain_node(node: Node) -> Plain:
    """Return a node without positions."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Alias):
        return f"*{node.name}"
    if isinstance(node, Mapping):
        return [(_plain_node(key), _plain_node(value)) for key, value in node.pairs]
    return [_plain_node(item) for item in node.items]
