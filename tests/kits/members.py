"""Members of long standing in a store: they count as people of their own from the start."""

from __future__ import annotations

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.members.rows.members import admit_member
from hf_gate.members.service.members import Membership
from hf_gate.store.store import Store


def store_member(
    store: Store,
    name: str,
    role: MemberRole = MemberRole.REVIEWER,
    repos: tuple[str, ...] | None = None,
    *,
    user_id: str | None = None,
    account: str | None = None,
    begun_at: int = 1,
    begun_by: str | None = None,
) -> Member:
    """A Hub account becomes a member, or gets another role or other repos. Its id is `id-NAME` unless told otherwise."""
    ident = user_id or f"id-{name}"
    known = next((one for one in store.members() if one.is_active and one.user_id == ident), None)
    member = Member(
        name=name,
        role=role,
        repos=repos,
        made_at=1,
        id="" if known is None else known.id,
        account=account or name,
        user_id=ident,
        begun_at=begun_at,
        begun_by=begun_by,
    )
    made = admit_member(store, member, "owner", 1)
    assert made is not None
    return made


def add_long_standing_member(
    membership: Membership, username: str, role: MemberRole, repos: tuple[str, ...] | None
) -> Member:
    """Make an account of the Hub a member, as `members add` does, but as one who has been a member for years."""
    workspace = membership.workspace
    person = workspace.hub.profile(username).person
    assert person.id is not None
    assert person.username is not None
    known = next((one for one in workspace.store.members() if one.is_active and one.user_id == person.id), None)
    at = to_ms(workspace.now())
    member = Member(
        name=membership.choose_name(person.username, person.id) if known is None else known.name,
        role=role,
        repos=repos,
        made_at=at,
        id="" if known is None else known.id,
        account=person.username,
        user_id=person.id,
        begun_at=1,
    )
    made = admit_member(workspace.store, member, membership.owner, at)
    assert made is not None
    return made
