"""Numbers of requests of the queue, and sums of them by the keys of a query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct, field

from hf_gate.core.parsing.query import Term
from hf_gate.core.stored_rows import ClassCount, QueueCount

CounterRow: TypeAlias = "tuple[Any, ...]"


class CounterTable(NamedTuple):
    """Numbers of requests by the values of some keys. `places`: the index of each key in a row."""

    places: Mapping[str, int]
    numbers: Mapping[CounterRow, int]


_CELLS: Final = {"repo": 0, "status": 1, "verdict": 2, "rule": 3}


class Counters(Struct, frozen=True):
    """Numbers of requests by repo, status, verdict and rule (`cells`), and by repo, status and one of the `classes`."""

    cells: Sequence[QueueCount]
    classes: Mapping[str, Sequence[ClassCount]] = field(default_factory=dict)
    _tables: dict[tuple[frozenset[str], bool], CounterTable] = field(default_factory=dict)

    def select(self, terms: Sequence[Term], *more: str) -> CounterTable | None:
        """Return the numbers by the keys of these terms and more keys; None if no counter has them all.

        Each table is summed up once: most views and facets of a page use the same few.
        """
        keys = frozenset((*(term.key for term in terms), *more))
        is_negated = any(term.key in self.classes and term.is_not for term in terms)
        if (keys, is_negated) not in self._tables:
            if (table := self._sum_up(keys, is_negated=is_negated)) is None:
                return None
            self._tables[keys, is_negated] = table
        return self._tables[keys, is_negated]

    def _sum_up(self, keys: frozenset[str], *, is_negated: bool) -> CounterTable | None:
        if keys <= _CELLS.keys():
            return _sum_rows(keys, _CELLS, self.cells)
        for kind, rows in self.classes.items():
            if keys <= (places := {"repo": 0, "status": 1, kind: 2}).keys():
                return _sum_rows(keys, places, [*rows, *self._list_unclassified(rows)] if is_negated else rows)
        return None

    def _list_unclassified(self, rows: Sequence[ClassCount]) -> list[ClassCount]:
        """Return the numbers of requests without a class, such as erased ones: only terms with a minus match them."""
        left: Counter[tuple[str, str]] = Counter()
        for cell in self.cells:
            left[cell.repo, cell.status] += cell.n
        for row in rows:
            left[row.repo, row.status] -= row.n
        return [ClassCount(repo, status, None, n) for (repo, status), n in left.items() if n > 0]


def _sum_rows(keys: frozenset[str], places: Mapping[str, int], rows: Sequence[QueueCount | ClassCount]) -> CounterTable:
    names = sorted(keys)
    numbers = dict[CounterRow, int]()
    indexes = [places[name] for name in names]
    for row in rows:
        values = tuple([row[index] for index in indexes])
        numbers[values] = numbers.get(values, 0) + row.n
    return CounterTable({name: index for index, name in enumerate(names)}, numbers)
