"""The conditions of a query: SQL with its values, and checks in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from .search_text import parts_of

TEXT = "t.text"
"""The SQL for the search text. A statement with such a condition joins `texts t`."""


@dataclass
class Candidate:
    """The data of a row that the checks use: its search text, the last reason and the row id of the person."""

    text: str
    reason: str | None
    person_id: int

    @cached_property
    def parts(self) -> list[tuple[str, str]]:
        """The marks of the search text, each with the text that follows it; split once for all checks."""
        return parts_of(self.text)


@dataclass(slots=True)
class Conditions:
    """The conditions of a query.

    A matching row satisfies the SQL and all `checks`, and its text contains all `needles`. `statuses`, `repos` and
    `verdicts` are the possible values; None means any. `classes` has the possible values of the columns `quality` and
    `mail`. `candidates` are the only requests that can match if an index finds few, else None. `compared_parts` is the
    number of pattern parts that each row is compared with.
    """

    where: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    needles: list[str] = field(default_factory=list)
    checks: list[Callable[[Candidate], bool]] = field(default_factory=list)
    statuses: list[str] | None = None
    classes: dict[str, list[str]] = field(default_factory=dict)
    repos: list[int] | None = None
    verdicts: list[int] | None = None
    tables: list[str] = field(default_factory=list)
    candidates: list[int] | None = None
    compared_parts: int = 0

    @property
    def has_text(self) -> bool:
        """Whether a condition uses the search text."""
        return bool(self.checks) or any(TEXT in sql for sql in self.where)

    @property
    def is_empty(self) -> bool:
        """Whether no value is left for some key, so that nothing matches."""
        return [] in (self.statuses, self.repos, self.verdicts, *self.classes.values())

    def restrict(self, requests: set[int]) -> None:
        """Restrict the candidates to these requests."""
        self.candidates = sorted(requests if self.candidates is None else requests.intersection(self.candidates))

    def add(self, sql: str, *values: object) -> None:
        """Add a condition."""
        self.where.append(sql)
        self.values.extend(values)
