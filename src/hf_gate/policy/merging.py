"""Many conditions in few programs, for speed: which is the first that holds? It must never answer otherwise than one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .expressions import Bound, Expression, Number
from .fact_table import CelType

MERGED = 15  # conditions in one program: longer chains meet the engine's limit of depth
NONE_HOLDS = -1


class Merged:
    """The conditions of a policy, `r1 ? 1 : r2 ? 2 : ... : 0`, in chunks."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Sequence[Number]) -> None:
        self._numbers = tuple(numbers)

    def first(self, bound: Bound) -> int | None:
        """The place of the first condition that holds, NONE_HOLDS, or None: something on the way is not known."""
        for number in self._numbers:
            found = number.run(bound)
            if found is None:
                return None
            if found:
                return found - 1
        return NONE_HOLDS


def merge(
    conditions: Sequence[tuple[Expression | None, Expression | None]],
    declared: Mapping[str, CelType],
    lets: Mapping[str, Expression] = MappingProxyType({}),
) -> Merged | None:
    """Of pairs of `when` (None: always) and `unless` (None: never); None: the engine finds it too deep."""
    numbers = []
    try:
        for start in range(0, len(conditions), MERGED):
            some = conditions[start : start + MERGED]
            chain = "".join(f"{_both(*pair)}\n? {start + place + 1} : " for place, pair in enumerate(some))
            numbers.append(Number(chain + "0", declared, lets))
    except ValueError:
        return None
    return Merged(numbers)


def _both(when: Expression | None, unless: Expression | None) -> str:
    """The pair as one condition. A line end closes a comment; what binds less than `?` goes into brackets."""
    parts = [f"({when.written}\n)"] if when else []
    if unless:
        parts.append(f"!({unless.written}\n)")
    if when and not unless and when.op != "?:":
        return when.written
    return " && ".join(parts) or "true"
