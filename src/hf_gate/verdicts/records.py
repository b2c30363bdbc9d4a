"""Output records of policies: the files, their problems, what their accept rules require, and
comparisons with people.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from hf_gate.base.ids import RepoType
from hf_gate.core.records import Count, Record, RepoReference, RequestReference, Time


class ProblemRecord(Record, frozen=True, kw_only=True):
    """One problem of a policy or of `hf-gate.yaml`."""

    file: str
    line: Count
    column: Count
    length: Count
    level: Literal["error", "warning"]
    code: str
    message: str
    hint: str | None
    fix: Annotated[str | None, Meta(description="the replacement for `length` characters from this position")]


class AcceptRequirementRecord(Record, frozen=True, kw_only=True):
    """The least that a requester must control to be accepted by one rule."""

    rule: str
    trust: Annotated[Literal["claimed", "account", "verified", "yours"] | None, Meta(description="null: nothing")]
    facts: list[str]


class PolicyRecord(Record, frozen=True, kw_only=True):
    """One policy file.

    In the desk's list, `failing_tests` and `accepts` are null, because it does not run the tests.
    """

    policy: str
    file: str
    mode: Annotated[Literal["shadow", "enforce"] | None, Meta(description="null when the file cannot be read")]
    digest: str | None
    applies_to: list[str]
    rules: Count
    tests: Count
    errors: Count
    warnings: Count
    failing_tests: list[str] | None = None
    accepts: list[AcceptRequirementRecord] | None = None


class CheckedTableRecord(Record, frozen=True, kw_only=True):
    """One table that policies use."""

    table: str
    file: Annotated[str | None, Meta(description="null: the rows are in the YAML file")]
    key: list[str]
    rows: Count
    refused: str | None
    in_force_since: Time | None
    pending: Annotated[int | None, Meta(description="pending requests that were compared with the table")]
    matches: Annotated[
        int | None, Meta(description="pending requests that the table lists with a row that has not expired")
    ]


class PolicyLintRecord(Record, frozen=True, kw_only=True):
    """What is valid in policies but probably a mistake."""

    warnings: Count
    problems: list[ProblemRecord]


class PolicyCheckRecord(Record, frozen=True, kw_only=True):
    """The result of a check of policies."""

    ok: bool
    errors: Count
    warnings: Count
    problems: list[ProblemRecord]
    policies: list[PolicyRecord]
    tables: list[CheckedTableRecord]
    forms: list[str]


class WantedVerdictRecord(Record, frozen=True, kw_only=True):
    """The verdict that a test of a policy wants; null: any."""

    then: str | None
    rule: str | None


class GivenVerdictRecord(Record, frozen=True, kw_only=True):
    """The verdict in a test of a policy."""

    then: str
    rule: str


class PolicyTestRecord(Record, frozen=True, kw_only=True):
    """One test of a policy, with its result."""

    policy: str
    file: str
    line: Count
    name: str
    passed: bool
    want: WantedVerdictRecord
    got: GivenVerdictRecord
    why: list[str]


class PolicyTestsRecord(Record, frozen=True, kw_only=True):
    """The results of the tests of policies."""

    ok: bool
    passed: Count
    failed: Count
    tests: list[PolicyTestRecord]


class AppliedPolicyRecord(Record, frozen=True, kw_only=True):
    """One policy that applies to a repo."""

    policy: str
    file: str
    mode: Literal["shadow", "enforce"]
    digest: str


class RepoRulesRecord(RepoReference, frozen=True, kw_only=True):
    """The rules of a repo as sentences, in the order in which they are tried."""

    policies: list[AppliedPolicyRecord]
    sentences: list[str]


class NewPolicyRecord(Record, frozen=True, kw_only=True):
    """A policy that was created from an example."""

    policy: str
    like: str
    file: str
    missing: Annotated[list[str], Meta(description="files of its tables that do not exist")]


class AgreementRecord(Record, frozen=True, kw_only=True):
    """How a policy agrees with decisions by people."""

    compared: Count
    decided: Annotated[Count, Meta(description="how many the policy would have decided itself")]
    agreed: Annotated[Count, Meta(description="how many of these it would have decided in the same way")]
    unknown: Annotated[Count, Meta(description="facts of that time that are not kept would change the verdict")]


class RepoChangesRecord(Record, frozen=True, kw_only=True):
    """How many changes there are at one repo."""

    where: str
    repo: str
    repo_type: RepoType
    count: Count


class PromotionRecord(Record, frozen=True, kw_only=True):
    """A version of a policy that may act unattended, and what its first turn would change."""

    policy: str
    digest: str
    promoted: Annotated[bool, Meta(description="false: it could act unattended before")]
    agreement: AgreementRecord | None
    changes: Annotated[dict[str, Count], Meta(description="by verb")]
    repos: list[RepoChangesRecord]


# ---- comparison with people ------------------------------------------------------------------------------------------


DECIDED: Final = ("accept", "reset", "reject")
UNKNOWN: Final = "unknown"
"""What a policy says if facts that are not known would change its verdict."""


class ComparedDecision(RequestReference, frozen=True, kw_only=True):
    """A decision by a person beside what a policy says on the facts of that time."""

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


class ComparisonRecord(AgreementRecord, frozen=True, kw_only=True):
    """Decisions by people compared with a policy.

    The rates are of the decisions that the policy would make by itself.
    """

    policy: str
    digest: str
    rate: Annotated[float | None, Meta(description="null: it would have decided none")]
    rate_low: Annotated[float | None, Meta(description="of the 95 % interval")]
    rate_high: float | None
    left_to_people: Count
    erased: Annotated[Count, Meta(description="left out, because the personal data was deleted")]
    matrix: list[ComparisonCell]
    disagreements: Annotated[list[ComparedDecision], Meta(description="newest first")]
    unknowns: list[ComparedDecision]

    def describe(self) -> str:
        """Return a sentence on the agreement."""
        if not self.compared:
            return "There is nothing to compare yet."
        if self.rate is None or self.rate_low is None or self.rate_high is None:
            return "The policy would have decided none of these requests by itself."
        return (
            f"Where it would decide by itself, it agrees with {self.agreed:,} of {self.decided:,}:"
            f" {self.rate * 100:.0f} % (95 % interval {self.rate_low * 100:.0f} % to {self.rate_high * 100:.0f} %)."
        )

    def count(self, people: str | None = None, policy: str | None = None) -> int:
        """Return how often people did one thing where the policy says one thing; None stands for anything."""
        return sum(cell.n for cell in self.matrix if people in {None, cell.people} and policy in {None, cell.policy})

    @property
    def people_said(self) -> list[str]:
        """What people did: the rows of the matrix."""
        return [verb for verb in DECIDED if self.count(people=verb)]

    @property
    def policy_says(self) -> list[str]:
        """What the policy says: the columns of the matrix."""
        return [action for action in (*DECIDED, "wait", "human", UNKNOWN) if self.count(policy=action)]
