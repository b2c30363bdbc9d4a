"""Each table that refers to a request or a person is deleted, redacted or kept on purpose when somebody is erased."""

from __future__ import annotations

from hf_gate.store.erasure import REQUEST_TABLES
from hf_gate.store.erasure_repetition import VACUUMED
from hf_gate.store.schema import metadata

REDACTED = {"requests", "people", "changes", "plans", "texts"}
DELETED = {"private", "profiles", "bindings", "views", *REQUEST_TABLES}
KEPT = {
    "ledger": "ids, statuses and commitments only",
    "erased": "keyed hashes only",
    "history": "counts under the pseudonym",
    "halted_ends": "times of ends",
}


def test_every_table_about_requests_or_people_is_accounted_for() -> None:
    about = {
        table.name
        for table in metadata.sorted_tables
        if {"request_id", "person_id"} & {column.name for column in table.columns}
    }
    assert about <= REDACTED | DELETED | KEPT.keys()


def test_every_table_that_an_erasure_changes_is_vacuumed() -> None:
    """On PostgreSQL, a deleted row stays in the files of the server until its table is vacuumed."""
    assert set(VACUUMED) == REDACTED | DELETED | {"table_versions"}


def test_every_column_of_bytes_or_digests_is_accounted_for() -> None:
    """A new column could hold what an erasure must reach. The last two are keyed hashes of the owner's tables."""
    bytes_of = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if type(column.type).__name__ == "LargeBinary"
    }
    assert bytes_of == {
        "people.salt", "requests.raw", "requests.answers", "requests.identity", "profiles.document", "chains.head",
        "ledger.commitment", "ledger.hash", "private.data", "dictionaries.data", "plans.document", "changes.change",
        "picked.answers", "approvals.answers", "approvals.identity", "erased.key", "table_versions.document",
        "evaluated_tables.keys",
    }  # fmt: skip
