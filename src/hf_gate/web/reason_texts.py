"""Offers texts for a reason, reads the chosen one from a form, and previews what people will read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from ..application.inputs import ReasonTemplate
from ..application.ready_texts import LANGUAGES
from ..application.reason_texts import list_ready_texts, list_reason_texts
from ..domain.ids import Repo
from ..domain.lifecycle import VERBS_WITH_REASON
from ..domain.requests import check_reason
from ..errors import UsageError
from .request_context import NotFound, RequestContext

_MAX_CHOICES: Final = 24  # the first nine have a number key
_MAX_PREVIEW: Final = 2000  # characters of a text that is shown before it is checked
_RECENT: Final = 20  # decisions of a member that are searched for the text used last


@dataclass(frozen=True, slots=True)
class ReasonChoice:
    """A text to choose. `is_chosen`: it is chosen when the form opens. `is_last`: the member used it last."""

    title: str
    text: str
    is_chosen: bool = False
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class ReasonPreview:
    """What a person will read, and what they can do next. `who`: their name, or words such as `each person`."""

    verb: str
    who: str
    text: str
    problem: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the person cannot ask again."""
        return self.verb == "reject"


def list_choices(
    context: RequestContext,
    verb: str,
    repo: Repo | None,
    user: str,
    suggested: Iterable[ReasonChoice] = (),
) -> list[ReasonChoice]:
    """Return the texts for a verb: suggested ones, the workspace's own, the ready ones, and the free text used last.

    One is chosen: the first suggested, else the one used last, else the first. If a language was asked for, it is the
    first ready text. Without a repo, for many people, texts with placeholders are left out.
    """
    if verb not in VERBS_WITH_REASON:
        return []
    first = list(suggested)
    language = asked_language(context)
    templates = list(_usable_texts(context, verb, repo, language or "en"))
    last = _find_last_used(context, verb, templates)
    found = first + [
        ReasonChoice(one.name, one.text if repo is None else one.fill(repo, user), is_last=one.text == last)
        for one in templates
    ]
    if last is not None and not any(one.is_last or one.text == last for one in found):
        found = [*found[: _MAX_CHOICES - 1], ReasonChoice("Your last text", last, is_last=True)]
    chosen = 0 if first else next((n for n, one in enumerate(found) if one.is_last), 0)
    if language is not None:
        ready = {one.text for one in list_ready_texts(verb, language)}
        chosen = next((n for n, one in enumerate(found) if one.text in ready), chosen)
    return [replace(one, is_chosen=n == chosen) for n, one in enumerate(found[:_MAX_CHOICES])]


def asked_language(context: RequestContext) -> str | None:
    """Return the language of the ready texts that the address asks for; None if it asks for none that exists."""
    language = context.query_value("lang")
    return language if language in LANGUAGES else None


def _usable_texts(context: RequestContext, verb: str, repo: Repo | None, language: str) -> Iterator[ReasonTemplate]:
    templates = context.workspace.location.config.templates
    for one in list_reason_texts(templates, [] if repo is None else [repo], verb, language):
        if isinstance(one, ReasonTemplate) and (repo is not None or "{" not in one.text):
            yield one


def _find_last_used(context: RequestContext, verb: str, templates: Iterable[ReasonTemplate]) -> str | None:
    """Return the text that the member used last for a verb, unfilled if it is a template.

    None if there is none, or if it is a free text with the name of the person that it was written to.
    """
    recent = context.workspace.tray.list_recent(context.member.id, _RECENT)
    last = next((one for one in recent if one.verb == verb and one.reason is not None), None)
    row = None if last is None else context.workspace.store.request(last.request)
    if last is None or last.reason is None or row is None:
        return None
    name = row.person.identity.username
    for one in templates:
        if one.fill(row.repo, name) == last.reason:
            return one.text
    names = (name, row.person.identity.fullname, row.person_name)
    is_personal = any(one and one.casefold() in last.reason.casefold() for one in names)
    return None if is_personal else last.reason


def read_reason(context: RequestContext) -> str:
    """Return the reason of a form: the text as written, else the text that was chosen."""
    return context.form_value("reason").strip() or context.form_value("text").strip()


def preview_reason(verb: str, who: str, text: str) -> ReasonPreview:
    """Return what a person will read. A text that the Hub would refuse is shown with the problem."""
    try:
        check_reason(text)
    except UsageError as problem:
        return ReasonPreview(verb, who, text[:_MAX_PREVIEW], f"{problem}")
    return ReasonPreview(verb, who, text)


def preview_part(context: RequestContext) -> Response:
    """Return the preview of a reason for one person as a part. Nothing is stored."""
    row, verb = context.find_request(context.params["id"]), context.form_value("verb")
    if verb not in VERBS_WITH_REASON:
        raise NotFound
    who = row.person_name
    return context.render("parts/reason-preview.html", preview=preview_reason(verb, who, read_reason(context)))
