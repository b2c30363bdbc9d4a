"""Hides from members of some repos what concerns other repos: facts that count them, and names in policies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.core.parsing.literals import glob_matches
from hf_gate.core.policy_model import (
    Abstention,
    ConditionTrace,
    Opinion,
    Policy,
    RuleTrace,
    UnknownReason,
    Verdict,
)

COUNTS_OTHERS: Final = "history.elsewhere"
Part = TypeVar("Part", Opinion, Abstention)
_NOTE: Final = "it counts repos that you do not see"


def redact_verdict(verdict: Verdict) -> Verdict:
    """Return the verdict without the facts on other repos."""
    return replace(
        verdict,
        opinions=tuple(map(_redact_part, verdict.opinions)),
        shadow=tuple(map(_redact_part, verdict.shadow)),
        abstentions=tuple(map(_redact_part, verdict.abstentions)),
    )


def redact_rule(tried: RuleTrace) -> RuleTrace:
    """Return the trace of a rule without the facts on other repos, and without the results that reveal them."""
    conditions = tuple(map(_redact_condition, tried.conditions))
    if conditions == tried.conditions:
        return tried
    return replace(tried, conditions=conditions, matched=None, ways_to_match=())


def _redact_part(part: Part) -> Part:
    return replace(part, rule_traces=tuple(map(redact_rule, part.rule_traces)))


def _redact_condition(because: ConditionTrace) -> ConditionTrace:
    parts = tuple(map(_redact_condition, because.parts))
    facts = {
        name: replace(fact, value=None, why=UnknownReason.UNAVAILABLE, note=_NOTE) if name == COUNTS_OTHERS else fact
        for name, fact in because.facts.items()
    }
    if COUNTS_OTHERS not in facts and parts == because.parts:
        return because
    note = "" if because.note.startswith("=") else because.note  # the value of a `let` name
    return replace(because, value=None, facts=facts, parts=parts, note=note)


def names_other_repos(policy: Policy, seen: Collection[Repo]) -> bool:
    """Return whether a policy names repos other than these, which its text would reveal."""
    return any(not any(glob_matches(glob, repo) for repo in seen) for glob in policy.applies_to)
