"""Which requests need a second approval: the query finds exactly these, and a restore ends no need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_gate.approvals.service.approval_status import has_half_approved, resolve_approvals
from hf_gate.automation.service.turn_permissions import promote
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.members.rows.members import remove_member
from hf_gate.requests.query_parser import parse_query
from hf_gate.store.write_lock import Holder, ignore_wait
from hf_gate.workspace.rows.backups import write_backup
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.store_maintenance import restore_backup
from tests.kits.approvals import LATER, OWNER, TWO_REVIEWERS, author_of, create_member, decide_as, use_policy
from tests.kits.approvals import two_people as scene
from tests.kits.in_process_hub import ORIGIN
from tests.kits.members import store_member
from tests.kits.workspaces import POLICY, HubWorkspace

__all__ = ["scene"]


def half_approved(scene: HubWorkspace) -> list[str]:
    """The people whose request needs one more approval, by the query."""
    query = resolve_approvals(scene.workspace, parse_query("approval:second"))
    page = scene.store.query(query, now=LATER)
    assert has_half_approved(scene.workspace, lambda _: True) == bool(page.rows)
    assert not has_half_approved(scene.workspace, lambda _: False)
    return [str(row.person.identity.username) for row in page.rows]


LOSSES: dict[str, Callable[[HubWorkspace, Member], object]] = {
    "the rules changed": lambda scene, _: use_policy(
        scene, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 2\n    until: 30d")
    ),
    "one person is enough": lambda scene, _: use_policy(scene, POLICY),
    "the policies cannot be read": lambda scene, _: (scene.folder / "hf-gate.yaml").write_text("version: ["),
    "the member is removed": lambda scene, mia: remove_member(scene.store, mia, "owner", LATER),
    "the member is a viewer now": lambda scene, mia: store_member(scene.store, mia.name, MemberRole.VIEWER),
    "the member sees other repos": lambda scene, mia: store_member(scene.store, mia.name, repos=("other/*",)),
    "the approver promoted the policy": lambda scene, mia: promote(
        scene.workspace, scene.bundle.policies, scene.bundle.policies[0], "mia", author_of(mia)
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_request_whose_approval_lapsed_needs_no_second_approval(scene: HubWorkspace, loss: str) -> None:
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    assert half_approved(scene) == ["ada"]
    LOSSES[loss](scene, mia)
    assert half_approved(scene) == []


def test_two_approvals_of_which_one_counts_need_another(scene: HubWorkspace) -> None:
    """Two people approved, then one of them was made a viewer before the acceptance was sent."""
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    store_member(scene.store, mia.name, MemberRole.VIEWER)
    assert half_approved(scene) == []
    decide_as(scene, author_of(create_member(scene, "kim")))
    assert half_approved(scene) == ["ada"]


def test_a_restore_of_an_older_backup_ends_no_need_and_forgets_no_author(scene: HubWorkspace, tmp_path: Path) -> None:
    path, backup = scene.folder / "desk.db", tmp_path / "backup.db"
    write_backup(path, backup)
    mia = create_member(scene, "mia")
    promote(scene.workspace, scene.bundle.policies, scene.bundle.policies[0], "mia", author_of(mia))
    scene.close()
    restore_backup(
        backup,
        path,
        endpoint=ORIGIN,
        actor="owner",
        now=scene.clock.now(),
        who=Holder(1),
        wait=0.0,
        on_wait=ignore_wait,
    )
    scene.store = open_store(path, endpoint=ORIGIN, pid=1, wait=0.0)
    scene.begin()
    for repo in scene.repos:
        scene.sync(repo=repo)
    assert "you alone promoted" in decide_as(scene, author_of(create_member(scene, "mia"))).why
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    assert scene.status_on_hub("ada") == "pending"
