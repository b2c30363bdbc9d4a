"""The page that compares a policy with the last decisions of people: a matrix, and the decisions that differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec.structs import replace
from starlette.responses import Response

from ..application.past_facts import PastFactReader, without_form
from ..application.policy_comparison import (
    DecisionSelection,
    PolicyAnswer,
    answer_of,
    compare_decisions,
    describe_rules,
    select_decisions,
)
from ..application.policy_records import ComparisonRecord
from ..errors import HfGateError
from ..policy.model import Facts
from ..policy.rule_phrases import has_constant
from .draft_trial import DraftTrial, offline_sources
from .drafts import check_draft, list_policy_texts, read_workspace_folder
from .policies import is_text_hidden
from .request_context import NotFound, RequestContext

_MAX_SEARCHED: Final = 200_000  # entries of the ledger that are searched for decisions


def page(context: RequestContext) -> Response:
    """Compare a policy with the last decisions of people at the member's repos, within the limits of a draft."""
    folder = read_workspace_folder(context)
    known = next((one for one in list_policy_texts(context, folder) if one.name == context.params["name"]), None)
    if known is None:
        raise NotFound
    comparison = None
    problem = ""
    with context.app_state.drafts.acquire(context.member.id):
        text = check_draft(context, known.source.text, known.file, folder)
        if text.checked.policy is None:
            problem = "The policy has errors, so it was not compared."
        else:
            try:
                trial = DraftTrial(context, folder, text)
                comparison = _compare(context, trial, hides_constants=is_text_hidden(context, known))
            except HfGateError as found:
                problem = f"{found} {found.hint or ''}".strip()
    return context.render(
        "policy_compare.html",
        title=f"Compare {known.name}",
        name=known.name,
        comparison=comparison,
        problem=problem,
    )


def _compare(context: RequestContext, trial: DraftTrial, *, hides_constants: bool) -> ComparisonRecord:
    store = context.workspace.store
    rows = context.list_visible_repos().rows
    current = {row.id: found for row in rows if (found := trial.policy_set_of(row)) is not None}
    older = {row.id: found for row in rows if (found := trial.policy_set_of(without_form(row))) is not None}
    reader = PastFactReader(store, offline_sources(), current, older, context.repo_ids)
    selection = DecisionSelection(trial.max_requests)
    decisions = select_decisions(store, current.keys(), selection, max_searched=_MAX_SEARCHED)

    def evaluate(facts: Sequence[Facts], moments: Sequence[datetime]) -> Sequence[PolicyAnswer]:
        pairs = zip(facts, moments, strict=True)
        return [answer_of(trial.evaluator.evaluate(each, now=moment)) for each, moment in pairs]

    decided = islice(reader.read_decided(decisions), trial.max_requests)
    sentences = {
        rule: sentence
        for rule, sentence in describe_rules(trial.policy).items()
        if not (hides_constants and has_constant(sentence))
    }
    comparison = compare_decisions(store, trial.policy, decided, evaluate, sentences)
    return replace(comparison, erased=reader.erased_count)
