"""Parses YAML text to nodes with positions. Nothing is resolved: `Yes` and `1` stay text.

Mistakes are values (`Problem`). Gate forms are read despite minor problems; a policy with any problem is rejected. This
is the only module that imports the YAML library.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from .display_text import SURROGATE


class Problem(Struct, frozen=True):
    """A mistake at a place in a text, and its fix. Line and column count from 1; `code` never changes."""

    line: int
    column: int
    code: str
    message: str
    fix: str = ""

    @property
    def sentence(self) -> str:
        """The message, followed by the fix."""
        return f"{self.message.removesuffix('.')}: {self.fix[0].lower()}{self.fix[1:]}" if self.fix else self.message


class Scalar(Struct, frozen=True):
    """A text as written in the file. `is_plain` distinguishes `true` from `"true"`."""

    line: int
    column: int
    text: str
    is_plain: bool


class Sequence(Struct, frozen=True):
    """A list, `- a` or `[a]`."""

    line: int
    column: int
    items: tuple[Node, ...]


class Mapping(Struct, frozen=True):
    """Keys with values in the order of the text. A key can be any node and can occur twice."""

    line: int
    column: int
    pairs: tuple[tuple[Node, Node], ...]


class Alias(Struct, frozen=True):
    """An alias such as `*name`; it is never resolved."""

    line: int
    column: int
    name: str


Node = Scalar | Sequence | Mapping | Alias


def problem_at(node: Node, code: str, message: str, fix: str) -> Problem:
    """Return a problem at the position of a node."""
    return Problem(node.line, node.column, code, message, fix)


class Limits(Struct, frozen=True):
    """How much of a text is read. A longer or deeper text is rejected."""

    size: int = 256 * 1024  # bytes of UTF-8
    depth: int = 32
    nodes: int = 20_000
    problems: int = 100


LIMITS = Limits()
_SHORTER = "Shorten the text, or put quotes around words that begin with !, & or *."


class ParsedYaml(Struct, frozen=True):
    """The first document of a text. `root` is None if there is none or if it could not be read to its end."""

    root: Node | None
    problems: tuple[Problem, ...] = ()


_REMEMBERED: Final = 8 * 1024  # characters


def parse_yaml(text: str, *, first_line: int = 1, limits: Limits = LIMITS) -> ParsedYaml:
    """Parse one YAML 1.2 document. `first_line` is the line of the file where the text begins.

    Short texts are remembered: the card of a repo is read with every sync, and seldom changes.
    """
    parse = _parse_short if len(text) <= _REMEMBERED else _parse
    return parse(text, first_line, limits)


def _parse(text: str, first_line: int, limits: Limits) -> ParsedYaml:
    refusal = _find_excess(text, limits)
    places = _LineIndex(text, first_line)
    if refusal is not None:
        index, code, message = refusal
        return ParsedYaml(None, (places.problem(index, code, message, _SHORTER),))
    return _YamlReader(places, limits).read_document(text)


_parse_short: Final = lru_cache(maxsize=32)(_parse)


class _LineIndex:
    """Converts indexes to lines and columns. Lines end as in YAML 1.2: LF, CR or both."""

    def __init__(self, text: str, first_line: int) -> None:
        self.starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
        self.first_line = first_line
        self.text = text

    def at(self, index: int) -> tuple[int, int]:
        row = bisect_right(self.starts, index) - 1
        return self.first_line + row, index - self.starts[row] + 1

    def line_text(self, index: int) -> str:
        row = bisect_right(self.starts, index) - 1
        end = self.starts[row + 1] if row + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[row] : end]

    def comment_before(self, index: int) -> int | None:
        """Return where a ` #`, on this line or the one above, turned the `: ` of a key into a comment."""
        row = bisect_right(self.starts, index) - 1
        for start in reversed(self.starts[max(0, row - 1) : row + 1]):
            line = self.line_text(start).rstrip()
            at = line.find(" #")
            before = line[:at].strip()
            after = line[at:]
            is_key = before and not re.search(r"^[#'\"|>]|: ", before)
            if at > 0 and is_key and (": " in after or after.endswith(":")):
                return start + at + 1
        return None

    def problem(self, index: int, code: str, message: str, fix: str = "") -> Problem:
        line, column = self.at(index)
        return Problem(line, column, code, message, fix)


class _PastLimitError(Exception):
    """A limit was exceeded, so there is no root."""


class _OpenNode:
    """A list or mapping whose end has not been read yet."""

    __slots__ = ("children", "index", "is_mapping", "keys")

    def __init__(self, index: int, *, is_mapping: bool) -> None:
        self.index = index
        self.is_mapping = is_mapping
        self.children: list[Node] = []
        self.keys: dict[str, Scalar] = {}


class _YamlReader:
    def __init__(self, places: _LineIndex, limits: Limits) -> None:
        self.lines = places
        self.limits = limits
        self.problems: list[Problem] = []
        self.count = self.documents = 0
        self.open: list[_OpenNode] = []
        self.root: Node | None = None

    def read_document(self, text: str) -> ParsedYaml:
        try:
            for event in _events(text):
                if not self._handle_event(event):
                    break
        except _PastLimitError:
            self.root = None
        except (YAMLError, *_LIBRARY_ERRORS) as error:
            self.problems.append(_describe_yaml_error(error, self.lines))
            self.root = None
        return ParsedYaml(self.root, tuple(self.problems))

    def _handle_event(self, event: Event) -> bool:
        index: int = event.start_mark.index
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._report(
                    index,
                    "yaml_second_document",
                    "Only the text before this --- is read.",
                    "Remove this line and the text below it.",
                )
                return False
        elif isinstance(event, NodeEvent):
            self._handle_node(event, index)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._add_node(self._close(self.open.pop()))
        return True

    def _handle_node(self, event: NodeEvent, index: int) -> None:
        self.count += 1
        if self.count > self.limits.nodes:
            self._abort(index, "yaml_too_many_nodes", _too_many(self.limits))
        if isinstance(event, AliasEvent):
            self._report(index, "yaml_alias", f"*{_shorten(event.anchor)} is an alias.", "Write the value out here.")
            self._add_node(Alias(*self.lines.at(index), str(event.anchor)))
            return
        if event.anchor is not None:
            self._report(
                index, "yaml_anchor", f"&{_shorten(event.anchor)} is an anchor.", "Remove it; aliases are not resolved."
            )
        if isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent)) and event.tag is not None:
            self._report(
                index, "yaml_tag", f"{_shorten(str(event.tag))} is a tag.", "Remove it; every value is read as text."
            )
        if isinstance(event, ScalarEvent):
            text = SURROGATE.sub("\ufffd", event.value)
            self._add_node(Scalar(*self.lines.at(index), text, event.style in (None, "")))
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            if len(self.open) >= self.limits.depth:
                self._abort(index, "yaml_too_deep", _too_deep(self.limits))
            self.open.append(_OpenNode(index, is_mapping=isinstance(event, MappingStartEvent)))

    def _close(self, done: _OpenNode) -> Node:
        line, column = self.lines.at(done.index)
        if not done.is_mapping:
            return Sequence(line, column, tuple(done.children))
        return Mapping(line, column, tuple(zip(done.children[::2], done.children[1::2], strict=True)))

    def _add_node(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        home = self.open[-1]
        if home.is_mapping and len(home.children) % 2 == 0 and isinstance(node, Scalar):
            self._check_key(node, home.keys)
        home.children.append(node)

    def _check_key(self, key: Scalar, seen: dict[str, Scalar]) -> None:
        if key.text == "<<" and key.is_plain:
            self._report_problem(
                problem_at(key, "yaml_merge", "`<<` does not merge mappings here.", "Write the keys out.")
            )
        first = seen.setdefault(key.text, key)
        if first is not key:
            words = f"{_shorten(key.text)} is a duplicate key (first on line {first.line})."
            self._report_problem(problem_at(key, "duplicate_key", words, "Keep one of the two."))

    def _report(self, index: int, code: str, message: str, fix: str) -> None:
        self._report_problem(self.lines.problem(index, code, message, fix))

    def _report_problem(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= self.limits.problems:
            words = f"{self.limits.problems} problems so far; the rest of the text was not read."
            fix = "Fix these first."
            self.problems.append(Problem(problem.line, problem.column, "yaml_too_many_problems", words, fix))
            raise _PastLimitError

    def _abort(self, index: int, code: str, message: str) -> None:
        self.problems.append(self.lines.problem(index, code, message, _SHORTER))
        raise _PastLimitError


# The library also raises these errors, for invalid escapes and tags.
_LIBRARY_ERRORS = (ValueError, LookupError, ArithmeticError, AttributeError, TypeError, AssertionError, RecursionError)


def _events(text: str) -> Iterator[Event]:
    yaml = YAML(typ="safe", pure=True)
    yield from yaml.parse(text)


def _shorten(text: str) -> str:
    folded = " ".join(text.split())
    return repr(folded if len(folded) <= 60 else folded[:57] + "...")


# ---- errors of the library ------------------------------------------------------------------------------------------

_SIMPLE_KEY = 1024  # YAML does not accept longer plain keys
# (pattern in the library's message, code, message, fix); the first match is used
_BROKEN: tuple[tuple[str, str, str, str], ...] = (
    (r"character '\\t'", "yaml_tab", "A tab cannot indent YAML.", "Use spaces."),
    (r"character '[@`%]'", "yaml_reserved", "Text cannot begin with this character.", "Put the whole text in quotes."),
    (
        r"mapping values are not",
        "yaml_colon",
        "`: ` turns this text into a key.",
        "Quote text that contains a colon, or fix the indentation.",
    ),
    (
        r"expected ':'|simple key",
        "yaml_key",
        "This line is not a `key: value` pair.",
        "`: ` is missing, or ` #` turned it into a comment: put the key in quotes.",
    ),
    (
        r"alphabetic or numeric",
        "yaml_star",
        "Text in YAML cannot begin with `*` or `&`.",
        "Write lists with `- `, or put the text in quotes.",
    ),
    (r"unexpected end of stream", "yaml_quote", "A quote that opens here is never closed.", "Close it, or remove it."),
    (
        r"block mapping|block collection|expected <block end>",
        "yaml_indent",
        "The indentation does not fit the lines above, or text follows a closing quote.",
        "Start keys of the same level in the same column, and close quotes at the end of the text.",
    ),
    (
        r"flow (mapping|sequence)",
        "yaml_flow",
        "A `[` or `{` that opens here is never closed.",
        "Text that begins with one needs quotes.",
    ),
)


def _describe_yaml_error(error: Exception, places: _LineIndex) -> Problem:
    if isinstance(error, ReaderError):
        char = places.text[error.position : error.position + 1]
        words = f"The character U+{ord(char or chr(0)):04X} is not allowed in YAML."
        return places.problem(error.position, "yaml_character", words, "Remove it.")
    if not isinstance(error, MarkedYAMLError):
        return places.problem(0, "yaml_broken", "This is not valid YAML.", "An escape or a tag in the text is invalid.")
    mark = error.problem_mark
    context = error.context_mark
    said = f"{error.problem or ''} {error.context or ''}"
    index: int = mark.index if mark is not None else 0
    if re.search(r"end of stream|stream end|alphabetic or numeric|simple key", said) and context is not None:
        index = context.index
    comment = places.comment_before(index)
    if comment is not None:
        words = "` #` turns the rest of this line into a comment, including its `: `."
        return places.problem(comment, "yaml_comment", words, "Put the text in quotes.")
    if "mapping values" in said and places.line_text(index).lstrip().find(": ") > _SIMPLE_KEY:
        words = f"A key over {_SIMPLE_KEY} characters must be written as `? text`, with `: type` on the next line."
        return places.problem(
            index, "yaml_long_key", words, "Shorten the label; move long terms to extra_gated_prompt."
        )
    for pattern, code, words, fix in _BROKEN:
        if re.search(pattern, said):
            return places.problem(index, code, words, fix)
    return places.problem(index, "yaml_broken", "This is not valid YAML.", "Compare this line with the one above it.")


# ---- limits that are checked before parsing --------------------------------------------------------------------------

_BLOCK_HEADER = re.compile(r"(?:^|\s)[|>][+\-0-9]{0,2}[ \t]*(?:#.*)?$")
_BRACKETS = re.compile(r"[\[\]{}]")
_COLON = re.compile(r":(?= |\t|$)")
_LONG_NAME = re.compile(r"(?:^|[\s,\[{])[!&*]\S{1000}")


def _too_many(limits: Limits) -> str:
    return f"Over {limits.nodes:,} keys, values and list items, which is the limit."


def _too_deep(limits: Limits) -> str:
    return f"Nested over {limits.depth} levels deep, which is the limit."


def _find_excess(text: str, limits: Limits) -> tuple[int, str, str] | None:
    """Return (index, code, message) if the lines alone show that a text exceeds the limits."""
    if len(text) > limits.size or len(text.encode("utf-8", "replace")) > limits.size:
        return 0, "yaml_too_large", f"Over {limits.size // 1024} KiB of YAML, which is the limit."
    nodes = index = 0
    for line in _outside_blocks(text):
        colons = len(_COLON.findall(line))
        nodes += 2 * colons + line.count(",") * (2 if "{" in line else 1) + line.count("- ") + line.count("? ")
        if nodes > limits.nodes:
            return index, "yaml_too_many_nodes", _too_many(limits)
        if line.count("[") + line.count("{") > limits.depth and _deepest_nesting(line, limits.depth) > limits.depth:
            return index, "yaml_too_deep", _too_deep(limits)
        if len(line) > 1000 and _LONG_NAME.search(line):
            return index, "yaml_broken", "A tag, an anchor or an alias has over 1,000 characters."
        index = text.find(line, index) + len(line) if line else index
    return None


def _outside_blocks(text: str) -> Iterator[str]:
    """Yield the lines outside `|` and `>` texts, which may hold any number of commas and brackets."""
    base: int | None = None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if base is not None and (indent > base or not line.strip()):
            continue
        base = None
        yield line
        if line[-1:] in "|>+-0123456789 \t" or "#" in line:
            base = indent if _BLOCK_HEADER.search(line) else None


def _deepest_nesting(line: str, enough: int) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(line):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
        if deepest > enough:
            break
    return deepest
