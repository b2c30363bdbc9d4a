"""Texts for a reason: offered on the sheet of a decision, read from its form, and shown as people will read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.base.ids import Repo
from hf_gate.core.lifecycle import VERBS_WITH_REASON
from hf_gate.core.requests import check_reason
from hf_gate.core.stored_rows import RequestRow
from hf_gate.desk.http_context import HttpContext, require_one_of
from hf_gate.desk.policies.verdict_cache import VerdictSummary
from hf_gate.desk.requests.request_history import Reversal, find_reversal
from hf_gate.desk.requests.request_lines import RequestLine
from hf_gate.errors import UsageError
from hf_gate.messages.reason_templates import ReasonTemplate
from hf_gate.messages.reason_texts import list_reason_texts
from hf_gate.policies.checks.reasons import fill_reason
from hf_gate.requests.rows.selections import count_selected
from hf_gate.requests.service.request_history import last_transition
from hf_gate.store.rows.tray import list_recent_decisions

_MAX_CHOICES: Final = 24  # the first nine have a number key
_MAX_PREVIEW: Final = 2000  # characters of a text that is shown before it is checked
_RECENT: Final = 20  # decisions of a member that are searched for the text used last


class ReasonChoice(Struct, frozen=True):
    """A text to choose. `is_chosen`: it is chosen when the form opens. `is_last`: the member used it last."""

    title: str
    text: str
    is_chosen: bool = False
    is_last: bool = False


class ReasonPreview(Struct, frozen=True):
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
    context: HttpContext,
    verb: str,
    repo: Repo | None,
    user: str,
    suggested: Iterable[ReasonChoice] = (),
) -> list[ReasonChoice]:
    """Return the texts for a verb: suggested ones, the workspace's own, the ready ones, and the free text used last.

    One is chosen: the first suggested, else the one used last, else the first. Without a repo, for many people, texts
    with placeholders are left out.
    """
    if verb not in VERBS_WITH_REASON:
        return []
    first = list(suggested)
    templates = list(_usable_texts(context, verb, repo))
    last = _find_last_used(context, verb, templates)
    found = first + [
        ReasonChoice(
            template.name, template.text if repo is None else template.fill(repo, user), is_last=template.text == last
        )
        for template in templates
    ]
    if last is not None and not any(one.is_last or one.text == last for one in found):
        found = [*found[: _MAX_CHOICES - 1], ReasonChoice("Your last text", last, is_last=True)]
    chosen = 0 if first else next((n for n, one in enumerate(found) if one.is_last), 0)
    return [replace(one, is_chosen=n == chosen) for n, one in enumerate(found[:_MAX_CHOICES])]


def _usable_texts(context: HttpContext, verb: str, repo: Repo | None) -> Iterator[ReasonTemplate]:
    templates = context.workspace.location.config.templates
    for template in list_reason_texts(templates, [] if repo is None else [repo], verb):
        if isinstance(template, ReasonTemplate) and (repo is not None or "{" not in template.text):
            yield template


def _find_last_used(context: HttpContext, verb: str, templates: Iterable[ReasonTemplate]) -> str | None:
    """Return the text that the member used last for a verb, unfilled if it is a template.

    None if there is none, or if it is a free text with the name of the person that it was written to.
    """
    recent = list_recent_decisions(context.workspace.store, context.member.id, _RECENT)
    last = next((one for one in recent if one.verb == verb and one.change.reason is not None), None)
    row = None if last is None else context.workspace.store.request(last.request)
    if last is None or last.change.reason is None or row is None:
        return None
    name = row.person.identity.username
    for template in templates:
        if template.fill(row.repo, name) == last.change.reason:
            return template.text
    names = (name, row.person.identity.fullname, row.person_name)
    is_personal = any(one and one.casefold() in last.change.reason.casefold() for one in names)
    return None if is_personal else last.change.reason


def read_chosen_reason(context: HttpContext) -> str:
    """Return the reason of a form: the text as written, else the text that was chosen."""
    return context.form_value("reason").strip() or context.form_value("text").strip()


def preview_reason(verb: str, who: str, text: str) -> ReasonPreview:
    """Return what a person will read. A text that the Hub would refuse is shown with the problem."""
    try:
        check_reason(text)
    except UsageError as problem:
        return ReasonPreview(verb, who, text[:_MAX_PREVIEW], f"{problem}")
    return ReasonPreview(verb, who, text)


def reason_preview_part(context: HttpContext) -> Response:
    """Return the preview of a reason for one person as a part. Nothing is stored."""
    row = context.find_request(context.params["id"])
    verb = require_one_of(context.form_value("verb"), VERBS_WITH_REASON)
    who = row.person_name
    return context.render("parts/reason-preview.html", preview=preview_reason(verb, who, read_chosen_reason(context)))


# ---- the sheet -------------------------------------------------------------------------------------------------------


class Sheet(Struct, frozen=True):
    """The form of a reset, rejection or cancellation, shown before it goes into the tray."""

    verb: str
    line: RequestLine
    choices: Sequence[ReasonChoice]
    preview: ReasonPreview | None  # None if the verb takes no reason
    reversal: Reversal | None = None  # the decision of the desk that it reverses
    still_selected: int = 0  # other selected requests, which this decision does not include


def make_sheet(context: HttpContext, line: RequestLine, verb: str) -> Sheet:
    """Return the form of a decision. The reasons of rules come first among its texts."""
    user = line.row.person.identity.username or "you"
    repo = line.row.repo
    suggested = [
        ReasonChoice(f"rule {rule}", fill_reason(text, repo=repo.id, user=user, rule=rule))
        for rule, text in _suggest_reasons(line.verdict, verb)
    ]
    choices = list_choices(context, verb, repo, user, suggested)
    chosen = next((choice.text for choice in choices if choice.is_chosen), "")
    back = (
        find_reversal(context, line.row, last_transition(context.workspace.store, line.row))
        if context.query_value("back")
        else None
    )
    return Sheet(
        verb,
        line,
        choices,
        preview_reason(verb, line.who, chosen) if verb in VERBS_WITH_REASON else None,
        reversal=back if back is not None and back.verb == verb else None,
        still_selected=count_other_selected(context, line.row),
    )


def count_other_selected(context: HttpContext, row: RequestRow) -> int:
    """Return how many other requests stay selected when this one is decided alone from the queue."""
    if not context.page_url.startswith("/queue"):
        return 0
    return count_selected(context.workspace.store, context.selection_name, besides=row.id)


def _suggest_reasons(said: VerdictSummary | None, verb: str) -> list[tuple[str, str]]:
    """Return the rule that asks for this verb, and its reason; empty if none does."""
    if said is None or said.reason is None:
        return []
    rule = said.rule if said.action == verb else None
    if rule is None and said.shadow is not None and said.shadow[0] == verb:
        rule = said.shadow[2]
    return [] if rule is None else [(rule, said.reason)]
