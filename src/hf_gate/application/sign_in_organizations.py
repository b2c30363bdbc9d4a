"""Recognises the organisations that give roles by their ids, because another organisation can take a name that became free."""

from __future__ import annotations

import json

from msgspec.structs import replace

from ..domain.sign_in import HubIdentity, RoleMap
from ..store.store import Store
from .setting_keys import SIGN_IN_ORGANIZATIONS


def keep_known_organizations(store: Store, identity: HubIdentity, roles: RoleMap) -> tuple[HubIdentity, list[str]]:
    """Return the identity without organisations that are not those which had their names before, and these names.

    The first sign-in by an organisation stores its id.
    """
    theirs = {name: identity.org_ids.get(name) for name in identity.org_roles if name in roles}
    known = _read_ids(store)
    if any(name not in known for name, ident in theirs.items() if ident):
        with store.writing() as write:
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
