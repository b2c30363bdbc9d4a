"""Explains each mistake in an expression in one line, with the text to write instead."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from hf_gate.base.display_text import make_visible


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


# ---- syntax of other languages ---------------------------------------------------------------------------------------

_WORDS: Final = {  # words of other languages and their CEL form
    "and": ("&&", "`and` is written `&&`"),
    "or": ("||", "`or` is written `||`"),
    "not": ("!", "`not x` is written `!x`"),
    "True": ("true", "`True` is written `true`"),
    "False": ("false", "`False` is written `false`"),
    "TRUE": ("true", "`TRUE` is written `true`"),
    "FALSE": ("false", "`FALSE` is written `false`"),
    "is": ("==", "`is` is written `==`"),
}
_SIGNS: Final = {
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
_QUOTED: Final = re.compile('[\u2018-\u201f`\xab\xbb]([^"\u2018-\u201f`\xab\xbb\\\\\n]*)["\u2018-\u201f`\xab\xbb]')
_QUOTES: Final = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f`\xab\xbb"


def check_foreign_word(text: str, start: int, following: int) -> None:
    """Raise the problem of a word of another language; `following` is where the next token starts."""
    word = text if text in _WORDS else text.lower() if text.isupper() else ""
    if word in _WORDS:
        new, message = _WORDS[word]
        length = following - start if new == "!" else len(text)
        raise ExpressionProblem("foreign-word", message, start, length, new)


def check_foreign_sign(source: str, text: str, start: int) -> None:
    """Raise the problem of a sign of another language, or of a quotation mark that is not closed."""
    if text in _QUOTES:
        quoted = _QUOTED.match(source, start)
        length, fix = (len(quoted[0]), f'"{quoted[1]}"') if quoted else (1, '"')
        raise ExpressionProblem("foreign-sign", f'`{text}` is not a quotation mark here: write `"`', start, length, fix)
    if text in _SIGNS:
        new, message = _SIGNS[text]
        raise ExpressionProblem("foreign-sign", message, start, len(text), new)
    if text in ('"', "'"):
        raise ExpressionProblem("open-text", "this quotation mark is never closed", start, 1)


# ---- names -----------------------------------------------------------------------------------------------------------

FUNCTIONS: Final = (
    *("all", "exists", "has", "size", "contains", "endsWith", "matches", "startsWith", "duration", "timestamp"),
)
_INSTEAD: Final = {  # what CEL has and this language has not
    "/": "multiply the other side, as in `2 * x > 10`",
    "exists_one": "use `exists`",
    "filter": "use `exists` or `all` with the condition",
    "map": "use `exists` or `all` with the condition",
    **dict.fromkeys(("int", "double", "uint"), "compare numbers with numbers, and texts with texts in quotes"),
    **dict.fromkeys(("string", "bytes"), "compare each value with one of its own type"),
    **dict.fromkeys(("bool", "dyn", "type"), "use the condition itself"),
    **dict.fromkeys(
        (
            *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"),
            *("getMilliseconds", "getMinutes", "getMonth", "getSeconds"),
        ),
        'compare with `timestamp("2027-06-30T00:00:00Z")`, or use a fact that counts days',
    ),
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


def unknown_function_problem(name: str, span: tuple[int, int]) -> ExpressionProblem:
    """Return the problem of a function that does not exist here, with what to write instead."""
    if name in _INSTEAD:
        shown = name if name == "/" else f"{name}()"
        return ExpressionProblem("not-here", f"there is no `{shown}` here: {_INSTEAD[name]}", *span)
    close = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
    lower = [each for each in FUNCTIONS if each.lower() == name.lower().replace("_", "")]
    fix = next(iter(lower or close), None)
    shown = make_visible(name, one_line=True)[:80]
    suggestion = f"; did you mean `{fix}`?" if fix else f"; the functions are {', '.join(FUNCTIONS)}"
    return ExpressionProblem("unknown-function", f"unknown function `{shown}`{suggestion}", *span, fix)


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
    head = name.partition(".")[0]
    if head == "tables" and not _is_near_name(name, near):
        message = f"there is no table `{shown.split('.')[1]}`; name its file and key in hf-gate.yaml under `tables`"
        return ExpressionProblem("unknown-fact", message, start, length)
    if near is None:
        message = f"unknown fact `{shown}`; if it is a text, put it in quotes"
        return ExpressionProblem("unknown-fact", message, start, length)
    return ExpressionProblem("unknown-fact", f"unknown fact `{shown}`; did you mean `{near}`?", start, length, near)


def _is_near_name(name: str, near: str | None) -> bool:
    """Tell whether the suggestion is a table with a similar name; the same beginning is no similarity."""
    if near is None or near.partition(".")[0] != name.partition(".")[0]:
        return False
    return bool(difflib.get_close_matches(name.split(".")[1], [near.split(".")[1]], n=1, cutoff=0.6))


# ---- types -----------------------------------------------------------------------------------------------------------

_TYPES: Final = {
    "bool": "a boolean",
    "int": "a whole number",
    "double": "a decimal number",
    "string": "a text",
    "timestamp": "a timestamp",
    "duration": "a duration",
}


def describe_type(name: str) -> str:
    """Describe a type in plain words."""
    return _TYPES.get(name) or ("a list" if name.startswith("list") else "a map")


def null_problem(span: tuple[int, int]) -> ExpressionProblem:
    """Return the problem of a comparison with null."""
    message = (
        "do not compare with null: an unknown fact makes the rule unknown by itself; "
        'for an empty answer use `answers.ROLE.present`, `email.present` or `"Label" in form`'
    )
    return ExpressionProblem("null", message, *span)


def type_problem(sign: str, types: tuple[str, ...], span: tuple[int, int]) -> ExpressionProblem:
    """Return the problem of an operator or function that cannot take values of these types."""
    if sign in ("&&", "||", "!", "?:"):
        wrong = next((each for each in types if each != "bool"), types[0])
        shown = sign.rstrip(":")
        message = f"`{shown}` joins conditions, but this is {describe_type(wrong)}: compare it with a value first"
        return ExpressionProblem("type", message, *span)
    if sign == "==" and types[0] == "string" and types[1].startswith("list"):
        return ExpressionProblem("type", "use `in` to look up a text in a list", *span, "in")
    if types == ("duration", "int"):
        message = 'compare a duration with a duration, as in `duration("720h")`; the facts `*_days` are whole numbers'
        return ExpressionProblem("type", message, *span)
    shown = " and ".join(describe_type(each) for each in types)
    what = "`[...]`" if sign == "[]" else f"`{sign}`"
    return ExpressionProblem("type", f"{what} does not work with {shown}", *span)


def repair_literal(text: str, wrong: str, other: str, sign: str) -> tuple[str, str] | None:
    """Return a corrected literal and a sentence that explains the correction; None if there is none.

    `text` is the literal as written and `wrong` its type; it is on the right side of `sign`, and `other` on the left.
    """
    if wrong in ("int", "double"):
        return _repair_number(text, wrong, other, sign)
    return _repair_text(text, other, sign) if wrong == "string" else None


def _repair_number(text: str, wrong: str, other: str, sign: str) -> tuple[str, str] | None:
    if other == "string" and sign in ("==", "!="):
        return f'"{text}"', "compare a text with a text: put it in quotes"
    if (wrong, other) != ("double", "int"):
        return None
    number = float(text.replace(" ", ""))
    message = "compare a whole number with a whole number"
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
        "timestamp": (
            r"\d{4}-\d\d-\d\d",
            f'timestamp("{inside}T00:00:00Z")',
            "compare a timestamp with a timestamp",
        ),
        "duration": (r".*", f"duration({text})", "compare a duration with a duration"),
    }
    if other == "string" and sign == "in":
        return f"[{text}]", f"`in` needs a list: write `in [{text}]`, or `.contains({text})` for a part of a text"
    pattern, new, message = fixes.get(other, ("(?!)", "", ""))
    return (new, message) if re.fullmatch(pattern, inside) else None


# ---- literals --------------------------------------------------------------------------------------------------------

_SPAN: Final = re.compile(r"(\d+)\s*(d|day|days|w|week|weeks|mo|months?|y|years?)\Z")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z")
_HOURS: Final = {"d": 24, "w": 168}


def literal_problem(function: str, literal: object, why: str, span: tuple[int, int]) -> ExpressionProblem:
    """Return the problem of a function of literals that always fails."""
    if function == "duration" and isinstance(literal, str):
        found = _SPAN.match(literal.strip())
        hours = int(found[1]) * _HOURS.get(found[2][0], 0) if found and not found[2].startswith("mo") else 0
        fix = f'duration("{hours}h")' if hours else None
        how = f"write `{fix}`, or" if fix else "the largest unit is hours, as in `720h`;"
        message = f"a duration has no days: {how} compare a fact in days, such as `person.account_days`"
        return ExpressionProblem("duration", message, *span, fix)
    if function == "timestamp" and isinstance(literal, str):
        whole = literal.strip()
        fix = f'timestamp("{whole}T00:00:00Z")' if _DATE.match(whole) else None
        how = f"write `{fix}`" if fix else 'as in `timestamp("2027-06-30T00:00:00Z")`'
        return ExpressionProblem("timestamp", f"a timestamp needs a date and a time: {how}", *span, fix)
    return ExpressionProblem("literal", f"this literal always fails: {make_visible(why, one_line=True)[:100]}", *span)
