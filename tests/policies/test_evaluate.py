"""Verdicts on single cases; test_evaluate_laws.py checks the rules in general."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, Fact, FactValue, Policy, PolicyMode, Rule, Trust, UnknownReason, Verdict
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.expressions.expression_problems import ExpressionProblem
from hf_gate.policies.facts.fact_table import fact_types

DECLARED = fact_types(tables=("dua", "partners"))
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ASKED = NOW - timedelta(days=10)

SAY_MORE = Rule("say-more", Action.RESET, when='answers.purpose.quality in ["empty", "junk"]', reason="Say more.")
AGREEMENT = Rule("agreement", Action.WAIT, when='tables.dua.state != "valid"', at_most=Duration(30), after=Action.RESET, reason="Sign it.")  # fmt: skip
SIGNED = Rule("signed", Action.ACCEPT, when="institutional && person.account_days > 30", until=Duration(0, 12))
ACTIVE = Rule("active", Action.ACCEPT, when="person.models > 3")
REST = Rule("rest", Action.HUMAN)
LETS = {"institutional": "email.academic || tables.partners"}


def policy(*rules: Rule, name: str = "eeg", **keys: object) -> Policy:
    plain = Policy(name, ("datasets/acme/eeg",), rules, mode=PolicyMode.ENFORCE, let=LETS, digest=name.ljust(64, "0"))
    return replace(plain, **keys)


def facts(**values: FactValue | UnknownReason) -> dict[str, Fact]:
    """`email__free=True` is a fact; a Why in place of a value is unknown for that reason."""
    found = {"request.asked_at": Fact(ASKED, Trust.CLAIMED, "request")}
    for name, value in values.items():
        known = None if isinstance(value, UnknownReason) else value
        why = value if isinstance(value, UnknownReason) else None
        found[name.replace("__", ".")] = Fact(known, Trust.ACCOUNT, "hub", NOW, why)
    return found


GOOD = facts(
    answers__purpose__quality="good",
    tables__dua__state="valid",
    tables__partners=False,
    email__academic=True,
    person__account_days=400,
    person__models=0,
)
EEG = policy(SAY_MORE, AGREEMENT, SIGNED, REST)


def verdict(
    known: dict[str, Fact], *policies: Policy, status: str = "pending", since: datetime | None = None
) -> Verdict:
    found = Evaluator([compile_policy(each, DECLARED) for each in policies]).evaluate_with_traces(
        known, now=NOW, status=status, since=since
    )
    assert found is not None
    return found


def but(**values: FactValue | UnknownReason) -> dict[str, Fact]:
    return {**GOOD, **{name: each for name, each in facts(**values).items() if name != "request.asked_at"}}


# ---- one policy ----------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_decides_on_its_terms() -> None:
    signed = verdict(GOOD, EEG)
    assert (signed.action, signed.rule, signed.until, signed.at_end) == (
        Action.ACCEPT,
        "signed",
        Duration(0, 12),
        Action.RESET,
    )
    assert signed.digest == "eeg".ljust(64, "0")
    junk = verdict(but(answers__purpose__quality="junk"), EEG)
    assert (junk.action, junk.rule, junk.reason, junk.until) == (Action.RESET, "say-more", "Say more.", None)
    young = verdict(but(person__account_days=3), EEG)
    assert (young.action, young.rule) == (Action.HUMAN, "rest")


def test_a_fact_that_cannot_change_the_outcome_is_not_fetched() -> None:
    everything = replace(REST, then=Action.ACCEPT)
    same = verdict(but(person__models=UnknownReason.NOT_YET), policy(ACTIVE, everything))
    assert (same.action, same.rule, same.needs) == (Action.ACCEPT, "rest", ())
    late = verdict(but(person__models=UnknownReason.NOT_YET, email__academic=UnknownReason.NOT_YET), policy(SIGNED, replace(ACTIVE, then=Action.HUMAN), REST))  # fmt: skip
    assert late.needs == ("email.academic",)


def test_a_fact_that_nobody_gave_counts_as_unavailable() -> None:
    without = {name: each for name, each in GOOD.items() if name != "tables.dua.state"}
    assert verdict(without, EEG).missing == ("tables.dua.state",)


def test_what_can_be_fetched_does_not_hide_what_cannot() -> None:
    both = policy(replace(ACTIVE, then=Action.RESET, reason="x"), SIGNED, REST)
    first = verdict(but(person__models=UnknownReason.NOT_YET, email__academic=UnknownReason.UNAVAILABLE), both)
    assert (first.action, first.needs) == (Action.WAIT, ("person.models",))  # if it matches, the rest does not matter
    other = verdict(but(person__models=UnknownReason.UNAVAILABLE, email__academic=UnknownReason.NOT_YET), both)
    assert (other.action, other.missing) == (Action.HUMAN, ("email.academic", "person.models"))


def test_if_all_branches_agree_the_strictest_terms_apply() -> None:
    short = Rule("short", Action.ACCEPT, when="person.models > 3", until=Duration(30), reviewers=2)
    long = Rule("long", Action.ACCEPT, until=date(2027, 12, 31), at_end=Action.REJECT, end_reason="over")
    found = verdict(but(person__models=UnknownReason.UNAVAILABLE), policy(short, long))
    assert (found.action, found.rule, found.until) == (Action.ACCEPT, "short", Duration(30))
    assert (found.at_end, found.end_reason, found.reviewers) == (Action.REJECT, "over", 2)
    assert not found.missing


# ---- who is judged ---------------------------------------------------------------------------------------------------------


def test_a_pending_request_without_a_policy_needs_review() -> None:
    assert (
        Evaluator([]).evaluate(GOOD, now=NOW)
        == Evaluator([]).evaluate_with_traces(GOOD, now=NOW)
        == Verdict(Action.HUMAN, None, "none")
    )


# ---- the rest --------------------------------------------------------------------------------------------------------------


def test_a_judge_names_all_facts_that_it_wants() -> None:
    assert Evaluator([compile_policy(EEG, DECLARED)]).facts == {
        "answers.purpose.quality",
        "tables.dua.state",
        "email.academic",
        "tables.partners",
        "person.account_days",
        "request.asked_at",
    }


def test_a_mistake_names_its_rule_and_key() -> None:
    with pytest.raises(ExpressionProblem) as caught:
        compile_policy(policy(REST, replace(ACTIVE, unless="emial.free")), DECLARED)
    assert (caught.value.rule, caught.value.key, caught.value.offset) == ("active", "unless", 0)
