"""Detects conditions that are always true or never true, from the comparisons of each fact."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hf_gate.base.batches import group_pairs
from hf_gate.policies.facts.fact_table import find_declaration

from .expressions import Expression, bind_facts
from .fact_conditions import IS_TRUE, OPPOSITES


def is_always_true(condition: Expression) -> bool:
    """Tell whether the condition is true for all facts; False if this cannot be decided."""
    return _constant_value(condition) is True or _has_contradiction(condition, negated=True)


def is_never_true(condition: Expression) -> bool:
    """Tell whether the condition is false for all facts; False if this cannot be decided."""
    return _constant_value(condition) is False or _has_contradiction(condition, negated=False)


def _constant_value(condition: Expression) -> bool | None:
    """Return the value of a condition without any facts. If it is known, it holds for all facts."""
    return condition.evaluate(bind_facts({}, collect_lets(condition))).value


def collect_lets(condition: Expression) -> dict[str, Expression]:
    """Return the `let` expressions that a condition needs, in an order in which they can be evaluated."""
    lets: dict[str, Expression] = {}
    for name, let in condition.used_lets.items():
        lets.update(collect_lets(let))
        lets[name] = let
    return lets


def _has_contradiction(condition: Expression, *, negated: bool) -> bool:
    """Tell whether the condition (or its negation) is a conjunction with contradicting comparisons."""
    joint = "||" if negated else "&&"
    parts = condition.parts if condition.op == joint else (condition,) if not condition.op else ()
    comparisons = filter(None, (_comparison_of(part, negated=negated) for part in parts))
    by_fact = group_pairs((fact, (operator, values)) for fact, operator, values in comparisons)
    return any(not _is_satisfiable(fact, tests) for fact, tests in by_fact.items())


def _comparison_of(part: Expression, *, negated: bool) -> tuple[str, str, tuple[object, ...]] | None:
    """Return a comparison as (fact, operator, values). A boolean fact is compared with true."""
    found = part.condition
    if found is None or found.key is not None or found.has_size:
        return None
    is_opposite = found.is_negated is not negated
    if found.op == IS_TRUE:
        return found.fact, "!=" if is_opposite else "==", (True,)
    if found.op not in OPPOSITES:
        return None
    return found.fact, OPPOSITES[found.op] if is_opposite else found.op, found.values


def _is_satisfiable(fact: str, tests: list[tuple[str, tuple[object, ...]]]) -> bool:
    """Tell whether one value can pass all tests.

    The candidates are named values, declared values and their neighbours.
    """
    declaration = find_declaration(fact)
    named = [value for _, values in tests for value in values]
    candidates: list[object] = [*named]
    if declaration is not None and declaration.values is not None:
        candidates = [*declaration.values]
    elif all(isinstance(value, bool) for value in named):
        candidates = [True, False]
    elif all(isinstance(value, int) and not isinstance(value, bool) for value in named):
        numbers = [value for value in named if isinstance(value, int)]
        candidates = [value + step for value in numbers for step in (-1, 0, 1)]
        candidates = [value for value in candidates if isinstance(value, int) and value >= 0] or [-1]
    elif all(isinstance(value, str) for value in named):
        candidates += ["\0any other text"]
    else:
        return True
    return any(all(_passes_test(value, op, values) for op, values in tests) for value in candidates)


_TESTS: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _passes_test(value: object, op: str, values: Iterable[object]) -> bool:
    listed = list(values)
    if op in ("==", "in"):
        return value in listed
    if op in ("!=", "not in"):
        return value not in listed
    return all(isinstance(value, int) and isinstance(other, int) and _TESTS[op](value, other) for other in listed)
