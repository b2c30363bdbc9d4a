"""The cost of a policy is limited before it runs: growing values, nested loops, expanding `let` names."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from hf_gate.core.policy_model import Action, Fact, Trust
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.expressions.expression_bounds import MAX_TEXT
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import bind_facts, compile_expression, compile_lets
from hf_gate.policies.expressions.fact_conditions import parse_fact_condition
from hf_gate.policies.facts.fact_table import ANSWER_ROLES, fact_types
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.policy_tests import run_policy_tests

DECLARED = fact_types(ANSWER_ROLES, ["partners"])
TEXT = "answers.purpose.text"


def doubling(first: str, times: int, join: str = "a{0} + a{0}") -> dict[str, str]:
    return {"a0": first} | {f"a{n + 1}": join.format(n) for n in range(times)}


def policy(lets: dict[str, str], condition: str, more: str = "") -> CheckedPolicy:
    rows = "".join(f"  {name}: '{source}'\n" for name, source in lets.items())
    text = (
        f"version: 1\npolicy: p\napplies_to: ['*/*']\n{'let:' if rows else ''}\n{rows}rules:\n"
        f"  - id: r\n    when: '{condition}'\n    then: accept\n  - id: rest\n    then: human\n{more}"
    )
    return check_policy(parse_policy(text, "p.yaml"))


def codes(checked: CheckedPolicy) -> list[str]:
    return [each.code for each in checked.problems if each.is_error]


# ---- size ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "times", "join", "rest"),
    [
        (TEXT, 24, "a{0} + a{0}", 'a24 != ""'),
        ('"x"', 40, "a{0} + a{0}", 'a40 != ""'),
        ("person.orgs", 24, "a{0} + a{0}", "a24.size() > 0"),
        ('["x", "y"]', 40, "a{0} + a{0}", "a40.size() > 0"),
        (TEXT, 24, "true ? a{0} + a{0} : a{0}", 'a24 != ""'),
    ],
)
def test_a_value_that_doubles_with_each_let_is_refused_when_it_is_checked(
    first: str, times: int, join: str, rest: str
) -> None:
    checked = policy(doubling(first, times, join), rest)
    assert codes(checked) in (["too_large"], ["too_costly"])
    assert checked.problems[0].message.startswith("let a")
    assert run_policy_tests(checked) == ()


@pytest.mark.parametrize(
    "source",
    [
        " + ".join([TEXT] * 9) + ' != ""',
        "(" + " + ".join(["person.orgs"] * 11) + ").size() > 3",
        "(" + " + ".join(["person.orgs"] * 10) + "+ ['one more']).size() > 3",
    ],
)
def test_no_single_expression_makes_a_large_value(source: str) -> None:
    with pytest.raises(ExpressionProblem, match="the result can be"):
        compile_expression(source, DECLARED)


@pytest.mark.parametrize(
    "source",
    [
        f'({TEXT} + " " + answers.affiliation.text).contains("robot")',
        "(person.orgs + person.verified_orgs).exists(o, o == 'acme')",
        "person.orgs.exists(o, o.startsWith('uni'))",
        "form.all(label, form[label] != '')",
        f"{TEXT}.size() + 3 > 5",
    ],
)
def test_what_people_write_is_within_the_bounds(source: str) -> None:
    compile_expression(source, DECLARED)


@pytest.mark.parametrize(
    ("first", "value"), [(TEXT, "x" * 5_000), ("person.orgs", tuple(f"org{n}" for n in range(600)))]
)
def test_a_let_that_came_out_too_large_is_unknown_and_accepts_nobody(first: str, value: str | tuple[str, ...]) -> None:
    size = f"{first}.size() > 0"
    checked = policy({"big": f"{first} + {first}"}, "big.size() > 0 || !(big.size() > 0)")
    assert codes(checked) == []
    assert checked.policy is not None
    judge = Evaluator([compile_policy(checked.policy, checked.declared)])
    facts = {
        name: Fact(value, Trust.CLAIMED, "form") if name == first else Fact(None, Trust.CLAIMED, "form")
        for name in judge.facts
    }
    verdict = judge.evaluate_with_traces(facts, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert verdict is not None
    assert verdict.action is Action.HUMAN
    lets = compile_lets({"big": f"{first} + {first}"}, DECLARED)
    truth = compile_expression("big.size() > 0", DECLARED, lets).evaluate(bind_facts({first: value}, lets))
    assert truth.value is None
    assert "the value of `big` has" in (truth.error or "")
    assert compile_expression(size, DECLARED).evaluate(bind_facts({first: value})).value is True


def test_a_let_at_the_limit_is_known() -> None:
    lets = compile_lets({"big": f"{TEXT} + {TEXT}"}, DECLARED)
    bound = bind_facts({TEXT: "x" * (MAX_TEXT // 2)}, lets)
    assert bound.values["big"] == "x" * MAX_TEXT


def test_many_lets_share_one_limit() -> None:
    lets = compile_lets({"t": TEXT, "l0": "[" + ", ".join(["t"] * 150) + "]", "again": "l0"}, DECLARED)
    bound = bind_facts({TEXT: "x" * 5_000}, lets)
    assert isinstance(bound.values["l0"], list)
    assert "at most 1,048,576 characters" in str(bound.values["again"])


def test_lists_are_joined_at_a_price() -> None:
    joined = compile_expression("person.orgs + person.orgs + person.orgs == []", DECLARED).root.cost
    assert joined > 200


def test_a_long_chain_of_lets_is_refused() -> None:
    assert codes(policy(doubling("email.free", 1_000, "a{0}"), "a1000")) == ["too_deep"]
    assert codes(policy(doubling("email.free", 100, "a{0}"), "a100")) == []


def test_what_is_kept_of_long_expressions_is_limited() -> None:
    tracemalloc.start()
    try:
        for number in range(100):
            listed = ",".join(['""'] * 700)
            assert parse_fact_condition(f'email.domain in ["{number}",{listed}]') is not None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 15_000_000


# ---- patterns --------------------------------------------------------------------------------------------------------

LETTERS = "\\\\pL"


@pytest.mark.parametrize(
    "pattern",
    [
        "[^a]{99}[^b]{99}[^c]{99}",
        f"(?i){LETTERS * 4}",
        "(a?){99}" * 8,
        f"{LETTERS}{{20}}",
        "(.*a)?" * 40,
        f"{LETTERS * 5}",
    ],
)
def test_a_pattern_is_compiled_or_refused_in_little_time(pattern: str) -> None:
    seconds = []
    for number in range(3):
        begun = time.process_time()
        with suppress(ExpressionProblem):
            compile_expression(f'email.domain.matches("{pattern}{number}")', DECLARED)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.02


def test_many_large_patterns_are_refused_before_they_are_all_compiled() -> None:
    source = " || ".join(f'{TEXT}.matches("[^a]{{99}}[^b]{{99}}{n}")' for n in range(60))
    with pytest.raises(ExpressionProblem, match="too often"):
        compile_expression(source, DECLARED)
    assert len(_many(f'email.domain.matches("{LETTERS}{{50}}")', 200).problems) == 51


# ---- work ----------------------------------------------------------------------------------------------------------------

_LOOP = "person.orgs.exists(o, o in person.verified_orgs)"


def _many(condition: str, count: int, more: str = "") -> CheckedPolicy:
    rules = "".join(f"  - id: r{n}\n    when: '{condition}'\n    then: human\n" for n in range(count))
    return check_policy(parse_policy(f"version: 1\npolicy: p\napplies_to: ['*/*']\nrules:\n{rules}{more}", "p.yaml"))


def test_loops_that_are_legal_one_by_one_are_refused_when_there_are_too_many() -> None:
    assert codes(_many(_LOOP, 19)) == []
    assert codes(_many(_LOOP, 20)) == ["too_costly"]


AFFILIATION = "answers.affiliation.text"


@pytest.mark.parametrize(
    "source",
    [
        f"person.orgs.exists(o, {TEXT}.contains({AFFILIATION}))",
        f"form.exists(label, form[label].contains({TEXT}))",
        f"person.orgs.exists(o, {TEXT}.matches('(a{{20}}|aa){{9}}$b'))",
    ],
)
def test_a_long_text_that_is_searched_in_each_round_is_too_costly(source: str) -> None:
    with pytest.raises(ExpressionProblem, match="searches lists too often"):
        compile_expression(source, DECLARED)


def test_a_search_costs_as_much_in_each_round_of_a_loop_as_outside() -> None:
    once = compile_expression(f"{TEXT}.contains('a lab')", DECLARED).root.cost
    assert compile_expression(f"[1, 2].exists(i, {TEXT}.contains('a lab'))", DECLARED).root.cost > 2 * once


@pytest.mark.parametrize(
    "source",
    [
        "person.orgs.exists(o, o.contains('uni') || o.contains('hospital'))",
        "person.orgs.exists(o, o.matches('(?i)^uni'))",
        "form.exists(label, form[label].contains('http'))",
        f"['lab', 'clinic', 'school'].exists(word, {TEXT}.contains(word))",
    ],
)
def test_searches_that_people_write_are_not_too_costly(source: str) -> None:
    compile_expression(source, DECLARED)


def test_more_tests_than_a_costly_policy_can_run_are_refused() -> None:
    tests = "tests:\n" + "".join(f"  - {{name: t{n}, facts: {{}}, want: {{then: human}}}}\n" for n in range(60))
    assert codes(_many(_LOOP, 10, tests)) == ["too_costly"]
    assert codes(_many("email.free", 10, tests)) == []


@pytest.mark.parametrize(
    ("first", "join"),
    [
        ("email.free", "a{0} && a{0}"),
        ("email.free", "a{0} || !a{0}"),
        ("email.free", "a{0} ? a{0} : !a{0}"),
        (TEXT + ' == ""', "(a{0} && email.free) || (a{0} && email.academic)"),
    ],
)
def test_lets_that_expand_into_each_other_are_refused_before_they_are_traced(first: str, join: str) -> None:
    begun = time.process_time()
    checked = policy(doubling(first, 60, join), "a60")
    assert set(codes(checked)) == {"too_costly"}
    assert time.process_time() - begun < 20  # 2 to the power of 60 would not end


def test_nested_unknown_conditions_are_traced_quickly() -> None:
    deep = "(" * 10 + "email.free" + " ? email.free : email.free)" * 10
    truth = compile_expression(deep, DECLARED).evaluate(bind_facts({}))
    assert (truth.value, truth.missing) == (None, frozenset({"email.free"}))
