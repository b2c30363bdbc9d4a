"""Constants that stand beside facts in expressions, compared with the values that those facts can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .checks import Comparison
from .expressions import Expression
from .fact_table import declared
from .model import Policy
from .spelling import glob_matches_path
from .strictyaml import nearest

_EQUAL = ("==", "!=", "in")
_MEANT = {
    "answers.ROLE.quality": {
        **dict.fromkeys(("bad", "poor", "weak", "short", "low", "vague", "insufficient"), "thin"),
        **dict.fromkeys(("spam", "nonsense", "garbage", "random", "rubbish", "gibberish"), "junk"),
        **dict.fromkeys(("blank", "none", "nothing", ""), "empty"),
        **dict.fromkeys(("ok", "okay", "fine", "valid", "high", "great", "complete"), "good"),
        **dict.fromkeys(("absent", "null", "unknown", "unset"), "missing"),
    },
    "tables.NAME.state": {
        **dict.fromkeys(("ok", "signed", "active", "current", "true", "yes", "present", "listed"), "valid"),
        **dict.fromkeys(("old", "lapsed", "ended", "over", "outdated"), "expired"),
        **dict.fromkeys(("none", "absent", "unsigned", "false", "no", "unknown", ""), "missing"),
    },
    "request.status": {
        **dict.fromkeys(("approved", "granted", "open"), "accepted"),
        **dict.fromkeys(("denied", "refused"), "rejected"),
        **dict.fromkeys(("waiting", "new"), "pending"),
        **dict.fromkeys(("returned", "cancelled"), "reset"),
    },
    "history.last_decision": {
        **dict.fromkeys(("approved", "granted", "accept"), "accepted"),
        **dict.fromkeys(("denied", "refused", "reject"), "rejected"),
        **dict.fromkeys(("never", "", "null"), "none"),
    },
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something about a piece of an expression; offset and length count in the source that was given."""

    code: str
    message: str
    offset: int
    length: int
    fix: str | None = None
    hint: str = ""
    is_error: bool = True


def constant_faults(expression: Expression, source: str, policy: Policy, repos: Sequence[str]) -> Iterator[Fault]:
    """What is wrong with the constants of an expression, from the left."""
    for found in sorted(expression.comparisons, key=lambda each: each.offset):
        known = declared(found.fact)
        if known is None:
            continue
        if known.values is not None and found.op in _EQUAL:
            yield from _not_a_value(found, source, known.name, known.values)
        elif found.fact in ("email.domain", "email.registrable", "email.address"):
            yield from _domain(found, source)
        elif found.fact == "answers.country.code" and found.op in _EQUAL:
            yield from _country(found, source)
        elif found.fact == "request.repo" and found.op in _EQUAL:
            yield from _repo(found, source, policy, repos)


def nearest_value(law: str, value: str, values: tuple[str, ...]) -> str | None:
    """Which of the values that a fact can have was probably meant."""
    return nearest(value, values, _MEANT.get(law))


def literal_at(found: Comparison, source: str, value: str) -> tuple[int, int] | None:
    """Where a text stands, quotes and all, within a comparison."""
    piece = source[found.offset : found.offset + found.length]
    match = re.search(r"r?(\"{0}\"|'{0}')".format(re.escape(value)), piece)
    return (found.offset + match.start(), len(match[0])) if match else None


def _texts(found: Comparison, source: str) -> Iterator[tuple[str, int, int]]:
    for value in found.values:
        if isinstance(value, str):
            at = literal_at(found, source, value) or (found.offset, found.length)
            yield value, *at


def _not_a_value(found: Comparison, source: str, law: str, values: tuple[str, ...]) -> Iterator[Fault]:
    for value, offset, length in _texts(found, source):
        if value in values:
            continue
        near = nearest_value(law, value, values)
        hint = f'Did you mean "{near}"?' if near else ""
        words = f"`{found.fact}` is never {value[:40]!r}: it is {', '.join(values)}."
        yield Fault("unknown_value", words, offset, length, near and f'"{near}"', hint)


_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\Z")


def _domain(found: Comparison, source: str) -> Iterator[Fault]:
    """Domains are written in small letters, without @; a suffix begins with its dot, for `evilmit.edu` ends like `mit.edu`."""
    for value, offset, length in _texts(found, source):
        plain = value.strip().lower()
        if found.op == "matches":
            continue
        if found.fact != "email.address" and plain.startswith("@") and found.op in (*_EQUAL, "endsWith"):
            yield from _without_at(found, value, plain, offset, length)
        elif plain != value:
            words = f"`{found.fact}` is in small letters: {value!r} never matches."
            yield Fault("capitals", words, offset, length, f'"{plain}"', f'Write "{plain}".')
        elif found.op == "endsWith" and _DOMAIN.match(plain) and not plain.startswith((".", "@")):
            yield _suffix(found, plain)


def _without_at(found: Comparison, value: str, plain: str, offset: int, length: int) -> Iterator[Fault]:
    bare = plain.removeprefix("@").removeprefix("*.")
    words = f"`{found.fact}` is what stands after the @: {value!r} never matches."
    if found.op == "endsWith":
        yield Fault("domain_at", words, found.offset, found.length, f'{found.fact} == "{bare}"', f'Write == "{bare}".')
    else:
        yield Fault("domain_at", words, offset, length, f'"{bare}"', f'Write "{bare}".')


def _suffix(found: Comparison, plain: str) -> Fault:
    words = f'endsWith("{plain}") also holds for "evil{plain}": a domain ends with its dot.'
    if found.fact == "email.address":
        fix = f'{found.fact}.endsWith("@{plain}")'
    elif "." in plain:
        fix = f'({found.fact} == "{plain}" || {found.fact}.endsWith(".{plain}"))'
    else:
        fix = f'{found.fact}.endsWith(".{plain}")'
    return Fault("suffix_without_dot", words, found.offset, found.length, fix, f"Write `{fix}`.", is_error=False)


def _country(found: Comparison, source: str) -> Iterator[Fault]:
    for value, offset, length in _texts(found, source):
        if re.fullmatch(r"[A-Z]{2}", value) and value != "UK":
            continue
        upper = value.strip().upper()
        fix = "GB" if upper == "UK" else upper if re.fullmatch(r"[A-Z]{2}", upper) else _NAMES.get(upper)
        words = f"`{found.fact}` is a code of two capitals (DE, CH, US): {value[:40]!r} never matches."
        yield Fault("country_code", words, offset, length, fix and f'"{fix}"', f'Write "{fix}".' if fix else "")


_NAMES = {
    "GERMANY": "DE",
    "SWITZERLAND": "CH",
    "AUSTRIA": "AT",
    "FRANCE": "FR",
    "ITALY": "IT",
    "SPAIN": "ES",
    "CHINA": "CN",
    "RUSSIA": "RU",
    "INDIA": "IN",
    "JAPAN": "JP",
    "KOREA": "KR",
    "BRAZIL": "BR",
    "CANADA": "CA",
    "IRAN": "IR",
    "NORTH KOREA": "KP",
    "CUBA": "CU",
    "SYRIA": "SY",
    "USA": "US",
    "UNITED STATES": "US",
    "UNITED KINGDOM": "GB",
    "GREAT BRITAIN": "GB",
    "NETHERLANDS": "NL",
}


def _repo(found: Comparison, source: str, policy: Policy, repos: Sequence[str]) -> Iterator[Fault]:
    for value, offset, length in _texts(found, source):
        if any(glob_matches_path(glob, value) for glob in policy.applies_to):
            continue
        near = next((r for r in (f"datasets/{value}", value.removeprefix("datasets/"), *_bare_of(value)) if any(glob_matches_path(g, r) for g in policy.applies_to)), None) or nearest(value, repos)  # fmt: skip
        words = f"this policy judges no repo {value[:80]!r}: `request.repo` is ns/name, or datasets/ns/name."
        yield Fault("unknown_repo", words, offset, length, near and f'"{near}"', f'Did you mean "{near}"?' if near else "", is_error=False)  # fmt: skip


def _bare_of(value: str) -> tuple[str, ...]:
    bare = re.sub(r"^(https?://[^/]+/|hf://|models/|model:|dataset:)", "", value)
    return (bare, f"datasets/{bare}")
