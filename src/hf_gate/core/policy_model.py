"""The values of the policy engine: policies, rules and facts, and the resulting opinions and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, field

from hf_gate.base.timestamps import to_iso
from hf_gate.core.people.access_end import NO_HAND_TERMS, HandTerms
from hf_gate.core.people.grants import Duration, GrantCondition

from .lifecycle import Status


class Action(StrEnum):
    """What a rule does with a request. `STRICTNESS` orders the actions from the strictest."""

    REJECT = "reject"
    RESET = "reset"
    WAIT = "wait"
    HUMAN = "human"
    ACCEPT = "accept"


STRICTNESS: tuple[Action, ...] = (Action.REJECT, Action.RESET, Action.WAIT, Action.HUMAN, Action.ACCEPT)


class PolicyMode(StrEnum):
    """Shadow: the verdict is recorded but changes nothing. Enforce: the verdict takes effect."""

    SHADOW = "shadow"
    ENFORCE = "enforce"


class Trust(StrEnum):
    """Who controls a fact: from the requester (lowest) to the owner of the repo (highest)."""

    CLAIMED = "claimed"  # answers, full name
    ACCOUNT = "account"  # age, activity, e-mail address as the Hub shows it
    VERIFIED = "verified"  # verified organisations
    YOURS = "yours"  # tables, history


TRUST_ORDER: tuple[Trust, ...] = (Trust.CLAIMED, Trust.ACCOUNT, Trust.VERIFIED, Trust.YOURS)

FactValue: TypeAlias = "str | bool | int | datetime | tuple[str, ...] | Mapping[str, str]"  # the types of facts


class UnknownReason(StrEnum):
    """Why a fact is unknown: its source has not been read yet, or the source gave no value."""

    NOT_YET = "not yet known"
    UNAVAILABLE = "unavailable"


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One fact about a request. A `value` of None means unknown; `why` and `note` give the reason.

    `source` names the origin (`hub`, `request`, `form`, `profile`, `list:academic@2026-11`,
    `table:partners@<digest8>`, `history`, `clock`); `as_of` is when the source was read.
    """

    value: FactValue | None
    trust: Trust
    source: str
    as_of: datetime | None = None
    why: UnknownReason | None = None
    note: str = ""

    def json_value(self) -> Any:  # noqa: ANN401 - JSON
        """Return the value as JSON; null if it is unknown."""
        if isinstance(self.value, datetime):
            return to_iso(self.value)
        if isinstance(self.value, Mapping):
            return dict(self.value)
        return list(self.value) if isinstance(self.value, tuple) else self.value


Facts: TypeAlias = Mapping[str, Fact]
"""Facts by dotted name: `email.academic`, `answers.purpose.quality`, `tables.dua.state`, `form`."""


class SourcePosition(Struct, frozen=True):
    """A line and a column in a policy file, counted from 1."""

    line: int = 1
    column: int = 1


class FactEnd(Struct, frozen=True):
    """An end that follows a fact, such as `tables.dua.expires`. `at` is its value for a person; None if unknown."""

    name: str
    at: datetime | None = None

    def __str__(self) -> str:
        return self.name if self.at is None else to_iso(self.at)


Until: TypeAlias = Duration | date | FactEnd
"""When access ends: a duration after acceptance, the end of a day in the workspace's time zone, or
the value of a fact.
"""


class RuleTerms(Struct, frozen=True, kw_only=True):
    """What a rule says beside its action: the end of an acceptance, and how people decide."""

    until: Until | None = None  # accept
    at_end: Action | None = None  # accept with an end: reset (default) or reject
    end_reason: str | None = None
    notice: tuple[Duration, ...] = ()  # accept with an end: times before the end
    reviewers: int = 1  # 1 or 2


class Rule(RuleTerms, frozen=True):
    """One rule of a policy.

    `when` and `unless` are CEL sources; None means always for `when` and never for `unless`.
    """

    id: str
    then: Action
    when: str | None = None
    unless: str | None = None
    reason: str | None = None
    reason_template: str | None = None
    at_most: Duration | None = None  # wait
    after: Action | None = None  # wait: reset, reject or human
    keep_while: str | None = None  # accept: a CEL source; access ends after `grace` when it turns false
    grace: Duration | None = None
    says: str | None = None  # one sentence that explains the rule to people; the digest does not cover it
    position: SourcePosition = SourcePosition()
    key_positions: Mapping[str, SourcePosition] = field(
        default_factory=dict
    )  # the position of each key: `when`, `then`, ...


class PolicyTest(Struct, frozen=True):
    """One entry of `tests:`: the facts and the expected verdict. If `then` or `rule` is None, it is not checked."""

    name: str
    facts: Mapping[str, object]
    then: Action | None
    rule: str | None
    position: SourcePosition = SourcePosition()


class TableSpec(Struct, frozen=True):
    """A table declared in YAML: a file (`file`, `key`), inline rows (`rows`), or rows in the store (`is_stored`)."""

    name: str
    key: tuple[str, ...] = ("user_id",)  # user_id, username, email
    file: str | None = None
    is_stored: bool = False
    rows: tuple[str, ...] = ()  # usernames, addresses, `@domain`, `@*.domain`
    position: SourcePosition = SourcePosition()


class Policy(Struct, frozen=True):
    """One policy file. `digest` covers its meaning: comments and layout do not change it."""

    name: str
    applies_to: tuple[str, ...]
    rules: tuple[Rule, ...]
    mode: PolicyMode = PolicyMode.SHADOW
    judges: tuple[str, ...] = (Status.PENDING,)
    tables: tuple[TableSpec, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)  # label by role
    let: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[PolicyTest, ...] = ()
    source: str = ""  # the file's name, for messages
    digest: str = ""  # 64 hex digits

    @property
    def has_two_person_rule(self) -> bool:
        """Whether the policy is enforced and one of its rules asks for two people."""
        return self.mode is PolicyMode.ENFORCE and any(rule.reviewers > 1 for rule in self.rules)


class PolicyProblem(Struct, frozen=True):
    """A problem in a policy or in hf-gate.yaml. `code` is stable; `fix` replaces the marked text."""

    code: str
    message: str
    source: str
    position: SourcePosition = SourcePosition()
    is_error: bool = True
    hint: str = ""
    fix: str | None = None
    length: int = 1


# ---- results of an evaluation ------------------------------------------------------------------------------------


class ConditionTrace(Struct, frozen=True):
    """One evaluated expression and the facts it used. A `value` of None means unknown or failed (see `note`)."""

    expr: str
    value: bool | None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    note: str = ""
    parts: tuple[ConditionTrace, ...] = ()  # sub-expressions in source order
    op: str = ""  # `&&`, `||`, `!` or `?:`; "" for a single test and for the name of a `let`

    def leaves(self) -> Iterator[ConditionTrace]:
        """Yield the tests of single facts in this expression, and what else has no parts."""
        if self.facts or not self.parts:
            yield self
        else:
            for part in self.parts:
                yield from part.leaves()

    @property
    def values(self) -> dict[str, FactValue | None]:
        """The values of the facts."""
        return {name: fact.value for name, fact in self.facts.items()}


class ConditionFlip(Struct, frozen=True, forbid_unknown_fields=True):
    """One expression that must evaluate to `value` for the rule to match."""

    expr: str
    value: bool


class RuleTrace(Struct, frozen=True):
    """One evaluated rule; `matched` is None if the result is unknown.

    A rule matches if all `conditions` are true (`unless` is negated). Each of `ways_to_match` is a set of flips that
    together would make the rule match; the smallest sets come first.
    """

    policy: str
    rule: str
    then: Action
    matched: bool | None
    conditions: tuple[ConditionTrace, ...] = ()
    ways_to_match: tuple[tuple[ConditionFlip, ...], ...] = ()
    says: str | None = None
    lets: Mapping[str, str] = field(default_factory=dict)  # of its policy


class OpinionTerms(RuleTerms, frozen=True, kw_only=True):
    """What an opinion or a verdict says beside its action."""

    reason: str | None = None
    keep_while: tuple[GrantCondition, ...] = ()
    unmet: tuple[str, ...] = ()  # rules whose `keep_while` is not true, so that people decide about an acceptance
    needs: tuple[str, ...] = ()  # facts to fetch for the next turn, because they can change the action
    missing: tuple[str, ...] = ()  # unavailable facts and failed rules that led to `human`
    possible: tuple[Action, ...] = ()  # the actions that the missing facts decide between


class Opinion(OpinionTerms, frozen=True):
    """The opinion of one policy on one request."""

    policy: str
    digest: str
    mode: PolicyMode
    action: Action
    rule: str
    rule_index: int  # index of the rule in its policy
    at_most: Duration | None = None
    after: Action | None = None
    rule_traces: tuple[RuleTrace, ...] = ()
    can_abstain: bool = False  # whether it is also possible that no rule matches

    @property
    def deciding_trace(self) -> RuleTrace | None:
        """The trace of the rule that decided; None without traces."""
        return next((trace for trace in self.rule_traces if trace.rule == self.rule), None)


class Abstention(Struct, frozen=True):
    """A policy without an opinion on a request, because no rule matched."""

    policy: str
    digest: str
    mode: PolicyMode
    rule_traces: tuple[RuleTrace, ...] = ()


class WaitEnd(Struct, frozen=True):
    """When the time of a `wait` is over, and what follows."""

    at: datetime
    action: Action


class Verdict(OpinionTerms, frozen=True):
    """The verdict of all policies on one request. `shadow` opinions are reported but do not count.

    The rule is `none` if no policy had an opinion.
    """

    action: Action
    policy: str | None
    rule: str
    opinions: tuple[Opinion, ...] = ()
    shadow: tuple[Opinion, ...] = ()
    abstentions: tuple[Abstention, ...] = ()  # abstentions of policies in either mode
    until_all: tuple[Until, ...] = ()
    by_hand: HandTerms = NO_HAND_TERMS  # of an acceptance by hand, whatever the action is
    wait_end: WaitEnd | None = None  # of the deciding rule, if it waits and its rules were traced

    @property
    def parts(self) -> tuple[Opinion | Abstention, ...]:
        """What each policy says, those in shadow mode after the others, and those without an opinion last."""
        return (*self.opinions, *self.shadow, *self.abstentions)

    @property
    def deciding(self) -> Opinion | None:
        """The opinion of the policy whose rule decided."""
        return next((opinion for opinion in self.opinions if opinion.policy == self.policy), None)

    @property
    def digest(self) -> str | None:
        """The digest of the policy whose rule decided."""
        return None if self.deciding is None else self.deciding.digest


# ---- three values ----------------------------------------------------------------------------------------------------


class TruthValue(Struct, frozen=True):
    """True, False or unknown (None). A value is unknown because of the facts in `missing`, an `error`, or both."""

    value: bool | None
    missing: frozenset[str] = frozenset()
    error: str | None = None


TRUE = TruthValue(True)
FALSE = TruthValue(False)


def combine_unknowns(truths: Iterable[TruthValue]) -> TruthValue:
    """Return an unknown value with all missing facts and the first error of the unknown inputs."""
    unknown = [truth for truth in truths if truth.value is None]
    missing = frozenset[str]().union(*(truth.missing for truth in unknown))
    return TruthValue(None, missing, next((truth.error for truth in unknown if truth.error), None))
