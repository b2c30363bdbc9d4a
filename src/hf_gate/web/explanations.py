"""Explains one request for its page: the sentence, the deciding rule as a checklist, and all rules as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from msgspec import Struct

from ..application.evaluation import Evaluation, evaluate_request
from ..application.reminders import describe_wait
from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from ..errors import HfGateError
from ..policy.checklists import Checklist, build_checklist
from ..policy.explain import ExplanationLine, explain_verdict
from ..policy.model import Policy
from ..policy.why import (
    RecordedTraces,
    WhySentence,
    explain_shadow_in_words,
    explain_verdict_in_words,
)
from .drafts import visible_policy_repos
from .redaction import names_other_repos, redact_verdict
from .request_context import RequestContext
from .request_lines import RequestLine


class RequestExplanation(Struct, frozen=True):
    """Why a request has its verdict. Empty for viewers, and where no policy can be evaluated.

    `action` is the verdict. `shadow` has the name and the sentence of each policy in shadow mode.
    """

    action: str = ""
    tree: Sequence[ExplanationLine] = ()
    sentence: WhySentence | None = None
    checklist: Checklist | None = None
    shadow: tuple[tuple[str, WhySentence], ...] = ()
    wait: str = ""  # when the wait of the deciding rule is over


def explain_request(context: RequestContext, row: RequestRow) -> RequestExplanation:
    """Return the explanation of a request, without what the policies read of repos that the member does not see."""
    found = None if context.is_masked else evaluate_for_page(context, row)
    if found is None:
        return RequestExplanation()
    verdict = found.verdict if context.member.repos is None else redact_verdict(found.verdict)
    traces = RecordedTraces()
    zone = context.workspace.zone
    status = row.state.status if found.is_judged else Status.PENDING
    return RequestExplanation(
        str(verdict.action),
        explain_verdict(verdict, context.now, zone),
        explain_verdict_in_words(verdict, traces, context.now, zone, status),
        build_checklist(verdict, traces),
        tuple(explain_shadow_in_words(verdict, traces)),
        ""
        if (end := verdict.wait_end) is None
        else describe_wait(context.workspace.store, row, end, context.now, zone),
    )


def find_rule_url(context: RequestContext, line: RequestLine, explanation: RequestExplanation) -> str | None:
    """Return the address where the member can change the rule that the page shows, with this person in the tester.

    None if there is no such rule, or if the member cannot read the text of its policy.
    """
    bundle = context.app_state.policies.current
    shown = explanation.checklist
    verdict = line.verdict
    if bundle is None or context.is_masked:
        return None
    if shown is not None:
        name = shown.policy
        rule = shown.rule
    elif verdict is not None and verdict.policy:
        name = verdict.policy
        rule = verdict.rule
    else:
        return None
    policy = next((one for one in bundle.policies if one.name == name), None)
    if policy is None or not can_read_policy(context, policy):
        return None
    return f"/policies/{quote(name, safe='')}?{urlencode({'rule': rule, 'request': line.key})}"


def can_read_policy(context: RequestContext, policy: Policy) -> bool:
    """Return whether the member can read the text of a policy: it names only repos that they can see."""
    if context.member.repos is None:
        return True
    seen = visible_policy_repos(context, policy)
    return bool(seen) and not names_other_repos(policy, seen)


def evaluate_for_page(context: RequestContext, row: RequestRow) -> Evaluation | None:
    """Evaluate a request with the policies of its repo; None if there are none, or if its answers are not kept."""
    app_state = context.app_state
    bundle = app_state.policies.current
    repo = app_state.workspace.store.repo(row.repo)
    if bundle is None or repo is None or row.request is None:
        return None
    try:
        return evaluate_request(
            app_state.workspace.store,
            app_state.policies.for_repo(repo),
            app_state.workspace.sources,
            row,
            context.now,
            with_profile=False,
        )
    except (HfGateError, LookupError):
        return None
