"""Expressions give what two witnesses give: a reference interpreter, and Google's engine where all facts are known."""

from __future__ import annotations

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from hf_gate.core.policy_model import FactValue, TruthValue
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.expressions.expressions import Expression, bind_facts, compile_expression, compile_lets
from tests.conftest import PROFILE
from tests.kits.cel_engine import evaluate_with_engine
from tests.kits.evaluation_model import Choices, draw_with
from tests.kits.expression_model import DECLARED, LETS, Term, Unknown, interpret, make_condition, make_facts

TYPES = {name: str(kind) for name, kind in DECLARED.items()}
LET_TYPES = {"trusted": "bool", "where": "string", "tried": "int", "answers_here": "map"}
MANY = settings(max_examples=5 * settings.get_profile(PROFILE).max_examples)  # 10,000 under torture
COMPILED_LETS = compile_lets(LETS, DECLARED)


def compile_or_reject(source: str) -> Expression:
    try:
        return compile_expression(source, DECLARED, COMPILED_LETS)
    except ExpressionProblem as problem:
        if problem.code == "too-costly":
            return reject()
        raise


def expected_truth(term: Term, facts: dict[str, FactValue]) -> TruthValue:
    found = interpret(term, facts)
    if isinstance(found, Unknown):
        return TruthValue(None, found.missing, "error" if found.has_error else None)
    return TruthValue(found)


@MANY
@given(draw_with(120, make_condition), draw_with(30, make_facts))
def test_a_condition_has_the_value_and_the_missing_facts_of_the_reference(
    term: Term, facts: dict[str, FactValue]
) -> None:
    wanted = expected_truth(term, facts)
    try:
        truth = compile_or_reject(term.source).evaluate(bind_facts(facts, COMPILED_LETS))
    except ExpressionProblem as problem:
        if problem.code != "literal":  # it always fails
            raise
        return
    assert truth.value is wanted.value
    assert truth.missing == wanted.missing
    assert bool(truth.error) is bool(wanted.error)


# ---- Google's engine -------------------------------------------------------------------------------------------------


def assert_equal_to_engine(source: str, facts: dict[str, FactValue]) -> None:
    bound = bind_facts(facts, COMPILED_LETS)
    lets = {name: bound.values[name] for name in LETS}
    wanted = evaluate_with_engine(source, TYPES | LET_TYPES, {**facts, **lets})
    try:
        found = compile_or_reject(source).evaluate(bound)
    except ExpressionProblem as problem:
        if problem.code != "literal":
            raise
        refused = source[problem.offset : problem.offset + problem.length]
        assert evaluate_with_engine(refused, TYPES | LET_TYPES, {}) is None, "this part fails in the engine too"
        return  # the engine may find a value without it
    assert not found.missing
    assert found.value is wanted, (source, facts, found)


def _make_known_facts(choices: Choices) -> dict[str, FactValue]:
    return make_facts(choices, all_known=True)


KNOWN = _make_known_facts(Choices(b""))


@MANY
@given(draw_with(120, make_condition), draw_with(30, _make_known_facts))
def test_a_condition_has_the_value_of_the_engine_where_all_facts_are_known(
    term: Term, facts: dict[str, FactValue]
) -> None:
    assert_equal_to_engine(term.source, facts)


PIECES = st.sampled_from(
    (
        *("a", "k", "S", "|", "(", ")", "(?:", "[", "]", "[^", "-", "a-z", "^", "$", ".", "\\b", "\\w", "\\d", "\\."),
        *("\\x41", "\\xe9", "\u017f", "*", "?", "+", "{2,5}", "\\pL", "[[:alpha:]]", "\\s", "\\A", "\\z"),
    )
)
LETTERS = st.text("aAkKsSz_.-1\n \u017f\u212a\u0130\u0131\u00fc\u00df\u00e9\u00c9x\U0001f600", max_size=8)


@given(st.booleans(), st.lists(PIECES, max_size=7).map("".join), st.lists(LETTERS, max_size=6))
@example(True, "[^k]", ["\u212a"])
@example(False, "a$", ["a\n"])
def test_a_pattern_matches_what_it_matches_in_the_engine(ignores_case: bool, pattern: str, texts: list[str]) -> None:
    quoted = ("(?i)" if ignores_case else "") + pattern.replace("\\", "\\\\")
    source = f'email.domain.matches("{quoted}")'
    for text in texts:
        facts = {**KNOWN, "email.domain": text}
        try:
            assert_equal_to_engine(source, facts)
        except ExpressionProblem as problem:
            if "a pattern has at most" in problem.message or "pattern too large" in problem.message:
                reject()  # our bounds, which the engine does not have
            if "a regular expression" not in problem.message:
                raise
            assert evaluate_with_engine(source, TYPES, facts) is None


@pytest.mark.parametrize(
    "source",
    [
        "-person.models * 2 % 3 == 0 - 1",
        "-9223372036854775808 < 0 && 0x7fffffffffffffff > 0",
        "1.5 + 2.25 * 2.0 - 1e3 < -990.0",
        r"""'\x41\u00fc\U0001F600\101\a\\' + "\"" == r'x' || '\x41' == 'A'""",
        "'''a\n'b'''.size() == 4 && \"\"\"c\"\"\" == 'c'",
        "duration('1h30m1.5s') - duration('-250ms') > duration('90m1500ms249999us')",
        "timestamp('2026-02-28T23:59:59.123456+02:00') < timestamp('2026-02-28t21:59:59.2z')",
        "timestamp('9999-12-31T23:59:59Z') + duration('1s') > now",
        "now - timestamp('1700-01-01T00:00:00Z') > duration('1h')",
        "timestamp(' 926-1-5T0:0:60z') == timestamp('0926-01-05T00:01:00.0Z')",
        "timestamp(email.domain + 'T00:00:00Z') > now",
        "(person.orgs + ['z'])[0] == 'z' || person.orgs == []",
        "'a' < 'b' && '\u00fc' > 'z' && '\U0001f600' > '\ufffd'",
        "!!email.free == email.free",
        "(email.free ? 1 : 2) in [1, 3]",
        "true ? false : false ? true : false",
        "now - duration('8766000h') < now && duration('2562047h') + duration('1m') > duration('1h')",
        "1 - 2 - 3 == -4 && 2 + 3 * 2 == 8 && 7 % 4 * 2 == 6",
        "email.free == email.academic != email.free",
        "false && true || true && !false",
        "person.orgs.all(o, o != '') && [].all(x, false) && ![1].exists(x, x > 1)",
        "form.exists(k, form[k] == 'a') || size(form) == form.size()",
        "has(form.a) || ('a' in form) == has(form.a)",
    ],
)
@pytest.mark.parametrize("data", [b"", bytes(range(30)), bytes([1, 1, 1, 2, 1, 3, 2, 1, 1, 1, 1] * 3)])
def test_the_whole_language_means_what_it_means_in_the_engine(source: str, data: bytes) -> None:
    facts = _make_known_facts(Choices(data))
    for domain in (facts["email.domain"], "2027-01-01", "2027-1-1", "2027-02-29"):
        assert_equal_to_engine(source, {**facts, "email.domain": domain})
