"""Evaluates the terms of grants: conditions of `keep_while`, as stored with the grant, and facts in `until`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from hf_gate.core.people.grants import GrantCondition, GrantTerms, is_fact_name
from hf_gate.core.policy_model import Facts
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import Expression, bind_values, compile_expression, compile_lets
from hf_gate.policies.facts.fact_table import CelType
from hf_gate.policies.facts.facts import RequestFacts


class _CompiledCondition(Struct, frozen=True):
    expression: Expression
    lets: Mapping[str, Expression]
    facts: frozenset[str]


class TermsEvaluator:
    """Evaluates stored terms. A condition that no longer compiles, and a fact that no longer exists, are unknown."""

    def __init__(self, terms: Iterable[GrantTerms], declared: Mapping[str, CelType]) -> None:
        every = tuple(terms)
        self._compiled: dict[str, _CompiledCondition | None] = {}
        self._ends = {
            name
            for one in every
            for name in one.until
            if is_fact_name(name) and declared.get(name) is CelType.TIMESTAMP
        }
        for condition in (each for one in every for each in one.keep_while):
            self._compiled.setdefault(_key_of(condition), _compile(condition, declared))
        used = [one.facts for one in self._compiled.values() if one is not None]
        self.facts: frozenset[str] = frozenset(self._ends).union(*used)

    def facts_of(self, terms: GrantTerms) -> frozenset[str]:
        """Return the facts that decide whether and how the end of a grant with these terms moves."""
        compiled = [self._compiled.get(_key_of(condition)) for condition in terms.keep_while]
        ends = self._ends.intersection(terms.until)
        return frozenset(ends).union(*(one.facts for one in compiled if one is not None))

    def expressions_of(self, terms: GrantTerms) -> list[Expression]:
        """Return the conditions of these terms that compile, with the `let` expressions beside them."""
        compiled = [self._compiled.get(_key_of(condition)) for condition in terms.keep_while]
        return [each for one in compiled if one is not None for each in (one.expression, *one.lets.values())]

    def is_kept(self, condition: GrantCondition, facts: Facts) -> bool | None:
        """Return whether a condition is true; None if it is unknown or fails."""
        compiled = self._compiled.get(_key_of(condition))
        if compiled is None or not isinstance(facts, RequestFacts):
            return None
        return compiled.expression.evaluate(bind_values(facts.find_known, compiled.lets)).value

    def list_unreadable(self, terms: GrantTerms) -> list[str]:
        """Return the conditions and facts of terms that no facts can make known, because something they
        read is gone.
        """
        lost = [name for name in terms.until if is_fact_name(name) and name not in self._ends]
        for condition in terms.keep_while:
            if self._compiled.get(_key_of(condition)) is None:
                lost += [condition.expr, *condition.lets.values()]
        return lost

    def end_of(self, name: str, facts: Facts) -> datetime | None:
        """Return the value of a fact in `until`; None if it is unknown."""
        fact = facts.get(name) if name in self._ends else None
        return fact.value if fact is not None and isinstance(fact.value, datetime) else None


def _key_of(condition: GrantCondition) -> str:
    return "\n".join([condition.expr, *(f"{name}={source}" for name, source in condition.lets.items())])


def _compile(condition: GrantCondition, declared: Mapping[str, CelType]) -> _CompiledCondition | None:
    try:
        lets = compile_lets(dict(condition.lets), declared)
        expression = compile_expression(condition.expr, declared, lets)
    except (ExpressionProblem, ValueError):
        return None
    facts = expression.facts.union(*(let.facts for let in lets.values()))
    return _CompiledCondition(expression, lets, facts)
