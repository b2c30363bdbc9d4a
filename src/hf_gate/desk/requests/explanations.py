"""Explains one request for its page, and finds the rule that the page shows."""

from __future__ import annotations

from urllib.parse import quote

from msgspec.structs import replace

from hf_gate.core.stored_rows import RequestRow
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.policies.policy_texts import can_read_policy
from hf_gate.errors import HfGateError
from hf_gate.policies.words.explanations import Explanation
from hf_gate.verdicts.service.evaluation import Evaluation, evaluate_request, open_fact_sources
from hf_gate.verdicts.service.explanation_records import explain_evaluation

from .redaction import redact_verdict
from .request_lines import RequestLine


def explain_for_page(context: HttpContext, found: Evaluation | None) -> Explanation | None:
    """Return the explanation of a verdict, without what the policies read of repos that the member does not see."""
    if found is None:
        return None
    if context.member.repos is not None:
        found = replace(found, verdict=redact_verdict(found.verdict))
    return explain_evaluation(found, context.now, context.workspace.zone)


def find_rule_url(context: HttpContext, line: RequestLine, explanation: Explanation | None) -> str | None:
    """Return the address of the rule that the page shows.

    None if there is no such rule, or if the member cannot read the text of its policy.
    """
    bundle = context.app_state.policies.current
    shown = (explanation and explanation.checklist) or line.verdict
    if bundle is None or shown is None or not shown.policy:
        return None
    policy = next((one for one in bundle.policies if one.name == shown.policy), None)
    if policy is None or not can_read_policy(context, policy):
        return None
    return f"/policies/{quote(shown.policy, safe='')}#rule-{quote(shown.rule, safe='')}"


def evaluate_for_page(context: HttpContext, row: RequestRow) -> Evaluation | None:
    """Evaluate a request with the policies of its repo.

    None without policies, and if the answers are not kept.
    """
    app_state = context.app_state
    bundle = app_state.policies.current
    repo = app_state.workspace.store.repo(row.repo)
    if bundle is None or repo is None or row.request is None:
        return None
    try:
        return evaluate_request(
            app_state.workspace.store,
            app_state.policies.for_repo(repo),
            open_fact_sources(app_state.workspace),
            row,
            context.now,
            with_profile=False,
        )
    except (HfGateError, LookupError):
        return None
