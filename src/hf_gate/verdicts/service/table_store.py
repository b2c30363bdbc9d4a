"""What the store keeps of the owner's tables: row counts, the last good versions, the accounts of usernames."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from msgspec import structs

from hf_gate.base.timestamps import from_ms
from hf_gate.core.events.events import LedgerEntry, TableAccepted
from hf_gate.core.policy_model import Roster, TableSpec
from hf_gate.policies.facts.table_versions import (
    TableVersion,
    add_departed,
    decode_version,
    departed_of,
    encode_version,
    find_departed,
    make_version,
    restore_version,
)
from hf_gate.policies.facts.tables import Table, TableProblem, unbound_usernames
from hf_gate.settings import setting_keys
from hf_gate.store.store import Store
from hf_gate.store.writing.erased import find_erased_names, is_erased_account
from hf_gate.store.writing.writer import Writer

from .evaluation import SourcesPort

_SALT_SIZE: Final = 16
_MAX_LOOKED_UP: Final = 500  # usernames that are looked up one by one


def read_row_counts(store: Store, specs: Mapping[str, TableSpec]) -> dict[str, int]:
    """Return the number of rows of each table when it was last read, or accepted by a person.

    Of a table with `max_removed`, people are compared instead, so only an accepted empty table is in the result.
    """
    counts = {name: store.setting(setting_keys.row_count_key(name)) for name in specs}
    return {name: int(n) for name, n in counts.items() if n and (n == "0" or specs[name].max_removed is None)}


def use_versions(store: Store, specs: Mapping[str, TableSpec], tables: dict[str, Table]) -> dict[str, Table]:
    """Return the tables that are in force: of a refused file, the last good version."""
    return {name: _use_version(store, specs[name], table) for name, table in tables.items()}


def use_saved_version(store: Store, spec: TableSpec, table: Table) -> Table:
    """Return the table that is in force after a person saves this version, who thereby accepts that rows are gone."""
    return _use_version(store, structs.replace(spec, max_removed=None), table)


def _use_version(store: Store, spec: TableSpec, table: Table) -> Table:
    if not (table.refusal or spec.roster is Roster.ADD_ONLY or spec.max_removed is not None):
        return table
    stored = store.table_version(table.name) if spec.file is not None else None
    version = None if stored is None else decode_version(stored[0])
    if stored is None or version is None or version.key != table.key:
        return table
    table = _check_removed(store, spec, table, version)
    if table.refusal:
        return restore_version(version, table, from_ms(stored[1]))
    departed = departed_of(table, version) if spec.roster is Roster.ADD_ONLY else []
    return add_departed(table, version, departed)


def _check_removed(store: Store, spec: TableSpec, table: Table, version: TableVersion) -> Table:
    """Refuse a table from which more people are gone than `max_removed` allows, unless a person accepted it."""
    if table.refusal or spec.max_removed is None or table.digest == version.digest:
        return table
    gone = find_departed(table, version)
    is_accepted = store.setting(setting_keys.accepted_table_key(table.name)) == table.digest
    if is_accepted or len(gone) <= spec.max_removed * len(version.rows):
        return table
    why = (
        f"{len(gone):,} of {len(version.rows):,} rows are gone, more than max_removed {spec.max_removed:.0%}"
        f" (to accept it: hf-gate policy check --accept-table {table.name})"
    )
    problems = (*table.problems, TableProblem(0, "table_refused", f"{why}."))
    return replace(table, refusal=f"table {table.name}: {why}", problems=problems)


# ---- what is stored --------------------------------------------------------------------------------------------------


def bind_tables(store: Store, sources: SourcesPort, tables: Mapping[str, Table], budget: int, at: int) -> int:
    """Bind usernames in tables to their current accounts, with one call each; return the number of calls.

    After that, a later owner of a name does not match. A name of an erased person is bound only to the same account,
    and only if it asks again. Also store who each table lists, to compare the next version.
    """
    good = [table for table in tables.values() if not table.file_problem]
    names = [(table, name) for table in good for name in unbound_usernames(table, store.bindings(table.name))]
    erased = find_erased_names(store, [name for _, name in names])
    asked = [name for _, name in names if name not in erased][:budget]
    found = {name: sources.account(name) for name in dict.fromkeys(asked)}
    bound = found | {name: _find_returned(store, name) for name in erased}
    digests = store.table_digests()
    with store.writing() as write:
        for table, name in names:
            ident = bound.get(name)
            if ident is not None:
                write.write_binding(table.name, name, ident)
        for table in good:
            write.write_setting(setting_keys.row_count_key(table.name), str(len(table.rows)))
            _write_version(store, write, table, at, is_known=digests.get(table.name) == table.digest)
    return len(found)


def bind_known_accounts(store: Store, table: Table) -> Table:
    """Return a table as after the look-up of its new usernames, as far as the store knows the accounts."""
    names = unbound_usernames(table, store.bindings(table.name))[:_MAX_LOOKED_UP]
    erased = find_erased_names(store, names) if names else set()
    known = {name: _find_account(store, name) for name in names if name not in erased}
    if not any(known.values()):
        return table
    rows = [
        structs.replace(row, user_id=known[row.username]) if row.username and known.get(row.username) else row
        for row in table.rows
    ]
    return table.with_rows(tuple(dict.fromkeys((*table.key, "user_id"))), rows)


def _find_account(store: Store, username: str) -> str | None:
    people = [row.person.identity for row in store.find_by_identity(None, username)]
    found = {person.user_id for person in people if (person.username or "").lower() == username}
    return found.pop() if len(found) == 1 else None


def _find_returned(store: Store, name: str) -> str | None:
    """Return the account with this username in a request, if it belonged to an erased person who made that request
    later.
    """
    people = [row.person.identity for row in store.find_by_identity(None, name)]
    ids = {
        person.user_id
        for person in people
        if person.user_id and person.username and person.username.lower() == name.lower()
    }
    return next((ident for ident in sorted(ids) if is_erased_account(store, ident)), None)


def _write_version(store: Store, write: Writer, table: Table, at: int, *, is_known: bool) -> None:
    if is_known:
        write.write_table_version(table.name, table.digest, at, None)
        return
    stored = store.table_version(table.name)
    before = None if stored is None else decode_version(stored[0])
    before = before if before is not None and before.key == table.key else None
    salt = secrets.token_bytes(_SALT_SIZE) if before is None else before.salt
    write.write_table_version(table.name, table.digest, at, encode_version(make_version(table, salt, before)))


def accept_table(store: Store, table: Table, actor: str, at: int) -> None:
    """Accept a table that lost rows, and record who accepted it."""
    known = store.setting(setting_keys.row_count_key(table.name))
    before = None if known is None else int(known)
    after = len(table.rows)
    key = setting_keys.accepted_table_key(table.name)
    stored = store.table_version(table.name)
    is_same = stored is None or decode_version(stored[0]).digest == table.digest
    if before == after and (is_same or store.setting(key) == table.digest):
        return
    event = TableAccepted(table=table.name, rows_before=before, rows_after=after)
    with store.writing() as write:
        write.append(None, [LedgerEntry(event=event, at=at, actor=actor)])
        note_accepted(write, table)


def note_accepted(write: Writer, table: Table) -> None:
    """Store that a person accepts a table as it is, even if rows are missing."""
    write.write_setting(setting_keys.row_count_key(table.name), str(len(table.rows)))
    write.write_setting(setting_keys.accepted_table_key(table.name), table.digest)
