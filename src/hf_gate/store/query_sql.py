"""A query as conditions of SQL: exact where a column says it all, else a superset with what is left to look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from functools import cached_property
from typing import Final

from ..domain.case_folding import fold_for_search
from ..domain.ids import is_id
from ..domain.query import Age, Day, Pattern, Query, Term
from .search_text import NAME, SHORT, clean, is_dense, label_mark, parts_of
from .sql import Database, Row
from .state_columns import repo_of

TEXT = "t.text"
"""The search text in a condition: a statement that has one joins `texts t`."""


@dataclass
class Candidate:
    """What a row shows to a check: its search text and the last reason."""

    text: str
    reason: str | None

    @cached_property
    def parts(self) -> list[tuple[str, str]]:
        """The marks of the search text, each with the text behind it; taken apart once for all checks."""
        return parts_of(self.text)


@dataclass(slots=True)
class Conditions:
    """A query made ready. `checks` must all hold of a row beside the SQL; `needles` must all stand in its text.

    `statuses`, `repos` and `verdicts` are the values that are left where the query names some; None: any. `only`: the
    requests that it can be, where they are few and found by an index; None: not known. `compared`: parts of patterns that
    each row is compared with.
    """

    where: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    needles: list[str] = field(default_factory=list)
    checks: list[Callable[[Candidate], bool]] = field(default_factory=list)
    statuses: list[str] | None = None
    repos: list[int] | None = None
    verdicts: list[int] | None = None
    tables: list[str] = field(default_factory=list)
    only: list[int] | None = None
    compared: int = 0

    @property
    def has_text(self) -> bool:
        """Whether a condition looks at the search text."""
        return bool(self.checks) or any(TEXT in sql for sql in self.where)

    def add(self, sql: str, *values: object) -> None:
        """One more condition."""
        self.where.append(sql)
        self.values.extend(values)


def conditions(query: Query, db: Database, *, now: int, zone: tzinfo = UTC) -> Conditions:
    """What a query means in this store at a moment (ms); days are days of `zone`."""
    found = Conditions(compared=sum(map(_parts_in, query.terms)))
    for term in query.terms:
        _TERMS[term.key](_Making(found, db, now, zone), term)
    return found


def _parts_in(term: Term) -> int:
    """How much of a term each row is compared with: a gap between two stars is sought for by itself."""
    if term.key in _BY_LIST:
        return 0
    return sum(len(value.parts) if isinstance(value, Pattern) else 1 for value in term.values)


_BY_LIST: Final = frozenset({"status", "repo", "rule", "verdict", "shadow", "queue"})
"""Keys with so few values that the pattern is compared with those, and not with rows."""


@dataclass(slots=True)
class _Making:
    into: Conditions
    db: Database
    now: int
    zone: tzinfo

    def among(self, column: str, values: Sequence[object], *, is_not: bool) -> None:
        among, value = self.db.among(values)
        sql = f"{column} {among}"
        self.into.add(f"({sql}) IS NOT TRUE" if is_not else sql, value)

    def either(self, parts: Iterable[tuple[str, Sequence[object]]], *, is_not: bool) -> None:
        several = list(parts)
        sql = " OR ".join(f"({sql})" for sql, _ in several)
        self.into.add(f"({sql}) IS NOT TRUE" if is_not else f"({sql})", *(v for _, values in several for v in values))

    def holding(self, needle: str) -> tuple[str, Sequence[object]]:
        """That a text stands in the search text."""
        return f"{'instr' if self.db.is_sqlite else 'strpos'}({TEXT}, ?) > 0", (needle,)


def _fits(patterns: Sequence[Pattern], value: str | None) -> bool:
    return value is not None and any(pattern.matches(fold_for_search(value)) for pattern in patterns)


def _both(old: list[int] | None, new: list[int]) -> list[int]:
    return new if old is None else list(frozenset(new).intersection(old))


# ---- keys with few values: the pattern is compared with those that there are ---------------------------------------------


def _status(making: _Making, term: Term) -> None:
    names = [row[0] for row in making.db.rows("SELECT DISTINCT name FROM counters WHERE kind = 'status'")]
    fitting = [name for name in names if _fits(term.patterns, name) != term.is_not]
    old = making.into.statuses
    making.into.statuses = fitting if old is None else [name for name in fitting if name in old]


def _repo(making: _Making, term: Term) -> None:
    fitting = []
    for ident, kind, namespace, name in making.db.rows("SELECT id, type, namespace, name FROM repos WHERE id > 0"):
        path = fold_for_search(repo_of(kind, namespace, name).web_path)
        is_like = any(
            pattern.matches(path if "/" in "".join(pattern.parts) or pattern.is_any else fold_for_search(name))
            for pattern in term.patterns
        )
        if is_like != term.is_not:
            fitting.append(ident)
    making.into.repos = _both(making.into.repos, fitting)


def _verdict(column: str) -> Callable[[_Making, Term], None]:
    def condition(making: _Making, term: Term) -> None:
        fitting = [
            ident
            for ident, value in making.db.rows(f"SELECT id, {column} FROM verdicts")
            if _fits(term.patterns, value)
        ]
        if term.is_not:
            making.among("r.verdict_id", fitting, is_not=True)
        else:
            making.into.verdicts = _both(making.into.verdicts, fitting)

    return condition


def _shadow(making: _Making, term: Term) -> None:
    """Of several policies in shadow, one that says so is enough."""
    rows = making.db.rows("SELECT id, shadow FROM verdicts")
    said = {ident: [action for _, _, action in json.loads(shadow)] for ident, shadow in rows}
    fitting = [ident for ident, actions in said.items() if any(_fits(term.patterns, one) for one in actions)]
    if term.is_not:
        making.among("r.verdict_id", fitting, is_not=True)
    else:
        making.into.verdicts = _both(making.into.verdicts, fitting)


def _queue(making: _Making, term: Term) -> None:
    names = [row[0] for row in making.db.rows("SELECT DISTINCT name FROM counters WHERE kind = 'queue'")]
    making.among("r.queue", [name for name in names if _fits(term.patterns, name)], is_not=term.is_not)


def _table(making: _Making, term: Term) -> None:
    names = [row[0] for row in making.db.rows("SELECT DISTINCT name FROM hits")]
    fitting = [name for name in names if _fits(term.patterns, name)]
    among, value = making.db.among(fitting)
    sql = f"EXISTS (SELECT 1 FROM hits h WHERE h.request_id = r.id AND h.name {among})"
    making.into.add(f"NOT {sql}" if term.is_not else sql, value)


def _country(making: _Making, term: Term) -> None:
    making.either((_like("upper(r.country)", p, str.upper) for p in term.patterns), is_not=term.is_not)


def _domain(making: _Making, term: Term) -> None:
    making.either((_like("r.domain", p, fold_for_search) for p in term.patterns), is_not=term.is_not)
    if not term.is_not and len(term.patterns) == 1 and not term.patterns[0].is_any:
        parts = term.patterns[0].folded_parts
        making.into.needles += ["@" + parts[0], *parts[1:]]


def _like(column: str, pattern: Pattern, fold: Callable[[str], str]) -> tuple[str, Sequence[object]]:
    """A pattern over a column of folded text, exactly."""
    parts = [clean(fold(part)) for part in pattern.parts]
    if pattern.is_any:
        return f"{column} <> ''", ()
    if pattern.is_plain:
        return f"{column} = ?", (parts[0],)
    text = "%".join(part.replace("!", "!!").replace("%", "!%").replace("_", "!_") for part in parts)
    return f"{column} LIKE ? ESCAPE '!'", (text,)


# ---- times ---------------------------------------------------------------------------------------------------------------


def _age(making: _Making, term: Term) -> None:
    parts = []
    for value in term.values:
        if isinstance(value, Age):
            sign = {">": "<", ">=": "<=", "<": ">", "<=": ">="}[value.sign]  # the older, the smaller its time
            parts.append((f"r.asked_at {sign} ?", (making.now - value.seconds * 1000,)))
    making.either(parts, is_not=term.is_not)


def _day(column: str) -> Callable[[_Making, Term], None]:
    def condition(making: _Making, term: Term) -> None:
        parts = []
        for value in term.values:
            if isinstance(value, Day):
                bounds = [(sign, day) for sign, day in zip((">=", "<"), value.bounds, strict=True) if day is not None]
                starts = [round(datetime.combine(day, time(), making.zone).timestamp() * 1000) for _, day in bounds]
                parts.append((" AND ".join(f"{column} {sign} ?" for sign, _ in bounds), starts))
        making.either(parts, is_not=term.is_not)

    return condition


# ---- text ----------------------------------------------------------------------------------------------------------------


def _word(making: _Making, term: Term) -> None:
    pattern = term.patterns[0]
    if pattern.is_plain:
        making.either([making.holding(pattern.folded_parts[0])], is_not=term.is_not)
        making.into.needles += () if term.is_not else pattern.folded_parts
    else:
        _add_check(making, term, lambda found: any(pattern.matches_within(value) for _, value in found.parts))
        _must(making, term, pattern.folded_parts)


def _user(making: _Making, term: Term) -> None:
    ids = [pattern.parts[0].lower() for pattern in term.patterns if pattern.is_plain]
    known = [one for one in ids if is_id(one) or one.startswith("p_")]
    if known:
        among, value = making.db.among(known)
        people = f"SELECT id FROM people WHERE user_id {among} OR pseudonym {among}"
        names = [making.holding(f"{NAME}{p.folded_parts[0]}{NAME}") for p in term.patterns if p.is_plain]
        stars = [pattern for pattern in term.patterns if not pattern.is_plain]
        if stars:
            return _ids_and_stars(making, term, people, [value, value])
        if not term.is_not:
            _only(making, term, people, [value, value])
        return making.either([(f"r.person_id IN ({people})", [value, value]), *names], is_not=term.is_not)
    _add_check(making, term, lambda found: _fits_folded(term, [found.parts[1][1]]))
    _needle(making, term, before=NAME, after=NAME)
    return None


def _only(making: _Making, term: Term, people: str, values: list[object]) -> None:
    """The requests of those accounts, and those whose text can have one of these names."""
    among, value = making.db.among([ident for (ident,) in making.db.rows(people, values)])
    rows = making.db.rows(f"SELECT id FROM requests WHERE person_id {among}", (value,))
    for pattern in term.patterns:
        grams = grams_of([f"{NAME}{pattern.folded_parts[0]}{NAME}"])
        more = rows_with(making.db, grams, FEW + 1) if grams else []
        if not grams or len(more) > FEW:
            return
        rows += more
    only = {row[0] for row in rows}
    making.into.only = sorted(only if making.into.only is None else only & set(making.into.only))


def _ids_and_stars(making: _Making, term: Term, people: str, values: list[object]) -> None:
    """Ids and patterns in one term: the ids become names, and the rest is looked at."""
    rows = making.db.rows(f"SELECT username FROM people WHERE id IN ({people})", values)
    known = {fold_for_search(row[0]) for row in rows if row[0]}
    _add_check(
        making,
        term,
        lambda found: (name := found.parts[1][1]) in known or _fits_folded(term, [name]),
    )


def _email(making: _Making, term: Term) -> None:
    _add_check(making, term, lambda found: _fits_folded(term, [found.parts[2][1]]))
    _needle(making, term, before=NAME, after="")


def _answer(making: _Making, term: Term) -> None:
    _add_check(making, term, lambda found: _fits_folded(term, [value for _, value in found.parts[3:]]))
    _must(making, term, term.patterns[0].folded_parts)


def _form(making: _Making, term: Term) -> None:
    mark = label_mark(term.label or "")
    _add_check(
        making,
        term,
        lambda found: _fits_folded(term, [value for at, value in found.parts[3:] if at == mark]),
    )
    _needle(making, term, before=mark, after="")


def _reason(making: _Making, term: Term) -> None:
    _add_check(making, term, lambda found: _fits(term.patterns, found.reason))
    if not term.is_not:
        making.into.add("r.reason IS NOT NULL")


def _fits_folded(term: Term, values: Sequence[str]) -> bool:
    return any(pattern.matches(value) for pattern in term.patterns for value in values)


def _add_check(making: _Making, term: Term, holds: Callable[[Candidate], bool]) -> None:
    """A condition that is looked at outside of SQL."""
    making.into.checks.append((lambda found: not holds(found)) if term.is_not else holds)


def _needle(making: _Making, term: Term, *, before: str, after: str) -> None:
    """What must stand in the text when a value of one pattern fits as a whole between two marks."""
    parts = [*term.patterns[0].folded_parts]
    parts[0] = before + parts[0]
    parts[-1] += after
    _must(making, term, parts)


def _must(making: _Making, term: Term, parts: Sequence[str]) -> None:
    """What must stand in the text, if it is one pattern that must fit; the longest part also spares many looks."""
    if term.is_not or len(term.values) != 1:
        return
    making.into.needles += parts
    making.either([making.holding(max(parts, key=len))], is_not=False)


_TERMS: dict[str, Callable[[_Making, Term], None]] = {
    "": _word, "status": _status, "repo": _repo, "user": _user, "email": _email, "domain": _domain, "country": _country,
    "age": _age, "asked": _day("r.asked_at"), "reviewed": _day("r.reviewed_at"), "rule": _verdict("rule"),
    "verdict": _verdict("action"), "shadow": _shadow, "table": _table, "reason": _reason, "form": _form, "answer": _answer, "queue": _queue,
}  # fmt: skip


FEW: Final = 6_000
"""So many candidates are looked at one by one; more of them are so frequent that a page is soon filled in order."""


# ---- the index -------------------------------------------------------------------------------------------------------------


def grams_of(needles: Iterable[str]) -> list[str]:
    """The threes of characters that the index must have of everything that must stand in a text; not more than are of use."""
    found: dict[str, None] = {}
    for needle in needles:
        last = len(needle) - 3
        if last >= 0:
            step = 1 + last // 6
            found |= dict.fromkeys(needle[i : i + 3] for i in [*range(0, last, step), last])
        elif needle and is_dense(needle):
            found[SHORT + needle if len(needle) == 2 else SHORT + SHORT + needle] = None
    return list(found)[:16]


def rows_with(db: Database, grams: Sequence[str], most: int) -> list[Row]:
    """The numbers of so many requests whose texts have all of these."""
    if db.is_sqlite:
        match = " AND ".join(f'"{gram.replace(chr(34), chr(34) * 2)}"' for gram in grams)
        return db.rows("SELECT rowid FROM grams WHERE grams MATCH ? LIMIT ?", (match, most))
    # asked for first, so that the planner knows the values and how rare they are
    hashes = [row[0] for row in db.rows("SELECT hashtext(gram) FROM unnest(?::text[]) AS gram", (list(grams),))]
    return db.rows("SELECT id FROM texts WHERE grams_of(text || extra) @> ?::int[] LIMIT ?", (hashes, most))
