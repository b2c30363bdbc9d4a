"""Expressions give what the reference interpreter gives: the value, the missing facts, and whether there is an error."""

from __future__ import annotations

from hypothesis import given, reject

from hf_gate.policy.expression_problems import ExpressionProblem
from hf_gate.policy.expressions import Expression, bind_facts, compile_expression, compile_lets
from hf_gate.policy.model import FactValue, TruthValue

from .evaluate_model import made_of
from .expression_model import DECLARED, LETS, Term, Unknown, interpret, make_condition, make_facts

COMPILED_LETS = compile_lets(LETS, DECLARED)


def compile_or_reject(source: str) -> Expression:
    try:
        return compile_expression(source, DECLARED, COMPILED_LETS)
    except ExpressionProblem as problem:
        if problem.code in ("too-costly", "literal"):  # a literal that always fails
            return reject()
        raise


def expected_truth(term: Term, facts: dict[str, FactValue]) -> TruthValue:
    found = interpret(term, facts)
    if isinstance(found, Unknown):
        return TruthValue(None, found.missing, "error" if found.has_error else None)
    return TruthValue(found)


@given(made_of(120, make_condition), made_of(30, make_facts))
def test_a_condition_has_the_value_and_the_missing_facts_of_the_reference(
    term: Term, facts: dict[str, FactValue]
) -> None:
    truth = compile_or_reject(term.source).evaluate(bind_facts(facts, COMPILED_LETS))
    wanted = expected_truth(term, facts)
    assert truth.value is wanted.value
    if term.has_loop:
        assert wanted.missing <= truth.missing
        return
    assert truth.missing == wanted.missing
    assert bool(truth.error) is bool(wanted.error)
