"""Stores who promoted a version of a policy, and reads which policies ask for two people."""

from __future__ import annotations

from collections.abc import Collection

from hf_gate.core.people.approvals import TWO_PERSON_SETTING, PolicyAuthor
from hf_gate.store.sql import Reader, decode_stored
from hf_gate.store.store import Store
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


def read_two_person_policies(store: Store) -> dict[str, tuple[str, ...]]:
    """Return the repos (globs) of the policies that asked for two people when they were last read, by name."""
    text = store.setting(TWO_PERSON_SETTING)
    return {} if text is None else decode_stored(text, dict[str, tuple[str, ...]])
