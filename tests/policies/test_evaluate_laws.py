"""The rules of verdicts, with random policies over known, not yet known and unavailable facts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.policy_model import Action, Fact, FactValue, PolicyMode, UnknownReason, Verdict
from hf_gate.policies.evaluation.evaluator import Evaluator
from hf_gate.policies.evaluation.opinions import NO_RULE
from hf_gate.policies.expressions.expressions import Expression, bind_facts, compile_expression, evaluate_condition
from tests.kits.evaluation_model import (
    DECLARED,
    NOW,
    DrawnPolicy,
    Tree,
    complete_facts,
    facts,
    outcome,
    policies,
    strip_explanation,
    trees,
)


def known_values(some: dict[str, Fact]) -> dict[str, FactValue]:
    return {name: each.value for name, each in some.items() if each.value is not None}


def compiled(tree: Tree) -> Expression:
    return compile_expression(tree.source, DECLARED)


def verdict(drawn: list[DrawnPolicy], known: dict[str, Fact], status: str = "pending") -> Verdict:
    found = Evaluator([each.compiled for each in drawn]).evaluate_with_traces(known, now=NOW, status=status)
    assert found is not None
    return found


# ---- expressions ---------------------------------------------------------------------------------------------------------


@given(trees(), facts())
def test_an_expression_has_the_three_values_of_the_book(tree: Tree, known: dict[str, Fact]) -> None:
    assert compiled(tree).evaluate(bind_facts(known_values(known))).value is tree.value(known)


@given(trees(), facts(), st.data())
def test_what_came_out_stays_whatever_else_becomes_known(
    tree: Tree, known: dict[str, Fact], data: st.DataObject
) -> None:
    expression = compiled(tree)
    before = expression.evaluate(bind_facts(known_values(known))).value
    if before is not None:
        after = data.draw(complete_facts(known))
        assert expression.evaluate(bind_facts(known_values(after))).value is before


@given(trees(), facts(), st.data())
def test_the_missing_facts_are_unknown_ones_and_enough(tree: Tree, known: dict[str, Fact], data: st.DataObject) -> None:
    expression = compiled(tree)
    truth = expression.evaluate(bind_facts(known_values(known)))
    if truth.value is not None:
        assert not truth.missing
        assert truth.error is None
        return
    assert truth.missing or truth.error
    assert all(known[name].value is None for name in truth.missing)
    full = data.draw(complete_facts(known))
    filled = {name: full[name] if name in truth.missing else each for name, each in known.items()}
    after = expression.evaluate(bind_facts(known_values(filled)))
    assert after.value is not None or after.error


@given(st.lists(st.tuples(st.none() | trees(), st.none() | trees()), min_size=1, max_size=40), facts())
def test_many_conditions_that_share_their_facts_have_the_three_values_of_the_book(
    pairs: list[tuple[Tree | None, Tree | None]], known: dict[str, Fact]
) -> None:
    bound = bind_facts(known_values(known))
    for when, unless in pairs:
        condition = (compiled(when) if when else None, compiled(unless) if unless else None)
        wanted = Tree("&&", (when or Tree("true"), Tree("!", (unless or Tree("false"),)))).value(known)
        assert evaluate_condition(condition, bound).value is wanted


# ---- one policy ----------------------------------------------------------------------------------------------------------


@given(policies(), facts())
def test_the_opinion_of_a_policy_matches_the_model(drawn: DrawnPolicy, known: dict[str, Fact]) -> None:
    found = verdict([drawn], known)
    wanted, is_open = outcome(drawn, known)
    if wanted is None:
        assert (found.action, found.rule) == (Action.HUMAN, NO_RULE)
        assert [each.policy for each in found.abstentions] == ["p"]
        return
    (opinion,) = found.opinions
    assert found.action is opinion.action is wanted
    assert bool(opinion.possible) is is_open
    assert bool(opinion.needs) is (is_open and wanted is Action.WAIT)
    assert bool(opinion.missing) is (is_open and wanted is Action.HUMAN)


@given(policies(), facts(), st.data())
def test_only_facts_that_can_be_fetched_are_needed_and_with_them_it_waits_no_more(
    drawn: DrawnPolicy, known: dict[str, Fact], data: st.DataObject
) -> None:
    found = verdict([drawn], known)
    assert all(known[name].why is UnknownReason.NOT_YET for name in found.needs)
    if found.needs:
        full = data.draw(complete_facts(known))
        fetched = {name: full[name] if name in found.needs else each for name, each in known.items()}
        assert not verdict([drawn], fetched).needs


@given(policies(), facts(), st.data())
def test_an_accept_stays_one_whatever_becomes_known(
    drawn: DrawnPolicy, known: dict[str, Fact], data: st.DataObject
) -> None:
    if verdict([drawn], known).action is Action.ACCEPT:
        after = verdict([drawn], data.draw(complete_facts(known)))
        assert after.action is Action.ACCEPT or after.missing  # a label that the form lacks is an error even then


# ---- all policies ----------------------------------------------------------------------------------------------------------


@given(policies("b", mode=None), policies("c", mode=None), policies("a"), facts())
def test_a_policy_more_never_yields_an_accept_where_another_has_an_opinion_an_outage_or_an_unknown(
    one: DrawnPolicy, two: DrawnPolicy, added: DrawnPolicy, known: dict[str, Fact]
) -> None:
    before = verdict([one, two], known)
    after = verdict([one, two, added], known)
    if before.rule != NO_RULE and after.action is Action.ACCEPT:
        assert before.action is Action.ACCEPT


@given(policies("a"), policies("b"), facts(), st.sampled_from(("pending", "accepted")))
def test_the_order_of_policies_does_not_matter(
    one: DrawnPolicy, two: DrawnPolicy, known: dict[str, Fact], status: str
) -> None:
    there = Evaluator([one.compiled, two.compiled]).evaluate_with_traces(known, now=NOW, status=status)
    back = Evaluator([two.compiled, one.compiled]).evaluate_with_traces(known, now=NOW, status=status)
    assert there == back


@given(policies("a"), policies("s", mode=PolicyMode.SHADOW), facts())
def test_a_shadow_policy_is_reported_and_changes_nothing(
    one: DrawnPolicy, shadow: DrawnPolicy, known: dict[str, Fact]
) -> None:
    alone, both = verdict([one], known), verdict([one, shadow], known)
    assert (both.action, both.rule, both.opinions, both.needs) == (
        alone.action,
        alone.rule,
        alone.opinions,
        alone.needs,
    )
    beside = [each.policy for each in both.shadow] + [
        each.policy for each in both.abstentions if each.mode is PolicyMode.SHADOW
    ]
    assert beside == ["s"]


@given(
    st.lists(policies("x", mode=None), min_size=1, max_size=3),
    facts(),
    st.sampled_from(("pending", "accepted", "reset")),
)
def test_verdicts_with_and_without_traces_are_equal(
    some: list[DrawnPolicy], known: dict[str, Fact], status: str
) -> None:
    judge = Evaluator([each.compiled for each in some])
    slow = judge.evaluate_with_traces(known, now=NOW, status=status)
    for _ in range(2):  # the second time from memory
        assert judge.evaluate(known, now=NOW, status=status) == strip_explanation(slow)
