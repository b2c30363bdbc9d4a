"""Stores who promoted a version of a policy, and which version of each policy was promoted last."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from hf_gate.core.people.approvals import PROMOTED_SETTING, PolicyAuthor, PromotedPolicy
from hf_gate.store.sql import Reader, decode_stored
from hf_gate.store.writing.writer import Writer


def read_policy_authors(reader: Reader, digests: Collection[str]) -> list[PolicyAuthor]:
    """Return the people who promoted one of these versions."""
    if not digests:
        return []
    marks = ", ".join("?" * len(digests))
    sql = f"SELECT digest, actor, member, account FROM policy_authors WHERE digest IN ({marks})"
    rows = reader.reads.rows(sql, tuple(digests))
    return [PolicyAuthor(digest, actor, member or None, account or None) for digest, actor, member, account in rows]


def write_policy_author(write: Writer, author: PolicyAuthor) -> None:
    """Store that a person promoted a version of a policy.

    An earlier author of the same name stays an author.
    """
    sql = "INSERT INTO policy_authors (digest, actor, member, account) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    write.db.run(sql, (author.digest, author.actor, author.member or "", author.account or ""))


def copy_policy_authors(write: Writer, digest: str, new: str) -> None:
    """Make the people who promoted one version also the authors of a new one."""
    for author in read_policy_authors(write, [digest]):
        write_policy_author(write, author._replace(digest=new))


def read_promoted_policies(reader: Reader) -> dict[str, PromotedPolicy]:
    """Return the version of each policy that was promoted last, by the name of the policy."""
    text = reader.reads.setting(PROMOTED_SETTING)
    return {} if text is None else decode_stored(text, dict[str, PromotedPolicy])


def write_promoted_policies(write: Writer, policies: Mapping[str, PromotedPolicy]) -> None:
    """Store the version of each policy that was promoted last."""
    write.write_setting(PROMOTED_SETTING, msgspec.json.encode(policies, order="sorted").decode())
