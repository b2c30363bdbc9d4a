"""Conditions over the declared facts, which are true, false or unknown; unknown facts are left out, never filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Struct, field

from hf_gate.core.policy_model import FALSE, TRUE, FactValue, TruthValue, combine_unknowns
from hf_gate.policies.facts.fact_table import CelType, find_declaration

from .expression_bounds import MAX_LETS, let_value_problem, text_length, truncate_fact
from .expression_checker import check_expression, check_result_type
from .expression_compiler import Function, compile_node, make_error, to_unknown
from .expression_parser import ExpressionNode, NodeKind, ParsedExpression, parse_expression
from .expression_problems import ExpressionProblem
from .fact_conditions import INCLUDES, FactCondition, read_condition

_NOTHING: Mapping[str, Expression] = MappingProxyType({})
_LOGIC = ("&&", "||", "!", "?:")
_WRONG_TYPE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)

Value: TypeAlias = "FactValue | float | timedelta | list[object] | dict[object, object]"
Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class BoundValues(dict[str, Any]):
    """The facts and `let` names that expressions read, truncated when first read. A TruthValue is an unknown value."""

    def __init__(self, find_known: Callable[[str], FactValue | None]) -> None:
        super().__init__()
        self._find_known = find_known

    def __missing__(self, name: str) -> object:
        value = self._find_known(name)
        bound = TruthValue(None, frozenset((name,))) if value is None else _bind_fact(name, value)
        self[name] = bound
        return bound


class BoundFacts(Struct):
    """The known facts of one request and the values of the `let` names, built once for all expressions."""

    values: BoundValues
    truths: dict[Expression, TruthValue] = field(default_factory=dict)  # cached, because rules share expressions


# ---- compiling -------------------------------------------------------------------------------------------------------


def compile_expression(
    source: str,
    declared: Mapping[str, CelType],
    lets: Mapping[str, Expression] = _NOTHING,
    *,
    is_let: bool = False,
) -> Expression:
    """Compile a condition over declared facts and `let` names. A `let` may have types other than bool.

    Raises ExpressionProblem with the position of the mistake.
    """
    parsed = parse_expression(source)
    root = check_expression(parsed, declared, {name: let.root for name, let in lets.items()})
    check_result_type(root, parsed, is_let=is_let)
    return Expression(root, parsed, lets, parsed.whole_text)


def compile_lets(sources: Mapping[str, str], declared: Mapping[str, CelType]) -> dict[str, Expression]:
    """Compile `let` expressions in order; each can use the ones before it.

    Raises ExpressionProblem with the `let` name.
    """
    lets: dict[str, Expression] = {}
    for name, source in sources.items():
        try:
            lets[name] = compile_expression(source, declared, lets, is_let=True)
        except ExpressionProblem as problem:
            problem.let = name
            raise
    return lets


# ---- one expression --------------------------------------------------------------------------------------------------


class Expression:
    """A compiled expression, or one of its boolean branches. `root` is its tree, and `source` its text on one line.

    `op` is `&&`, `||`, `!`, `?:` (three parts in source order) or "" for a leaf, which has no parts.
    """

    def __init__(
        self, root: ExpressionNode, parsed: ParsedExpression, lets: Mapping[str, Expression], source: str
    ) -> None:
        self.root = root
        self.source = source
        self.type = root.type
        self.op = root.name if root.is_operator(*_LOGIC) and root.type == "bool" else ""
        self._parsed = parsed
        self._known_lets = lets

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    @cached_property
    def parts(self) -> tuple[Expression, ...]:
        """The branches; a chain of `&&` or `||` has one for each operand, whatever its brackets are."""
        return tuple(
            Expression(node, self._parsed, self._known_lets, self._parsed.text(node.start, node.end))
            for node in (_flatten_operands(self.root) if self.op else ())
        )

    @cached_property
    def _names(self) -> Mapping[str, int]:
        """How often each fact and `let` is named."""
        found: dict[str, int] = {}
        for node in self.root.walk():
            if node.kind is NodeKind.NAME:
                found[node.name] = found.get(node.name, 0) + 1
        return found

    @cached_property
    def used_lets(self) -> Mapping[str, Expression]:
        """The `let` expressions used here, by name."""
        return {name: self._known_lets[name] for name in self._names if name in self._known_lets}

    @property
    def lets(self) -> tuple[str, ...]:
        """The `let` names used here, in the order of their first use."""
        return tuple(self.used_lets)

    @cached_property
    def own_facts(self) -> frozenset[str]:
        """The facts that this expression names itself."""
        return frozenset(name for name in self._names if name not in self._known_lets)

    @cached_property
    def facts(self) -> frozenset[str]:
        """The facts, also those used through `let` names."""
        return self.own_facts.union(*(let.facts for let in self.used_lets.values()))

    @cached_property
    def labels(self) -> Mapping[str, ExpressionNode]:
        """The form labels, each with a node that names it."""
        found: dict[str, ExpressionNode] = {}
        for node in self.root.walk():
            label = _label_of(node)
            if label is not None:
                found.setdefault(*label)
        return found

    @cached_property
    def comparisons(self) -> tuple[FactCondition, ...]:
        """The comparisons of a fact with literals."""
        nodes = (node for node in self.root.walk() if node.kind is not NodeKind.NAME and not node.is_operator("!"))
        found = (read_condition(node) for node in nodes)
        return tuple(each for each in found if each and each.key is None and not each.has_size and each.op != INCLUDES)

    @property
    def condition(self) -> FactCondition | None:
        """The test of one fact that the whole expression is; None for any other expression."""
        return read_condition(self.root)

    def count_uses(self, fact: str) -> int:
        """Return how often this expression names a fact itself, not through a `let`."""
        return self._names.get(fact, 0)

    # ---- evaluating --------------------------------------------------------------------------------------------------

    @cached_property
    def _function(self) -> Function:
        return compile_node(self.root)

    def evaluate(self, bound: BoundFacts) -> TruthValue:
        """Return true, false, or unknown with the missing facts."""
        known = bound.truths.get(self)
        if known is None:
            value = self._compute(bound)
            known = TRUE if value is True else FALSE if value is False else to_unknown(value)
            bound.truths[self] = known
        return known

    def compute(self, bound: BoundFacts) -> tuple[Value | None, TruthValue]:
        """Return the value of a `let` of any type; None with the reason if it is unknown."""
        value = self._compute(bound)
        return (None, value) if isinstance(value, TruthValue) else (value, TRUE)

    def _compute(self, bound: BoundFacts) -> Value | TruthValue:
        try:
            found: Value | TruthValue = self._function(bound.values, None)
        except _WRONG_TYPE:
            return make_error(_OTHER_TYPE)
        return found


def _flatten_operands(node: ExpressionNode) -> Iterable[ExpressionNode]:
    """Yield the operands; those of a chain in brackets of the same operator are operands of the chain around it."""
    for child in node.children:
        if node.is_operator("&&", "||") and child.is_operator(node.name):
            yield from _flatten_operands(child)
        else:
            yield child


def _label_of(node: ExpressionNode) -> tuple[str, ExpressionNode] | None:
    """Return the form label that a node names, and the node of its text: `form["x"]`, `form.x` or `"x" in form`."""
    if node.kind is NodeKind.FIELD and node.children[0].name == "form":
        return node.name, node
    if node.is_operator("[]", "in"):
        entries, key = node.children if node.name == "[]" else reversed(node.children)
        if entries.name == "form" and isinstance(key.value, str):
            return key.value, key
    return None


def evaluate_condition(condition: Condition, bound: BoundFacts) -> TruthValue:
    """Evaluate `when && !unless`; a false side makes the result false even if the other is unknown."""
    when, unless = condition
    matches = when.evaluate(bound) if when else TRUE
    if matches.value is False or unless is None:
        return matches
    excluded = unless.evaluate(bound)
    if excluded.value is True:
        return FALSE
    if matches.value is True and excluded.value is False:
        return matches
    return combine_unknowns((matches, excluded))


# ---- values ----------------------------------------------------------------------------------------------------------

_UNLIMITED_TYPES = (bool, datetime)
_OTHER_TYPE = "a fact has a value of another type"
_PYTHON_TYPES: Mapping[CelType, type | tuple[type, ...]] = MappingProxyType({
    CelType.BOOL: bool, CelType.INT: int, CelType.STRING: str, CelType.TIMESTAMP: datetime,
    CelType.LIST: (tuple, list), CelType.MAP: Mapping,
})  # fmt: skip


@lru_cache(maxsize=4096)
def _find_type(name: str) -> type | tuple[type, ...]:
    declaration = find_declaration(name)
    return object if declaration is None else _PYTHON_TYPES[declaration.type]


def bind_facts(facts: Mapping[str, FactValue], lets: Mapping[str, Expression] = _NOTHING) -> BoundFacts:
    """Return known facts with the value of each `let`, as `bind_values` does."""
    return bind_values(facts.get, lets)


def bind_values(find_known: Callable[[str], FactValue | None], lets: Mapping[str, Expression] = _NOTHING) -> BoundFacts:
    """Return the facts that `find_known` knows, truncated to the limits, and the value of each `let`.

    A `let` whose value cannot be used is unknown: one that is too large, because each further `let` could double it.
    """
    bound = BoundFacts(BoundValues(find_known))
    left = MAX_LETS
    for name, let in lets.items():
        value, truth = let.compute(bound)
        left -= text_length(value)
        if value is not None and (problem := let_value_problem(value, left)):
            value = None
            truth = make_error(f"the value of `{name}` {problem}")
        bound.values[name] = truth if value is None else value
    return bound


def _bind_fact(name: str, value: FactValue) -> object:
    expected = _find_type(name)
    if value.__class__ is expected and value.__class__ in _UNLIMITED_TYPES:
        return value
    if not isinstance(value, expected) or (expected is int and value.__class__ is bool):
        return make_error(_OTHER_TYPE)
    if isinstance(value, int) and value.bit_length() > 63:
        return make_error("integer overflow")
    try:
        return truncate_fact(value)
    except TypeError:  # of what a list or a map contains
        return make_error(_OTHER_TYPE)
