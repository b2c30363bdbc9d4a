"""Who a shell and a desk take an account for: names are compared as the Hub compares them, and former members are nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.people.members import MemberRole
from hf_gate.members.service.members import Membership
from tests.kits.in_process_hub import InProcessHub
from tests.kits.members import store_member
from tests.kits.workspaces import HubWorkspace


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=1))
    yield made
    made.close()


def test_a_member_with_the_name_of_a_new_owner_in_other_letters_of_case_is_removed(scene: HubWorkspace) -> None:
    store_member(scene.workspace.store, "mia-s", MemberRole.ADMIN)
    membership = Membership(scene.workspace, "Mia-S", "id-of-another-mia")
    membership.admit_owner()
    (former,) = scene.workspace.store.members()
    assert not former.is_active
    assert [membership.find(name) for name in ("Mia-S", "mia-s")] == [membership.owner_member] * 2
