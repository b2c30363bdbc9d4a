"""Policies combined: the strictest opinion with the strictest terms, and the table in docs/policies.md."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import STRICTNESS, Action, Opinion, PolicyMode
from hf_gate.policies.evaluation.opinions import EVALUATED_STATUSES, STATUS_AFTER, combine_opinions
from tests.kits.paths import ROOT

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PLAIN = Opinion("a", "d" * 64, PolicyMode.ENFORCE, Action.ACCEPT, "r", 0)


def said(policy: str, action: Action) -> Opinion:
    return replace(PLAIN, policy=policy, action=action, rule=f"{policy}-{action}")


def fetching(policy: str, *possible: Action) -> Opinion:
    return replace(said(policy, Action.WAIT), needs=("person.models",), possible=possible)


def lacking(policy: str, *possible: Action) -> Opinion:
    return replace(said(policy, Action.HUMAN), missing=("tables.dua",), possible=possible)


# ---- the strictest wins ---------------------------------------------------------------------------------------------------


def test_a_request_without_any_opinion_needs_review() -> None:
    verdict = combine_opinions([], NOW)
    assert (verdict.action, verdict.rule, verdict.policy) == (Action.HUMAN, "none", None)


# ---- open opinions ----------------------------------------------------------------------------------------------------------


def test_facts_that_can_change_the_verdict_are_waited_for() -> None:
    verdict = combine_opinions([fetching("a", Action.RESET, Action.ACCEPT), said("b", Action.ACCEPT)], NOW)
    assert (verdict.action, verdict.needs) == (Action.WAIT, ("person.models",))


@pytest.mark.parametrize("settled", [Action.HUMAN, Action.WAIT, Action.RESET, Action.REJECT])
def test_facts_that_cannot_make_the_verdict_stricter_are_not_waited_for(settled: Action) -> None:
    verdict = combine_opinions([fetching("a", Action.HUMAN, Action.ACCEPT), said("b", settled)], NOW)
    assert (verdict.action, verdict.needs) == (settled, ())


def test_an_open_opinion_always_counts_against_an_accept() -> None:
    assert combine_opinions([fetching("a", Action.ACCEPT), said("b", Action.ACCEPT)], NOW).action is Action.WAIT
    assert combine_opinions([lacking("a", Action.ACCEPT), said("b", Action.ACCEPT)], NOW).action is Action.HUMAN


# ---- statuses ---------------------------------------------------------------------------------------------------------------


def test_nobody_is_accepted_but_from_pending_and_only_pending_and_accepted_are_moved() -> None:
    assert {status for (status, action) in STATUS_AFTER if action is Action.ACCEPT} == {Status.PENDING}
    assert {status for (status, _) in STATUS_AFTER} == set(EVALUATED_STATUSES) == {Status.PENDING, Status.ACCEPTED}
    assert not any(action in (Action.WAIT, Action.HUMAN) for _, action in STATUS_AFTER)


def test_the_page_tells_the_moves_as_they_are() -> None:
    page = (ROOT / "docs" / "policies.md").read_text("utf-8")
    head = re.search(r"^\| the request is \|(.+)\|$", page, re.MULTILINE)
    assert head is not None
    actions = [cell.strip() for cell in head[1].split("|")]
    assert actions == [action.value for action in STRICTNESS]
    for status in Status:
        row = re.search(rf"^\| {status} \|(.+)\|$", page, re.MULTILINE)
        assert row is not None
        for action, cell in zip(STRICTNESS, (each.strip() for each in row[1].split("|")), strict=True):
            moved = STATUS_AFTER.get((status, action))
            assert cell == (moved or ("stays" if status in EVALUATED_STATUSES else "not evaluated"))
