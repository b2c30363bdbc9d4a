"""Many conditions in few programs, for speed: which is the first that holds? It must never answer otherwise than one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from .expressions import BoundFacts, Expression, IntegerProgram
from .fact_table import CelType

CHUNK_SIZE = 15  # conditions in one program: longer chains meet the engine's limit of depth
NONE_HOLDS = -1

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class MergedConditions:
    """The conditions of a policy, `r1 ? 1 : r2 ? 2 : ... : 0`, in chunks."""

    __slots__ = ("_conditions", "_declared", "_lets", "_open", "_plain")

    def __init__(
        self, conditions: Sequence[Condition], declared: Mapping[str, CelType], lets: Mapping[str, Expression]
    ) -> None:
        """Raises ValueError when the engine finds it too deep."""
        self._conditions, self._declared, self._lets = tuple(conditions), declared, lets
        self._plain = self._chain(0, "{}")
        self._open: dict[int, tuple[IntegerProgram, ...]] = {}

    def first_match(self, bound: BoundFacts) -> int | None:
        """The place of the first condition that holds, NONE_HOLDS, or None: something on the way is not known."""
        return _run_programs(self._plain, bound)

    def first_possible_match(self, bound: BoundFacts, start: int) -> int | None:
        """From there on the first that holds or is unknown, NONE_HOLDS, or None: that cannot be told this way."""
        numbers = self._open.get(start)
        if numbers is None:
            try:
                # True of what is unknown, so no rule may call it; here it only says where to look closer.
                numbers = self._chain(start, "__not_strictly_false__({})")
            except ValueError:
                numbers = ()
            self._open[start] = numbers
        return _run_programs(numbers, bound) if numbers or start >= len(self._conditions) else None

    def _chain(self, start: int, around: str) -> tuple[IntegerProgram, ...]:
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
    """None: the engine finds it too deep."""
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
    return NONE_HOLDS


def _condition_source(when: Expression | None, unless: Expression | None) -> str:
    """The pair as one condition. A line end closes a comment; what binds less than `?` goes into brackets."""
    if when and not unless and when.op != "?:":
        return f"{when.full_source}\n"
    parts = [f"({when.full_source}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.full_source}\n)")
    return " && ".join(parts) or "true"
