"""Plans in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from hf_gate.core.changes import ChangeReason
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.people.grants import GrantCondition, GrantTerms
from hf_gate.verdicts.plan.words import describe_effects, describe_reasons
from tests.kits.plans import make_change

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_the_effects_of_a_plan_are_one_sentence() -> None:
    accepted, reset = [make_change(n) for n in range(3)], [make_change(9, after="reset")]
    assert describe_effects([*accepted, *reset], {"human": 974}) == (
        "3 people get access, 1 is sent back, 974 need review"
    )
    assert describe_effects([make_change(1, before="accepted", after="reset")], {}) == "1 person loses access"
    assert describe_effects([], {"human": 1, "wait": 3}) == "1 needs review"
    assert describe_effects([], {}) == ""
    assert describe_effects([], {"human": 3, "accept_human": 1}) == "3 need review"  # the one is among the three


@pytest.mark.parametrize(
    ("expr", "facts", "words"),
    [
        ("email.academic", {"email.academic": True}, "university address"),
        ("person.account_days > 30", {"person.account_days": 800}, "account 2 years old"),
        ('answers.purpose.text.contains("x")', {"answers.purpose.text": "x\n"}, "purpose contains “x”"),
        ("a ? b : c", {}, "`a ? b : c`"),
        (
            'answers.purpose.quality in ["good", "thin"]',
            {"answers.purpose.quality": "thin"},
            "something written about use (thin)",
        ),
        ('answers.purpose.quality == "thin"', {"answers.purpose.quality": "thin"}, "little written about use"),
    ],
)
def test_a_reason_of_a_plan_has_words_or_stays_code(expr: str, facts: dict[str, Any], words: str) -> None:
    reason = ChangeReason(expr=expr, value=True, facts=facts)
    assert describe_reasons(replace(make_change(1), because=[reason]), NOW, UTC) == words


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (AccessEnd("2027-06-30"), "access until 30 Jun 2027"),
        (AccessEnd("30d"), "access until 31 Dec 2026"),
        (
            AccessEnd("30d", terms=GrantTerms(keep_while=(GrantCondition(policy="p", rule="r", expr="true"),))),
            "access until 31 Dec 2026, under a condition",
        ),
        (AccessEnd(None, rule="class/roster", terms=GrantTerms()), "access lasts while rule class/roster holds"),
        (AccessEnd(), ""),
        (None, ""),
    ],
)
def test_a_plan_says_until_when_an_acceptance_gives_access(end: AccessEnd | None, words: str) -> None:
    assert describe_reasons(replace(make_change(1), because=[], end=end), NOW, UTC) == words
    assert describe_reasons(replace(make_change(1, after="reset"), because=[], end=end), NOW, UTC) == ""
