"""The ends that accept rules give: facts in `until`, `keep_while`, and the terms stored with a grant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from hf_gate.core.people.grants import Duration, fix_terms
from hf_gate.core.policy_model import (
    Action,
    Fact,
    FactEnd,
    FactValue,
    Policy,
    PolicyMode,
    Rule,
    Trust,
    UnknownReason,
    Verdict,
)
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.evaluation.opinions import terms_of, why_people_decide
from hf_gate.policies.facts.fact_table import fact_types

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SOON = NOW + timedelta(days=40)
EXPIRES, STATE = "tables.dua.expires", "tables.dua.state"
DECLARED = fact_types(tables=("dua",))
SIGNED = Rule("signed", Action.ACCEPT, until=FactEnd(EXPIRES), notice=(Duration(30),))
KEPT = Rule("kept", Action.ACCEPT, keep_while="valid", grace=Duration(14))


def policy(rule: Rule, name: str = "eeg") -> Policy:
    lets = {"valid": f'{STATE} == "valid"'}
    return Policy(name, ("*/*",), (rule,), PolicyMode.ENFORCE, let=lets, digest=name.ljust(64, "0"))


def verdict_on(known: dict[str, FactValue | None], *policies: Policy) -> Verdict:
    """The verdict, which the fast way and the explained way must agree on."""
    facts = {
        name: Fact(value, Trust.YOURS, "test", why=UnknownReason.UNAVAILABLE if value is None else None)
        for name, value in known.items()
    }
    evaluator = Evaluator([compile_policy(each, DECLARED) for each in policies])
    found, explained = evaluator.evaluate(facts, now=NOW), evaluator.evaluate_with_traces(facts, now=NOW)
    assert found is not None
    assert explained is not None
    assert replace(explained, opinions=(), abstentions=()) == replace(found, opinions=(), abstentions=())
    return found


@pytest.mark.parametrize(
    ("value", "why"),
    [(None, "the end of access is unknown (tables.dua.expires)"), (NOW, "access would have ended already")],
)
def test_an_end_that_is_unknown_or_past_goes_to_people(value: FactValue | None, why: str) -> None:
    found = verdict_on({EXPIRES: value}, policy(SIGNED))
    assert found.action is Action.ACCEPT
    assert why in (why_people_decide(found, NOW, UTC) or "")


@pytest.mark.parametrize(("state", "accepts"), [("valid", True), ("missing", False), (None, False)])
def test_an_acceptance_needs_its_keep_while(state: str | None, accepts: bool) -> None:
    found = verdict_on({STATE: state}, policy(KEPT))
    why = why_people_decide(found, NOW, UTC)
    assert (why is None) is accepts
    if not accepts:
        assert why == "the condition `keep_while` of rule eeg/kept is false or unknown"


def test_terms_hold_the_condition_with_the_names_it_uses() -> None:
    terms = terms_of(verdict_on({STATE: "valid"}, policy(KEPT)))
    assert terms is not None
    (kept,) = terms.keep_while
    assert (kept.policy, kept.rule, kept.expr, kept.grace) == ("eeg", "kept", "valid", "14d")
    assert kept.lets == {"valid": f'{STATE} == "valid"'}


def test_two_policies_give_the_earliest_end_and_all_conditions() -> None:
    year = Rule("year", Action.ACCEPT, until=Duration(months=12), notice=(Duration(7),))
    known: dict[str, FactValue | None] = {EXPIRES: SOON, STATE: "valid"}
    found = verdict_on(known, policy(SIGNED, "a"), policy(KEPT, "b"), policy(year, "c"))
    terms = terms_of(found)
    assert found.until == FactEnd(EXPIRES, SOON)
    assert terms is not None
    assert terms.until == ("1y", EXPIRES)
    assert [each.policy for each in terms.keep_while] == ["b"]
    assert terms.notice == ("30d", "7d")
    fixed = fix_terms(terms, NOW, UTC)
    assert fixed.until == (EXPIRES, "2027-11-27T12:00:00.000Z")
    assert fix_terms(fixed, SOON, UTC) == fixed, "the fixed part never moves again"


def test_fixed_ends_have_no_terms() -> None:
    for until in (Duration(30), date(2027, 1, 1)):
        assert terms_of(verdict_on({}, policy(Rule("r", Action.ACCEPT, until=until)))) is None
