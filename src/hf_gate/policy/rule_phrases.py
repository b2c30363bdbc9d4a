"""Puts whole conditions and rules into words: `university address, account older than 30 days and clear purpose`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from ..domain.display_text import join_words
from .expression_tokens import SourceToken, find_tokens_outside_brackets, is_wrapped, negated_tokens, tokenize
from .model import Action, Policy, Rule
from .phrases import describe_expression, quote_expression
from .policy_digest import normalize_expression

MAX_PARTS: Final = 12  # the most tests of one condition in words; longer conditions are shown as code
ACTION_WORDS: Final[Mapping[Action, str]] = {
    Action.ACCEPT: "Accept", Action.HUMAN: "Needs review", Action.WAIT: "On hold", Action.RESET: "Send back",
    Action.REJECT: "Reject",
}  # fmt: skip
_CATCH_ALL: Final = {
    Action.ACCEPT: "accept {}.", Action.HUMAN: "{} needs review.", Action.WAIT: "{} is on hold.",
    Action.RESET: "send back {}.", Action.REJECT: "reject {}.",
}  # fmt: skip


class ConditionTree(Struct, frozen=True):
    """A condition as `&&`, `||` and `!` of other conditions; `op` is "" for a single test, whose text is `source`."""

    source: str
    op: str = ""
    parts: tuple[ConditionTree, ...] = ()


@lru_cache(maxsize=1024)
def parse_condition_tree(source: str) -> ConditionTree:
    """Split a condition at its logical operators. A part with a `?:` is not split."""
    return _split(tokenize(source).tokens, source)


def describe_when(source: str, lets: Mapping[str, str], *, holds: bool = True) -> str:
    """Describe a condition in words, with `let` names replaced by their conditions; parts without words are shown as code."""
    words = _describe(parse_condition_tree(source), lets, holds=holds, depth=0)
    return words if words is not None else describe_expression(source, holds=holds)


def describe_rule_conditions(rule: Rule, lets: Mapping[str, str]) -> tuple[str, ...]:
    """Describe what must be the case for a rule to match, with one entry for each condition joined by `&&`."""
    trees = [(tree, True) for tree in _conjuncts(rule.when)] + ([(parse_condition_tree(rule.unless), False)] if rule.unless else [])  # fmt: skip
    return tuple(describe_when(tree.source, lets, holds=holds) for tree, holds in trees)


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


def _conjuncts(source: str | None) -> Sequence[ConditionTree]:
    if source is None:
        return ()
    tree = parse_condition_tree(source)
    return tree.parts if tree.op == "&&" else (tree,)


def _describe(tree: ConditionTree, lets: Mapping[str, str], *, holds: bool, depth: int) -> str | None:
    """Describe a tree in words; None if a part has no words, or if the result is too long to read."""
    if tree.op == "!":
        return _describe(tree.parts[0], lets, holds=not holds, depth=depth)
    if not tree.op:
        name = tree.source.strip()
        if name in lets and depth < MAX_PARTS:
            inner = _describe(parse_condition_tree(lets[name]), lets, holds=holds, depth=depth + 1)
            has_words = inner is not None and "`" not in inner
            return inner if has_words else ("" if holds else "not ") + quote_expression(name)
        words = describe_expression(tree.source, holds=holds)
        return None if "`" in words else words
    if sum(1 for _ in _leaves(tree)) > MAX_PARTS:
        return None
    found = [
        _describe(part, lets, holds=holds, depth=depth + 1) or describe_expression(part.source, holds=holds)
        for part in tree.parts
    ]
    if (tree.op == "&&") is holds:
        return join_words(found, "and")
    if any(" and " in each for each in found):
        return ("either " if depth else "") + ", or ".join(found)
    return ("either " if depth else "") + join_words(found, "or")


def _leaves(tree: ConditionTree) -> Iterator[ConditionTree]:
    if not tree.parts:
        yield tree
    for part in tree.parts:
        yield from _leaves(part)


# ---- splitting -------------------------------------------------------------------------------------------------------


def _split(tokens: Sequence[SourceToken], source: str) -> ConditionTree:
    text = normalize_expression(source[tokens[0].start : tokens[-1].end] if tokens else source)
    outside = find_tokens_outside_brackets(tokens)
    if any(tokens[index].text == "?" for index in outside):
        return ConditionTree(text)
    for op in ("||", "&&"):
        cuts = [index for index in outside if tokens[index].text == op]
        if cuts:
            bounds = zip([-1, *cuts], [*cuts, len(tokens)], strict=True)
            return ConditionTree(text, op, tuple(_split(tokens[a + 1 : b], source) for a, b in bounds))
    if is_wrapped(tokens):
        return _split(tokens[1:-1], source)
    if (inner := negated_tokens(tokens)) is not None:
        return ConditionTree(text, "!", (_split(inner, source),))
    return ConditionTree(text)
