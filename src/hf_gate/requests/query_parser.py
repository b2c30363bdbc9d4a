"""Parses the query language for requests. A mistake is reported with its place and a suggested correction."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from hf_gate.base.ids import parse_repo
from hf_gate.core.parsing.query import KEY_VALUES, KEYS, NO_END, Age, Day, Pattern, Query, Term, Value, escape_quoted
from hf_gate.errors import InvalidQuery, QueryTooLarge, UsageError

_NAME: Final = re.compile(r'[^\s:"\\*,]*')
_TOKEN: Final = re.compile(r"\S*")
_SPAN: Final = re.compile(r"(\d{1,5})(h|d|w|mo|y)\Z")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)

_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*', re.DOTALL)
_VALUE: Final = re.compile(r"(?:\\.|[^\s\\,])*", re.DOTALL)
_WORD: Final = re.compile(r"(?:\\.|[^\s\\])*", re.DOTALL)
_PIECES: Final = re.compile(r"\\(.)|(\*)|([^\\*]+)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NOT_A_TIME: Final = {
    "age": ("an age", "the units are h, d, w, mo and y: age:>2d", ">2d"),
    "asked": ("a date", "write a date: asked:>2026-11-01; for the time since the request, age:>2d", "{sign}2026-11-01"),
    "reviewed": ("a date", "write a date: reviewed:>2026-11-01", "{sign}2026-11-01"),
    "ends": ("an end", "write ends:<30d, ends:<2027-06-30 or ends:none", "<30d"),
}
"""Keys with times: what a value is not, how to write it, and a correction."""


MAX_CHARACTERS: Final = 2_000
MAX_TERMS: Final = 64
MAX_VALUES: Final = 256  # of all terms together: SQLite rejects an OR of a thousand


def parse_query(text: str) -> Query:
    """Parse a query. Raises `InvalidQuery` with the place and a correction, and `QueryTooLarge` beyond the limits."""
    if len(text) > MAX_CHARACTERS:
        raise _too_large(
            text, MAX_CHARACTERS, f"a query has at most {MAX_CHARACTERS:,} characters, this one has {len(text):,}"
        )
    terms: list[Term] = []
    values = 0
    for term in _QueryParser(text).parse_terms():
        terms.append(term)
        values += len(term.values)
        if len(terms) > MAX_TERMS:
            raise _too_large(text, term.at, f"a query has at most {MAX_TERMS} terms")
        if values > MAX_VALUES:
            raise _too_large(text, term.at, f"a query has at most {MAX_VALUES} values")
    return Query(tuple(terms))


def _too_large(text: str, at: int, message: str) -> QueryTooLarge:
    hint = "Shorten it, or split it into two queries."
    return QueryTooLarge(f"{message}.", hint=hint, at=at, suggestion=text[:at].strip())


class _QueryParser:
    """Parses a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def parse_terms(self) -> Iterator[Term]:
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at >= len(self.text):
                return
            yield self._parse_term()

    def _parse_term(self) -> Term:
        start = self.at
        is_not = self._peek() == "-"
        self.at += is_not
        if self.at >= len(self.text) or self.text[self.at].isspace():
            raise self._error(
                start, "a minus needs a term", "write the minus directly before a term, or in quotes", '"-"'
            )
        name = _match_at(_NAME, self.text, self.at)
        end = self.at + len(name)
        key = name.lower()
        label: str | None = None
        if key == "form." and self._peek(end) == '"':
            self.at = end
            key = "form"
            label = _ESCAPED.sub(r"\1", self._match_quoted())
        elif self._peek(end) != ":":
            return self._parse_word(start, is_not=is_not)
        else:
            self.at = end
            if key.startswith("form.") and len(key) > len("form."):
                key = "form"
                label = name[len("form.") :]
        if key not in KEYS:
            raise self._unknown_key(start, end, name)
        if key == "form" and label is None:
            correction = self.text[:end] + '."Label"' + self.text[end:]
            raise self._error(
                start, "form needs the label of a question", 'write form."Label":value', correction, replaces_all=True
            )
        return self._parse_keyed_term(start, key, label, is_not=is_not)

    def _parse_word(self, start: int, *, is_not: bool) -> Term:
        pattern = self._parse_pattern(stop="")
        if pattern.parts == ("",):
            raise self._error(start, "an empty word matches everything", "remove it", "")
        return Term("", (pattern,), is_not, None, start)

    def _parse_keyed_term(self, start: int, key: str, label: str | None, *, is_not: bool) -> Term:
        if self._peek() != ":":
            correction = f"{self.text[: self.at]}:*{self.text[self.at :]}"
            hint = 'write form."Label":value'
            raise self._error(start, "a label is not followed by a colon", hint, correction, replaces_all=True)
        self.at += 1
        values = [self._parse_value(key)]
        while self._peek() == ",":
            self.at += 1
            values.append(self._parse_value(key))
        return Term(key, tuple(values), is_not, label, start)

    def _parse_value(self, key: str) -> Value:
        start = self.at
        is_quoted = self._peek() == '"'
        pattern = self._parse_pattern(stop=",")
        if not is_quoted and pattern.parts == ("",):
            raise self._error(
                start, f"{key}: has no value", f"{KEYS[key]}; {key}:* is any, -{key}:* none", "*", is_insertion=True
            )
        is_special = pattern.is_any or (pattern.is_plain and pattern.folded_parts[0] == NO_END)
        if key in _NOT_A_TIME and not (key == "ends" and is_special):
            return self._parse_time(start, "*".join(pattern.parts), key)
        if key in KEY_VALUES and pattern.is_plain and pattern.folded_parts[0] not in KEY_VALUES[key]:
            raise self._unknown_value(start, key, pattern.parts[0])
        if key == "same" and _NUMBER.match("*".join(pattern.parts)) is None:
            hint = "write the number of a request, as in same:4711"
            raise self._error(start, f"{'*'.join(pattern.parts)!r} is not the number of a request", hint, "0")
        if key == "repo" and pattern.is_plain and "/" in pattern.parts[0]:
            return self._parse_repo(start, pattern.parts[0])
        return pattern

    def _parse_time(self, start: int, text: str, key: str) -> Age | Day:
        """Parse a time from now (`<30d`) or a day (`>2027-01-01`), as far as the key has them."""
        sign, rest = _split_sign(text)
        span = _SPAN.match(rest.lower()) if key in {"age", "ends"} else None
        if span is not None and sign:
            return Age(sign, int(span[1]), span[2])
        if span is not None:
            hint = f"write {key}:>{text} or {key}:<{text}"
            raise self._error(start, f"{key}:{text} needs > or <", hint, f">{text}" if key == "age" else f"<{text}")
        day = None if key == "age" else _parse_day(rest)
        if day is None:
            noun, hint, correction = _NOT_A_TIME[key]
            raise self._error(start, f"{text!r} is not {noun}", hint, correction.format(sign=sign))
        return Day(sign, day)

    def _parse_repo(self, start: int, text: str) -> Pattern:
        try:
            return Pattern((parse_repo(text).web_path,))
        except UsageError as problem:
            hint = "write ns/name, datasets/ns/name, or a pattern: datasets/acme/eeg-*"
            raise self._error(start, problem.message.rstrip("."), hint, "*") from None

    # ---- characters --------------------------------------------------------------------------------------------------

    def _peek(self, at: int | None = None) -> str:
        place = self.at if at is None else at
        return self.text[place : place + 1]

    def _parse_pattern(self, *, stop: str) -> Pattern:
        """Parse text with stars up to a space or `stop`, or a quoted text."""
        if self._peek() == '"':
            start = self.at
            quoted = self._match_quoted()
            if (after := self._peek()) and not after.isspace() and after not in (stop or " "):
                correction = f"{self.text[: self.at]} {self.text[self.at :]}"
                raise self._error(
                    start, "text follows a closing quote", "put a space between them", correction, replaces_all=True
                )
            return Pattern(_split_at_stars(quoted))
        text = _match_at(_VALUE if stop else _WORD, self.text, self.at)
        self.at += len(text)
        self._check_backslash()
        return Pattern(_split_at_stars(text))

    def _match_quoted(self) -> str:
        """Return the text between the quotes here, with its backslashes, and move behind them."""
        start = self.at
        text = _match_at(_QUOTED, self.text, start)
        self.at += len(text)
        self._check_backslash()
        if not self._peek():
            raise self._error(start, "a quote is not closed", "close it", self.text + '"', replaces_all=True)
        self.at += 1
        return text[1:]

    def _check_backslash(self) -> None:
        if self._peek() == "\\":
            self.at += 1
            hint = "write two backslashes to search for one"
            raise self._error(self.at - 1, "a backslash is the last character", hint, "\\\\")

    # ---- errors ------------------------------------------------------------------------------------------------------

    def _unknown_key(self, start: int, end: int, name: str) -> InvalidQuery:
        near = difflib.get_close_matches(name.lower(), KEYS, 1, 0.6)
        begin = end - len(name)
        if near:
            correction = self.text[:begin] + near[0] + self.text[end:]
            return self._error(
                start, f"unknown key {name!r}", f"did you mean {near[0]}?", correction, replaces_all=True
            )
        token = _match_at(_TOKEN, self.text, begin)
        correction = f'{self.text[:begin]}"{escape_quoted(token)}"{self.text[begin + len(token) :]}'
        hint = f"keys are {', '.join(KEYS)}; to search for the text itself, put it in quotes"
        return self._error(start, f"unknown key {name!r}", hint, correction, replaces_all=True)

    def _unknown_value(self, start: int, key: str, word: str) -> InvalidQuery:
        near = difflib.get_close_matches(word.lower(), KEY_VALUES[key], 1, 0.4)
        hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(KEY_VALUES[key])}"
        return self._error(start, f"{word!r} is not a valid {key}", hint, near[0] if near else "*")

    def _error(
        self,
        at: int,
        message: str,
        hint: str,
        correction: str,
        *,
        replaces_all: bool = False,
        is_insertion: bool = False,
    ) -> InvalidQuery:
        """Return the error. `correction` replaces the text from `at` to the current position, or all of it."""
        suggestion = (
            correction if replaces_all else self.text[:at] + correction + self.text[at if is_insertion else self.at :]
        )
        return InvalidQuery(
            f"column {at + 1}: {message}.", hint=hint[0].upper() + hint[1:], at=at, suggestion=suggestion
        )


def _split_at_stars(text: str) -> tuple[str, ...]:
    """Return the texts between the stars, without backslashes. Adjacent stars count as one."""
    parts = [""]
    for escaped, star, plain in _PIECES.findall(text):
        if star:
            parts.append("")
        else:
            parts[-1] += escaped or plain
    middle = [part for part in parts[1:-1] if part]
    return (parts[0], *middle, parts[-1]) if len(parts) > 1 else (parts[0],)


def _match_at(pattern: re.Pattern[str], text: str, at: int) -> str:
    """Return the match at this place; empty without a match."""
    match = pattern.match(text, at)
    return match[0] if match else ""


def _split_sign(text: str) -> tuple[str, str]:
    sign = next((sign for sign in (">=", "<=", ">", "<") if text.startswith(sign)), "")
    return sign, text[len(sign) :]


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.match(text) and text < "9999-12-31" else None
    except ValueError:
        return None
