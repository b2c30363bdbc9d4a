"""Explains each mistake in an expression in one line, with the text to write instead."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterator

from msgspec import Struct

from ..domain.display_text import make_visible
from .expression_tokens import MIRRORED, SourceToken, TokenizedSource


class ExpressionProblem(ValueError):
    """A mistake in an expression. `offset` and `length` count code points; `fix` replaces this piece."""

    def __init__(self, code: str, message: str, offset: int = 0, length: int = 1, fix: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.length = max(length, 1)
        self.fix = fix
        self.let = self.rule = self.key = ""  # set later by the caller


# ---- syntax of other languages -------------------------------------------------------------------------------------------

_WORDS = {  # words of other languages and their CEL form
    "and": ("&&", "`and` is written `&&`"),
    "or": ("||", "`or` is written `||`"),
    "not": ("!", "`not x` is written `!x`"),
    "True": ("true", "`True` is written `true`"),
    "False": ("false", "`False` is written `false`"),
    "TRUE": ("true", "`TRUE` is written `true`"),
    "FALSE": ("false", "`FALSE` is written `false`"),
    "is": ("==", "`is` is written `==`"),
}
_SIGNS = {
    "=": ("==", "one `=` is written `==`"),
    "===": ("==", "`===` is written `==`"),
    "!==": ("!=", "`!==` is written `!=`"),
    "<>": ("!=", "`<>` is written `!=`"),
    "&": ("&&", "`&` is written `&&`"),
    "|": ("||", "`|` is written `||`"),
    "\u2260": ("!=", "`≠` is written `!=`"),
    "\u2264": ("<=", "`≤` is written `<=`"),
    "\u2265": (">=", "`≥` is written `>=`"),
    "\u00a0": (" ", "a non-breaking space is not allowed here"),
}


def find_foreign_syntax(words: TokenizedSource) -> ExpressionProblem | None:
    """Return the first mistake that can be found without types."""
    hidden = make_visible(words.source)
    if hidden != words.source:
        at = next((i for i, (a, b) in enumerate(zip(words.source, hidden, strict=False)) if a != b), 0)
        code = ord(words.source[at]) if at < len(words.source) else 0
        return ExpressionProblem("hidden-character", f"an invisible character (U+{code:04X}); remove it", at, 1, "")
    for index, token in enumerate(words.tokens):
        problem = _check_word(words, index, token) if token.kind == "name" else _check_sign(words.source, token)
        if problem is not None:
            return problem
    return None


def _check_word(words: TokenizedSource, index: int, token: SourceToken) -> ExpressionProblem | None:
    if words.is_sign(index - 1, "."):
        return None
    if token.text == "has" and words.is_sign(index + 1, "("):
        return _has_problem(words, index)
    word = token.text if token.text in _WORDS else token.text.lower() if token.text.isupper() else ""
    if word not in _WORDS or words.is_sign(index + 1, "."):
        return None
    new, message = _WORDS[word]
    length = token.end - token.start
    if new == "!":
        return _not_problem(words, index, token)
    return ExpressionProblem("foreign-word", message, token.start, length, new)


def _not_problem(words: TokenizedSource, index: int, token: SourceToken) -> ExpressionProblem:
    tokens = words.tokens
    if words.is_sign(index + 1, "in") and index > 0:  # `x not in [..]`
        left = words.span([tokens[index - 1].start])
        last = words.matching_bracket[index + 2] if index + 2 < len(tokens) else index + 1
        end = max(tokens[last].end, words.span([tokens[last].start])[0] + words.span([tokens[last].start])[1])
        inside = f"{words.text(left)} {words.source[tokens[index + 1].start : end]}"
        return ExpressionProblem(
            "foreign-word", "`x not in y` is written `!(x in y)`", left[0], end - left[0], f"!({inside})"
        )
    end = tokens[index + 1].start if index + 1 < len(tokens) else token.end
    return ExpressionProblem("foreign-word", "`not x` is written `!x`", token.start, end - token.start, "!")


def _has_problem(words: TokenizedSource, index: int) -> ExpressionProblem | None:
    """Reject `has()` on a fact: a rule that could test for unknown facts might accept because a source failed."""
    close = words.matching_bracket[index + 1]
    inside = [token.text for token in words.tokens[index + 2 : close]]
    if len(inside) == 3 and inside[:2] == ["form", "."]:
        return None
    start, end = words.tokens[index].start, words.tokens[max(close, index + 1)].end
    label = inside[2] if len(inside) == 4 and inside[0] == "form" and inside[1] == "[" else None
    if label is not None:
        return ExpressionProblem(
            "has", "`has()` takes `form.x`; use `in` for a label in quotes", start, end - start, f"{label} in form"
        )
    return ExpressionProblem(
        "has",
        "`has()` works on `form` only: a rule cannot test whether a fact is known; an unknown fact makes the rule unknown",
        start,
        end - start,
    )


_QUOTED = re.compile('[\u2018-\u201f`\xab\xbb]([^"\u2018-\u201f`\xab\xbb\\\\\n]*)["\u2018-\u201f`\xab\xbb]')
_QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f`\xab\xbb"


def _check_sign(source: str, token: SourceToken) -> ExpressionProblem | None:
    if token.kind == "sign" and token.text in _QUOTES:
        message = f'`{token.text}` is not a quotation mark here: write `"`'
        if quoted := _QUOTED.match(source, token.start):
            return ExpressionProblem("foreign-sign", message, token.start, len(quoted[0]), f'"{quoted[1]}"')
        return ExpressionProblem("foreign-sign", message, token.start, 1, '"')
    if token.kind == "sign" and token.text in _SIGNS:
        new, message = _SIGNS[token.text]
        return ExpressionProblem("foreign-sign", message, *token.span, new)
    if token.kind == "sign" and token.text in ('"', "'"):
        return ExpressionProblem("open-text", "this quotation mark is never closed", token.start, 1)
    return None


# ---- errors of the engine -----------------------------------------------------------------------------------------------

MACROS: tuple[str, ...] = ("all", "exists", "exists_one", "filter", "map", "has")
FUNCTIONS: tuple[str, ...] = (
    *MACROS,
    *("size", "contains", "endsWith", "matches", "startsWith"),
    *("bool", "double", "duration", "int", "string", "timestamp"),
    *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"),
    *("getMinutes", "getMonth", "getSeconds"),
)

_LINE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_SELECT = re.compile(r"expression of type '([^']*)' cannot be the operand of a select")
_TYPES = {
    "bool": "a boolean",
    "int": "a whole number",
    "double": "a decimal number",
    "string": "a text",
    "google.protobuf.Timestamp": "a timestamp",
    "google.protobuf.Duration": "a duration",
    "null_type": "null",
    "timestamp": "a timestamp",
    "duration": "a duration",
}


class NameSuggestions(Struct, frozen=True):
    """Suggests declared names for a wrong name."""

    declared: Collection[str]

    def suggest(self, name: str) -> str | None:
        """Return the declared name with the most similar spelling."""
        if name.rpartition(".")[2] in ("domain", "address") and f"email.{name.rpartition('.')[2]}" in self.declared:
            return f"email.{name.rpartition('.')[2]}"
        close = difflib.get_close_matches(name.lower(), list(self.declared), n=1, cutoff=0.6)
        if close:
            return close[0]
        tails = [each for each in sorted(self.declared) if each.rpartition(".")[2] == name.rpartition(".")[2].lower()]
        return tails[0] if tails else None

    def below(self, name: str) -> tuple[str, ...]:
        """Return the declared names that begin with `name.`."""
        return tuple(sorted(each for each in self.declared if each.startswith(name + ".")))


def translate_engine_error(text: str, words: TokenizedSource, names: NameSuggestions) -> ExpressionProblem:
    """Translate an error of the engine. Without a known position, the problem covers the whole expression."""
    for line, column, message in _LINE.findall(text):
        offset = _offset_of(words.source, int(line), int(column))
        return _translate_message(message, offset, words, names)
    if "recursion" in text or "depth" in text:
        return _too_deep_problem(words)
    return ExpressionProblem("cel", "this is not a valid expression", 0, len(words.source))


def _translate_message(
    message: str, offset: int | None, words: TokenizedSource, names: NameSuggestions
) -> ExpressionProblem:
    if "recursion" in message or "depth" in message or offset is None:
        return _too_deep_problem(words)
    if found := _UNDECLARED.match(message):
        return _undeclared_problem(found[1], offset, words, names)
    if found := _OVERLOAD.match(message):
        return _overload_problem(found[1], _split_types(found[2]), offset, words)
    if found := _SELECT.match(message):
        start, length = words.span([offset])
        return unknown_name_problem(words.text((start, length)), start, length, names)
    if message.startswith("reserved identifier"):
        return ExpressionProblem("syntax", f"`{message.rpartition(' ')[2]}` is a reserved word", offset, 1)
    return _syntax_problem(offset, words)


def _too_deep_problem(words: TokenizedSource) -> ExpressionProblem:
    hint = "this is nested too deeply; use `in [...]` for lists, or split it with `let`"
    return ExpressionProblem("too-deep", hint, 0, len(words.source))


def _syntax_problem(offset: int, words: TokenizedSource) -> ExpressionProblem:
    if offset >= words.tokens[-1].end:
        return ExpressionProblem("syntax", "the expression ends too early; complete it", *words.tokens[-1].span)
    token = words.tokens[words.index_at(offset)]
    what = f"unexpected `{make_visible(token.text, one_line=True)[:40]}`"
    if token.kind in ("name", "text", "number") and token.start > 0:
        what += "; is an operator (`&&`, `||`, `==`) or a comma missing before it?"
    if token.text in ("days", "day", "d", "weeks", "hours"):
        what = f"unexpected `{token.text}`: the facts `*_days` count whole days, so write the number alone"
    return ExpressionProblem("syntax", what, *token.span)


def _offset_of(source: str, line: int, column: int) -> int | None:
    if line < 1 or column < 1:
        return None
    start = 0
    for _ in range(line - 1):
        start = source.find("\n", start) + 1
    return min(start + column - 1, len(source))


# ---- names ---------------------------------------------------------------------------------------------------------------


def _undeclared_problem(name: str, offset: int, words: TokenizedSource, names: NameSuggestions) -> ExpressionProblem:
    start, length = _name_span(name, offset, words)
    if words.is_sign(words.index_at(offset), "(") and "." not in name:
        close = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
        lower = [each for each in FUNCTIONS if each.lower() == name.lower().replace("_", "")]
        fix = next(iter(lower or close), None)
        suggestion = f"; did you mean `{fix}`?" if fix else ""
        return ExpressionProblem("unknown-function", f"unknown function `{name}`{suggestion}", start, length, fix)
    return unknown_name_problem(name, start, length, names)


def unknown_name_problem(name: str, start: int, length: int, names: NameSuggestions) -> ExpressionProblem:
    """Return the problem of an unknown fact, with the most similar known one."""
    shown = make_visible(name, one_line=True)[:80]
    below = names.below(name)
    if below:
        some = ", ".join(f"`{each}`" for each in below[:4])
        return ExpressionProblem("unknown-fact", f"`{shown}` is not a fact by itself; use one of {some}", start, length)
    if name.lower() in ("yes", "no"):
        truth = "true" if name.lower() == "yes" else "false"
        return ExpressionProblem("foreign-word", f"`{name}` is written `{truth}`", start, length, truth)
    near = names.suggest(name)
    if name.startswith("tables.") and not _is_near_table(name, near):
        message = f"there is no table `{shown.split('.')[1]}`; name its file and key in hf-gate.yaml under `tables`"
        return ExpressionProblem("unknown-fact", message, start, length)
    if near is None:
        message = f"unknown fact `{shown}`; if it is a text, put it in quotes"
        return ExpressionProblem("unknown-fact", message, start, length)
    return ExpressionProblem("unknown-fact", f"unknown fact `{shown}`; did you mean `{near}`?", start, length, near)


def _is_near_table(name: str, near: str | None) -> bool:
    """Tell whether the suggestion is a table with a similar name; that both begin with `tables.` is no similarity."""
    if near is None or not near.startswith("tables."):
        return False
    return bool(difflib.get_close_matches(name.split(".")[1], [near.split(".")[1]], n=1, cutoff=0.6))


def _name_span(name: str, offset: int, words: TokenizedSource) -> tuple[int, int]:
    index = words.index_at(offset)
    if words.is_sign(index, "("):
        return words.tokens[index - 1].span
    parts = name.count(".")
    if words.is_sign(index, "."):
        first, last = max(index - 1 - 2 * (parts - 1), 0), min(index + 1, len(words.tokens) - 1)
        return words.tokens[first].start, words.tokens[last].end - words.tokens[first].start
    return words.tokens[index].span


# ---- types ---------------------------------------------------------------------------------------------------------------


def _split_types(types: str) -> list[str]:
    """Split a list of types: `map(string, string), int` contains two types."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(types):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(types[start:index].strip())
            start = index + 1
    return [*parts, types[start:].strip()]


def describe_type(name: str) -> str:
    """Describe a type in plain words."""
    low = name.lower()
    if low.startswith("list"):
        return "a list"
    if low.startswith("map"):
        return "a map"
    return _TYPES.get(name) or _TYPES.get(low) or f"a {make_visible(low, one_line=True)}"


def _overload_problem(function: str, types: list[str], offset: int, words: TokenizedSource) -> ExpressionProblem:
    index = words.index_at(offset)
    token = words.tokens[index]
    sign = function.strip("_@")
    if "null_type" in types:
        return null_problem(*token.span)
    if sign in ("&&", "||", "!", "?_:"):
        wrong = next((each for each in types if each != "bool"), types[0])
        message = f"`{token.text}` joins conditions, but this is {describe_type(wrong)}: compare it with a value first"
        return ExpressionProblem("type", message, *token.span)
    for problem in _suggest_literals(sign, types, index, words):
        return problem
    shown = " and ".join(describe_type(each) for each in types)
    what = f"`{sign}`" if not function.startswith("_[") else "`[...]`"
    return ExpressionProblem("type", f"{what} does not work with {shown}", *token.span)


def null_problem(start: int, length: int) -> ExpressionProblem:
    """Return the problem of a comparison with null."""
    return ExpressionProblem(
        "null",
        "do not compare with null: an unknown fact makes the rule unknown by itself; "
        'for an empty answer use `answers.ROLE.present`, `email.present` or `"Label" in form`',
        start,
        length,
    )


def _suggest_literals(sign: str, types: list[str], index: int, words: TokenizedSource) -> Iterator[ExpressionProblem]:
    """Yield replacements for a literal of the wrong type."""
    if len(types) != 2 or sign not in ("==", "!=", "<", "<=", ">", ">=", "in", "+", "-"):
        return
    for position, (wrong, other) in ((index + 1, (types[1], types[0])), (index - 1, (types[0], types[1]))):
        if not 0 <= position < len(words.tokens):
            continue
        token = words.tokens[position]
        fix = _repair_literal(token, wrong, other, sign if position > index else MIRRORED.get(sign, sign))
        if fix is not None:
            new, message = fix
            yield ExpressionProblem("type", message, *token.span, new)
    at = words.tokens[index].span
    if types[0] == "string" and types[1].startswith("list") and sign == "==":
        yield ExpressionProblem("type", "use `in` to look up a text in a list", *at, "in")
    if types == ["google.protobuf.Duration", "int"]:
        message = 'compare a duration with a duration, as in `duration("720h")`; the facts `*_days` are whole numbers'
        yield ExpressionProblem("type", message, *at)


def _repair_literal(token: SourceToken, wrong: str, other: str, sign: str) -> tuple[str, str] | None:
    """Return the corrected literal and a sentence that explains the correction."""
    if token.kind == "number":
        return _repair_number(token.text, wrong, other, sign)
    return _repair_text(token.text, other, sign) if token.kind == "text" else None


def _repair_number(text: str, wrong: str, other: str, sign: str) -> tuple[str, str] | None:
    if other == "string" and sign in ("==", "!="):
        return f'"{text}"', "compare a text with a text: put it in quotes"
    if (wrong, other) != ("double", "int"):
        return None
    number, message = float(text), "compare a whole number with a whole number"
    if number.is_integer():
        return str(int(number)), message
    if sign in (">", "<="):
        return str(math.floor(number)), message
    return (str(math.ceil(number)), message) if sign in ("<", ">=") else None


def _repair_text(text: str, other: str, sign: str) -> tuple[str, str] | None:
    inside = text.strip("\"'")
    fixes = {
        "int": (r"-?\d{1,15}", inside, "write a number without quotes"),
        "bool": (r"true|false", inside, f"write `{inside}` without quotes"),
        "google.protobuf.Timestamp": (
            r"\d{4}-\d\d-\d\d",
            f'timestamp("{inside}T00:00:00Z")',
            "compare a timestamp with a timestamp",
        ),
        "google.protobuf.Duration": (r".*", f"duration({text})", "compare a duration with a duration"),
    }
    if other == "string" and sign == "in":
        return f"[{text}]", f"`in` needs a list: write `in [{text}]`, or `.contains({text})` for a part of a text"
    pattern, new, message = fixes.get(other, ("(?!)", "", ""))
    return (new, message) if re.fullmatch(pattern, inside) else None
