"""What a policy is once it is read, and what it says about one request: values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from ..domain.grants import later
from ..domain.lifecycle import Status


class Action(StrEnum):
    """What a rule wants for a request, from the strictest to the most lenient (`STRICTNESS`)."""

    REJECT = "reject"
    RESET = "reset"
    WAIT = "wait"
    HUMAN = "human"
    ACCEPT = "accept"


STRICTNESS: tuple[Action, ...] = (Action.REJECT, Action.RESET, Action.WAIT, Action.HUMAN, Action.ACCEPT)


class PolicyMode(StrEnum):
    """Shadow: the verdict is recorded and nothing is changed. Enforce: it counts."""

    SHADOW = "shadow"
    ENFORCE = "enforce"


class Trust(StrEnum):
    """Who controls a fact, from the applicant's own word to the owner's."""

    CLAIMED = "claimed"  # answers, full name
    ACCOUNT = "account"  # age, activity, e-mail as the Hub shows it
    VERIFIED = "verified"  # verified organisations
    YOURS = "yours"  # tables, history


TRUST_ORDER: tuple[Trust, ...] = (Trust.CLAIMED, Trust.ACCOUNT, Trust.VERIFIED, Trust.YOURS)

FactValue: TypeAlias = (
    "str | bool | int | datetime | tuple[str, ...] | Mapping[str, str]"  # the CEL types that facts have
)


class UnknownReason(StrEnum):
    """Why a fact is unknown: its source will still be asked, or asking gave nothing."""

    NOT_YET = "not yet known"
    UNAVAILABLE = "unavailable"


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One fact about a request. `value` None: unknown, for the reason `why`; `note` says what stands in the way.

    `source` names where it came from (`hub`, `request`, `form`, `profile`, `list:academic@2026-11`,
    `table:partners@<digest8>`, `history`, `clock`); `as_of` is when that source was read.
    """

    value: FactValue | None
    trust: Trust
    source: str
    as_of: datetime | None = None
    why: UnknownReason | None = None
    note: str = ""


Facts: TypeAlias = Mapping[str, Fact]
"""Dotted name (`email.academic`, `answers.purpose.quality`, `tables.dua.state`, `form`) to fact."""


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where something stands in a policy file; both count from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Duration:
    """`30d`, `12w`, `6mo`, `1y` as written; months and years are calendar months."""

    days: int = 0
    months: int = 0

    def after(self, moment: datetime) -> datetime:
        """The moment that lies this far ahead."""
        return later(moment, self.days, self.months)

    def __str__(self) -> str:
        if self.months and self.months % 12 == 0:
            return f"{self.months // 12}y"
        return f"{self.months}mo" if self.months else f"{self.days}d"


Until: TypeAlias = Duration | date
"""A span counts from acceptance; a date means the end of that day in the workspace's time zone."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it is written. `when`/`unless` are CEL source, None: always / never."""

    id: str
    then: Action
    when: str | None = None
    unless: str | None = None
    reason: str | Mapping[str, str] | None = None  # one text, or one per language
    reason_template: str | None = None
    at_most: Duration | None = None  # wait
    after: Action | None = None  # wait: reset, reject or human
    until: Until | None = None  # accept
    at_end: Action | None = None  # accept with an end: reset (default), reject, human
    end_reason: str | None = None
    queue: str | None = None
    due: Duration | None = None
    priority: int | None = None  # 1..3
    reviewers: int = 1  # 1 or 2
    position: SourcePosition = SourcePosition()
    key_positions: Mapping[str, SourcePosition] = field(default_factory=dict)  # of each key: `when`, `then`, ...


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """`tests:` beside the rules: under these facts this verdict is wanted. `then`/`rule` None: not asked for."""

    name: str
    facts: Mapping[str, object]
    then: Action | None
    rule: str | None
    position: SourcePosition = SourcePosition()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table that a policy may ask: a file (`file`, `key`), or its rows in place (`rows`)."""

    name: str
    key: tuple[str, ...] = ("user_id",)  # user_id, username, email
    file: str | None = None
    rows: tuple[str, ...] = ()  # usernames, addresses, `@domain`, `@*.domain`
    position: SourcePosition = SourcePosition()


@dataclass(frozen=True, slots=True)
class Policy:
    """One file of rules. `digest` is over what it means: comments and layout do not count."""

    name: str
    applies_to: tuple[str, ...]
    rules: tuple[Rule, ...]
    mode: PolicyMode = PolicyMode.SHADOW
    judges: tuple[str, ...] = (Status.PENDING,)
    tables: tuple[TableSpec, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)  # role to the label that has it
    let: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[PolicyTest, ...] = ()
    source: str = ""  # the file's name, for messages
    digest: str = ""  # 64 hex digits


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """Something about a policy or hf-gate.yaml that somebody must know; `code` is stable.

    `fix` is what can be put in the place of the marked text so that the file is valid and means what was meant.
    """

    code: str
    message: str
    source: str
    position: SourcePosition = SourcePosition()
    is_error: bool = True
    hint: str = ""
    fix: str | None = None
    length: int = 1


# ---- what it says about one request ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One expression with what came out. `value` None: unknown or in error (`note`); `facts` are those it used."""

    expr: str
    value: bool | None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    note: str = ""
    parts: tuple[ConditionTrace, ...] = ()  # its sub-expressions, in the order written


@dataclass(frozen=True, slots=True)
class ConditionFlip:
    """One expression that would have to come out otherwise: as `value`."""

    expr: str
    value: bool


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that was tried: `matched` None when it came out unknown.

    It matches when all of `because` are true (`unless` stands there as `!(...)`). `differ` are the shortest ways in
    which it would have matched: any one of them, and of that one all.
    """

    policy: str
    rule: str
    then: Action
    matched: bool | None
    conditions: tuple[ConditionTrace, ...] = ()
    ways_to_match: tuple[tuple[ConditionFlip, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one policy says about one request; None in place of an Opinion: it has none."""

    policy: str
    digest: str
    mode: PolicyMode
    action: Action
    rule: str
    rule_index: int  # of the rule in its policy, from 0
    reason: str | None = None
    until: Until | None = None
    at_end: Action | None = None
    end_reason: str | None = None
    queue: str | None = None
    due: Duration | None = None
    priority: int | None = None
    reviewers: int = 1
    at_most: Duration | None = None
    after: Action | None = None
    rule_traces: tuple[RuleTrace, ...] = ()
    needs: tuple[str, ...] = ()  # facts not yet known that could change it: they are fetched for the next cycle
    missing: tuple[str, ...] = ()  # facts that are unavailable, or expressions in error, behind a `human`
    possible: tuple[Action, ...] = ()  # the outcomes between which the missing facts decide
    can_abstain: bool = False  # with `possible`: or no rule matches, and the policy has no opinion


@dataclass(frozen=True, slots=True)
class Abstention:
    """A policy that has no opinion on one request, since none of its rules matched."""

    policy: str
    digest: str
    mode: PolicyMode
    rule_traces: tuple[RuleTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all policies together say about one request. `shadow` are reported beside it, never counted.

    Rule `none` with action human: no policy had an opinion.
    """

    action: Action
    policy: str | None
    rule: str
    opinions: tuple[Opinion, ...] = ()
    shadow: tuple[Opinion, ...] = ()
    abstentions: tuple[Abstention, ...] = ()  # policies without an opinion, in either mode
    reason: str | None = None
    until: Until | None = None
    until_all: tuple[Until, ...] = ()
    at_end: Action | None = None
    end_reason: str | None = None
    queue: str | None = None
    due: Duration | None = None
    priority: int | None = None
    reviewers: int = 1
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    possible: tuple[Action, ...] = ()

    @property
    def digest(self) -> str | None:
        """The digest of the policy whose rule decided."""
        return next((o.digest for o in self.opinions if o.policy == self.policy), None)


# ---- three values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TruthValue:
    """What came out. `value` None: unknown, for want of the facts `missing`, or for the `error`, or for both."""

    value: bool | None
    missing: frozenset[str] = frozenset()
    error: str | None = None


def combine_unknowns(truths: Iterable[TruthValue]) -> TruthValue:
    """Unknown, for all that is missing in those that are unknown, and the first of their errors."""
    unknown = [truth for truth in truths if truth.value is None]
    missing = frozenset[str]().union(*(truth.missing for truth in unknown))
    return TruthValue(None, missing, next((truth.error for truth in unknown if truth.error), None))
