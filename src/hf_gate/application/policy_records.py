"""Output records of policies: the files, their problems, and what their accept rules require."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .records import Count, Record


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
    """One policy file. In the desk's list, `failing_tests` and `accepts` are null, because it does not run the tests."""

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
