"""Letters to applicants: which there are, their placeholders and limits, and how a template becomes a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from hf_gate.base.display_text import make_visible
from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.lifecycle import Status

from .messages import OutboxRow
from .notices import MAILBOX, MailServer


class LetterKind(StrEnum):
    """What a letter says to an applicant."""

    RECEIVED = "received"  # the request arrived
    NEEDED = "needed"  # what is still missing, and how to send it
    ENDS = "ends"  # access ends soon
    ENDED = "ended"  # access ended, and the person may ask again


SAME_KIND_MS: Final = 7 * DAY_MS
"""In this time, a person gets at most one letter of a kind."""
PERSON_MS: Final = 30 * DAY_MS
"""In this time, a person gets at most `per_person` letters."""
PER_PERSON: Final = 4
ON_HOLD: Final = "wait"
"""The action of a verdict that keeps a request on hold."""
MAX_TEXT: Final = 4000
MAX_SUBJECT: Final = 150
_MAX_VALUE: Final = 500  # characters of one filled-in value

_COMMON: Final = ("name", "user", "repo", "link")
PLACEHOLDERS: Final[Mapping[LetterKind, tuple[str, ...]]] = {
    LetterKind.RECEIVED: _COMMON,
    LetterKind.NEEDED: (*_COMMON, "needed"),
    LetterKind.ENDS: (*_COMMON, "days", "date"),
    LetterKind.ENDED: _COMMON,
}
"""The placeholders that the texts of each kind can use."""
_BRACES: Final = re.compile(r"\{[^{}\n]*\}|[{}]")
_ENCODED_WORD: Final = "=?"
"""Mail programs decode what begins so in a header, to any characters."""


class LetterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The key `letters` of hf-gate.yaml. Without kinds, there are no letters; without `mail`, nothing is sent."""

    kinds: tuple[LetterKind, ...] = ()
    texts: Mapping[LetterKind, str] = {}
    needs: Mapping[str, str] = {}  # what people on hold must send, by rule
    per_person: int = PER_PERSON
    mail: MailServer | None = None


class LetterText(NamedTuple):
    """A letter as it is read. Both parts are plain text."""

    subject: str
    body: str


class PastLetter(NamedTuple):
    """A letter that a person got, or may have got."""

    kind: str
    at: int  # ms


class LetterCase(msgspec.Struct, frozen=True, kw_only=True):
    """A letter with what is true of its request now."""

    letter: OutboxRow
    status: str
    is_current: bool
    ends_at: int | None  # ms
    verdict: tuple[str | None, str | None]  # action and rule
    email: str | None

    @property
    def kind(self) -> LetterKind:
        """What the letter says."""
        return LetterKind(self.letter.kind)

    @property
    def request(self) -> int:
        """The request that the letter is about."""
        return self.letter.request_id or 0

    @property
    def person(self) -> int:
        """The person who gets the letter."""
        return self.letter.person_id or 0


def find_text_fault(text: str, kind: LetterKind) -> str | None:
    """Return what is wrong with a template, as a sentence; None if it can be used."""
    subject, _, body = text.strip().partition("\n")
    known = PLACEHOLDERS[kind]
    for found in _BRACES.finditer(text):
        if found[0][1:-1] not in known or len(found[0]) < 3:
            names = ", ".join(f"{{{name}}}" for name in known)
            return f"{found[0][:40]} is not a placeholder of {kind}; use {names}."
    if not body.strip():
        return f"the text of {kind} needs a subject in its first line, and a body below it."
    if len(subject) > MAX_SUBJECT or len(text) > MAX_TEXT:
        return f"the text of {kind} has more than {MAX_SUBJECT} characters in its first line, or {MAX_TEXT:,} in all."
    return None


def fill_text(template: str, values: Mapping[str, str]) -> LetterText:
    """Return a template with its values. Values are one line each, and placeholders in them stay as they are."""
    clean = {name: make_visible(value, one_line=True)[:_MAX_VALUE] for name, value in values.items()}
    subject, _, body = template.strip().partition("\n")

    def fill(text: str) -> str:
        return _BRACES.sub(lambda match: clean.get(match[0][1:-1], match[0]), text)

    line = make_visible(fill(subject), one_line=True).replace(_ENCODED_WORD, "= ?")
    return LetterText(line[: 2 * MAX_SUBJECT], fill(body).strip())


def is_mail_address(text: str | None) -> bool:
    """Tell whether a letter can be addressed to this. Lists, names, comments and line breaks are not addresses."""
    return bool(text and MAILBOX.match(text))


def find_obstacle(case: LetterCase, config: LetterConfig, now: int) -> str | None:
    """Return why a letter no longer applies; None if it does."""
    kind = case.kind
    is_pending = case.status == Status.PENDING and case.is_current
    if kind not in config.kinds:
        return "letters of this kind are off"
    if not is_mail_address(case.email):
        return "the Hub gave no e-mail address that a letter can go to"
    applies = {
        LetterKind.RECEIVED: is_pending,
        LetterKind.NEEDED: is_pending
        and case.verdict == (ON_HOLD, case.letter.key)
        and case.letter.key in config.needs,
        LetterKind.ENDS: case.status == Status.ACCEPTED and case.ends_at is not None and case.ends_at > now,
        LetterKind.ENDED: case.status == Status.RESET and case.is_current,
    }
    return None if applies[kind] else "the request has changed since"


def find_limit(kind: LetterKind, past: list[PastLetter], per_person: int, now: int) -> str | None:
    """Return the limit that forbids another letter to a person; None if it may be sent."""
    if any(one.kind == kind and now - one.at < SAME_KIND_MS for one in past):
        return "the person got a letter of this kind in the last 7 days"
    if sum(now - one.at < PERSON_MS for one in past) >= per_person:
        return f"the person got {per_person} letters in the last 30 days"
    return None
