"""Renders a plan as text: changes by rule, examples, shadow verdicts, limits and totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.batches import group_pairs
from hf_gate.base.display_text import make_visible, pluralize
from hf_gate.core.changes import Change
from hf_gate.core.lifecycle import label_action
from hf_gate.core.policy_model import Policy

from .model import ENDS_UNDECIDED, GuardResult, Plan
from .words import describe_change_rule, describe_effects, describe_reasons

SHADOW: Final = "shadow/"
"""The prefix of summary keys that count shadow verdicts: `shadow/POLICY/ACTION`."""

_SIGNS: Final = {"accept": "+", "reject": "✗", "reset": "↺", "cancel": "·"}
_ACTIONS: Final = ("accept", "reset", "reject", "wait", "human")
_WOULD: Final = {"wait": "hold {:,}", "human": "leave {:,} to reviewers", "reset": "send back {:,}"}
_LEFT: Final = {
    "human": "are for you to decide",
    "accept_human": "of these matched an accept rule but need a person (two reviewers, or the end has passed)",
    ENDS_UNDECIDED: "would end by a condition that is unknown now",
    "wait": "wait until a fact is known or something outside hf-gate happens",
    "deferred": "deferred by a rate limit",
    "outdated": "decided by older policies: make a new plan with hf-gate plan",
    "remaining": "did not fit into this plan: apply it, then make the next plan",
}
_KEYS: Final = {
    "human": "needs review",
    "wait": "on hold",
    "accept_human": "needs review",
    ENDS_UNDECIDED: "ends",
}
_EXAMPLES: Final = 6
_LISTED: Final = 50  # the most changes that are all listed
_RULES: Final = 12


def render_plan(
    plan: Plan,
    zone: tzinfo,
    *,
    calls: int | None = None,
    policies: Sequence[Policy] = (),
    holds: Sequence[tuple[int, str]] = (),
) -> Iterator[str]:
    """Render a plan as lines, with the rules of these policies in words; hostile text is made visible and short.

    Days are days of `zone`. `holds` has for each rule how many requests it keeps on hold, and the rule in words.
    """
    if effects := describe_effects(plan.changes, plan.summary):
        yield f"{effects}."
    lines = [
        (
            _sign_of(changes[0]),
            f"{_describe_action(act)}, with access" if is_in else _describe_action(act),
            len(changes),
            _count_by_rule(changes),
        )
        for (is_in, act), changes in _group_by_action(plan.changes).items()
    ]
    lines += [
        (" ", _KEYS.get(key, key), plan.summary[key], words)
        for key, words in _LEFT.items()
        if plan.summary.get(key) and not (key == "wait" and holds)
    ]
    lines += [(" ", _KEYS["wait"], number, make_visible(words, one_line=True)) for number, words in holds]
    width = max((len(what) for _, what, *_ in lines if what != "remaining"), default=0)
    for sign, what, number, words in lines:
        yield f"  {sign} {what:<{max(width, 8)}}{number:>7,}   {words}"
    groups = _group_by_rule(plan.changes)
    firsts = [group[0] for group in groups]
    yield from _render_rules(firsts, policies)
    is_long = len(plan.changes) > _LISTED
    listed = firsts[:_EXAMPLES] if is_long else [change for group in groups for change in group]
    made_at = datetime.fromisoformat(plan.plan.made_at)
    yield from _render_examples("Examples" if is_long else "Changes", listed, made_at, zone)
    yield from render_shadow_actions(plan)
    limits = [_format_guard(guard) for guard in plan.guards if guard.value]
    if plan.changes and limits:
        typed = "" if all(guard.ok for guard in plan.guards) else f". To confirm, type the total: {len(plan.changes)}"
        yield f"Limits     {' · '.join(limits)}{typed}"
    yield _summary_line(plan, calls)


def _describe_action(action: str) -> str:
    return label_action(action).lower()


def _sign_of(change: Change) -> str:
    return "-" if change.verb == "remove" else _SIGNS[change.action]


def _group_by_action(changes: Iterable[Change]) -> dict[tuple[bool, str], list[Change]]:
    """Group changes by action: accepts first, removals of people with access last."""
    groups = group_pairs(((change.verb == "remove", change.action), change) for change in changes)
    order = list(_SIGNS)
    return dict(sorted(groups.items(), key=lambda pair: (pair[0][0], order.index(pair[0][1]))))


def render_shadow_actions(plan: Plan) -> Iterator[str]:
    """Render what policies in shadow mode would do."""
    found: dict[str, dict[str, int]] = {}
    for key, number in plan.summary.items():
        if key.startswith(SHADOW):
            policy, _, action = key.removeprefix(SHADOW).partition("/")
            found.setdefault(policy, {})[action] = number
    for policy, actions in sorted(found.items()):
        parts = ", ".join(
            _WOULD.get(action, f"{action} {{:,}}").format(actions[action]) for action in _ACTIONS if action in actions
        )
        yield f"Shadow     {policy} would {parts}. It changes nothing until its file has mode: enforce."


def _count_by_rule(changes: list[Change]) -> str:
    count = Counter(change.rule_label for change in changes)
    shown = [f"{make_visible(rule, one_line=True)} {number:,}" for rule, number in count.most_common(4)]
    return " · ".join(shown) + (f" · {len(count) - 4} more rules" if len(count) > 4 else "")


def _group_by_rule(changes: Iterable[Change]) -> list[list[Change]]:
    """Group changes by action and rule: accepts first, removals of people with access last, large groups first."""
    found: dict[tuple[bool, int, str], list[Change]] = {}
    order = list(_SIGNS)
    for change in changes:
        found.setdefault((change.verb == "remove", order.index(change.action), change.rule_label), []).append(change)
    return [found[key] for key in sorted(found, key=lambda key: (*key[:2], -len(found[key]), key[2]))]


def _render_rules(firsts: Sequence[Change], policies: Sequence[Policy]) -> Iterator[str]:
    """Render each rule that changes something as a sentence."""
    said = [(change, sentence) for change in firsts if (sentence := describe_change_rule(change, policies))]
    if said:
        yield "Rules"
    for change, sentence in said[:_RULES]:
        yield f"  {_sign_of(change)} {make_visible(f'{change.rule_label}: {sentence}', one_line=True)}"
    if len(said) > _RULES:
        yield f"    {len(said) - _RULES} more rules"


def _render_examples(title: str, changes: Sequence[Change], now: datetime, zone: tzinfo) -> Iterator[str]:
    """Render the people of changes and why, so that a reader can spot a wrong rule."""
    if changes:
        yield title
    for change in changes:
        why = make_visible(describe_reasons(change, now, zone), one_line=True)
        yield f"  {_sign_of(change)} {_describe_person(change)}  {change.rule}{f': {why}' if why else ''}"
        if change.reason:
            yield f'      "{make_visible(change.reason, one_line=True)}"'


def _describe_person(change: Change) -> str:
    return f"{make_visible(change.person_name, one_line=True)} at {change.repo_ref}"


def _format_guard(guard: GuardResult) -> str:
    if guard.name == "protected":
        return f"protected users left out {guard.value:,}"
    return f"{guard.name} {guard.value:,}{'' if guard.ok else f' (above {guard.limit:,})'}"


def summarize_changes(changes: Iterable[Change]) -> str:
    """Return `611 to accept, 9 to reset`."""
    groups = _group_by_action(changes)
    return ", ".join(
        f"{len(each):,} to {_describe_action(act)}{' (with access)' if is_in else ''}"
        for (is_in, act), each in groups.items()
    )


def render_changes(changes: Iterable[Change]) -> Iterator[str]:
    """Render one line for each change: action, person, repo and rule."""
    for change in changes:
        yield f"  {_sign_of(change)} {_describe_action(change.action)} {_describe_person(change)}  {change.rule}"


def _summary_line(plan: Plan, calls: int | None) -> str:
    parts = summarize_changes(plan.changes)
    if not parts:
        return "Plan: no changes."
    if ", " in parts:
        parts = f"{pluralize(len(plan.changes), 'change')} ({parts})"
    return f"Plan: {parts}." + (f"  About {pluralize(calls, 'call')}." if calls is not None else "")


def estimate_calls(plan: Plan) -> int:
    """Return the number of batch calls for the changes, with at most 100 changes in each call."""
    groups = Counter((c.repo_type, c.repo, c.after, c.reason) for c in plan.changes)
    return sum(-(-number // 100) for number in groups.values())


def format_validity(plan: Plan, now: datetime) -> str:
    """Return the plan's short digest and how long the plan is valid."""
    hours = (plan.expires_at - now).total_seconds() / 3600
    return (
        f"digest {plan.digest[:8]}, valid {hours:.0f}h"
        if hours >= 1
        else f"digest {plan.digest[:8]}, valid {hours * 60:.0f} min"
    )
