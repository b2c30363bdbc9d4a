"""The accept rules of policies, and the terms that they give an acceptance by hand: of the first whose own conditions
hold.

They apply whatever the verdict is: a steward may accept a person whom the rules leave to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.core.people.access_end import NO_HAND_TERMS, AccessEnd, HandTerms, TermsKind
from hf_gate.core.policy_model import Action, FactEnd, Policy, Rule, Until
from hf_gate.policies.expressions.expressions import BoundFacts, Condition, evaluate_condition

from .opinions import Branch, EvaluationTime, combine_opinions, ends_of, grant_end, opinion_of_rule, terms_of

AcceptMatch: TypeAlias = tuple[int | None, tuple[str, ...]]
"""The index of the accept rule that holds (None: no rule), and the facts that are missing if that is unknown."""

NO_ACCEPT: Final[AcceptMatch] = (None, ())


class AcceptRules(Struct, frozen=True):
    """The accept rules of a policy, in order, with their conditions."""

    indexes: tuple[int, ...]
    conditions: tuple[Condition, ...]


def find_accept_rules(policy: Policy, conditions: Sequence[Condition]) -> AcceptRules | None:
    """Return the accept rules of a policy; None if none of them limits the access."""
    indexes = tuple(index for index, rule in enumerate(policy.rules) if rule.then is Action.ACCEPT)
    if not any(has_end_terms(policy.rules[index]) for index in indexes):
        return None
    return AcceptRules(indexes, tuple(conditions[index] for index in indexes))


def has_end_terms(rule: Rule) -> bool:
    """Tell whether access that this rule gives can end."""
    return rule.until is not None or rule.keep_while is not None


def find_accept_match(
    rules: AcceptRules, bound: BoundFacts, unknown: Sequence[Branch], matched: Branch | None
) -> AcceptMatch:
    """Return the first accept rule that holds. Rules before `matched` that are not `unknown` are certainly false."""
    if matched is not None and not unknown and matched.rule_index in rules.indexes:
        return matched.rule_index, ()
    for index, condition in zip(rules.indexes, rules.conditions, strict=True):
        truth = evaluate_condition(condition, bound)
        if truth.value is None:
            return None, tuple(sorted(truth.missing)) or ("an error in a rule",)
        if truth.value:
            return index, ()
    return NO_ACCEPT


def terms_by_hand(found: Sequence[tuple[Policy, AcceptMatch]], moment: EvaluationTime) -> HandTerms:
    """Return the terms of the accept rules that hold: the earliest end, the strictest action then, and
    all conditions.
    """
    missing = sorted({name for _, (_, names) in found for name in names})
    if missing:
        return HandTerms(TermsKind.UNKNOWN, missing=tuple(missing))
    opinions = [
        opinion_of_rule(policy, match[0], Action.ACCEPT, moment) for policy, match in found if match[0] is not None
    ]
    verdict = combine_opinions(opinions, moment.now, moment.zone)
    ends = ends_of(verdict)
    document = terms_of(verdict)
    if not ends and document is None:
        return NO_HAND_TERMS
    unknown = sorted({end.name for end in ends if isinstance(end, FactEnd) and end.at is None})
    if unknown:
        return HandTerms(TermsKind.UNKNOWN, missing=tuple(unknown))
    kind = TermsKind.END
    if verdict.unmet:
        kind = TermsKind.FALSE
    elif any(grant_end(end, moment.now, moment.zone) <= moment.now for end in ends):
        kind = TermsKind.PAST
    first = min(
        (opinion for opinion in opinions if opinion.until is not None or opinion.keep_while),
        key=lambda one: (_end_or_never(one.until, moment), one.policy),
    )
    end = AccessEnd(
        ",".join(sorted({str(end) for end in ends})) or None,
        rule=f"{first.policy}/{first.rule}" if kind is not TermsKind.FALSE else verdict.unmet[0],
        terms=document,
    )
    if verdict.at_end is not None:
        end = replace(end, at_end=str(verdict.at_end))
    return HandTerms(kind, end, digest=None if document is None else document.digest)


def _end_or_never(until: Until | None, moment: EvaluationTime) -> datetime:
    return grant_end(until, moment.now, moment.zone) if until is not None else datetime.max.replace(tzinfo=UTC)
