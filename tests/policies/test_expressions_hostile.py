"""Hostile expressions are refused or stopped at once, and none evaluates to true."""

from __future__ import annotations

from time import process_time

import pytest

from hf_gate.base.display_text import make_visible
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import bind_facts, compile_expression
from hf_gate.policies.facts.fact_table import fact_types
from tests.kits.hostile_expressions import BIG, HOSTILE

DECLARED = fact_types(tables=("dua",))
CPU_SECONDS = (
    0.1  # of the best of three: other load slows a single one, by what it does to caches; the worst needs a third
)


def _outcome(source: str) -> tuple[object, ExpressionProblem | None, float]:
    """The value or the refusal of an expression, and the processor time that it took."""
    bound, start = bind_facts(BIG), process_time()
    problem, value = None, None
    try:
        value = compile_expression(source, DECLARED).evaluate(bound).value
    except ExpressionProblem as refused:
        problem = refused
    return value, problem, process_time() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_is_refused_or_stopped_at_once(name: str) -> None:
    value, problem, seconds = _outcome(HOSTILE[name])
    assert seconds < CPU_SECONDS or min(_outcome(HOSTILE[name])[2] for _ in range(2)) < CPU_SECONDS
    assert value is not True
    assert problem is None or problem.message == make_visible(problem.message, one_line=True)
    assert problem is None or 0 <= problem.offset <= len(HOSTILE[name])


def test_the_corpus_is_large_enough() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize(
    "source",
    [
        "has(tables.dua)",
        "!has (tables.dua)",
        "has//\n(tables.dua)",
        "__not_strictly_false__(tables.dua)",
        "type(tables.dua) == bool",
        "dyn(tables.dua) == dyn(true)",
        "tables.dua == null",
    ],
)
def test_there_is_no_way_to_ask_whether_a_fact_is_known(source: str) -> None:
    with pytest.raises(ExpressionProblem):
        compile_expression(source, DECLARED)
