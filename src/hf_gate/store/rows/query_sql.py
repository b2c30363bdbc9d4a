"""Translates a query into SQL conditions, with checks in Python where SQL can only narrow the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from functools import cached_property
from typing import Final, TypeAlias

from msgspec import Struct, field

from hf_gate.base.ids import is_id
from hf_gate.core.events.request_fields import FIELDS, TEXT_COLUMNS
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import (
    KEY_VALUES,
    MISSING_APPROVAL,
    SECOND_APPROVAL,
    Age,
    Pattern,
    Query,
    Term,
    Value,
)
from hf_gate.store.sql import Database, Row
from hf_gate.store.writing.search_text import NAME, SHORT, clean, is_dense, label_mark, parts_of

from .repos import read_repos_by_number

TEXT = "t.text"
"""The SQL for the search text. A statement with such a condition joins `texts t`."""


@dataclass
class Candidate:
    """The data of a row that the checks use: its search text, its `TEXT_COLUMNS` and the row id of the person."""

    text: str
    person_id: int
    columns: Mapping[str, str | None]

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


Condition: TypeAlias = tuple[str, Sequence[object]]
"""A condition in SQL, with its values."""


def build_conditions(query: Query, db: Database, *, now: int, zone: tzinfo = UTC) -> Conditions:
    """Translate a query for this store. `now` is in ms; days are in the time zone `zone`."""
    conditions = Conditions(compared_parts=sum(map(_count_parts, query.terms)))
    for term in query.terms:
        _ADDERS[term.key](_ConditionBuilder(conditions, db, now, zone, query.half_approved), term)
    return conditions


def _count_parts(term: Term) -> int:
    """Return how many comparisons a term costs for each row: each part of a pattern is searched separately."""
    if term.key in _BY_LIST:
        return 0
    return sum(len(value.parts) if isinstance(value, Pattern) else 1 for value in term.values)


_BY_LIST: Final = frozenset({"status", "repo", "rule", "verdict", "shadow", "quality", "mail"})
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

    def add_any(self, parts: Iterable[Condition], *, is_not: bool) -> None:
        """Add the condition that one of several holds; none of no conditions."""
        several = list(parts) or [("1 = 0", ())]
        sql = " OR ".join(f"({sql})" for sql, _ in several)
        self.result.add(f"({sql}) IS NOT TRUE" if is_not else f"({sql})", *(v for _, values in several for v in values))

    def limit_to_requests(self, requests: set[int]) -> None:
        """Limit the candidates to these requests, if they are few."""
        if len(requests) <= MAX_CANDIDATES:
            self.result.restrict(requests)

    def text_contains(self, needle: str) -> Condition:
        """Build the condition that the search text contains a needle."""
        return f"{self._find}({TEXT}, ?) > 0", (needle,)

    def username_is(self, name: str) -> Condition:
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
    for ident, repo in read_repos_by_number(builder.db).items():
        path = fold_for_search(repo.web_path)
        is_like = any(
            pattern.matches(path if "/" in "".join(pattern.parts) or pattern.is_any else fold_for_search(repo.name))
            for pattern in term.patterns
        )
        if is_like != term.is_not:
            fitting.append(ident)
    builder.result.repos = _intersect(builder.result.repos, fitting)


def _add_verdict(builder: _ConditionBuilder, term: Term) -> None:
    """Match requests by the number of their verdict; for `shadow`, by the verdict of any policy in shadow mode."""
    column = _VERDICT_COLUMNS[term.key]
    fitting = []
    for ident, value in builder.db.rows(f"SELECT id, {column} FROM verdicts"):
        said = [action for _, _, action in json.loads(value)] if term.key == "shadow" else [value]
        if any(_matches_any(term.patterns, one) for one in said):
            fitting.append(ident)
    if term.is_not:  # also matches requests without a verdict
        builder.add_in("r.verdict_id", fitting, is_not=True)
    else:
        builder.result.verdicts = _intersect(builder.result.verdicts, fitting)


_VERDICT_COLUMNS: Final = {"verdict": "action", "rule": "rule", "shadow": "shadow"}


def _add_class(builder: _ConditionBuilder, term: Term) -> None:
    fitting = [value for value in KEY_VALUES[term.key] if _matches_any(term.patterns, value)]
    if term.is_not:
        builder.add_in(f"r.{term.key}", fitting, is_not=True)
    elif len(fitting) == len(KEY_VALUES[term.key]):
        builder.result.add(f"r.{term.key} IS NOT NULL")
    else:
        known = builder.result.classes.get(term.key, fitting)
        builder.result.classes[term.key] = [value for value in known if value in fitting]


def _add_same(builder: _ConditionBuilder, term: Term) -> None:
    """Find requests with the same fingerprints as the requests with the given numbers."""
    among, value = builder.db.in_clause([int(pattern.parts[0]) for pattern in term.patterns])
    texts = f"SELECT DISTINCT repo_id, fingerprint FROM requests WHERE id {among} AND fingerprint IS NOT NULL"
    keys = builder.db.rows(texts, (value,))
    if not term.is_not:
        sql = (
            "SELECT id FROM requests WHERE repo_id = ? AND fingerprint = ? AND fingerprint IS NOT NULL AND is_current"
            f" LIMIT {MAX_CANDIDATES + 1}"
        )
        builder.limit_to_requests({row[0] for key in keys for row in builder.db.rows(sql, key)})
    if keys or not term.is_not:
        builder.add_any([("r.repo_id = ? AND r.fingerprint = ?", key) for key in keys], is_not=term.is_not)


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
    if not term.is_not:
        builder.limit_to_requests(found)
    builder.add_in("r.id", sorted(found), is_not=term.is_not)


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


def _build_like(column: str, pattern: Pattern, fold: Callable[[str], str]) -> Condition:
    """Build an exact pattern condition on a column of folded text."""
    parts = [clean(fold(part)) for part in pattern.parts]
    if pattern.is_any:
        return f"{column} <> ''", ()
    if pattern.is_plain:
        return f"{column} = ?", (parts[0],)
    text = "%".join(part.replace("!", "!!").replace("%", "!%").replace("_", "!_") for part in parts)
    return f"{column} LIKE ? ESCAPE '!'", (text,)


# ---- times -----------------------------------------------------------------------------------------------------------


_TIME_COLUMNS: Final = {key: name for name, one in FIELDS.items() for key in one.times}
_EARLIER: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}  # a greater age is an earlier time
_ENDLESS: Final = f"r.status = '{Status.ACCEPTED}' AND r.ends_at IS NULL AND r.terms IS NULL"


def _add_time(builder: _ConditionBuilder, term: Term) -> None:
    builder.add_any((_time_condition(builder, term.key, value) for value in term.values), is_not=term.is_not)


def _time_condition(builder: _ConditionBuilder, key: str, value: Value) -> Condition:
    """Return the condition on a time (ms). Access with neither a date nor a condition has no end."""
    column = f"r.{_TIME_COLUMNS[key]}"
    if isinstance(value, Pattern):
        return (f"{column} IS NOT NULL" if value.is_any else _ENDLESS), ()
    if isinstance(value, Age):
        if key == "age":
            return f"{column} {_EARLIER[value.sign]} ?", (builder.now - value.seconds * 1000,)
        return f"{column} {value.sign} ?", (builder.now + value.seconds * 1000,)
    bounds = [(sign, day) for sign, day in zip((">=", "<"), value.bounds, strict=True) if day is not None]
    starts = [round(datetime.combine(day, time(), builder.zone).timestamp() * 1000) for _, day in bounds]
    return " AND ".join(f"{column} {sign} ?" for sign, _ in bounds), starts


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
            known_people = {ident for (ident,) in builder.db.rows(people, [value, value])}
            return _add_check(
                builder,
                term,
                lambda found: found.person_id in known_people or _matches_any_folded(term, [found.parts[1][1]]),
            )
        if not term.is_not:
            _limit_candidates(builder, term, people, [value, value])
        return builder.add_any([(f"r.person_id IN ({people})", [value, value]), *names], is_not=term.is_not)
    _add_text(builder, term, lambda found: [found.parts[1][1]], before=NAME, after=NAME)
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


def _add_email(builder: _ConditionBuilder, term: Term) -> None:
    _add_text(builder, term, lambda found: [found.parts[2][1]], before=NAME)


def _add_answer(builder: _ConditionBuilder, term: Term) -> None:
    _add_text(builder, term, lambda found: [value for _, value in found.parts[3:]])


def _add_form(builder: _ConditionBuilder, term: Term) -> None:
    mark = label_mark(term.label or "")
    _add_text(builder, term, lambda found: [value for at, value in found.parts[3:] if at == mark], before=mark)


def _add_column(builder: _ConditionBuilder, term: Term) -> None:
    column = _COLUMN_OF[term.key]
    _add_check(builder, term, lambda found: _matches_any(term.patterns, found.columns[column]))
    if not term.is_not:
        builder.result.add(f"r.{column} IS NOT NULL")


_COLUMN_OF: Final = {FIELDS[name].text: name for name in TEXT_COLUMNS}


def _matches_any_folded(term: Term, values: Sequence[str]) -> bool:
    return any(pattern.matches(value) for pattern in term.patterns for value in values)


def _add_check(builder: _ConditionBuilder, term: Term, holds: Callable[[Candidate], bool]) -> None:
    """Add a condition that is checked in Python."""
    builder.result.checks.append((lambda found: not holds(found)) if term.is_not else holds)


def _add_text(
    builder: _ConditionBuilder,
    term: Term,
    values_of: Callable[[Candidate], Sequence[str]],
    *,
    before: str = "",
    after: str = "",
) -> None:
    """Add the condition that one of these values matches. In the search text, it stands between two marks."""
    _add_check(builder, term, lambda found: _matches_any_folded(term, values_of(found)))
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


_ADDERS: Final[dict[str, Callable[[_ConditionBuilder, Term], None]]] = {
    "": _add_word,
    "status": _add_status,
    "repo": _add_repo,
    "user": _add_user,
    "email": _add_email,
    "domain": _add_domain,
    "country": _add_country,
    **dict.fromkeys(_TIME_COLUMNS, _add_time),
    **dict.fromkeys(_VERDICT_COLUMNS, _add_verdict),
    "table": _add_table,
    **dict.fromkeys(_COLUMN_OF, _add_column),
    "form": _add_form,
    "answer": _add_answer,
    "approval": _add_approval,
    "quality": _add_class,
    "mail": _add_class,
    "same": _add_same,
}


MAX_CANDIDATES: Final = 6_000
"""Up to this many candidates are checked one by one.

If there are more, they are so frequent that reading in order soon fills a page.
"""


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
