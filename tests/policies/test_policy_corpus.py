"""Wrong policies with the first suggestion for each, and hostile texts; both are refused cheaply."""

from __future__ import annotations

import sys

import pytest

from hf_gate.core.parsing.strict_yaml import apply_fix
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.policy_tests import run_policy_tests
from tests.kits.wrong_policies import CONFIG, FORMS, WRONG_POLICIES

AT_MOST_WRONG = 3


def _check(text: str) -> CheckedPolicy:
    return check_policy(parse_policy(text, "p.yaml"), config=CONFIG, forms=FORMS)


def _mended(text: str) -> str | None:
    """Why the first suggestion does not mend a policy; None: it does."""
    checked = _check(text)
    if not checked.problems:
        return "nothing was said against it"
    pasted = apply_fix(text, checked.problems[0])
    if pasted is None:
        return f"no suggestion for: {checked.problems[0].message}"
    after = _check(pasted)
    if after.policy is None:
        return f"still wrong: {after.problems[0].message}"
    failed = [result.message for result in run_policy_tests(after) if not result.has_passed]
    return f"means something else: {failed[0]}" if failed else None


def test_the_first_suggestion_pasted_gives_a_policy_that_means_what_its_tests_say() -> None:
    missed = {name: why for name, text in WRONG_POLICIES.items() if (why := _mended(text)) is not None}
    assert len(WRONG_POLICIES) >= 30
    assert len(missed) <= AT_MOST_WRONG * len(WRONG_POLICIES) // 30, missed


@pytest.mark.parametrize("name", WRONG_POLICIES)
def test_each_wrong_policy_is_reported_with_its_position_on_one_line(name: str) -> None:
    for problem in _check(WRONG_POLICIES[name]).problems:
        assert "\n" not in problem.message
        assert problem.code == problem.code.lower()
        line = WRONG_POLICIES[name].split("\n")[problem.position.line - 1]
        assert 1 <= problem.position.column <= len(line) + 1


def test_every_policy_of_the_corpus_is_wrong_as_it_stands() -> None:
    for name, text in WRONG_POLICIES.items():
        checked = _check(text)
        assert checked.problems, name
        failing = checked.policy is not None and any(not result.has_passed for result in run_policy_tests(checked))
        assert checked.policy is None or failing or not checked.problems[0].is_error, name


# ---- bombs -----------------------------------------------------------------------------------------------------------

_LAUGHS = 'a: &a ["lol","lol"]\n' + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
)
BOMBS = {
    "aliases in aliases": _LAUGHS,
    "deep lists": "rules: " + "[" * 60_000,
    "deep maps": "a: " + "{a: " * 10_000,
    "deep blocks": "".join(" " * depth + "a:\n" for depth in range(300)),
    "a huge text": "policy: " + "x" * 1_000_000,
    "a text of 60 kB": "policy: " + "x" * 60_000,
    "many documents": "a: b\n---\n" * 5_000,
    "a merge key": "base: &b {a: 1}\nversion: 1\npolicy: {<<: *b}\n",
    "a NUL": "version: 1\npolicy: a\0b\n",
    "a byte order mark": "\ufeffversion: 1\n",
    "tabs": "version: 1\nrules:\n\t- id: x\n",
    "one line of a megabyte": "# " + "x" * 1_000_000 + "\nversion: 1\n",
    "thousands of keys": "".join(f"k{number}: v\n" for number in range(3_900)),
    "thousands of anchors": "".join(f"k{number}: &a{number} v\n" for number in range(3_000)),
    "a tag of another language": '!!python/object/apply:os.system ["id"]',
    "thousands of commas": "rows: [" + "a," * 30_000 + "]",
    "thousands of escapes": 'a: "' + "\\x41" * 15_000 + '"',
    "a quote never closed": 'a: "' + "x\n" * 30_000,
    "nothing but empty lines": 'a: "' + "\n" * 60_000 + '"',
    "a text over thousands of lines": "a: x\n" + " y\n" * 20_000,
    "nothing but comments": "#\n" * 32_000 + "a: b",
    "as many lines as are read": 'a: "' + "xxxxxxxxxx\n" * 4_900 + '"',
    "another version of YAML": "%YAML 9.9\n---\na: b",
}
MOST_CALLS = 1_200_000
"""Calls of functions while one text is read; so many take less than 100 ms, and they are the same on every machine."""


def _calls(text: str) -> int:
    count = 0

    def seen(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        parse_policy(text)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", BOMBS)
def test_a_text_made_to_harm_is_refused_with_one_line_and_little_work(name: str) -> None:
    parsed = parse_policy(BOMBS[name])
    assert parsed.policy is None
    assert parsed.problems
    assert parsed.problems[0].is_error
    assert len(parsed.problems[0].message) < 400
    assert _calls(BOMBS[name]) <= MOST_CALLS
