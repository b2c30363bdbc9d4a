"""Output records about earlier moments: requests and access as of a date, and decisions compared with a policy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ..domain.ids import RepoType
from .records import AttemptRecord, Count, HistoryRecord, Record, Time


class PastRequestRecord(AttemptRecord, frozen=True, kw_only=True):
    """One request as it was at an earlier moment, from the ledger."""

    as_of: Time
    proved_at: Annotated[Time | None, Meta(description="the last full sync up to then that was proved complete")]
    found_later: Annotated[bool, Meta(description="its status had changed on the Hub by then, but was read later")]


class ShownPastRequest(PastRequestRecord, frozen=True, kw_only=True):
    """One request as it was, with its access and its history until then."""

    since: Annotated[Time | None, Meta(description="when the access began; null without access")]
    by: Annotated[str | None, Meta(description="who gave the access: an account, or policy:NAME@version")]
    policy: str | None
    rule: str | None
    agreement: str | None
    form: Annotated[str | None, Meta(description="fingerprint of the gate form when the request was first seen")]
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
    since: Annotated[Time | None, Meta(description="null: not known, because it began before the first sync")]
    by: Annotated[str | None, Meta(description="an account, or policy:NAME@version; null: the Hub did not say")]
    policy: str | None
    rule: Annotated[str | None, Meta(description="null when a person decided")]
    agreement: Annotated[str | None, Meta(description="null: the access does not depend on an agreement")]
    form: Annotated[str | None, Meta(description="fingerprint of the gate form when the request was first seen")]
    until: Time | None
    at_end: str | None
    as_of: Time
    proved_at: Annotated[Time | None, Meta(description="the last full sync up to then that was proved complete")]
    found_later: Annotated[bool, Meta(description="its status had changed on the Hub by then, but was read later")]
    note: Annotated[str | None, Meta(description="what is not known about it")]


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
