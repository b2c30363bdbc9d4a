"""A changed policy: how many ends would move, which ends the command moves, and which a person chose and stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.grants.service.ends.approved_ends import EndChanger
from hf_gate.grants.service.ends.end_adoption import (
    CHOSEN,
    Adoption,
    count_outdated_ends,
    iterate_accepted,
    outdated_ends_note,
    plan_adoption,
)
from hf_gate.grants.service.ends.grant_ends import refresh_ends
from hf_gate.grants.service.ends.terms_reader import load_terms_reader
from hf_gate.settings import setting_keys
from tests.kits.grant_workspaces import KEPT, LENA, SIGNED, GrantWorkspace, make_grant_workspace, policy


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = make_grant_workspace(tmp_path)
    yield made
    made.close()


def count(scene: GrantWorkspace) -> int:
    return count_outdated_ends(scene.workspace, scene.bundle, scene.now)


def adopt(scene: GrantWorkspace, *, from_acceptance: bool = False) -> Adoption:
    rows = iterate_accepted(scene.store, None, with_end=True)
    reader = load_terms_reader(scene.workspace)
    return plan_adoption(scene.store, rows, reader, scene.now, scene.zone, from_acceptance=from_acceptance)


def names(adoption: Adoption) -> list[str]:
    return sorted(str(one.row.person.identity.username) for one in adoption.changes)


def test_a_changed_until_counts_the_ends_that_would_move_and_names_those_that_a_person_renewed(
    scene: GrantWorkspace,
) -> None:
    scene.let_in({"ada": 900, "bo": 900, "cy": 900}, "until: 1y")
    scene.wait(30)
    assert (count(scene), outdated_ends_note(0)) == (0, "")
    assert scene.change_end("ada", "2y") == []
    scene.set_policy(policy("until: 180d"))
    assert count(scene) == 2
    assert "2 grants keep their present date" in outdated_ends_note(2)
    found = adopt(scene, from_acceptance=True)
    assert names(found) == ["bo", "cy"]
    assert [row.person.identity.username for row in found.chosen] == ["ada"]
    assert found.left == {CHOSEN: 1}
    assert EndChanger(scene.approvals, LENA).record(found.changes, to_ms(scene.now)) == []
    days = {name: scene.days_left(name) for name in ("ada", "bo", "cy")}
    assert days == pytest.approx({"ada": 730, "bo": 150, "cy": 150}, abs=1.01)
    assert count(scene) == 0
    assert adopt(scene).left == {CHOSEN: 1, "the same end as now": 2}
    assert scene.store.setting(setting_keys.FOLLOWED_POLICIES) == scene.bundle.digest


def test_days_that_pass_and_dates_that_a_table_moves_are_no_change_of_a_policy(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 100, "bo": 100}, SIGNED, KEPT)
    scene.set_rows({"ada": 300, "bo": 100})
    scene.wait(10)
    refresh_ends(scene.workspace, scene.bundle, scene.now)
    assert count(scene) == 0
    assert adopt(scene).left == {"the same end as now": 2}
    scene.set_policy(policy(SIGNED, KEPT, "notice: [7d]"))
    assert count(scene) == 2, "other notices are other terms"


def test_a_rule_that_needs_two_people_moves_no_end(scene: GrantWorkspace) -> None:
    scene.let_in({"ada": 900}, "until: 1y")
    scene.set_policy(policy("until: 1y", "reviewers: 2"))
    assert count(scene) == 0
