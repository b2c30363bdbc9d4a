"""The caches of policies: a text that did not change is not parsed, checked or compiled again, and a changed one is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.errors import UsageError
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.verdicts.service.policy_bundle import load_policies
from tests.kits.evaluations import CARD, WORKSPACE, EvaluatedWorkspace
from tests.kits.stores import EEG

MAIN = "policies/main.yaml"
FIRST = "  - {id: first, when: email.academic, then: accept}\n"
SECOND = "  - {id: second, when: email.free, then: human}\n"
ASKS_FORM = '  - {id: first, when: \'"Why" in form && form["Why"] == "x"\', then: human}\n'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[EvaluatedWorkspace]:
    """A workspace with one policy of one rule."""
    made = EvaluatedWorkspace(f"sqlite:///{tmp_path / 'desk.db'}", tmp_path / "desk")
    made.write_policy(FIRST)
    yield made
    made.close()


def _rule_ids(desk: EvaluatedWorkspace) -> list[str]:
    return [rule.id for policy in load_policies(desk.workspace).policies for rule in policy.rules]


def test_a_policy_that_did_not_change_is_not_parsed_again(desk: EvaluatedWorkspace) -> None:
    before = read_folder(desk.folder)
    desk.write_policy(SECOND, "other")
    after = read_folder(desk.folder)
    assert after.files[MAIN] is before.files[MAIN]
    assert after.config is before.config
    assert set(after.files) == {MAIN, "policies/other.yaml"}


def test_a_changed_text_of_the_same_length_and_time_is_parsed_again(desk: EvaluatedWorkspace) -> None:
    file = desk.folder / MAIN
    before, stat = read_folder(desk.folder), file.stat()
    file.write_text(file.read_text("utf-8").replace("first", "later"), "utf-8")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    after = read_folder(desk.folder)
    assert after.files[MAIN] is not before.files[MAIN]
    assert _rule_ids(desk) == ["later"]


def test_a_changed_configuration_is_parsed_again_and_the_policies_are_not(desk: EvaluatedWorkspace) -> None:
    before = read_folder(desk.folder)
    (desk.folder / "hf-gate.yaml").write_text(WORKSPACE.replace("Europe/Zurich", "Asia/Tokyo"), "utf-8")
    after = read_folder(desk.folder)
    assert (str(before.zone), str(after.zone)) == ("Europe/Zurich", "Asia/Tokyo")
    assert after.files[MAIN] is before.files[MAIN]


def test_policies_of_texts_that_did_not_change_are_not_checked_or_compiled_again(desk: EvaluatedWorkspace) -> None:
    before, after = load_policies(desk.workspace), load_policies(desk.workspace)
    assert after.policies is before.policies
    assert after.compiled is before.compiled
    desk.write_policy(FIRST + SECOND)
    changed = load_policies(desk.workspace)
    assert changed.compiled is not before.compiled
    assert [rule.id for rule in changed.compiled["main"].policy.rules] == ["first", "second"]


def test_a_form_that_changes_on_the_hub_checks_the_policies_again(desk: EvaluatedWorkspace) -> None:
    desk.write_policy(ASKS_FORM)
    desk.read(EEG, 1)
    desk.write_form(EEG, CARD)
    assert _rule_ids(desk) == ["first"]
    desk.write_form(EEG, CARD.replace("  Why: text\n", ""))
    with pytest.raises(UsageError, match="has the label 'Why'"):
        load_policies(desk.workspace)


def test_an_error_is_reported_each_time_and_gone_with_its_text(desk: EvaluatedWorkspace) -> None:
    desk.write_policy("  - {id: first, when: email.nonsense, then: accept}\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="nonsense"):
            load_policies(desk.workspace)
    desk.write_policy(FIRST)
    assert _rule_ids(desk) == ["first"]
