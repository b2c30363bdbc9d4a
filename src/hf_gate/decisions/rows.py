"""Stores what policies may do unattended (promotions, first turns, halted runs, held-back changes), and the decisions
that other systems sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.queued_decisions import KeyDecision, KeyDecisionRepeated
from hf_gate.store.sql import decode_row
from hf_gate.store.store import Store
from hf_gate.store.writing.state_columns import repo_of
from hf_gate.store.writing.writer import Writer

VersionAtRepo: TypeAlias = tuple[str, Repo]
"""The digest of a policy version, and a repo."""

HaltedEnd: TypeAlias = tuple[int, int]
"""The number of a request and the end of its grant (ms). With another end, the value differs."""


class Halt(Struct, frozen=True):
    """The content of a run that a person paused or stopped: policy versions at repos, and grants that had ended."""

    versions: frozenset[VersionAtRepo]
    ends: frozenset[HaltedEnd]


# ---- promotions and first turns --------------------------------------------------------------------------------------


def read_promotions(store: Store) -> dict[str, str]:
    """Return the digest of the promoted version of each policy, by the policy's name."""
    return dict(store.reads.rows("SELECT policy, digest FROM promotions"))


def write_promotion(write: Writer, policy: str, digest: str) -> None:
    """Let this version of a policy act unattended; it replaces the previous version."""
    sql = (
        "INSERT INTO promotions (policy, digest) VALUES (?, ?) ON CONFLICT (policy) DO UPDATE"
        " SET digest = excluded.digest"
    )
    write.db.run(sql, (policy, digest))


def read_first_turns(store: Store) -> frozenset[VersionAtRepo]:
    """Return the versions that completed their first turn at a repo."""
    rows = store.reads.rows(
        "SELECT f.digest, o.type, o.namespace, o.name FROM first_turns f JOIN repos o ON o.id = f.repo_id"
    )
    return frozenset((row[0], repo_of(*row[1:])) for row in rows)


def write_first_turns(write: Writer, versions: Iterable[VersionAtRepo]) -> None:
    """Store that these versions have completed their first turn."""
    rows = [(digest, write.repo_id(repo)) for digest, repo in versions]
    write.db.run_many("INSERT INTO first_turns (digest, repo_id) VALUES (?, ?) ON CONFLICT DO NOTHING", rows)


# ---- halts -----------------------------------------------------------------------------------------------------------


def read_halts(store: Store) -> dict[str, Halt]:
    """Return the content of each halted run by the run's id."""
    versions: dict[str, set[VersionAtRepo]] = {}
    ends: dict[str, set[HaltedEnd]] = {}
    for run, digest, *where in store.reads.rows(
        "SELECT h.run, h.digest, o.type, o.namespace, o.name FROM halted_versions h JOIN repos o ON o.id = h.repo_id"
    ):
        versions.setdefault(run, set()).add((digest, repo_of(*where)))
    for run, request, until in store.reads.rows("SELECT run, request_id, until_at FROM halted_ends"):
        ends.setdefault(run, set()).add((request, until))
    return {
        run: Halt(frozenset(versions.get(run, ())), frozenset(ends.get(run, ())))
        for run in versions.keys() | ends.keys()
    }


def write_halt(write: Writer, run: str, halt: Halt | None) -> None:
    """Replace the stored content of a halted run; None deletes it."""
    for table in ("halted_versions", "halted_ends"):
        write.db.run(f"DELETE FROM {table} WHERE run = ?", (run,))
    if halt is not None:
        versions = [(run, digest, write.repo_id(repo)) for digest, repo in halt.versions]
        write.db.run_many("INSERT INTO halted_versions (run, digest, repo_id) VALUES (?, ?, ?)", versions)
        ends = [(run, *end) for end in halt.ends]
        write.db.run_many("INSERT INTO halted_ends (run, request_id, until_at) VALUES (?, ?, ?)", ends)


def delete_halts_of(write: Writer, digest: str) -> None:
    """Allow a policy version again at all repos where one of its runs was halted."""
    write.db.run("DELETE FROM halted_versions WHERE digest = ?", (digest,))


# ---- held-back changes -----------------------------------------------------------------------------------------------


def read_held_changes(store: Store) -> dict[str, tuple[str, int]]:
    """Return the version digest and the number of changes that the last turn held back, by the policy's name."""
    return {row[0]: (row[1], row[2]) for row in store.reads.rows("SELECT policy, digest, n FROM held_changes")}


def write_held_changes(write: Writer, held: Mapping[str, tuple[str, int]]) -> None:
    """Store the counts of a turn in place of the previous turn's counts."""
    write.db.run("DELETE FROM held_changes")
    rows = [(policy, digest, n) for policy, (digest, n) in held.items()]
    write.db.run_many("INSERT INTO held_changes (policy, digest, n) VALUES (?, ?, ?)", rows)


# ---- decisions of other systems --------------------------------------------------------------------------------------


_KEY_DECISION: Final = ", ".join(KeyDecision.__struct_fields__)
_KEPT_MS: Final = 7 * DAY_MS


def find_key_decision(store: Store, wanted: KeyDecision) -> KeyDecision | None:
    """Return what was decided under the Idempotency-Key of a decision within 7 days before it."""
    sql = f"SELECT {_KEY_DECISION} FROM key_decisions WHERE key = ? AND idempotency = ? AND at >= ?"
    row = store.reads.row(sql, (wanted.key, wanted.idempotency, wanted.at - _KEPT_MS))
    return None if row is None else decode_row(row, KeyDecision)


def write_key_decision(write: Writer, decision: KeyDecision) -> None:
    """Store a decision. Raises KeyDecisionRepeated if there is one under its Idempotency-Key."""
    write.db.run("DELETE FROM key_decisions WHERE at < ?", (decision.at - _KEPT_MS,))
    places = ", ".join("?" * len(KeyDecision.__struct_fields__))
    sql = f"INSERT INTO key_decisions ({_KEY_DECISION}) VALUES ({places}) ON CONFLICT DO NOTHING"
    if not write.db.run(sql, astuple(decision)):
        raise KeyDecisionRepeated
