"""Finds the numbers of days at which a fact that counts days can change a verdict, from the comparisons in the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .evaluator import CompiledPolicy
from .expressions import Expression

_ORDER = ("==", "!=", "<", "<=", ">", ">=", "in")


def find_thresholds(policies: Iterable[CompiledPolicy], fact: str) -> tuple[int, ...] | None:
    """Return the numbers in order; None if any day can change a verdict, because the fact is more than compared."""
    found: set[int] = set()
    for expression in _expressions_of(policies):
        compared = [one for one in expression.comparisons if one.fact == fact and one.op in _ORDER]
        if len(compared) != expression.count_uses(fact):
            return None
        for value in (value for one in compared for value in one.values):
            if not isinstance(value, int):
                return None
            found |= {value, value + 1}  # `days > 30` changes at 31, `days >= 30` at 30
    return tuple(sorted(found))


def _expressions_of(policies: Iterable[CompiledPolicy]) -> Iterator[Expression]:
    for each in policies:
        every = (*each.lets.values(), *(one for pair in each.conditions for one in pair), *each.keep)
        yield from (one for one in every if one is not None)
