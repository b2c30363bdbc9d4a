"""Many conditions in few programs, for speed: which is the first that holds? It must never answer otherwise than one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from .expressions import Bound, Expression, Number
from .fact_table import CelType

MERGED = 15  # conditions in one program: longer chains meet the engine's limit of depth
NONE_HOLDS = -1

Condition: TypeAlias = "tuple[Expression | None, Expression | None]"
"""`when` (None: always) and `unless` (None: never)."""


class Merged:
    """The conditions of a policy, `r1 ? 1 : r2 ? 2 : ... : 0`, in chunks."""

    __slots__ = ("_conditions", "_declared", "_lets", "_open", "_plain")

    def __init__(
        self, conditions: Sequence[Condition], declared: Mapping[str, CelType], lets: Mapping[str, Expression]
    ) -> None:
        """Raises ValueError when the engine finds it too deep."""
        self._conditions, self._declared, self._lets = tuple(conditions), declared, lets
        self._plain = self._chain(0, "{}")
        self._open: dict[int, tuple[Number, ...]] = {}

    def first(self, bound: Bound) -> int | None:
        """The place of the first condition that holds, NONE_HOLDS, or None: something on the way is not known."""
        return _ask(self._plain, bound)

    def first_not_false(self, bound: Bound, start: int) -> int | None:
        """From there on the first that holds or is unknown, NONE_HOLDS, or None: that cannot be told this way."""
        numbers = self._open.get(start)
        if numbers is None:
            try:
                # True of what is unknown, so no rule may call it; here it only says where to look closer.
                numbers = self._chain(start, "__not_strictly_false__({})")
            except ValueError:
                numbers = ()
            self._open[start] = numbers
        return _ask(numbers, bound) if numbers or start >= len(self._conditions) else None

    def _chain(self, start: int, around: str) -> tuple[Number, ...]:
        numbers = []
        for first in range(start, len(self._conditions), MERGED):
            some = self._conditions[first : first + MERGED]
            chain = "".join(
                f"{around.format(_both(*pair))}\n? {first + place + 1} : " for place, pair in enumerate(some)
            )
            numbers.append(Number(chain + "0", self._declared, self._lets))
        return tuple(numbers)


def merge(
    conditions: Sequence[Condition],
    declared: Mapping[str, CelType],
    lets: Mapping[str, Expression] = MappingProxyType({}),
) -> Merged | None:
    """None: the engine finds it too deep."""
    try:
        return Merged(conditions, declared, lets)
    except ValueError:
        return None


def _ask(numbers: Sequence[Number], bound: Bound) -> int | None:
    for number in numbers:
        found = number.run(bound)
        if found is None:
            return None
        if found:
            return found - 1
    return NONE_HOLDS


def _both(when: Expression | None, unless: Expression | None) -> str:
    """The pair as one condition. A line end closes a comment; what binds less than `?` goes into brackets."""
    if when and not unless and when.op != "?:":
        return f"{when.written}\n"
    parts = [f"({when.written}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.written}\n)")
    return " && ".join(parts) or "true"
