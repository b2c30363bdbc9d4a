"""The shipped examples are without fault, and policies read as sentences."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from hf_gate.core.policy_model import Action
from hf_gate.policies.checks.policy_checker import check_policy
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.policies.words.descriptions import describe_policies
from hf_gate.verdicts.policy_tests import run_policy_tests
from tests.kits.paths import ROOT
from tests.kits.policies import check, write_policy

EXAMPLES = ("consumer", "academic", "medical", "class", "deny")


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_shipped_example_is_without_fault_and_passes_its_own_tests(name: str) -> None:
    text = (files("hf_gate") / "examples" / f"{name}.yaml").read_text("utf-8")
    found = check_policy(parse_policy(text, name))
    assert found.problems == ()
    results = run_policy_tests(found)
    assert len(results) >= 4
    assert [result.message for result in results if not result.has_passed] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_rule_of_an_example_but_a_last_one_for_all_others_is_tried_by_one_of_its_tests(name: str) -> None:
    text = (files("hf_gate") / "examples" / f"{name}.yaml").read_text("utf-8")
    found = check_policy(parse_policy(text, name))
    assert found.policy is not None
    actions = {result.verdict.action for result in run_policy_tests(found)}
    assert {rule.then for rule in found.policy.rules} - actions <= {Action.REJECT}


def test_a_policy_is_described_as_numbered_sentences() -> None:
    text = write_policy(
        "- id: ask\n  when: answers.purpose.quality == 'thin'\n  then: reset\n  reason: Say more.\n"
        "- id: paper\n  when: tables.dua.state == 'missing'\n  then: wait\n  at_most: 30d\n  after: human\n"
        "- id: ours\n  when: known\n  then: accept\n  until: 1y\n"
        "- id: rest\n  then: human",
        "let: {known: email.academic || tables.partners}\nmode: enforce\n",
    )
    found = check(text).policy
    assert found is not None
    assert describe_policies([found]) == [
        "Policy p covers pending requests in `acme/model`; the first rule that matches decides.",
        "Send back when little written about use, with the reason “Say more.”; the person may request access again (ask).",
        "On hold when no entry in dua, for at most 30 days, evaluated at each run; then reviewed by a person (paper).",
        "Accept when either university address or listed in partners, for 1 year; then access ends, and the person may request it again (ours).",
        "Everybody else needs review (rest).",
        "A request that depends on an unavailable fact needs review; it is never accepted.",
    ]


def test_the_sentence_of_a_rule_says_who_accepts_before_it_says_when_access_ends() -> None:
    found = check(write_policy("- id: ours\n  then: accept\n  until: 1y\n  reviewers: 2", "mode: enforce\n"))
    assert found.policy is not None
    assert describe_policies([found.policy])[1] == (
        "Accept everybody, by 2 reviewers (never automatically), for 1 year; then access ends, "
        "and the person may request it again (ours)."
    )


def test_descriptions_mention_shadow_mode_and_how_policies_combine() -> None:
    one = check(write_policy("- id: rest\n  then: human")).policy
    two = check(write_policy("- id: rest\n  then: human", "mode: enforce\n").replace("policy: p", "policy: q")).policy
    three = check(write_policy("- id: rest\n  then: human", "mode: enforce\n")).policy
    assert one is not None
    assert two is not None
    assert three is not None
    assert "in shadow" in describe_policies([one])[0]
    assert any("strictest" in line for line in describe_policies([two, three]))
    assert not any("strictest" in line for line in describe_policies([one, two]))


def test_the_policy_and_the_desk_on_the_page_about_policies_are_without_fault() -> None:
    page = (ROOT / "docs" / "policies.md").read_text("utf-8")
    desk_text, policy_text = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    desk = parse_config(desk_text)
    assert desk.problems == ()
    found = check_policy(parse_policy(policy_text, "p.yaml"), config=desk.config)
    assert found.problems == ()
    assert [result.has_passed for result in run_policy_tests(found)] == [True]
