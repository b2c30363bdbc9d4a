"""A second account of one person is no second person: who counts with whom, and when."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.people.standing import SETTLING_TIME, MemberStanding, continue_membership

NOW = 1_800_000_000_000
MINUTE = 60_000
OWNER = Member(name="amy", role=MemberRole.ADMIN, is_active=True, id="owner:amy", user_id="amy")


def new(name: str, by: str | None, *, age: int = 3 * MINUTE, confirmed_by: str | None = None, **more: Any) -> Member:
    known: dict[str, Any] = {"role": MemberRole.ADMIN, "is_active": True, "id": f"m_{name}", "user_id": name} | more
    return Member(name=name, begun_at=NOW - age, begun_by=by, confirmed_by=confirmed_by, **known)


def standing(*members: Member, now: int = NOW) -> MemberStanding:
    return MemberStanding(members, OWNER, now)


def pair(known: MemberStanding, one: str, other: str) -> bool:
    assert bool(known.explain(one, [other])) == bool(known.explain(other, [one])), "both ways"
    return len(known.select_people([one, other])) == 2


OLD: Final[dict[str, Any]] = {"age": SETTLING_TIME}


def test_whoever_added_a_member_and_the_member_are_one_person_for_seven_days() -> None:
    known = standing(new("amy2", "amy"), new("bo", "amy", **OLD))
    assert not pair(known, "amy", "amy2")
    assert pair(known, "amy", "bo")
    assert pair(known, "amy2", "bo"), "another person counts with a new member"
    assert known.explain("amy2", ["amy"]) == (
        "amy2 (member since 3 min, added by amy) and amy count as two people only after 22 Jan 2027, or when a third "
        "person runs `hf-gate members confirm amy2`"
    )
    assert pair(standing(new("amy2", "amy"), now=NOW + SETTLING_TIME), "amy", "amy2")


@pytest.mark.parametrize(("one", "other"), [("amy", "c"), ("b", "c"), ("amy", "b"), ("c", "d")])
def test_new_members_count_by_the_first_who_began_their_chain(one: str, other: str) -> None:
    assert not pair(standing(new("b", "amy"), new("c", "b"), new("d", "amy")), one, other)


def test_a_removed_link_of_the_chain_still_counts() -> None:
    assert not pair(standing(new("b", "amy", is_active=False), new("c", "b")), "amy", "c")


def test_who_added_each_other_is_one_person() -> None:
    known = standing(new("b", "c"), new("c", "b"))
    assert not pair(known, "b", "c")


def test_a_confirmed_member_counts_at_once() -> None:
    known = standing(new("amy2", "amy", confirmed_by="bo"), new("bo", "amy", **OLD))
    assert pair(known, "amy", "amy2")
    assert known.describe("amy2") == "member since 3 min, added by amy, confirmed by bo"


def test_a_member_of_an_organization_counts_with_nobody_until_confirmed() -> None:
    known = standing(new("org", None))
    assert known.select_people(["org"]) == []
    assert "org (member since 3 min, by an organisation) counts only after 22 Jan 2027" in known.explain("org", [])
    vouched = standing(new("org", "bo"), new("bo", "amy", **OLD))
    assert pair(vouched, "amy", "org")
    assert not pair(vouched, "bo", "org"), "who confirmed them counts as the one who added them"


def test_a_clock_that_was_set_back_keeps_a_member_new() -> None:
    assert not pair(standing(new("amy2", "amy"), now=NOW - 30 * 86_400_000), "amy", "amy2")


@pytest.mark.parametrize(
    ("account", "member", "can"),
    [
        ("amy", "amy2", False),
        ("amy2", "amy2", False),
        ("amy3", "amy2", False),
        ("bo", "amy2", True),
        ("bo", "bo", False),
        ("org", "org", False),
        ("amy3", "org", True),
    ],
)
def test_only_a_third_person_confirms(account: str, member: str, can: bool) -> None:
    known = {
        "amy2": new("amy2", "amy"),
        "amy3": new("amy3", "amy"),
        "bo": new("bo", "amy", age=SETTLING_TIME),
        "org": new("org", None),
    }
    assert standing(*known.values()).can_confirm(account, known[member]) is can


def test_a_changed_role_continues_a_membership_only_without_new_rights() -> None:
    old = new("mia", "amy", age=SETTLING_TIME, role=MemberRole.REVIEWER, repos=("a/x",))
    fresh = new("mia", "bo", age=0, role=MemberRole.REVIEWER, repos=("a/x",))
    assert continue_membership(fresh, old).begun_at == old.begun_at
    for role, repos, before in (
        (MemberRole.REVIEWER, None, old),
        (MemberRole.REVIEWER, ("a/x", "a/y"), old),
        (MemberRole.REVIEWER, ("a/x",), new("mia", "amy", age=SETTLING_TIME, role=MemberRole.VIEWER)),
    ):
        made = new("mia", "bo", age=0, role=role, repos=repos)
        assert continue_membership(made, before) == made, (role, repos)
    assert continue_membership(fresh, None) == fresh
