"""Says in words what a plan does, and why: `117 people get access, 218 are sent back, 974 need review`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import from_ms
from hf_gate.core.changes import Change, ChangeReason
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import describe_given_access
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.policy_model import Action, Policy
from hf_gate.core.runs import ChangeOrigin
from hf_gate.policies.words.descriptions import format_duration
from hf_gate.policies.words.phrases import describe_test
from hf_gate.policies.words.rule_phrases import describe_rule, describe_rule_of

from .model import END_EXPRESSION

_EFFECTS: Final = {
    "accept": ("gets access", "get access"),
    "reset": ("is sent back", "are sent back"),
    "reject": ("is rejected", "are rejected"),
    "cancel": ("returns to pending", "return to pending"),
    "remove": ("loses access", "lose access"),
}
_AFTER_HOLD: Final = {Action.RESET: "sent back", Action.REJECT: "rejected", Action.HUMAN: "a person decides"}
_ORIGINS: Final = {
    ChangeOrigin.DIRECT: "A person decided.",
    ChangeOrigin.GRANT: "A person gives access without a request.",
    ChangeOrigin.UNDO: "Goes back to the status before a run.",
    ChangeOrigin.UNTIL: "The access has reached its end date.",
}


def describe_effects(changes: Iterable[Change], summary: Mapping[str, int]) -> str:
    """Return how many requests each kind of change affects, and how many stay with people."""
    return describe_counts(Counter(change.verb for change in changes), count_staying(summary))


def count_staying(summary: Mapping[str, int]) -> int:
    """Return how many requests of a plan's summary a person has to decide."""
    return summary.get("human", 0)  # `accept_human` counts some of them


def describe_counts(counts: Mapping[str, int], staying: int = 0) -> str:
    """Return the same from the number of changes of each kind, and of the requests that stay with people."""
    parts = [(counts[verb], words) for verb, words in _EFFECTS.items() if counts.get(verb)]
    found = [f"{count:,} {words[count != 1]}" for count, words in parts]
    if found:
        number, _, rest = found[0].partition(" ")
        found[0] = f"{number} {'person' if parts[0][0] == 1 else 'people'} {rest}"
    if staying:
        found.append(f"{pluralize(staying, 'needs', 'need')} review")
    return ", ".join(found)


def describe_change_rule(change: Change, policies: Iterable[Policy]) -> str:
    """Return the rule behind a change as a sentence; empty if no policy has this version of the rule."""
    if change.policy:
        return describe_rule_of(policies, change.policy, change.policy_digest, change.rule)
    return _ORIGINS.get(ChangeOrigin(change.rule), "") if change.rule in set(ChangeOrigin) else ""


def describe_hold(policies: Iterable[Policy], policy: str, rule: str) -> str:
    """Return a rule that keeps requests on hold in words: `class/latecomer: not on the roster; sent back after 14d`."""
    found = next((each for one in policies if one.name == policy for each in one.rules if each.id == rule), None)
    lets = next((one.let for one in policies if one.name == policy), {})
    label = f"{policy}/{rule}"
    if found is None or found.then is not Action.WAIT:
        return f"{label}: waits until a fact is known"
    words = describe_rule(found, lets).rstrip(".")
    after = (
        f"; {_AFTER_HOLD[found.after]} after {format_duration(found.at_most)}" if found.after and found.at_most else ""
    )
    return f"{label}: {words}{after}"


def describe_reasons(change: Change, now: datetime, zone: tzinfo) -> str:
    """Return in words why a change is made, and when the access that it gives ends, if it does.

    The reasons are what the conditions of its rule found, or that the access ended.
    """
    reasons = [one for one in change.because if one.value]
    why = ", ".join(
        _describe_end(reason, zone)
        if reason.expr == END_EXPRESSION
        else describe_test(reason.expr, reason.facts, holds=True)
        for reason in reasons
    )
    has_end = change.after == Status.ACCEPTED and change.end is not None and not change.end.gives_none
    return "; ".join(filter(None, (why, describe_given_access(change.end, now, zone) if has_end else "")))


def _describe_end(reason: ChangeReason, zone: tzinfo) -> str:
    """Return `access ended on 28 Feb 2026, 99 days ago` for the end of a grant, with its last day."""
    until = reason.facts.get("until")
    late = reason.facts.get("days_late")
    day = f" on {format_last_day(from_ms(until), zone)}" if isinstance(until, int) else ""
    ago = f", {pluralize(late, 'day')} ago" if isinstance(late, int) and late else ""
    why = ", because a condition is false" if reason.facts.get("lapsed") else ""
    return f"access ended{day}{ago}{why}"
