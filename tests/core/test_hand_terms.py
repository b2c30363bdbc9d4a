"""The terms of an acceptance by hand: the first accept rule of each enforcing policy whose own conditions hold."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from msgspec.structs import replace

from hf_gate.base.timestamps import to_iso
from hf_gate.core.people.grants import Duration
from hf_gate.core.people.hand_terms import NO_HAND_TERMS, HandTerms, TermsKind, end_of_terms
from hf_gate.core.policy_model import Action, Fact, FactEnd, FactValue, Policy, PolicyMode, Rule, UnknownReason
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from tests.kits.evaluation_model import DECLARED, NOW, DrawnPolicy, Tree, fact, facts, policies

JUNK = Rule("junk", Action.RESET, when="email.free", reason="Say more.")
STAFF = Rule("staff", Action.ACCEPT, when="tables.staff", until=Duration(0, 12), at_end=Action.REJECT)
ACADEMIC = Rule("academic", Action.ACCEPT, when="email.academic", unless="email.free", until=Duration(90))
REST = Rule("rest", Action.HUMAN)
KNOWN: dict[str, FactValue] = {"tables.staff": False, "email.academic": False, "email.free": False, "tables.dua": True}


def terms(*rules: Policy, now: datetime = NOW, **given_facts: FactValue | UnknownReason) -> HandTerms:
    known = {name: fact(value) for name, value in KNOWN.items()}
    for name, value in given_facts.items():
        unknown = isinstance(value, UnknownReason)
        known[name.replace("__", ".")] = fact(None, value) if unknown else fact(value)  # type: ignore[arg-type]
    evaluator = Evaluator([compile_policy(each, DECLARED) for each in rules])
    found = evaluator.evaluate(known, now=now)
    assert found is not None
    assert found.by_hand == evaluator.terms_by_hand(known, now=now)
    return found.by_hand


def policy(*rules: Rule, name: str = "eeg", mode: PolicyMode = PolicyMode.ENFORCE) -> Policy:
    return Policy(name, ("acme/*",), rules, mode=mode, digest=name.ljust(64, "0"))


def test_a_person_whom_the_rules_leave_to_people_gets_the_end_of_the_accept_rule_that_holds() -> None:
    asks_people = Rule("vip", Action.HUMAN, when="email.academic")
    one_year = HandTerms(TermsKind.END, "1y", "reject", "eeg/staff")
    assert terms(policy(asks_people, STAFF), email__academic=True, tables__staff=True) == one_year
    assert terms(policy(JUNK, STAFF), email__free=True, tables__staff=True) == one_year
    assert terms(policy(STAFF, REST), tables__staff=True) == one_year, "and so does one whom a rule accepts"


def test_only_the_first_accept_rule_that_holds_counts() -> None:
    found = terms(policy(STAFF, ACADEMIC), tables__staff=True, email__academic=True)
    assert (found.until, found.rule) == ("1y", "eeg/staff")
    found = terms(policy(STAFF, ACADEMIC), email__academic=True)
    assert (found.until, found.at_end, found.rule) == ("90d", "reset", "eeg/academic")
    assert terms(policy(STAFF, ACADEMIC), email__academic=True, email__free=True) == NO_HAND_TERMS, "`unless` counts"


def test_without_an_accept_rule_that_holds_there_is_no_end() -> None:
    assert terms(policy(STAFF, ACADEMIC, REST)) == NO_HAND_TERMS
    endless = Rule("any", Action.ACCEPT, when="tables.dua")
    assert terms(policy(endless, STAFF), tables__staff=True) == NO_HAND_TERMS, "the first that holds has no end"


def test_of_two_policies_the_earliest_end_and_the_strictest_action_at_the_end_apply() -> None:
    other = replace(ACADEMIC, id="short", when="tables.dua", unless=None, until=Duration(30))
    found = terms(policy(STAFF), policy(other, name="other"), tables__staff=True)
    assert found == HandTerms(TermsKind.END, "1y,30d", "reject", "other/short")
    shadow = policy(other, name="other", mode=PolicyMode.SHADOW)
    assert terms(policy(STAFF), shadow, tables__staff=True).until == "1y", "a policy in shadow mode does not count"


@pytest.mark.parametrize("why", list(UnknownReason))
def test_an_unknown_condition_leaves_the_end_to_the_person(why: UnknownReason) -> None:
    found = terms(policy(STAFF, ACADEMIC, REST), tables__staff=why, email__academic=True)
    assert (found.kind, found.missing) == (TermsKind.UNKNOWN, ("tables.staff",))
    assert found.needs_choice
    assert end_of_terms(found) is None


def test_an_end_in_the_past_is_left_to_the_person() -> None:
    dated = replace(STAFF, until=date(2026, 11, 26))
    assert terms(policy(dated), tables__staff=True).kind is TermsKind.END
    later = terms(policy(dated), tables__staff=True, now=NOW + timedelta(days=3))
    assert later.kind is TermsKind.PAST
    assert later.needs_choice


def _condition(pair: tuple[Tree | None, Tree | None], known: dict[str, Fact]) -> bool | None:
    when, unless = pair
    return Tree("&&", (when or Tree("true"), Tree("!", (unless or Tree("false"),)))).value(known)


@given(policies("a", mode=None), policies("b", mode=None), facts())
def test_random_policies_give_the_terms_of_the_model(
    one: DrawnPolicy, two: DrawnPolicy, known: dict[str, Fact]
) -> None:
    evaluator = Evaluator([one.compiled, two.compiled])
    rules, is_unknown = list[Rule](), False
    for drawn in (one, two):
        if drawn.policy.mode is not PolicyMode.ENFORCE:
            continue
        accepting = [
            (rule, _condition(pair, known))
            for rule, pair in zip(drawn.policy.rules, drawn.trees, strict=True)
            if rule.then is Action.ACCEPT
        ]
        if not any(rule.until for rule, _ in accepting):
            continue
        rule, value = next(((rule, value) for rule, value in accepting if value is not False), (None, False))
        is_unknown = is_unknown or value is None
        if rule is not None and value:
            rules.append(rule)
    found = evaluator.terms_by_hand(known, now=NOW)
    verdict, traced = evaluator.evaluate(known, now=NOW), evaluator.evaluate_with_traces(known, now=NOW)
    assert verdict is not None
    assert traced is not None
    assert verdict.by_hand == traced.by_hand == found
    ends = {str(rule.until) for rule in rules if rule.until}
    if is_unknown:
        assert found.kind is TermsKind.UNKNOWN
    elif ends:
        assert (found.kind, set((found.until or "").split(","))) == (TermsKind.END, ends)
    else:
        assert found == NO_HAND_TERMS


def test_a_date_in_a_table_is_the_end_of_the_person() -> None:
    follows = replace(STAFF, when="tables.dua", until=FactEnd("tables.dua.expires"))
    later = NOW + timedelta(days=40)
    found = terms(policy(follows), tables__dua__expires=later)
    assert (found.kind, found.until, found.rule) == (TermsKind.END, to_iso(later), "eeg/staff")
    assert found.document is not None
    assert found.document.until == ("tables.dua.expires",)
    assert found.digest == found.document.digest
    assert found.token != terms(policy(follows), tables__dua__expires=later + timedelta(days=1)).token
    assert terms(policy(follows), tables__dua__expires=NOW - timedelta(days=1)).kind is TermsKind.PAST
    unknown = terms(policy(follows), tables__dua__expires=UnknownReason.UNAVAILABLE)
    assert (unknown.kind, unknown.missing) == (TermsKind.UNKNOWN, ("tables.dua.expires",))


def test_a_condition_that_is_not_true_now_is_left_to_the_person() -> None:
    kept = replace(STAFF, when=None, until=None, keep_while="tables.staff")
    other = replace(STAFF, id="dua", when="tables.dua", keep_while="tables.dua")
    found = terms(policy(kept), policy(other, name="other"), tables__staff=True)
    assert (found.kind, found.until) == (TermsKind.END, "1y")
    assert found.document is not None
    assert [each.rule for each in found.document.keep_while] == ["staff", "dua"], "all conditions apply"
    no_date = terms(policy(kept), tables__staff=True)
    assert (no_date.kind, no_date.until, no_date.rule) == (TermsKind.END, None, "eeg/staff")
    for value in (False, UnknownReason.UNAVAILABLE):
        assert terms(policy(kept), tables__staff=value).kind is TermsKind.FALSE
