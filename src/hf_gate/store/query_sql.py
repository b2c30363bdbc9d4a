"""Translates a query into SQL conditions, with checks in Python where SQL can only narrow the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, tzinfo
from typing import Final

from msgspec import Struct

from ..domain.case_folding import fold_for_search
from ..domain.ids import is_id
from ..domain.lifecycle import Status
from ..domain.query import KEY_VALUES, MISSING_APPROVAL, OVERDUE, SECOND_APPROVAL, Day, Pattern, Query, Term
from .query_conditions import (
    IS_FREE,
    TEXT,
    Candidate,
    Conditions,
    age_conditions,
    assigned_conditions,
    day_condition,
    end_conditions,
)
from .search_text import NAME, SHORT, clean, is_dense, label_mark
from .sql import Database, Row
from .state_columns import repo_of

# `|| ''` keeps SQLite from reading all pending requests by the index of their status
IS_OVERDUE: Final = f"r.due_at IS NOT NULL AND r.status || '' = '{Status.PENDING.value}' AND r.due_at < ?"


def build_conditions(query: Query, db: Database, *, now: int, zone: tzinfo = UTC) -> Conditions:
    """Translate a query for this store. `now` is in ms; days are in the time zone `zone`."""
    found = Conditions(compared_parts=sum(map(_count_parts, query.terms)))
    for term in query.terms:
        _ADDERS[term.key](_ConditionBuilder(found, db, now, zone, query.half_approved), term)
    return found


def _count_parts(term: Term) -> int:
    """Return how many comparisons a term costs for each row: each part of a pattern is searched separately."""
    if term.key in _BY_LIST:
        return 0
    return sum(len(value.parts) if isinstance(value, Pattern) else 1 for value in term.values)


_BY_LIST: Final = frozenset({"status", "repo", "rule", "verdict", "shadow", "queue", "assigned", "quality", "mail"})
"""Keys with so few distinct values that patterns are compared with these values instead of with rows."""


class _ConditionBuilder(Struct):
    result: Conditions
    db: Database
    now: int
    zone: tzinfo
    half_approved: frozenset[int]

    def add_in(self, column: str, values: Sequence[object], *, is_not: bool) -> None:
        among, value = self.db.in_clause(values)
        sql = f"{column} {among}"
        self.result.add(f"({sql}) IS NOT TRUE" if is_not else sql, value)

    def add_verdicts(self, fitting: list[int], *, is_not: bool) -> None:
        """Add a condition on the number of the verdict; a request without a verdict does not have these."""
        if is_not:
            self.add_in("r.verdict_id", fitting, is_not=True)
        else:
            self.result.verdicts = _intersect(self.result.verdicts, fitting)

    def add_any(self, parts: Iterable[tuple[str, Sequence[object]]], *, is_not: bool) -> None:
        several = list(parts)
        sql = " OR ".join(f"({sql})" for sql, _ in several)
        self.result.add(f"({sql}) IS NOT TRUE" if is_not else f"({sql})", *(v for _, values in several for v in values))

    def text_contains(self, needle: str) -> tuple[str, Sequence[object]]:
        """Build the condition that the search text contains a needle."""
        return f"{self._find}({TEXT}, ?) > 0", (needle,)

    def username_is(self, name: str) -> tuple[str, Sequence[object]]:
        """Build the condition that the username is this folded name. Without the first mark, no full name is found."""
        return f"{self._find}(substr({TEXT}, 2), ?) > 0", (f"{NAME}{name}{NAME}",)

    @property
    def _find(self) -> str:
        return "instr" if self.db.is_sqlite else "strpos"


def _matches_any(patterns: Sequence[Pattern], value: str | None) -> bool:
    return value is not None and any(pattern.matches(fold_for_search(value)) for pattern in patterns)


def _intersect(old: list[int] | None, new: list[int]) -> list[int]:
    return new if old is None else list(frozenset(new).intersection(old))


# ---- keys with few values --------------------------------------------------------------------------------------------


def _add_status(builder: _ConditionBuilder, term: Term) -> None:
    fitting = [name for name in KEY_VALUES["status"] if _matches_any(term.patterns, name) != term.is_not]
    old = builder.result.statuses
    builder.result.statuses = fitting if old is None else [name for name in fitting if name in old]


def _add_repo(builder: _ConditionBuilder, term: Term) -> None:
    fitting = []
    for ident, kind, namespace, name in builder.db.rows("SELECT id, type, namespace, name FROM repos WHERE id > 0"):
        path = fold_for_search(repo_of(kind, namespace, name).web_path)
        is_like = any(
            pattern.matches(path if "/" in "".join(pattern.parts) or pattern.is_any else fold_for_search(name))
            for pattern in term.patterns
        )
        if is_like != term.is_not:
            fitting.append(ident)
    builder.result.repos = _intersect(builder.result.repos, fitting)


def _verdict_adder(column: str) -> Callable[[_ConditionBuilder, Term], None]:
    def condition(builder: _ConditionBuilder, term: Term) -> None:
        fitting = [
            ident
            for ident, value in builder.db.rows(f"SELECT id, {column} FROM verdicts")
            if _matches_any(term.patterns, value)
        ]
        builder.add_verdicts(fitting, is_not=term.is_not)

    return condition


def _add_shadow(builder: _ConditionBuilder, term: Term) -> None:
    """Match requests for which at least one policy in shadow mode reached one of these verdicts."""
    rows = builder.db.rows("SELECT id, shadow FROM verdicts")
    said = {ident: [action for _, _, action in json.loads(shadow)] for ident, shadow in rows}
    fitting = [ident for ident, actions in said.items() if any(_matches_any(term.patterns, one) for one in actions)]
    builder.add_verdicts(fitting, is_not=term.is_not)


def _class_adder(column: str) -> Callable[[_ConditionBuilder, Term], None]:
    def add(builder: _ConditionBuilder, term: Term) -> None:
        fitting = [value for value in KEY_VALUES[column] if _matches_any(term.patterns, value)]
        if term.is_not:
            builder.add_in(f"r.{column}", fitting, is_not=True)
        elif len(fitting) == len(KEY_VALUES[column]):
            builder.result.add(f"r.{column} IS NOT NULL")
        else:
            known = builder.result.classes.get(column, fitting)
            builder.result.classes[column] = [value for value in known if value in fitting]

    return add


def _add_same(builder: _ConditionBuilder, term: Term) -> None:
    """Find requests with the same fingerprints as the requests with the given numbers."""
    numbers = [int(pattern.parts[0]) for pattern in term.patterns]
    among, value = builder.db.in_clause(numbers)
    texts = f"SELECT DISTINCT repo_id, fingerprint FROM requests WHERE id {among} AND fingerprint IS NOT NULL"
    keys = builder.db.rows(texts, (value,))
    if not term.is_not:
        sql = (
            "SELECT id FROM requests WHERE repo_id = ? AND fingerprint = ? AND fingerprint IS NOT NULL AND is_current"
            f" LIMIT {MAX_CANDIDATES + 1}"
        )
        found = {row[0] for key in keys for row in builder.db.rows(sql, key)}
        if len(found) <= MAX_CANDIDATES:
            builder.result.restrict(found)
    if keys:
        parts = [("r.repo_id = ? AND r.fingerprint = ?", key) for key in keys]
        builder.add_any(parts, is_not=term.is_not)
    elif not term.is_not:
        builder.result.add("1 = 0")


def _add_queue(builder: _ConditionBuilder, term: Term) -> None:
    names = [row[0] for row in builder.db.rows("SELECT DISTINCT name FROM counters WHERE kind = 'queue'")]
    among, value = builder.db.in_clause([name for name in names if _matches_any(term.patterns, name)])
    builder.add_any([(f"r.queue {among} AND r.assigned IS NULL", (value,))], is_not=term.is_not)


def _add_assigned(builder: _ConditionBuilder, term: Term) -> None:
    """Match requests by the member they are assigned to. They are few, so their numbers are read first."""
    parts = assigned_conditions(builder.db, term.patterns)
    builder.add_any(parts or [("1 = 0", ())], is_not=term.is_not)
    if not term.is_not and all(sql != IS_FREE for sql, _ in parts):
        sql = " OR ".join(f"({part})" for part, _ in parts) or "1 = 0"
        few = f"SELECT r.id FROM requests r WHERE r.is_current AND r.assigned IS NOT NULL AND ({sql}) LIMIT {MAX_CANDIDATES + 1}"
        found = {row[0] for row in builder.db.rows(few, [value for _, values in parts for value in values])}
        if len(found) <= MAX_CANDIDATES:
            builder.result.restrict(found)


def _add_table(builder: _ConditionBuilder, term: Term) -> None:
    names = [row[0] for row in builder.db.rows("SELECT DISTINCT name FROM hits")]
    fitting = [name for name in names if _matches_any(term.patterns, name)]
    among, value = builder.db.in_clause(fitting)
    sql = f"EXISTS (SELECT 1 FROM hits h WHERE h.request_id = r.id AND h.name {among})"
    builder.result.add(f"NOT {sql}" if term.is_not else sql, value)


def _add_approval(builder: _ConditionBuilder, term: Term) -> None:
    """Match requests by their approvals. They are few, so their numbers are read first."""
    found = set(builder.half_approved) if _matches_any(term.patterns, SECOND_APPROVAL) else set()
    if _matches_any(term.patterns, MISSING_APPROVAL):
        found |= {row[0] for row in builder.db.rows(_MISSING_APPROVAL)}
    if not term.is_not and len(found) <= MAX_CANDIDATES:
        builder.result.restrict(found)
    builder.add_in("r.id", sorted(found), is_not=term.is_not)


def _add_due(builder: _ConditionBuilder, term: Term) -> None:
    if _matches_any(term.patterns, OVERDUE):
        builder.add_any([(IS_OVERDUE, (builder.now,))], is_not=term.is_not)
        few = f"SELECT r.id FROM requests r WHERE r.is_current AND {IS_OVERDUE} LIMIT {MAX_CANDIDATES + 1}"
        found = set() if term.is_not else {row[0] for row in builder.db.rows(few, (builder.now,))}
        if not term.is_not and len(found) <= MAX_CANDIDATES:  # reading in order would read all requests
            builder.result.restrict(found)
    elif not term.is_not:
        builder.result.add("1 = 0")


_MISSING_APPROVAL: Final = (
    "SELECT m.request_id FROM approval_alarms m JOIN requests r ON r.id = m.request_id"
    f" WHERE r.status = '{Status.ACCEPTED.value}'"
)


def _add_country(builder: _ConditionBuilder, term: Term) -> None:
    builder.add_any((_build_like("upper(r.country)", p, str.upper) for p in term.patterns), is_not=term.is_not)


def _add_domain(builder: _ConditionBuilder, term: Term) -> None:
    builder.add_any((_build_like("r.domain", p, fold_for_search) for p in term.patterns), is_not=term.is_not)
    if not term.is_not and len(term.patterns) == 1 and not term.patterns[0].is_any:
        parts = term.patterns[0].folded_parts
        builder.result.needles += ["@" + parts[0], *parts[1:]]


def _build_like(column: str, pattern: Pattern, fold: Callable[[str], str]) -> tuple[str, Sequence[object]]:
    """Build an exact pattern condition on a column of folded text."""
    parts = [clean(fold(part)) for part in pattern.parts]
    if pattern.is_any:
        return f"{column} <> ''", ()
    if pattern.is_plain:
        return f"{column} = ?", (parts[0],)
    text = "%".join(part.replace("!", "!!").replace("%", "!%").replace("_", "!_") for part in parts)
    return f"{column} LIKE ? ESCAPE '!'", (text,)


# ---- times -----------------------------------------------------------------------------------------------------------


def _add_age(builder: _ConditionBuilder, term: Term) -> None:
    builder.add_any(age_conditions(term, builder.now), is_not=term.is_not)


def _day_adder(column: str) -> Callable[[_ConditionBuilder, Term], None]:
    def condition(builder: _ConditionBuilder, term: Term) -> None:
        parts = [day_condition(column, value, builder.zone) for value in term.values if isinstance(value, Day)]
        builder.add_any(parts, is_not=term.is_not)

    return condition


def _add_ends(builder: _ConditionBuilder, term: Term) -> None:
    builder.add_any(end_conditions(term, builder.now, builder.zone), is_not=term.is_not)


# ---- text ------------------------------------------------------------------------------------------------------------


def _add_word(builder: _ConditionBuilder, term: Term) -> None:
    pattern = term.patterns[0]
    if pattern.is_plain:
        builder.add_any([builder.text_contains(pattern.folded_parts[0])], is_not=term.is_not)
        builder.result.needles += () if term.is_not else pattern.folded_parts
    else:
        _add_check(builder, term, lambda found: any(pattern.matches_within(value) for _, value in found.parts))
        _require_parts(builder, term, pattern.folded_parts)


def _add_user(builder: _ConditionBuilder, term: Term) -> None:
    ids = [pattern.parts[0].lower() for pattern in term.patterns if pattern.is_plain]
    known = [one for one in ids if is_id(one) or one.startswith("p_")]
    if known:
        among, value = builder.db.in_clause(known)
        people = f"SELECT id FROM people WHERE user_id {among} OR pseudonym {among}"
        names = [builder.username_is(pattern.folded_parts[0]) for pattern in term.patterns if pattern.is_plain]
        stars = [pattern for pattern in term.patterns if not pattern.is_plain]
        if stars:
            return _check_ids_and_patterns(builder, term, people, [value, value])
        if not term.is_not:
            _limit_candidates(builder, term, people, [value, value])
        return builder.add_any([(f"r.person_id IN ({people})", [value, value]), *names], is_not=term.is_not)
    _add_check(builder, term, lambda found: _matches_any_folded(term, [found.parts[1][1]]))
    _require_value(builder, term, before=NAME, after=NAME)
    return None


def _limit_candidates(builder: _ConditionBuilder, term: Term, people: str, values: list[object]) -> None:
    """Limit the candidates to requests of these accounts and requests whose text can contain one of these names."""
    among, value = builder.db.in_clause([ident for (ident,) in builder.db.rows(people, values)])
    rows = builder.db.rows(f"SELECT id FROM requests WHERE person_id {among}", (value,))
    for pattern in term.patterns:
        grams = build_trigrams([f"{NAME}{pattern.folded_parts[0]}{NAME}"])
        more = find_by_trigrams(builder.db, grams, MAX_CANDIDATES + 1) if grams else []
        if not grams or len(more) > MAX_CANDIDATES:
            return
        rows += more
    builder.result.restrict({row[0] for row in rows})


def _check_ids_and_patterns(builder: _ConditionBuilder, term: Term, people: str, values: list[object]) -> None:
    """Add a check for a term with both ids and patterns."""
    known = {ident for (ident,) in builder.db.rows(people, values)}
    _add_check(
        builder,
        term,
        lambda found: found.person_id in known or _matches_any_folded(term, [found.parts[1][1]]),
    )


def _add_email(builder: _ConditionBuilder, term: Term) -> None:
    _add_check(builder, term, lambda found: _matches_any_folded(term, [found.parts[2][1]]))
    _require_value(builder, term, before=NAME, after="")


def _add_answer(builder: _ConditionBuilder, term: Term) -> None:
    _add_check(builder, term, lambda found: _matches_any_folded(term, [value for _, value in found.parts[3:]]))
    _require_parts(builder, term, term.patterns[0].folded_parts)


def _add_form(builder: _ConditionBuilder, term: Term) -> None:
    mark = label_mark(term.label or "")
    _add_check(
        builder,
        term,
        lambda found: _matches_any_folded(term, [value for at, value in found.parts[3:] if at == mark]),
    )
    _require_value(builder, term, before=mark, after="")


def _add_reason(builder: _ConditionBuilder, term: Term) -> None:
    _add_check(builder, term, lambda found: _matches_any(term.patterns, found.reason))
    if not term.is_not:
        builder.result.add("r.reason IS NOT NULL")


def _matches_any_folded(term: Term, values: Sequence[str]) -> bool:
    return any(pattern.matches(value) for pattern in term.patterns for value in values)


def _add_check(builder: _ConditionBuilder, term: Term, holds: Callable[[Candidate], bool]) -> None:
    """Add a condition that is checked in Python."""
    builder.result.checks.append((lambda found: not holds(found)) if term.is_not else holds)


def _require_value(builder: _ConditionBuilder, term: Term, *, before: str, after: str) -> None:
    """Require the parts of a pattern that must match a complete value between two marks."""
    parts = [*term.patterns[0].folded_parts]
    parts[0] = before + parts[0]
    parts[-1] += after
    _require_parts(builder, term, parts)


def _require_parts(builder: _ConditionBuilder, term: Term, parts: Sequence[str]) -> None:
    """Require these parts if a single pattern must match. SQL tests the longest part, which avoids most checks."""
    if term.is_not or len(term.values) != 1:
        return
    builder.result.needles += parts
    builder.add_any([builder.text_contains(max(parts, key=len))], is_not=False)


_ADDERS: dict[str, Callable[[_ConditionBuilder, Term], None]] = {
    "": _add_word, "status": _add_status, "repo": _add_repo, "user": _add_user, "email": _add_email, "domain": _add_domain, "country": _add_country,
    "age": _add_age, "asked": _day_adder("r.asked_at"), "reviewed": _day_adder("r.reviewed_at"), "ends": _add_ends,
    "rule": _verdict_adder("rule"),
    "verdict": _verdict_adder("action"), "shadow": _add_shadow, "table": _add_table, "reason": _add_reason, "form": _add_form, "answer": _add_answer, "queue": _add_queue, "assigned": _add_assigned, "approval": _add_approval, "due": _add_due,
    "quality": _class_adder("quality"), "mail": _class_adder("mail"), "same": _add_same,
}  # fmt: skip


MAX_CANDIDATES: Final = 6_000
"""Up to this many candidates are checked one by one. If there are more, they are so frequent that reading in order soon fills a page."""


# ---- trigram index ---------------------------------------------------------------------------------------------------


def build_trigrams(needles: Iterable[str]) -> list[str]:
    """Return up to 16 trigrams that the index must contain for texts with all these needles."""
    found: dict[str, None] = {}
    for needle in needles:
        last = len(needle) - 3
        if last >= 0:
            step = 1 + last // 6
            found |= dict.fromkeys(needle[i : i + 3] for i in [*range(0, last, step), last])
        elif needle and is_dense(needle):
            found[SHORT + needle if len(needle) == 2 else SHORT + SHORT + needle] = None
    return list(found)[:16]


def find_by_trigrams(db: Database, grams: Sequence[str], most: int) -> list[Row]:
    """Return the numbers of at most `most` requests whose texts contain all trigrams."""
    if db.is_sqlite:
        match = " AND ".join(f'"{gram.replace(chr(34), chr(34) * 2)}"' for gram in grams)
        return db.rows("SELECT rowid FROM grams WHERE grams MATCH ? LIMIT ?", (match, most))
    where = "trigrams_of(text || extra) @> ?::int[]"
    return db.rows(f"SELECT id FROM texts WHERE {where} LIMIT ?", (_number_trigrams(grams), most))


def _number_trigrams(grams: Iterable[str]) -> list[int]:
    """Return what `trigrams_of` returns in PostgreSQL for these texts: every three consecutive bytes as one number."""
    texts = [gram.encode() for gram in grams]
    return list({int.from_bytes(text[i : i + 3]): None for text in texts for i in range(len(text) - 2)})
