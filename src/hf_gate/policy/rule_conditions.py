"""Evaluates the conditions of rules: `when` holds, and `unless` does not."""

from __future__ import annotations

from typing import TypeAlias

from .expressions import BoundFacts, Expression
from .model import FALSE, TRUE, TruthValue, combine_unknowns

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


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
