"""What conditions give in Python is what the engine gives, with the same missing facts; other constructs are left to it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from msgspec.structs import replace

from hf_gate.policy.expression_problems import ExpressionProblem
from hf_gate.policy.expressions import Expression, bind_facts, compile_expression, compile_lets
from hf_gate.policy.fact_table import fact_types
from hf_gate.policy.model import FactValue
from hf_gate.policy.python_conditions import EngineNeededError, compile_to_python
from tests.core.evaluate_model import Choices, made_of

DECLARED = fact_types(tables=("dua",))
LETS = {"trusted": "tables.dua || email.academic", "where": "email.domain", "tried": "request.attempt"}

# ---- random conditions over facts of all types -----------------------------------------------------------------------

WORDS = (
    "",
    "a",
    "ab",
    "b a",
    "Accept",
    "accept",
    "\u017f",
    "\u212a",
    "k s",
    "ü",
    "<b>",
    "{x}",
    "a.b",
    "a\nb",
    "a\0b",
    "-",
    "x" * 40,
)
TEXTS = ("email.domain", "answers.purpose.text", "where", *(f'"{word}"' for word in ("", "a", "ab", "<", "ü")))
NUMBERS = ("person.models", "request.attempt", "tried", "-1", "0", "3", "9223372036854775807")
FLAGS = ("email.free", "tables.dua", "trusted", "true", "false")
PATTERNS = (
    "a", "(?i)k", "(?i)S", "(?i)\\\\b(accept|ab)\\\\b", "<[a-zA-Z/!?|]|[{}]|%[ds=>]", "(a|b|^x|[.-]b$)", "^a", "b$", "a.b",
    "\\\\d|\\\\w", "[^a-z]", "(?i)[^k]", "(?i)[j-l]", "[\\\\x00-\\\\x20]", "ü", "(?i)ü", "a+", "(a|b)(a|b)", "\\\\pL", "[[:alpha:]]", "\\\\s",
)  # fmt: skip


def _text(choices: Choices, item: str) -> str:
    texts: tuple[str, ...] = (item, f"form[{item}]") if item else ()
    found: str = choices.choose((*TEXTS, 'form["a"]', *texts))
    return found


def _leaf(choices: Choices, item: str) -> str:
    text, other, number = _text(choices, item), _text(choices, item), choices.choose(NUMBERS)
    compare = choices.choose(("==", "!=", "<", "<=", ">", ">="))
    return choices.choose((
        choices.choose(FLAGS),
        f"{text} {compare} {other}",
        f"{number} {compare} {choices.choose(NUMBERS)}",
        f"{choices.choose(FLAGS)} {choices.choose(('==', '!='))} {choices.choose(FLAGS)}",
        f'{text} in ["a", "ab", "ü"]',
        f"{number} in [0, 3]",
        f"{text} in {choices.choose(('form', 'person.orgs'))}",
        f"{text}.{choices.choose(('contains', 'startsWith', 'endsWith'))}({other})",
        f'{text}.matches("{choices.choose(PATTERNS)}")',
        f"size({choices.choose((text, 'form', 'person.orgs'))}) {compare} {number}",
        f"request.attempt + 1 {compare} {number}",
        "has(form.a)",
    ))  # fmt: skip


def _condition(choices: Choices, item: str = "", depth: int = 3) -> str:
    kind = choices.choose(("leaf", "leaf", "!", "&&", "||", "?:", "==", "loop")) if depth else "leaf"
    if kind == "loop":
        name = {"": "one", "one": "two"}.get(item)
        if name:
            items, macro = choices.choose(("form", "person.orgs")), choices.choose(("exists", "all", "exists_one"))
            return f"{items}.{macro}({name}, {_condition(choices, name, depth - 1)})"
    if kind in ("leaf", "loop"):
        return _leaf(choices, item)
    parts = [f"({_condition(choices, item, depth - 1)})" for _ in range(3)]
    if kind == "!":
        return f"!{parts[0]}"
    return " ? ".join(parts[:2]) + f" : {parts[2]}" if kind == "?:" else f"{parts[0]} {kind} {parts[1]}"


def _facts(choices: Choices) -> dict[str, FactValue]:
    def word() -> str:
        return choices.choose(WORDS)

    found: dict[str, FactValue | None] = {
        "email.free": choices.choose((True, False, None)),
        "email.academic": choices.choose((True, False, None)),
        "tables.dua": choices.choose((True, False, None)),
        "person.models": choices.choose((0, 3, 4, None, 1 << 63, 1 << 70)),
        "request.attempt": choices.choose((1, 3, 9223372036854775807, None)),
        "email.domain": choices.choose((word(), None)),
        "answers.purpose.text": choices.choose((word(), word(), None)),
        "person.orgs": choices.choose(((), (word(),), (word(), word()), None)),
        "form": choices.choose(({}, {"a": word()}, {word(): word(), "b": word()}, None)),
    }
    return {name: value for name, value in found.items() if value is not None}


def compile_or_reject(source: str, *, is_let: bool = False) -> Expression:
    try:
        return compile_expression(source, DECLARED, compile_lets(LETS, DECLARED), is_let=is_let)
    except ExpressionProblem:  # such as one that is too costly
        return reject()


def assert_equal_to_engine(expression: Expression, facts: dict[str, FactValue]) -> None:
    lets = compile_lets(LETS, DECLARED)
    bound = bind_facts(facts, lets)
    assert expression.evaluate(bound) == expression.evaluate(replace(bound, needs_engine=True, truths={}))


@given(made_of(60, _condition), made_of(20, _facts))
@example("(email.free || tables.dua) == tables.dua", {"tables.dua": True})
@example('tables.dua && email.domain.matches("(?i)k")', {"tables.dua": True, "email.domain": "\u212a"})
@example('!(tables.dua && email.domain.matches("(?i)k"))', {"tables.dua": True, "email.domain": "\u212a"})
@example('form.exists(a, form[a] == "x" || email.free)', {"form": {"b": "", "a": "x"}})
@example("person.models > 3", {"person.models": 1 << 70})
def test_a_condition_gives_what_the_engine_gives(source: str, facts: dict[str, FactValue]) -> None:
    assert_equal_to_engine(compile_or_reject(source), facts)


def _let_source(choices: Choices) -> str:
    return _condition(choices) if choices.choose((True, False)) else _text(choices, "")


@given(made_of(30, _let_source), made_of(20, _facts))
def test_a_let_gives_what_the_engine_gives(source: str, facts: dict[str, FactValue]) -> None:
    let, bound = compile_or_reject(source, is_let=True), bind_facts(facts, compile_lets(LETS, DECLARED))
    assert let.compute(bound) == let.compute(replace(bound, needs_engine=True, truths={}))


PIECES = st.sampled_from(
    ("a", "k", "S", "|", "(", ")", "(?:", "[", "]", "[^", "-", "a-z", "^", "$", ".", "\\b", "\\w", "\\d", "\\.", "\\x41", "\\xe9", "\u017f", "*", "?")
)  # fmt: skip
LETTERS = st.text("aAkKsSz_.-1\n \0\u017f\u212a\u0130\u0131üßéÉx", max_size=8)


@given(st.booleans(), st.lists(PIECES, max_size=7).map("".join), st.lists(LETTERS, max_size=6))
@example(True, "[^k]", ["\u212a"])
@example(True, "[^\\xe9]", ["É"])
@example(False, "a$", ["a\n"])
@example(False, "[\\d-a]", ["-"])
def test_a_pattern_matches_what_it_matches_in_the_engine(ignores_case: bool, pattern: str, texts: list[str]) -> None:
    quoted = ("(?i)" if ignores_case else "") + pattern.replace("\\", "\\\\")
    expression = compile_or_reject(f'email.domain.matches("{quoted}")')
    for text in texts:
        assert_equal_to_engine(expression, {"email.domain": text})


def test_a_text_does_not_end_at_nul() -> None:
    is_short, bound = compile_expression('email.domain == "a"', DECLARED), bind_facts({"email.domain": "a\0b"})
    assert [is_short.evaluate(replace(bound, needs_engine=only, truths={})).value for only in (False, True)] == [
        False,
        False,
    ]


@pytest.mark.parametrize("let", [r'"a\u0000b"', r'"a" + "\u0000b"'])
@pytest.mark.parametrize("source", ['one == "a"', r'one == "a\u0000b"', "size(one) == 3"])
def test_a_let_with_nul_is_unknown(let: str, source: str) -> None:
    lets = compile_lets({"one": let}, DECLARED)
    bound, condition = bind_facts({}, lets), compile_expression(source, DECLARED, lets)
    found = [condition.evaluate(replace(bound, needs_engine=only, truths={})) for only in (False, True)]
    assert [each.value for each in found] == [None, None]
    assert "NUL" in (found[0].error or "")


# ---- what is compiled ------------------------------------------------------------------------------------------------


def is_compiled(source: str) -> bool:
    return compile_to_python(compile_expression(source, DECLARED)._node) is not None


@pytest.mark.parametrize(
    "source",
    [
        'answers.purpose.quality in ["empty", "junk"]',
        "!answers.consent.all_ticked && person.account_days < 2",
        r'form.exists(label, form[label].matches("(?i)\\b(accept|approved by|maintenance mode)\\b"))',
        r'form.exists(label, form[label].matches("<[a-zA-Z/!?|]|&lt;|[{}]|\\$\\(|%[ds=>]|[\\x00-\\x08\\x7f-\\x9f\u202a]"))',
        'email.domain.matches("(gmail|outlook|[.-]edu[.-]|^edu[.]|xn--)") && !email.free',
        '"Use" in form ? form["Use"] == "yes" : size(person.orgs) > 1',
    ],
)
def test_usual_conditions_need_no_engine(source: str) -> None:
    assert is_compiled(source)


@pytest.mark.parametrize(
    "source",
    [
        "has(form.a)",
        "request.attempt + 1 > 3",
        "request.asked_at < now",
        'email.domain.matches("(a+)+$")',
        'email.domain.matches("(a|a)(a|a)(a|a)b")',
        'email.domain.matches("[[:alpha:]]")',
        "person.orgs.all(a, person.orgs.all(b, a == b))",
        " || ".join(['form.exists(label, label == "a")'] * 9),
    ],
)
def test_what_could_be_slow_or_different_in_python_is_left_to_the_engine(source: str) -> None:
    assert not is_compiled(source)


@pytest.mark.parametrize("pattern", ["(" + "|".join("a" * 60) + ")" + "a" * 120 + "b", "[a-z]" * 50 + "!"])
def test_a_long_text_is_not_searched_in_python_for_a_long_pattern(pattern: str) -> None:
    search = compile_to_python(compile_expression(f'email.domain.matches("{pattern}")', DECLARED)._node)
    assert search is not None
    assert search({"email.domain": ""}, None) is False
    with pytest.raises(EngineNeededError):
        search({"email.domain": "a" * 8_192}, None)
