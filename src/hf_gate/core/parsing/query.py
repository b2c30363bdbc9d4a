"""The query language for requests: a query is a list of terms that must all match.

status:pending domain:*.edu,ethz.ch -country:US age:>2d form."Intended use":*robot* sleep

`key:a,b` matches if one of the values matches. `-` negates a term, and `*` matches any text. A bare word is searched
for in names, e-mail addresses and answers. Quotes enclose spaces and commas; a backslash escapes the next character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Final, TypeAlias

from msgspec import Struct

from hf_gate.core.events.classification import QUALITIES, MailKind
from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.lifecycle import STATUSES, WITHDRAWN

# ---- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A text with wildcards: the literal parts between the stars. A pattern with a single part is plain text."""

    parts: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether there is no star."""
        return len(self.parts) == 1

    @property
    def is_any(self) -> bool:
        """Whether the pattern is a single star, which matches any text that is not empty."""
        return self.parts == ("", "")

    @cached_property
    def folded_parts(self) -> tuple[str, ...]:
        """The parts, folded for comparison."""
        return tuple(fold_for_search(part) for part in self.parts)

    def matches(self, text: str) -> bool:
        """Tell whether the pattern matches a folded text completely."""
        if self.is_any:
            return bool(text)
        first = self.folded_parts[0]
        last = self.folded_parts[-1]
        if self.is_plain:
            return text == first
        end = len(text) - len(last)
        is_framed = len(first) <= end and text.startswith(first) and text.endswith(last)
        return is_framed and _contains_in_order(self.folded_parts[1:-1], text, len(first), end)

    def matches_within(self, text: str) -> bool:
        """Tell whether the pattern matches any part of a folded text."""
        return _contains_in_order(self.folded_parts, text, 0, len(text))

    def __str__(self) -> str:
        text = "*".join(re.sub(r'([\\"*])', r"\\\1", part) for part in self.parts)
        return f'"{text}"' if not text or _NEEDS_QUOTES.search(text) else text


def _contains_in_order(parts: Iterable[str], text: str, at: int, end: int) -> bool:
    """Tell whether a text contains the parts in this order.

    A regular expression with many gaps could be extremely slow.
    """
    for part in parts:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class Age(Struct, frozen=True):
    """An age compared with a span. `seconds` counts a month as 30 days and a year as 365."""

    sign: str
    number: int
    unit: str

    @property
    def seconds(self) -> int:
        """The length of the span."""
        return self.number * UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.sign}{self.number}{self.unit}"


class Day(Struct, frozen=True):
    """A time compared with a day: `>` means after the day, `>=` from its start on, no sign within the day."""

    sign: str
    day: date

    @property
    def bounds(self) -> tuple[date | None, date | None]:
        """The first day of the range and the first day after it; None means no limit."""
        following = self.day + timedelta(days=1)
        return {
            "": (self.day, following),
            ">": (following, None),
            ">=": (self.day, None),
            "<": (None, self.day),
            "<=": (None, following),
        }[self.sign]

    def __str__(self) -> str:
        return f"{self.sign}{self.day.isoformat()}"


Value: TypeAlias = Pattern | Age | Day


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. A bare word has the `key` ""; `label` belongs to a `form` term; `at` is its offset in the text."""

    key: str
    values: tuple[Value, ...]
    is_not: bool = False
    label: str | None = None
    at: int = field(default=0, compare=False)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The values that are patterns."""
        return tuple(value for value in self.values if isinstance(value, Pattern))

    def __str__(self) -> str:
        values = ",".join(map(str, self.values))
        if not self.key:
            values = values if values.startswith('"') or not _NO_BARE.search(values) else f'"{values}"'
        name = f'form."{escape_quoted(self.label)}"' if self.label is not None else self.key
        return f"{'-' if self.is_not else ''}{name}{':' if self.key else ''}{values}"


def one_of(key: str, *texts: str) -> Term:
    """Return the condition that a request has one of these values."""
    return Term(
        key, tuple(Pattern((str(text),)) for text in texts)
    )  # an enum of texts is no plain text to every driver


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all match. Without terms, every request matches.

    `half_approved` are the requests that `approval:second` matches.
    `approvals/service/approval_status.py` computes them.
    """

    terms: tuple[Term, ...] = ()
    half_approved: frozenset[int] = field(default=frozenset(), compare=False)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


# ---- keys ------------------------------------------------------------------------------------------------------------

NO_END: Final = "none"
ACTIONS: Final = ("accept", "human", "wait", "reset", "reject")
SECOND_APPROVAL: Final = "second"
MISSING_APPROVAL: Final = "missing"
KEY_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "status": (*(status.value for status in STATUSES), WITHDRAWN),
    "verdict": ACTIONS,
    "shadow": ACTIONS,
    "quality": QUALITIES,
    "mail": tuple(kind.value for kind in MailKind),
    "approval": (SECOND_APPROVAL, MISSING_APPROVAL),
}
"""Keys with a fixed set of values."""

KEYS: Final[dict[str, str]] = {
    "status": "the status: pending, accepted, rejected, reset, or withdrawn",
    "repo": "ns/name is a model, datasets/ns/name a dataset; a name without a slash matches both",
    "user": "the username, the account's id, or the pseudonym from the audit log",
    "email": "the account's e-mail address",
    "domain": "the part of the e-mail address after the @",
    "country": "the ISO code of the country in the answers",
    "age": "time since the request: >2d, <=12h",
    "asked": "the day of the request: 2026-11-01, >2026-11-01",
    "reviewed": "the day of the last decision",
    "ends": "when access ends: <30d, >2027-01-01, <0d for those that have ended, or none for access without an end",
    "rule": "the rule behind the verdict",
    "verdict": "the verdict of the policies: accept, human, wait, reset, reject",
    "shadow": "the verdict of a policy in shadow mode; same values as verdict",
    "table": "one of your tables that lists the person",
    "reason": "the last reason sent to the person",
    "form": 'the answer to one question: form."Intended use":*robot*',
    "answer": "any of the answers",
    "quality": "how much the purpose says: good, thin, junk, empty, missing",
    "mail": "the kind of e-mail address: university, free, throw-away, other, none",
    "approval": (
        "second: an approval counts, and another person must approve; missing: accepted outside hf-gate without "
        "enough approvals"
    ),
    "same": "has the same long answer as the request with this number, in the same repo",
}
"""The keys of terms and their meaning."""

UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}
_NEEDS_QUOTES = re.compile(r"[\s,]|^[<>]")
_NO_BARE = re.compile(r"[:,]|^-")


def escape_quoted(text: str) -> str:
    """Escape a text for use in quotes."""
    return re.sub(r'([\\"])', r"\\\1", text)
