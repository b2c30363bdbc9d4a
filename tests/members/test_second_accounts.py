"""An admin with a second account cannot approve alone, whichever way the account becomes a member."""

from __future__ import annotations

import pytest

from hf_gate.approvals.service.approval_status import read_approvals_record
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.events import ApprovalGiven, MemberConfirmed, decode_event, kind_of
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.accounts import Account
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.errors import NotAllowed, UsageError
from hf_gate.members.rows.members import admit_member, remove_member
from hf_gate.members.service.members import Membership, find_member_of, has_single_admin, read_owner
from hf_gate.settings import setting_keys
from tests.kits.approvals import OWNER, author_of, create_member, decide_as, two_people
from tests.kits.workspaces import HubWorkspace

__all__ = ["two_people"]


def add(scene: HubWorkspace, name: str, by: str | None = "id-owner", role: MemberRole = MemberRole.ADMIN) -> Member:
    at = to_ms(scene.clock.now())
    known = next((one for one in scene.store.members() if one.is_active and one.name == name), None)
    made = admit_member(
        scene.store,
        Member(
            name=name,
            role=role,
            made_at=at,
            id="" if known is None else known.id,
            account=name,
            user_id=f"id-{name}",
            begun_at=at,
            begun_by=by,
        ),
        "owner",
        at,
    )
    assert made is not None
    return made


def membership_of(scene: HubWorkspace, name: str = "owner") -> Membership:
    return Membership(scene.workspace, name, f"id-{name}")


def is_second(scene: HubWorkspace, second: Member) -> bool:
    """Tell whether a member can add the second approval to that of the owner."""
    assert decide_as(scene, OWNER).kind is OutcomeKind.DEFERRED
    return decide_as(scene, author_of(second), actor=second.name).kind is OutcomeKind.DONE


def test_a_second_account_does_not_approve_after_the_account_that_added_it(two_people: HubWorkspace) -> None:
    second = add(two_people, "owner2")
    decide_as(two_people, OWNER)
    refused = decide_as(two_people, author_of(second), actor="owner2")
    assert refused.kind is OutcomeKind.REFUSED
    assert "owner2 (member since 0 s, added by owner) and owner count as two people only after" in refused.why


def test_a_second_account_does_not_approve_before_the_account_that_added_it(two_people: HubWorkspace) -> None:
    second = add(two_people, "owner2")
    assert decide_as(two_people, author_of(second), actor="owner2").kind is OutcomeKind.DEFERRED
    assert decide_as(two_people, OWNER).kind is OutcomeKind.REFUSED
    assert two_people.status_on_hub("ada") == "pending"
    (given,) = [
        decode_event(entry.link.body)
        for entry in two_people.store.entries(request=two_people.row("ada").id, limit=10)
        if entry.link.kind == kind_of(ApprovalGiven)
    ]
    assert isinstance(given, ApprovalGiven)
    assert given.new_member is not None
    assert given.new_member.by == "owner"
    shown = read_approvals_record(two_people.workspace, two_people.row("ada"))
    assert shown is not None
    assert [one.membership for one in shown.given] == ["member since 0 s, added by owner"]


def test_an_older_member_and_a_third_person_approve_with_a_new_member(two_people: HubWorkspace) -> None:
    mia = create_member(two_people, "mia")
    second = add(two_people, "owner2")
    assert decide_as(two_people, author_of(second), actor="owner2").kind is OutcomeKind.DEFERRED
    assert decide_as(two_people, author_of(mia), actor="mia").kind is OutcomeKind.DONE


def test_a_confirmed_member_approves_at_once(two_people: HubWorkspace) -> None:
    mia = create_member(two_people, "mia", role=MemberRole.ADMIN)
    second = add(two_people, "new")
    confirmer = membership_of(two_people)
    for nobody in (confirmer.owner_member, second, add(two_people, "owner3")):
        with pytest.raises(NotAllowed, match=r"cannot confirm new \(member since"):
            confirmer.confirm(second, nobody)
    confirmer.confirm(second, mia)
    with pytest.raises(UsageError, match="needs no confirmation"):
        confirmer.confirm(second, mia)
    with pytest.raises(UsageError, match="needs no confirmation"):
        confirmer.confirm(mia, confirmer.owner_member)
    kinds = [entry.link.kind for entry in two_people.store.entries(limit=20)]
    assert kinds.count(kind_of(MemberConfirmed)) == 1
    assert is_second(two_people, second)


@pytest.mark.parametrize("way", ["added again", "raised", "through another", "by an organisation", "as the owner"])
def test_no_way_around_makes_a_second_account_a_person(two_people: HubWorkspace, way: str) -> None:
    second = add(two_people, "owner2", role=MemberRole.VIEWER if way == "raised" else MemberRole.ADMIN)
    match way:
        case "added again":
            remove_member(two_people.store, second, "owner", 1)
            second = add(two_people, "owner2")
        case "raised":
            second = add(two_people, "owner2")
        case "through another":
            add(two_people, "owner3", by="id-owner2")
            second = add(two_people, "owner4", by="id-owner3")
            remove_member(
                two_people.store, next(one for one in two_people.store.members() if one.name == "owner3"), "owner", 1
            )
        case "by an organisation":
            second = add(two_people, "owner4", by=None)
        case _:
            membership_of(two_people, "owner2").admit_owner()
            owner = read_owner(two_people.store)
            assert owner is not None
            assert owner.name == "owner2"
            first = find_member_of(two_people.store, Account("owner", "id-owner"))
            assert first is not None
            assert decide_as(two_people, author_of(first), actor="owner").kind is OutcomeKind.DEFERRED
            assert decide_as(two_people, author_of(owner), actor="owner2").kind is OutcomeKind.REFUSED
            membership_of(two_people).admit_owner()
            second = next(one for one in two_people.store.members() if one.is_active)
    assert not is_second(two_people, second)


def test_a_desk_belongs_to_the_account_that_created_the_workspace(two_people: HubWorkspace) -> None:
    with two_people.store.writing() as write:
        write.write_setting(setting_keys.OWNER, None)
        write.write_setting(setting_keys.INIT_ACCOUNT, "id-owner")
    with pytest.raises(NotAllowed):
        membership_of(two_people, "owner2").admit_owner()
    membership_of(two_people).admit_owner()
    assert has_single_admin(two_people.store)
    create_member(two_people, "mia", role=MemberRole.ADMIN)
    assert not has_single_admin(two_people.store)
