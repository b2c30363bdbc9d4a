"""Parses an expression that tests one fact: `person.account_days > 30`, `"acme" in person.orgs`, `form["Job"] == "PI"`.

The parser works on the text of an expression, so it can parse the expressions of stored plans. It gives no result
unless the expression certainly has such a form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from .expression_tokens import MIRRORED, TEXT_METHODS, SourceToken, is_wrapped, negated_tokens, tokenize
from .fact_table import CelType, find_declaration

Literal: TypeAlias = "bool | int | str | datetime"

IS_TRUE: Final = "is"
"""The operator of a bare true-or-false fact, without values."""

INCLUDES: Final = "includes"
"""The operator for a list that contains at least one of the values, and for a form that has the label `values[0]`."""

MAX_TEXT: Final = 4096  # the most characters of an expression
OPPOSITES: Mapping[str, str] = MappingProxyType(
    {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
)
_MAPS: Final = re.compile(r"(form|tables\.[^.]+\.row)\.([A-Za-z_]\w*)\Z")


class FactCondition(Struct, frozen=True):
    """A test of one fact: `fact op values`, or its opposite if `is_negated`.

    `key` is a form label or a table column. `has_size` compares the length of a text or list. `op` is a comparison,
    `in`, a method (`contains`, ...), IS_TRUE or INCLUDES.
    """

    fact: str
    op: str
    values: tuple[Literal, ...] = ()
    key: str | None = None
    has_size: bool = False
    is_negated: bool = False

    @property
    def type(self) -> CelType:
        """The type of the compared value."""
        declaration = find_declaration(self.fact)
        if self.has_size or declaration is None:
            return CelType.INT
        return CelType.STRING if self.key is not None else declaration.type


@lru_cache(maxsize=4096)
def parse_fact_condition(expr: str) -> FactCondition | None:
    """Parse an expression that tests one fact; None for any other expression."""
    if len(expr) > MAX_TEXT:
        return None
    try:
        return _parse_whole(tokenize(expr).tokens)
    except _NoFactConditionError:
        return None


class _NoFactConditionError(Exception):
    """The tokens are not a test of one fact."""


class _Subject(Struct, frozen=True):
    """A fact, one text of a map fact, or the size of either."""

    fact: str
    key: str | None = None
    has_size: bool = False

    def test(self, op: str, *values: Literal) -> FactCondition:
        return FactCondition(self.fact, op, values, self.key, self.has_size)

    @property
    def type(self) -> CelType:
        return self.test(IS_TRUE).type


_Operand: TypeAlias = "_Subject | FactCondition | Literal | tuple[Literal, ...]"


def _parse_whole(tokens: Sequence[SourceToken]) -> FactCondition:
    if is_wrapped(tokens):
        return _parse_whole(tokens[1:-1])
    if (inner := negated_tokens(tokens)) is not None:
        found = _parse_whole(inner)
        return replace(found, is_negated=not found.is_negated)
    reader = _TokenReader(tokens)
    left = reader.read_operand()
    if reader.is_at_end():
        return _as_condition(left)
    op = reader.take()
    right = reader.read_operand()
    if not reader.is_at_end():
        raise _NoFactConditionError
    return _combine(left, op.text if op.kind in ("sign", "name") else "", right)


def _as_condition(operand: _Operand) -> FactCondition:
    if isinstance(operand, FactCondition):
        return operand
    if isinstance(operand, _Subject) and operand.type is CelType.BOOL:
        return operand.test(IS_TRUE)
    raise _NoFactConditionError


def _combine(left: _Operand, op: str, right: _Operand) -> FactCondition:
    if op in MIRRORED and isinstance(right, _Subject):
        left, right, op = right, left, MIRRORED[op]
    if op == "in" and isinstance(right, _Subject):
        return _make_membership_test(left, right)
    if not isinstance(left, _Subject):
        raise _NoFactConditionError
    if op == "in" and isinstance(right, tuple) and right:
        values = right
    elif op in MIRRORED and not isinstance(right, _Subject | FactCondition | tuple):
        values = (right,)
    else:
        raise _NoFactConditionError
    return _make_comparison(left, op, values)


def _make_comparison(subject: _Subject, op: str, values: tuple[Literal, ...]) -> FactCondition:
    """Build a comparison. Raises _NoFactConditionError if the engine cannot compare these types."""
    expected = _PYTHON_TYPES.get(subject.type)
    if expected is None or not all(type(value) is expected for value in values):
        raise _NoFactConditionError
    if subject.type is CelType.BOOL:
        if len(values) != 1 or op not in ("==", "!="):
            raise _NoFactConditionError
        return replace(subject.test(IS_TRUE), is_negated=(op == "==") is not values[0])
    if op not in ("==", "!=", "in") and subject.type is CelType.STRING:
        raise _NoFactConditionError
    return subject.test(op, *values)


_PYTHON_TYPES: Final[Mapping[CelType, type]] = MappingProxyType(
    {CelType.BOOL: bool, CelType.INT: int, CelType.STRING: str, CelType.TIMESTAMP: datetime}
)


def _make_membership_test(item: _Operand, whole: _Subject) -> FactCondition:
    """Build the test for `"acme" in person.orgs` or `"Label" in form`."""
    if not isinstance(item, str) or whole.type not in (CelType.LIST, CelType.MAP):
        raise _NoFactConditionError
    return whole.test(INCLUDES, item)


class _TokenReader:
    """Reads operands from tokens."""

    def __init__(self, tokens: Sequence[SourceToken]) -> None:
        self._tokens, self._at = tokens, 0

    def is_at_end(self) -> bool:
        return self._at == len(self._tokens)

    def take(self, *texts: str) -> SourceToken:
        """Return the next token, which must be one of `texts` if any are given."""
        if self.is_at_end() or (texts and (self._next.kind == "text" or self._next.text not in texts)):
            raise _NoFactConditionError
        self._at += 1
        return self._tokens[self._at - 1]

    @property
    def _next(self) -> SourceToken:
        return self._tokens[self._at]

    def _has(self, text: str) -> bool:
        return not self.is_at_end() and self._next.kind != "text" and self._next.text == text

    def read_operand(self) -> _Operand:
        if self._has("("):
            self.take("(")
            inside = self.read_operand()
            self.take(")")
            return inside
        if self._has("["):
            values = self._read_list()
            return self._read_exists_in(values) if self._has(".") else values
        if self._has("size"):
            self.take("size")
            return self._between("(", self._read_subject, ")", size=True)
        literal = self._read_literal()
        return self._read_fact() if literal is None else literal

    def _between(self, first: str, read: Callable[[], _Subject], last: str, *, size: bool) -> _Subject:
        self.take(first)
        found = read()
        self.take(last)
        return self._size_of(found) if size else found

    @staticmethod
    def _size_of(subject: _Subject) -> _Subject:
        if subject.type not in (CelType.STRING, CelType.LIST):
            raise _NoFactConditionError
        return replace(subject, has_size=True)

    def _read_list(self) -> tuple[Literal, ...]:
        self.take("[")
        found: list[Literal] = []
        while not self._has("]"):
            found.append(self._read_required_literal())
            if not self._has("]"):
                self.take(",")
        self.take("]")
        return tuple(found)

    def _read_literal(self) -> Literal | None:
        """Read a literal; None if the next token does not start one."""
        if self.is_at_end():
            raise _NoFactConditionError
        token = self._next
        if token.kind == "text":
            return _text_value(self.take().text)
        if token.kind == "number":
            return _number_value(self.take().text)
        if token.text == "-":
            self.take()
            return -_number_value(self.take().text)
        if token.text in ("true", "false"):
            return self.take().text == "true"
        if token.text == "timestamp":
            self.take()
            self.take("(")
            moment = _moment_value(_text_value(self.take().text))
            self.take(")")
            return moment
        return None

    def _read_required_literal(self) -> Literal:
        value = self._read_literal()
        if value is None:
            raise _NoFactConditionError
        return value

    def _read_subject(self) -> _Subject:
        found = self._read_fact()
        if not isinstance(found, _Subject):
            raise _NoFactConditionError
        return found

    def _read_fact(self) -> _Subject | FactCondition:
        """Read a fact with an optional key, size or method."""
        subject = _subject_of(self._read_path())
        if self._has("["):
            self.take("[")
            key = self._read_required_literal()
            self.take("]")
            if subject.key is not None or subject.type is not CelType.MAP or not isinstance(key, str):
                raise _NoFactConditionError
            subject = replace(subject, key=key)
        return self._read_method(subject) if self._has(".") else subject

    def _read_path(self) -> str:
        """Read `a.b.c`, without a method at the end."""
        parts = [self._take_name()]
        while self._has(".") and not self._is_method_next():
            self.take(".")
            parts.append(self._take_name())
        return ".".join(parts)

    def _take_name(self) -> str:
        token = self.take()
        if token.kind != "name":
            raise _NoFactConditionError
        return token.text

    def _is_method_next(self) -> bool:
        after = self._tokens[self._at + 2 : self._at + 3]
        return bool(after) and after[0].kind == "sign" and after[0].text == "("

    def _read_method(self, subject: _Subject) -> _Subject | FactCondition:
        self.take(".")
        name = self._take_name()
        if name == "size":
            self.take("(")
            self.take(")")
            return self._size_of(subject)
        if name == "exists" and subject.type is CelType.LIST:
            return self._read_exists(subject)
        self.take("(")
        value = self._read_literal()
        self.take(")")
        if name not in TEXT_METHODS or subject.type is not CelType.STRING or not isinstance(value, str):
            raise _NoFactConditionError
        return subject.test(name, value)

    def _read_exists(self, subject: _Subject) -> FactCondition:
        """Read the rest of `person.orgs.exists(o, o in ["a", "b"])` or `person.orgs.exists(o, o == "a")`."""
        self.take("(")
        variable = self._take_name()
        self.take(",")
        self.take(variable)
        op = self.take("in", "==").text
        values = self._read_list() if op == "in" else (self._read_required_literal(),)
        self.take(")")
        return self._includes(subject, values)

    def _read_exists_in(self, values: tuple[Literal, ...]) -> FactCondition:
        """Read the rest of `["a", "b"].exists(o, o in person.orgs)`."""
        self.take(".")
        self.take("exists")
        self.take("(")
        variable = self._take_name()
        self.take(",")
        self.take(variable)
        self.take("in")
        subject = self._read_subject()
        self.take(")")
        return self._includes(subject, values)

    @staticmethod
    def _includes(subject: _Subject, values: tuple[Literal, ...]) -> FactCondition:
        if subject.type is not CelType.LIST or not values or not all(isinstance(value, str) for value in values):
            raise _NoFactConditionError
        return subject.test(INCLUDES, *values)


def _subject_of(path: str) -> _Subject:
    if find_declaration(path) is not None:
        return _Subject(path)
    selected = _MAPS.match(path)
    if selected is None:
        raise _NoFactConditionError
    return _Subject(selected[1], selected[2])


_ESCAPE: Final = re.compile(r"""\\(["'\\])|\\""")


def _text_value(source: str) -> str:
    """Return the value of a text literal. Only escaped quotes and backslashes are supported."""
    is_raw = source[:1] in ("r", "R")
    quoted = source[1:] if is_raw else source
    if quoted[:1] not in ("'", '"') or quoted[:3] in ("'''", '"""'):
        raise _NoFactConditionError
    inside = quoted[1:-1]
    if is_raw:
        return inside
    if any(match[1] is None for match in _ESCAPE.finditer(inside)):
        raise _NoFactConditionError
    return _ESCAPE.sub(r"\1", inside)


def _number_value(source: str) -> int:
    if not source.isdecimal() or not source.isascii() or len(source) > 18:
        raise _NoFactConditionError
    return int(source)


def _moment_value(source: str) -> datetime:
    try:
        moment = datetime.fromisoformat(source)
    except ValueError:
        raise _NoFactConditionError from None
    if moment.tzinfo is None:
        raise _NoFactConditionError
    return moment.astimezone(UTC)
