"""Describes the policies of a repo in sentences, for `policy show`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec.structs import replace

from hf_gate.base.display_text import join_words
from hf_gate.base.timestamps import format_day
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, FactEnd, Policy, PolicyMode, Rule, Until
from hf_gate.policies.expressions.expression_parser import normalize_expression
from hf_gate.policies.parsing.policy_digest import lets_in

from .phrases import quote_expression
from .rule_phrases import describe_rule, describe_when

_UNITS = {"d": "day", "mo": "month", "y": "year"}
_CONSEQUENCES = {
    Action.RESET: "; the person may request access again",
    Action.REJECT: "; the person cannot request access again",
}
_AFTER = {
    Action.RESET: "then sent back, and the person may request access again",
    Action.REJECT: "then rejected, and the person cannot request access again",
    Action.HUMAN: "then reviewed by a person",
}
_ENDS = {
    Action.RESET: "then access ends, and the person may request it again",
    Action.REJECT: "then access ends, and the person cannot request it again",
}


def describe_policies(policies: Iterable[Policy]) -> list[str]:
    """Describe each rule of each policy, and how the policies combine."""
    ordered = sorted(policies, key=lambda each: (each.mode is PolicyMode.SHADOW, each.name))
    found = [line for policy in ordered for line in describe_policy(policy)]
    counted = [policy for policy in ordered if policy.mode is PolicyMode.ENFORCE]
    if len(counted) > 1:
        found.append(
            "If these policies differ, the strictest wins: reject, then reset, wait, human, accept. "
            "The earliest end of access applies."
        )
    if any(not _has_catch_all(policy) for policy in counted) or not counted:
        found.append("A request that matches no rule needs review.")
    found.append("A request that depends on an unavailable fact needs review; it is never accepted.")
    return found


def describe_policy(policy: Policy) -> list[str]:
    """Describe one policy: first its scope, then each rule."""
    shadow = (
        " It is in shadow mode: its verdicts are recorded and change nothing."
        if policy.mode is PolicyMode.SHADOW
        else ""
    )
    covered = "pending requests" if Status.ACCEPTED not in policy.judges else "people with access"
    if set(policy.judges) == {Status.PENDING, Status.ACCEPTED}:
        covered = "pending requests, and people with access (it may reset or reject them),"
    repos = join_words([f"`{glob}`" for glob in policy.applies_to], "and")
    opening = f"Policy {policy.name} covers {covered} in {repos}; the first rule that matches decides.{shadow}"
    rules = (_describe_rule(rule, policy.let, is_first=number == 0) for number, rule in enumerate(policy.rules))
    return [opening, *rules]


def _has_catch_all(policy: Policy) -> bool:
    return any(rule.when is None and rule.unless is None for rule in policy.rules)


def _describe_rule(rule: Rule, let: Mapping[str, str], *, is_first: bool) -> str:
    """Describe a rule in the words of its card, with its terms, its reason and its own sentence."""
    lead = describe_rule(replace(rule, says=None), let, is_first=is_first).removesuffix(".")
    says = f" \u201c{rule.says}\u201d" if rule.says else ""
    names = _explain_names(rule, let, lead)
    after = _CONSEQUENCES.get(rule.then, "")
    return f"{lead}{names}{_describe_terms(rule, let)}{_describe_reason(rule)}{after} ({rule.id}).{says}"


def _explain_names(rule: Rule, let: Mapping[str, str], text: str) -> str:
    """Return the meaning of the names of `let` that the text shows as code, because their conditions have no words."""
    used = lets_in(filter(None, (rule.when, rule.unless)), let)
    names = [name for name in used if quote_expression(name) in text]
    means = join_words([f"{name} means `{normalize_expression(let[name])}`" for name in names], "and")
    return f" ({means})" if means else ""


def _describe_terms(rule: Rule, let: Mapping[str, str]) -> str:
    """Return how a rule acts: who decides, how long access lasts, and what follows."""
    if rule.then is Action.WAIT and rule.at_most and rule.after:
        return f", for at most {format_duration(rule.at_most)}, evaluated at each run; {_AFTER[rule.after]}"
    by_hand = " (never automatically)" if rule.then is Action.ACCEPT else ""
    terms = [f"by {rule.reviewers} reviewers{by_hand}"] if rule.reviewers > 1 else []
    lasting = [] if rule.until is None else [format_until(rule.until)]
    if rule.keep_while is not None:
        grace = f" and {format_duration(rule.grace)} longer" if rule.grace else ""
        lasting.append(f"while {describe_when(rule.keep_while, let)}{grace}")
    if lasting:
        terms.append(" ".join(lasting))
    words = "".join(f", {term}" for term in terms)
    if lasting:
        words += f"; {_ENDS[rule.at_end or Action.RESET]}"
    if rule.notice:
        times = join_words([format_duration(each) for each in rule.notice], "and")
        words += f"; the end is announced {times} before"
    return words


def _describe_reason(rule: Rule) -> str:
    parts = []
    if rule.reason_template:
        parts.append(f"with the template {rule.reason_template}")
    elif rule.reason:
        parts.append(f"with the reason \u201c{rule.reason}\u201d")
    if rule.end_reason:
        parts.append(f"at the end with the reason \u201c{rule.end_reason}\u201d")
    return f", {', '.join(parts)}" if parts else ""


def format_duration(span: Duration) -> str:
    """Format a duration: `30 days`, `6 months`, `1 year`."""
    text = str(span)
    number = text.rstrip("dwmoy")
    return f"{number} {_UNITS[text[len(number) :]]}{'' if number == '1' else 's'}"


def format_until(until: Until) -> str:
    """Format an end: `for 1 year`, `until 30 Jun 2027`, `until the date in tables.dua.expires`."""
    if isinstance(until, FactEnd):
        return f"until the date in {until.name}"
    return f"until {format_day(until)}" if isinstance(until, date) else f"for {format_duration(until)}"
