"""The conditions of a query: SQL with its values, and checks in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from functools import cached_property
from typing import Final, TypeAlias

from msgspec import Struct, field

from ..domain.case_folding import fold_for_search
from ..domain.lifecycle import Status
from ..domain.members import OWNER_SETTING, owner_of_setting
from ..domain.query import ASSIGNED_TO_NOBODY, Age, Day, Pattern, Term
from .search_text import parts_of
from .sql import Database

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


class Conditions(Struct):
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


# ---- times -----------------------------------------------------------------------------------------------------------


Condition: TypeAlias = tuple[str, Sequence[object]]
"""A condition in SQL, with its values."""

_EARLIER: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}  # a greater age is an earlier time
_ENDLESS: Final = f"r.status = '{Status.ACCEPTED}' AND r.ends_at IS NULL AND r.terms IS NULL"


def age_conditions(term: Term, now: int) -> Iterator[Condition]:
    """Yield the conditions on the time since the request."""
    for value in term.values:
        if isinstance(value, Age):
            yield f"r.asked_at {_EARLIER[value.sign]} ?", (now - value.seconds * 1000,)


def day_condition(column: str, value: Day, zone: tzinfo) -> Condition:
    """Return the condition that a time (ms) lies on, before or after a day."""
    bounds = [(sign, day) for sign, day in zip((">=", "<"), value.bounds, strict=True) if day is not None]
    starts = [round(datetime.combine(day, time(), zone).timestamp() * 1000) for _, day in bounds]
    return " AND ".join(f"{column} {sign} ?" for sign, _ in bounds), starts


def end_conditions(term: Term, now: int, zone: tzinfo) -> Iterator[Condition]:
    """Yield the conditions on the end of access. Access with neither a date nor a condition has no end."""
    for value in term.values:
        if isinstance(value, Age):
            yield f"r.ends_at {value.sign} ?", (now + value.seconds * 1000,)
        elif isinstance(value, Day):
            yield day_condition("r.ends_at", value, zone)
        else:
            yield ("r.ends_at IS NOT NULL" if value.is_any else _ENDLESS), ()


# ---- assignments -----------------------------------------------------------------------------------------------------


IS_FREE: Final = "r.assigned IS NULL"


def assigned_conditions(db: Database, patterns: Iterable[Pattern]) -> list[Condition]:
    """Return the conditions of which one must hold. A value is a member's name, `none`, `=ID` or `!ID`.

    `=ID` is the member with this id, `!ID` any other member.
    """
    names = _read_names(db)
    own = set[str]()
    found = list[Condition]()
    for pattern in patterns:
        text = pattern.parts[0]
        if pattern.is_any:
            found.append(("r.assigned IS NOT NULL", ()))
        elif pattern.is_plain and text == ASSIGNED_TO_NOBODY:
            found.append((IS_FREE, ()))
        elif pattern.is_plain and text[:1] == "!":
            found.append(("r.assigned IS NOT NULL AND r.assigned <> ?", (text[1:],)))
        elif pattern.is_plain and text[:1] == "=":
            own.add(text[1:])
        else:
            own |= {ident for ident, name in names.items() if pattern.matches(fold_for_search(name))}
    if own:
        among, value = db.in_clause(sorted(own))
        found.append((f"r.assigned {among}", (value,)))
    return found


def _read_names(db: Database) -> dict[str, str]:
    """Return the names of the owner and of the members who may sign in, by id."""
    names = {row[0]: row[1] for row in db.rows("SELECT id, name FROM members WHERE link IS NOT NULL")}
    text = db.setting(OWNER_SETTING)
    if text is not None:
        owner = owner_of_setting(text)
        names[owner.id] = owner.name
    return names
