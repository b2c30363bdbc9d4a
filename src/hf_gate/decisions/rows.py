"""Stores what policies may do unattended (promotions, first turns, halted runs, holds), and the decisions
that other systems sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.queued_decisions import KeyDecision, KeyDecisionRepeated
from hf_gate.core.turns import Hold
from hf_gate.settings.setting_keys import HOLDS
from hf_gate.store.sql import Reader, decode_row, decode_stored
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


def read_halts(reader: Reader) -> dict[str, Halt]:
    """Return the content of each halted run by the run's id."""
    rows = reader.reads.rows("SELECT id, halt FROM runs WHERE halt IS NOT NULL")
    return {run: decode_stored(halt, Halt) for run, halt in rows}


def write_halt(write: Writer, run: str, halt: Halt | None) -> None:
    """Replace the stored content of a halted run; None deletes it."""
    text = None if halt is None else msgspec.json.encode(halt).decode()
    write.db.run("UPDATE runs SET halt = ? WHERE id = ?", (text, run))


def delete_halts_of(write: Writer, digest: str) -> None:
    """Allow a policy version again at all repos where one of its runs was halted."""
    for run, halt in read_halts(write).items():
        left = frozenset(one for one in halt.versions if one[0] != digest)
        if left != halt.versions:
            write_halt(write, run, replace(halt, versions=left) if left or halt.ends else None)


# ---- holds -----------------------------------------------------------------------------------------------------------


def read_holds(store: Store) -> list[Hold]:
    """Return what kept changes from being sent in the last turn."""
    text = store.setting(HOLDS)
    return [] if text is None else decode_stored(text, list[Hold])


def write_holds(write: Writer, holds: Sequence[Hold]) -> None:
    """Store the holds of a turn in place of the previous turn's holds."""
    write.write_setting(HOLDS, msgspec.json.encode(holds).decode() if holds else None)


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
