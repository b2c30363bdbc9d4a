"""Members in a store, without a Hub that knows their accounts."""

from __future__ import annotations

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.members.rows.members import admit_member
from hf_gate.store.store import Store


def store_member(
    store: Store,
    name: str,
    role: MemberRole = MemberRole.REVIEWER,
    repos: tuple[str, ...] | None = None,
    *,
    user_id: str | None = None,
    account: str | None = None,
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
    )
    made = admit_member(store, member, "owner", 1)
    assert made is not None
    return made
