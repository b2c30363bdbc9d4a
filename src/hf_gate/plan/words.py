"""Says in words what a plan does, and why: `117 people get access, 218 are sent back, 974 stay with you`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from ..domain.display_text import pluralize
from ..domain.runs import ChangeOrigin
from ..policy.fact_conditions import parse_fact_condition
from ..policy.model import Policy
from ..policy.phrases import describe_expression, describe_value
from ..policy.rule_phrases import describe_rule_of
from .model import Change, ChangeReason

_EFFECTS: Final = {
    "accept": ("gets access", "get access"),
    "reset": ("is sent back", "are sent back"),
    "reject": ("is rejected", "are rejected"),
    "cancel": ("returns to pending", "return to pending"),
    "remove": ("loses access", "lose access"),
}
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
        found.append(f"{pluralize(staying, 'stays', 'stay')} with you")
    return ", ".join(found)


def describe_change_rule(change: Change, policies: Iterable[Policy]) -> str:
    """Return the rule behind a change as a sentence; empty if no policy has this version of the rule."""
    if change.policy:
        return describe_rule_of(policies, change.policy, change.policy_digest, change.rule)
    return _ORIGINS.get(ChangeOrigin(change.rule), "") if change.rule in set(ChangeOrigin) else ""


def describe_reason(reason: ChangeReason) -> str:
    """Return in words what the rule found, or what its expression says; the expression itself if there are no words."""
    condition = parse_fact_condition(reason.expr)
    value = None if condition is None or condition.key or condition.has_size else reason.facts.get(condition.fact)
    words = describe_expression(reason.expr, holds=reason.value is not False)
    if condition is not None and condition.fact.endswith(".quality") and "`" not in words:
        return words  # "too little written about use" is no reason to accept where "thin" is enough
    found = describe_value(condition.fact, value) if condition and isinstance(value, bool | int | str) else None
    return found or words
