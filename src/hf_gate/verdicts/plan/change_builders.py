"""Builds the changes of a plan from verdicts and from ended grants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS, HOUR_MS, to_iso
from hf_gate.core.changes import Change, ChangeReason
from hf_gate.core.events.events import VerdictReached
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import STATUS_AFTER_VERB, STATUSES, Status
from hf_gate.core.people.access_end import NO_HAND_TERMS, AccessEnd, HandTerms
from hf_gate.core.policy_model import ConditionTrace, Verdict
from hf_gate.core.requests import AccessRequest, Target, content_digest
from hf_gate.policies.checks.reasons import fill_reason
from hf_gate.policies.evaluation.opinions import STATUS_AFTER, ends_of, terms_of
from hf_gate.policies.facts.fact_table import is_identity_fact

from .model import END_EXPRESSION

_END_REASONS: Final = {  # a rejected person cannot request access again
    Status.RESET: "Your access has ended. You may ask again.",
    Status.REJECTED: "Your access has ended.",
}


class PlanSubject(Struct, frozen=True):
    """A request to plan for: its record, its stored state and its row id."""

    request: AccessRequest
    state: RequestState
    row: int


def make_change(
    subject: PlanSubject,
    after: str,
    *,
    rule: str,
    reason: str | None = None,
    policy: str | None = None,
    policy_digest: str | None = None,
    because: Sequence[ChangeReason] = (),
    end: AccessEnd | None = None,
) -> Change:
    """Build the change of a request to another status."""
    request = subject.request
    state = subject.state
    content = content_digest(subject.request)
    reads_identity = any(is_identity_fact(name) for one in because for name in one.facts)
    return Change(
        repo=request.repo.id,
        repo_type=request.repo.type.value,
        request_id=state.hub_request,
        user_id=request.person.id,
        user=request.person.username,
        asked_at=to_iso(request.asked_at),
        answers_digest=content.answers.hex(),
        last_moved_at=state.last_moved_at,
        identity_digest=content.identity.hex() if reads_identity else None,
        before=state.status,
        after=str(after),
        reason=reason,
        rule=rule,
        policy=policy,
        policy_digest=policy_digest,
        because=list(because),
        end=end,
        row=subject.row,
    )


def make_change_without_request(
    repo: Repo, target: Target, after: str, *, rule: str, reason: str | None = None, end: AccessEnd | None = None
) -> Change:
    """Build the change of a person without a request on the Hub, from what the caller knows."""
    return Change(
        repo=repo.id,
        repo_type=repo.type.value,
        request_id=target.request_id,
        user_id=target.user_id,
        user=target.username,
        asked_at="",
        answers_digest="",
        before="",
        after=str(after),
        reason=reason,
        rule=rule,
        policy=None,
        policy_digest=None,
        because=[],
        end=end,
        row=0,
    )


def status_after(state: RequestState, verdict: Verdict) -> Status | None:
    """Return the status that a verdict gives a request; None if the status stays.

    A request with an open change is left alone.
    """
    if state.open_after is not None or state.status not in STATUSES:
        return None
    return STATUS_AFTER.get((Status(state.status), verdict.action))


def change_for_verdict(subject: PlanSubject, verdict: Verdict, why: Iterable[ConditionTrace]) -> Change | None:
    """Return the change that a verdict requires; None if the request stays as it is.

    For a person with access, a verdict can only remove the access. `why` holds the condition traces of the deciding
    rule.
    """
    state = subject.state
    request = subject.request
    after = status_after(state, verdict)
    if after is None:
        return None
    text = verdict.reason
    return make_change(
        subject,
        after,
        rule=verdict.rule,
        reason=None if after == Status.ACCEPTED or text is None else _fill_text(text, request, verdict.rule),
        policy=verdict.policy,
        policy_digest=verdict.digest,
        because=_reasons_of_conditions(why),
        end=_end_of_verdict(verdict) if after == Status.ACCEPTED else None,
    )


def _end_of_verdict(verdict: Verdict) -> AccessEnd | None:
    """Return the end that the rules of a verdict set; None if they set none."""
    until = ",".join(sorted(map(str, ends_of(verdict))))
    end = AccessEnd(until or None, rule=f"{verdict.policy}/{verdict.rule}", terms=terms_of(verdict))
    if end.gives_none:
        return None
    return end if verdict.at_end is None else replace(end, at_end=str(verdict.at_end))


def _fill_text(text: str, request: AccessRequest, rule: str) -> str:
    """Return the reason sent to the person, with placeholders filled in."""
    return fill_reason(text, repo=request.repo.id, user=request.person.username or "you", rule=rule)


def _reasons_of_conditions(why: Iterable[ConditionTrace]) -> list[ChangeReason]:
    leaves = (leaf for trace in why for leaf in trace.leaves())
    return [
        ChangeReason(
            expr=leaf.expr, value=leaf.value, facts={name: fact.json_value() for name, fact in leaf.facts.items()}
        )
        for leaf in leaves
    ]


def verdict_event(verdict: Verdict, lists: Mapping[str, str]) -> VerdictReached:
    """Return the ledger event of a verdict. Fact values are stored separately, as private data."""
    return VerdictReached(
        action=str(verdict.action),
        rule=verdict.rule,
        policy=verdict.policy,
        digest=verdict.digest,
        shadow=tuple(sorted((one.policy, one.rule, str(one.action)) for one in verdict.shadow)),
        lists=dict(sorted(lists.items())),
        missing=verdict.missing or verdict.needs,
        hand_terms=_terms_to_store(verdict),
    )


def _terms_to_store(verdict: Verdict) -> HandTerms | None:
    """Return the terms of an acceptance by hand; None, which takes no room, if they set no end."""
    return None if verdict.by_hand == NO_HAND_TERMS else verdict.by_hand.without_document


def is_new_verdict(state: RequestState, verdict: Verdict) -> bool:
    """Return whether a verdict differs from the last recorded one."""
    shadow = tuple(sorted((one.policy, one.rule, str(one.action)) for one in verdict.shadow))
    reached = (str(verdict.action), verdict.policy, verdict.rule, verdict.digest)
    return (reached, shadow, _terms_to_store(verdict)) != (state.verdict, state.shadow, state.hand_terms)


def change_for_end(subject: PlanSubject, at: datetime, *, end_reason: str | None, rule: str) -> Change | None:
    """Return the change that ends an expired grant; None if a person must decide, or if access is gone already.

    `end_reason` is the reason of the rule. It is not sent at an end that a person chose.
    """
    state = subject.state
    request = subject.request
    after = STATUS_AFTER_VERB.get(state.end_action)
    end = state.ends_at
    now = at.timestamp() * 1000
    if after is None or state.status != Status.ACCEPTED or end is None or state.open_after is not None:
        return None
    if state.until is not None and state.until <= now:
        end = state.until  # certain, while a condition that ended access earlier may be unknown by now
    late = now - end
    facts = {"until": end, "days_late": int(late / DAY_MS), "hours_late": int(late / HOUR_MS)}
    if state.lapses_at == end:
        facts["lapsed"] = True
    because = [ChangeReason(expr=END_EXPRESSION, value=True, facts=facts)]
    is_by_rule = end == state.lapses_at or not state.has_chosen_end
    text = end_reason if is_by_rule and end_reason else _END_REASONS[after]
    reason = _fill_text(text, request, (state.until_rule or rule).rpartition("/")[2])
    change = make_change(subject, after, rule=rule, reason=reason, because=because)
    return replace(change, is_sudden=state.is_sudden_end(int(now)))
