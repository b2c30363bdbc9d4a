"""The query language of requests: terms that must all hold, as values; what is no term is refused with a way to mend it.

    status:pending domain:*.edu,ethz.ch -country:US age:>2d form."Intended use":*robot* sleep

`key:a,b` holds when one of the values does, `-` turns a term round, `*` stands for any text, a bare word is looked for
in names, e-mail and answers. Quotes hold blanks and commas together; a backslash takes the meaning from what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Final, TypeAlias

from .case_folding import fold_for_search
from .lifecycle import STATUSES, WITHDRAWN

# ---- values ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """Text with gaps: the literal parts between the stars. One part is plain text."""

    parts: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Without any star."""
        return len(self.parts) == 1

    @property
    def is_any(self) -> bool:
        """A lone star: anything that is not empty."""
        return self.parts == ("", "")

    @cached_property
    def folded_parts(self) -> tuple[str, ...]:
        """The parts as they are compared."""
        return tuple(fold_for_search(part) for part in self.parts)

    def matches(self, text: str) -> bool:
        """Whether a whole folded text is like this."""
        if self.is_any:
            return bool(text)
        first, last = self.folded_parts[0], self.folded_parts[-1]
        if self.is_plain:
            return text == first
        end = len(text) - len(last)
        is_framed = len(first) <= end and text.startswith(first) and text.endswith(last)
        return is_framed and _contains_in_order(self.folded_parts[1:-1], text, len(first), end)

    def matches_within(self, text: str) -> bool:
        """Whether it stands somewhere in a folded text."""
        return _contains_in_order(self.folded_parts, text, 0, len(text))

    def __str__(self) -> str:
        text = "*".join(re.sub(r'([\\"*])', r"\\\1", part) for part in self.parts)
        return f'"{text}"' if not text or _NEEDS_QUOTES.search(text) else text


def _contains_in_order(parts: Iterable[str], text: str, at: int, end: int) -> bool:
    """Whether parts follow each other in a text, each as early as it can: a regular expression of many gaps tries for years."""
    for part in parts:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


@dataclass(frozen=True, slots=True)
class Age:
    """An age compared with a span, as it is written; `seconds` counts months as 30 days and years as 365."""

    sign: str
    number: int
    unit: str

    @property
    def seconds(self) -> int:
        """How long that is."""
        return self.number * UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.sign}{self.number}{self.unit}"


@dataclass(frozen=True, slots=True)
class Day:
    """A time compared with a day: `>` is after its end, `>=` from its beginning on, no sign within it."""

    sign: str
    day: date

    @property
    def bounds(self) -> tuple[date | None, date | None]:
        """From the beginning of the first day on, and before the beginning of the second."""
        following = self.day + timedelta(days=1)
        return {
            "": (self.day, following), ">": (following, None), ">=": (self.day, None), "<": (None, self.day),
            "<=": (None, following),
        }[self.sign]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.sign}{self.day.isoformat()}"


Value: TypeAlias = Pattern | Age | Day


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `key` "" is a bare word; `label` is that of a `form` term. `at` is where it began, from 0."""

    key: str
    values: tuple[Value, ...]
    is_not: bool = False
    label: str | None = None
    at: int = field(default=0, compare=False)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The values that are text."""
        return tuple(value for value in self.values if isinstance(value, Pattern))

    def __str__(self) -> str:
        values = ",".join(map(str, self.values))
        if not self.key:
            values = values if values.startswith('"') or not _NO_BARE.search(values) else f'"{values}"'
        name = f'form."{escape_quoted(self.label)}"' if self.label is not None else self.key
        return f"{'-' if self.is_not else ''}{name}{':' if self.key else ''}{values}"


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all hold; none at all holds for everybody."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


# ---- the law of the keys -----------------------------------------------------------------------------------------------

ACTIONS: Final = ("accept", "human", "wait", "reset", "reject")
KEY_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "status": (*(status.value for status in STATUSES), WITHDRAWN),
    "verdict": ACTIONS,
    "shadow": ACTIONS,
}
"""Keys whose values are known beforehand."""

KEYS: Final[dict[str, str]] = {
    "status": "the list that it is in: pending, accepted, rejected, reset, or withdrawn",
    "repo": "ns/name is a model, datasets/ns/name a dataset; a name without a slash matches both",
    "user": "the username, the account's id, or the pseudonym of the ledger",
    "email": "the account's e-mail address",
    "domain": "the part of the e-mail address after the @",
    "country": "the ISO code of the country in the answers",
    "age": "how long ago they asked: >2d, <=12h",
    "asked": "the day they asked: 2026-11-01, >2026-11-01",
    "reviewed": "the day of the last decision",
    "rule": "the rule behind the verdict",
    "verdict": "what the policies say: accept, human, wait, reset, reject",
    "shadow": "what a policy in shadow mode would say: the same values",
    "table": "a table of yours that lists them",
    "reason": "the last reason that was sent to them",
    "form": 'the answer to one question: form."Intended use":*robot*',
    "answer": "any of the answers",
    "queue": "the queue of people that it waits in",
}
"""What may stand before the colon, and what it means."""

VIEWER_KEYS: Final = frozenset({"status", "repo", "age", "asked", "reviewed", "rule", "verdict", "shadow", "queue"})
"""Keys by which nobody learns what a person is called, wrote or was told; and `user` asks for pseudonyms as well."""


def is_open_to_viewers(term: Term) -> bool:
    """Whether somebody who sees no names, mail and answers may ask for this: by the answer they would see them."""
    if term.key == "user":
        return all(pattern.is_plain and is_pseudonym(pattern.parts[0]) for pattern in term.patterns)
    return term.key in VIEWER_KEYS


def is_pseudonym(text: str) -> bool:
    """Whether a word is written as the ledger calls people; a name or a mail address may begin so too."""
    return _PSEUDONYM.match(text) is not None


UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}
_PSEUDONYM: Final = re.compile(r"p_[0-9a-f]{16}\Z")
_NEEDS_QUOTES = re.compile(r"[\s,]|^[<>]")
_NO_BARE = re.compile(r"[:,]|^-")


def escape_quoted(text: str) -> str:
    """Text as it stands in quotes."""
    return re.sub(r'([\\"])', r"\\\1", text)
