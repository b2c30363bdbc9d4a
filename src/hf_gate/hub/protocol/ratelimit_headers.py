"""Parses the rate-limit headers `RateLimit`, `RateLimit-Policy` and `Retry-After`.

The first two follow the IETF draft on rate-limit headers: lists of names with parameters. Malformed members are
skipped; nothing in this module raises, even for hostile text. Units are calls and seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

MAX_WAIT_S: Final = 86_400  # longer waits are ignored

_MAX_TEXT: Final = 8192
_PIECE: Final = re.compile(r'((?:"(?:[^"\\]|\\["\\])*+"|[^",;])*+)([,;]|\Z)')
_STRING: Final = re.compile(r'"((?:[^"\\]|\\["\\])*+)"')
_TOKEN: Final = re.compile(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*")
_COUNT: Final = re.compile(r"[0-9]{1,15}")
_SECONDS: Final = re.compile(r"([0-9]{1,15})(\.[0-9]{1,9})?")
_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"  # the one of the three formats of HTTP that is still written


class AnnouncedLimit(Struct, frozen=True):
    """One announced limit, in calls. `reset_s` counts from the answer; if absent, `window_s` is used."""

    name: str
    remaining: int
    reset_s: int
    quota: int | None = None
    window_s: int | None = None


class _LimitPolicy(Struct, frozen=True):
    quota: int | None
    window_s: int | None
    is_call_limit: bool


def read_limits(headers: Mapping[str, str]) -> tuple[AnnouncedLimit, ...]:
    """Return the limits that an answer announces, the tightest one for each name. Header names are in lower case.

    The Hub writes `ratelimit: "api";r=495;t=23` and `ratelimit-policy: "fixed window";"api";q=500;w=300`. The second is
    not a valid structured field (a string in place of a parameter), so the last name of a member counts. A member is
    skipped if it has no `r`, neither `t` nor a window, or counts something other than calls (`qu`).
    """
    policies = {
        name: _LimitPolicy(
            _parse_count(parameters.get("q")) or None,
            _parse_window(parameters.get("w")),
            parameters.get("qu", '"requests"').strip('"') == "requests",
        )
        for name, parameters in _iterate_members(headers.get("ratelimit-policy", ""))
    }
    limits: dict[str, AnnouncedLimit] = {}
    for name, parameters in _iterate_members(headers.get("ratelimit", "")):
        policy = policies.get(name, _LimitPolicy(None, None, is_call_limit=True))
        limit = _build_limit(name, parameters, policy)
        if limit is not None and (name not in limits or limit.remaining < limits[name].remaining):
            limits[name] = limit
    return tuple(limits.values())


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait according to `Retry-After` (seconds or HTTP date): 0 for the past, at most a day."""
    text = headers.get("retry-after", "")[:_MAX_TEXT].strip(" \t")
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_WAIT_S)
    try:
        moment = datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return min(max(moment - now, 0.0), MAX_WAIT_S)


def _build_limit(name: str, parameters: Mapping[str, str], policy: _LimitPolicy) -> AnnouncedLimit | None:
    remaining = _parse_count(parameters.get("r"))
    reset = _parse_count(parameters["t"]) if "t" in parameters else policy.window_s
    if remaining is None or reset is None or not policy.is_call_limit:
        return None
    return AnnouncedLimit(
        name, remaining, min(reset, policy.window_s or MAX_WAIT_S, MAX_WAIT_S), policy.quota, policy.window_s
    )


def _iterate_members(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and raw parameters of each member. An unclosed quote ends the list."""
    pieces: list[str] = []
    position = 0
    text = text[:_MAX_TEXT]
    while piece := _PIECE.match(text, position):
        pieces.append(piece[1].strip(" \t"))
        position = piece.end()
        if piece[2] != ";":
            member = _parse_member(pieces)
            if member is not None:
                yield member
            pieces = []
        if not piece[2]:
            return


def _parse_member(pieces: list[str]) -> tuple[str, dict[str, str]] | None:
    name = ""
    parameters = {}
    for index, piece in enumerate(pieces):
        string = _STRING.fullmatch(piece)
        if string:
            name = re.sub(r"\\(.)", r"\1", string[1])
        elif index == 0:
            if not _TOKEN.fullmatch(piece):
                return None
            name = piece
        else:
            key, _, value = piece.partition("=")
            parameters[key.strip(" \t").lower()] = value.strip(" \t")
    return (name, parameters) if name else None


def _parse_count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None


def _parse_window(text: str | None) -> int | None:
    seconds = _parse_count(text) or 0
    return seconds if 0 < seconds <= MAX_WAIT_S else None
