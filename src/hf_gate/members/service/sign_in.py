"""Decides who a person that signed in with the Hub is in the desk: the owner, a member, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member, MemberOrigin
from hf_gate.core.people.sign_in import HubIdentity, RoleMap, SignInFailed, find_role
from hf_gate.members.rows.members import admit_member
from hf_gate.settings.setting_keys import SIGN_IN_ORGANIZATIONS
from hf_gate.store.store import Store

from .members import Membership

# ---- organisations ---------------------------------------------------------------------------------------------------


def keep_known_organizations(store: Store, identity: HubIdentity, roles: RoleMap) -> tuple[HubIdentity, list[str]]:
    """Return the identity without organisations that are not those which had their names before, and these names.

    The first sign-in by an organisation stores its id.
    """
    theirs = {name: identity.org_ids.get(name) for name in identity.org_roles if name in roles}
    known = _read_ids(store)
    if any(name not in known for name, ident in theirs.items() if ident):
        with store.writing(is_short=True) as write:
            known = {name: ident for name, ident in theirs.items() if ident} | _read_ids(store)
            write.write_setting(SIGN_IN_ORGANIZATIONS, json.dumps(known, sort_keys=True))
    others = sorted(name for name, ident in theirs.items() if ident is None or known[name] != ident)
    return replace(identity, org_roles={n: r for n, r in identity.org_roles.items() if n not in others}), others


def forget_organizations(store: Store, roles: RoleMap) -> None:
    """Forget the ids of organisations that give no roles any more, so that a new one can be accepted under the name."""
    known = _read_ids(store)
    if known.keys() <= roles.keys():
        return
    kept = {name: ident for name, ident in known.items() if name in roles}
    with store.writing() as write:
        write.write_setting(SIGN_IN_ORGANIZATIONS, json.dumps(kept, sort_keys=True) if kept else None)


def _read_ids(store: Store) -> dict[str, str]:
    text = store.setting(SIGN_IN_ORGANIZATIONS)
    return {} if text is None else dict(json.loads(text))


# ---- members ---------------------------------------------------------------------------------------------------------


ACTOR: Final = "desk"
"""The actor in the ledger for members that come and go with their organisation."""


def admit_identity(
    membership: Membership,
    identity: HubIdentity,
    roles: RoleMap,
    *,
    on_loss: Callable[[Member], object] = lambda _: None,
) -> Member:
    """Return the member of a Hub account.

    `roles` is the map of organisations. Raises SignInFailed if the account may not enter. A member who came by an
    organisation and left it is removed at that moment. `on_loss` is called with a member who lost the role.
    """
    if identity.user_id == membership.owner_id:
        return membership.owner_member
    found = _find_member(membership, identity)
    if found is not None and found.origin is not MemberOrigin.ORGANIZATION:
        return found
    identity, others = keep_known_organizations(membership.workspace.store, identity, roles)
    role = find_role(identity, roles)
    closed = sorted(identity.restricted & roles.keys())
    if role is None and closed:
        raise SignInFailed(
            f"the organisation {closed[0]} does not let {identity.username} in now.",
            hint="Open a page of this organisation on the Hub, sign in there as it asks, then sign in here again.",
            status=403,
        )
    if found is not None and role is None:
        membership.remove(found, ACTOR, origin=MemberOrigin.ORGANIZATION)
        on_loss(found)
    if role is None:
        raise _refuse(identity, others)
    if found is not None and found.role is role:
        return found
    if found is None and _was_removed(membership, identity):
        raise SignInFailed(
            f"an admin removed {identity.username} from this desk.",
            hint="Ask an admin to add you again.",
            status=403,
        )
    if found is not None:
        on_loss(found)
    name = membership.choose_name(identity.username, identity.user_id) if found is None else found.name
    made_at = to_ms(membership.workspace.now())
    member = Member(
        name=name,
        role=role,
        made_at=made_at,
        id="" if found is None else found.id,
        user_id=identity.user_id,
        account=identity.username,
        origin=MemberOrigin.ORGANIZATION,
        begun_at=made_at,
    )
    admitted = admit_member(membership.workspace.store, member, ACTOR, made_at)
    if admitted is None:
        raise SignInFailed(f"the member {name} changed meanwhile.", hint="Sign in again.", status=409)
    return admitted


def _find_member(membership: Membership, identity: HubIdentity) -> Member | None:
    """Return the member to whom the account belongs."""
    members = membership.workspace.store.members()
    return next((one for one in members if one.is_active and one.user_id == identity.user_id), None)


def _was_removed(membership: Membership, identity: HubIdentity) -> bool:
    gone = [one for one in membership.workspace.store.members() if not one.is_active]
    return any(one.user_id == identity.user_id and one.origin is not MemberOrigin.ORGANIZATION for one in gone)


def _refuse(identity: HubIdentity, other_organizations: Sequence[str]) -> SignInFailed:
    if other_organizations:
        hint = "An admin must check on the Hub who owns it. docs/team.md says how to accept it."
        words = f"the organisation {other_organizations[0]} is not the one that had this name before."
        return SignInFailed(words, hint=hint, status=403)
    hint = f"Ask an admin to add you: hf-gate members add {identity.username}"
    return SignInFailed(f"the Hub account {identity.username} is not a member of this desk.", hint=hint, status=403)
