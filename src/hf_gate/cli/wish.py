"""What the verbs were asked for, as a value: who is meant, what becomes of them, what they are told, what is noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..domain.lifecycle import TARGET_OF, Status
from ..domain.requests import checked_reason
from ..errors import ReasonTooLong, UsageError
from .targets import Aim

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from ..application.decisions import Ask, Choice
    from ..domain.ids import Repo

NOTE_LIMIT = 4000
TELLING = frozenset({Status.REJECTED, Status.RESET})  # the Hub passes a reason on with these alone


@dataclass(frozen=True, slots=True)
class Template:
    """A named text of the workspace, in one language."""

    name: str
    text: str

    def filled(self, repo: Repo, user: str | None) -> str:
        """The text as this person gets it."""
        from ..policy.reasons import fill_reason  # noqa: PLC0415 - most decisions need no template

        return fill_reason(self.text, repo=repo.id, user=user or "you", rule="")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line, for everybody alike."""

    verb: str
    aims: Sequence[Aim]
    reason: str | None = None
    template: Template | None = None
    how: str = "reset"
    note: str | None = None
    until: str | None = None
    dry_run: bool = False
    yes: bool = False
    at_most: int = 100
    max_changes: int | None = None
    from_stdin: bool = False

    @property
    def effect(self) -> str:
        """The verb that the Hub sees: a revocation is a reset, a rejection or a cancellation."""
        return self.how if self.verb == "revoke" else self.verb

    @property
    def has_reason(self) -> bool:
        """Whether people are told why."""
        return self.reason is not None or self.template is not None

    @property
    def choice(self) -> Choice:
        """What is decided about everybody."""
        from ..application.decisions import Choice  # noqa: PLC0415 - only who decides

        return Choice(TARGET_OF[self.effect], grants=self.verb == "grant", note=self.note, until=self.until)

    def asks(self) -> list[Ask]:
        """Everybody's part."""
        from ..application.decisions import Ask  # noqa: PLC0415 - as above

        return [Ask(aim.repo, aim.target, self.reason_for(aim)) for aim in self.aims]

    def reason_for(self, aim: Aim) -> str | None:
        """What this person is told."""
        if TARGET_OF[self.effect] not in TELLING:
            return None
        if self.template is None:
            return self.reason
        request = aim.target.request
        return self.template.filled(aim.repo, aim.target.username or (request.username if request else None))


def template_of(templates: Mapping[str, str | Mapping[str, str]], word: str, repos: Sequence[Repo]) -> Template:
    """The text that `NAME` or `NAME:de` means, if it can be sent to everybody at these repos."""
    from ..policy.reasons import choose_text, reason_length_problem  # noqa: PLC0415 - only who uses one

    name, _, language = word.partition(":")
    found = templates.get(name)
    if found is None:
        known = ", ".join(sorted(templates)) or "none yet"
        raise UsageError(
            f"there is no template {name!r} in hf-gate.yaml.",
            hint=f"There are: {known}. They stand under `templates:` as `name: text`.",
        )
    if language and (isinstance(found, str) or language not in found):
        known = "one language only" if isinstance(found, str) else ", ".join(found)
        raise UsageError(f"the template {name!r} is not written in {language!r}.", hint=f"It is in {known}.")
    text = choose_text(found, language or None)
    if "{rule}" in text:
        raise UsageError(
            f"the template {name!r} names the {{rule}} that decided, and here a person decides.",
            hint="Use another one, or --reason TEXT.",
        )
    if too_long := reason_length_problem(text, [repo.id for repo in repos], ""):
        raise ReasonTooLong(f"the template {name!r} when it is filled: {too_long}", hint="Nothing was sent.")
    checked_reason(text if "{" not in text else None)
    return Template(word, text)


def checked_note(text: str | None) -> str | None:
    """A note that can be kept, or a clear refusal before anything is sent."""
    if text is None:
        return None
    note = text.strip()
    if not note:
        raise UsageError("the note is empty.")
    if len(note) > NOTE_LIMIT:
        raise UsageError(f"the note has {len(note):,} characters, {NOTE_LIMIT:,} are kept.", hint="Shorten it.")
    if any("\ud800" <= ch <= "\udfff" for ch in note):
        raise UsageError("the note holds half a character (a lone surrogate); nothing was sent.")
    return note


def checked_until(text: str | None, now: datetime, zone: tzinfo) -> str | None:
    """An end as rules write it, which is still to come."""
    if text is None:
        return None
    from ..domain.grants import end_of  # noqa: PLC0415 - only with --until
    from ..policy.literals import InvalidLiteralError, parse_until  # noqa: PLC0415 - as above

    try:
        parse_until(text)
    except InvalidLiteralError as problem:
        raise UsageError(f"--until: {problem}", hint=f"Did you mean {problem.fix}?" if problem.fix else None) from None
    if end_of(text, now, zone) <= now:
        raise UsageError(f"--until {text} is over already; nothing was sent.", hint="Name a day that is still to come.")
    return text
