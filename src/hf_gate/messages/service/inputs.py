"""Parses typed input for commands, pages and the JSON API: ends, reasons, templates, notes, confirmations.

Each function returns the value or raises a `UsageError` with the next step. At that point, nothing has been sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final, TypeAlias

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.events.events import KINDS
from hf_gate.core.lifecycle import VERBS_WITH_REASON
from hf_gate.core.parsing.literals import InvalidLiteralError, parse_until
from hf_gate.core.people.grants import parse_grant_end
from hf_gate.core.requests import check_reason
from hf_gate.errors import ReasonTooLong, UsageError
from hf_gate.policies.checks.reasons import choose_text, fill_reason, reason_length_problem

NOTE_LIMIT: Final = 4000

Templates: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""The texts under `templates:` in hf-gate.yaml, by name and (if there are several) by language."""


NO_WORKSPACE: Final = "An end of access needs a workspace, because its runs end the access. There is no workspace here."


def parse_end(text: str, now: datetime, zone: tzinfo, *, has_workspace: bool) -> str:
    """Return the end of access as written in rules (`90d`, `2028-11-30`). It must be in the future."""
    if not has_workspace:
        raise UsageError(NO_WORKSPACE, hint="`hf-gate init` makes one.")
    written = text.strip()
    if not written:
        raise UsageError("No end is given.", hint="Write a duration such as 90d, or a date such as 2028-11-30.")
    try:
        parse_until(written)
    except InvalidLiteralError as problem:
        raise UsageError(str(problem), hint=f"Did you mean {problem.fix}?" if problem.fix else "") from None
    if parse_grant_end(written, now, zone) <= now:
        raise UsageError(f"{written} is in the past.", hint="Give a date in the future.")
    return written


def parse_note(text: str) -> str:
    """Return the note without surrounding spaces; it must not be empty or longer than `NOTE_LIMIT` characters."""
    note = text.strip()
    if not note:
        raise UsageError("The note is empty.", hint="Write a text, or send no note.")
    if len(note) > NOTE_LIMIT:
        raise UsageError(
            f"The note has {len(note):,} characters; at most {NOTE_LIMIT:,} are allowed.", hint="Shorten it."
        )
    if any("\ud800" <= ch <= "\udfff" for ch in note):
        raise UsageError("The note contains an invalid character (a lone surrogate).", hint="Type it again.")
    return note


def parse_reason(text: str | None, verb: str, *, is_silent: bool) -> str | None:
    """Return the reason for the person; None for a verb without one. `is_silent` means that no reason is intended."""
    if verb not in VERBS_WITH_REASON:
        return None
    reason = (text or "").strip()
    if not reason and not is_silent:
        raise UsageError("A reason is missing.", hint="Write a reason, or choose to give none.")
    return check_reason(reason or None)


def parse_event_kind(text: str) -> str:
    """Return the kind of an audit log entry. Case does not matter."""
    known = {kind.lower(): kind for kind in KINDS}
    if text.lower() not in known:
        raise UsageError(f"{text[:40]!r} is not a kind of entry.", hint=f"Kinds: {', '.join(KINDS)}.")
    return known[text.lower()]


def is_confirmed(text: str, count: int) -> bool:
    """Return whether the text is the number of changes, with or without thousands separators."""
    return text.strip().replace(",", "") == str(count)


# ---- reason templates ------------------------------------------------------------------------------------------------


class ReasonTemplate(Struct, frozen=True):
    """A reason template of the workspace in one language. `name` is for example `more` or `more:de`."""

    name: str
    text: str

    def fill(self, repo: Repo, user: str | None) -> str:
        """Return the text with its placeholders filled for one person."""
        return fill_reason(self.text, repo=repo.id, user=user or "you", rule="")


def texts_by_language(name: str, texts: str | Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the name and text of a template.

    If there are several languages, return a pair `name:language` and text for each.
    """
    if isinstance(texts, str) or len(texts) == 1:
        return [(name, choose_text(texts))]
    return [(f"{name}:{language}", text) for language, text in texts.items()]


def check_templates(templates: Templates, repos: Sequence[Repo]) -> Iterator[ReasonTemplate | UsageError]:
    """Yield each template in each language, or the error that prevents its use at these repos."""
    for name, texts in templates.items():
        for word, _ in texts_by_language(name, texts):
            try:
                yield find_template(templates, word, repos)
            except UsageError as problem:
                yield problem


def find_template(
    templates: Templates, word: str, repos: Sequence[Repo], *, also: Iterable[str] = ()
) -> ReasonTemplate:
    """Return the template `NAME` or `NAME:LANGUAGE`. Raises UsageError if it is unknown or unusable at these repos.

    `also` are names of texts from elsewhere, for the message.
    """
    name, _, language = word.partition(":")
    found = templates.get(name)
    if found is None:
        known = ", ".join([*sorted(templates), *also]) or "none yet"
        raise UsageError(
            f"There is no template {name!r}.",
            hint=f"Templates: {known}. Add your own in hf-gate.yaml under `templates:` as `name: text`.",
        )
    if language and (isinstance(found, str) or language not in found):
        known = "one language only" if isinstance(found, str) else ", ".join(found)
        raise UsageError(f"The template {name!r} is not written in {language!r}.", hint=f"It is in {known}.")
    text = choose_text(found, language or None)
    if "{rule}" in text:
        raise UsageError(
            f"The template {name!r} contains {{rule}}, but here a person decides, not a rule.",
            hint="Use another template, or --reason TEXT.",
        )
    if too_long := reason_length_problem(text, [repo.id for repo in repos], ""):
        raise ReasonTooLong(f"The filled template {name!r}: {too_long}", hint="Nothing was sent. Shorten the template.")
    check_reason(text if "{" not in text else None)
    return ReasonTemplate(word, text)
