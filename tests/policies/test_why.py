"""The sentence that explains a verdict: it names what decided, and never says something false."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import hf_gate
from hf_gate.base.ids import parse_repo
from hf_gate.core.forms.forms import parse_gate_form
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import (
    Abstention,
    Action,
    Fact,
    FactValue,
    Opinion,
    Policy,
    PolicyMode,
    Rule,
    UnknownReason,
    Verdict,
)
from hf_gate.policies.evaluation.evaluator import CompiledPolicy, Evaluator, compile_policy
from hf_gate.policies.expressions.expressions import BoundFacts
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.policies.words.explanations import (
    NO_POLICY,
    NO_RULE_MATCHES,
    ONLY_SHADOW,
    Checklist,
    explain_verdict,
    trace_named_rules,
)
from hf_gate.policies.words.rule_phrases import describe_rule
from hf_gate.workspace.service.starter_workspace import format_starter_policy
from tests.kits.evaluation_model import DECLARED, NOW, DrawnPolicy, fact, facts, policies

EXAMPLES = Path(hf_gate.__file__).parent / "examples"

# ---- examples --------------------------------------------------------------------------------------------------------

PURPOSE = Rule(
    "say-more", Action.RESET, when='answers.purpose.quality in ["missing", "empty", "junk"]', reason="Say more."
)
ACADEMIC = Rule(
    "academic",
    Action.ACCEPT,
    when='email.academic && person.account_days > 30 && answers.purpose.quality == "good"',
)
REST = Rule("rest", Action.HUMAN)
GOOD: dict[str, FactValue] = {
    "email.academic": True,
    "person.account_days": 800,
    "answers.purpose.quality": "good",
    "email.free": False,
    "email.domain": "mit.edu",
    "tables.dua": False,
}


def policy_of(*rules: Rule, name: str = "eeg", mode: PolicyMode = PolicyMode.ENFORCE, **let: str) -> CompiledPolicy:
    return compile_policy(Policy(name, ("acme/*",), rules, mode=mode, let=let), DECLARED)


def known(**changes: FactValue | UnknownReason) -> dict[str, Fact]:
    values = GOOD | {name.replace("__", "."): value for name, value in changes.items()}
    return {
        name: fact(None, value) if isinstance(value, UnknownReason) else fact(value) for name, value in values.items()
    }


def sentence(*policies: CompiledPolicy, **changes: FactValue | UnknownReason) -> str:
    return sentence_for("pending", *policies, **changes)


def sentence_for(status: str, *policies: CompiledPolicy, **changes: FactValue | UnknownReason) -> str:
    evaluator, some = Evaluator(policies), known(**changes)
    found = evaluator.evaluate_with_traces(some, now=NOW, status=status)
    assert found is not None
    return str(explain_verdict(found, NOW, UTC, status).sentence)


STARTER = policy_of(PURPOSE, ACADEMIC, REST)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Would accept: university address, account 2 years old, clear purpose."),
        ({"email__academic": False}, "Needs review: no university address."),
        ({"person__account_days": 12}, "Needs review: account only 12 days old."),
        ({"answers__purpose__quality": "thin"}, "Needs review: little written about use."),
        ({"answers__purpose__quality": "empty"}, "Would send back: nothing written about use."),
        ({"email__academic": False, "person__account_days": 12}, "Needs review: no rule matches."),
        ({"email__academic": UnknownReason.UNAVAILABLE}, "Needs review: university address not known."),
        ({"email__academic": UnknownReason.NOT_YET}, "On hold: university address not read yet."),
    ],
)
def test_the_sentence_names_what_decided(changes: dict[str, FactValue | UnknownReason], words: str) -> None:
    assert sentence(STARTER, **changes) == words


def test_a_policy_without_a_matching_rule_names_the_nearest_accept_rule() -> None:
    silent = policy_of(ACADEMIC)
    assert sentence(silent, email__academic=False) == "Needs review: no university address."
    assert sentence(silent, email__academic=False, person__account_days=1) == "Needs review: no rule matches."
    assert sentence() == "Needs review: no policy covers this repo."


def test_accept_rules_below_the_deciding_rule_are_not_named() -> None:
    below = policy_of(Rule("all", Action.HUMAN), Rule("academic", Action.ACCEPT, when="email.free"))
    assert sentence(below) == "Needs review: no rule matches."


def test_an_exception_that_holds_is_named_as_what_it_is() -> None:
    unless = policy_of(Rule("in", Action.ACCEPT, when="email.academic", unless="person.account_days < 30"), REST)
    assert sentence(unless, person__account_days=12) == "Needs review: account only 12 days old."
    assert sentence(unless) == "Would accept: university address, account 2 years old."


def test_a_rule_that_says_something_is_explained_by_its_own_sentence() -> None:
    says = policy_of(replace(PURPOSE, says="We cannot tell what you want to study."), REST)
    assert sentence(says, answers__purpose__quality="junk") == "Would send back: We cannot tell what you want to study."


def test_an_accept_that_people_decide_says_why() -> None:
    two = policy_of(replace(ACADEMIC, reviewers=2))
    assert sentence(two) == "Needs review: the rule requires 2 reviewers."


def test_a_rule_for_everybody_says_so() -> None:
    assert sentence(policy_of(Rule("all", Action.ACCEPT))) == "Would accept: the rule is for everybody."
    others = policy_of(Rule("free", Action.HUMAN, when="email.free"), Rule("all", Action.ACCEPT, when="true"))
    assert sentence(others) == "Would accept: the rule is for everybody else."


def test_a_person_with_access_loses_it() -> None:
    away = Policy("away", ("acme/*",), (replace(PURPOSE, when="email.academic"),), PolicyMode.ENFORCE, ("accepted",))
    assert sentence_for("accepted", compile_policy(away, DECLARED)) == "Would end access: university address."


def test_a_failed_rule_is_named() -> None:
    failing = policy_of(Rule("job", Action.ACCEPT, when='form["Job"] == "PI"'), REST)
    assert sentence(failing, form={}) == "Needs review: rule `job` could not be evaluated."


def test_texts_of_people_are_short_and_on_one_line() -> None:
    far = policy_of(Rule("in", Action.ACCEPT, when='email.domain in ["a.org", "b.org"]'), REST)
    words = sentence(far, email__domain="\x1b[31m\u202eevil\n" + "x" * 5000)
    assert words.startswith("Needs review: e-mail domain is “␛[31m⟨U+202E⟩evil␊xxx")
    assert len(words) < 100


# ---- for all policies and facts --------------------------------------------------------------------------------------


def _use(some: Mapping[str, Fact]) -> str | None:
    form = some["form"].value
    return form.get("Use") if isinstance(form, Mapping) else None


def _is(name: str, value: FactValue) -> Callable[[Mapping[str, Fact]], bool]:
    return lambda some: some[name].value == value


def _has_org(some: Mapping[str, Fact]) -> bool:
    orgs = some["person.orgs"].value
    assert isinstance(orgs, tuple)
    return "x" in orgs


ORACLE: dict[str, Callable[[Mapping[str, Fact]], bool]] = {
    "free e-mail address": _is("email.free", True),
    "no free e-mail address": _is("email.free", False),
    "university address": _is("email.academic", True),
    "no university address": _is("email.academic", False),
    "listed in dua": _is("tables.dua", True),
    "not listed in dua": _is("tables.dua", False),
    "listed in staff": _is("tables.staff", True),
    "not listed in staff": _is("tables.staff", False),
    "9 public models": _is("person.models", 9),
    "no public models": _is("person.models", 0),
    "e-mail domain is “a.org”": _is("email.domain", "a.org"),
    "e-mail domain is “b.org”": _is("email.domain", "b.org"),
    "member of “x”": _has_org,
    "not member of “x”": lambda some: not _has_org(some),
    "form has “Use”": lambda some: _use(some) is not None,
    "form has no “Use”": lambda some: _use(some) is None,
    "answer to “Use” is “yes”": lambda some: _use(some) == "yes",
    "answer to “Use” is not “yes”": lambda some: _use(some) == "no",
}
UNKNOWN: dict[str, str] = {
    "free e-mail address": "email.free",
    "university address": "email.academic",
    "entry in dua": "tables.dua",
    "entry in staff": "tables.staff",
    "number of public models": "person.models",
    "e-mail domain": "email.domain",
    "organisations": "person.orgs",
    "form answers": "form",
}


def is_true(words: str, some: Mapping[str, Fact]) -> bool:
    """Check one piece of a sentence against the facts."""
    for ending in (" not known", " not read yet"):
        if words.endswith(ending):
            name = words.removesuffix(ending)
            return name == '`form["Use"] == "yes"`' or some[UNKNOWN[name]].value is None
    if words.startswith("rule `"):
        return words.endswith("could not be evaluated")
    return ORACLE[words](some)


def with_lets(drawn: DrawnPolicy) -> CompiledPolicy:
    """The same policy with each `when` behind a name."""
    lets = {f"c_{rule.id}": rule.when for rule in drawn.policy.rules if rule.when}
    rules = tuple(replace(rule, when=f"c_{rule.id}" if rule.when else None) for rule in drawn.policy.rules)
    return compile_policy(replace(drawn.policy, rules=rules, let=lets), DECLARED)


@given(policies(), facts(), st.booleans())
def test_each_piece_of_a_sentence_is_true(drawn: DrawnPolicy, some: dict[str, Fact], has_lets: bool) -> None:
    evaluator = Evaluator([with_lets(drawn) if has_lets else drawn.compiled])
    verdict = evaluator.evaluate_with_traces(some, now=NOW)
    assert verdict is not None
    found = explain_verdict(verdict, NOW, UTC).sentence
    general = {NO_RULE_MATCHES, NO_POLICY, ONLY_SHADOW, "the rule is for everybody", "the rule is for everybody else"}
    if found.text in general or found.text.startswith(("the rule requires", "access would have ended")):
        return
    pieces = found.text.rpartition(" and ")[0] if found.text.endswith(" more") else found.text
    for piece in pieces.split(", "):
        assert is_true(piece, some), found


@given(st.lists(st.integers(0, 2), min_size=1, max_size=3), st.data())
def test_the_sentence_is_the_same_without_recorded_traces(places: list[int], data: st.DataObject) -> None:
    drawn = [data.draw(policies(name=f"p{n}", mode=None)) for n, _ in enumerate(places)]
    evaluator, some = Evaluator([each.compiled for each in drawn]), data.draw(facts())
    bound: dict[str, BoundFacts] = {}
    traced = evaluator.evaluate_with_traces(some, now=NOW)
    quick = evaluator.evaluate(some, now=NOW, bound=bound)
    assert traced is not None
    assert quick is not None
    assert _sentences(traced) == _sentences(trace_named_rules(evaluator, quick, some, bound))


def _sentences(verdict: Verdict) -> list[str]:
    explanation = explain_verdict(verdict, NOW, UTC)
    return [str(explanation.sentence), *(str(sentence) for _, sentence in explanation.shadow)]


NEAREST = policy_of(
    Rule("nearest", Action.ACCEPT, when='email.academic && email.domain == "a.org" && tables.dua'), REST
)


@given(facts(all_known=True))
def test_a_condition_is_named_only_if_all_others_of_its_rule_hold(some: dict[str, Fact]) -> None:
    verdict = Evaluator([NEAREST]).evaluate_with_traces(some, now=NOW)
    assert verdict is not None
    holds = [some["email.academic"].value, some["email.domain"].value == "a.org", some["tables.dua"].value]
    text = explain_verdict(verdict, NOW, UTC).sentence.text
    names = {"no university address": 0, "e-mail domain is “b.org”": 1, "not listed in dua": 2}
    if holds.count(False) == 1:
        assert names[text] == holds.index(False)
    elif holds.count(False) > 1:
        assert text == NO_RULE_MATCHES


def test_the_longest_wait_is_a_duration() -> None:
    wait = Rule("agreement", Action.WAIT, when="!tables.dua", at_most=Duration(30), after=Action.HUMAN)
    assert sentence(policy_of(wait, REST), request__asked_at=NOW) == "On hold: not listed in dua."


# ---- checklists ------------------------------------------------------------------------------------------------------


def checklist(*policies: CompiledPolicy, **changes: FactValue | UnknownReason) -> Checklist | None:
    found = Evaluator(policies).evaluate_with_traces(known(**changes), now=NOW)
    assert found is not None
    return explain_verdict(found, NOW, UTC).checklist


def lines(found: Checklist | None) -> list[str]:
    assert found is not None
    marks = {True: "✓", False: "✗", None: "?"}
    return [f"{marks[item.holds]} {item.words}" + (f" ({item.found})" if item.found else "") for item in found.items]


def test_a_catch_all_rule_shows_the_accept_rule_that_was_nearest() -> None:
    found = checklist(STARTER, email__academic=False)
    assert found is not None
    assert (found.rule, found.is_deciding) == ("academic", False)
    assert lines(found)[0] == "✗ university address"
    two = checklist(STARTER, email__academic=False, person__account_days=12)
    assert lines(two)[:2] == ["✗ university address", "✗ account older than 30 days (account 12 days old)"]


def test_a_checklist_splits_exceptions_and_names_and_keeps_alternatives_together() -> None:
    rule = Rule("in", Action.ACCEPT, when="partner && !email.free", unless="person.account_days < 30 || tables.staff")
    policy = policy_of(rule, REST, partner="email.academic || tables.dua")
    assert lines(checklist(policy, tables__staff=UnknownReason.UNAVAILABLE)) == [
        "✓ university address or listed in dua",
        "✓ no free e-mail address",
        "✓ account at least 30 days old (account 2 years old)",
        "? not listed in staff",
    ]


def test_what_has_no_words_is_code_in_a_checklist() -> None:
    odd = policy_of(Rule("odd", Action.HUMAN, when="odd"), odd='email.domain + "x" == "mit.edux"')
    assert lines(checklist(odd)) == ["✓ `odd`"]


def test_without_a_rule_there_is_no_checklist() -> None:
    assert checklist() is None
    assert checklist(policy_of(REST)) is None
    assert checklist(policy_of(Rule("all", Action.ACCEPT))) is None


QUALITIES = ("good", "thin", "junk", "empty", "missing")
SETS = [list(some) for size in range(1, 5) for some in combinations(QUALITIES, size)]


@pytest.mark.parametrize("is_negated", [False, True])
@pytest.mark.parametrize("other", [["good"], ["thin"], ["junk", "empty"]], ids=str)
def test_no_explanation_says_a_thing_and_its_opposite(other: list[str], is_negated: bool) -> None:
    """One rule tests the use in one way, another rule and a policy in shadow mode in another way."""
    for qualities in SETS:
        test = f"answers.purpose.quality in {qualities}".replace("'", '"')
        first = Rule("first", Action.ACCEPT, when=f"!({test})" if is_negated else test)
        second = Rule("second", Action.HUMAN, when=f"answers.purpose.quality in {other}".replace("'", '"'))
        evaluator = Evaluator([policy_of(first, REST), policy_of(second, name="shadow", mode=PolicyMode.SHADOW)])
        for value in QUALITIES:
            found = evaluator.evaluate_with_traces(known(answers__purpose__quality=value), now=NOW)
            assert found is not None
            explanation = explain_verdict(found, NOW, UTC)
            items = () if explanation.checklist is None else explanation.checklist.items
            said = [explanation.sentence.text, *(words.text for _, words in explanation.shadow)]
            said += [item.words + (f" ({item.found})" if item.found else "") for item in items if item.holds]
            weak = [words for words in said if "something written" in words and f"({value})" not in words]
            assert value == "good" or not weak, said


@given(policies(), facts())
def test_a_checklist_holds_exactly_if_its_rule_matched(drawn: DrawnPolicy, some: dict[str, Fact]) -> None:
    verdict = Evaluator([drawn.compiled]).evaluate_with_traces(some, now=NOW)
    assert verdict is not None
    found = explain_verdict(verdict, NOW, UTC).checklist
    if found is None:
        return
    parts: list[Opinion | Abstention] = [*verdict.opinions, *verdict.abstentions]
    traces = [one for part in parts for one in part.rule_traces]
    matched = next(one.matched for one in traces if one.rule == found.rule)
    values = [item.holds for item in found.items]
    assert (False if False in values else None if None in values else True) is matched


# ---- the policies that come with hf-gate -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_rule_of_an_example_is_a_sentence_without_code(file: Path) -> None:
    policy = parse_policy(file.read_text("utf-8"), file.name).policy
    assert policy is not None
    sentences = [describe_rule(rule, policy.let, is_first=not at) for at, rule in enumerate(policy.rules)]
    assert not [words for words in sentences if "`" in words or not words.endswith(".")]


def test_the_starter_policy_says_why_it_asks_for_more() -> None:
    form = parse_gate_form("---\nextra_gated_fields:\n  Purpose of use: text\n---\n")
    policy = parse_policy(format_starter_policy([parse_repo("acme/eeg")], [form]), "starter.yaml").policy
    assert policy is not None
    assert [rule.says for rule in policy.rules if rule.says] == ["Nothing useful is written about the use."]
