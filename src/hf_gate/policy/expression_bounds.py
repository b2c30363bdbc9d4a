"""Computes upper bounds of the size and the cost of a checked expression.

The bounds come only from the checked tree, before anything runs. They assume facts of the largest size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec import Struct

from .cel_tree import ExpressionNode, NodeKind
from .expression_problems import ExpressionProblem
from .expression_tokens import TokenizedSource
from .model import FactValue

MAX_TEXT: Final = 8_192  # code points of a text given to the engine
MAX_LIST: Final = 1_000  # items of a list given to the engine
MAX_ITEM: Final = 512  # code points of a text in a list given to the engine: the name of an organisation
MAX_MAP: Final = 200  # entries of a map given to the engine: the questions of a form, the columns of a table
MAX_LETS: Final = 1 << 20  # code points of all `let` values of one request
MAX_JOINED_TEXT: Final = 65_536  # code points of a text joined with `+`
MAX_JOINED_LIST: Final = 10_000  # items of a list made by an expression
MAX_COST: Final = 1_000_000  # steps of one expression, about 100 ns each
MAX_POLICY_COST: Final = 4_000_000  # steps of all expressions of a policy, for one request
MAX_TESTS_COST: Final = 100_000_000  # steps of all tests of a policy
MAX_POLICY_UNFOLDED: Final = 20_000  # nodes of all conditions of a policy
MAX_UNFOLDED: Final = 5_000  # nodes of one expression with its `let` names expanded
_ROUNDS: Final = 10_000  # the engine stops after this many iterations
_SCALAR: Final = 64  # code points of a number, timestamp or duration as text


class ValueSize(Struct, frozen=True):
    """The size of a value: the code points of its largest text, and the items of its lists and maps, including nested ones."""

    text: int = _SCALAR
    items: int = 0


class ExpressionBounds(Struct, frozen=True):
    """The bounds of one expression.

    `unfolded` counts nodes after expanding `let` names, with `?:` conditions counted twice.
    """

    size: ValueSize
    cost: int
    unfolded: int


def compute_bounds(
    root: ExpressionNode, words: TokenizedSource, lets: Mapping[str, ExpressionBounds]
) -> ExpressionBounds:
    """Return the bounds of an expression, given the bounds of the `let` names.

    Raises ExpressionProblem beyond the limits.
    """
    sizes = {name: each.size for name, each in lets.items()}
    calculator = _SizeCalculator(words)
    size = calculator.size_of(root, sizes)
    cost = _CostEstimator(calculator).cost_of(root, sizes)
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
    """Return why a policy as a whole is too costly to evaluate; empty if it is not."""
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
_FOR_NUL: Final = (
    "\x01"  # the engine drops the rest of a text after NUL; this is matched by patterns of control characters
)


def truncate_fact(value: FactValue) -> object:
    """Return a fact as passed to the engine, truncated to the limits."""
    if isinstance(value, str):
        return _truncate_text(value)
    if isinstance(value, Mapping):
        return {_truncate_text(key): _truncate_text(each) for key, each in islice(value.items(), MAX_MAP)}
    return (
        value
        if isinstance(value, bool | int | datetime)
        else [_truncate_text(each, MAX_ITEM) for each in value[:MAX_LIST]]
    )


def _truncate_text(value: str, most: int = MAX_TEXT) -> str:
    short = value if len(value) <= most else value[:most]
    if "\0" in short:
        short = short.replace("\0", _FOR_NUL)
    return short if short.isascii() else _HALF.sub("\ufffd", short)


def text_length(value: object) -> int:
    """Return the number of code points of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(text_length(key) + text_length(each) for key, each in value.items())
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def let_value_problem(value: object, left: int) -> str:
    """Return why the value of a `let` cannot be used; empty if it can. (Truncating the value would make it wrong.)"""
    if isinstance(value, str) and "\0" in value:
        return "contains NUL, after which the engine drops the rest"
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"has {len(value):,} characters; at most {MAX_TEXT:,} are allowed"
    if isinstance(value, list | Mapping) and len(value) > MAX_LIST:
        return f"has {len(value):,} items; at most {MAX_LIST:,} are allowed"
    return "" if left >= 0 else f"is too large: all `let` values together have at most {MAX_LETS:,} characters"


# ---- sizes ---------------------------------------------------------------------------------------------------------------

_OF_TYPE: Final = {
    "string": ValueSize(MAX_TEXT),
    "list": ValueSize(MAX_ITEM, MAX_LIST),
    "map": ValueSize(MAX_TEXT, MAX_MAP),
}


def _largest_size(sizes: list[ValueSize]) -> ValueSize:
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
            return self._check_size(node, self._size_of_loop(node, names))
        below = [self.size_of(child, names) for child in node.children]
        if node.kind in (NodeKind.LIST, NodeKind.MAP):
            inside = _largest_size(below)
            return self._check_size(node, ValueSize(inside.text, len(below) + sum(each.items for each in below)))
        return self._check_size(node, self._size_of_call(node, below))

    def _size_of_call(self, node: ExpressionNode, below: list[ValueSize]) -> ValueSize:
        if node.type in _SCALARS:
            return ValueSize()
        if node.name == "_+_":
            if node.type in ("string", "bytes"):
                return ValueSize(sum(each.text for each in below))
            return ValueSize(max(each.text for each in below), sum(each.items for each in below))
        found = _largest_size(below[1:] if node.name == "_?_:_" else below)
        return ValueSize(found.text) if node.type in _WITHOUT_ITEMS else found

    def _size_of_loop(self, node: ExpressionNode, names: Mapping[str, ValueSize]) -> ValueSize:
        """Return the size of a loop's result: the start value plus one iteration's size for each iteration."""
        around = self.size_of(node.children[0], names)
        start = self.size_of(node.children[1], names)
        inside = self.names_in_loop(node, names)
        one = _largest_size([self.size_of(child, inside) for child in node.children[2:4]])
        if node.type in _SCALARS:
            return ValueSize()
        return ValueSize(max(one.text, start.text), start.items + min(around.items, _ROUNDS) * one.items)

    def names_in_loop(self, node: ExpressionNode, names: Mapping[str, ValueSize]) -> Mapping[str, ValueSize]:
        """Return the sizes of the names inside a loop, including its variable and its accumulator."""
        around, start = (self.size_of(child, names) for child in node.children[:2])
        return {**names, node.variable: around, node.name: start}

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

# ---- costs ---------------------------------------------------------------------------------------------------------------

_NAMES: Final = {"list": 300, "map": 300, "string": 10}  # the engine converts a fact on every use
_CALLS: Final = {"matches": 300, "startsWith": 4, "endsWith": 4, "@in": 100, "_==_": 2, "_!=_": 2}
_RUN: Final = 150  # overhead of running a program


class _CostEstimator:
    """Computes an upper bound of the steps of one evaluation, weighted by the possible length of texts and lists."""

    def __init__(self, sizes: _SizeCalculator) -> None:
        self._sizes = sizes

    def cost_of(self, root: ExpressionNode, names: Mapping[str, ValueSize]) -> int:
        """Return the steps of an expression. `names` holds the sizes of `let` names."""
        return _RUN + self._count_steps(root, names, 1)

    def _count_steps(self, node: ExpressionNode, names: Mapping[str, ValueSize], times: int) -> int:
        if node.kind is NodeKind.LOOP:
            return self._count_loop_steps(node, names, times)
        weight = 1
        if node.kind is NodeKind.CALL:
            weight = self._weigh_call(node, names, is_repeated=times > 1)
        elif node.kind is NodeKind.NAME and times > 1 and not node.name.startswith("@"):
            weight = _NAMES.get(node.type, 1)
        return weight * times + sum(self._count_steps(child, names, times) for child in node.children)

    def _count_loop_steps(self, node: ExpressionNode, names: Mapping[str, ValueSize], times: int) -> int:
        around = self._sizes.size_of(node.children[0], names)
        rounds = min(around.items, MAX_LIST)
        inside = self._sizes.names_in_loop(node, names)
        repeated = max(min(times * max(rounds, 1), _ROUNDS), 2)
        start, *rest = node.children[1:]
        cost = self._count_steps(node.children[0], names, times) + self._count_steps(start, names, repeated)
        return cost + sum(self._count_steps(child, inside, repeated) for child in rest)

    def _weigh_call(self, node: ExpressionNode, names: Mapping[str, ValueSize], *, is_repeated: bool) -> int:
        weight = _CALLS.get(node.name, 1) if is_repeated else 1
        if node.name == "@in" and node.children[-1].kind is NodeKind.LIST:
            return 1
        if node.name not in _SCANS:
            return weight
        text, *others = (self._sizes.size_of(child, names).text for child in node.children)
        return max(weight, _SCANS[node.name](text, max(others, default=0)))


def _find_cost(text: int, part: int) -> int:
    """Return the steps of `contains`.

    In the worst case, at every position of the text, the part differs only at its end.
    """
    shift = min(part, text // 2)
    return 10 + text // 5 + (text - shift) * shift // 2_000


_SCANS: Final[Mapping[str, Callable[[int, int], int]]] = {
    "contains": _find_cost,
    "matches": lambda text, _: text // 9,
    "startsWith": lambda text, _: text // 270,
    "endsWith": lambda text, _: text // 270,
    "size": lambda text, _: 10 + text // 60,
    "_+_": lambda text, other: 1 + (text + other) // 500,
}
"""The steps of a call by the sizes of the text and of the other operand."""


def _count_unfolded(node: ExpressionNode, lets: Mapping[str, ExpressionBounds]) -> int:
    """Count the nodes after expanding `let` names: a trace has one entry for each.

    The condition of a `?:` counts twice, because it is traced for both outcomes.
    """
    if node.kind is NodeKind.NAME and node.name in lets:
        return 1 + lets[node.name].unfolded
    below = [_count_unfolded(child, lets) for child in node.children]
    twice = below[0] if node.kind is NodeKind.CALL and node.name == "_?_:_" else 0
    return 1 + twice + sum(below)
