"""Compiles CEL conditions against the declared facts, and evaluates the conditions to true, false or unknown.

This is the only module that imports the engine. The engine returns an error as a truthy value, so only a True of the type
BOOL counts as true. Unknown facts are left out, never filled in. Missing facts are found in the checked tree, not in
the engine's messages. Common conditions are evaluated in Python; the engine is used where that gives no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from cel_expr_python import cel  # type: ignore[import-untyped]  # it has stubs, but no py.typed
from msgspec import Struct, field

from .cel_tree import CheckedExpression, ExpressionNode, NodeKind, decode_checked_expression
from .expression_bounds import MAX_LETS, ExpressionBounds, compute_bounds, let_value_problem, text_length, truncate_fact
from .expression_checks import Comparison, check_result_type, check_tree, collect_names
from .expression_problems import (
    ExpressionProblem,
    NameSuggestions,
    find_foreign_syntax,
    translate_engine_error,
)
from .expression_tokens import TokenizedSource, tokenize
from .fact_table import CelType
from .model import FALSE, TRUE, FactValue, TruthValue, combine_truths, combine_unknowns
from .python_conditions import PythonFunction, compile_to_python, is_strict

MAX_SOURCE = 4096  # bytes
_FAILURES = (RuntimeError, ValueError, TypeError, OverflowError)  # a RuntimeError may also mean an exceeded budget
_NOTHING: Mapping[str, Expression] = MappingProxyType({})

Value: TypeAlias = "FactValue | float | timedelta | list[object] | dict[object, object]"


class BoundFacts(Struct):
    """The known facts of one request, built once for all expressions. The engine's form is made when it is needed."""

    values: dict[str, object]
    needs_engine: bool = False  # nothing is evaluated in Python
    unknown_lets: dict[str, TruthValue] = field(default_factory=dict)  # by `let` name
    truths: dict[Expression, TruthValue] = field(default_factory=dict)  # cached, because rules share expressions
    activation: cel.Activation | None = None

    @property
    def engine(self) -> cel.Activation:
        """The values in the engine's form."""
        if self.activation is None:
            self.activation = _make_activation(self.values)
        return self.activation


# ---- compiling -----------------------------------------------------------------------------------------------------------


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
    if len(source.encode("utf-8", "replace")) > MAX_SOURCE:
        raise ExpressionProblem("too-long", "an expression has at most 4 KiB; split it with `let`", 0, len(source))
    words = tokenize(source)
    if not words.tokens:
        raise ExpressionProblem("empty", "the expression is empty; remove the key to match always", 0, len(source))
    if problem := find_foreign_syntax(words):
        raise problem
    env = _environment(declared, lets)
    try:
        program = env.compile(source)
        checked = decode_checked_expression(program.serialize())
    except (*_FAILURES, RecursionError) as error:
        raise translate_engine_error(str(error), words, NameSuggestions((*declared, *lets))) from None
    bounds = compute_bounds(checked.root, words, {name: each.bounds for name, each in lets.items()})
    check_tree(checked.root, words, declared, frozenset(lets), _CelBranchEvaluator(env, checked))
    of_type = _signature(program.return_type())
    check_result_type(of_type, words, is_let=is_let)
    return Expression.root(
        words, of_type, _ExpressionContext(env, checked, words, frozenset(declared), dict(lets), bounds), program
    )


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


_SIMPLE = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "list": cel.Type.List(cel.Type.STRING),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}


def _signature(of_type: cel.Type) -> str:
    return str(of_type.name()).lower()


def _engine_type(signature: str) -> cel.Type:
    if signature in _SIMPLE:
        return _SIMPLE[signature]
    head, _, rest = signature.partition("<")
    inside = rest.removesuffix(">").rpartition(", ")[2]
    below = _engine_type(inside)
    return cel.Type.List(below) if head == "list" else cel.Type.Map(cel.Type.STRING, below)


def _environment(declared: Mapping[str, CelType], lets: Mapping[str, Expression]) -> cel.Env:
    names = {**{name: str(kind) for name, kind in declared.items()}, **{name: let.type for name, let in lets.items()}}
    return _build_environment(tuple(sorted(names.items())))


@lru_cache(maxsize=128)
def _build_environment(names: tuple[tuple[str, str], ...]) -> cel.Env:
    return cel.NewEnv(variables={name: _engine_type(kind) for name, kind in names})


_EMPTY_ENV = cel.NewEnv()


class _CelBranchEvaluator(Struct, frozen=True):
    """Evaluates branches without facts while a policy is checked."""

    env: cel.Env
    checked: CheckedExpression

    def evaluation_error(self, node: ExpressionNode) -> str | None:
        """Return the error of a branch without names; None if it can be evaluated."""
        return _error_of(lambda: self.env.deserialize(self.checked.encode_branch(node)))

    def pattern_error(self, pattern: str) -> str | None:
        """Return the error of a regular expression; None if it is valid."""
        quoted = "".join(char if char.isalnum() else f"\\U{ord(char):08x}" for char in pattern)
        return _error_of(lambda: _EMPTY_ENV.compile(f'"".matches("{quoted}")'))


def _error_of(make_program: Callable[[], cel.Expression]) -> str | None:
    """Evaluate a program without facts, and return its error."""
    try:
        found = make_program().eval(_EMPTY_ENV.Activation({}))
    except _FAILURES as error:
        return str(error)
    return str(found.plain_value()) if found.type() == cel.Type.ERROR else None


# ---- one expression ------------------------------------------------------------------------------------------------------


class _ExpressionContext(Struct, frozen=True):
    """The data shared by an expression and its branches."""

    env: cel.Env
    checked: CheckedExpression
    words: TokenizedSource
    declared: frozenset[str]
    lets: Mapping[str, Expression]
    bounds: ExpressionBounds
    programs: dict[int, cel.Expression] = field(default_factory=dict)


_LOGIC = {"_&&_": "&&", "_||_": "||", "!_": "!", "_?_:_": "?:"}


class Expression:
    """A compiled expression, or one of its boolean branches.

    `op` is `&&`, `||`, `!`, `?:` (three parts in source order) or "" for a leaf, which has no parts. `facts` includes
    the facts used through `lets`; `labels` are form labels; offsets count code points.
    """

    __slots__ = (
        "_in_python", "_is_strict", "_node", "_shared", "comparisons", "facts", "labels", "length", "lets", "offset", "op", "own_facts",
        "parts", "source", "type",
    )  # fmt: skip

    def __init__(
        self, node: ExpressionNode, shared: _ExpressionContext, source: str, of_type: str, span: tuple[int, int]
    ) -> None:
        self._node = node
        self._shared = shared
        self.source = source
        self.type = of_type
        self.offset, self.length = span
        found = collect_names(node, shared.words, shared.declared, frozenset(shared.lets))
        self.own_facts: frozenset[str] = found.facts
        self.lets: tuple[str, ...] = found.lets
        self.facts: frozenset[str] = found.facts.union(*(shared.lets[name].facts for name in found.lets))
        self.labels: frozenset[str] = found.labels
        self.comparisons: tuple[Comparison, ...] = found.comparisons
        self.op = _LOGIC.get(node.name, "") if node.kind is NodeKind.CALL and of_type == "bool" else ""
        self.parts: tuple[Expression, ...] = tuple(map(self._part, _flatten_operands(node, self.op))) if self.op else ()
        self._in_python: PythonFunction | None = None  # compiled at the first evaluation
        self._is_strict: bool | None = None

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    @classmethod
    def root(
        cls, words: TokenizedSource, of_type: str, shared: _ExpressionContext, program: cel.Expression
    ) -> Expression:
        span = words.span([0, max(len(words.source) - 1, 0)])
        shared.programs[id(shared.checked.root)] = program
        return cls(shared.checked.root, shared, words.text(span), of_type, span)

    def _part(self, node: ExpressionNode) -> Expression:
        span = self._shared.words.span([each.at for each in node.walk()])
        return Expression(node, self._shared, self._shared.words.text(span), "bool", span)

    def count_uses(self, fact: str) -> int:
        """Return how often this expression names a fact itself, not through a `let`."""
        return sum(node.kind is NodeKind.NAME and node.name == fact for node in self._node.walk())

    @property
    def bounds(self) -> ExpressionBounds:
        """The size and cost bounds of the whole expression."""
        return self._shared.bounds

    @property
    def used_lets(self) -> Mapping[str, Expression]:
        """The `let` expressions used here, by name."""
        return {name: self._shared.lets[name] for name in self.lets}

    def evaluate(self, bound: BoundFacts) -> TruthValue:
        """Return true, false, or unknown with the missing facts."""
        known = bound.truths.get(self)
        if known is None:
            known = bound.truths[self] = self._evaluate(bound)
        return known

    def _evaluate(self, bound: BoundFacts) -> TruthValue:
        found, error = self._run_in_python(bound), None
        skips_engine = found is None and self._can_skip_engine(bound)
        if found is None and not skips_engine:
            found, error = self._run(self._node, bound)
        if found is True:
            return TRUE
        if found is False:
            return FALSE
        if self.op == "?:":
            return self._evaluate_ternary(bound)
        if self.op:
            truths = [part.evaluate(bound) for part in self.parts]
            return combine_truths(self.op, truths) if skips_engine else combine_unknowns(truths)
        return self._unknown_value(bound, error or "the result is neither true nor false")

    def _evaluate_ternary(self, bound: BoundFacts) -> TruthValue:
        """Evaluate `?:`. If the condition is known, only the chosen branch matters."""
        condition, yes, no = self.parts
        test = condition.evaluate(bound)
        if test.value is None:
            return combine_unknowns((test, yes.evaluate(bound), no.evaluate(bound)))
        return (yes if test.value else no).evaluate(bound)

    def compute(self, bound: BoundFacts) -> tuple[Value | None, TruthValue]:
        """Return the value of a `let` of any type; None with the reason if it is unknown."""
        if self.type == "bool":
            truth = self.evaluate(bound)
            return truth.value, truth
        plain = self._run_in_python(bound)
        if plain is not None:
            return plain, TRUE
        try:
            found = self._program_of(self._node).eval(bound.engine)
            if found.type() != cel.Type.ERROR:
                return found.plain_value(), TRUE
            error = str(found.plain_value())
        except _FAILURES as failure:
            error = str(failure)
        return None, self._unknown_value(bound, error)

    def _run_in_python(self, bound: BoundFacts) -> bool | int | str | None:
        """Return the result without the engine; None if only the engine can tell it."""
        if self._is_strict is None:
            self._in_python, self._is_strict = compile_to_python(self._node), is_strict(self._node)
        if self._in_python is None or bound.needs_engine:
            return None
        try:
            found: bool | int | str = self._in_python(bound.values, None)
        except (LookupError, TypeError, RecursionError):
            return None
        return found

    def _can_skip_engine(self, bound: BoundFacts) -> bool:
        """Tell whether the engine has nothing to add: parts decide logic, and an unknown name makes the rest unknown."""
        if self._in_python is None or bound.needs_engine:
            return False
        return bool(self.op or (self._is_strict and not bound.values.keys() >= {*self.own_facts, *self.lets}))

    def _unknown_value(self, bound: BoundFacts, error: str) -> TruthValue:
        names = self._unknown_names(self._node, bound)
        behind = [bound.unknown_lets[name] for name in sorted(names) if name in bound.unknown_lets]
        missing = frozenset(name for name in names if name in self._shared.declared)
        whole = combine_unknowns(behind)
        if whole.error or missing or whole.missing:
            return TruthValue(None, missing | whole.missing, whole.error)
        return TruthValue(None, error=error)

    def _unknown_names(self, node: ExpressionNode, bound: BoundFacts) -> frozenset[str]:
        """Return the unknown names that affect a branch, except names in a `?:` branch that was not chosen."""
        if node.kind is NodeKind.NAME:
            known = node.name in bound.values
            is_ours = node.name in self._shared.declared or node.name in self._shared.lets
            return frozenset() if known or not is_ours else frozenset((node.name,))
        if node.kind is NodeKind.CALL and node.name in _LOGIC and self._is_known(node, bound):
            return frozenset()
        if node.kind is NodeKind.CALL and node.name == "_?_:_":
            condition = self._run(node.children[0], bound)[0]
            taken = {True: node.children[1:2], False: node.children[2:3]}.get(condition is True, ())
            if condition is True or condition is False:
                return self._unknown_names_in(taken, bound)
        if node.kind is NodeKind.LOOP:
            inside = collect_names(node, self._shared.words, self._shared.declared, frozenset(self._shared.lets))
            return frozenset(name for name in (*inside.facts, *inside.lets) if name not in bound.values)
        return self._unknown_names_in(node.children, bound)

    def _unknown_names_in(self, nodes: Iterable[ExpressionNode], bound: BoundFacts) -> frozenset[str]:
        return frozenset[str]().union(*(self._unknown_names(each, bound) for each in nodes))

    def _is_known(self, node: ExpressionNode, bound: BoundFacts) -> bool:
        try:
            return bool(self._program_of(node).eval(bound.engine).type() != cel.Type.ERROR)
        except _FAILURES:
            return False

    def _run(self, node: ExpressionNode, bound: BoundFacts) -> tuple[bool | None, str | None]:
        """Return the result if it is a boolean; otherwise None and an explanation for users."""
        try:
            found = self._program_of(node).eval(bound.engine)
            plain = found.plain_value()
            if found.type() == cel.Type.BOOL and (plain is True or plain is False):
                return plain, None
            return None, str(plain)
        except _FAILURES as error:
            return None, str(error)

    def _program_of(self, node: ExpressionNode) -> cel.Expression:
        program = self._shared.programs.get(id(node))
        if program is None:
            program = self._shared.env.deserialize(self._shared.checked.encode_branch(node))
            self._shared.programs[id(node)] = program
        return program


def _flatten_operands(node: ExpressionNode, op: str) -> Iterable[ExpressionNode]:
    """Yield the operands of a chain: `a && b && c` has three, however the engine nests them."""
    for child in node.children:
        if op in ("&&", "||") and child.kind is NodeKind.CALL and _LOGIC.get(child.name) == op:
            yield from _flatten_operands(child, op)
        else:
            yield child


# ---- values for the engine ---------------------------------------------------------------------------------------------


_UNLIMITED_TYPES = (bool, int, datetime)


def bind_facts(facts: Mapping[str, FactValue], lets: Mapping[str, Expression] = _NOTHING) -> BoundFacts:
    """Truncate the known facts to the limits and evaluate each `let` once.

    A `let` whose value cannot be used is unknown: one that is too large, because each further `let` could double it.
    """
    values, needs_engine = dict[str, object](), False
    for name, value in facts.items():
        values[name] = value if value.__class__ in _UNLIMITED_TYPES else truncate_fact(value)
        if value.__class__ is int and value.bit_length() > 63:
            needs_engine = True  # it refuses larger numbers
    if not lets:
        return BoundFacts(values, needs_engine)
    few = {name: values[name] for let in lets.values() for name in let.own_facts if name in values}
    bound, stale, left = BoundFacts(few, needs_engine), False, MAX_LETS
    for name, let in lets.items():
        if stale and let.lets:
            bound.activation, stale = None, False
        found, truth = let.compute(bound)
        left -= text_length(found)
        if found is not None and (problem := let_value_problem(found, left)):
            found, truth = None, TruthValue(None, error=f"the value of `{name}` {problem}")
        if found is None:
            bound.unknown_lets[name] = truth
        else:
            few[name] = values[name] = found
            stale = True
    bound.values, bound.activation = values, None
    bound.truths.clear()
    return bound


def _make_activation(values: dict[str, object]) -> cel.Activation:
    """Create an activation.

    The engine accepts timestamps and durations only for names that an environment has compiled.
    """
    times = tuple((name, _TIMES[value.__class__]) for name, value in values.items() if value.__class__ in _TIMES)
    return (_time_environment(times) if times else _EMPTY_ENV).Activation(values)


_TIMES: dict[type, str] = {datetime: "timestamp", timedelta: "duration"}


@lru_cache(maxsize=256)
def _time_environment(times: tuple[tuple[str, str], ...]) -> cel.Env:
    env = cel.NewEnv(variables={name: _engine_type(kind) for name, kind in times})
    for name, _ in times:
        env.compile(name)
    return env
