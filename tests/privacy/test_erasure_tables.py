"""Each table that refers to a request or a person is deleted, redacted or kept on purpose when somebody is erased."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.core.events.request_fields import ERASED, FIELDS, IN_LEDGER, IN_STORE
from hf_gate.core.records import ExportedRequest, GrantRecord
from hf_gate.privacy.rows.erasure import REQUEST_TABLES
from hf_gate.privacy.rows.erasure_repetition import VACUUMED
from hf_gate.workspace.rows.opening import open_store
from tests.kits.desk import GOOD, Desk, open_desk

REDACTED = {"requests", "people", "changes", "plans", "texts"}
DELETED = {"private", "profiles", "bindings", "table_rows", "endorsements", *REQUEST_TABLES}
KEPT = {
    "ledger": "ids, statuses and commitments only",
    "erased": "keyed hashes only",
    "history": "counts under the pseudonym",
}


@pytest.fixture
def columns(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The type of each column of each table."""
    path = tmp_path / "desk.db"
    open_store(path, endpoint="https://huggingface.co").close()
    with closing(sqlite3.connect(path)) as db:
        sql = (
            "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND t.name NOT LIKE 'grams%'"
        )
        found = dict[str, dict[str, str]]()
        for table, column, kind in db.execute(sql):
            found.setdefault(table, {})[column] = kind
        return found


def test_every_table_about_requests_or_people_is_accounted_for(columns: dict[str, dict[str, str]]) -> None:
    about = {table for table, kinds in columns.items() if {"request_id", "person_id"} & kinds.keys()}
    assert about
    assert about <= REDACTED | DELETED | KEPT.keys()


def test_every_table_that_an_erasure_changes_is_vacuumed() -> None:
    """On PostgreSQL, a deleted row stays in the files of the server until its table is vacuumed."""
    assert set(VACUUMED) == REDACTED | DELETED


def test_every_column_of_bytes_or_digests_is_accounted_for(columns: dict[str, dict[str, str]]) -> None:
    """A new column could hold what an erasure must reach. The last one has keyed hashes of the owner's tables."""
    bytes_of = {
        f"{table}.{column}" for table, kinds in columns.items() for column, kind in kinds.items() if kind == "BLOB"
    }
    assert bytes_of == {
        "people.salt", "requests.raw", "requests.answers", "requests.identity", "profiles.document", "chains.head",
        "ledger.commitment", "ledger.hash", "private.data", "plans.document", "changes.change",
        "picked.answers", "approvals.answers", "approvals.identity", "erased.key",
        "evaluated_tables.keys",
    }  # fmt: skip


def test_every_column_of_a_request_says_what_exports_and_erasures_do_with_it(
    columns: dict[str, dict[str, str]],
) -> None:
    assert columns["requests"].keys() == FIELDS.keys()


@pytest.mark.parametrize("key", sorted({one.exported for one in FIELDS.values()} - {IN_LEDGER, IN_STORE}))
def test_an_export_has_the_columns_where_the_table_says(key: str) -> None:
    part, _, rest = key.partition(".")
    assert part in ExportedRequest.__struct_fields__
    assert not rest or rest in GrantRecord.__struct_fields__


def test_an_erasure_leaves_what_the_table_says(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "quokka", "email": "q@kxqjz.example"}], {"Purpose": GOOD})
        lena = desk.visitor()
        before = _read_request(desk)
        assert all(before[name] != value for name, value in ERASED.items() if name in _SET_BY_ASKING)
        path = f"/people/{desk.row('quokka').person.pseudonym}/erase"
        assert lena.post(path, {"name": "quokka"}).status == 200
        after = _read_request(desk)
    assert {name: after[name] for name in ERASED} == dict(ERASED)
    kept = FIELDS.keys() - ERASED.keys() - _MOVED
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


_SET_BY_ASKING = {"record_id", "raw", "answers", "identity", "domain", "quality", "mail", "fingerprint"}
_MOVED = {"evaluation_version", "evaluate_at", "review_at"}


def _read_request(desk: Desk) -> dict[str, object]:
    (row,) = desk.app_state.workspace.store.reads.stream("SELECT * FROM requests")
    return row
