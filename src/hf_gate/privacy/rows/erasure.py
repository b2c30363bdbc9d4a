"""Deletes the personal data of people, or of old requests, from every table, and names the gaps in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from hf_gate.approvals.rows.approvals import delete_endorsements
from hf_gate.base.batches import group_pairs
from hf_gate.base.ids import Repo
from hf_gate.core.events.erasure import hash_person, hash_request, to_ranges
from hf_gate.core.events.events import (
    ApprovalGiven,
    LedgerEntry,
    NoteWritten,
    PrivatePartsDeleted,
    kind_of,
)
from hf_gate.core.events.request_fields import ERASED
from hf_gate.core.lifecycle import Status
from hf_gate.core.runs import FINISHED, RunState
from hf_gate.requests.rows.identity import StoredIdentity, read_full_identity, read_identity
from hf_gate.store.rows.repos import read_repos_by_number
from hf_gate.store.rows.tray import UNSENT, delete_waiting
from hf_gate.store.sql import Database, Reader, Row
from hf_gate.store.store import Store
from hf_gate.store.writing.compression import decode_private_part, pack, unpack
from hf_gate.store.writing.erased import TO_SCRUB, read_hash_key, write_keys
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.rows.table_rows import delete_table_rows

from .person_data import list_row_keys

_SELECT_CHANGES: Final = "SELECT run, n, change, why FROM changes WHERE"
REQUEST_TABLES: Final = ("hits", "picked", "approvals", "approval_alarms", "messages", "key_decisions")
"""Tables whose rows about an erased request are deleted."""
_CHANGE: Final[dict[str, object]] = {
    "user_id": None,
    "user": None,
    "reason": None,
    "because": [],
    "rests_on": {},
    "answers_digest": "",
    "identity_digest": None,
}


class Eraser:
    """Deletes personal data within one transaction. `at` (ms) and `actor` are those of the ledger entries."""

    def __init__(self, write: Writer, at: int, actor: str) -> None:
        self._write = write
        self._db = write.db
        self._at = at
        self._actor = actor
        self._repos = read_repos_by_number(self._db)

    # ---- people ------------------------------------------------------------------------------------------------------

    def erase_person(self, person: int) -> None:
        """Delete all personal data of a person. Their requests stay under the pseudonym, with status and times."""
        identity = read_full_identity(self._db, person)
        requests = [row[0] for row in self._db.rows("SELECT id FROM requests WHERE person_id = ?", (person,))]
        self._register([identity], requests)
        write_keys(self._db, [(hash_person(read_hash_key(self._db), identity.pseudonym), None)])
        self._delete_private_parts("x.person_id = ?", person, "erasure", identity.pseudonym)
        among, notes = self._db.in_clause(find_notes_about(self._db, identity))
        self._delete_private_parts(f"x.id {among}", notes, "erasure", identity.pseudonym)
        self._clear_requests(requests)
        self._delete_mentions(identity)
        self._redact_runs(requests, identity)
        self._db.run("DELETE FROM profiles WHERE person_id = ?", (person,))
        self._db.run(
            "UPDATE people SET salt = NULL, user_id = NULL, username = NULL, fullname = NULL, email = NULL,"
            " user_key = NULL WHERE id = ?",
            (person,),
        )

    # ---- old requests ------------------------------------------------------------------------------------------------

    def delete_old(self, requests: Sequence[int]) -> None:
        """Delete the names, e-mail addresses and answers of requests. The account id of their people stays."""
        among, value = self._db.in_clause(requests)
        found = self._db.rows(f"SELECT DISTINCT person_id FROM requests WHERE id {among}", (value,))
        people = [read_identity(self._db, person) for (person,) in found]
        self._register(people, requests)
        self._delete_private_parts(f"l.request_id {among}", value, "retention", None)
        self._clear_requests(requests)
        self._redact_changes(self._read_changes(requests), None)
        self._redact_plans(set(requests), None)
        for one in people:
            if self._db.row("SELECT 1 FROM requests WHERE person_id = ? AND record_id IS NOT NULL", (one.id,)) is None:
                self._clear_names(one)
        self._write.write_setting(TO_SCRUB, "1")

    def _clear_names(self, identity: StoredIdentity) -> None:
        """Delete the names of a person without any other request."""
        self._delete_private_parts("x.person_id = ?", identity.id, "retention", None)
        self._db.run("DELETE FROM profiles WHERE person_id = ?", (identity.id,))
        self._db.run(
            (
                "UPDATE people SET salt = NULL, username = NULL, fullname = NULL, email = NULL, user_key = NULL"
                " WHERE id = ?"
            ),
            (identity.id,),
        )

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _register(self, people: Sequence[StoredIdentity], requests: Sequence[int]) -> None:
        """Store the hashes by which a sync recognises these requests."""
        secret = read_hash_key(self._db)
        by_id = {one.id: one for one in people}
        among, value = self._db.in_clause(requests)
        sql = f"SELECT id, person_id, asked_at, hub_request FROM requests WHERE id {among}"
        rows = [
            (key, ident)
            for ident, person, asked_at, hub_request in self._db.rows(sql, (value,))
            for key in _hash(secret, by_id[person], asked_at, hub_request)
        ]
        write_keys(self._db, rows)

    def _delete_private_parts(self, where: str, value: object, cause: str, person: str | None) -> None:
        """Delete private parts and add an entry to each chain that names their entries."""
        sql = f"SELECT x.id, l.repo_id, l.seq FROM private x JOIN ledger l ON l.id = x.id WHERE {where}"
        rows = self._db.rows(sql, (value,))
        chains = group_pairs((repo_id, seq) for _, repo_id, seq in rows)
        among, idents = self._db.in_clause([row[0] for row in rows])
        self._db.run(f"DELETE FROM private WHERE id {among}", (idents,))
        for repo_id, numbers in sorted(chains.items()):
            event = PrivatePartsDeleted(cause=cause, entries=to_ranges(numbers), person=person)
            repo = self._repos.get(repo_id)
            self._write.append(repo, [LedgerEntry(event=event, at=self._at, actor=self._actor)])

    def _clear_requests(self, requests: Sequence[int]) -> None:
        """Delete what the rows of requests hold about people, and every row of other tables about these requests."""
        self._write.clear_search_texts(requests)
        self._write.clear_classifications(requests)
        among, value = self._db.in_clause(requests)
        columns = ", ".join(f"{name} = ?" for name in ERASED)
        self._db.run(f"UPDATE requests SET {columns} WHERE id {among}", (*ERASED.values(), value))
        delete_waiting(self._db, f"id IN (SELECT run FROM changes WHERE request_id {among})", value)
        for table in REQUEST_TABLES:
            self._db.run(f"DELETE FROM {table} WHERE request_id {among}", (value,))

    def _delete_mentions(self, identity: StoredIdentity) -> None:
        """Delete the bindings of the owner's tables, and the notes in the tray that name a person."""
        among, value = self._db.in_clause(list(identity.keys))
        self._db.run(f"DELETE FROM bindings WHERE user_id = ? OR lower(key) {among}", (identity.account, value))
        delete_table_rows(self._write, list_row_keys(identity))
        queued = "SELECT c.change, c.run FROM changes c JOIN runs r ON r.id = c.run WHERE r.state = ?"
        for document, run in self._db.rows(queued, (RunState.QUEUED,)):
            change = msgspec.json.decode(bytes(document))
            if identity.pattern.matches(change.get("note") or ""):
                values = (msgspec.json.encode({**change, "note": None}), run)
                self._db.run("UPDATE changes SET change = ? WHERE run = ?", values)

    # ---- plans and runs ----------------------------------------------------------------------------------------------

    def _redact_runs(self, requests: Sequence[int], identity: StoredIdentity) -> None:
        """Remove a person from the changes of runs, and from plans. A plan without a run is deleted."""
        nameless = self._db.rows(f"{_SELECT_CHANGES} request_id IS NULL")
        mentions = [row for row in nameless if _names_person(identity, bytes(row[2]))]
        self._redact_changes([*self._read_changes(requests), *mentions], identity)
        self._redact_plans(set(requests), identity)

    def _read_changes(self, requests: Sequence[int]) -> list[Row]:
        among, value = self._db.in_clause(requests)
        return self._db.rows(f"{_SELECT_CHANGES} request_id {among}", (value,))

    def _redact_changes(self, rows: Sequence[Row], identity: StoredIdentity | None) -> None:
        for run, n, change, why in rows:
            document = msgspec.json.encode(
                {**msgspec.json.decode(bytes(change)), **_CHANGE, "version": "", "note": None}
            )
            kept = "" if identity is not None and identity.pattern.matches(why) else why
            sql = "UPDATE changes SET change = ?, why = ? WHERE run = ? AND n = ?"
            self._db.run(sql, (document, kept, run, n))

    def _redact_plans(self, requests: Collection[int], identity: StoredIdentity | None) -> None:
        for (digest,) in self._db.rows("SELECT digest FROM plans"):
            row = self._db.row("SELECT document, about FROM plans WHERE digest = ?", (digest,))
            assert row is not None
            document = msgspec.json.decode(unpack(bytes(row[0])))
            is_about = [
                change.get("row") in requests or (identity is not None and identity.is_subject(change))
                for change in document["changes"]
            ]
            if not any(is_about):
                continue
            changes = [
                {**change, **_CHANGE} if is_one else change
                for change, is_one in zip(document["changes"], is_about, strict=True)
            ]
            redacted = {**document, "changes": changes}
            has_run = self._db.row("SELECT 1 FROM runs WHERE plan = ?", (digest,)) is not None
            is_named = identity is not None and (
                identity.pattern.matches_any(redacted) or identity.pattern.matches(row[1] or "")
            )
            if not has_run or is_named:
                self._db.run("DELETE FROM plans WHERE digest = ?", (digest,))
                self._db.run("DELETE FROM made_plans WHERE digest = ?", (digest,))
                delete_endorsements(self._write, [digest])
                continue
            packed = pack(msgspec.json.encode(redacted))
            self._db.run("UPDATE plans SET document = ? WHERE digest = ?", (packed, digest))


def _hash(secret: bytes, identity: StoredIdentity, asked_at: int, hub_request: str | None) -> tuple[bytes, ...]:
    return hash_request(secret, asked_at, user_id=identity.user_id, username=identity.username, hub_request=hub_request)


def _names_person(identity: StoredIdentity, change: bytes) -> bool:
    """Tell whether a change of a run without a request is about a person, or names them in a text."""
    document = msgspec.json.decode(change)
    return identity.is_subject(document) or identity.pattern.matches_any(
        [document.get(key) for key in ("reason", "because")]
    )


def find_notes_about(reader: Reader, identity: StoredIdentity) -> list[int]:
    """Return the entries with notes about other people that name this person."""
    among, kinds = reader.reads.in_clause([kind_of(NoteWritten), kind_of(ApprovalGiven)])
    rows = reader.reads.rows(
        f"SELECT x.id, x.data FROM ledger l JOIN private x ON x.id = l.id WHERE l.kind {among} AND x.person_id <> ?",
        (kinds, identity.id),
    )
    texts = ((ident, decode_private_part(unpack(bytes(data))).get("note")) for ident, data in rows)
    return [ident for ident, note in texts if isinstance(note, str) and identity.pattern.matches(note)]


# ---- before an erasure -----------------------------------------------------------------------------------------------


class ErasureObstacles(NamedTuple):
    """What keeps a person from being erased now."""

    unsettled: int  # requests with a change whose outcome is unknown
    runs: Sequence[str]  # unfinished runs that contain the person
    unsent: int  # decisions in the tray
    accesses: Sequence[Repo]  # repos where the person has access


class StoredParts(NamedTuple):
    """How much the store holds about a person."""

    requests: int
    entries: int  # private parts of the ledger
    notes: int  # notes about other people that name this person
    changes: int  # of runs
    bindings: int
    profiles: int


_COUNT_UNSENT: Final = f"SELECT count(*) FROM changes c JOIN runs r ON r.id = c.run WHERE {UNSENT} AND"


def find_obstacles(reader: Reader, person: int) -> ErasureObstacles:
    """Return what keeps a person from being erased now."""
    mine = "SELECT id FROM requests WHERE person_id = ?"
    among, over = reader.reads.in_clause([*FINISHED, RunState.QUEUED])
    sql = (
        f"SELECT DISTINCT c.run FROM changes c JOIN runs r ON r.id = c.run WHERE c.request_id IN ({mine})"
        f" AND NOT (r.state {among})"
    )
    runs = [row[0] for row in reader.reads.rows(f"{sql} ORDER BY c.run", (person, over))]
    one = read_full_identity(reader, person)
    nameless = reader.reads.rows(
        (
            "SELECT c.run, c.change FROM changes c JOIN runs r ON r.id = c.run WHERE c.request_id IS NULL"
            f" AND NOT (r.state {among})"
        ),
        (over,),
    )
    runs += [run for run, change in nameless if _names_person(one, bytes(change))]
    repos = read_repos_by_number(reader)
    accepted = reader.reads.rows(
        "SELECT repo_id FROM requests WHERE person_id = ? AND is_current AND status = ? ORDER BY repo_id",
        (person, Status.ACCEPTED.value),
    )
    return ErasureObstacles(
        unsettled=reader.reads.count(
            f"SELECT count(*) FROM requests WHERE id IN ({mine}) AND open_run IS NOT NULL", (person,)
        ),
        runs=list(dict.fromkeys(runs)),
        unsent=reader.reads.count(f"{_COUNT_UNSENT} c.request_id IN ({mine})", (person,)),
        accesses=[repos[row[0]] for row in accepted],
    )


def count_parts(reader: Reader, person: int) -> StoredParts:
    """Return how much the store holds about a person."""
    mine = "SELECT id FROM requests WHERE person_id = ?"
    one = read_full_identity(reader, person)
    among, value = reader.reads.in_clause(list(one.keys))
    bound = f"SELECT count(*) FROM bindings WHERE user_id = ? OR lower(key) {among}"
    return StoredParts(
        requests=reader.reads.count(f"SELECT count(*) FROM requests WHERE id IN ({mine})", (person,)),
        entries=reader.reads.count("SELECT count(*) FROM private WHERE person_id = ?", (person,)),
        notes=len(find_notes_about(reader, one)),
        changes=reader.reads.count(f"SELECT count(*) FROM changes WHERE request_id IN ({mine})", (person,)),
        bindings=reader.reads.count(bound, (one.account, value)),
        profiles=reader.reads.count("SELECT count(*) FROM profiles WHERE person_id = ?", (person,)),
    )


# ---- retention -------------------------------------------------------------------------------------------------------


_EXPIRED: Final = (
    "r.status = ? AND r.record_id IS NOT NULL AND r.open_run IS NULL"
    " AND CASE WHEN r.last_moved_at > 0 THEN r.last_moved_at ELSE coalesce(r.reviewed_at, r.first_seen_at) END <= ?"
    " AND NOT EXISTS (SELECT 1 FROM changes c JOIN runs u ON u.id = c.run WHERE c.request_id = r.id"
    " AND NOT (u.state {}))"
)


def count_expired(store: Store, status: str, before: int) -> int:
    """Return how many requests have had this status since before a time (ms) and still have personal data."""
    where, values = _condition(store.reads, status, before)
    return store.reads.count(f"SELECT count(*) FROM requests r WHERE {where}", values)


def delete_expired(store: Store, status: str, before: int, *, limit: int, at: int, actor: str) -> int:
    """Delete the personal data of at most `limit` such requests in one transaction; return how many."""
    with store.writing() as write:
        where, values = _condition(write.db, status, before)
        rows = write.db.rows(f"SELECT r.id FROM requests r WHERE {where} ORDER BY r.id LIMIT ?", (*values, limit))
        if rows:
            Eraser(write, at, actor).delete_old([row[0] for row in rows])
    return len(rows)


def _condition(db: Database, status: str, before: int) -> tuple[str, Sequence[object]]:
    among, over = db.in_clause(list(FINISHED))
    return _EXPIRED.format(among), (status, before, over)
