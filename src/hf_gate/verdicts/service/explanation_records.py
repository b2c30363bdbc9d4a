"""Explains an evaluation, and builds its record: the verdict, and every rule, condition and fact behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from hf_gate.base.timestamps import ms_to_iso, to_iso
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import HandTerms, end_of_terms
from hf_gate.core.people.grants import parse_grant_end
from hf_gate.core.policy_model import Action, ConditionFlip, Opinion, PolicyMode, Trust
from hf_gate.core.records import Count, Record, RecordedVerdict, RequestReference, TermsRecord, Time
from hf_gate.policies.words.explanations import Explanation, explain_verdict

if TYPE_CHECKING:
    from hf_gate.core.policy_model import Abstention, ConditionTrace, Verdict
    from hf_gate.requests.service.request_history import LastTransition

    from .evaluation import Evaluation


class OpinionRecord(Record, frozen=True, kw_only=True):
    """What one policy says about a request."""

    action: Action
    rule: str
    reason: str | None
    until: str | None
    at_end: str | None
    reviewers: Count
    needs: Annotated[Sequence[str], Meta(description="facts that are read for the next turn")]
    missing: Annotated[Sequence[str], Meta(description="facts that are not known")]
    possible: Annotated[Sequence[str], Meta(description="the actions that these facts can lead to")]


class FinalVerdictRecord(OpinionRecord, frozen=True, kw_only=True):
    """The verdict of all policies."""

    policy: str | None
    digest: str | None
    says: Annotated[str | None, Meta(description="the deciding rule in words")]


class TransitionRecord(Record, frozen=True, kw_only=True):
    """The change that gave the request its status."""

    at: Time
    actor: str
    by: Annotated[str | None, Meta(description="the account that made a change on the Hub")]
    run: str | None
    rule: str | None


class WaitRecord(Record, frozen=True, kw_only=True):
    """When a request on hold is decided otherwise."""

    ends_at: Time
    then: str


class FactRecord(Record, frozen=True, kw_only=True):
    """One fact that a condition used."""

    value: Annotated[Any, Meta(description="null if the fact is unknown")]
    trust: Trust
    source: str
    as_of: Time | None
    why: str | None
    note: str | None


class ConditionRecord(Record, frozen=True, kw_only=True):
    """One evaluated expression."""

    expr: str
    value: Annotated[bool | None, Meta(description="null: unknown, or the evaluation failed")]
    note: str | None
    facts: Mapping[str, FactRecord]
    parts: Annotated[Sequence[Any], Meta(description="its sub-expressions, with the same schema")]


class EvaluatedRuleRecord(Record, frozen=True, kw_only=True):
    """One rule that was tried."""

    rule: str
    then: str
    matched: Annotated[bool | None, Meta(description="null: unknown")]
    because: Sequence[ConditionRecord]
    differ: Annotated[Sequence[Sequence[ConditionFlip]], Meta(description="each is a way to match; smallest first")]


class EvaluatedPolicyRecord(Record, frozen=True, kw_only=True):
    """One policy with the rules that were tried."""

    policy: str
    digest: str
    mode: PolicyMode
    opinion: Annotated[OpinionRecord | None, Meta(description="null: no rule matched")]
    tried: Sequence[EvaluatedRuleRecord]


class ExplanationRecord(RequestReference, frozen=True, kw_only=True):
    """The verdict on one request, and everything behind it."""

    status: str
    asked_at: Time
    attempt: Count
    came: TransitionRecord | None
    until: Time | None
    at_end: str | None
    is_judged: Annotated[bool, Meta(description="false: explained as if the request were pending")]
    is_stored: bool
    why: str
    verdict: FinalVerdictRecord
    ledger: Annotated[RecordedVerdict | None, Meta(description="the verdict that was recorded last")]
    by_hand: TermsRecord
    wait: WaitRecord | None
    policies: Sequence[EvaluatedPolicyRecord]


# ---- builders --------------------------------------------------------------------------------------------------------


def explain_evaluation(evaluation: Evaluation, now: datetime, zone: tzinfo) -> Explanation:
    """Explain an evaluation for commands and pages."""
    status = evaluation.row.state.status if evaluation.is_judged else Status.PENDING
    return explain_verdict(evaluation.verdict, now, zone, status)


def explanation_record(
    evaluation: Evaluation, explanation: Explanation, transition: LastTransition | None, says: str
) -> ExplanationRecord:
    """Return the record of an explanation. `says` is the deciding rule in words."""
    row = evaluation.row
    verdict = explanation.verdict
    state = row.state
    known = row.person.identity
    wait = verdict.wait_end
    return ExplanationRecord(
        repo=row.repo.id,
        repo_type=row.repo.type,
        request_id=state.hub_request,
        user_id=known.user_id,
        user=known.username,
        status=state.status,
        asked_at=ms_to_iso(state.asked_at),
        attempt=state.attempt,
        came=None
        if transition is None
        else TransitionRecord(
            at=ms_to_iso(transition.at),
            actor=transition.actor,
            by=transition.hub_user,
            run=transition.run_id,
            rule=transition.rule,
        ),
        until=ms_to_iso(state.ends_at),
        at_end=state.at_end,
        is_judged=evaluation.is_judged,
        is_stored=evaluation.is_stored,
        why=str(explanation.sentence),
        verdict=FinalVerdictRecord(
            **_opinion_fields(verdict), policy=verdict.policy, digest=verdict.digest, says=says or None
        ),
        ledger=None if state.verdict is None else _recorded_verdict(*state.verdict),
        by_hand=terms_record(verdict.by_hand, explanation.now, explanation.zone),
        wait=None if wait is None else WaitRecord(ends_at=to_iso(wait.at), then=str(wait.action)),
        policies=[_policy_record(part) for part in verdict.parts],
    )


def _opinion_fields(verdict: Verdict | Opinion) -> dict[str, Any]:
    return {
        "action": verdict.action,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "until": None if verdict.until is None else str(verdict.until),
        "at_end": None if verdict.at_end is None else str(verdict.at_end),
        "reviewers": verdict.reviewers,
        "needs": verdict.needs,
        "missing": verdict.missing,
        "possible": [str(each) for each in verdict.possible],
    }


def _recorded_verdict(action: str, policy: str | None, rule: str, digest: str | None) -> RecordedVerdict:
    return RecordedVerdict(action=action, policy=policy, rule=rule, digest=digest)


def _policy_record(part: Opinion | Abstention) -> EvaluatedPolicyRecord:
    return EvaluatedPolicyRecord(
        policy=part.policy,
        digest=part.digest,
        mode=part.mode,
        opinion=OpinionRecord(**_opinion_fields(part)) if isinstance(part, Opinion) else None,
        tried=[
            EvaluatedRuleRecord(
                rule=trace.rule,
                then=str(trace.then),
                matched=trace.matched,
                because=[_condition_record(condition) for condition in trace.conditions],
                differ=trace.ways_to_match,
            )
            for trace in part.rule_traces
        ],
    )


def _condition_record(trace: ConditionTrace) -> ConditionRecord:
    facts = {
        name: FactRecord(
            value=fact.json_value(),
            trust=fact.trust,
            source=fact.source,
            as_of=to_iso(fact.as_of),
            why=None if fact.why is None else str(fact.why),
            note=fact.note or None,
        )
        for name, fact in trace.facts.items()
    }
    parts = [_condition_record(part) for part in trace.parts]
    return ConditionRecord(expr=trace.expr, value=trace.value, note=trace.note or None, facts=facts, parts=parts)


def terms_record(terms: HandTerms, now: datetime, zone: tzinfo) -> TermsRecord:
    """Return the record of the terms of an acceptance by hand."""
    end = end_of_terms(terms)
    return TermsRecord(
        kind=terms.kind,
        until=terms.end.written,
        ends_at=None if end is None or end.written is None else to_iso(parse_grant_end(end.written, now, zone)),
        at_end=terms.end.at_end if terms.end.rule_name else None,
        rule=terms.end.rule_name or None,
        missing=list(terms.missing),
    )
