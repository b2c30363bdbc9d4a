"""Conditions: which are valid, the messages for the others, and the result if a fact is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hf_gate.core.policy_model import FactValue
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import (
    BoundFacts,
    Expression,
    bind_facts,
    compile_expression,
    compile_lets,
)
from hf_gate.policies.facts.fact_table import fact_types
from tests.kits.wrong_expressions import MISTAKES

DECLARED = fact_types(tables=("dua", "partners"))


def compiled(source: str) -> Expression:
    return compile_expression(source, DECLARED)


def refused(source: str) -> ExpressionProblem:
    with pytest.raises(ExpressionProblem) as caught:
        compile_expression(source, DECLARED)
    return caught.value


def problem_of(source: str) -> ExpressionProblem | None:
    try:
        compile_expression(source, DECLARED)
    except ExpressionProblem as problem:
        return problem
    return None


def given(**facts: FactValue) -> BoundFacts:
    return bind_facts({name.replace("__", "."): value for name, value in facts.items()})


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "marked", "fix", "word"), MISTAKES, ids=[each[0][:40] for each in MISTAKES])
def test_a_mistake_is_marked_and_explained_in_one_line(source: str, marked: str, fix: str | None, word: str) -> None:
    problem = refused(source)
    assert source[problem.offset : problem.offset + problem.length] == marked
    assert problem.fix == fix
    assert word in problem.message
    assert "\n" not in problem.message
    assert "<input>" not in problem.message


@pytest.mark.parametrize("source", [each[0] for each in MISTAKES if each[2] is not None])
def test_suggested_fixes_lead_to_a_valid_expression(source: str) -> None:
    for _ in range(4):
        problem = problem_of(source)
        if problem is None:
            return
        assert problem.fix is not None
        source = source[: problem.offset] + problem.fix + source[problem.offset + problem.length :]
    pytest.fail(f"still refused: {source}")


def test_a_long_source_is_refused_by_its_bytes() -> None:
    assert compiled('email.domain == "' + "a" * 4000 + '"').facts == {"email.domain"}
    assert refused('email.domain == "' + "\u00e9" * 2050 + '"').code == "too-long"


# ---- what is read from an expression ---------------------------------------------------------------------------------


def test_facts_labels_and_comparisons_are_read_from_the_checked_tree() -> None:
    found = compiled('("A b" in form && form["A b"] == "x") || form.c == "y" || 30 < person.account_days')
    assert found.facts == {"form", "person.account_days"}
    assert set(found.labels) == {"A b", "c"}
    (only,) = found.comparisons
    assert (only.fact, only.op, only.values, only.span) == ("person.account_days", ">", (30,), (58, 24))
    inside = compiled('email.domain in ["a.org", "b.org"] && email.domain.endsWith("edu")').comparisons
    assert [(each.op, each.values) for each in inside] == [("in", ("a.org", "b.org")), ("endsWith", ("edu",))]


def test_branches_are_what_is_true_or_false_in_the_order_written() -> None:
    found = compiled("(email.free // who\n || !tables.dua) && (email.academic ? tables.partners : true)")
    assert (found.op, [part.source for part in found.parts]) == (
        "&&",
        ["email.free || !tables.dua", "email.academic ? tables.partners : true"],
    )
    assert [part.source for part in found.parts[0].parts] == ["email.free", "!tables.dua"]
    assert [part.op for part in found.parts] == ["||", "?:"]
    four = compiled("email.free && email.academic && tables.dua && tables.partners")
    assert [part.source for part in four.parts] == ["email.free", "email.academic", "tables.dua", "tables.partners"]


def test_the_longest_of_two_names_is_meant() -> None:
    assert compiled('tables.dua && tables.dua.state == "valid"').facts == {"tables.dua", "tables.dua.state"}


# ---- three values ----------------------------------------------------------------------------------------------------


def test_only_true_is_true() -> None:
    assert compiled("email.free").evaluate(given(email__free=True)).value is True
    assert compiled("email.free").evaluate(given(email__free=False)).value is False
    for bound in (given(), given(email__free="true"), given(email__free=())):
        assert compiled("email.free").evaluate(bound).value is None


def test_a_number_beyond_64_bits_is_an_error_and_no_missing_fact() -> None:
    for source, value in (("person.models > 3", 1 << 63), ("person.models + 1 > 3", (1 << 63) - 1)):
        truth = compiled(source).evaluate(given(person__models=value))
        assert (truth.value, truth.missing, truth.error) == (None, frozenset(), "integer overflow")


@pytest.mark.parametrize(
    "source",
    [
        "person.models != 3",
        "email.free != true",
        "email.free == true",
        "email.domain != 'a'",
        "!('a' in person.orgs)",
        "!('x' in form)",
        "form.exists(label, form[label] != 'z')",
        "now != timestamp('2026-01-01T00:00:00Z')",
    ],
)
def test_a_value_of_another_type_than_the_fact_is_unknown(source: str) -> None:
    values: list[Any] = [float("nan"), [["a"]], (1,), {"a": None}, {1: "a"}, b"a", {"a"}, object()]
    condition = compiled(source)
    names = {"person.models": 5, "email.free": True, "email.domain": "x", "person.orgs": (), "form": {"x": "y"}}
    wrong = [value for name, value in names.items() if name not in condition.facts]
    for value in (*values, *wrong):
        truth = condition.evaluate(bind_facts(dict.fromkeys(condition.facts, value)))
        assert (truth.value, truth.error) == (None, "a fact has a value of another type"), value


def test_a_text_with_nul_is_compared_and_searched_as_a_whole() -> None:
    bound = given(email__domain="a\0b")
    assert compiled('email.domain == "a"').evaluate(bound).value is False
    assert (
        compiled(r'email.domain.matches("^a[\\x00-\\x20]b$") && size(email.domain) == 3').evaluate(bound).value is True
    )


def test_texts_and_lists_are_cut_and_half_letters_replaced() -> None:
    bound = given(email__domain="a" * 9000, person__orgs=("x",) * 2000, person__fullname="\ud800")
    assert compiled("size(email.domain) == 8192 && size(person.orgs) == 1000").evaluate(bound).value is True
    assert compiled('person.fullname == "\ufffd"').evaluate(bound).value is True


# ---- let -------------------------------------------------------------------------------------------------------------

LETS = {"known": "email.academic || tables.partners", "public": "person.models + person.datasets", "both": "known && public > 3"}  # fmt: skip


def test_a_let_has_the_type_and_the_facts_of_its_expression() -> None:
    lets = compile_lets(LETS, DECLARED)
    assert {name: each.type for name, each in lets.items()} == {"known": "bool", "public": "int", "both": "bool"}
    found = compile_expression("both && email.free", DECLARED, lets)
    assert found.lets == ("both",)
    assert found.facts == {"email.academic", "tables.partners", "person.models", "person.datasets", "email.free"}


@pytest.mark.parametrize(
    ("source", "of_type", "condition"),
    [
        ("person.orgs", "list<string>", 'lab.exists(o, o == "x")'),
        ("form", "map<string, string>", '"A" in lab'),
        ("now - request.asked_at", "duration", 'lab > duration("1h")'),
        ("request.asked_at", "timestamp", "lab < now"),
        ("email.domain", "string", 'lab == "a.org"'),
        ("1.5", "double", "lab > 1.0"),
    ],
)
def test_lets_of_other_types_can_be_used(source: str, of_type: str, condition: str) -> None:
    lets = compile_lets({"lab": source}, DECLARED)
    assert lets["lab"].type == of_type
    moments: dict[str, FactValue] = {
        "now": datetime(2026, 12, 1, tzinfo=UTC),
        "request.asked_at": datetime(2026, 10, 1, tzinfo=UTC),
    }
    facts = {**moments, "person.orgs": ("x",), "form": {"A": "b"}, "email.domain": "a.org"}
    assert compile_expression(condition, DECLARED, lets).evaluate(bind_facts(facts, lets)).value is True


def test_a_let_says_in_which_one_a_mistake_is_and_no_later_one_is_known() -> None:
    with pytest.raises(ExpressionProblem) as caught:
        compile_lets({"a": "b && true", "b": "email.free"}, DECLARED)
    assert caught.value.let == "a"
