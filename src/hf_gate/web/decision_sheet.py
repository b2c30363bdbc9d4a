"""The sheet of a decision: its form with the texts to choose from, what the person will read, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..application.inputs import texts_by_language
from ..application.ready_texts import LANGUAGES
from ..domain.lifecycle import VERBS_WITH_REASON
from ..domain.rows import RequestRow
from ..policy.reasons import fill_reason
from .reason_texts import ReasonChoice, ReasonPreview, asked_language, list_choices, preview_reason
from .request_context import RequestContext
from .request_history import Reversal, find_reversal
from .request_lines import RequestLine
from .verdicts import VerdictSummary


@dataclass(frozen=True, slots=True)
class Sheet:
    """The form of a reset, rejection or cancellation, shown before it goes into the tray."""

    verb: str
    line: RequestLine
    choices: Sequence[ReasonChoice]
    preview: ReasonPreview | None  # None if the verb takes no reason
    language: str = "en"  # of the ready texts
    languages: Mapping[str, str] = field(default_factory=lambda: LANGUAGES)
    reversal: Reversal | None = None  # the decision of the desk that it reverses
    still_selected: int = 0  # other selected requests, which this decision does not include


def make_sheet(context: RequestContext, line: RequestLine, verb: str) -> Sheet:
    """Return the form of a decision. The reasons of rules come first among its texts."""
    user, repo = line.row.person.identity.username or "you", line.row.repo
    suggested = [
        ReasonChoice(label, fill_reason(text, repo=repo.id, user=user, rule=rule))
        for rule, label, text in _suggest_reasons(context, line.verdict, verb)
    ]
    choices = list_choices(context, verb, repo, user, suggested)
    chosen = next((one.text for one in choices if one.is_chosen), "")
    back = find_reversal(context, line.row) if context.query_value("back") else None
    return Sheet(
        verb,
        line,
        choices,
        preview_reason(verb, line.who, chosen) if verb in VERBS_WITH_REASON else None,
        language=asked_language(context) or "en",
        reversal=back if back is not None and back.verb == verb else None,
        still_selected=count_other_selected(context, line.row),
    )


def count_other_selected(context: RequestContext, row: RequestRow) -> int:
    """Return how many other requests stay selected when this one is decided alone from the queue."""
    if not context.page_url.startswith("/queue"):
        return 0
    return context.workspace.selections.count(context.selection_name, besides=row.id)


def _suggest_reasons(context: RequestContext, said: VerdictSummary | None, verb: str) -> list[tuple[str, str, str]]:
    """Return the reason of the rule that asks for this verb, in each of its languages: rule, label, text."""
    if said is None or said.reason is None:
        return []
    if said.action == verb:
        policy, ident = said.policy, said.rule
    elif said.shadow is not None and said.shadow[0] == verb:
        _, policy, ident = said.shadow
    else:
        return []
    bundle = context.app_state.policies.current
    policies = () if bundle is None else bundle.policies
    rules = (rule for each in policies if each.name == policy for rule in each.rules if rule.id == ident)
    rule = next(rules, None)
    texts = texts_by_language(f"rule {ident}", (rule.reason if rule is not None else None) or said.reason)
    texts.sort(key=lambda each: each[1] != said.reason)  # the reason that the policy would send comes first
    return [(ident, label, text) for label, text in texts]
