"""Facts and conditions in words: every fact has some, and they say what the engine computes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.display_text import display_width
from hf_gate.core.policy_model import FactValue
from hf_gate.policies.expressions.expressions import bind_facts, compile_expression
from hf_gate.policies.expressions.fact_conditions import INCLUDES, IS_TRUE, FactCondition, parse_fact_condition
from hf_gate.policies.facts.fact_table import ANSWER_ROLES, FACTS, CelType, fact_types
from hf_gate.policies.words.phrases import describe_condition, describe_expression, describe_value, name_fact

DECLARED = fact_types(tables=("partners",))


def sample_names(pattern: str) -> list[str]:
    """The facts of an entry of the fact table."""
    if "ROLE" in pattern:
        return [pattern.replace("ROLE", role) for role in ANSWER_ROLES]
    return [pattern.replace("NAME", "partners")]


def sample_tests(name: str, of_type: CelType, values: tuple[str, ...] | None) -> list[str]:
    """The usual tests of a fact."""
    match of_type:
        case CelType.BOOL:
            return [name, f"!{name}", f"{name} == true"]
        case CelType.INT:
            return [f"{name} {op} {number}" for op in ("==", "!=", "<", "<=", ">", ">=") for number in (0, 1, 30)]
        case CelType.STRING:
            texts = [json.dumps(each) for each in values or ("some text", "other")]
            lists = [f"{name} in [{', '.join(texts[:n])}]" for n in (1, 2)]
            return [f"{name} == {texts[0]}", f"{name} != {texts[0]}", *lists, f'{name}.contains("x")']
        case CelType.TIMESTAMP:
            moments = ("2027-06-30T00:00:00Z", "2027-6-3T9:00:00z", "2027-06-30T23:59:60+02:00")
            return [f'{name} {op} timestamp("{moment}")' for moment in moments for op in ("<", "<=", ">", ">=")]
        case CelType.LIST:
            return [f'"acme" in {name}', f'{name}.exists(o, o in ["acme", "other"])', f"{name}.size() > 0"]
        case CelType.MAP:
            return [f'{name}["Job"] == "PI"', f'"Job" in {name}', f'{name}["Job"].contains("x")']


@pytest.mark.parametrize("pattern", FACTS)
def test_every_fact_and_its_usual_tests_have_words_in_both_directions(pattern: str) -> None:
    declaration = FACTS[pattern]
    for name in sample_names(pattern):
        assert "`" not in name_fact(name)
        assert "." not in name_fact(name)
        for expr in sample_tests(name, declaration.type, declaration.values):
            compile_expression(expr, DECLARED)
            for holds in (True, False):
                words = describe_expression(expr, holds=holds)
                assert "`" not in words, expr
                assert words.strip() == words
            assert describe_expression(expr) != describe_expression(expr, holds=False)


@pytest.mark.parametrize(
    ("expr", "words", "opposite"),
    [
        ("email.academic", "university address", "no university address"),
        ("!email.free", "no free e-mail address", "free e-mail address"),
        ("person.account_days > 30", "account older than 30 days", "account at most 30 days old"),
        ("30 < person.account_days", "account older than 30 days", "account at most 30 days old"),
        ("person.account_days >= 1", "account at least 1 day old", "account younger than 1 day"),
        ('answers.purpose.quality == "good"', "clear purpose", "no clear purpose"),
        ('answers.purpose.quality != "good"', "no clear purpose", "clear purpose"),
        ('answers.purpose.quality == "empty"', "nothing written about use", None),
        (
            'answers.purpose.quality in ["missing", "empty", "junk"]',
            "nothing useful written about use",
            "something written about use",
        ),
        ('answers.affiliation.quality == "thin"', "little written about the institution", None),
        ("tables.partners", "listed in partners", "not listed in partners"),
        ('tables.partners.state != "valid"', "no valid entry in partners", "valid entry in partners"),
        ("history.resets < 2", "sent back fewer than 2 times", "sent back at least 2 times"),
        ("history.accepted > 0", "accepted before", "never accepted before"),
        ("request.attempt == 1", "first request", "asked before"),
        ('"acme" in person.orgs', "member of “acme”", "not member of “acme”"),
        ('form["Job title"] == "PI"', "answer to “Job title” is “PI”", "answer to “Job title” is not “PI”"),
        ('form["{0}"].size() > 2', "answer to “{0}” of more than 2 characters", None),
        ('answers.country.code in ["CH", "DE"]', "country is CH or DE", "country is not CH or DE"),
        ('history.last_decision != "none"', "decided before", "no earlier decision"),
    ],
)
def test_a_test_reads_as_people_say_it(expr: str, words: str, opposite: str | None) -> None:
    assert describe_expression(expr) == words
    if opposite is not None:
        assert describe_expression(expr, holds=False) == opposite


@pytest.mark.parametrize(
    "expr",
    [
        "email.academic || email.free",
        'now - request.asked_at > duration("24h")',
        "!email.free == true",
        "tables.partners.expires > now",
        "institution",
        "person.account_days > 30.0",
        "person.account_days > 99999999999999999999",
        "email.academic && ",
        "",
    ],
)
def test_what_has_no_words_is_shown_as_code(expr: str) -> None:
    assert describe_expression(expr).startswith("`")
    assert describe_expression(expr, holds=False).startswith("not `")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("person.account_days", 12, "account 12 days old"),
        ("person.account_days", 380, "account 12 months old"),
        ("person.account_days", 800, "account 2 years old"),
        ("email.academic", False, "no university address"),
        ("answers.purpose.quality", "thin", "little written about use"),
        ("history.resets", 0, "never sent back before"),
        ("history.resets", 1, "sent back 1 time"),
        ("request.attempt", 3, "asked 3 times"),
        ("email.domain", "mit.edu", "e-mail domain is “mit.edu”"),
        ("person.created_at", datetime(2026, 1, 2, 3, tzinfo=UTC), "account created on 2 Jan 2026"),
        ("answers.purpose.text", "anything", None),
        ("form", {"a": "b"}, None),
    ],
)
def test_a_value_has_words_unless_it_is_text_of_a_person(name: str, value: FactValue, words: str | None) -> None:
    assert describe_value(name, value) == words


@given(st.text(max_size=300), st.text(max_size=300))
def test_texts_in_words_are_short_and_visible(label: str, value: str) -> None:
    for words in (
        describe_condition(FactCondition("form", "==", (value,), key=label)),
        describe_value("email.domain", value),
        describe_expression(value),
    ):
        assert words is not None
        assert display_width(words) < 300
        assert len(words) < 3_000, "marks take no columns, but they take memory"
        assert not any(char in words for char in "\n\r\t\x1b\u202e\u2066\u2028")


# ---- the parsed test is what the engine computes ---------------------------------------------------------------------

VALUES: dict[str, st.SearchStrategy[FactValue]] = {
    "email.free": st.booleans(),
    "tables.partners": st.booleans(),
    "person.models": st.integers(0, 3),
    "email.domain": st.sampled_from(["a.org", "b.org", ""]),
    "person.orgs": st.lists(st.sampled_from(["a.org", "x"]), max_size=2).map(tuple),
    "form": st.dictionaries(st.just("Use"), st.sampled_from(["a.org", "b.org"])),
}
_TEXT = st.sampled_from(['"a.org"', "'b.org'", '""', '"quoted \\" text"', 'r"a\\b"'])
_TEXTS = st.lists(_TEXT, min_size=1, max_size=2).map(lambda each: f"[{', '.join(each)}]")
_NUMBER = st.integers(-1, 4).map(str)
_ORDER = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
_EQUAL = st.sampled_from(["==", "!="])


def _join(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    drawn = st.tuples(*(st.just(each) if isinstance(each, str) else each for each in parts))
    return drawn.map(" ".join)


_TEXT_FACT = st.sampled_from(["email.domain", 'form["Use"]', "form.Use"])
_TESTS = st.one_of(
    st.sampled_from(["email.free", "tables.partners", '"Use" in form']),
    _join(st.sampled_from(["email.free", "tables.partners"]), _EQUAL, st.sampled_from(["true", "false"])),
    _join("person.models", _ORDER, _NUMBER),
    _join(_NUMBER, _ORDER, "person.models"),
    _join("person.models in [", _NUMBER, ",", _NUMBER, "]"),
    _join(_TEXT_FACT, _EQUAL, _TEXT),
    _join(_TEXT, _EQUAL, _TEXT_FACT),
    _join(_TEXT_FACT, "in", _TEXTS),
    _join(_TEXT_FACT, ".", st.sampled_from(["contains", "startsWith", "endsWith"]), "(", _TEXT, ")"),
    _join(_TEXT, "in person.orgs"),
    _join("person.orgs.exists(o, o in", _TEXTS, ")"),
    _join("person.orgs.exists(o, o ==", _TEXT, ")"),
    _join(_TEXTS, ".exists(o, o in person.orgs)"),
    _join("size(person.orgs)", _ORDER, _NUMBER),
    _join("email.domain.size()", _ORDER, _NUMBER),
)


@st.composite
def wrapped_tests(draw: st.DrawFn) -> str:
    expr: str = draw(_TESTS)
    for form in draw(st.lists(st.sampled_from(["({})", "!({})", "{} // a comment\n"]), max_size=2)):
        expr = form.replace("{}", expr)
    return expr


def evaluate(condition: FactCondition, facts: dict[str, FactValue]) -> bool:
    value: object = facts[condition.fact]
    if condition.key is not None:
        assert isinstance(value, dict)
        value = value[condition.key]
    if condition.has_size:
        assert isinstance(value, str | tuple)
        value = len(value)
    return _compare(value, condition.op, condition.values) is not condition.is_negated


def _compare(value: object, op: str, values: tuple[object, ...]) -> bool:
    first = values[0] if values else None
    if op == IS_TRUE:
        return value is True
    if op == INCLUDES:
        assert isinstance(value, tuple | dict)
        return any(each in value for each in values)
    if op in ("==", "!=", "in"):
        return (value in values) is (op != "!=")
    if isinstance(value, str) and isinstance(first, str):
        return {"contains": first in value, "startsWith": value.startswith(first), "endsWith": value.endswith(first)}[
            op
        ]
    assert isinstance(value, int)
    assert isinstance(first, int)
    return {"<": value < first, "<=": value <= first, ">": value > first, ">=": value >= first}[op]


@given(wrapped_tests(), st.fixed_dictionaries(VALUES))
def test_a_parsed_test_has_the_value_that_the_engine_computes(expr: str, facts: dict[str, FactValue]) -> None:
    condition = parse_fact_condition(expr)
    assert condition is not None, expr
    truth = compile_expression(expr, DECLARED).evaluate(bind_facts(facts))
    if truth.value is not None:  # a form without the label is an error
        assert evaluate(condition, facts) is truth.value
