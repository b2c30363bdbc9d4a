"""Traces a rule: the value and the facts of each expression, and the smallest changes that make the rule match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, product

from hf_gate.base.display_text import make_visible
from hf_gate.core.policy_model import ConditionFlip, ConditionTrace, Facts, Policy, Rule, RuleTrace, TruthValue
from hf_gate.policies.expressions.expressions import BoundFacts, Expression

MAX_WAYS = 3  # the most ways to match; the shortest are kept
_MAX_KEPT = 12  # the most candidates while combining
_MAX_COMBINATIONS = 64  # the most combinations tried

_Way = tuple[ConditionFlip, ...]


def trace_rule(
    policy: Policy,
    rule: Rule,
    condition: tuple[Expression | None, Expression | None],
    truth: TruthValue,
    bound: BoundFacts,
    facts: Facts,
) -> RuleTrace:
    """Return the trace of one rule: of its `when`, and of its negated `unless`."""
    when, unless = condition
    differ: tuple[_Way, ...] = ()
    if truth.value is not True:
        sides = [find_flips(when, wanted=True, bound=bound)] if when else []
        sides += [find_flips(unless, wanted=False, bound=bound)] if unless else []
        differ = tuple(way for way in _combine_ways(sides) if _would_match(condition, way, bound))[:MAX_WAYS]
    conditions = [trace_expression(when, bound, facts)] if when else []
    conditions += [_negate(trace_expression(unless, bound, facts))] if unless else []
    return RuleTrace(policy.name, rule.id, rule.then, truth.value, tuple(conditions), differ, rule.says, policy.let)


def _negate(inside: ConditionTrace) -> ConditionTrace:
    value = None if inside.value is None else not inside.value
    return ConditionTrace(f"!({inside.expr})", value, note=inside.note, parts=(inside,), op="!")


def trace_expression(expression: Expression, bound: BoundFacts, facts: Facts) -> ConditionTrace:
    """Trace an expression and its parts in source order; a `let` name is followed by its expression."""
    truth = expression.evaluate(bound)
    used = {name: facts[name] for name in sorted(expression.own_facts) if name in facts} if not expression.op else {}
    parts = tuple(trace_expression(part, bound, facts) for part in expression.parts)
    if not expression.op:
        parts = tuple(_trace_let(name, let, bound, facts) for name, let in expression.used_lets.items())
    return ConditionTrace(expression.source, truth.value, used, _unknown_note(truth, facts), parts, expression.op)


def _trace_let(name: str, let: Expression, bound: BoundFacts, facts: Facts) -> ConditionTrace:
    if let.type == "bool":
        inside = trace_expression(let, bound, facts)
        return inside if inside.parts else ConditionTrace(inside.expr, inside.value, inside.facts, inside.note)
    used = {fact: facts[fact] for fact in sorted(let.own_facts) if fact in facts}
    value = bound.values[name]
    shown = f"= {make_visible(str(value), one_line=True)}"
    note = _unknown_note(value, facts) if isinstance(value, TruthValue) else shown
    parts = tuple(_trace_let(below, used_let, bound, facts) for below, used_let in let.used_lets.items())
    return ConditionTrace(let.source, None, used, note, parts)


def _unknown_note(truth: TruthValue, facts: Facts) -> str:
    """Return why a value is unknown: the missing facts or the error; empty if the value is known."""
    if truth.value is not None:
        return ""
    reasons = [_describe_missing_fact(name, facts) for name in sorted(truth.missing)]
    if truth.error:
        reasons.append(f"error: {make_visible(truth.error, one_line=True)[:200]}")
    return "; ".join(reasons)


def _describe_missing_fact(name: str, facts: Facts) -> str:
    fact = facts.get(name)
    why = fact.why.value if fact is not None and fact.why is not None else "unavailable"
    return f"{name} {why}" + (f" ({make_visible(fact.note, one_line=True)})" if fact is not None and fact.note else "")


# ---- ways to match ---------------------------------------------------------------------------------------------------


def find_flips(expression: Expression, *, wanted: bool, bound: BoundFacts) -> tuple[_Way, ...]:
    """Return the shortest ways to give an expression the wanted value; `((),)` if it already has this value."""
    if expression.evaluate(bound).value is wanted:
        return ((),)
    match expression.op:
        case "!":
            return find_flips(expression.parts[0], wanted=not wanted, bound=bound)
        case "&&" | "||":
            parts = [find_flips(part, wanted=wanted, bound=bound) for part in expression.parts]
            needs_all = (expression.op == "&&") is wanted
            return _combine_ways(parts) if needs_all else _shortest(way for part in parts for way in part)
        case "?:":
            condition, yes, no = expression.parts
            ways = [
                _combine_ways(
                    [find_flips(condition, wanted=taken, bound=bound), find_flips(branch, wanted=wanted, bound=bound)]
                )
                for taken, branch in ((True, yes), (False, no))
            ]
            return _shortest(way for some in ways for way in some)
        case _:
            return _flip_leaf(expression, bound, wanted=wanted)


def _flip_leaf(expression: Expression, bound: BoundFacts, *, wanted: bool) -> tuple[_Way, ...]:
    let = _let_behind(expression)
    if let is not None:
        return find_flips(let, wanted=wanted, bound=bound)
    if expression.source in ("true", "false"):
        return ()  # a constant
    return ((ConditionFlip(expression.source, wanted),),)


def _let_behind(expression: Expression) -> Expression | None:
    """Return the boolean `let` if the leaf consists of its name."""
    let = expression.used_lets.get(expression.source)
    return let if let is not None and let.type == "bool" else None


def _would_match(condition: tuple[Expression | None, Expression | None], way: _Way, bound: BoundFacts) -> bool:
    """Tell whether the flips make the rule match; an expression may occur twice with opposite effects."""
    when, unless = condition
    forced = {flip.expr: flip.value for flip in way}
    held = when is None or _evaluate_with(when, forced, bound) is True
    return held and (unless is None or _evaluate_with(unless, forced, bound) is False)


def _evaluate_with(expression: Expression, forced: Mapping[str, bool], bound: BoundFacts) -> bool | None:
    """Evaluate an expression with the values of some leaves replaced."""
    if not expression.op:
        let = _let_behind(expression)
        if let is not None:
            return _evaluate_with(let, forced, bound)
        return forced[expression.source] if expression.source in forced else expression.evaluate(bound).value
    values = [_evaluate_with(part, forced, bound) for part in expression.parts]
    match expression.op:
        case "!":
            return None if values[0] is None else not values[0]
        case "?:":
            return None if values[0] is None else values[1] if values[0] else values[2]
        case _:
            decides = expression.op == "||"
            return decides if decides in values else None if None in values else not decides


def _combine_ways(sides: list[tuple[_Way, ...]]) -> tuple[_Way, ...]:
    some = islice(product(*sides), _MAX_COMBINATIONS)
    joined = (tuple(dict.fromkeys(flip for way in ways for flip in way)) for ways in some)
    return _shortest(way for way in joined if _is_consistent(way))


def _is_consistent(way: _Way) -> bool:
    """Tell whether no expression is flipped to both values."""
    return all(ConditionFlip(flip.expr, not flip.value) not in way for flip in way)


def _shortest(ways: Iterable[_Way]) -> tuple[_Way, ...]:
    return tuple(sorted(dict.fromkeys(ways), key=len)[:_MAX_KEPT])
