"""Constants that stand beside facts in expressions, compared with the values that those facts can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .checks import Comparison
from .expressions import Expression
from .fact_table import find_declaration
from .model import Policy
from .spelling import glob_matches_path
from .strictyaml import suggest

_EQUAL = ("==", "!=", "in")
_SYNONYMS = {
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
class ExpressionFault:
    """Something about a piece of an expression; offset and length count in the source that was given."""

    code: str
    message: str
    offset: int
    length: int
    fix: str | None = None
    hint: str = ""
    is_error: bool = True


def check_constants(
    expression: Expression, source: str, policy: Policy, repos: Sequence[str]
) -> Iterator[ExpressionFault]:
    """What is wrong with the constants of an expression, from the left."""
    for found in sorted(expression.comparisons, key=lambda each: each.offset):
        known = find_declaration(found.fact)
        if known is None:
            continue
        if known.values is not None and found.op in _EQUAL:
            yield from _check_values(found, source, known.name, known.values)
        elif found.fact in ("email.domain", "email.registrable", "email.address"):
            yield from _check_domain(found, source)
        elif found.fact == "answers.country.code" and found.op in _EQUAL:
            yield from _check_country(found, source)
        elif found.fact == "request.repo" and found.op in _EQUAL:
            yield from _check_repo(found, source, policy, repos)


def suggest_value(law: str, value: str, values: tuple[str, ...]) -> str | None:
    """Which of the values that a fact can have was probably meant."""
    return suggest(value, values, _SYNONYMS.get(law))


def find_literal(found: Comparison, source: str, value: str) -> tuple[int, int] | None:
    """Where a text stands, quotes and all, within a comparison."""
    piece = source[found.offset : found.offset + found.length]
    match = re.search(r"r?(\"{0}\"|'{0}')".format(re.escape(value)), piece)
    return (found.offset + match.start(), len(match[0])) if match else None


def _text_constants(found: Comparison, source: str) -> Iterator[tuple[str, int, int]]:
    for value in found.values:
        if isinstance(value, str):
            at = find_literal(found, source, value) or (found.offset, found.length)
            yield value, *at


def _check_values(found: Comparison, source: str, law: str, values: tuple[str, ...]) -> Iterator[ExpressionFault]:
    for value, offset, length in _text_constants(found, source):
        if value in values:
            continue
        near = suggest_value(law, value, values)
        hint = f'Did you mean "{near}"?' if near else ""
        words = f"`{found.fact}` is never {value[:40]!r}: it is {', '.join(values)}."
        yield ExpressionFault("unknown_value", words, offset, length, near and f'"{near}"', hint)


_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\Z")


def _check_domain(found: Comparison, source: str) -> Iterator[ExpressionFault]:
    """Domains are written in small letters, without @; a suffix begins with its dot, for `evilmit.edu` ends like `mit.edu`."""
    for value, offset, length in _text_constants(found, source):
        plain = value.strip().lower()
        if found.op == "matches":
            continue
        if found.fact != "email.address" and plain.startswith("@") and found.op in (*_EQUAL, "endsWith"):
            yield from _at_sign_fault(found, value, plain, offset, length)
        elif plain != value:
            words = f"`{found.fact}` is in small letters: {value!r} never matches."
            yield ExpressionFault("capitals", words, offset, length, f'"{plain}"', f'Write "{plain}".')
        elif found.op == "endsWith" and _DOMAIN.match(plain) and not plain.startswith((".", "@")):
            yield _suffix_fault(found, plain)


def _at_sign_fault(found: Comparison, value: str, plain: str, offset: int, length: int) -> Iterator[ExpressionFault]:
    bare = plain.removeprefix("@").removeprefix("*.")
    words = f"`{found.fact}` is what stands after the @: {value!r} never matches."
    if found.op == "endsWith":
        yield ExpressionFault(
            "domain_at", words, found.offset, found.length, f'{found.fact} == "{bare}"', f'Write == "{bare}".'
        )
    else:
        yield ExpressionFault("domain_at", words, offset, length, f'"{bare}"', f'Write "{bare}".')


def _suffix_fault(found: Comparison, plain: str) -> ExpressionFault:
    words = f'endsWith("{plain}") also holds for "evil{plain}": a domain ends with its dot.'
    if found.fact == "email.address":
        fix = f'{found.fact}.endsWith("@{plain}")'
    elif "." in plain:
        fix = f'({found.fact} == "{plain}" || {found.fact}.endsWith(".{plain}"))'
    else:
        fix = f'{found.fact}.endsWith(".{plain}")'
    return ExpressionFault(
        "suffix_without_dot", words, found.offset, found.length, fix, f"Write `{fix}`.", is_error=False
    )


def _check_country(found: Comparison, source: str) -> Iterator[ExpressionFault]:
    for value, offset, length in _text_constants(found, source):
        if re.fullmatch(r"[A-Z]{2}", value) and value != "UK":
            continue
        upper = value.strip().upper()
        fix = "GB" if upper == "UK" else upper if re.fullmatch(r"[A-Z]{2}", upper) else _NAMES.get(upper)
        words = f"`{found.fact}` is a code of two capitals (DE, CH, US): {value[:40]!r} never matches."
        yield ExpressionFault(
            "country_code", words, offset, length, fix and f'"{fix}"', f'Write "{fix}".' if fix else ""
        )


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


def _check_repo(found: Comparison, source: str, policy: Policy, repos: Sequence[str]) -> Iterator[ExpressionFault]:
    for value, offset, length in _text_constants(found, source):
        if any(glob_matches_path(glob, value) for glob in policy.applies_to):
            continue
        near = next((r for r in (f"datasets/{value}", value.removeprefix("datasets/"), *_strip_repo_prefix(value)) if any(glob_matches_path(g, r) for g in policy.applies_to)), None) or suggest(value, repos)  # fmt: skip
        words = f"this policy judges no repo {value[:80]!r}: `request.repo` is ns/name, or datasets/ns/name."
        yield ExpressionFault("unknown_repo", words, offset, length, near and f'"{near}"', f'Did you mean "{near}"?' if near else "", is_error=False)  # fmt: skip


def _strip_repo_prefix(value: str) -> tuple[str, ...]:
    bare = re.sub(r"^(https?://[^/]+/|hf://|models/|model:|dataset:)", "", value)
    return (bare, f"datasets/{bare}")
