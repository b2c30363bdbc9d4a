"""The page that compares a policy with the last decisions of people: a matrix, and the decisions that differ."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hf_gate.errors import HfGateError
from hf_gate.policies.words.rule_phrases import has_constant
from hf_gate.verdicts.records import ComparisonRecord
from hf_gate.verdicts.service.policy_comparison import (
    ComparedPolicy,
    DecisionSelection,
    compare_decisions,
    describe_rules,
)
from hf_gate.web.http_context import HttpContext

from .draft_trial import DraftTrial, offline_sources
from .drafts import check_draft, read_workspace_folder
from .policies import find_policy_text, is_text_hidden

_MAX_SEARCHED: Final = 200_000  # entries of the ledger that are searched for decisions


def page(context: HttpContext) -> Response:
    """Compare a policy with the last decisions of people at the member's repos, within the limits of a draft."""
    folder = read_workspace_folder(context)
    known = find_policy_text(context, folder)
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


def _compare(context: HttpContext, trial: DraftTrial, *, hides_constants: bool) -> ComparisonRecord:
    sentences = {
        rule: sentence
        for rule, sentence in describe_rules(trial.policy).items()
        if not (hides_constants and has_constant(sentence))
    }
    compared = ComparedPolicy(trial.policy, trial.evaluator, trial.policy_set_of, offline_sources(), sentences)
    selection = DecisionSelection(trial.max_requests, max_searched=_MAX_SEARCHED)
    rows = context.list_visible_repos().rows
    return compare_decisions(context.workspace.store, rows, compared, selection, context.repo_ids)
