"""The query for a second approval finds exactly the requests with one approval that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from hf_gate.application.approval_status import has_half_approved, resolve_approvals
from hf_gate.application.turn_permissions import promote
from hf_gate.domain.members import Member, MemberRole
from hf_gate.domain.query_parser import parse_query
from hf_gate.store.members import Members
from tests.torture.scene import POLICY, Scene

from .test_approvals import DOUBLE, LATER, author, decide, member, scene, use

__all__ = ["scene"]


def half_approved(scene: Scene) -> list[str]:
    """The people whose request needs one more approval, by the query."""
    query = resolve_approvals(scene.workspace, parse_query("approval:second"))
    page = scene.store.query(query, now=LATER)
    assert has_half_approved(scene.workspace, lambda _: True) == bool(page.rows)
    assert not has_half_approved(scene.workspace, lambda _: False)
    return [str(row.person.identity.username) for row in page.rows]


def invite_again(scene: Scene, one: Member, **changes: Any) -> None:
    """Invite a member with another role or other repos; the account stays proven."""
    members, changed = Members(scene.store), replace(one, **changes)
    made = members.invite(changed, "third", "owner", 3)
    members.prove_account(made, one.name, str(one.proven_account), "fourth", 4)


LOSSES: dict[str, Callable[[Scene, Member], object]] = {
    "the rules changed": lambda scene, _: use(scene, DOUBLE.replace("reviewers: 2", "reviewers: 2\n    until: 30d")),
    "one person is enough": lambda scene, _: use(scene, POLICY),
    "the policies cannot be read": lambda scene, _: (scene.folder / "hf-gate.yaml").write_text("version: ["),
    "the member is revoked": lambda scene, mia: Members(scene.store).revoke(mia, "owner", LATER),
    "the member is a viewer now": lambda scene, mia: invite_again(scene, mia, role=MemberRole.VIEWER),
    "the member sees other repos": lambda scene, mia: invite_again(scene, mia, repos=("other/*",)),
    "the approver promoted the policy": lambda scene, mia: promote(
        scene.store, scene.bundle.policies[0], "mia", LATER, author(mia)
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_request_whose_approval_lapsed_needs_no_second_approval(scene: Scene, loss: str) -> None:
    mia = member(scene, "mia")
    decide(scene, author(mia))
    assert half_approved(scene) == ["ada"]
    LOSSES[loss](scene, mia)
    assert half_approved(scene) == []


def test_two_approvals_of_which_one_counts_need_another(scene: Scene) -> None:
    """Two people approved, then one of them was made a viewer before the acceptance was sent."""
    mia = member(scene, "mia")
    decide(scene, author(mia))
    invite_again(scene, mia, role=MemberRole.VIEWER)
    assert half_approved(scene) == []
    decide(scene, author(member(scene, "kim")))
    assert half_approved(scene) == ["ada"]
