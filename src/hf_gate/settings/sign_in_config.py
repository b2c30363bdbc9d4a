"""Parses `sign_in` of hf-gate.yaml: the client of the sign-in provider, and the roles that organisations give."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map

from hf_gate.base.yaml_parser import Mapping, Node, Scalar
from hf_gate.core.parsing.node_reader import KnownKeys, NodeReader
from hf_gate.core.people.members import ROLES, MemberRole
from hf_gate.core.people.sign_in import ANY_ROLE, ORG_ROLES

from .notice_config import read_reference
from .workspace_config import SignInConfig

SIGN_IN_KEYS = ("client_id", "client_secret", "roles")
_ORG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def read_sign_in(reader: NodeReader, node: Node) -> SignInConfig:
    """Read `sign_in`. Both references must be there, or neither: a Space has its own."""
    keys = reader.read_keys(node, "sign_in", SIGN_IN_KEYS, synonyms={"organizations": "roles", "orgs": "roles"})
    if keys is None:
        return SignInConfig()
    if ("client_id" in keys) != ("client_secret" in keys):
        there, missing = ("client_id", "client_secret") if "client_id" in keys else ("client_secret", "client_id")
        reader.add_problem(node, "half_client", f"sign_in has {there}, but no {missing}.", hint=f"Add `{missing}`.")
    return SignInConfig(
        client_id=keys.read_value("client_id", read_reference),
        client_secret=keys.read_value("client_secret", read_reference),
        roles=keys.read_part("roles", _read_roles, {}),
    )


def _read_roles(reader: NodeReader, node: Node) -> dict[str, Map[str, MemberRole]]:
    found: dict[str, Map[str, MemberRole]] = {}
    if not isinstance(node, Mapping):
        reader.add_problem(node, "not_a_map", "Write roles as `organisation: {write: reviewer}` lines.")
        return found
    for key, value in node.pairs:
        if not isinstance(key, Scalar) or not _ORG.fullmatch(key.text):
            reader.add_problem(key, "bad_organisation", "That is not the name of an organisation on the Hub.")
        elif key.text.lower() in found:
            reader.add_problem(key, "doubled_organisation", f"`{key.text}` is named twice.")
        elif isinstance(value, Mapping):
            by_role = reader.read_keys(value, f"roles of {key.text}", (*ORG_ROLES, ANY_ROLE)) or KnownKeys(reader)
            roles = {each: role for each, (_, at) in by_role.items() if (role := _read_role(reader, at)) is not None}
            found[key.text.lower()] = roles
        elif (role := _read_role(reader, value)) is not None:
            found[key.text.lower()] = {ANY_ROLE: role}
    return found


def _read_role(reader: NodeReader, node: Node) -> MemberRole | None:
    text = reader.read_text(node, "a role")
    if text is None or text in ROLES:
        return None if text is None else MemberRole(text)
    reader.add_problem(node, "bad_role", f"`{text[:40]}` is not a role: write {', '.join(ROLES)}.")
    return None
