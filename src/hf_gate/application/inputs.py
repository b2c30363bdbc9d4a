"""Parses what people type, once for commands, pages and the JSON API: ends, reasons, templates, notes, confirmations.

Each function returns the value or raises a `UsageError` with the next step. Nothing has been sent by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, TypeAlias

from ..domain.events import KINDS
from ..domain.grants import grant_end
from ..domain.ids import Repo
from ..domain.lifecycle import VERBS_WITH_REASON
from ..domain.requests import check_reason
from ..errors import ReasonTooLong, UsageError
from ..policy.literals import InvalidLiteralError, parse_until
from ..policy.reasons import choose_text, fill_reason, reason_length_problem

NOTE_LIMIT: Final = 4000

Templates: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""The texts under `templates:` in hf-gate.yaml by their names; by language where there are several."""


NO_WORKSPACE: Final = "An end needs a workspace, whose runs carry it out. There is none here."


def parse_end(text: str, now: datetime, zone: tzinfo, *, has_workspace: bool) -> str:
    """Return the end of an access as rules write it (`90d`, `2028-11-30`); it must be still to come."""
    if not has_workspace:
        raise UsageError(NO_WORKSPACE, hint="`hf-gate init` makes one.")
    written = text.strip()
    if not written:
        raise UsageError("No end is given.", hint="Write a length of time such as 90d, or a date such as 2028-11-30.")
    try:
        parse_until(written)
    except InvalidLiteralError as problem:
        raise UsageError(str(problem), hint=f"Did you mean {problem.fix}?" if problem.fix else "") from None
    if grant_end(written, now, zone) <= now:
        raise UsageError(f"{written} is over already.", hint="Give a date that is still to come.")
    return written


def parse_note(text: str) -> str:
    """Return a note that can be stored."""
    note = text.strip()
    if not note:
        raise UsageError("The note is empty.", hint="Write something, or leave the note out.")
    if len(note) > NOTE_LIMIT:
        raise UsageError(f"The note has {len(note):,} characters, {NOTE_LIMIT:,} are kept.", hint="Shorten it.")
    if any("\ud800" <= ch <= "\udfff" for ch in note):
        raise UsageError("The note holds half a character (a lone surrogate).", hint="Type it again.")
    return note


def parse_reason(text: str | None, verb: str, *, is_silent: bool) -> str | None:
    """Return what the person is told; None with a verb that tells nothing. `is_silent`: no reason is meant."""
    if verb not in VERBS_WITH_REASON:
        return None
    reason = (text or "").strip()
    if not reason and not is_silent:
        raise UsageError("A reason is missing.", hint="Say why, or choose that no reason is given.")
    return check_reason(reason or None)


def parse_event_kind(text: str) -> str:
    """Return the kind of entry of the audit log, whatever its case."""
    known = {kind.lower(): kind for kind in KINDS}
    if text.lower() not in known:
        raise UsageError(f"There is no kind of entry {text[:40]!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
    return known[text.lower()]


def is_confirmed(text: str, count: int) -> bool:
    """Return whether somebody typed the number of changes."""
    return text.strip().replace(",", "") == str(count)


# ---- templates of reasons ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReasonTemplate:
    """A named text of the workspace in one language. `name` is as people write it: `more` or `more:de`."""

    name: str
    text: str

    def fill(self, repo: Repo, user: str | None) -> str:
        """Return the text as this person gets it."""
        return fill_reason(self.text, repo=repo.id, user=user or "you", rule="")


def texts_by_language(name: str, texts: str | Mapping[str, str]) -> list[tuple[str, str]]:
    """Return a text under its name; one in several languages once for each, named `name:language`."""
    if isinstance(texts, str) or len(texts) == 1:
        return [(name, choose_text(texts))]
    return [(f"{name}:{language}", text) for language, text in texts.items()]


def check_templates(templates: Templates, repos: Sequence[Repo]) -> Iterator[ReasonTemplate | UsageError]:
    """Yield each template in each language, or why it cannot be sent to everybody at these repos."""
    for name, texts in templates.items():
        for word, _ in texts_by_language(name, texts):
            try:
                yield find_template(templates, word, repos)
            except UsageError as problem:
                yield problem


def find_template(templates: Templates, word: str, repos: Sequence[Repo]) -> ReasonTemplate:
    """Return the template `NAME` or `NAME:LANGUAGE`, if it can be sent to everybody at these repos."""
    name, _, language = word.partition(":")
    found = templates.get(name)
    if found is None:
        known = ", ".join(sorted(templates)) or "none yet"
        raise UsageError(
            f"There is no template {name!r} in hf-gate.yaml.",
            hint=f"There are: {known}. They stand under `templates:` as `name: text`.",
        )
    if language and (isinstance(found, str) or language not in found):
        known = "one language only" if isinstance(found, str) else ", ".join(found)
        raise UsageError(f"The template {name!r} is not written in {language!r}.", hint=f"It is in {known}.")
    text = choose_text(found, language or None)
    if "{rule}" in text:
        raise UsageError(
            f"The template {name!r} names the {{rule}} that decided, and here a person decides.",
            hint="Use another one, or --reason TEXT.",
        )
    if too_long := reason_length_problem(text, [repo.id for repo in repos], ""):
        raise ReasonTooLong(f"The template {name!r} when it is filled: {too_long}", hint="Nothing was sent.")
    check_reason(text if "{" not in text else None)
    return ReasonTemplate(word, text)
