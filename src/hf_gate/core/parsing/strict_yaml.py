"""Parses YAML strictly, keeps all positions, and suggests fixes for common mistakes.

Any problem rejects the file. Common mistakes (`when: !x`, a leading quote, ` #` or `: ` in an expression) come with
the corrected line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Map
from difflib import get_close_matches
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base import yaml_parser
from hf_gate.base.yaml_parser import Limits, Mapping, Node, Scalar, Sequence
from hf_gate.core.policy_model import PolicyProblem, SourcePosition

LIMITS = Limits(size=64 * 1024, depth=12, nodes=4_000, problems=20)
"""The limits of a file. Policies are written by hand, so a larger file is a mistake."""

_MOST_LINES = 5_000
_MAX_FIX_SIZE = 8 * 1024  # in larger files, no fix is searched for


class SourceText:
    """The text of a file with its name; converts positions to indexes and back."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def index(self, position: SourcePosition | Node) -> int:
        return self._starts[min(position.line, len(self._starts)) - 1] + position.column - 1

    def position(self, index: int) -> SourcePosition:
        row = bisect_right(self._starts, index) - 1
        return SourcePosition(row + 1, index - self._starts[row] + 1)

    def line(self, number: int) -> str:
        """Return a line by its number, without its line end; empty if there is none."""
        if not 0 < number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    @property
    def lines(self) -> int:
        return len(self._starts)

    def problem_at(
        self, node: Node, code: str, message: str, fix: str | None = None, hint: str = "", *, is_error: bool = True
    ) -> PolicyProblem:
        """Return a problem with a whole node; `fix` is the new text of a scalar and is quoted as needed."""
        if isinstance(node, Scalar):
            return ScalarSource(self, node).problem(code, message, fix=fix, hint=hint, is_error=is_error)
        return PolicyProblem(code, message, self.name, position_of(node), is_error, hint)


def position_of(node: Node) -> SourcePosition:
    return SourcePosition(node.line, node.column)


def apply_fix(text: str, problem: PolicyProblem) -> str | None:
    """Return the file with the fix of a problem applied; None if the problem has no fix."""
    if problem.fix is None:
        return None
    start = SourceText(text, problem.source).index(problem.position)
    return text[:start] + problem.fix + text[start + problem.length :]


def suggest(word: str, choices: Iterable[str], other_words: dict[str, str] | None = None) -> str | None:
    """Return the choice that was probably meant, by synonym or by similar spelling."""
    known = list(choices)
    folded = word.strip().lower().replace(" ", "_")
    for spelt in (folded, folded.replace("_", "-"), folded.replace("-", "_")):
        if spelt in known and spelt != word:
            return spelt
    synonym = (other_words or {}).get(folded.replace("-", "_"))
    if synonym in known:
        return synonym
    near = get_close_matches(folded[:64], known, n=1, cutoff=0.6)
    return near[0] if near else None


def quote_scalar(text: str) -> str:
    """Return a text as a quoted YAML scalar on one line."""
    if any(char < " " or char in "\x7f\x85\u2028\u2029\ufeff" for char in text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return '"' + re.sub("[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def plain_or_quoted(text: str) -> str:
    """Return a text as a YAML scalar, without quotes if it reads back as the same text."""
    bare = bool(re.match(r"[^\W_]|[(.\-]\S", text)) and not re.search(r"[\x00-\x1f]|: | #|:$|\s$", text)
    return text if bare and _reads_back(text) else quote_scalar(text)


@lru_cache(maxsize=1024)  # checks of a policy propose the same few words each time it is read
def _reads_back(text: str) -> bool:
    read = yaml_parser.parse_yaml(f"k: {text}\n")
    root = read.root
    if read.problems or not isinstance(root, Mapping) or len(root.pairs) != 1:
        return False
    value = root.pairs[0][1]
    return isinstance(value, Scalar) and value.text == text


# ---- reading ---------------------------------------------------------------------------------------------------------


class YamlDocument(Struct, frozen=True):
    """A parsed YAML file. `root` is None if the file is empty or has problems."""

    source: SourceText
    root: Node | None
    problems: tuple[PolicyProblem, ...] = ()


def read_yaml(text: str, name: str) -> YamlDocument:
    """Parse one YAML document strictly. Any problem rejects the document; the first problem has a fix if possible."""
    source = SourceText(text, name)
    if text.startswith("\ufeff"):
        words = "The file begins with a byte order mark (BOM); save it as UTF-8 without BOM."
        return YamlDocument(source, None, (PolicyProblem("yaml_bom", words, name, fix="", length=1),))
    if text.count("\n") > _MOST_LINES:
        words = f"The file has more than {_MOST_LINES:,} lines. Move long lists into a table file."
        return YamlDocument(source, None, (PolicyProblem("yaml_too_large", words, name),))
    parsed = yaml_parser.parse_yaml(text, limits=LIMITS)
    found = tuple(PolicyProblem(p.code, p.sentence, name, SourcePosition(p.line, p.column)) for p in parsed.problems)
    if not found:
        return YamlDocument(source, parsed.root)
    has_fix = len(text) <= _MAX_FIX_SIZE and parsed.problems[0].code != "yaml_tab"
    fix = _suggest_fix(source, parsed.problems[0]) if has_fix else None
    if fix is None:
        return YamlDocument(source, None, found)
    first = replace(fix, code=found[0].code, message=_problem_message(found[0], fix), hint="")
    return YamlDocument(source, None, (first, *found[1:]))


def _problem_message(problem: PolicyProblem, fix: PolicyProblem) -> str:
    reason = _WHY.get(problem.code)
    return f"{reason or problem.message} Write {fix.hint}" if fix.hint else problem.message


_WHY = {
    "yaml_tag": "In YAML a leading `!` is a tag.",
    "yaml_alias": "In YAML a leading `*` is an alias.",
    "yaml_anchor": "In YAML a leading `&` is an anchor.",
    "yaml_star": "In YAML a leading `*` or `&` is an alias or an anchor.",
    "yaml_reserved": "In YAML a text cannot begin with this character.",
    "yaml_colon": "In YAML `: ` ends a key.",
    "yaml_comment": "In YAML ` #` begins a comment.",
    "yaml_indent": "In YAML a value in quotes or brackets ends with them, but text follows.",
    "yaml_quote": "In YAML a leading quote must enclose the whole value.",
    "yaml_flow": "In YAML a leading bracket or brace begins a list or a map.",
    "yaml_key": "In YAML this begins a key.",
    "yaml_broken": "YAML cannot parse this line.",
}

_VALUE = re.compile(r"(?P<lead>\s*(?:- +)*(?:[A-Za-z_][\w-]*:[ \t]+|- +))(?P<value>\S.*?)\s*$")


_PLACEHOLDER_TEXT = re.compile(
    r"[^\s'\",\[\]{}]+(?:\{\w+\}[^\s'\",\[\]{}]*)+"
)  # `https://host/{user_id}` in a map in braces
_ANCHOR = re.compile(r"&[A-Za-z][\w-]* +(?=[\w\[{\"'])")


def _suggest_fix(source: SourceText, problem: yaml_parser.Problem) -> PolicyProblem | None:
    """Return a fix: the first line near the problem whose value, put in quotes, solves it."""
    if problem.code == "yaml_character":
        return PolicyProblem(
            problem.code, "", source.name, SourcePosition(problem.line, problem.column), fix="", length=1
        )
    if problem.code == "yaml_anchor" and (anchor := _ANCHOR.match(source.line(problem.line), problem.column - 1)):
        position = SourcePosition(problem.line, problem.column)
        return PolicyProblem(problem.code, "", source.name, position, fix="", length=len(anchor[0]))
    for number in (problem.line, problem.line - 1, problem.line - 2):
        match = _VALUE.match(source.line(number))
        if match is None or match["value"][0] in "|>":
            continue
        value = match["value"]
        column = match.start("value") + 1
        whole = [value] if problem.code == "yaml_comment" else [_strip_comment(value), value]
        tries = [(text, quote_scalar(_unescape(text))) for text in dict.fromkeys(whole)]
        if problem.code == "yaml_quote" and value.count(value[0]) == 1:
            tries.insert(0, (value + value[0], value + value[0]))
        if problem.code == "yaml_flow":
            tries.insert(0, (value, _PLACEHOLDER_TEXT.sub(r"'\g<0>'", value)))
            tries.insert(0, (value, f"{value}{'}' if value[0] == '{' else ']'}"))
        for text, fix in tries:
            hint = f"`{match['lead'].strip()} {fix}`."
            position = SourcePosition(number, column)
            length = min(len(text), len(value))
            offer = PolicyProblem(
                problem.code, problem.message, source.name, position, hint=hint, fix=fix, length=length
            )
            if _is_improvement(source, problem, offer):
                return offer
    return None


def escape_scalar(text: str, style: str) -> str:
    """Return a text as it is written in a scalar of this style."""
    if style == "'":
        return text.replace("'", "''")
    return text.replace("\\", "\\\\").replace('"', '\\"') if style == '"' else text


def _unescape(text: str) -> str:
    return text.replace('\\"', '"') if text.startswith('"') and '\\"' in text else text


def _strip_comment(value: str) -> str:
    """Return a value without the comment after it; a comment only starts outside quotes."""
    for match in re.finditer(r"\s+#", value):
        before = value[: match.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return before
    return value


def _is_improvement(source: SourceText, problem: yaml_parser.Problem, offer: PolicyProblem) -> bool:
    after = yaml_parser.parse_yaml(apply_fix(source.text, offer) or "", limits=LIMITS).problems
    return not after or after[0].line > problem.line


# ---- positions in a scalar ------------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|\r?\n[ \t]*|.)", re.DOTALL)


class ScalarSource:
    """Maps the characters of a scalar to indexes in its file, and makes problems and fixes for pieces of the scalar."""

    def __init__(self, source: SourceText, node: Scalar) -> None:
        self.source = source
        self.node = node
        self.start = source.index(node)
        first = source.text[self.start : self.start + 1]
        self.style = "plain" if node.is_plain else first if first in "'\"" else "block"
        self._letters, self.end = self._align()

    def index(self, offset: int) -> int:
        """Return the index in the file of a character of the text.

        For the length of the text, return the index of its end.
        """
        if offset < len(self._letters):
            return self._letters[offset]
        return self._letters[-1] + 1 if self._letters else self.start

    def problem(
        self,
        code: str,
        message: str,
        offset: int = 0,
        length: int | None = None,
        fix: str | None = None,
        hint: str = "",
        *,
        is_error: bool = True,
    ) -> PolicyProblem:
        """Return a problem with a piece of the text (all of it if `length` is None); `fix` is the new unquoted text."""
        whole = length is None
        start = self.start if whole else self.index(offset)
        end = self.end if whole else max(self.index(offset + (length or 0)), start + 1)
        if fix is not None:
            text = self.node.text
            new = fix if whole else text[:offset] + fix + text[offset + (length or 0) :]
            written = None if whole or "\n" in fix else escape_scalar(fix, self.style)
            if written is None or (self.style == "plain" and plain_or_quoted(new) != new):
                start = self.start
                end = self.end
                written = self._quote_whole(new)
            fix = written
        position = self.source.position(start)
        return PolicyProblem(code, message, self.source.name, position, is_error, hint, fix, max(1, end - start))

    def _quote_whole(self, text: str) -> str:
        return (
            plain_or_quoted(text)
            if self.style == "plain"
            else quote_scalar(text) + ("\n" if self.style == "block" else "")
        )

    def _align(self) -> tuple[list[int], int]:
        raw = self.source.text
        at = self.start
        text = self.node.text
        indent = 0
        if self.style == "block":
            at = raw.find("\n", at) + 1 or len(raw)
            indent = _indent_at(raw, at)
            at += indent
        elif self.style != "plain":
            at += 1
        letters: list[int] = []
        for char in text:
            at = self._skip_invisible(raw, at)
            letters.append(min(at, len(raw)))
            at = self._index_after(raw, at, char, indent)
        closing = 1 if self.style in "'\"" else 0
        return letters, min(at + closing, len(raw))

    def _skip_invisible(self, raw: str, at: int) -> int:
        """Skip source without a character in the text: folded white space and escaped line ends."""
        if self.style == "block":
            return at
        while self.style == '"' and (match := _ESCAPE.match(raw, at)) and match[1].strip() == "":
            at = match.end() if "\n" in match[1] else at
            if "\n" not in match[1]:
                break
        return at

    def _index_after(self, raw: str, at: int, char: str, indent: int) -> int:
        if self.style == '"' and (match := _ESCAPE.match(raw, at)):
            return match.end()
        if self.style == "'" and char == "'":
            return at + 2
        if char in " \n" and re.match(r"[ \t]*\r?\n", raw[at : at + 200]):
            return self._index_after_break(raw, at, indent)
        return at + 1

    def _index_after_break(self, raw: str, at: int, indent: int) -> int:
        if self.style != "block":
            found = re.compile(r"\s*").match(raw, at)
            return found.end() if found else at + 1
        end = raw.find("\n", at) + 1 or len(raw)
        return min(end + min(indent, _indent_at(raw, end)), len(raw))


def _indent_at(raw: str, at: int) -> int:
    match = re.compile(r" *").match(raw, at)
    return match.end() - at if match else 0


# ---- parts of a policy file ------------------------------------------------------------------------------------------


def value_of(node: Node | None, name: str) -> Node | None:
    """Return the value of a key in a map."""
    pair = pair_of(node, name)
    return pair[1] if pair else None


def pair_of(node: Node | None, name: str) -> tuple[Scalar, Node] | None:
    """Return a key in a map with its value."""
    return next(((key, value) for key, value in pairs_of(node) if key.text == name), None)


def pairs_of(node: Node | None) -> Iterator[tuple[Scalar, Node]]:
    """Yield the pairs of a map; nothing for other nodes."""
    if isinstance(node, Mapping):
        yield from ((key, value) for key, value in node.pairs if isinstance(key, Scalar))


def items_of(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list; nothing for other nodes."""
    return node.items if isinstance(node, Sequence) else ()


def nodes_of_rules(read: YamlDocument) -> Map[str, Node]:
    """Return the nodes of the rules by id."""
    found: dict[str, Node] = {}
    for rule in items_of(value_of(read.root, "rules")):
        name = value_of(rule, "id")
        if isinstance(name, Scalar):
            found.setdefault(name.text, rule)
    return found


def nodes_of_lets(read: YamlDocument) -> Map[str, Scalar]:
    """Return the nodes of the `let` expressions by name."""
    return {key.text: value for key, value in pairs_of(value_of(read.root, "let")) if isinstance(value, Scalar)}


def nodes_of_tests(read: YamlDocument) -> tuple[Node, ...]:
    """Return the nodes of the tests in order."""
    return items_of(value_of(read.root, "tests"))
