"""Describes facts and conditions: `no university address`, `account older than 30 days`, `clear purpose`.

All phrases are plain text of limited length. Texts of policies and people in these phrases are made visible and
clipped. A condition without a phrase is shown as its expression in backticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from hf_gate.base.display_text import clip_line, join_words, pluralize
from hf_gate.base.timestamps import format_day, to_iso
from hf_gate.core.policy_model import FactValue
from hf_gate.policies.expressions.fact_conditions import (
    INCLUDES,
    IS_TRUE,
    OPPOSITES,
    FactCondition,
    parse_fact_condition,
)
from hf_gate.policies.facts.fact_table import QUALITIES, CelType, find_declaration


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


MAX_VALUE: Final = 40  # the most columns of one quoted text
MAX_VALUES: Final = 3  # the most quoted texts of a list
MAX_EXPRESSION: Final = 80  # the most columns of an expression that has no phrase

# ---- names -----------------------------------------------------------------------------------------------------------

_NAMES: Final[Mapping[str, str]] = MappingProxyType({
    "request.id": "request id",
    "request.status": "status of the request",
    "request.repo": "repo",
    "request.asked_at": "time of the request",
    "request.age_days": "age of the request",
    "request.attempt": "number of requests",
    "request.has_form": "form answers",
    "person.hidden": "whether the requester is hidden",
    "person.username": "username",
    "person.fullname": "full name",
    "person.is_pro": "PRO account",
    "person.verified_orgs": "verified organisations",
    "person.created_at": "account creation date",
    "person.account_days": "account age",
    "person.orgs": "organisations",
    "person.models": "number of public models",
    "person.datasets": "number of public datasets",
    "person.followers": "number of followers",
    "email.present": "e-mail address",
    "email.address": "e-mail address",
    "email.domain": "e-mail domain",
    "email.registrable": "registered e-mail domain",
    "email.free": "free e-mail address",
    "email.disposable": "throw-away address",
    "email.academic": "university address",
    "email.matches_form": "whether the form e-mail matches the account",
    "form": "form answers",
    "answers.consent.all_ticked": "consent",
    "history.accepted": "earlier acceptances",
    "history.rejected": "earlier rejections",
    "history.resets": "how often sent back",
    "history.elsewhere": "access to other repos",
    "history.last_decision": "last decision",
    "history.days_since_last": "time since the last decision",
    "now": "current time",
})  # fmt: skip

ROLE_NAMES: Final[Mapping[str, str]] = MappingProxyType({
    "purpose": "purpose",
    "affiliation": "institution",
    "country": "country",
    "email": "form e-mail",
    "name": "name in the form",
    "job": "position",
    "birth_date": "date of birth",
    "consent": "consent",
})  # fmt: skip
"""The name of each form role."""

_TOPICS: Final[Mapping[str, str]] = MappingProxyType({"purpose": "use"})


def name_fact(fact: str) -> str:
    """Return the name of a fact: `university address`, `quality of the purpose`; an unknown fact in backticks."""
    if fact in _NAMES:
        return _NAMES[fact]
    head, _, rest = fact.partition(".")
    middle, _, leaf = rest.partition(".")
    if find_declaration(fact) is not None and head == "answers":
        return {"quality": f"quality of the {ROLE_NAMES[middle]}", "code": "country"}.get(leaf, ROLE_NAMES[middle])
    if find_declaration(fact) is not None and head == "tables":
        return {"expires": f"end of the entry in {middle}"}.get(leaf, f"entry in {middle}")
    return quote_expression(fact)


# ---- conditions ------------------------------------------------------------------------------------------------------


def describe_condition(condition: FactCondition, *, holds: bool = True) -> str | None:
    """Describe a condition that is true (`holds`) or false; None if there are no words for it."""
    is_so = holds is not condition.is_negated
    if condition.has_size:
        return _describe_size(condition, is_so=is_so)
    if condition.op == IS_TRUE:
        return _describe_boolean(condition.fact, is_true=is_so)
    match condition.type:
        case CelType.INT:
            return _describe_integer(condition, is_so=is_so)
        case CelType.STRING:
            return _describe_text(condition, is_so=is_so)
        case CelType.TIMESTAMP:
            return _describe_moment(condition, is_so=is_so)
        case CelType.LIST | CelType.MAP:
            return _describe_membership(condition, is_so=is_so)
        case _:
            return None


def describe_expression(expr: str, *, holds: bool = True) -> str:
    """Describe an expression that is true (`holds`) or false; without words for it, return its text in backticks."""
    condition = parse_fact_condition(expr)
    words = None if condition is None else describe_condition(condition, holds=holds)
    return words or ("" if holds else "not ") + quote_expression(expr)


def describe_found(expr: str, values: Mapping[str, FactValue | None], *, holds: bool) -> str | None:
    """Describe the value that a test of one fact found; None if it is unknown, or should not be repeated.

    A quality that is not good, but good enough for the test, is returned as it is written in rules.
    """
    condition = parse_fact_condition(expr)
    value = None if condition is None or condition.key is not None or condition.has_size else values.get(condition.fact)
    if condition is None or value is None:
        return None
    is_one_of = (condition.op in ("==", "in")) is (holds is not condition.is_negated)
    allows_good = condition.fact.endswith(".quality") and ("good" in condition.values) is is_one_of
    return str(value) if allows_good and value != "good" else describe_value(condition.fact, value)


def describe_test(expr: str, values: Mapping[str, FactValue | None], *, holds: bool) -> str:
    """Describe what is the case: the value that a test of one fact found, or else whether the test holds.

    A value that is just good enough follows the words of the test: `something written about use (thin)`.
    """
    words = describe_expression(expr, holds=holds)
    found = describe_found(expr, values, holds=holds)
    return f"{words} ({found})" if found in QUALITIES else found or words


def is_single_name(expr: str) -> bool:
    """Tell whether an expression is one name without dots, such as that of a `let`."""
    return expr.isidentifier() and expr.isascii()


def quote_expression(expr: str) -> str:
    """Return an expression between backticks, on one line and clipped."""
    return "`" + clip_line(expr.replace("`", "'"), MAX_EXPRESSION) + "`"


def quote_text(text: str) -> str:
    """Return a text between quotation marks, on one line and clipped."""
    return "“" + clip_line(text.replace("“", '"').replace("”", '"'), MAX_VALUE) + "”"


def _effective_op(op: str, *, is_so: bool) -> str:
    return op if is_so else OPPOSITES[op]


# ---- true or false ---------------------------------------------------------------------------------------------------

_BOOLEANS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "request.has_form": ("form answered", "no form answers"),
    "person.hidden": ("requester hidden by the Hub", "requester shown by the Hub"),
    "person.is_pro": ("PRO account", "no PRO account"),
    "email.present": ("e-mail address shown", "no e-mail address shown"),
    "email.free": ("free e-mail address", "no free e-mail address"),
    "email.disposable": ("throw-away address", "no throw-away address"),
    "email.academic": ("university address", "no university address"),
    "email.matches_form": ("form e-mail matches account", "form e-mail differs from account"),
    "answers.consent.all_ticked": ("all consent boxes are ticked", "not all consent boxes are ticked"),
})  # fmt: skip


def _describe_boolean(fact: str, *, is_true: bool) -> str | None:
    if fact in _BOOLEANS:
        return _BOOLEANS[fact][0 if is_true else 1]
    head, _, rest = fact.partition(".")
    if head == "tables":
        return f"{'' if is_true else 'not '}listed in {rest}"
    if head == "answers" and rest.endswith(".present"):
        name = ROLE_NAMES[rest.removesuffix(".present")]
        return f"{name} given" if is_true else f"no {name} given"
    return None


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _describe_integer(condition: FactCondition, *, is_so: bool) -> str | None:
    op = _effective_op(condition.op, is_so=is_so)
    numbers = [value for value in condition.values if isinstance(value, int)]
    if op not in ("in", "not in"):
        return describe_number_test(condition.fact, op, numbers[0])
    if len(numbers) == 1:
        return describe_number_test(condition.fact, "==" if op == "in" else "!=", numbers[0])
    listed = join_words([f"{number:,}" for number in numbers[:MAX_VALUES]], "or")
    more = " or others" if len(numbers) > MAX_VALUES else ""
    return f"{name_fact(condition.fact)} is {'' if op == 'in' else 'not '}{listed}{more}"


def _describe_size(condition: FactCondition, *, is_so: bool) -> str | None:
    op = _effective_op(condition.op, is_so=is_so)
    number = condition.values[0]
    if op in ("in", "not in") or not isinstance(number, int):
        return None
    name = _subject_name(condition)
    declaration = find_declaration(condition.fact)
    if declaration is None or declaration.type is not CelType.LIST:
        return f"{name} of {describe_bound(op, number, '{} {}', 'character', 'characters')}"
    is_none = means_at_most(op, number, 0)
    if is_none is not None:
        return f"{'no' if is_none else 'has'} {name}"
    return describe_bound(op, number, "{} {}", name.removesuffix("s"), name)


# ---- texts -----------------------------------------------------------------------------------------------------------

_METHODS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "contains": ("contains", "does not contain"),
        "startsWith": ("starts with", "does not start with"),
        "endsWith": ("ends with", "does not end with"),
    }
)
_PLAIN_VALUES: Final = frozenset({"answers.country.code", "request.repo"})


def _describe_text(condition: FactCondition, *, is_so: bool) -> str | None:
    texts = [value for value in condition.values if isinstance(value, str)]
    if condition.op == "matches":  # most people cannot read a pattern
        return f"{_subject_name(condition)} {'matches' if is_so else 'does not match'} a pattern"
    if condition.op in _METHODS:
        return f"{_subject_name(condition)} {_METHODS[condition.op][0 if is_so else 1]} {quote_text(texts[0])}"
    op = _effective_op(condition.op, is_so=is_so)
    is_one_of = op in ("==", "in")
    if condition.key is None and (closed := _describe_closed(condition.fact, texts, is_one_of=is_one_of)) is not None:
        return closed
    if texts == [""]:
        return f"{_subject_name(condition)} {'is empty' if is_one_of else 'is not empty'}"
    return f"{_subject_name(condition)} is {'' if is_one_of else 'not '}{_quote_list(condition.fact, texts)}"


def _subject_name(condition: FactCondition) -> str:
    if condition.key is None:
        return name_fact(condition.fact)
    if condition.fact == "form":
        return f"answer to {quote_text(condition.key)}"
    return f"{quote_text(condition.key)} in {condition.fact.split('.')[1]}"


def _quote_list(fact: str, texts: Sequence[str]) -> str:
    quoted = [clip_line(text, MAX_VALUE) if fact in _PLAIN_VALUES else quote_text(text) for text in texts[:MAX_VALUES]]
    if len(texts) > MAX_VALUES:
        return f"{', '.join(quoted)} or {len(texts) - MAX_VALUES} more"
    return join_words(quoted, "or")


def _describe_closed(fact: str, texts: Sequence[str], *, is_one_of: bool) -> str | None:
    """Describe a comparison of a fact that has few possible values; None for other facts and values."""
    declaration = find_declaration(fact)
    if declaration is None or declaration.values is None or not set(texts) <= set(declaration.values):
        return None
    possible = [value for value in declaration.values if (value in texts) is is_one_of]
    parts = fact.split(".")
    if parts[-1] == "quality":
        return describe_quality(parts[1], possible)
    if parts[-1] == "state":
        return _describe_states(parts[1], possible)
    if not possible or len(possible) == len(declaration.values):
        return None
    if fact == "request.status":
        return f"request is {join_words(possible, 'or')}"
    if possible == ["none"]:
        return "no earlier decision"
    if is_one_of:
        return f"last decision: {join_words([each.replace('none', 'no decision') for each in possible], 'or')}"
    return f"last decision is not {join_words(list(texts), 'or')}" if "none" not in texts else "decided before"


_QUALITIES: Final = (  # the first entry that contains all possible qualities gives the words
    ({"good"}, "clear {name}"),
    ({"missing"}, "no answer about {topic}"),
    ({"empty"}, "nothing written about {topic}"),
    ({"thin"}, "little written about {topic}"),
    ({"missing", "empty", "junk"}, "nothing useful written about {topic}"),
    ({"missing", "empty", "junk", "thin"}, "no clear {name}"),
    ({"junk", "thin", "good"}, "something written about {topic}"),
)


def describe_quality(role: str, possible: Iterable[str]) -> str | None:
    """Describe the possible qualities of an answer: `clear purpose`, `nothing useful written about use`."""
    found = frozenset(possible)
    if not found or found == frozenset(QUALITIES):
        return None
    name = ROLE_NAMES[role]
    for qualities, words in _QUALITIES:
        if found <= qualities:
            return words.format(name=name, topic=_TOPICS.get(role, f"the {name}"))
    return f"{name} is not {join_words([_QUALITY_WORDS[each] for each in QUALITIES if each not in found], 'or')}"


_QUALITY_WORDS: Final = {
    "good": "clear",
    "thin": "too short",
    "junk": "useless",
    "empty": "empty",
    "missing": "missing",
}


def _describe_states(table: str, possible: Iterable[str]) -> str | None:
    found = frozenset(possible)
    words = {
        frozenset({"valid"}): f"valid entry in {table}",
        frozenset({"expired"}): f"expired entry in {table}",
        frozenset({"missing"}): f"no entry in {table}",
        frozenset({"expired", "missing"}): f"no valid entry in {table}",
        frozenset({"valid", "expired"}): f"entry in {table}, valid or expired",
        frozenset({"valid", "missing"}): f"no expired entry in {table}",
    }
    return words.get(found)


# ---- times and lists -------------------------------------------------------------------------------------------------

_MOMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request.asked_at": "asked",
        "person.created_at": "account created",
        "now": "it is now",
    }
)
_WHEN: Final = {
    ">": "after", ">=": "at or after", "<": "before", "<=": "at or before", "==": "exactly at", "!=": "not exactly at",
}  # fmt: skip


def _describe_moment(condition: FactCondition, *, is_so: bool) -> str | None:
    op = _effective_op(condition.op, is_so=is_so)
    moment = condition.values[0]
    if op not in _WHEN or not isinstance(moment, datetime):
        return None
    subject = _MOMENTS.get(condition.fact) or _name_end(condition.fact)
    return f"{subject} {_WHEN[op]} {format_moment(moment)}"


def _name_end(fact: str) -> str:
    """Return the subject and verb of a time in a table."""
    return f"entry in {fact.split('.')[1]} expires"


def format_moment(moment: datetime) -> str:
    """Format a time as `2027-06-30`, with the time of day unless it is midnight in UTC."""
    text = to_iso(moment.astimezone(UTC)) or ""
    return text.removesuffix("T00:00:00Z").removesuffix("T00:00:00.000Z")


def _describe_membership(condition: FactCondition, *, is_so: bool) -> str | None:
    texts = [value for value in condition.values if isinstance(value, str)]
    if condition.op != INCLUDES or not texts:
        return None
    if condition.fact == "form":
        return f"form {'has' if is_so else 'has no'} {quote_text(texts[0])}"
    if condition.fact.startswith("tables."):
        return f"entry in {condition.fact.split('.')[1]} {'has' if is_so else 'has no'} {quote_text(texts[0])}"
    kind = "verified organisation " if condition.fact == "person.verified_orgs" else ""
    return f"{'' if is_so else 'not '}member of {kind}{_quote_list(condition.fact, texts)}"


# ---- values ----------------------------------------------------------------------------------------------------------

_SHOWN_TEXTS: Final = frozenset({"email.domain", "email.registrable", "answers.country.code", "request.status"})
"""Facts with short, self-explanatory text values; other texts of people are not repeated."""


def describe_value(fact: str, value: FactValue) -> str | None:
    """Describe the value of a fact: `account 2 years old`, `country is CH`; None if there are no words for it."""
    if isinstance(value, bool):
        return _describe_boolean(fact, is_true=value)
    if isinstance(value, int):
        return describe_number(fact, value)
    if isinstance(value, datetime):
        return _describe_moment_value(fact, value)
    declaration = find_declaration(fact)
    if isinstance(value, str) and declaration is not None and (declaration.values is not None or fact in _SHOWN_TEXTS):
        return _describe_text(FactCondition(fact, "==", (value,)), is_so=True)
    return None


def _describe_moment_value(fact: str, value: datetime) -> str | None:
    subject = _MOMENTS.get(fact) or _name_end(fact)
    return f"{subject} on {format_day(value.astimezone(UTC))}" if fact != "now" else None
