"""SQL conditions of the query key `assigned`: by the names of members, with those for whom they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..domain.case_folding import fold_for_search
from ..domain.members import OWNER_SETTING, owner_of_setting
from ..domain.query import ASSIGNED_TO_NOBODY, Pattern
from .absences import find_deputies, read_absences
from .sql import Database

IS_FREE: Final = "r.assigned IS NULL"

Condition = tuple[str, Sequence[object]]


def assigned_conditions(db: Database, patterns: Iterable[Pattern], now: int) -> list[Condition]:
    """Return the conditions of which one must hold. A value is a member's name, `none`, `=ID` or `!ID`.

    `=ID` is the member with this id, `!ID` any other member. A deputy has what is assigned to those who are away.
    """
    names, deputies = _read_names(db), find_deputies(read_absences(db, now))
    own, found = set[str](), list[Condition]()
    for pattern in patterns:
        text = pattern.parts[0]
        if pattern.is_any:
            found.append(("r.assigned IS NOT NULL", ()))
        elif pattern.is_plain and text == ASSIGNED_TO_NOBODY:
            found.append((IS_FREE, ()))
        elif pattern.is_plain and text[:1] == "!":
            among, value = db.in_clause(sorted(_with_absent({text[1:]}, deputies)))
            found.append((f"r.assigned IS NOT NULL AND NOT r.assigned {among}", (value,)))
        elif pattern.is_plain and text[:1] == "=":
            own.add(text[1:])
        else:
            own |= {ident for ident, name in names.items() if pattern.matches(fold_for_search(name))}
    if own:
        among, value = db.in_clause(sorted(_with_absent(own, deputies)))
        found.append((f"r.assigned {among}", (value,)))
    return found


def _with_absent(idents: set[str], deputies: dict[str, str]) -> set[str]:
    """Return the members with those for whom they stand in."""
    return idents | {away for away, deputy in deputies.items() if deputy in idents}


def _read_names(db: Database) -> dict[str, str]:
    """Return the names of the owner and of the members who may sign in, by id."""
    names = {row[0]: row[1] for row in db.rows("SELECT id, name FROM members WHERE link IS NOT NULL")}
    row = db.row("SELECT value FROM settings WHERE key = ?", (OWNER_SETTING,))
    if row is not None:
        owner = owner_of_setting(row[0])
        names[owner.id] = owner.name
    return names
