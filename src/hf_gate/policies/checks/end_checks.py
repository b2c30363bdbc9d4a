"""Checks the ends of access that a policy sets: facts in `until`, past dates, `keep_while` and `notice`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.parsing.strict_yaml import YamlDocument, nodes_of_rules, suggest, value_of
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import FactEnd, Policy, PolicyProblem, Rule
from hf_gate.policies.expressions.expressions import Expression
from hf_gate.policies.facts.fact_table import CelType, find_declaration

PROFILE_SOURCE = "profile"
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check_ends(
    document: YamlDocument,
    policy: Policy,
    declared: Mapping[str, CelType],
    conditions: Mapping[tuple[str, str], Expression],
    today: date | None,
) -> Iterator[PolicyProblem]:
    """Yield the problems of the ends in a policy. Without `today`, past dates are not reported."""
    nodes = nodes_of_rules(document)
    for rule in policy.rules:
        node = nodes.get(rule.id)
        until = value_of(node, "until")
        if isinstance(rule.until, FactEnd) and isinstance(until, Scalar):
            yield from _check_fact(document, rule, rule.until.name, until, declared)
        elif isinstance(rule.until, date) and today is not None and rule.until < today and until is not None:
            words = f"rule {rule.id}: `until` is in the past ({rule.until}); access would end before it starts."
            yield document.source.problem_at(until, "past_end", words, None, "Write a later date, or 1y.")
        yield from _check_notice(document, rule, value_of(node, "notice"), today)
        yield from _check_condition(document, rule, value_of(node, "keep_while"), conditions)


def _check_fact(
    document: YamlDocument, rule: Rule, name: str, node: Scalar, declared: Mapping[str, CelType]
) -> Iterator[PolicyProblem]:
    dates = sorted(each for each in declared if each.startswith("tables.") and declared[each] is CelType.TIMESTAMP)
    if name in dates:
        return
    if declared.get(name) is CelType.TIMESTAMP:
        words = f"rule {rule.id}: `{name}` is never in the future; access would end before it starts."
    elif name in declared:
        words = f"rule {rule.id}: `{name}` is not a date, so access cannot end with it."
    else:
        words = (
            f"rule {rule.id}: `until` takes a date, a duration or the name of a fact; there is no fact `{name[:40]}`."
        )
    near = f"{name}.expires" if f"{name}.expires" in dates else suggest(name, dates)
    hint = f"Did you mean `{near}`?" if near else _hint(dates)
    yield document.source.problem_at(node, "bad_until", words, near, hint)


def _hint(dates: list[str]) -> str:
    return (
        f"Write {dates[0]}, 1y, or a date such as 2027-06-30." if dates else "Write 1y, or a date such as 2027-06-30."
    )


def _check_notice(document: YamlDocument, rule: Rule, node: Node | None, today: date | None) -> Iterator[PolicyProblem]:
    """Report a notice that is due before the access starts."""
    if node is None or not rule.notice:
        return
    start = _ANY_DAY if today is None else datetime(today.year, today.month, today.day, tzinfo=UTC)
    if isinstance(rule.until, Duration):
        end = rule.until.after(start)
    elif isinstance(rule.until, date) and today is not None and rule.until >= today:
        end = datetime(rule.until.year, rule.until.month, rule.until.day, 23, 59, tzinfo=UTC)
    else:
        return
    early = next((step for step in rule.notice if step.after(start) > end), None)
    if early is not None:
        words = f"rule {rule.id}: a notice {early} before the end is due before access starts."
        yield document.source.problem_at(node, "early_notice", words, None, "Write a shorter time, or remove it.")


def _check_condition(
    document: YamlDocument, rule: Rule, node: Node | None, conditions: Mapping[tuple[str, str], Expression]
) -> Iterator[PolicyProblem]:
    """Report a condition on facts from profiles, because profiles are not read again after an acceptance."""
    keep = conditions.get((rule.id, "keep_while"))
    if keep is None or node is None:
        return
    found = ((name, find_declaration(name)) for name in sorted(keep.facts))
    name = next((name for name, known in found if known is not None and known.source == PROFILE_SOURCE), None)
    if name is not None:
        words = f"rule {rule.id}: `keep_while` cannot use {name}: profiles are not read again after an acceptance."
        yield document.source.problem_at(node, "profile_in_keep_while", words, None, "Use it in `when`.")
