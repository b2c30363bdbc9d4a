"""Who owns a desk: the first account, and later an admin of all repos."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_gate.core.people.members import MemberRole
from hf_gate.errors import HfGateError, NotAllowed
from hf_gate.members.service.members import Membership, read_owner
from hf_gate.settings import setting_keys
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


def own(scene: HubWorkspace, name: str) -> Membership:
    membership = Membership(scene.workspace, name, f"id-{name}")
    membership.admit_owner()
    return membership


def owner_of(scene: HubWorkspace) -> str:
    owner = read_owner(scene.workspace.store)
    return "" if owner is None else owner.name


@pytest.mark.parametrize(
    ("role", "repos"),
    [
        (None, None),
        (MemberRole.VIEWER, None),
        (MemberRole.REVIEWER, None),
        (MemberRole.ADMIN, ("acme/*",)),
    ],
)
def test_nobody_but_an_admin_of_all_repos_takes_the_place_of_the_owner(
    scene: HubWorkspace, role: MemberRole | None, repos: tuple[str, ...] | None
) -> None:
    own(scene, "lena")
    if role is not None:
        store_member(scene.workspace.store, "sam", role, repos)
    with pytest.raises(NotAllowed, match="sam is neither the owner nor an admin"):
        own(scene, "sam")
    with pytest.raises(NotAllowed):
        Membership(scene.workspace, "local:lena").admit_owner()
    assert owner_of(scene) == "lena"


def test_the_owner_before_stays_an_admin_and_can_come_back(scene: HubWorkspace) -> None:
    own(scene, "lena")
    store_member(scene.workspace.store, "sam", MemberRole.ADMIN)
    for name, other in (("sam", "lena"), ("lena", "sam")):
        own(scene, name)
        assert owner_of(scene) == name
        (member,) = [one for one in scene.workspace.store.members() if one.is_active]
        assert (member.name, member.role, member.repos, member.account_id) == (
            other,
            MemberRole.ADMIN,
            None,
            f"id-{other}",
        )


def test_an_owner_without_an_account_gives_way_to_the_first_account(scene: HubWorkspace) -> None:
    Membership(scene.workspace, "local:lena").admit_owner()
    assert owner_of(scene) == ""
    own(scene, "lena")
    assert owner_of(scene) == "lena"
    assert scene.workspace.store.members() == []


def test_of_two_first_accounts_at_once_one_is_the_owner(scene: HubWorkspace) -> None:
    def take(name: str) -> str | None:
        try:
            own(scene, name)
        except HfGateError:
            return None
        return name

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            (winner,) = [name for name in pool.map(take, ("ada", "bob")) if name is not None]
            assert owner_of(scene) == winner
            with scene.workspace.store.writing() as write:
                write.write_setting(setting_keys.OWNER, None)
