"""Computes upper bounds for the size and the cost of a checked expression.

The bounds come from the checked tree alone, before anything runs. They assume facts of the largest size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .cel_tree import ExpressionNode, NodeKind
from .expression_problems import ExpressionProblem
from .model import FactValue
from .tokens import TokenizedSource

MAX_TEXT: Final = 8_192  # code points of a text given to the engine
MAX_LIST: Final = 1_000  # items of a list given to the engine
MAX_LETS: Final = 1 << 20  # code points of all `let` values of one request
MAX_JOINED_TEXT: Final = 65_536  # code points of a text joined with `+`
MAX_JOINED_LIST: Final = 10_000  # items of a list made by an expression
MAX_COST: Final = 1_000_000  # steps of one expression, about 100 ns each
MAX_POLICY_COST: Final = 4_000_000  # steps of all expressions of a policy, for one request
MAX_TESTS_COST: Final = 100_000_000  # steps of all tests of a policy
MAX_POLICY_UNFOLDED: Final = 20_000  # nodes of all conditions of a policy
MAX_UNFOLDED: Final = 5_000  # nodes of one expression with its `let` names expanded
_ROUNDS: Final = 10_000  # iterations after which the engine stops
_SCALAR: Final = 64  # code points of a number, moment or span as text


@dataclass(frozen=True, slots=True)
class ValueSize:
    """The size of a value: code points of its largest text, and items of lists and maps including nested ones."""

    text: int = _SCALAR
    items: int = 0


@dataclass(frozen=True, slots=True)
class ExpressionBounds:
    """The bounds of one expression. `unfolded` counts nodes with `let` names expanded and `?:` conditions twice."""

    size: ValueSize
    cost: int
    unfolded: int


def compute_bounds(
    root: ExpressionNode, words: TokenizedSource, lets: Mapping[str, ExpressionBounds]
) -> ExpressionBounds:
    """Return the bounds of an expression, given those of the `let` names. Raises ExpressionProblem beyond the limits."""
    sizes = {name: each.size for name, each in lets.items()}
    size = _SizeCalculator(words).size_of(root, sizes)
    cost = _estimate_cost(root)
    if cost > MAX_COST:
        raise ExpressionProblem(
            "too-costly",
            "this expression searches lists too often; split it or search fewer lists",
            0,
            len(words.source),
        )
    unfolded = _count_unfolded(root, lets)
    if unfolded > MAX_UNFOLDED:
        message = f"with its `let` names expanded, this has {unfolded:,} parts; at most {MAX_UNFOLDED:,} are allowed"
        raise ExpressionProblem("too-costly", message, 0, len(words.source))
    return ExpressionBounds(size, cost, unfolded)


def policy_cost(expressions: Iterable[ExpressionBounds]) -> int:
    """Return the cost of evaluating one request with all expressions of a policy."""
    return sum(each.cost for each in expressions)


def policy_cost_problem(lets: Iterable[ExpressionBounds], conditions: Iterable[ExpressionBounds], tests: int) -> str:
    """Return why a policy as a whole costs too much to evaluate; empty if it does not."""
    several = tuple(conditions)
    cost, unfolded = policy_cost((*lets, *several)), sum(each.unfolded for each in several)
    if cost > MAX_POLICY_COST:
        share = f"{cost / MAX_POLICY_COST:.1f} times"
        return f"all conditions together search lists and texts too often: {share} the limit of a policy."
    if cost * tests > MAX_TESTS_COST:
        return f"{tests} tests of conditions that search lists take too long; remove some tests."
    if unfolded > MAX_POLICY_UNFOLDED:
        parts = f"{unfolded:,} parts; at most {MAX_POLICY_UNFOLDED:,} are allowed"
        return f"with their `let` names expanded, all conditions together have {parts}."
    return ""


# ---- limits of values ---------------------------------------------------------------------------------------------------

_HALF: Final = re.compile("[\ud800-\udfff]")


def truncate_fact(value: FactValue) -> object:
    """Return a fact as passed to the engine, truncated to the limits."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): _text(each) for key, each in value.items()}
    return value if isinstance(value, bool | int | datetime) else [_text(each) for each in value[:MAX_LIST]]


def _text(value: str) -> str:
    short = value if len(value) <= MAX_TEXT else value[:MAX_TEXT]
    return short if short.isascii() else _HALF.sub("\ufffd", short)


def text_length(value: object) -> int:
    """Return the number of code points of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(text_length(key) + text_length(each) for key, each in value.items())
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def let_size_problem(value: object, left: int) -> str:
    """Return why the value of a `let` is too large to use; empty if it is not. A truncated value would be wrong."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"has {len(value):,} characters; at most {MAX_TEXT:,} are allowed"
    if isinstance(value, list | Mapping) and len(value) > MAX_LIST:
        return f"has {len(value):,} items; at most {MAX_LIST:,} are allowed"
    return "" if left >= 0 else f"is too large: all `let` values together have at most {MAX_LETS:,} characters"


# ---- sizes ---------------------------------------------------------------------------------------------------------------

_OF_TYPE: Final = {
    "string": ValueSize(MAX_TEXT),
    "list": ValueSize(MAX_TEXT, MAX_LIST),
    "map": ValueSize(MAX_TEXT, MAX_LIST),
}


def _largest(sizes: list[ValueSize]) -> ValueSize:
    return ValueSize(max((each.text for each in sizes), default=0), max((each.items for each in sizes), default=0))


class _SizeCalculator:
    def __init__(self, words: TokenizedSource) -> None:
        self._words = words

    def size_of(self, node: ExpressionNode, names: Mapping[str, ValueSize]) -> ValueSize:
        """Return the size of a node. `names` holds the sizes of `let` names and of enclosing loop variables."""
        if node.kind is NodeKind.CONST:
            return ValueSize(len(node.value) if isinstance(node.value, str | bytes) else _SCALAR)
        if node.kind is NodeKind.NAME:
            found = names.get(node.name, _OF_TYPE.get(node.type, ValueSize()))
            return ValueSize(found.text) if node.type in _WITHOUT_ITEMS else found
        if node.kind is NodeKind.LOOP:
            return self._check_size(node, self._loop(node, names))
        below = [self.size_of(child, names) for child in node.children]
        if node.kind in (NodeKind.LIST, NodeKind.MAP):
            inside = _largest(below)
            return self._check_size(node, ValueSize(inside.text, len(below) + sum(each.items for each in below)))
        return self._check_size(node, self._call(node, below))

    def _call(self, node: ExpressionNode, below: list[ValueSize]) -> ValueSize:
        if node.type in _SCALARS:
            return ValueSize()
        if node.name == "_+_":
            if node.type in ("string", "bytes"):
                return ValueSize(sum(each.text for each in below))
            return ValueSize(max(each.text for each in below), sum(each.items for each in below))
        found = _largest(below[1:] if node.name == "_?_:_" else below)
        return ValueSize(found.text) if node.type in _WITHOUT_ITEMS else found

    def _loop(self, node: ExpressionNode, names: Mapping[str, ValueSize]) -> ValueSize:
        """Return the size of a loop's result: the start value plus one iteration's size for each iteration."""
        around = self.size_of(node.children[0], names)
        start = self.size_of(node.children[1], names)
        inside = {**names, node.variable: around, node.name: start}
        one = _largest([self.size_of(child, inside) for child in node.children[2:4]])
        if node.type in _SCALARS:
            return ValueSize()
        return ValueSize(max(one.text, start.text), start.items + min(around.items, _ROUNDS) * one.items)

    def _check_size(self, node: ExpressionNode, size: ValueSize) -> ValueSize:
        what = ""
        if size.text > MAX_JOINED_TEXT:
            what = f"a text of {size.text:,} characters; at most {MAX_JOINED_TEXT:,} are allowed"
        elif size.items > MAX_JOINED_LIST:
            what = f"a list of {size.items:,} items; at most {MAX_JOINED_LIST:,} are allowed"
        if what:
            span = self._words.span([each.at for each in node.walk()])
            raise ExpressionProblem("too-large", f"the result can be {what}", *span)
        return size


_SCALARS: Final = frozenset(("bool", "int", "uint", "double", "null", "timestamp", "duration"))
_WITHOUT_ITEMS: Final = _SCALARS | {"string", "bytes"}

# ---- work ----------------------------------------------------------------------------------------------------------------

_NAMES: Final = {"list": 300, "map": 300, "string": 10}  # the engine converts a fact on each use
_CALLS: Final = {"matches": 300, "contains": 10, "@in": 100, "_==_": 2, "_!=_": 2, "size": 10}
_SCANS: Final = {"matches": 900, "contains": 700, "startsWith": 30, "endsWith": 30}  # one call over the longest text
_RUN: Final = 150  # overhead of running a program


def _estimate_cost(root: ExpressionNode) -> int:
    """Return an upper bound of the steps of one evaluation, weighted by the possible length of texts and lists."""
    return _RUN + _count_steps(root, 1)


def _count_steps(node: ExpressionNode, times: int) -> int:
    if node.kind is NodeKind.LOOP:
        around = node.children[0]
        rounds = len(around.children) if around.kind is NodeKind.LIST else MAX_LIST
        inside = min(times * max(rounds, 1), _ROUNDS)
        return _count_steps(around, times) + sum(_count_steps(child, max(inside, 2)) for child in node.children[1:])
    weight = 1
    if node.kind is NodeKind.CALL:
        weight = (_CALLS if times > 1 else _SCANS).get(node.name, 1)
        if node.name == "@in" and node.children[-1].kind is NodeKind.LIST:
            weight = 1
    elif node.kind is NodeKind.NAME and times > 1 and not node.name.startswith("@"):
        weight = _NAMES.get(node.type, 1)
    return weight * times + sum(_count_steps(child, times) for child in node.children)


def _count_unfolded(node: ExpressionNode, lets: Mapping[str, ExpressionBounds]) -> int:
    """Count the nodes with `let` names expanded: a trace holds one entry for each.

    The condition of `?:` counts twice, because it is traced for both outcomes.
    """
    if node.kind is NodeKind.NAME and node.name in lets:
        return 1 + lets[node.name].unfolded
    below = [_count_unfolded(child, lets) for child in node.children]
    twice = below[0] if node.kind is NodeKind.CALL and node.name == "_?_:_" else 0
    return 1 + twice + sum(below)
