"""Output records of policies: the files, their problems, and what their accept rules require."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from hf_gate.base.ids import RepoType
from hf_gate.core.records import Count, Record, RepoReference


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
    pending: Annotated[int | None, Meta(description="pending requests that were compared with the table")]
    matches: Annotated[
        int | None, Meta(description="pending requests that the table lists with a row that has not expired")
    ]


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
    promoted: Annotated[bool, Meta(description="false: it could act unattended before, or lacks a promotion")]
    lacks: Annotated[str | None, Meta(description="why a second member must promote it before it applies")]
    changes: Annotated[dict[str, Count], Meta(description="by verb")]
    repos: list[RepoChangesRecord]
