"""Finds the numbers of days at which a fact that counts days can change a verdict, from the
comparisons in the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hf_gate.policies.evaluation.evaluator import CompiledPolicy
from hf_gate.policies.expressions.expressions import Expression
from hf_gate.policies.facts.fact_values import FactInputs, UnknownValue, account_created_at

DAY_FACTS: Final[tuple[str, ...]] = ("request.age_days", "person.account_days", "history.days_since_last")
"""The facts that count days."""

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
    if "request.age_days" in thresholds:
        yield from _next_change(at.request.asked_at, now, thresholds["request.age_days"])
    if "person.account_days" in thresholds and not isinstance(created := account_created_at(at), UnknownValue):
        yield from _next_change(created, now, thresholds["person.account_days"])
    last_at = None if at.history is None else at.history.last_at
    if "history.days_since_last" in thresholds and last_at is not None:
        yield from _next_change(last_at, now, thresholds["history.days_since_last"])


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
