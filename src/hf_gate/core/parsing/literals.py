"""Parses the literals of policy files: durations, dates, rates and repo globs, with suggestions for mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import MAXYEAR, date
from functools import lru_cache

from msgspec import Struct

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.people.grants import Duration, read_duration
from hf_gate.core.policy_model import Until
from hf_gate.errors import UsageError


class InvalidLiteralError(ValueError):
    """A text is not a valid literal; `fix` is the text that was probably meant."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.fix = fix


# ---- durations -------------------------------------------------------------------------------------------------------

DURATIONS = "a duration such as 30d, 12w, 6mo or 1y"
_LIKE_SPAN = re.compile(r"(?:P\s?)?(\d{1,6})\s*-?\s*([A-Za-z]*)\.?\Z")
# 100 years
_MOST_DAYS = 36_525
_MOST_MONTHS = 1_200
_UNITS: dict[str, str] = {
    **dict.fromkeys(("", "d", "day", "days", "tage", "tag", "jours"), "d"),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), "w"),
    **dict.fromkeys(("m", "mo", "mon", "mos", "mth", "mths", "month", "months"), "mo"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years", "a"), "y"),
}
_IN_DAY: dict[str, int] = {
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 24),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 24 * 60),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 24 * 3600),
}


def parse_duration(text: str) -> Duration:
    """Parse `30d`, `12w`, `6mo` or `1y`, up to 100 years. Raises InvalidLiteralError."""
    length = read_duration(text)
    if length is None:
        raise InvalidLiteralError(f"`{text[:40]}` is not {DURATIONS}.", _suggest_span(text))
    if length.days > _MOST_DAYS or length.months > _MOST_MONTHS:
        raise InvalidLiteralError(f"`{text}` is longer than 100 years.", "100y")
    return length


def _suggest_span(text: str) -> str | None:
    match = _LIKE_SPAN.match(text.strip())
    if match is None:
        return None
    number = int(match[1])
    unit = match[2].lower()
    if number and unit in _UNITS:
        return f"{number}{_UNITS[unit]}"
    if number and unit in _IN_DAY:
        return f"{-(-number // _IN_DAY[unit])}d"
    return None


# ---- ends of access --------------------------------------------------------------------------------------------------

_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})\Z", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[-/. ](\d{1,2})[-/. ](\d{1,2})(?:[T ].*)?\Z")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/. ]\s*(\d{1,2})[-/. ]\s*(\d{4})\Z")
_NAMED = re.compile(r"(?:(\d{1,2})\.?\s+)?([A-Za-z]{3})[a-z]*\.?\s+(?:(\d{1,2}),?\s+)?(\d{4})\Z")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_until(text: str) -> Until:
    """Parse a duration, or a date such as 2027-06-30. Raises InvalidLiteralError."""
    if read_duration(text) is not None:
        return parse_duration(text)
    match = _ISO.match(text)
    if match:
        try:
            day = date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            raise InvalidLiteralError(
                f"the date {text} does not exist.", _last_valid_day(int(match[1]), int(match[2]))
            ) from None
        if day.year == MAXYEAR:  # the end of the year 9999 cannot be represented
            raise InvalidLiteralError(
                f"{text} is too far in the future; leave the end out for access without an end.", None
            )
        return day
    suggestion = _suggest_date(text.strip()) or _suggest_span(text)
    raise InvalidLiteralError(
        f"`{text[:40]}` is not an end: write {DURATIONS}, or a date such as 2027-06-30.", suggestion
    )


def _suggest_date(text: str) -> str | None:
    if match := _YEAR_FIRST.match(text):
        return _iso(int(match[1]), int(match[2]), int(match[3]))
    if match := _DAY_FIRST.match(text):
        first = int(match[1])
        second = int(match[2])
        year = int(match[3])
        day_first = first > 12 or ("." in text and second <= 12)
        return _iso(year, second, first) if day_first else _iso(year, first, second) if second > 12 else None
    if (match := _NAMED.match(text)) and match[2].lower() in _MONTHS and (match[1] or match[3]):
        return _iso(int(match[4]), _MONTHS.index(match[2].lower()) + 1, int(match[1] or match[3]))
    return None


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return _last_valid_day(year, month)


def _last_valid_day(year: int, month: int) -> str | None:
    """Return the last day of the month for a day that the month does not have."""
    for day in (31, 30, 29, 28):
        try:
            return date(year, month, day).isoformat()
        except ValueError:
            continue
    return None


# ---- rates -----------------------------------------------------------------------------------------------------------

_PER = {"min": 60, "h": 3600, "day": 86_400, "week": 7 * 86_400}
_RATE = re.compile(r"(0|[1-9]\d{0,8})/(min|h|day|week)\Z")
_LIKE_RATE = re.compile(r"([\d_,' ]{1,12}?)\s*(?:/|per|a|an|each)\s*([A-Za-z]+)\Z")
_PERIODS = {
    **dict.fromkeys(("m", "min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hour", "hours", "hourly"), "h"),
    **dict.fromkeys(("d", "day", "days", "daily"), "day"),
    **dict.fromkeys(("w", "wk", "week", "weeks"), "week"),
}


class Rate(Struct, frozen=True):
    """At most `limit` in any period of `seconds`."""

    limit: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.limit}/{next(name for name, seconds in _PER.items() if seconds == self.seconds)}"


def parse_rate(text: str) -> Rate:
    """Parse `20000/h` or `25/day`; `min` and `week` are units too. 0 means never. Raises InvalidLiteralError."""
    match = _RATE.match(text)
    if match:
        return Rate(int(match[1]), _PER[match[2]])
    suggestion = None
    if like := _LIKE_RATE.match(text.strip()):
        number = re.sub(r"\D", "", like[1])
        period = _PERIODS.get(like[2].lower())
        suggestion = f"{int(number)}/{period}" if number and period else None
    raise InvalidLiteralError(f"`{text[:40]}` is not a rate: write 200/h or 25/day.", suggestion)


# ---- repo globs ------------------------------------------------------------------------------------------------------

_SEGMENT = re.compile(r"[A-Za-z0-9_*?](?:[A-Za-z0-9._*?-]{0,94}[A-Za-z0-9_*?-])?\Z")
_KINDS = {"model": "", "models": "", "dataset": "datasets/", "datasets": "datasets/"}


def parse_glob(text: str) -> str:
    """Return the canonical form of a glob: `ns/name` or `datasets/ns/name`, with `*` and `?` within a part.

    A bare name is a model. The host of a URL is not checked. Raises InvalidLiteralError.
    """
    if not re.search(r"[*?\[{]", text):
        try:
            return parse_repo(text, endpoint=None).web_path
        except UsageError as problem:
            near = (
                f"{text}/*" if re.fullmatch(r"(datasets/)?[\w-]+/?", text) and text.strip("/") not in _KINDS else None
            )
            raise InvalidLiteralError(
                f"{problem.message} {problem.hint}".strip(), near and near.replace("//", "/")
            ) from None
    kind, path = _split_repo_type(text)
    parts = path.split("/")
    if kind is None:
        raise InvalidLiteralError(f"`{text[:60]}`: Spaces have no access requests on the Hub.")
    if len(parts) == 1 and parts[0]:
        raise InvalidLiteralError(f"`{text[:60]}` is not a repo: write namespace/name.", f"{kind}{path}/*")
    if len(parts) != 2 or "**" in path or not all(_SEGMENT.match(part) for part in parts):
        suggestion = f"{kind}{path.replace('**', '*')}" if len(parts) == 2 and "**" in path else None
        raise InvalidLiteralError(f"`{text[:60]}` is not a repo: write ns/name-* or datasets/ns/name-*.", suggestion)
    return f"{kind}{path}"


def _split_repo_type(text: str) -> tuple[str | None, str]:
    word, colon, rest = text.partition(":")
    if colon and "/" not in word:
        return _KINDS.get(word.lower()), rest.strip("/")
    word, slash, rest = text.strip("/").partition("/")
    if slash and word.lower() in ("space", "spaces"):
        return None, rest
    if slash and word.lower() in _KINDS and "/" in rest:
        return _KINDS[word.lower()], rest
    if slash and word.lower() in _KINDS:
        return _KINDS[word.lower()], rest
    return "", text.strip("/")


def glob_matches(glob: str, repo: Repo) -> bool:
    """Tell whether a glob from `parse_glob` matches a repo, ignoring case; `*` does not match a slash."""
    return glob_matches_path(glob, repo.web_path)


def matches_any(globs: Iterable[str] | None, repo: Repo) -> bool:
    """Tell whether one of these globs matches a repo; None matches every repo."""
    if globs is None:
        return True
    path = repo.web_path
    return any(glob_matches_path(glob, path) for glob in globs)


@lru_cache(maxsize=8192)
def glob_matches_path(glob: str, path: str) -> bool:
    """Tell whether a glob matches a path: `ns/name` or `datasets/ns/name`."""
    globs = glob.lower().split("/")
    parts = path.lower().split("/")
    return len(globs) == len(parts) and all(map(_part_matches, globs, parts))


def _part_matches(glob: str, text: str) -> bool:
    """Match one part. Only the last `*` backtracks, so that many stars do not take exponential time."""
    at = n = 0
    star: tuple[int, int] | None = None
    while n < len(text):
        if glob[at : at + 1] == "*":
            star = at, n
            at += 1
        elif glob[at : at + 1] in {"?", text[n]}:
            at = at + 1
            n = n + 1
        elif star is not None:
            star = star[0], star[1] + 1
            at = star[0] + 1
            n = star[1]
        else:
            return False
    return not glob[at:].strip("*")


def globs_overlap(one: str, other: str) -> bool:
    """Tell whether any repo name can match both globs."""
    one_parts = one.lower().split("/")
    other_parts = other.lower().split("/")
    return len(one_parts) == len(other_parts) and all(map(_parts_overlap, one_parts, other_parts))


def _parts_overlap(one: str, other: str) -> bool:
    reached = {(0, 0)}
    todo = [(0, 0)]
    while todo:
        i, j = todo.pop()
        a = one[i : i + 1]
        b = other[j : j + 1]
        steps = [(i + 1, j)] if a == "*" else []
        steps += [(i, j + 1)] if b == "*" else []
        if a and b:
            steps += [(i, j + 1)] if a == "*" else []
            steps += [(i + 1, j)] if b == "*" else []
            steps += [(i + 1, j + 1)] if a == b or "?" in (a, b) else []
        for step in steps:
            if step not in reached:
                reached.add(step)
                todo.append(step)
    return (len(one), len(other)) in reached
