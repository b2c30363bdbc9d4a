"""The cards of a policy on its page: what a form sent, and each rule as a sentence with the
requests that it decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from hf_gate.base.batches import group_pairs
from hf_gate.base.display_text import make_visible
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import Query, Term, one_of
from hf_gate.core.policy_model import Policy
from hf_gate.core.stored_rows import RequestRow
from hf_gate.policies.parsing.card_changes import CardChanges, CardMove
from hf_gate.policies.parsing.cards import Card
from hf_gate.requests.pages.queue_query import run_query
from hf_gate.requests.pages.request_lines import RequestLine, build_request_lines
from hf_gate.verdicts.service.draft_trials import MAX_EXAMPLES
from hf_gate.web.http_context import HttpContext

from .draft_trial import TrialResult, pick_examples
from .drafts import visible_policy_repos

_MAX_LISTED: Final = 20  # rules whose examples are looked up
_MAX_SCANNED: Final = 100  # requests searched for examples of a policy in shadow mode
_MAX_KEY: Final = 60  # characters of the name of a field
_FIELD: Final = re.compile(r"c\.([0-9]{1,3})\.([a-z0-9_.]+)\Z")
_LINE_END: Final = re.compile(r"\r\n|\r")


class Tab(StrEnum):
    """How the policy is shown."""

    CARDS = "cards"
    TEXT = "text"


# ---- the form --------------------------------------------------------------------------------------------------------


class PostedDraft(Struct, frozen=True):
    """What the form of a policy sent. `text`: the exact text that the changes apply to."""

    text: str
    tab: Tab
    changes: CardChanges | None


def read_posted_draft(context: HttpContext) -> PostedDraft:
    """Return the draft of a form.

    Browsers change line ends and the page shows hidden characters by their names, so the form has the exact text too.
    It holds unless somebody edited the text.
    """
    exact = _read_exact_text(context.form_value("exact"))
    typed = context.form_value("src")
    if "src" in context.form:
        text = _LINE_END.sub("\n", typed)
        if exact is not None:
            text = _merge_typed(text, exact)
    else:
        text = exact or ""
    tab = Tab.CARDS if context.form_value("tab", Tab.TEXT) == Tab.CARDS else Tab.TEXT
    return PostedDraft(text, tab, _read_changes(context))


def write_exact_text(text: str, tab: Tab) -> str:
    """Return a text as ASCII that no browser changes; empty if the editor holds it and sends it back as it is."""
    return "" if tab is Tab.TEXT and text == _LINE_END.sub("\n", make_visible(text)) else json.dumps(text)


def _read_exact_text(sent: str) -> str | None:
    try:
        text = json.loads(sent) if sent.startswith('"') else None
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None


def _merge_typed(typed: str, exact: str) -> str:
    """Return the exact text if nothing was typed; else what was typed, with the line ends of the exact text."""
    if typed == _LINE_END.sub("\n", make_visible(exact)):
        return exact
    return typed.replace("\n", "\r\n") if "\r\n" in exact else typed


def _read_changes(context: HttpContext) -> CardChanges | None:
    """Return what was entered on cards; None if the form has no card."""
    values = {
        (int(match[1]), match[2]): tuple(entered)
        for name, entered in context.form.items()
        if len(name) <= _MAX_KEY and (match := _FIELD.match(name))
    }
    move, _, number = context.form_value("card").partition(":")
    asked = CardMove(move) if move in set(CardMove) else None
    if not values and asked is None:
        return None
    return CardChanges(
        values,
        asked,
        int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else -1,
        context.form_value("new-then"),
        context.form_value("new-when"),
    )


# ---- the list --------------------------------------------------------------------------------------------------------


class CardLine(Struct, frozen=True):
    """A card with how many pending requests its rule decides (None: not known), and up to three of them."""

    card: Card
    decides: int | None
    examples: Sequence[RequestLine]
    is_marked: bool


def list_card_lines(
    cards: Sequence[Card],
    count: Callable[[str], int | None],
    examples: Callable[[str], Sequence[RequestLine]],
    marked: str,
) -> list[CardLine]:
    """Return the lines of the cards. `marked`: the rule that the visitor came for, or that changed last."""
    return [
        CardLine(card, count(card.rule), examples(card.rule), bool(marked) and card.rule == marked) for card in cards
    ]


def trial_examples(trial: TrialResult) -> Callable[[str], Sequence[RequestLine]]:
    """Return what gives the examples of a rule, from a trial."""
    return lambda rule: trial.examples.get(rule, ())


def stored_examples(
    context: HttpContext, policy: Policy, rules: Sequence[str], *, is_shadow: bool
) -> Callable[[str], Sequence[RequestLine]]:
    """Return what gives the examples of a rule, from the verdicts as last stored."""
    find = _find_shadowed if is_shadow else _find_decided
    found = pick_examples(find(context, policy, rules))
    lines = {
        line.row.id: line for line in build_request_lines(context, list({row.id: row for _, row in found}.values()))
    }
    by_rule = group_pairs((rule, lines[row.id]) for rule, row in found)
    return lambda rule: by_rule.get(rule, ())


def _pending_in(context: HttpContext, policy: Policy) -> tuple[Term, ...] | None:
    repos = visible_policy_repos(context, policy)
    return (one_of("repo", *map(str, repos)), one_of("status", Status.PENDING)) if repos else None


def _find_decided(context: HttpContext, policy: Policy, rules: Sequence[str]) -> Iterator[tuple[str, RequestRow]]:
    terms = _pending_in(context, policy)
    for rule in rules[:_MAX_LISTED] if terms is not None else ():
        query = Query((*(terms or ()), one_of("rule", rule)))
        for row in run_query(context, query, limit=MAX_EXAMPLES, cursor=None).rows:
            if row.state.verdict is not None and row.state.verdict[1] == policy.name:
                yield rule, row


def _find_shadowed(context: HttpContext, policy: Policy, rules: Sequence[str]) -> Iterator[tuple[str, RequestRow]]:
    terms = _pending_in(context, policy)
    if terms is None:
        return
    for row in run_query(context, Query(terms), limit=_MAX_SCANNED, cursor=None).rows:
        for name, rule, _ in row.state.shadow:
            if name == policy.name and rule in rules:
                yield rule, row
