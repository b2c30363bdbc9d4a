"""Merges the conditions of rules into few programs, and evaluates single conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from .expressions import BoundFacts, Expression, IntegerProgram
from .fact_table import CelType
from .model import TruthValue, combine_unknowns

CHUNK_SIZE = 15  # the most conditions in one program; longer chains exceed the engine's depth limit
NO_MATCH = -1

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class MergedConditions:
    """The conditions of a policy merged into few programs of the form `r1 ? 1 : r2 ? 2 : ... : 0`.

    The result is the same as that of the separate conditions, but faster.
    """

    __slots__ = ("_certain", "_conditions", "_declared", "_lets", "_possible")

    def __init__(
        self, conditions: Sequence[Condition], declared: Mapping[str, CelType], lets: Mapping[str, Expression]
    ) -> None:
        """Compile the conditions. Raises ValueError if they are nested too deeply for the engine."""
        self._conditions, self._declared, self._lets = tuple(conditions), declared, lets
        self._certain = self._compile_chain(0, "{}")
        self._possible: dict[int, tuple[IntegerProgram, ...]] = {}

    def first_match(self, bound: BoundFacts) -> int | None:
        """Return the index of the first true condition or NO_MATCH; None if an earlier value is unknown."""
        return _run_programs(self._certain, bound)

    def first_possible_match(self, bound: BoundFacts, start: int) -> int | None:
        """Return the index of the first true or unknown condition from `start`, or NO_MATCH; None if undecided."""
        numbers = self._possible.get(start)
        if numbers is None:
            try:
                # This function is true for unknown values, so rules must not call it. Here, it finds candidates.
                numbers = self._compile_chain(start, "__not_strictly_false__({})")
            except ValueError:
                numbers = ()
            self._possible[start] = numbers
        return _run_programs(numbers, bound) if numbers or start >= len(self._conditions) else None

    def _compile_chain(self, start: int, around: str) -> tuple[IntegerProgram, ...]:
        numbers = []
        for first in range(start, len(self._conditions), CHUNK_SIZE):
            some = self._conditions[first : first + CHUNK_SIZE]
            chain = "".join(
                f"{around.format(_condition_source(*pair))}\n? {first + place + 1} : "
                for place, pair in enumerate(some)
            )
            numbers.append(IntegerProgram(chain + "0", self._declared, self._lets))
        return tuple(numbers)


def merge_conditions(
    conditions: Sequence[Condition],
    declared: Mapping[str, CelType],
    lets: Mapping[str, Expression] = MappingProxyType({}),
) -> MergedConditions | None:
    """Merge the conditions; return None if they are nested too deeply for the engine."""
    try:
        return MergedConditions(conditions, declared, lets)
    except ValueError:
        return None


def _run_programs(numbers: Sequence[IntegerProgram], bound: BoundFacts) -> int | None:
    for number in numbers:
        found = number.run(bound)
        if found is None:
            return None
        if found:
            return found - 1
    return NO_MATCH


def _condition_source(when: Expression | None, unless: Expression | None) -> str:
    """Join `when` and `unless` into one condition.

    A line end closes a comment, and parentheses protect operators of lower precedence.
    """
    if when and not unless and when.op != "?:":
        return f"{when.full_source}\n"
    parts = [f"({when.full_source}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.full_source}\n)")
    return " && ".join(parts) or "true"


def evaluate_condition(condition: Condition, bound: BoundFacts) -> TruthValue:
    """Evaluate `when && !unless`; a false side makes the result false even if the other is unknown."""
    when, unless = condition
    matches = when.evaluate(bound) if when else TruthValue(True)
    if matches.value is False or unless is None:
        return matches
    excluded = unless.evaluate(bound)
    if excluded.value is True:
        return TruthValue(False)
    if matches.value is True and excluded.value is False:
        return matches
    return combine_unknowns((matches, excluded))
