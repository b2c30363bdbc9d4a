"""Describes counts and ages: `account older than 30 days`, `never accepted before`, `asked 12 days ago`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from hf_gate.base.display_text import pluralize


class _CountPhrases(NamedTuple):
    """The phrases for a count: some, none, and the pattern of a number with its unit."""

    some: str
    none: str
    pattern: str
    one: str
    many: str
    least: int = 0  # the least value of the fact; the phrase `none` stands for this value


_COUNTS: Final[Mapping[str, _CountPhrases]] = MappingProxyType({
    "person.models": _CountPhrases("has public models", "no public models", "{} {}", "public model", "public models"),
    "person.datasets": _CountPhrases(
        "has public datasets", "no public datasets", "{} {}", "public dataset", "public datasets"
    ),
    "person.followers": _CountPhrases("has followers", "no followers", "{} {}", "follower", "followers"),
    "history.accepted": _CountPhrases("accepted before", "never accepted before", "accepted {} {}", "time", "times"),
    "history.rejected": _CountPhrases("rejected before", "never rejected before", "rejected {} {}", "time", "times"),
    "history.resets": _CountPhrases("sent back before", "never sent back before", "sent back {} {}", "time", "times"),
    "history.elsewhere": _CountPhrases(
        "access to other repos", "no access to other repos", "access to {} {}", "other repo", "other repos"
    ),
    "request.attempt": _CountPhrases("asked before", "first request", "asked {} {}", "time", "times", least=1),
})  # fmt: skip
_AGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request.age_days": "asked {} ago",
        "history.days_since_last": "last decision {} ago",
    }
)
_ACCOUNT: Final = {
    ">": "account older than {}", ">=": "account at least {} old", "<": "account younger than {}",
    "<=": "account at most {} old", "==": "account exactly {} old", "!=": "account not exactly {} old",
}  # fmt: skip
_BOUNDS: Final = {
    ">": "more than {}", ">=": "at least {}", "<": "fewer than {}", "<=": "at most {}", "==": "exactly {}",
    "!=": "not exactly {}",
}  # fmt: skip


def describe_number_test(fact: str, op: str, number: int) -> str | None:
    """Describe `fact op number`; None if the fact is not a number."""
    if fact == "person.account_days":
        return _ACCOUNT[op].format(pluralize(number, "day"))
    if fact in _AGES:
        return _AGES[fact].format(_BOUNDS[op].format(pluralize(number, "day")).replace("fewer", "less"))
    if fact not in _COUNTS:
        return None
    words = _COUNTS[fact]
    is_none = means_at_most(op, number, words.least)
    if is_none is None:
        return describe_bound(op, number, words.pattern, words.one, words.many)
    return words.none if is_none else words.some


def means_at_most(op: str, number: int, limit: int) -> bool | None:
    """Tell whether a comparison means `at most limit` (True) or `more than limit` (False); None if neither.

    The compared value is never below `limit`.
    """
    if (op, number) in (("==", limit), ("<=", limit), ("<", limit + 1)):
        return True
    return False if (op, number) in (("!=", limit), (">", limit), (">=", limit + 1)) else None


def describe_bound(op: str, number: int, pattern: str, one: str, many: str) -> str:
    """Fill a pattern with a bound and its unit: `more than 2 times`."""
    return pattern.format(_BOUNDS[op].format(f"{number:,}"), one if number == 1 else many)


def describe_number(fact: str, value: int) -> str | None:
    """Describe the value of a numeric fact: `account 2 years old`, `asked 3 times`; None for other facts."""
    if fact == "person.account_days":
        return f"account {describe_age(value)} old"
    if fact in _AGES:
        return _AGES[fact].format(describe_age(value) if value else "less than 1 day")
    if fact not in _COUNTS:
        return None
    words = _COUNTS[fact]
    if value <= words.least:
        return words.none
    return words.pattern.format(f"{value:,}", words.one if value == 1 else words.many)


def describe_age(days: int) -> str:
    """Describe a length of time in a suitable unit: `12 days`, `5 months`, `2 years`."""
    if days < 60:
        return pluralize(days, "day")
    return f"{days // 30} months" if days < 730 else f"{days // 365:,} years"
