"""Warns about probable mistakes in valid policies, such as rules that never match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hf_gate.base.yaml_parser import Node, Scalar
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.strict_yaml import YamlDocument, nodes_of_lets, nodes_of_rules, pair_of, position_of, value_of
from hf_gate.core.policy_model import Action, FactEnd, Policy, PolicyProblem, Rule, SourcePosition
from hf_gate.policies.expressions.constant_conditions import is_always_true, is_never_true
from hf_gate.policies.expressions.expression_parser import normalize_expression
from hf_gate.policies.expressions.expressions import Expression
from hf_gate.policies.expressions.fact_conditions import IS_TRUE
from hf_gate.policies.facts.fact_table import tables_of

from .accept_requirements import AcceptRequirement, accept_requirements, is_claim

Conditions = Mapping[tuple[str, str], Expression]


def lint_policy(
    read: YamlDocument, policy: Policy, lets: Mapping[str, Expression], conditions: Conditions
) -> list[PolicyProblem]:
    """Return the warnings for a valid policy, with a `fix` if there is exactly one."""
    nodes = nodes_of_rules(read)
    return [
        *_rejects_on_claims(read, policy, nodes, conditions),
        *_dead_rules(policy, conditions),
        *_constant_conditions(read, policy, nodes, conditions),
        *_weak_accepts(policy, accept_requirements(policy, conditions)),
        *_unused_names(read, policy, lets, conditions),
        *_no_catch_all(policy),
        *_useless_accepts(policy),
        *_names_of_now(policy, conditions),
    ]


def _warning(policy: Policy, code: str, words: str, position: SourcePosition, hint: str = "") -> PolicyProblem:
    return PolicyProblem(code, words, policy.source, position, is_error=False, hint=hint)


# ---- rejects ---------------------------------------------------------------------------------------------------------


def _rejects_on_claims(
    read: YamlDocument, policy: Policy, nodes: Mapping[str, Node], conditions: Conditions
) -> Iterator[PolicyProblem]:
    """Warn about rejects that depend on claims: a rejected person cannot request access again."""
    for rule in policy.rules:
        for key, then in (("then", rule.then), ("after", rule.after)):
            node = value_of(nodes.get(rule.id), key)
            if then is not Action.REJECT or not isinstance(node, Scalar):
                continue
            claimed = ", ".join(name for name in sorted(_facts_of(rule, conditions)) if is_claim(name))
            if not claimed:
                continue
            words = f"rule {rule.id}: `{key}: reject` is final, but depends on the requester's own claims ({claimed})."
            hint = "Did you mean reset? It lets them request access again."
            yield read.source.problem_at(node, "reject_on_claims", words, "reset", hint, is_error=False)


def _facts_of(rule: Rule, conditions: Conditions) -> frozenset[str]:
    parts = (conditions.get((rule.id, key)) for key in ("when", "unless"))
    return frozenset[str]().union(*(part.facts for part in parts if part is not None))


# ---- rules that never match ------------------------------------------------------------------------------------------


def _dead_rules(policy: Policy, conditions: Conditions) -> Iterator[PolicyProblem]:
    earlier: dict[str, str] = {}
    for number, rule in enumerate(policy.rules):
        if _is_always(rule, conditions):
            if rule.when in (None, "true") and number + 1 < len(policy.rules):
                behind = ", ".join(each.id for each in policy.rules[number + 1 :][:4])
                words = f"rule {rule.id} matches every request, so the rules below it never match: {behind}."
                hint = f"Move {rule.id} to the end, or add a `when`."
                yield _warning(policy, "dead_rule", words, rule.position, hint)
            return
        when = conditions.get((rule.id, "when"))
        if when is None:
            continue
        here = normalize_expression(when.source)
        if here in earlier:
            words = f"rule {rule.id} never matches: rule {earlier[here]} above matches the same requests."
            yield _warning(
                policy, "dead_rule", words, rule.key_positions.get("when", rule.position), "Remove one of the two."
            )
        if rule.unless is None:
            for part in (when, *(when.parts if when.op == "||" else ())):
                earlier.setdefault(normalize_expression(part.source), rule.id)


def _is_always(rule: Rule, conditions: Conditions) -> bool:
    when = conditions.get((rule.id, "when"))
    unless = conditions.get((rule.id, "unless"))
    return (when is None or is_always_true(when)) and (unless is None or is_never_true(unless))


def _constant_conditions(
    read: YamlDocument, policy: Policy, nodes: Mapping[str, Node], conditions: Conditions
) -> Iterator[PolicyProblem]:
    for rule in policy.rules:
        for key in ("when", "unless"):
            condition = conditions.get((rule.id, key))
            node = value_of(nodes.get(rule.id), key)
            if condition is None or not isinstance(node, Scalar):
                continue
            if is_never_true(condition):
                effect = "the rule never matches" if key == "when" else "it excludes nobody"
                fix = _or_for_and(condition)
                hint = f"Did you mean `{fix}`?" if fix else ""
                words = f"rule {rule.id}: `{key}` can never be true, so {effect}."
                yield read.source.problem_at(node, "dead_rule", words, fix, hint, is_error=False)
            elif is_always_true(condition) and normalize_expression(condition.source) != "true":
                fix = _and_for_or(condition)
                hint = f"Did you mean `{fix}`?" if fix else "Remove it."
                words = f"rule {rule.id}: `{key}` is always true."
                yield read.source.problem_at(node, "always_true", words, fix, hint, is_error=False)


def _or_for_and(condition: Expression) -> str | None:
    """Return the fix for `x == "a" && x == "b"`, which was meant as `||`."""
    if condition.op != "&&" or any(part.op or is_never_true(part) or not _is_equal(part) for part in condition.parts):
        return None
    return " || ".join(part.source for part in condition.parts)


def _is_equal(part: Expression) -> bool:
    return all(comparison.op in ("==", "in", IS_TRUE) for comparison in part.comparisons)


def _and_for_or(condition: Expression) -> str | None:
    """Return the fix for `x != "a" || x != "b"`, which was meant as `&&`."""
    if condition.op != "||" or any(part.op or is_always_true(part) for part in condition.parts):
        return None
    return " && ".join(part.source for part in condition.parts)


# ---- accepts and the catch-all rule ----------------------------------------------------------------------------------


def _weak_accepts(policy: Policy, requirements: tuple[AcceptRequirement, ...]) -> Iterator[PolicyProblem]:
    for requirement in requirements:
        rule = next(each for each in policy.rules if each.id == requirement.rule)
        if requirement.trust is None:
            words = f"rule {requirement.rule} accepts everybody without any condition."
            yield _warning(
                policy, "accepts_everybody", words, rule.position, "This suits an open model; otherwise add a `when`."
            )
        elif requirement.is_weak:
            words = f"rule {requirement.rule} accepts on {requirement}."
            hint = "Also require an e-mail domain, a verified organisation or one of your tables."
            yield _warning(policy, "accepts_on_claims", words, rule.position, hint)


def _no_catch_all(policy: Policy) -> Iterator[PolicyProblem]:
    if all(rule.then is Action.REJECT for rule in policy.rules) and Status.ACCEPTED in policy.judges:
        return  # a deny list: a rule for all others would overrule the other policies
    if all(rule.when is not None or rule.unless is not None for rule in policy.rules):
        words = "no catch-all rule: the policy has no opinion on requests that match no rule."
        yield _warning(
            policy,
            "no_catch_all",
            words,
            policy.rules[-1].position,
            "End with `- id: rest` and `then: human`.",
        )


def _useless_accepts(policy: Policy) -> Iterator[PolicyProblem]:
    if set(policy.judges) == {Status.ACCEPTED} and any(rule.then is Action.ACCEPT for rule in policy.rules):
        rule = next(rule for rule in policy.rules if rule.then is Action.ACCEPT)
        words = f"rule {rule.id} accepts, but the policy covers only accepted people: it has no effect."
        yield _warning(policy, "dead_rule", words, rule.position, "Add pending to `judges`.")


def _names_of_now(policy: Policy, conditions: Conditions) -> Iterator[PolicyProblem]:
    """Warn about rules that use `now` for every request: each turn evaluates them all."""
    for rule in policy.rules:
        key = next((key for key in ("when", "unless") if _always_needs_now(conditions.get((rule.id, key)))), None)
        if key is not None:
            words = f"rule {rule.id} uses `now`, so each turn of `hf-gate run` evaluates every request."
            hint = "Use a fact that counts days, such as request.age_days, or put a condition and `&&` before it."
            yield _warning(policy, "uses_now", words, rule.key_positions.get(key, rule.position), hint)


def _always_needs_now(condition: Expression | None) -> bool:
    """Tell whether a condition uses `now` and has no other part that can make it false alone."""
    if condition is None or "now" not in condition.facts:
        return False
    return condition.op != "&&" or all("now" in part.facts for part in condition.parts)


# ---- unused names ----------------------------------------------------------------------------------------------------


def _unused_names(
    read: YamlDocument, policy: Policy, lets: Mapping[str, Expression], conditions: Conditions
) -> Iterator[PolicyProblem]:
    used = frozenset[str]().union(*(_used_lets(condition) for condition in conditions.values()))
    for name, node in nodes_of_lets(read).items():
        if name in lets and name not in used:
            yield _warning(policy, "unused", f"no rule uses let {name}.", position_of(node), "Remove it.")
    ends = {rule.until.name for rule in policy.rules if isinstance(rule.until, FactEnd)}
    used_tables = tables_of(ends.union(*(condition.facts for condition in conditions.values())))
    tables = value_of(read.root, "tables")
    for table in policy.tables:
        pair = pair_of(tables, table.name)
        if pair and table.name not in used_tables:
            yield _warning(policy, "unused", f"no rule uses table {table.name}.", position_of(pair[0]), "Remove it.")


def _used_lets(expression: Expression) -> frozenset[str]:
    below = (_used_lets(let) for let in expression.used_lets.values())
    return frozenset(expression.used_lets).union(*below)
