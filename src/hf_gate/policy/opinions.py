"""What one policy says once its rules were tried: the ways that an unknown rule leaves open, and what they agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from .combine import end_of, strictest
from .expressions import Truth
from .model import STRICTNESS, Action, Facts, Opinion, Policy, Rule, Why


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is judged, since when the request waits (None: not known), and where days end."""

    now: datetime
    since: datetime | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Way:
    """One rule that may decide. `soft`: facts it lacks that are not yet known; `hard`: what no fetching settles."""

    place: int
    action: Action
    soft: frozenset[str] = frozenset()
    hard: frozenset[str] = frozenset()


def action_of(rule: Rule, moment: Moment) -> Action:
    """What the rule wants now: a `wait` whose time is up wants what stands in `after`."""
    if rule.then is Action.WAIT and rule.at_most and rule.after and moment.since is not None:
        return rule.after if rule.at_most.after(moment.since) <= moment.now else Action.WAIT
    return rule.then


def open_way(place: int, action: Action, rule: Rule, truth: Truth, facts: Facts) -> Way:
    """The way of a rule that came out unknown. A fact that nobody gave counts as unavailable."""
    soft = frozenset(name for name in truth.missing if name in facts and facts[name].why is Why.NOT_YET)
    hard = truth.missing - soft
    return Way(place, action, soft, hard | {f"rule {rule.id}"} if truth.error else hard)


def opinion_of(policy: Policy, ways: Sequence[Way], last: Way | None, moment: Moment) -> Opinion | None:
    """`ways`: the rules that came out unknown before `last`, the first that matched (None: none did)."""
    every = [*ways, last] if last else list(ways)
    actions = {way.action for way in every}
    if not every:
        return None
    if len(actions) == 1 and last:
        return _agreed(policy, every, moment)
    first, rule = every[0], policy.rules[every[0].place]
    possible = tuple(action for action in STRICTNESS if action in actions)
    deciding = _deciding(ways, last)
    opened = Opinion(
        policy.name, policy.digest, policy.mode, Action.HUMAN, rule.id, first.place, possible=possible, or_none=not last
    )
    if _may_settle(ways, last):
        needs = frozenset[str]().union(*(way.soft for way in deciding))
        return replace(opened, action=Action.WAIT, needs=tuple(sorted(needs)))
    missing = frozenset[str]().union(*(way.soft | way.hard for way in deciding))
    return replace(opened, missing=tuple(sorted(missing)))


def _deciding(ways: Sequence[Way], last: Way | None) -> list[Way]:
    """Those from which on not all lead to the same: only what they lack can change the outcome."""
    onwards: set[Action | None] = {last.action if last else None}
    found = []
    for way in reversed(ways):
        onwards.add(way.action)
        if len(onwards) > 1:
            found.append(way)
    return found


def _may_settle(ways: Sequence[Way], last: Way | None) -> bool:
    """Whether facts that can be fetched may leave ways that all agree; what cannot be fetched stays open."""
    if not any(way.soft for way in ways):
        return False
    kept: set[Action | None] = set()
    for way in ways:
        if way.soft and kept <= {way.action}:
            return True
        if not way.soft:
            kept.add(way.action)
        if len(kept) > 1:
            return False
    return kept <= {last.action if last else None}


# ---- terms -----------------------------------------------------------------------------------------------------------------


def _agreed(policy: Policy, ways: Sequence[Way], moment: Moment) -> Opinion:
    """All ways lead to one action: that, with the strictest terms of all these rules."""
    rules = [policy.rules[way.place] for way in ways]
    place = _strictest_place(ways, rules, moment)
    rule, action = policy.rules[place], ways[-1].action
    first = _plain(policy, rule, place, action)
    if len(ways) == 1:
        return first
    at_end = strictest(each.at_end for each in map(_ending, rules) if each.at_end) if action is Action.ACCEPT else None
    return replace(
        first,
        at_end=at_end,
        end_reason=next((each.end_reason for each in map(_ending, rules) if at_end and each.at_end is at_end), None),
        due=min((each.due for each in rules if each.due), key=lambda due: due.after(moment.now), default=None),
        priority=min((each.priority for each in rules if each.priority), default=None),
        reviewers=max(each.reviewers for each in rules),
        at_most=min((each.at_most for each in rules if each.at_most), key=lambda each: each.after(moment.now))
        if action is Action.WAIT
        else None,
        after=strictest(each.after for each in rules if each.after) if action is Action.WAIT else None,
    )


def _strictest_place(ways: Sequence[Way], rules: Sequence[Rule], moment: Moment) -> int:
    """Of the rule that ends first; where none does, of the one that surely matched."""
    ends = [
        (end_of(rule.until, moment.now, moment.zone), -way.place)
        for way, rule in zip(ways, rules, strict=True)
        if rule.until is not None
    ]
    return -min(ends)[1] if ends else ways[-1].place


def _ending(rule: Rule) -> Rule:
    """With what `at_end` means when it is not written."""
    return rule if rule.until is None or rule.at_end else replace(rule, at_end=Action.RESET)


def _plain(policy: Policy, rule: Rule, place: int, action: Action) -> Opinion:
    """What one rule wants, with its own terms."""
    accepts, waits, ending = action is Action.ACCEPT, action is Action.WAIT, _ending(rule)
    return Opinion(
        policy.name,
        policy.digest,
        policy.mode,
        action,
        rule.id,
        place,
        reason=reason_of(rule) if action in (Action.REJECT, Action.RESET, Action.WAIT) else None,
        until=rule.until if accepts else None,
        at_end=ending.at_end if accepts else None,
        end_reason=rule.end_reason if accepts else None,
        queue=rule.queue,
        due=rule.due,
        priority=rule.priority,
        reviewers=rule.reviewers,
        at_most=rule.at_most if waits else None,
        after=rule.after if waits else None,
    )


def reason_of(rule: Rule) -> str | None:
    """As it is written, not filled in; of texts in several languages the English one, else the first."""
    if isinstance(rule.reason, Mapping):
        return rule.reason.get("en") or next(iter(rule.reason.values()), None)
    return rule.reason
