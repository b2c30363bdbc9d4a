"""Compiles common conditions to Python functions, which return what the engine returns in a fraction of its time.

Only constructs that mean the same in both are compiled: names, literals, logic, comparisons, searches in texts and lists,
simple patterns, and loops that are not nested. The engine evaluates everything else.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .cel_tree import ExpressionNode, NodeKind

PythonFunction: TypeAlias = Callable[[Mapping[str, Any], Any], Any]
"""Takes the known values by name, and the item of the loop that it is in.

It raises LookupError if only the engine can tell the result: if a name is unknown, a key is missing, or a text needs it.
"""


class EngineNeededError(LookupError):
    """A text that Python could match differently from the engine, or slowly."""


class _NotCompilableError(Exception):
    """The expression uses something that is only evaluated by the engine."""


_MAX_LOOPS: Final = 8  # of at most 1,000 rounds each: the engine ends an expression after 10,000
_SCALARS: Final = frozenset(("bool", "int", "string"))
_CONTAINERS: Final = frozenset(("list", "map"))
_COMPARISONS: Final = {
    "_==_": operator.eq,
    "_!=_": operator.ne,
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_TEXT_SEARCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "contains": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def compile_to_python(root: ExpressionNode) -> PythonFunction | None:
    """Return a function for a boolean, integer or text; None if only the engine can evaluate the expression."""
    if sum(node.kind is NodeKind.LOOP for node in root.walk()) > _MAX_LOOPS:
        return None
    try:
        return _compile_scalar(root, "")
    except (_NotCompilableError, RecursionError):
        return None


def is_strict(root: ExpressionNode) -> bool:
    """Tell whether an expression is unknown as soon as one of its names is: it has no logic and no loop."""
    lenient = ("_&&_", "_||_", "_?_:_")
    return not any(node.kind is NodeKind.LOOP or node.name in lenient for node in root.walk())


def _compile_scalar(node: ExpressionNode, variable: str) -> PythonFunction:
    """Compile a boolean, an integer or a text. `variable` is that of the loop around the node; "" outside of loops."""
    if node.type not in _SCALARS:
        raise _NotCompilableError
    match node.kind:
        case NodeKind.CONST:
            constant = node.value
            return lambda _values, _item: constant
        case NodeKind.NAME if node.name == variable:
            return lambda _values, item: item
        case NodeKind.NAME:
            return _compile_name(node)
        case NodeKind.CALL:
            return _compile_call(node, variable)
        case NodeKind.LOOP if not variable:
            return _compile_loop(node)
        case _:
            raise _NotCompilableError


def _compile_name(node: ExpressionNode) -> PythonFunction:
    name = node.name
    return lambda values, _item: values[name]


def _compile_call(node: ExpressionNode, variable: str) -> PythonFunction:
    if node.name == "@in":
        return _compile_membership(node.children[0], node.children[1], variable)
    if node.name == "matches":
        return _compile_match(node.children[0], node.children[1], variable)
    if node.name == "size":
        return _compile_size(node.children[0], variable)
    if node.name == "_[_]" and node.children[0].type == "map":
        entries, key = _compile_container(node.children[0]), _compile_text(node.children[1], variable)
        return lambda values, item: entries(values, item)[key(values, item)]
    if node.name in _TEXT_SEARCHES:
        search = _TEXT_SEARCHES[node.name]
        text, part = (_compile_text(child, variable) for child in node.children)
        return lambda values, item: search(text(values, item), part(values, item))
    operands = [_compile_scalar(child, variable) for child in node.children]
    if node.name in _COMPARISONS and len({child.type for child in node.children}) == 1:
        return _compile_comparison(_COMPARISONS[node.name], node.children[1], *operands)
    return _compile_logic(node.name, operands)


def _compile_logic(name: str, operands: list[PythonFunction]) -> PythonFunction:
    match name, operands:
        case "_&&_", (left, right):
            return lambda values, item: left(values, item) and right(values, item)
        case "_||_", (left, right):
            return lambda values, item: left(values, item) or right(values, item)
        case "!_", (one,):
            return lambda values, item: not one(values, item)
        case "_?_:_", (condition, yes, no):
            return lambda values, item: (yes if condition(values, item) else no)(values, item)
        case _:
            raise _NotCompilableError


def _compile_comparison(
    compare: Callable[[Any, Any], bool], second: ExpressionNode, left: PythonFunction, right: PythonFunction
) -> PythonFunction:
    if second.kind is NodeKind.CONST:
        constant = second.value
        return lambda values, item: compare(left(values, item), constant)
    return lambda values, item: compare(left(values, item), right(values, item))


def _compile_membership(element: ExpressionNode, container: ExpressionNode, variable: str) -> PythonFunction:
    """Compile `in` for a container of facts, or a list of literals of one type."""
    one = _compile_scalar(element, variable)
    if container.kind is NodeKind.LIST:
        if any(each.kind is not NodeKind.CONST or each.type != element.type for each in container.children):
            raise _NotCompilableError
        literals = frozenset(each.value for each in container.children)
        return lambda values, item: one(values, item) in literals
    if element.type != "string":
        raise _NotCompilableError
    many = _compile_container(container)
    return lambda values, item: one(values, item) in many(values, item)


def _compile_size(operand: ExpressionNode, variable: str) -> PythonFunction:
    is_text = operand.type == "string"
    measured = _compile_text(operand, variable) if is_text else _compile_container(operand)
    return lambda values, item: len(measured(values, item))


def _compile_text(node: ExpressionNode, variable: str) -> PythonFunction:
    if node.type != "string":
        raise _NotCompilableError
    return _compile_scalar(node, variable)


def _compile_container(node: ExpressionNode) -> PythonFunction:
    if node.kind is not NodeKind.NAME or node.type not in _CONTAINERS:
        raise _NotCompilableError
    return _compile_name(node)


def _compile_loop(node: ExpressionNode) -> PythonFunction:
    """Compile `exists` and `all`. The children of the node are range, start, condition, step and result."""
    items, start, _, step, result = node.children
    many = _compile_container(items)
    is_exists = step.name == "_||_" and start.value is False
    is_all = step.name == "_&&_" and start.value is True
    if not (is_exists or is_all) or result.name != node.name or step.children[0].name != node.name:
        raise _NotCompilableError
    test = _compile_scalar(step.children[1], node.variable)

    def find_decisive(values: Mapping[str, Any], _item: object) -> bool:
        for item in many(values, None):
            found: bool = test(values, item)
            if found is is_exists:
                return found
        return not is_exists

    return find_decisive


# ---- patterns --------------------------------------------------------------------------------------------------------

_ATOM: Final = (
    r"(?:(?!&&|~~|\|\|)(?:\\[dw]|\\[!-/:-@\[-`{-~]|\\x[0-9a-fA-F]{2}|[^\\\[\]\-]))"  # Python warns of && in sets
)
_SET: Final = rf"\[\^?-?(?:{_ATOM}(?:-{_ATOM})?)+-?\]"
_PIECES: Final = rf"(?:{_SET}|\\[bdw]|\\[!-/:-@\[-`{{-~]|\\x[0-9a-fA-F]{{2}}|[^\\\[\](){{}}*+?])*"
_SIMPLE_PATTERN: Final = re.compile(rf"(\(\?i\))?({_PIECES}(?:\((?:\?:)?{_PIECES}\)({_PIECES}))?)")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]|\\x[89a-fA-F]")  # only the engine ignores the case of these letters
_MAX_SEARCH: Final = 200_000  # steps of about 1 ns; the engine needs the same time for each character of any pattern
_FOLDED_TO_ASCII: Final = ("\u017f", "\u212a")  # the engine takes them for s and k if it ignores case


def _compile_match(text: ExpressionNode, pattern: ExpressionNode, variable: str) -> PythonFunction:
    """Compile `matches`. The engine compiles its pattern again for each text, which takes most of its time."""
    if not isinstance(pattern.value, str):
        raise _NotCompilableError
    subject, search = _compile_text(text, variable), _compile_pattern(pattern.value)
    return lambda values, item: search(subject(values, item))


def _compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern without repetition and with at most one group, so that no text makes Python's search slow."""
    simple = _SIMPLE_PATTERN.fullmatch(pattern)
    if simple is None or (simple[1] and _BEYOND_ASCII.search(pattern)):
        raise _NotCompilableError
    end_of_text = re.sub(r"(\\.|\[(?:\\.|[^\]])*\])|\$", lambda found: found[1] or r"\Z", simple[2], flags=re.DOTALL)
    try:
        search = re.compile(end_of_text, re.ASCII | (re.IGNORECASE if simple[1] else 0)).search
    except re.error:  # the engine accepts some sets that Python refuses
        raise _NotCompilableError from None
    ignores_case = simple[1]
    longest = _MAX_SEARCH // (len(pattern) + pattern.count("|") * len(simple[3] or "") + 1)

    def search_short_text(text: str) -> bool:
        if len(text) > longest:
            raise EngineNeededError
        if ignores_case and not text.isascii() and any(each in text for each in _FOLDED_TO_ASCII):
            raise EngineNeededError
        return search(text) is not None

    return search_short_text
