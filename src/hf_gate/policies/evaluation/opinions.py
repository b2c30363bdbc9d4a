"""Combines rule results into the opinion of a policy, and opinions into the verdict of a repo.

The strictest opinion wins. A rule with an unknown result leaves two branches open; if all branches agree, their
action is the opinion. Without any opinion, a request needs review.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import Duration, GrantCondition, GrantTerms, end_of_day
from hf_gate.core.policy_model import (
    STRICTNESS,
    Abstention,
    Action,
    FactEnd,
    Facts,
    Opinion,
    Policy,
    PolicyMode,
    Rule,
    TruthValue,
    UnknownReason,
    Until,
    Verdict,
    WaitEnd,
)
from hf_gate.policies.parsing.policy_digest import lets_in


class EvaluationTime(Struct, frozen=True):
    """The time of an evaluation, the start of the request's wait (None if unknown), and the time zone.

    `ends` has the known values of the facts that `until` names; `kept` has the rules whose `keep_while` is true, as
    policy and rule.
    """

    now: datetime
    since: datetime | None
    zone: tzinfo
    ends: Mapping[str, datetime] = field(default_factory=dict)
    kept: frozenset[tuple[str, str]] = frozenset()


class Branch(Struct, frozen=True):
    """A rule that may decide. `pending` facts can still be fetched; `unavailable` facts and errors cannot."""

    rule_index: int
    action: Action
    pending: frozenset[str] = frozenset()
    unavailable: frozenset[str] = frozenset()


def find_wait_end(rule: Rule, moment: EvaluationTime) -> WaitEnd | None:
    """Return the end of a rule's wait; None if the rule does not wait, or the start is not known."""
    if rule.then is not Action.WAIT or not rule.at_most or not rule.after or moment.since is None:
        return None
    return WaitEnd(rule.at_most.after(moment.since), rule.after)


def current_action(rule: Rule, moment: EvaluationTime) -> Action:
    """Return the current action of a rule: what follows once the time of a `wait` is over."""
    end = find_wait_end(rule, moment)
    return rule.then if end is None or end.at > moment.now else end.action


def unknown_branch(rule_index: int, action: Action, rule: Rule, truth: TruthValue, facts: Facts) -> Branch:
    """Return the branch of an unknown rule. A fact that was not passed counts as unavailable."""
    soft = frozenset(name for name in truth.missing if name in facts and facts[name].why is UnknownReason.NOT_YET)
    hard = truth.missing - soft
    return Branch(rule_index, action, soft, hard | {f"rule {rule.id}"} if truth.error else hard)


def form_opinion(
    policy: Policy, unknown: Sequence[Branch], matched: Branch | None, moment: EvaluationTime
) -> Opinion | None:
    """Return the opinion of a policy; None if no branch is left.

    `unknown` are the unknown rules before `matched`, the first rule that matched (None if no rule matched).
    """
    branches = [*unknown, matched] if matched else list(unknown)
    actions = {branch.action for branch in branches}
    if not branches:
        return None
    if len(actions) == 1 and matched:
        return _agreed_opinion(policy, branches, moment)
    first = branches[0]
    rule = policy.rules[branches[0].rule_index]
    possible = tuple(action for action in STRICTNESS if action in actions)
    deciding = _deciding_branches(unknown, matched)
    open_opinion = Opinion(
        policy.name,
        policy.digest,
        policy.mode,
        Action.HUMAN,
        rule.id,
        first.rule_index,
        possible=possible,
        can_abstain=not matched,
    )
    if _can_be_settled(unknown, matched):
        needs = frozenset[str]().union(*(branch.pending for branch in deciding))
        return replace(open_opinion, action=Action.WAIT, needs=tuple(sorted(needs)))
    missing = frozenset[str]().union(*(branch.pending | branch.unavailable for branch in deciding))
    return replace(open_opinion, missing=tuple(sorted(missing)))


def _deciding_branches(unknown: Sequence[Branch], matched: Branch | None) -> list[Branch]:
    """Return the branches whose missing facts can change the action."""
    later_actions: set[Action | None] = {matched.action if matched else None}
    found = []
    for branch in reversed(unknown):
        later_actions.add(branch.action)
        if len(later_actions) > 1:
            found.append(branch)
    return found


def _can_be_settled(unknown: Sequence[Branch], matched: Branch | None) -> bool:
    """Tell whether fetching the pending facts may make all branches agree."""
    if not any(branch.pending for branch in unknown):
        return False
    fixed_actions: set[Action | None] = set()
    for branch in unknown:
        if branch.pending and fixed_actions <= {branch.action}:
            return True
        if not branch.pending:
            fixed_actions.add(branch.action)
        if len(fixed_actions) > 1:
            return False
    return fixed_actions <= {matched.action if matched else None}


# ---- terms -----------------------------------------------------------------------------------------------------------


def _agreed_opinion(policy: Policy, branches: Sequence[Branch], moment: EvaluationTime) -> Opinion:
    """Return the opinion of branches with one action, with the strictest terms of their rules."""
    rules = [policy.rules[branch.rule_index] for branch in branches]
    rule_index = _strictest_rule_index(branches, rules, moment)
    action = branches[-1].action
    first = opinion_of_rule(policy, rule_index, action, moment)
    if len(branches) == 1:
        return first
    each_alone = [opinion_of_rule(policy, branch.rule_index, action, moment) for branch in branches]
    at_end = (
        strictest_action(each.at_end for each in map(_with_default_end, rules) if each.at_end)
        if action is Action.ACCEPT
        else None
    )
    return replace(
        first,
        at_end=at_end,
        end_reason=next(
            (each.end_reason for each in map(_with_default_end, rules) if at_end and each.at_end is at_end), None
        ),
        keep_while=_merge_conditions(each.keep_while for each in each_alone),
        unmet=_merge_names(each.unmet for each in each_alone),
        notice=_merge_notices(each.notice for each in each_alone),
        reviewers=max(rule.reviewers for rule in rules),
        at_most=min((rule.at_most for rule in rules if rule.at_most), key=lambda each: each.after(moment.now))
        if action is Action.WAIT
        else None,
        after=strictest_action(rule.after for rule in rules if rule.after) if action is Action.WAIT else None,
    )


def _strictest_rule_index(branches: Sequence[Branch], rules: Sequence[Rule], moment: EvaluationTime) -> int:
    """Return the index of the rule with the earliest end; if no rule has an end, of the rule that matched."""
    ends = [
        (grant_end(resolve_end(rule.until, moment), moment.now, moment.zone), -branch.rule_index)
        for branch, rule in zip(branches, rules, strict=True)
        if rule.until is not None
    ]
    return -min(ends)[1] if ends else branches[-1].rule_index


def _with_default_end(rule: Rule) -> Rule:
    """Return the rule with `at_end` set to its default, if it has an end."""
    has_end = rule.until is not None or rule.keep_while is not None
    return replace(rule, at_end=Action.RESET) if has_end and not rule.at_end else rule


def opinion_of_rule(policy: Policy, rule_index: int, action: Action, moment: EvaluationTime) -> Opinion:
    """Return the opinion of a single rule with its own terms."""
    rule = policy.rules[rule_index]
    accepts = action is Action.ACCEPT
    waits = action is Action.WAIT
    ending = _with_default_end(rule)
    is_unmet = rule.keep_while is not None and (policy.name, rule.id) not in moment.kept
    return Opinion(
        policy.name,
        policy.digest,
        policy.mode,
        action,
        rule.id,
        rule_index,
        reason=rule.reason if action in (Action.REJECT, Action.RESET, Action.WAIT) else None,
        until=resolve_end(rule.until, moment) if accepts and rule.until is not None else None,
        keep_while=_conditions_of(policy, rule) if accepts else (),
        unmet=(f"{policy.name}/{rule.id}",) if accepts and is_unmet else (),
        at_end=ending.at_end if accepts else None,
        end_reason=rule.end_reason if accepts else None,
        notice=rule.notice if accepts else (),
        reviewers=rule.reviewers,
        at_most=rule.at_most if waits else None,
        after=rule.after if waits else None,
    )


def _conditions_of(policy: Policy, rule: Rule) -> tuple[GrantCondition, ...]:
    if rule.keep_while is None:
        return ()
    lets = {name: policy.let[name] for name in policy.let if name in lets_in((rule.keep_while,), policy.let)}
    grace = None if rule.grace is None else str(rule.grace)
    return (GrantCondition(policy=policy.name, rule=rule.id, expr=rule.keep_while, lets=lets, grace=grace),)


def _merge_conditions(groups: Iterable[tuple[GrantCondition, ...]]) -> tuple[GrantCondition, ...]:
    found = {(each.policy, each.rule): each for group in groups for each in group}
    return tuple(found[key] for key in sorted(found))


def _merge_notices(groups: Iterable[tuple[Duration, ...]]) -> tuple[Duration, ...]:
    notices = {str(each): each for group in groups for each in group}
    return tuple(sorted(notices.values(), key=lambda each: (-each.months, -each.days)))


def resolve_end(until: Until, moment: EvaluationTime) -> Until:
    """Return the end with the value of its fact, if it names one that is known."""
    return replace(until, at=moment.ends.get(until.name)) if isinstance(until, FactEnd) else until


# ---- all policies of a repo ------------------------------------------------------------------------------------------


RANK: Mapping[Action, int] = MappingProxyType({action: rank for rank, action in enumerate(STRICTNESS)})
"""The rank of each action; 0 is the strictest."""

STATUS_AFTER: Mapping[tuple[Status, Action], Status] = MappingProxyType(
    {
        (Status.PENDING, Action.ACCEPT): Status.ACCEPTED,
        (Status.PENDING, Action.RESET): Status.RESET,
        (Status.PENDING, Action.REJECT): Status.REJECTED,
        (Status.ACCEPTED, Action.RESET): Status.RESET,
        (Status.ACCEPTED, Action.REJECT): Status.REJECTED,
    }
)
"""The status that a verdict gives a request. Other pairs change nothing."""

EVALUATED_STATUSES: tuple[Status, ...] = (Status.PENDING, Status.ACCEPTED)
NO_RULE = "none"


def strictest_action(actions: Iterable[Action]) -> Action | None:
    """Return the strictest action; None if there is none."""
    return min(actions, key=RANK.__getitem__, default=None)


def grant_end(until: Until, accepted: datetime, zone: tzinfo) -> datetime:
    """Return when access that is given at `accepted` ends; a date means the end of that day.

    An unknown fact counts as past, so that people decide about an acceptance.
    """
    if isinstance(until, FactEnd):
        return until.at or _LONG_AGO
    return end_of_day(until, zone) if isinstance(until, date) else until.after(accepted)


_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)


def earliest_end(untils: Iterable[Until | None], now: datetime, zone: tzinfo) -> Until | None:
    """Return the earliest end; None if there is none."""
    return min(
        (until for until in untils if until is not None), key=lambda each: grant_end(each, now, zone), default=None
    )


def why_people_decide(verdict: Verdict, now: datetime, zone: tzinfo) -> str | None:
    """Return why people must decide about an accept verdict; None if the policy may accept, or for other actions.

    Two reviewers are two people. If the end of access has passed, or a condition of `keep_while` is false, each turn
    would remove the access and give it again.
    """
    if verdict.action is not Action.ACCEPT:
        return None
    if verdict.reviewers > 1:
        return f"the rule requires {verdict.reviewers} reviewers"
    ends = ends_of(verdict)
    unknown = next((end for end in ends if isinstance(end, FactEnd) and end.at is None), None)
    if unknown is not None:
        return f"the end of access is unknown ({unknown})"
    over = next((end for end in ends if grant_end(end, now, zone) <= now), None)
    if over is not None:
        return f"access would have ended already ({over})"
    return f"the condition `keep_while` of rule {verdict.unmet[0]} is false or unknown" if verdict.unmet else None


def ends_of(verdict: Verdict) -> tuple[Until, ...]:
    """Return all ends of an accept verdict, of which the earliest applies."""
    return verdict.until_all or ((verdict.until,) if verdict.until is not None else ())


def terms_of(verdict: Verdict) -> GrantTerms | None:
    """Return what can move the end of the access that a verdict gives; None if nothing can."""
    ends = ends_of(verdict)
    facts = {end.name for end in ends if isinstance(end, FactEnd)}
    until = sorted({end.name if isinstance(end, FactEnd) else str(end) for end in ends}) if facts else ()
    terms = GrantTerms(until=tuple(until), keep_while=verdict.keep_while, notice=tuple(map(str, verdict.notice)))
    return terms if until or terms.keep_while or terms.notice else None


def is_waiting_for_facts(opinion: Opinion) -> bool:
    """Tell whether the opinion is open and waits for facts that can be fetched."""
    return bool(opinion.needs)


def combine_opinions(
    opinions: Sequence[Opinion], now: datetime, zone: tzinfo = UTC, *, abstaining: Iterable[Abstention] = ()
) -> Verdict:
    """Combine opinions, in any order, into one verdict. Shadow opinions are reported but do not count."""
    ordered = tuple(sorted(opinions, key=lambda opinion: opinion.policy))
    shadow = tuple(opinion for opinion in ordered if opinion.mode is PolicyMode.SHADOW)
    abstentions = tuple(sorted(abstaining, key=lambda each: each.policy))
    enforced = tuple(opinion for opinion in ordered if opinion.mode is PolicyMode.ENFORCE)
    if not enforced:
        return Verdict(Action.HUMAN, None, NO_RULE, shadow=shadow, abstentions=abstentions)
    counted = _relevant_opinions(enforced)
    action = strictest_action(opinion.action for opinion in counted) or Action.HUMAN
    agreeing = tuple(opinion for opinion in counted if opinion.action is action)
    verdict = _make_verdict(action, agreeing, counted, now, zone)
    return replace(verdict, opinions=enforced, shadow=shadow, abstentions=abstentions)


def _relevant_opinions(opinions: Sequence[Opinion]) -> tuple[Opinion, ...]:
    """Drop opinions that wait for facts and cannot become stricter than a settled opinion. An accept drops none."""
    settled = strictest_action(opinion.action for opinion in opinions if not is_waiting_for_facts(opinion))
    if settled is None or settled is Action.ACCEPT:
        return tuple(opinions)
    return tuple(
        opinion
        for opinion in opinions
        if not is_waiting_for_facts(opinion) or any(RANK[each] < RANK[settled] for each in opinion.possible)
    )


def _make_verdict(
    action: Action,
    agreeing: tuple[Opinion, ...],
    counted: tuple[Opinion, ...],
    now: datetime,
    zone: tzinfo,
) -> Verdict:
    first = agreeing[0]
    ends = tuple(each for opinion in agreeing for each in [opinion.until] if each is not None)
    at_end = strictest_action(each for opinion in agreeing for each in [opinion.at_end] if each is not None)
    open_ones = counted if action in (Action.WAIT, Action.HUMAN) else ()
    return Verdict(
        action,
        first.policy,
        first.rule,
        reason=first.reason,
        until=earliest_end(ends, now, zone),
        until_all=ends,
        keep_while=_merge_conditions(opinion.keep_while for opinion in agreeing),
        unmet=_merge_names(opinion.unmet for opinion in agreeing),
        notice=_merge_notices(opinion.notice for opinion in agreeing),
        at_end=at_end,
        end_reason=next((opinion.end_reason for opinion in agreeing if at_end and opinion.at_end is at_end), None),
        reviewers=max(opinion.reviewers for opinion in agreeing),
        needs=_merge_names(opinion.needs for opinion in open_ones if action is Action.WAIT),
        missing=_merge_names(opinion.missing for opinion in open_ones if action is Action.HUMAN),
        possible=tuple(
            each
            for each in STRICTNESS
            if any(each in opinion.possible for opinion in open_ones if opinion.action is action)
        ),
    )


def _merge_names(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for group in groups for name in group}))
