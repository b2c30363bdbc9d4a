"""Stores the rows of tables with `store: true`, each with the salt of its commitments in the ledger."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from typing import Final

from hf_gate.core.events.events import LedgerEntry, TableRowChanged, canonical_json
from hf_gate.errors import Stale, UsageError
from hf_gate.settings import setting_keys
from hf_gate.store.sql import Database, Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

MAX_STORED_ROWS: Final = 100_000
_SALT_SIZE: Final = 16


def read_table_rows(reader: Reader, table: str) -> dict[str, dict[str, str]]:
    """Return the cells of the rows of a table, by their keys."""
    rows = reader.reads.rows("SELECT key, cells FROM table_rows WHERE owner_table = ? ORDER BY key", (table,))
    return {key: json.loads(cells) for key, cells in rows}


def list_row_commitments(reader: Reader) -> list[tuple[str, str]]:
    """Return the table of each stored row, and the commitment that the ledger has to it."""
    rows = reader.reads.rows("SELECT owner_table, key, cells, salt FROM table_rows")
    return [(table, _commit(salt, key, cells)) for table, key, cells, salt in rows]


def write_table_rows(
    store: Store,
    table: str,
    rows: Mapping[str, Mapping[str, str] | None],
    *,
    actor: str,
    at: int,
    most_columns: int | None = None,
    known: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """Store rows by their keys, and delete those without cells (None); return how many changed.

    Each change is in the ledger. Raises UsageError if the table then has more than `most_columns`, or too many rows;
    Stale if a row is not as it is in the `known` rows of the table.
    """
    with store.writing(is_short=True) as write:
        now = {} if known is None else read_table_rows(write, table)
        if known is not None and any(now.get(key) != known.get(key) for key in rows):
            raise Stale(
                f"rows of table {table} changed meanwhile, so nothing was written.", hint="Run the command again."
            )
        events = [
            event for key, cells in rows.items() if (event := _write_row(write.db, table, key, cells)) is not None
        ]
        if most_columns is not None and len(set[str]().union(*read_table_rows(write, table).values())) > most_columns:
            raise UsageError(f"a table has at most {most_columns} columns.", hint="Nothing was written.")
        is_longer = any(event.before is None for event in events)
        if is_longer and _count_rows(write.db, table) > MAX_STORED_ROWS:
            raise UsageError(
                f"a table in the store has at most {MAX_STORED_ROWS:,} rows.", hint="Delete rows that no rule needs."
            )
        if events:
            write.append(None, [LedgerEntry(event=event, at=at, actor=actor) for event in events])
            _note_change(write)
    return len(events)


def _count_rows(db: Database, table: str) -> int:
    found = db.row("SELECT count(*) FROM table_rows WHERE owner_table = ?", (table,))
    return 0 if found is None else int(found[0])


def _write_row(db: Database, table: str, key: str, cells: Mapping[str, str] | None) -> TableRowChanged | None:
    """Write or delete a row; return None if it is so already."""
    where = (table, key)
    written = None if cells is None else json.dumps(cells, sort_keys=True)
    known = db.row("SELECT cells, salt FROM table_rows WHERE owner_table = ? AND key = ?", where)
    if written == (None if known is None else known[0]):
        return None
    salt = secrets.token_hex(_SALT_SIZE)
    db.run("DELETE FROM table_rows WHERE owner_table = ? AND key = ?", where)
    if written is not None:
        db.run("INSERT INTO table_rows (owner_table, key, cells, salt) VALUES (?, ?, ?, ?)", (*where, written, salt))
    before = None if known is None else _commit(known[1], key, known[0])
    after = None if written is None else _commit(salt, key, written)
    return TableRowChanged(table=table, before=before, after=after)


def _commit(salt: str, key: str, cells: str) -> str:
    """Return the commitment to a row. It says nothing without the salt, which goes with the row."""
    return hashlib.sha256(canonical_json([salt, key, cells])).hexdigest()


def _note_change(write: Writer) -> None:
    """Let processes that hold the tables in memory read them again."""
    write.write_setting(setting_keys.TABLE_ROWS, secrets.token_hex(8))


# ---- one person ------------------------------------------------------------------------------------------------------


def find_table_rows(db: Database, keys: Collection[str]) -> list[tuple[str, str, str]]:
    """Return table, key and cells (JSON) of the rows with these keys: the account id, usernames and addresses."""
    among, value = db.in_clause(list(keys))
    sql = f"SELECT owner_table, key, cells FROM table_rows WHERE key {among} ORDER BY owner_table, key"
    return [(table, key, cells) for table, key, cells in db.rows(sql, (value,))]


def delete_table_rows(write: Writer, keys: Collection[str]) -> None:
    """Delete the rows with these keys, and so the salts of their commitments."""
    among, value = write.db.in_clause(list(keys))
    if write.db.run(f"DELETE FROM table_rows WHERE key {among}", (value,)):
        _note_change(write)
