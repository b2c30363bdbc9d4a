"""Says the terms of a query in words, as chips that remove them: Pending, Repo lantern-7b-chat, Purpose too short."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..domain.query import Age, Day, Pattern, Term, Value
from .queue_query import QueueQuery, queue_url

QUALITY_CHOICES: Final = (("nothing useful", ("junk", "empty")), ("too short", ("thin",)), ("answered", ("good",)))
"""The choices of the facet Purpose with the values of `quality:`. A form without such a question has none of them."""

WORDS: Final = {
    "status": {
        "pending": "Pending", "accepted": "Accepted", "rejected": "Rejected", "reset": "Sent back",
        "withdrawn": "Withdrawn",
    },
    "verdict": {
        "accept": "Would accept", "human": "Needs review", "wait": "On hold", "reset": "Would send back",
        "reject": "Would reject",
    },
    "shadow": {
        "accept": "would accept", "human": "needs review", "wait": "on hold", "reset": "would send back",
        "reject": "would reject",
    },
    "ends": {"none": "never"}, "assigned": {"none": "to nobody", "me": "to you", "others": "to others"},
    "quality": {"junk": "meaningless", "empty": "left empty", "thin": "too short", "good": "answered", "missing": "not asked"},
}  # fmt: skip
"""Values of keys in words; other values are shown as they are."""

_NAMES: Final = {
    "repo": "Repo", "user": "Person", "email": "Address", "domain": "Mail domain", "country": "Country",
    "age": "Asked", "asked": "Asked", "reviewed": "Decided", "ends": "Access ends", "rule": "Rule", "shadow": "In shadow mode:",
    "table": "Table", "reason": "Reason", "answer": "Any answer", "queue": "Queue", "assigned": "Assigned", "approval": "Approval", "due": "Due", "quality": "Purpose",
    "mail": "E-mail", "same": "Same text as request",
}  # fmt: skip
_UNITS: Final = {"h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_SIGNS: Final = {">": "more than", "<": "less than", ">=": "at least", "<=": "at most"}
_DAYS: Final = {"": "on", ">": "after", "<": "before", ">=": "from", "<=": "up to"}
_MAX_VALUES: Final = 3  # of one term; the tooltip shows all
_MAX_LENGTH: Final = 60  # of one value


class TermWords(NamedTuple):
    """A term in words. `name` is empty if the value says it all: Pending."""

    name: str
    value: str


class TermChip(NamedTuple):
    """A term with the address of the query without it. `text` is the term as it is written in a query."""

    words: TermWords
    text: str
    href: str


def build_chips(asked: QueueQuery, more: str, *, with_words: bool = False) -> list[TermChip]:
    """Return the chips of a query. Free words are in the search box, so they have no chip unless wanted."""
    return [
        TermChip(describe_term(term), str(term), queue_url(asked.without_term(term)) + more)
        for term in asked.query.terms
        if term.key or with_words
    ]


def describe_term(term: Term) -> TermWords:
    """Return a term in words. It contains text from the member, so pages must show it as text."""
    name = _NAMES.get(term.key, "") if term.key else "Text"
    if term.key == "form":
        name = _shorten(term.label or "")
    if any(isinstance(value, Pattern) and value.is_any for value in term.values):
        return TermWords(name or term.key.capitalize(), "none" if term.is_not else "any")
    values = _list_values(term)
    hidden = len(values) - _MAX_VALUES
    if hidden > 1:
        values = [*values[:_MAX_VALUES], f"{hidden} more"]
    value = " or ".join(dict.fromkeys(values))
    if term.is_not:
        value = f"not {value}" if name else f"Not {value[:1].lower()}{value[1:]}"
    return TermWords(name, value)


def _list_values(term: Term) -> list[str]:
    values = [_describe_value(term, value) for value in term.values]
    if term.key == "quality":
        joined = {WORDS["quality"][value] for value in QUALITY_CHOICES[0][1]}
        if joined <= set(values):
            return [QUALITY_CHOICES[0][0], *(value for value in values if value not in joined)]
    return values


def _describe_value(term: Term, value: Value) -> str:
    if isinstance(value, Age):
        unit = _UNITS[value.unit] + ("" if value.number == 1 else "s")
        when = "from now" if term.key == "ends" else "ago"
        return f"{_SIGNS[value.sign]} {value.number:,} {unit} {when}"
    if isinstance(value, Day):
        return f"{_DAYS[value.sign]} {value.day.isoformat()}"
    if not term.key:
        return f"“{_shorten('*'.join(value.parts))}”"
    return _describe_pattern(term, value)


def _describe_pattern(term: Term, pattern: Pattern) -> str:
    parts = pattern.parts
    if pattern.is_plain:
        text = parts[0].rpartition("/")[2] if term.key == "repo" else parts[0]
        known = WORDS.get(term.key, {})
        return known.get(pattern.folded_parts[0]) or _shorten(text) or "empty"
    shown = _shorten("*".join(parts))
    if term.is_not or term.key in {"repo", "status", "verdict", "shadow", "quality", "mail"}:
        return shown
    match parts:
        case ("", text, ""):
            return f"contains {_shorten(text)}"
        case (text, ""):
            return f"begins with {_shorten(text)}"
        case ("", text):
            return f"ends with {_shorten(text)}"
        case _:
            return shown


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
