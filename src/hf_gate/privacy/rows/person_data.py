"""Reads what the store holds about one person besides requests and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hf_gate.core.letters.messages import OutboxRow
from hf_gate.core.queued_decisions import QueuedDecision
from hf_gate.core.runs import RunState
from hf_gate.core.stored_rows import ChangeRow
from hf_gate.messages.rows.outbox import read_letters_to
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.requests.rows.identity import StoredIdentity, read_full_identity
from hf_gate.store.rows.runs import SELECT_CHANGES, build_changes
from hf_gate.store.rows.tray import list_decisions_about
from hf_gate.store.store import Store
from hf_gate.verdicts.rows.table_rows import find_table_rows


def list_row_keys(identity: StoredIdentity) -> set[str]:
    """Return the keys that rows of tables can have for a person. Tables spell some addresses in another way."""
    words = (identity.email, *(word for name, word in identity.former if name == "email"))
    addresses = (str(address) for word in words if word and (address := parse_address(word)) is not None)
    return {identity.account, *identity.keys, *addresses}


class PersonData(NamedTuple):
    """Rows about one person."""

    changes: list[ChangeRow]
    decisions: list[QueuedDecision]
    bindings: list[tuple[str, str]]  # table and key
    table_rows: list[tuple[str, str, str]]  # table, key and cells (JSON)
    selections: int  # how many selections contain a request of the person
    table_hits: list[str]  # the owner's tables that contained the person at the last evaluation
    letters: list[OutboxRow]
    profile: bytes | None


def read_person_data(store: Store, person: int) -> PersonData:
    """Return the rows about a person."""
    db = store.reads
    one = read_full_identity(store.reads, person)
    mine = "SELECT id FROM requests WHERE person_id = ?"
    began = "SELECT DISTINCT c.run FROM changes c JOIN runs r ON r.id = c.run WHERE r.state <> ?"
    runs = [row[0] for row in db.rows(f"{began} AND c.request_id IN ({mine})", (RunState.QUEUED, person))]
    changes = [
        change
        for run in runs
        for change in build_changes(
            run, db.rows(f"{SELECT_CHANGES} c.run = ? AND c.request_id IN ({mine}) ORDER BY c.n", (run, person))
        )
    ]
    among, value = db.in_clause(list(one.keys))
    bound = f"SELECT owner_table, key FROM bindings WHERE user_id = ? OR lower(key) {among} ORDER BY 1, 2"
    hits = db.rows(f"SELECT DISTINCT name FROM hits WHERE request_id IN ({mine}) ORDER BY name", (person,))
    profile = store.profiles([person]).get(person)
    return PersonData(
        changes=changes,
        decisions=list_decisions_about(store, person),
        bindings=[(row[0], row[1]) for row in db.rows(bound, (one.account, value))],
        table_rows=find_table_rows(db, list_row_keys(one)),
        selections=db.count(f"SELECT count(DISTINCT pick) FROM picked WHERE request_id IN ({mine})", (person,)),
        table_hits=[row[0] for row in hits],
        letters=read_letters_to(store, person),
        profile=None if profile is None else profile[0],
    )


def join_person_data(parts: Sequence[PersonData]) -> PersonData:
    """Return the rows about several stored people who are the same account."""
    return PersonData(
        changes=[row for one in parts for row in one.changes],
        decisions=[row for one in parts for row in one.decisions],
        bindings=sorted({row for one in parts for row in one.bindings}),
        table_rows=sorted({row for one in parts for row in one.table_rows}),
        selections=sum(one.selections for one in parts),
        table_hits=sorted({name for one in parts for name in one.table_hits}),
        letters=[row for one in parts for row in one.letters],
        profile=next((one.profile for one in parts if one.profile is not None), None),
    )
