"""Explanations of verdicts are complete, safe to print, and right about ways to match."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from hf_gate.base.display_text import make_visible
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import (
    Action,
    Fact,
    FactEnd,
    FactValue,
    Policy,
    PolicyMode,
    Rule,
    RuleTrace,
    Trust,
    UnknownReason,
    Until,
    Verdict,
)
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.words.explanation_lines import (
    ExplanationLine,
    LineMark,
    format_fact,
    format_value,
    render_explanation,
    summarize_verdict,
)
from hf_gate.policies.words.explanations import explain_verdict
from tests.kits.evaluation_model import DECLARED, DrawnPolicy, Tree, facts, policies

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

RULES = (
    Rule("say-more", Action.RESET, when='answers.purpose.quality in ["empty", "junk"]', reason="Please\nsay more."),
    Rule("signed", Action.ACCEPT, when="known && person.account_days > 30", unless="email.free", until=Duration(365)),
    Rule("rest", Action.HUMAN),
)
EEG = Policy(
    "eeg",
    ("acme/x",),
    RULES,
    mode=PolicyMode.ENFORCE,
    let={"known": "email.academic || tables.dua"},
    digest="d" * 64,
)
GOOD: dict[str, Fact] = {
    "answers.purpose.quality": Fact("good", Trust.CLAIMED, "form", NOW - timedelta(days=3)),
    "person.account_days": Fact(12, Trust.ACCOUNT, "account id", NOW),
    "email.academic": Fact(True, Trust.ACCOUNT, "list:academic@2026-11", NOW - timedelta(hours=5)),
    "email.free": Fact(False, Trust.ACCOUNT, "list:free"),
    "tables.dua": Fact(
        None, Trust.YOURS, "table:dua@12345678", NOW, UnknownReason.UNAVAILABLE, "the file is not readable"
    ),
}


def told(known: dict[str, Fact], *policies: Policy) -> tuple[ExplanationLine, ...]:
    verdict = Evaluator([compile_policy(each, DECLARED) for each in policies]).evaluate_with_traces(known, now=NOW)
    assert verdict is not None
    return lines_of(verdict)


def lines_of(verdict: Verdict) -> tuple[ExplanationLine, ...]:
    return tuple(render_explanation(explain_verdict(verdict, NOW, UTC)))


# ---- what is told ----------------------------------------------------------------------------------------------------------


def test_an_explanation_shows_rules_conditions_facts_and_ways_to_match() -> None:
    assert (
        "\n".join(map(str, told(GOOD, EEG)))
        == """\
Needs review: rule `rest` of policy `eeg`
  policy `eeg`: human by rule `rest`
    ✗ say-more (reset) does not match
      ✗ answers.purpose.quality in ["empty", "junk"]
        answers.purpose.quality = "good" (form, claimed, 3 d old)
      it matches if `answers.purpose.quality in ["empty", "junk"]` is true
    ✗ signed (accept) does not match
      ✗ known && person.account_days > 30
        ✓ known
          ✓ email.academic || tables.dua
            ✓ email.academic
              email.academic = true (list:academic@2026-11, account, 5 h old)
            ? tables.dua
              tables.dua unavailable: the file is not readable (table:dua@12345678, yours, just read)
        ✗ person.account_days > 30
          person.account_days = 12 (account id, account, just read)
      ✓ !(email.free)
        ✗ email.free
          email.free = false (list:free, account)
      it matches if `person.account_days > 30` is true
    ✓ rest (human) matches, because it has no condition"""
    )


def test_an_open_verdict_names_what_is_missing_and_what_could_come_out() -> None:
    unknown = {
        **GOOD,
        "email.academic": structs.replace(GOOD["email.academic"], value=None, why=UnknownReason.UNAVAILABLE),
    }
    old = {**unknown, "person.account_days": Fact(400, Trust.ACCOUNT, "account id")}
    lines = told(old, EEG)
    assert lines[0].text == (
        "Needs review: rule `signed` of policy `eeg`; missing: email.academic, tables.dua; possible: human or accept"
    )
    soon = {
        name: structs.replace(fact, why=UnknownReason.NOT_YET) if fact.value is None else fact
        for name, fact in old.items()
    }
    assert "waits until the next turn reads email.academic, tables.dua" in told(soon, EEG)[0].text


def test_a_reason_is_shown_below_the_verdict_on_one_line() -> None:
    lines = told({**GOOD, "answers.purpose.quality": Fact("junk", Trust.CLAIMED, "form")}, EEG)
    assert lines[1] == ExplanationLine(1, LineMark.PLAIN, "reason: Please␊say more.")


def test_a_rule_that_no_change_makes_match_is_marked() -> None:
    never = replace(EEG, rules=(Rule("never", Action.ACCEPT, when="false && email.free"), RULES[2]))
    assert "no small change makes it match" in "\n".join(map(str, told(GOOD, never)))


def test_an_error_is_shown_at_its_condition() -> None:
    broken = replace(EEG, rules=(Rule("asks", Action.ACCEPT, when='form["Use"] == "x" || email.free'), RULES[2]))
    text = "\n".join(map(str, told({**GOOD, "form": Fact({}, Trust.CLAIMED, "form")}, broken)))
    assert '? form["Use"] == "x" (error: ' in text
    assert "missing: rule asks" in text


def test_values_of_all_types_are_shown_on_one_line() -> None:
    values: dict[FactValue, str] = {
        True: "true",
        30: "30",
        "a\nb": '"a␊b"',
        ("x", "y"): '["x", "y"]',
        NOW: "2026-11-25 12:00 UTC",
    }
    assert {value: format_value(value) for value in values} == values
    assert format_value({"Use": "a\x1b[2J"}) == '{"Use": "a␛[2J"}'
    assert len(format_value("x" * 10_000)) < 100
    assert format_fact("now", Fact(NOW, Trust.CLAIMED, "clock"), NOW) == "now = 2026-11-25 12:00 UTC (clock, claimed)"


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (date(2027, 6, 30), "until 30 Jun 2027"),
        (FactEnd("tables.dua.expires", datetime(2027, 6, 30, 22, tzinfo=UTC)), "until 30 Jun 2027"),
        (FactEnd("tables.dua.expires"), "until the date in tables.dua.expires"),
    ],
)
def test_an_end_is_the_last_day_in_the_zone_of_the_workspace(until: Until, words: str) -> None:
    verdict = Verdict(Action.ACCEPT, "eeg", "signed", until=until)
    assert f"; {words}, then sent back" in summarize_verdict(verdict, ZoneInfo("Europe/Zurich"))


def test_an_accept_that_people_must_decide_is_explained() -> None:
    two = Verdict(Action.ACCEPT, "eeg", "signed", reviewers=2)
    assert str(lines_of(two)[1]) == "  people decide: the rule requires 2 reviewers"
    past = Verdict(Action.ACCEPT, "eeg", "signed", until=date(2020, 1, 1))
    line = "  people decide: access would have ended already (2020-01-01)"
    assert str(lines_of(past)[1]) == line
    alone = (
        Verdict(Action.ACCEPT, "eeg", "signed", until=Duration(365)),
        Verdict(Action.HUMAN, "eeg", "rest", reviewers=2),
    )
    assert not any("people decide" in str(line) for verdict in alone for line in lines_of(verdict))


# ---- harmless --------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=200), st.text(max_size=50))
def test_nothing_from_strangers_acts_on_a_terminal_or_breaks_a_line(text: str, note: str) -> None:
    known = {
        **GOOD,
        "answers.purpose.quality": Fact(text, Trust.CLAIMED, text[:50] or "form"),
        "tables.dua": Fact(None, Trust.YOURS, "table", None, UnknownReason.UNAVAILABLE, note),
        "form": Fact({text: note}, Trust.CLAIMED, "form"),
    }
    loud = replace(
        EEG, rules=(Rule("x", Action.ACCEPT, when='form["Use"] == "x" || form[answers.purpose.quality] == "y"'), *RULES)
    )
    for line in told(known, loud):
        assert make_visible(line.text, one_line=True) == line.text
        assert not any(unicodedata.category(char) == "Cc" for char in str(line))


def rules_tried(verdict: Verdict) -> list[RuleTrace]:
    return [tried for each in verdict.opinions for tried in each.rule_traces] + [
        tried for each in verdict.abstentions for tried in each.rule_traces
    ]


# ---- true ------------------------------------------------------------------------------------------------------------------


@given(policies(), facts())
@example(
    DrawnPolicy(
        replace(EEG, let={}, rules=(Rule("twice", Action.HUMAN, "email.free", "email.free"),)),
        ((Tree("email.free"), Tree("email.free")),),
    ),
    {"email.free": Fact(True, Trust.ACCOUNT, "hub")},
)
def test_what_would_have_to_differ_would_make_the_rule_match(drawn: DrawnPolicy, known: dict[str, Fact]) -> None:
    verdict = Evaluator([drawn.compiled]).evaluate_with_traces(known, now=NOW)
    assert verdict is not None
    for tried, (when, unless) in zip(rules_tried(verdict), drawn.trees, strict=False):
        assert (tried.ways_to_match == ()) or tried.matched is not True
        whole = Tree("&&", (when or Tree("true"), Tree("!", (unless or Tree("false"),))))
        for way in tried.ways_to_match:
            assert whole.value(known, {flip.expr: flip.value for flip in way}) is True


@given(policies(), facts())
def test_a_rule_matches_if_all_its_conditions_are_true(drawn: DrawnPolicy, known: dict[str, Fact]) -> None:
    verdict = Evaluator([drawn.compiled]).evaluate_with_traces(known, now=NOW)
    assert verdict is not None
    for tried in rules_tried(verdict):
        values = [because.value for because in tried.conditions]
        assert tried.matched is (False if False in values else None if None in values else True)
