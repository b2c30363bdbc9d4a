"""Reads YAML nodes as typed values, and collects a problem with its position for each invalid node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Map
from typing import Concatenate, ParamSpec, TypeVar

from hf_gate.base.display_text import join_words
from hf_gate.base.yaml_parser import Mapping, Node, Scalar, Sequence
from hf_gate.core.policy_model import PolicyProblem

from .literals import InvalidLiteralError
from .strict_yaml import ScalarSource, SourceText, position_of, quote_scalar, suggest

T = TypeVar("T")
P = ParamSpec("P")

ID = re.compile(r"[a-z0-9-]{1,64}\Z")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class KnownKeys(dict[str, tuple[Scalar, Node]]):
    """The known keys of a map with their values."""

    def __init__(self, reader: NodeReader) -> None:
        super().__init__()
        self.reader = reader

    def read_value(
        self,
        name: str,
        read: Callable[Concatenate[NodeReader, Node, str, P], T | None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | None:
        """Read the value of a key with a function that gets the reader, the value and the key; None
        without this key.
        """
        return read(self.reader, self[name][1], name, *args, **kwargs) if name in self else None

    def read_part(self, name: str, read: Callable[[NodeReader, Node], T], default: T) -> T:
        """Read the value of a key with a function that gets the reader and the value; the default without this key."""
        return read(self.reader, self[name][1]) if name in self else default


class NodeReader:
    """Reads the nodes of one file and collects problems. A method that reports a problem returns None."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.problems: list[PolicyProblem] = []
        self.repo_urls: list[Scalar] = []  # repos that were written as URLs

    @property
    def sorted_problems(self) -> tuple[PolicyProblem, ...]:
        """The problems in the order of the file."""
        return tuple(sorted(self.problems, key=lambda each: (each.position.line, each.position.column)))

    # ---- problems ----------------------------------------------------------------------------------------------------

    def add_problem(self, node: Node, code: str, message: str, *, fix: str | None = None, hint: str = "") -> None:
        """Add a problem with a whole node; `fix` is the new text of a scalar and is quoted as needed."""
        self.problems.append(self.source.problem_at(node, code, message, fix, hint))

    def add_yaml_fix(
        self, node: Node, code: str, message: str, fix: str, *, hint: str = "", length: int | None = None
    ) -> None:
        """Add a problem with a fix in YAML; it replaces the scalar, or `length` characters from the node on."""
        if length is None:
            length = ScalarSource(self.source, node).end - self.source.index(node) if isinstance(node, Scalar) else 0
        self.problems.append(
            PolicyProblem(code, message, self.source.name, position_of(node), hint=hint, fix=fix, length=length)
        )

    def add_missing_key(
        self, home: Mapping, after: Node, code: str, message: str, added: str, *, hint: str = ""
    ) -> None:
        """Add a problem for a missing key; the fix inserts `added` (key and value) after the scalar `after`."""
        if not isinstance(after, Scalar):
            self.problems.append(
                PolicyProblem(code, message, self.source.name, position_of(home), hint=hint or f"Add `{added}`.")
            )
            return
        start = self.source.index(after)
        end = ScalarSource(self.source, after).end
        flow = self.source.text[self.source.index(home)] == "{"
        joint = ", " if flow else "\n" + " " * (home.column - 1)
        written = self.source.text[start:end]
        self.add_yaml_fix(
            after, code, message, f"{written}{joint}{added}", hint=hint or f"Add `{added}`.", length=end - start
        )

    # ---- reading -----------------------------------------------------------------------------------------------------

    def read_keys(
        self,
        node: Node,
        what: str,
        known: Iterable[str],
        *,
        synonyms: Map[str, str] | None = None,
    ) -> KnownKeys | None:
        """Read a map with known keys; report unknown keys with a suggestion."""
        if not isinstance(node, Mapping):
            self.add_problem(node, "not_a_map", f"{what} must be written as `key: value` lines.")
            return None
        choices = tuple(known)
        keys = KnownKeys(self)
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                self.add_problem(key, "odd_key", "Write the key as a plain word.")
            elif key.text in choices:
                keys[key.text] = (key, value)
            else:
                self._add_unknown_key(
                    key, what, [choice for choice in choices if choice not in _key_texts(node)], choices, synonyms
                )
        return keys

    def _add_unknown_key(
        self, key: Scalar, what: str, free: list[str], choices: tuple[str, ...], synonyms: Map[str, str] | None
    ) -> None:
        near = suggest(key.text, free, dict(synonyms or {}))
        hint = f"Did you mean `{near}`?" if near else f"The keys are {', '.join(choices)}."
        self.add_problem(key, "unknown_key", f"{what} has no key `{key.text[:40]}`.", fix=near, hint=hint)

    def read_names(self, node: Node, what: str) -> list[tuple[Scalar, Node]]:
        """Read the pairs of a map whose keys are names: `[a-z][a-z0-9_]*`."""
        if not isinstance(node, Mapping):
            self.add_problem(node, "not_a_map", f"{what} must be written as `name: value` lines.")
            return []
        pairs: list[tuple[Scalar, Node]] = []
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                self.add_problem(key, "odd_key", "Write the name as a plain word.")
            elif not NAME.match(key.text):
                words = f"`{key.text[:40]}` is not a name: use a-z, 0-9 and _, and start with a letter."
                self.add_problem(key, "bad_name", words, fix=_suggest_name(key.text))
            else:
                pairs.append((key, value))
        return pairs

    def read_ids(self, node: Node, hint: str, what: str) -> Iterator[tuple[str, Node]]:
        """Read the pairs of a map whose keys are ids; `hint` says how to write the map."""
        if not isinstance(node, Mapping):
            self.add_problem(node, "not_a_map", hint)
            return
        for key, value in node.pairs:
            name = self.read_id(key, what) if isinstance(key, Scalar) else None
            if name is not None:
                yield name, value

    def read_text(self, node: Node, what: str) -> str | None:
        """Read a text that is not empty."""
        if not isinstance(node, Scalar):
            self._add_not_text(node, what)
            return None
        if not node.text.strip() or (node.is_plain and node.text in ("~", "null", "Null", "NULL")):
            self.add_problem(node, "empty", f"{what} is empty; write a value or remove the key.")
            return None
        self._check_comment(node, what)
        return node.text

    def _check_comment(self, node: Scalar, what: str) -> None:
        """Report a ` #` that was probably meant as text: after an open bracket or quote, or without a
        space after it.
        """
        if not node.is_plain:
            return
        end = ScalarSource(self.source, node).end
        rest = self.source.line(self.source.position(end).line)[self.source.position(end).column - 1 :].rstrip()
        if not rest.lstrip().startswith("#"):
            return
        is_open = any(node.text.count(a) != node.text.count(b) for a, b in ("()", "[]")) or node.text.count('"') % 2
        if not is_open and rest.lstrip()[1:2] in ("", " ", "#", "-"):
            return
        whole = self.source.text[self.source.index(node) : end] + rest
        fix = quote_scalar(whole)
        words = f"{what}: in YAML ` #` begins a comment. Write `{fix}`."
        self.add_yaml_fix(node, "yaml_comment", words, fix, length=len(whole))

    def _add_not_text(self, node: Node, what: str) -> None:
        """Report a list or a map in place of a text. The usual cause is a leading bracket or brace."""
        line = self.source.line(node.line)[node.column - 1 :].rstrip()
        inline = line[:1] in "[{"
        words = f"{what} must be text; in YAML a leading bracket or brace begins a list or a map."
        if inline and isinstance(node, Sequence | Mapping) and _is_closed(line):
            fix = quote_scalar(line)
            self.add_yaml_fix(node, "not_text", f"{words} Write `{fix}`.", fix, length=len(line))
        else:
            self.add_problem(node, "not_text", f"{what} must be text, not a list or a map.")

    def read_items(self, node: Node, what: str, example: str) -> list[Node]:
        """Read the items of a list that is not empty."""
        if isinstance(node, Sequence) and node.items:
            return list(node.items)
        if isinstance(node, Scalar) and node.text.strip():
            written = self.source.text[self.source.index(node) : ScalarSource(self.source, node).end]
            self.add_yaml_fix(node, "not_a_list", f"{what} must be a list: {example}.", f"[{written}]")
        else:
            fault = "has no items" if isinstance(node, Sequence) else "must be a list"
            self.add_problem(node, "not_a_list", f"{what} {fault}. Write for example: {example}.")
        return []

    def parse(self, node: Node, what: str, code: str, parse: Callable[[str], T]) -> T | None:
        """Read a text with one of the parsers of `literals`."""
        text = self.read_text(node, what)
        if text is None:
            return None
        try:
            return parse(text)
        except InvalidLiteralError as problem:
            hint = f"Did you mean `{problem.fix}`?" if problem.fix else ""
            self.add_problem(node, code, f"{what}: {problem}", fix=problem.fix, hint=hint)
            return None

    def read_choice(
        self, node: Node, what: str, choices: Iterable[str], synonyms: Map[str, str] | None = None
    ) -> str | None:
        text = self.read_text(node, what)
        known = tuple(choices)
        if text is None or text in known:
            return text
        near = suggest(text, known, dict(synonyms or {}))
        hint = f"Did you mean `{near}`?" if near else ""
        words = f"{what} must be {join_words(known, 'or')}, not `{text[:40]}`."
        self.add_problem(node, "bad_value", words, fix=near, hint=hint)
        return None

    def read_flag(self, node: Node, what: str) -> bool:
        """Read `true` or `false`."""
        text = self.read_text(node, what)
        if text is not None and text not in ("true", "false"):
            self.add_problem(node, "bad_flag", f"`{text[:40]}` is neither true nor false.", hint="Write true or false.")
        return text == "true"

    def read_number(self, node: Node, what: str, high: int) -> int | None:
        """Read a number from 1 to `high`."""
        text = self.read_text(node, what)
        if text is None:
            return None
        if re.fullmatch(r"\d{1,4}", text) and 1 <= int(text) <= high:
            return int(text)
        number = int(text) if re.fullmatch(r"-?\d{1,4}", text) else None
        fix = None if number is None else str(min(max(number, 1), high))
        self.add_problem(node, "bad_number", f"{what} must be a number from 1 to {high}, not `{text[:40]}`.", fix=fix)
        return None

    def read_id(self, node: Node, what: str) -> str | None:
        text = self.read_text(node, what)
        if text is None or ID.match(text):
            return text
        fix = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64] or None
        self.add_problem(node, "bad_id", f"{what} `{text[:40]}` is not valid: use only a-z, 0-9 and -.", fix=fix)
        return None


def _key_texts(node: Mapping) -> set[str]:
    return {key.text for key, _ in node.pairs if isinstance(key, Scalar)}


def _suggest_name(text: str) -> str | None:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name[:64] if NAME.match(name[:64]) else None


def _is_closed(line: str) -> bool:
    return line.count("[") == line.count("]") and line.count("{") == line.count("}") and " #" not in line
