"""The terms of an acceptance by hand: the first accept rule of each enforcing policy whose own conditions hold."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given

from hf_gate.core.people.access_end import NO_HAND_TERMS, HandTerms, TermsKind, end_of_terms
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, Fact, FactValue, Policy, PolicyMode, Rule, UnknownReason
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from tests.kits.evaluation_model import DECLARED, NOW, DrawnPolicy, Tree, fact, facts, policies

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


def test_without_an_accept_rule_that_holds_there_is_no_end() -> None:
    assert terms(policy(STAFF, ACADEMIC, REST)) == NO_HAND_TERMS
    endless = Rule("any", Action.ACCEPT, when="tables.dua")
    assert terms(policy(endless, STAFF), tables__staff=True) == NO_HAND_TERMS, "the first that holds has no end"


@pytest.mark.parametrize("why", list(UnknownReason))
def test_an_unknown_condition_leaves_the_end_to_the_person(why: UnknownReason) -> None:
    found = terms(policy(STAFF, ACADEMIC, REST), tables__staff=why, email__academic=True)
    assert (found.kind, found.missing) == (TermsKind.UNKNOWN, ("tables.staff",))
    assert found.needs_choice
    assert end_of_terms(found) is None


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
        assert (found.kind, set((found.end.written or "").split(","))) == (TermsKind.END, ends)
    else:
        assert found == NO_HAND_TERMS
