"""Checks a parsed expression against the declared facts, and bounds its size and cost before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.display_text import make_visible
from hf_gate.core.policy_model import TruthValue
from hf_gate.policies.facts.fact_table import CelType

from .expression_bounds import (
    MAX_COST,
    MAX_ITEM,
    MAX_JOINED_LIST,
    MAX_JOINED_TEXT,
    MAX_LIST,
    MAX_MAP,
    MAX_TEXT,
    MAX_UNFOLDED,
)
from .expression_compiler import PatternError, compile_node, compile_pattern
from .expression_parser import MAX_TREE, MIRRORED, ExpressionNode, NodeKind, ParsedExpression
from .expression_problems import (
    ExpressionProblem,
    NameSuggestions,
    describe_type,
    literal_problem,
    null_problem,
    repair_literal,
    type_problem,
    unknown_function_problem,
    unknown_name_problem,
)

_MAP: Final = "map<string, string>"
_ANY_LIST: Final = "list<any>"  # `[]`
_FACT_TYPES: Final = {CelType.LIST: "list<string>", CelType.MAP: _MAP}
_SIZES: Final = {"string": (MAX_TEXT, 0), "list<string>": (MAX_ITEM, MAX_LIST), _MAP: (MAX_TEXT, MAX_MAP)}
_PYTHON_TYPES: Final = {bool: "bool", int: "int", float: "double", str: "string"}
_ORDERED: Final = frozenset(("bool", "int", "double", "string", "timestamp", "duration"))
_NUMBERS: Final = frozenset(("int", "double"))
_ROOTS: Final = frozenset(("request", "person", "email", "answers", "tables", "history", "terms", "form", "now"))
_FUNCTIONS: Final = frozenset(("size", "duration", "timestamp"))
_METHODS: Final = frozenset(("contains", "startsWith", "endsWith", "matches"))


def check_expression(
    parsed: ParsedExpression, declared: Mapping[str, CelType], lets: Mapping[str, ExpressionNode]
) -> ExpressionNode:
    """Return the tree with types and bounds. Raises ExpressionProblem for the first mistake, and beyond the limits."""
    root = _Checker(parsed, declared, lets).check(parsed.root)
    if root.unfolded > MAX_UNFOLDED:
        message = (
            f"with its `let` names expanded, this has {root.unfolded:,} parts; at most {MAX_UNFOLDED:,} are allowed"
        )
        raise ExpressionProblem("too-costly", message, 0, len(parsed.source))
    if root.depth > MAX_TREE:
        message = "with its `let` names expanded, this is nested too deeply; use fewer `let` names"
        raise ExpressionProblem("too-deep", message, 0, len(parsed.source))
    return root


def check_result_type(root: ExpressionNode, parsed: ParsedExpression, *, is_let: bool) -> None:
    """Raise ExpressionProblem for a condition that is not a bool, and for a `let` of a type without values."""
    span = parsed.tokens[0].start, parsed.tokens[-1].end - parsed.tokens[0].start
    if is_let and root.type == _ANY_LIST:
        raise ExpressionProblem("type", "a `let` cannot be an empty list", *span)
    if not is_let and root.type != "bool":
        what = describe_type(root.type)
        message = f"a condition must be true or false, but this is {what}: compare it with a value"
        raise ExpressionProblem("type", message, *span)


class _LoopVariable(Struct, frozen=True):
    """The variable of a loop: its name, and the largest text of an item."""

    variable: str
    type: str
    text: int


class _Checker:
    def __init__(
        self, parsed: ParsedExpression, declared: Mapping[str, CelType], lets: Mapping[str, ExpressionNode]
    ) -> None:
        self._parsed = parsed
        self._declared = declared
        self._lets = lets
        self._pattern_cost = 0  # of all patterns so far, each of which is compiled to know its cost

    def check(self, node: ExpressionNode, loop: _LoopVariable | None = None) -> ExpressionNode:
        """Return a node with types and bounds. `loop` is the loop around the node."""
        if node.kind is NodeKind.CALL:
            checked = self._check_call(node, loop)
        elif node.kind is NodeKind.OPERATOR:
            checked = self._check_operator(node, loop)
        else:
            checked = self._check_operand(node, loop)
        if max(checked.cost, self._pattern_cost) > MAX_COST:
            message = "this expression searches lists too often; split it or search fewer lists"
            raise ExpressionProblem("too-costly", message, 0, len(self._parsed.source))
        return _check_value(checked)

    # ---- operands ----------------------------------------------------------------------------------------------------

    def _check_operand(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        if node.kind is NodeKind.CONST:
            if node.value is None:
                raise null_problem(node.span)
            size = len(node.value) if isinstance(node.value, str) else 0
            return _finish(node, (), _PYTHON_TYPES[type(node.value)], size)
        if node.kind is NodeKind.NAME:
            return self._check_name(node, loop)
        children = tuple(self.check(child, loop) for child in node.children)
        if node.kind is NodeKind.FIELD:
            self._require(node, children, children[0].type == _MAP)
            return _finish(node, children, "string", children[0].text)
        types = dict.fromkeys(child.type for child in children)
        if any(_is_container(each) for each in types):
            raise ExpressionProblem("type", "a list cannot contain lists or maps", *node.span)
        if len(types) > 1:
            raise ExpressionProblem("type", "all items of a list must have the same type", *node.span)
        of_type = f"list<{next(iter(types))}>" if types else _ANY_LIST
        return _finish(node, children, of_type, max((child.text for child in children), default=0), len(children))

    def _check_name(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        if loop is not None and node.name == loop.variable:
            return _finish(replace(node, kind=NodeKind.ITEM), (), loop.type, loop.text)
        if node.name in self._lets:
            let = self._lets[node.name]
            found = _finish(node, (), let.type, let.text, let.items)
            return replace(found, unfolded=1 + let.unfolded, depth=1 + let.depth)
        if node.name in self._declared:
            of_type = _FACT_TYPES.get(self._declared[node.name], str(self._declared[node.name]))
            return _finish(node, (), of_type, *_SIZES.get(of_type, (0, 0)))
        raise unknown_name_problem(node.name, *node.span, NameSuggestions((*self._declared, *self._lets)))

    # ---- operators ---------------------------------------------------------------------------------------------------

    def _check_operator(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        if node.name == "/":
            raise unknown_function_problem("/", node.name_span)
        if any(child.kind is NodeKind.CONST and child.value is None for child in node.children):
            raise null_problem(node.name_span)
        children = tuple(self.check(child, loop) for child in node.children)
        types = tuple(child.type for child in children)
        text = max(child.text for child in children)
        items = max(child.items for child in children)
        match node.name:
            case "&&" | "||" | "!":
                self._require(node, children, set(types) == {"bool"})
                return _finish(node, children, "bool")
            case "?:":
                self._require(node, children[:1], types[0] == "bool")
                of_type = _common_type(types[1], types[2])
                if of_type is None:
                    message = "both results of `? :` must have the same type"
                    raise ExpressionProblem("type", message, *node.name_span)
                found = _finish(node, children, of_type, text, items)
                return replace(found, unfolded=found.unfolded + children[0].unfolded)
            case "[]":
                self._require(
                    node, children, types == (_MAP, "string") or (types[0][:5] == "list<" and types[1] == "int")
                )
                return _finish(node, children, types[0][5:-1] if types[1] == "int" else "string", text)
            case "-" if len(children) == 1:
                self._require(node, children, types[0] in _NUMBERS)
                return _finish(node, children, types[0])
        result = _result_type(node.name, *types)
        if result is None:
            raise self._operand_problem(node, *children)
        if node.name == "+":
            return self._check_sum(node, children, result, loop)
        return _finish(node, children, result, weight=_weigh_comparison(node.name, *children))

    def _check_sum(
        self, node: ExpressionNode, children: tuple[ExpressionNode, ...], of_type: str, loop: _LoopVariable | None
    ) -> ExpressionNode:
        if of_type != "string" and not _is_container(of_type):
            return _finish(node, children, of_type)
        if loop is not None:
            raise ExpressionProblem("too-costly", "`+` cannot join texts or lists inside a loop", *node.span)
        both = sum(child.text for child in children)
        items = sum(child.items for child in children)
        text = both if of_type == "string" else max(child.text for child in children)
        return _finish(node, children, of_type, text, items, 1 + both // 500 + items // 20)

    def _require(self, node: ExpressionNode, children: tuple[ExpressionNode, ...], is_valid: bool) -> None:
        if not is_valid:
            raise type_problem(node.name, tuple(child.type for child in children), node.name_span)

    def _operand_problem(self, node: ExpressionNode, left: ExpressionNode, right: ExpressionNode) -> ExpressionProblem:
        """Return the problem of two operands, with the literal to write instead."""
        for wrong, other, sign in ((right, left, node.name), (left, right, MIRRORED.get(node.name, node.name))):
            if wrong.kind is NodeKind.CONST:
                fix = repair_literal(self._parsed.text(wrong.start, wrong.end), wrong.type, other.type, sign)
                if fix is not None:
                    return ExpressionProblem("type", fix[1], *wrong.span, fix[0])
        return type_problem(node.name, (left.type, right.type), node.name_span)

    # ---- functions ---------------------------------------------------------------------------------------------------

    def _check_call(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        count = len(node.children)
        if node.name in ("exists", "all") and node.is_method and count == 3:
            return self._check_loop(node, loop)
        if node.name == "has" and not node.is_method:
            return self._check_has(node, loop)
        is_valid = node.name in _METHODS and node.is_method and count == 2
        if not is_valid and (node.name not in _FUNCTIONS or count != 1 or (node.is_method and node.name != "size")):
            raise _call_problem(node)
        children = tuple(self.check(child, loop) for child in node.children)
        if node.name == "size":
            self._require(node, children, children[0].type == "string" or _is_container(children[0].type))
            return _finish(node, children, "int")
        self._require(node, children, all(child.type == "string" for child in children))
        if node.name in ("duration", "timestamp"):
            if node.name == "duration" and not children[0].is_constant:
                message = "the text of `duration` must be a quoted literal, not a fact"
                raise ExpressionProblem("duration", message, *children[0].span)
            return _finish(node, children, node.name, weight=20 + children[0].text // 20)
        if node.name == "matches":
            weight = _weigh_pattern(children[0].text, children[1])
            self._pattern_cost += weight
            return _finish(node, children, "bool", weight=weight)
        return _finish(node, children, "bool", weight=_SEARCHES[node.name](children[0].text, children[1].text))

    def _check_has(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        """Refuse `has()` of a fact: a rule that could test for unknown facts might accept because a source failed."""
        field = node.children[0] if len(node.children) == 1 else None
        if field is not None and field.kind is NodeKind.FIELD:
            checked = self.check(field, loop)
            return _finish(node, (checked,), "bool")
        if field is not None and field.is_operator("[]") and field.children[0].name == "form":
            label = self._parsed.text(field.children[1].start, field.children[1].end)
            message = "`has()` takes `form.x`; use `in` for a label in quotes"
            raise ExpressionProblem("has", message, *node.span, f"{label} in form")
        message = (
            "`has()` works on `form` and on rows of tables only: a rule cannot test whether a fact is known; "
            "an unknown fact makes the rule unknown"
        )
        raise ExpressionProblem("has", message, *node.span)

    def _check_loop(self, node: ExpressionNode, loop: _LoopVariable | None) -> ExpressionNode:
        variable = node.children[1]
        if loop is not None:
            message = (
                "a loop cannot stand inside another: use `in`, as in `person.orgs.exists(o, o in person.verified_orgs)`"
            )
            raise ExpressionProblem("too-costly", message, *node.span)
        if variable.kind is not NodeKind.NAME or "." in variable.name:
            raise ExpressionProblem("syntax", f"`{node.name}` is written `{_USAGE[node.name]}`", *node.name_span)
        if variable.name in self._declared or variable.name in self._lets or variable.name in _ROOTS:
            shown = make_visible(variable.name, one_line=True)
            message = f"`{shown}` is the name of a fact; choose another name for the item"
            raise ExpressionProblem("shadow", message, *node.span)
        many = self.check(node.children[0])
        self._require(node, (many,), _is_container(many.type))
        item = "string" if many.type == _MAP else many.type[5:-1]
        body = self.check(node.children[2], _LoopVariable(variable.name, item, many.text))
        self._require(node, (body,), body.type == "bool")
        found = _finish(node, (many, body), "bool")
        return replace(found, cost=1 + many.cost + max(many.items, 1) * body.cost)


def _call_problem(node: ExpressionNode) -> ExpressionProblem:
    """Return the problem of a function that does not exist, or is used in another way."""
    if node.name in _METHODS or node.name in _USAGE:
        usage = _USAGE.get(node.name, f'text.{node.name}("part")')
        return ExpressionProblem("syntax", f"`{node.name}` is written `{usage}`", *node.name_span)
    return unknown_function_problem(node.name, node.name_span)


_USAGE: Final = {
    "exists": "list.exists(item, condition)",
    "all": "list.all(item, condition)",
    "size": "size(x)",
    "duration": 'duration("720h")',
    "timestamp": 'timestamp("2027-06-30T00:00:00Z")',
}

# ---- types -----------------------------------------------------------------------------------------------------------


def _is_container(of_type: str) -> bool:
    return of_type.startswith(("list<", "map<"))


def _common_type(one: str, other: str) -> str | None:
    """Return the type of values of both types; `[]` is a list of any items."""
    if _ANY_LIST in (one, other) and one.startswith("list<") and other.startswith("list<"):
        return other if one == _ANY_LIST else one
    return one if one == other else None


def _result_type(sign: str, left: str, right: str) -> str | None:
    """Return the type of an operator with two operands; None if it cannot take these types."""
    common = _common_type(left, right)
    match sign:
        case "==" | "!=":
            return "bool" if common else None
        case "<" | "<=" | ">" | ">=":
            return "bool" if common in _ORDERED else None
        case "in":
            is_known = _common_type(f"list<{left}>", right) or (left, right) == ("string", _MAP)
            return "bool" if is_known and not _is_container(left) else None
        case "*":
            return common if common in _NUMBERS else None
        case "%":
            return "int" if common == "int" else None
        case _:
            return _sum_type(sign, left, right, common)


def _sum_type(sign: str, left: str, right: str, common: str | None) -> str | None:
    if left == "timestamp" and right == "duration":
        return "timestamp"
    if sign == "-":
        both = {"int": "int", "double": "double", "duration": "duration", "timestamp": "duration"}
        return both.get(common or "")
    if (left, right) == ("duration", "timestamp"):
        return "timestamp"
    return common if common in {*_NUMBERS, "string", "duration"} or (common or "").startswith("list<") else None


# ---- bounds ----------------------------------------------------------------------------------------------------------


def _finish(
    node: ExpressionNode,
    children: tuple[ExpressionNode, ...],
    of_type: str,
    text: int = 0,
    items: int = 0,
    weight: int = 1,
) -> ExpressionNode:
    """Return a node with its type, the size of its value and its steps. A scalar has no items, and a number no text."""
    has_text = of_type == "string" or _is_container(of_type)
    return replace(
        node,
        children=children,
        type=of_type,
        text=text if has_text else 0,
        items=items if _is_container(of_type) else 0,
        cost=weight + sum(child.cost for child in children),
        unfolded=1 + sum(child.unfolded for child in children),
        depth=1 + max((child.depth for child in children), default=0),
        is_constant=node.kind not in (NodeKind.NAME, NodeKind.ITEM) and all(child.is_constant for child in children),
    )


def _check_value(node: ExpressionNode) -> ExpressionNode:
    """Refuse a value that can be too large, and an operation on literals that always fails."""
    what = ""
    if node.text > MAX_JOINED_TEXT:
        what = f"a text of {node.text:,} characters; at most {MAX_JOINED_TEXT:,} are allowed"
    elif node.items > MAX_JOINED_LIST:
        what = f"a list of {node.items:,} items; at most {MAX_JOINED_LIST:,} are allowed"
    if what:
        raise ExpressionProblem("too-large", f"the result can be {what}", *node.span)
    if node.is_constant and node.kind in (NodeKind.CALL, NodeKind.OPERATOR) and node.name not in ("exists", "all"):
        value = compile_node(node)({}, None)
        if isinstance(value, TruthValue):
            literal = node.children[0].value if len(node.children) == 1 else None
            raise literal_problem(node.name, literal, value.error or "", node.span)
    return node


def _find_cost(text: int, part: int) -> int:
    """Return the steps of `contains`: in the worst case the part differs only at its end, at every position."""
    shift = min(part, text // 2)
    return 10 + text // 5 + (text - shift) * shift // 2_000


_SEARCHES: Final[Mapping[str, Callable[[int, int], int]]] = {
    "contains": _find_cost,
    "startsWith": lambda text, _: 1 + text // 270,
    "endsWith": lambda text, _: 1 + text // 270,
}
"""The steps of a search by the sizes of the text and of the other operand."""


def _weigh_pattern(text: int, pattern: ExpressionNode) -> int:
    """Return the steps of `matches`: to compile the pattern, and to search the text.

    A large pattern with counted repeats may need a step for each of its parts at every character.
    """
    if not isinstance(pattern.value, str):
        raise ExpressionProblem(
            "pattern", "the pattern of `matches` must be a quoted literal, not a fact", *pattern.span
        )
    try:
        size = compile_pattern(pattern.value).size
    except PatternError as error:
        raise ExpressionProblem("pattern", make_visible(str(error), one_line=True), *pattern.span) from None
    is_large = size > 200 and "{" in pattern.value
    return 30 + 12 * size + (text * size // 30 if is_large else text // 9)


def _weigh_comparison(sign: str, left: ExpressionNode, right: ExpressionNode) -> int:
    if sign == "in":
        return 1 + (0 if right.is_constant else right.items // 5)
    return 1 + min(left.text, right.text) // 270 + min(left.items, right.items) // 5
