"""Finds the numbers of days at which a fact that counts days can change a verdict, from the
comparisons in the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hf_gate.policies.evaluation.evaluator import CompiledPolicy
from hf_gate.policies.expressions.expressions import Expression
from hf_gate.policies.facts.fact_values import DAY_COUNTS, FactInputs

_FAR: Final = 1_000_000  # days; a threshold beyond is never reached
_ORDER = ("==", "!=", "<", "<=", ">", ">=", "in")


def find_thresholds(policies: Iterable[CompiledPolicy], fact: str) -> tuple[int, ...] | None:
    """Return the numbers in order; None if any day can change a verdict, because the fact is more than compared."""
    return find_thresholds_in(_expressions_of(policies), fact)


def find_thresholds_in(expressions: Iterable[Expression], fact: str) -> tuple[int, ...] | None:
    """Return the numbers for these expressions. The expressions of their `let` names must be among them."""
    thresholds: set[int] = set()
    for expression in expressions:
        compared = [
            comparison for comparison in expression.comparisons if comparison.fact == fact and comparison.op in _ORDER
        ]
        if len(compared) != expression.count_uses(fact):
            return None
        for value in (value for one in compared for value in one.values):
            if not isinstance(value, int):
                return None
            thresholds |= {value, value + 1}  # `days > 30` changes at 31, `days >= 30` at 30
    return tuple(sorted(thresholds))


def iterate_day_changes(
    at: FactInputs, thresholds: Mapping[str, Sequence[int] | None], now: datetime
) -> Iterator[datetime]:
    """Yield when each of these facts that count days reaches its next threshold."""
    for name, numbers in thresholds.items():
        since = DAY_COUNTS[name](at)
        if isinstance(since, datetime):
            yield from _next_change(since, now, numbers)


def _next_change(since: datetime, now: datetime, thresholds: Sequence[int] | None) -> Iterator[datetime]:
    """Yield when the whole days since a moment reach their next threshold, if they do."""
    days = max(0, (now - since).days)
    following = days + 1 if thresholds is None else next((number for number in thresholds if number > days), _FAR)
    if following < _FAR:
        yield since + timedelta(days=following)


def _expressions_of(policies: Iterable[CompiledPolicy]) -> Iterator[Expression]:
    for compiled in policies:
        conditions = (condition for pair in compiled.conditions for condition in pair)
        expressions = (*compiled.lets.values(), *conditions, *compiled.keep)
        yield from (expression for expression in expressions if expression is not None)
