"""The ends of acceptances by a command: by the rules, or asked for where the rules do not know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import pluralize, to_one_line
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import (
    NO_END_WORD,
    NO_HAND_TERMS,
    AccessEnd,
    HandTerms,
    choose_end,
    describe_given_access,
    end_of_terms,
)
from hf_gate.errors import EndNeeded, HfGateError, UsageError

if TYPE_CHECKING:
    from hf_gate.command_line.framework import CommandContext
    from hf_gate.decisions.service.direct_decisions import PendingDecision
    from hf_gate.settings.service.workspace import Workspace

HINT = "Choose an end: --until 1y, --until 2027-06-30, or --until none."


def make_end_chooser(
    context: CommandContext, workspace: Workspace, *, may_ask: bool
) -> Callable[[Sequence[PendingDecision]], list[AccessEnd | None]]:
    """Return a function that chooses the end of each acceptance, says it, and asks where it is not known."""
    from hf_gate.approvals.service.approvals import ApprovalCheck
    from hf_gate.grants.service.ends.terms_reader import load_terms_reader

    reader = load_terms_reader(workspace)
    check = ApprovalCheck(workspace)

    def choose(decisions: Sequence[PendingDecision]) -> list[AccessEnd | None]:
        now = workspace.clock.now()
        zone = workspace.zone
        terms = reader.read_each([(decision.repo, decision.row) for decision in decisions], now)
        each_terms = list(zip(decisions, terms, strict=True))
        blocked = {repo for repo in {decision.repo for decision in decisions} if check.find_problem(repo)}
        shown = [
            each
            for decision, each in each_terms
            if not each.needs_choice and decision.repo not in blocked and not _has_access(decision)
        ]
        for each, count in Counter(shown).items():
            if each != NO_HAND_TERMS or len(set(terms)) > 1:
                context.out.say(f"{pluralize(count, 'acceptance')}: {describe_end(each, now, zone)}.")
        unknown = [(decision, each) for decision, each in each_terms if each.needs_choice]
        chosen = _ask_end(context, workspace, unknown, may_ask=may_ask) if unknown else NO_END_WORD
        return [choose_end(each, chosen, now, zone) if each.needs_choice else end_of_terms(each) for each in terms]

    return choose


def _has_access(decision: PendingDecision) -> bool:
    """Whether the acceptance changes nothing, because the person has access already."""
    return decision.row is not None and decision.row.state.status == Status.ACCEPTED


def describe_end(terms: HandTerms, now: datetime, zone: tzinfo) -> str:
    """Return the end of an acceptance in words: `access until 26 Nov 2027, by rule eeg/signed`."""
    if terms.needs_choice:
        from hf_gate.grants.service.ends.terms_reader import describe_terms_problem

        return f"the end of access is {to_one_line(describe_terms_problem(terms))}; you choose it"
    end = end_of_terms(terms)
    words = describe_given_access(end, now, zone)
    if end is None or end.written is None:
        return words
    return f"{words}, {f'as {end.approved_by} approved' if end.approved_by else f'by rule {end.rule}'}"


def _ask_end(
    context: CommandContext,
    workspace: Workspace,
    unknown: Sequence[tuple[PendingDecision, HandTerms]],
    *,
    may_ask: bool,
) -> str:
    """Ask for the end of these acceptances, as written. Raises EndNeeded if no question can be asked."""
    from hf_gate.grants.service.ends.terms_reader import describe_terms_problem

    decision, terms = unknown[0]
    who = decision.target.username or decision.target.user_id or "the person"
    others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    problem = f"the end of access of {to_one_line(who)}{others} is {to_one_line(describe_terms_problem(terms))}"
    if not may_ask:
        raise EndNeeded(f"{problem}; nothing was sent.", hint=HINT)
    context.out.say(f"{problem[0].upper()}{problem[1:]}.")
    while True:
        text = click.prompt("Access ends (1y, 2027-06-30, or none)", err=True).strip()
        try:
            return _parse_typed_end(context, workspace, text)
        except UsageError as wrong:
            context.out.say(f"{wrong} {wrong.hint or ''}")


def _parse_typed_end(context: CommandContext, workspace: Workspace, text: str) -> str:
    """Return a typed end as written in rules, or `none`. Raises UsageError if it is not valid."""
    from hf_gate.decisions.typed_input import parse_end_or_none

    has_workspace = workspace.location.folder is not None
    return parse_end_or_none(text, context.now(), workspace.zone, has_workspace=has_workspace)


def check_shown_end(
    workspace: Workspace, decisions: Sequence[PendingDecision], end: AccessEnd | None
) -> list[AccessEnd | None]:
    """Return the end that was shown, for each decision. Raises EndNeeded if it must not be given any more."""
    if end is None:
        return [None for _ in decisions]
    from hf_gate.grants.service.ends.terms_reader import is_valid_at, load_terms_reader

    if not is_valid_at(end.shown_at, workspace.clock.now()):
        raise EndNeeded("Not sent: the end of access was shown more than 24 hours ago.", hint=HINT)
    reader = load_terms_reader(workspace)
    try:
        return [reader.check_end(decision.repo, end) for decision in decisions]
    except HfGateError as problem:
        raise EndNeeded(f"Not sent: {problem}.", hint=HINT) from None
