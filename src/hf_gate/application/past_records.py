"""Output records about earlier moments: requests and access as of a date, and decisions compared with a policy."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ..domain.ids import RepoType
from .records import Count, Record, Time


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
