"""Runs the `tests:` of a policy with the evaluator that real requests use, and explains failures."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import PolicyMode, PolicyTest, Verdict
from hf_gate.policies.checks.policy_checker import CheckedPolicy
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.facts.policy_test_facts import build_test_facts
from hf_gate.policies.words.explanation_lines import render_rule

MAX_TRACED_PARTS = 50_000  # the most parts of conditions whose values all explanations together may show
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class PolicyTestResult(Struct, frozen=True):
    """The result of one test. For a failed test, `message` is one line, and `why` lists the rules that were tried."""

    __test__ = False  # pytest must not collect it

    test: PolicyTest
    verdict: Verdict
    has_passed: bool
    message: str = ""
    why: tuple[str, ...] = ()


def run_policy_tests(checked: CheckedPolicy) -> tuple[PolicyTestResult, ...]:
    """Run all tests of a policy; return no results if the policy has errors. Shadow policies are tested as if enforced.

    `now` is the test's own value, else the time of its request, else a fixed day. The number of explained failures
    depends on the size of the conditions.
    """
    if checked.policy is None:
        return ()
    policy = replace(checked.policy, mode=PolicyMode.ENFORCE, judges=(Status.PENDING,))
    evaluator = Evaluator([compile_policy(policy, checked.declared)])
    parts = sum(condition.root.unfolded for condition in checked.conditions.values())
    left = max(1, MAX_TRACED_PARTS // max(1, parts))
    results = list[PolicyTestResult]()
    for test in policy.tests:
        result = _run_test(evaluator, test, checked, with_reasons=left > 0)
        left -= not result.has_passed
        results.append(result)
    return tuple(results)


def _run_test(
    evaluator: Evaluator, test: PolicyTest, checked: CheckedPolicy, *, with_reasons: bool
) -> PolicyTestResult:
    facts = build_test_facts(test, checked.declared)
    asked = facts["request.asked_at"].value
    now = facts["now"].value or asked or _EPOCH
    if not isinstance(now, datetime):
        now = _EPOCH
    since = asked if isinstance(asked, datetime) else now
    verdict = evaluator.evaluate(facts, now=now, since=since)
    if verdict is None:
        raise AssertionError("a pending request always has a verdict")
    wrong = _describe_difference(test, verdict)
    if not wrong:
        return PolicyTestResult(test, verdict, has_passed=True)
    explained = evaluator.evaluate_with_traces(facts, now=now, since=since) if with_reasons else None
    opinions = () if explained is None else explained.opinions
    why = tuple(
        str(line) for opinion in opinions for trace in opinion.rule_traces for line in render_rule(trace, now, depth=0)
    )
    return PolicyTestResult(test, verdict, has_passed=False, message=f"{wrong}{_describe_missing(verdict)}", why=why)


def _describe_difference(test: PolicyTest, verdict: Verdict) -> str:
    wanted = " by ".join(word for word in (test.then.value if test.then else "", test.rule or "") if word)
    actual = f"{verdict.action.value} by {verdict.rule}"
    if test.then not in (None, verdict.action) or test.rule not in (None, verdict.rule):
        return f"expected {wanted}, got {actual}"
    return ""


def _describe_missing(verdict: Verdict) -> str:
    names = sorted({*verdict.missing, *verdict.needs})
    return f": the test does not state {', '.join(names)}" if names else ""
