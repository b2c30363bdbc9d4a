"""What all policies of a repo together say: the strictest opinion wins, and no opinion at all goes to a human."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, tzinfo
from types import MappingProxyType

from ..domain.grants import end_of_day
from ..domain.lifecycle import Status
from .model import STRICTNESS, Abstention, Action, Opinion, PolicyMode, Until, Verdict

RANK: Mapping[Action, int] = MappingProxyType({action: rank for rank, action in enumerate(STRICTNESS)})
"""0 is the strictest."""

STATUS_AFTER: Mapping[tuple[Status, Action], Status] = MappingProxyType(
    {
        (Status.PENDING, Action.ACCEPT): Status.ACCEPTED,
        (Status.PENDING, Action.RESET): Status.RESET,
        (Status.PENDING, Action.REJECT): Status.REJECTED,
        (Status.ACCEPTED, Action.RESET): Status.RESET,
        (Status.ACCEPTED, Action.REJECT): Status.REJECTED,
    }
)
"""Where a verdict moves a request; what does not stand here moves nothing. Rejected and reset ones are never judged."""

EVALUATED_STATUSES: tuple[Status, ...] = (Status.PENDING, Status.ACCEPTED)
NO_RULE = "none"


def strictest_action(actions: Iterable[Action]) -> Action | None:
    """None of none."""
    return min(actions, key=RANK.__getitem__, default=None)


def grant_end(until: Until, accepted: datetime, zone: tzinfo) -> datetime:
    """When a grant ends that is given at that moment; a date means the end of that day."""
    return end_of_day(until, zone) if isinstance(until, date) else until.after(accepted)


def earliest_end(untils: Iterable[Until | None], now: datetime, zone: tzinfo) -> Until | None:
    """The first end of those that there are."""
    return min((each for each in untils if each is not None), key=lambda each: grant_end(each, now, zone), default=None)


def why_people_decide(verdict: Verdict, now: datetime, zone: tzinfo) -> str | None:
    """Why an acceptance is none that a policy makes by itself, in words; None: it makes it, or it is no acceptance.

    Two reviewers are two people, and a grant whose end lies behind it would be ended by the next turn, and begin again.
    """
    if verdict.action is not Action.ACCEPT:
        return None
    if verdict.reviewers > 1:
        return f"the rule asks for {verdict.reviewers} reviewers"
    ends = verdict.until_all or ((verdict.until,) if verdict.until is not None else ())
    over = next((end for end in ends if grant_end(end, now, zone) <= now), None)
    return None if over is None else f"the access would be over already: it was to end with {over}"


def is_waiting_for_facts(opinion: Opinion) -> bool:
    """Whether it is open, and facts that can still be fetched may settle it."""
    return bool(opinion.needs)


def combine_opinions(
    opinions: Sequence[Opinion], now: datetime, zone: tzinfo = UTC, *, silent: Iterable[Abstention] = ()
) -> Verdict:
    """One verdict of all opinions, in any order. Opinions of shadow policies are reported beside and never counted."""
    said = tuple(sorted(opinions, key=lambda opinion: opinion.policy))
    shadow = tuple(opinion for opinion in said if opinion.mode is PolicyMode.SHADOW)
    mute = tuple(sorted(silent, key=lambda each: each.policy))
    enforced = tuple(opinion for opinion in said if opinion.mode is PolicyMode.ENFORCE)
    if not enforced:
        return Verdict(Action.HUMAN, None, NO_RULE, shadow=shadow, abstentions=mute)
    counted = _relevant_opinions(enforced)
    action = strictest_action(opinion.action for opinion in counted) or Action.HUMAN
    agreeing = tuple(opinion for opinion in counted if opinion.action is action)
    verdict = _make_verdict(action, agreeing, counted, now, zone)
    return replace(verdict, opinions=enforced, shadow=shadow, abstentions=mute)


def _relevant_opinions(opinions: Sequence[Opinion]) -> tuple[Opinion, ...]:
    """Without those that wait for facts which cannot make the others stricter. Beside an accept nothing is left out."""
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
        at_end=at_end,
        end_reason=next((opinion.end_reason for opinion in agreeing if at_end and opinion.at_end is at_end), None),
        queue=next((opinion.queue for opinion in agreeing if opinion.queue), None),
        due=min((each.due for each in agreeing if each.due), key=lambda due: due.after(now), default=None),
        priority=min((each.priority for each in agreeing if each.priority), default=None),
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
