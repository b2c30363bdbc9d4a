"""Output records about earlier moments: requests and access as of a date, and decisions compared with a policy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ..domain.display_text import pluralize
from ..domain.ids import RepoType
from .records import AttemptRecord, Count, HistoryRecord, Record, Time

Since = Annotated[Time | None, Meta(description="null: no access, or it began before the first sync")]
Granter = Annotated[str | None, Meta(description="an account, or policy:NAME@version; null: the Hub did not say")]
Approvers = Annotated[list[str], Meta(description="the people who approved in hf-gate; two if a rule asks for two")]
IsOutside = Annotated[bool, Meta(description="accepted outside hf-gate, or before the first sync")]
MissingApprovals = Annotated[Count, Meta(description="how many approvals an acceptance outside hf-gate lacked")]
GrantRule = Annotated[str | None, Meta(description="the rule that accepted, or asked for two people; null: none did")]
Agreement = Annotated[str | None, Meta(description="null: the access rests on no agreement, or on an unknown one")]
PastForm = Annotated[str | None, Meta(description="fingerprint of the gate form when the request was first seen")]
PastPrompt = Annotated[str | None, Meta(description="fingerprint of the prompt at that time; null: none, or not known")]
EndRule = Annotated[str | None, Meta(description="the rule of the end; direct: a person gave it without a rule")]
EndRow = Annotated[str | None, Meta(description="the rows on which the end rests, with the versions of their tables")]


class PastRequestRecord(AttemptRecord, frozen=True, kw_only=True):
    """One request as it was at an earlier moment, from the ledger."""

    as_of: Time
    proved_at: Annotated[Time | None, Meta(description="the last full sync up to then that was proved complete")]
    found_later: Annotated[bool, Meta(description="its status had changed on the Hub by then, but was read later")]


class ShownPastRequest(PastRequestRecord, frozen=True, kw_only=True):
    """One request as it was, with its access and its history until then."""

    since: Since
    by: Granter
    approvers: Approvers
    is_outside: IsOutside
    missing_approvals: MissingApprovals
    policy: str | None
    rule: GrantRule
    agreement: Agreement
    form: PastForm
    prompt: PastPrompt
    until_rule: EndRule
    until_row: EndRow
    history: Annotated[list[HistoryRecord], Meta(description="oldest first")]


class AccessRecord(Record, frozen=True, kw_only=True):
    """One account that has access to a repo, or had it at an earlier moment."""

    repo: str
    repo_type: RepoType
    through: Annotated[
        Literal["request", "member", "owner"], Meta(description="members of the organisation bypass the gate")
    ]
    user: str | None
    user_id: str | None
    fullname: str | None
    email: str | None
    person: Annotated[str | None, Meta(description="the pseudonym that the audit log uses")]
    request_id: str | None
    asked_at: Time | None
    since: Since
    by: Granter
    approvers: Approvers
    is_outside: IsOutside
    missing_approvals: MissingApprovals
    policy: str | None
    rule: GrantRule
    agreement: Agreement
    form: PastForm
    prompt: PastPrompt
    until: Time | None
    at_end: str | None
    until_rule: EndRule
    until_row: EndRow
    as_of: Time
    proved_at: Annotated[Time | None, Meta(description="the last full sync up to then that was proved complete")]
    found_later: Annotated[bool, Meta(description="its status had changed on the Hub by then, but was read later")]
    note: Annotated[str | None, Meta(description="what is not known about it")]


def name_deciders(access: AccessRecord | ShownPastRequest) -> str:
    """Return who gave an access: an account or policy, and the people who approved."""
    is_named = access.by is None or (access.by in access.approvers and not access.is_outside)
    return ", ".join([*([] if is_named else [str(access.by)]), *access.approvers])


def describe_outside(access: AccessRecord | ShownPastRequest) -> str:
    """Return the mark of an access that was given outside hf-gate; "" for the others."""
    if not access.is_outside:
        return ""
    lacking = pluralize(access.missing_approvals, "approval")
    return f"accepted outside hf-gate{f', {lacking} missing' if access.missing_approvals else ''}"


def name_rule(access: AccessRecord | ShownPastRequest) -> str | None:
    """Return the rule that gave an access, or else the rule that set its end; None if people decided both."""
    end_rule = access.until_rule if "/" in (access.until_rule or "") else None
    return access.rule or end_rule


class ComparedDecision(Record, frozen=True, kw_only=True):
    """A decision by a person beside what a policy says on the facts of that time."""

    repo: str
    repo_type: RepoType
    request_id: str | None
    user_id: str | None
    user: str | None
    asked_at: Time
    decided_at: Time
    by: Annotated[str | None, Meta(description="null: the Hub did not say who decided")]
    people: Annotated[str, Meta(description="what the person did: accept, reset or reject")]
    policy: Annotated[str, Meta(description="accept, human, wait, reset, reject, or unknown")]
    rule: str
    says: Annotated[str | None, Meta(description="the rule as a sentence")]
    missing: Annotated[list[str], Meta(description="facts of that time that are not known")]
    entry: Annotated[str, Meta(description="chain#number, as `hf-gate audit show` takes it")]


class ComparisonCell(Record, frozen=True, kw_only=True):
    """How often people did one thing where the policy says one thing."""

    people: str
    policy: str
    n: Count


class ComparisonRecord(Record, frozen=True, kw_only=True):
    """Decisions by people compared with a policy. The rates are of the decisions that the policy would make by itself."""

    policy: str
    digest: str
    compared: Count
    decided: Annotated[Count, Meta(description="how many the policy would have decided itself")]
    agreed: Annotated[Count, Meta(description="how many of these it would have decided in the same way")]
    rate: Annotated[float | None, Meta(description="null: it would have decided none")]
    rate_low: Annotated[float | None, Meta(description="of the 95 % interval")]
    rate_high: float | None
    left_to_people: Count
    unknown: Annotated[Count, Meta(description="facts of that time that are not kept would change the verdict")]
    erased: Annotated[Count, Meta(description="left out, because the personal data was deleted")]
    matrix: list[ComparisonCell]
    disagreements: Annotated[list[ComparedDecision], Meta(description="newest first")]
    unknowns: list[ComparedDecision]
