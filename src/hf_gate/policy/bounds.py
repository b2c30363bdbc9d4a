"""Upper bounds for a checked expression: how large its values can become, and how much work it can be.

Bounds are computed from the checked tree alone, before anything runs. They assume the largest facts that the engine is given.
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
MAX_LETS: Final = 1 << 20  # code points of all values of `let` of one request together
MAX_JOINED_TEXT: Final = 65_536  # code points that `+` may come to
MAX_JOINED_LIST: Final = 10_000  # items that a list may come to inside an expression
MAX_COST: Final = 1_000_000  # of one expression, about 100 ns each
MAX_POLICY_COST: Final = 4_000_000  # of all expressions of a policy, for one request
MAX_TESTS_COST: Final = 100_000_000  # of all tests of a policy
MAX_POLICY_UNFOLDED: Final = 20_000  # nodes of all conditions of a policy
MAX_UNFOLDED: Final = 5_000  # nodes of one expression with its names of `let` written out
_ROUNDS: Final = 10_000  # iterations after which the engine itself stops
_SCALAR: Final = 64  # code points of a number, moment or span as text


@dataclass(frozen=True, slots=True)
class ValueSize:
    """`text`: code points of a text, or of the largest text inside; `items`: of a list or map, with those of lists inside."""

    text: int = _SCALAR
    items: int = 0


@dataclass(frozen=True, slots=True)
class ExpressionBounds:
    """The bounds of one expression. `unfolded`: its nodes with every name of `let` written out, conditions of `?:` twice."""

    size: ValueSize
    cost: int
    unfolded: int


def compute_bounds(
    root: ExpressionNode, words: TokenizedSource, lets: Mapping[str, ExpressionBounds]
) -> ExpressionBounds:
    """Return the bounds of an expression over the bounds of the `let` names. Raises ExpressionProblem beyond the limits."""
    sizes = {name: each.size for name, each in lets.items()}
    size = _SizeCalculator(words).size_of(root, sizes)
    cost = _estimate_cost(root)
    if cost > MAX_COST:
        raise ExpressionProblem("too-costly", "this goes through lists too many times", 0, len(words.source))
    unfolded = _count_unfolded(root, lets)
    if unfolded > MAX_UNFOLDED:
        message = (
            f"written out with its names of `let`, this has {unfolded:,} parts; at most {MAX_UNFOLDED:,} are judged"
        )
        raise ExpressionProblem("too-costly", message, 0, len(words.source))
    return ExpressionBounds(size, cost, unfolded)


def policy_cost(expressions: Iterable[ExpressionBounds]) -> int:
    """The work of judging one request by all expressions of a policy."""
    return sum(each.cost for each in expressions)


def policy_cost_problem(lets: Iterable[ExpressionBounds], conditions: Iterable[ExpressionBounds], tests: int) -> str:
    """Why a policy is not judged although each of its expressions could be; "" when it is."""
    several = tuple(conditions)
    cost, unfolded = policy_cost((*lets, *several)), sum(each.unfolded for each in several)
    if cost > MAX_POLICY_COST:
        share = f"{cost / MAX_POLICY_COST:.1f} times"
        return f"all conditions together go through lists and texts too often: {share} as much as a policy may."
    if cost * tests > MAX_TESTS_COST:
        return f"{tests} tests of conditions that go through lists take too long; leave out some."
    if unfolded > MAX_POLICY_UNFOLDED:
        parts = f"{unfolded:,} parts; at most {MAX_POLICY_UNFOLDED:,} are judged"
        return f"written out with their names of `let`, all conditions together have {parts}."
    return ""


# ---- values, when they are there -----------------------------------------------------------------------------------------

_HALF: Final = re.compile("[\ud800-\udfff]")


def truncate_fact(value: FactValue) -> object:
    """A fact as the engine is given it, cut to the limits."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): _text(each) for key, each in value.items()}
    return value if isinstance(value, bool | int | datetime) else [_text(each) for each in value[:MAX_LIST]]


def _text(value: str) -> str:
    short = value if len(value) <= MAX_TEXT else value[:MAX_TEXT]
    return short if short.isascii() else _HALF.sub("\ufffd", short)


def text_length(value: object) -> int:
    """Code points of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(text_length(key) + text_length(each) for key, each in value.items())
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def let_size_problem(value: object, left: int) -> str:
    """Why the value of a `let` is not used; "" when it is. A value that was cut short would be a wrong one."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"has {len(value):,} characters; at most {MAX_TEXT:,} are judged"
    if isinstance(value, list | Mapping) and len(value) > MAX_LIST:
        return f"has {len(value):,} items; at most {MAX_LIST:,} are judged"
    return "" if left >= 0 else f"is too large: all of `let` together have at most {MAX_LETS:,} characters"


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
        """The size of one node; `names` are those of `let` and the variables of loops around it."""
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
        """The range, then what the rounds gather: each round adds what one round adds to nothing."""
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
            what = f"a text of {size.text:,} characters; at most {MAX_JOINED_TEXT:,} are joined"
        elif size.items > MAX_JOINED_LIST:
            what = f"a list of {size.items:,} items; at most {MAX_JOINED_LIST:,} are made"
        if what:
            span = self._words.span([each.at for each in node.walk()])
            raise ExpressionProblem("too-large", f"this can become {what}", *span)
        return size


_SCALARS: Final = frozenset(("bool", "int", "uint", "double", "null", "timestamp", "duration"))
_WITHOUT_ITEMS: Final = _SCALARS | {"string", "bytes"}

# ---- work ----------------------------------------------------------------------------------------------------------------

_NAMES: Final = {"list": 300, "map": 300, "string": 10}  # the engine takes a fact anew each time
_CALLS: Final = {"matches": 300, "contains": 10, "@in": 100, "_==_": 2, "_!=_": 2, "size": 10}
_SCANS: Final = {"matches": 900, "contains": 700, "startsWith": 30, "endsWith": 30}  # once, over the longest text
_RUN: Final = 150  # to run a program at all


def _estimate_cost(root: ExpressionNode) -> int:
    """An upper bound of the work of one evaluation, texts and lists weighed by how long they can be."""
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
    """How many nodes it has when names of `let` are written out. A reason is told for each branch, so this bounds that work.

    The condition of `?:` counts twice: its reasons are sought for both outcomes.
    """
    if node.kind is NodeKind.NAME and node.name in lets:
        return 1 + lets[node.name].unfolded
    below = [_count_unfolded(child, lets) for child in node.children]
    twice = below[0] if node.kind is NodeKind.CALL and node.name == "_?_:_" else 0
    return 1 + twice + sum(below)
