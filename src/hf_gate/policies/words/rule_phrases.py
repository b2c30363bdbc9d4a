"""Puts whole conditions and rules into words: `university address, account older than 30 days and clear purpose`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hf_gate.base.display_text import join_words
from hf_gate.core.lifecycle import label_action
from hf_gate.core.policy_model import Action, Policy, Rule
from hf_gate.policies.expressions.expression_parser import ExpressionNode, NodeKind, ParsedExpression, parse_expression
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.fact_conditions import read_condition

from .phrases import describe_condition, describe_expression, quote_expression

MAX_PARTS: Final = 12  # the most tests of one condition in words; longer conditions are shown as code
ACTION_WORDS: Final[Mapping[Action, str]] = {action: label_action(action) for action in reversed(Action)}
_CATCH_ALL: Final = {
    Action.ACCEPT: "accept {}.",
    Action.HUMAN: "{} needs review.",
    Action.WAIT: "{} is on hold.",
    Action.RESET: "send back {}.",
    Action.REJECT: "reject {}.",
}


def describe_when(source: str, lets: Mapping[str, str], *, holds: bool = True) -> str:
    """Describe a condition in words, with the conditions of `let` names; parts without words are shown as code."""
    try:
        parsed = parse_expression(source)
    except ExpressionProblem:
        return describe_expression(source, holds=holds)
    return _describe_part(parsed, parsed.root, lets, holds=holds)


def describe_rule_conditions(rule: Rule, lets: Mapping[str, str]) -> tuple[str, ...]:
    """Describe what must be the case for a rule to match, with one entry for each condition joined by `&&`."""
    conditions = [describe_when(source, lets) for source in _split(rule.when)]
    return (*conditions, *([describe_when(rule.unless, lets, holds=False)] if rule.unless else []))


def describe_rule(rule: Rule, lets: Mapping[str, str], *, is_first: bool = False) -> str:
    """Describe a rule in a sentence: `Accept when university address and clear purpose.`, or its own `says`."""
    if rule.says:
        return rule.says
    conditions = describe_rule_conditions(rule, lets)
    if not conditions:
        return _CATCH_ALL[rule.then].format("everybody" if is_first else "everybody else").capitalize()
    return f"{ACTION_WORDS[rule.then]} when {join_words(conditions, 'and')}."


def describe_rule_of(policies: Iterable[Policy], name: str | None, digest: str | None, rule: str) -> str:
    """Describe a rule in a sentence; empty if none of the policies is this version of its policy."""
    policy = next((one for one in policies if one.name == name and one.digest == digest), None)
    place = None if policy is None else next((n for n, one in enumerate(policy.rules) if one.id == rule), None)
    if policy is None or place is None:
        return ""
    return describe_rule(policy.rules[place], policy.let, is_first=place == 0)


def has_constant(words: str) -> bool:
    """Whether words of a rule hold a text of the policy, an address or a repo, which may name people or other repos."""
    return any(mark in words for mark in '\u201c"@/')


def _split(source: str | None) -> list[str]:
    """Return the conditions that are joined by `&&`; a text that is no expression as it is."""
    if source is None:
        return []
    try:
        parsed = parse_expression(source)
    except ExpressionProblem:
        return [source]
    return [parsed.text(node.start, node.end) for node in parsed.conjuncts]


def _describe_part(
    parsed: ParsedExpression, node: ExpressionNode, lets: Mapping[str, str], *, holds: bool, depth: int = 0
) -> str:
    """Describe a part of a condition; the part itself if it has no words, or too many to read."""
    words = _find_words(parsed, node, lets, holds=holds, depth=depth)
    return words or ("" if holds else "not ") + quote_expression(parsed.text(node.start, node.end))


def _find_words(
    parsed: ParsedExpression, node: ExpressionNode, lets: Mapping[str, str], *, holds: bool, depth: int
) -> str | None:
    if node.is_operator("!"):
        return _find_words(parsed, node.children[0], lets, holds=not holds, depth=depth)
    if not node.is_operator("&&", "||"):
        if node.name in lets and node.kind is NodeKind.NAME and depth < MAX_PARTS:
            inner = _find_let_words(lets[node.name], lets, holds=holds, depth=depth + 1)
            return inner if inner and "`" not in inner else ("" if holds else "not ") + quote_expression(node.name)
        condition = read_condition(node)
        return None if condition is None else describe_condition(condition, holds=holds)
    if _count_leaves(node) > MAX_PARTS:
        return None
    found = [_describe_part(parsed, child, lets, holds=holds, depth=depth + 1) for child in node.children]
    if (node.name == "&&") is holds:
        return join_words(found, "and")
    lead = "either " if depth else ""
    has_and = any(" and " in words for words in found)
    return lead + (", or ".join(found) if has_and else join_words(found, "or"))


def _find_let_words(source: str, lets: Mapping[str, str], *, holds: bool, depth: int) -> str | None:
    try:
        parsed = parse_expression(source)
    except ExpressionProblem:
        return None
    return _find_words(parsed, parsed.root, lets, holds=holds, depth=depth)


def _count_leaves(node: ExpressionNode) -> int:
    return sum(map(_count_leaves, node.children)) if node.is_operator("&&", "||", "!") else 1
