"""What the store keeps of the owner's tables: row counts, and the accounts of usernames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hf_gate.core.events.events import LedgerEntry, TableAccepted
from hf_gate.policies.facts.tables import Table, unbound_usernames
from hf_gate.settings import setting_keys
from hf_gate.store.store import Store
from hf_gate.store.writing.erased import find_erased_names, is_erased_account
from hf_gate.store.writing.writer import Writer

from .evaluation import SourcesPort


def read_row_counts(store: Store, names: Iterable[str]) -> dict[str, int]:
    """Return the number of rows of each table when it was last read, or accepted by a person."""
    counts = {name: store.setting(setting_keys.row_count_key(name)) for name in names}
    return {name: int(n) for name, n in counts.items() if n}


def bind_tables(store: Store, sources: SourcesPort, tables: Mapping[str, Table], budget: int) -> int:
    """Bind usernames in tables to their current accounts, with one call each; return the number of calls.

    After that, a later owner of a name does not match. A name of an erased person is bound only to the same account,
    and only if it asks again. Also store how many rows each table has, to compare the next version.
    """
    good = [table for table in tables.values() if not table.refusal]
    names = [(table, name) for table in good for name in unbound_usernames(table, store.bindings(table.name))]
    erased = find_erased_names(store, [name for _, name in names])
    asked = [name for _, name in names if name not in erased][:budget]
    found = {name: sources.account(name) for name in dict.fromkeys(asked)}
    bound = found | {name: _find_returned(store, name) for name in erased}
    with store.writing() as write:
        for table, name in names:
            ident = bound.get(name)
            if ident is not None:
                write.write_binding(table.name, name, ident)
        for table in good:
            write.write_setting(setting_keys.row_count_key(table.name), str(len(table.rows)))
    return len(found)


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


def accept_table(store: Store, table: Table, actor: str, at: int) -> None:
    """Accept a table that lost rows, and record who accepted it."""
    known = store.setting(setting_keys.row_count_key(table.name))
    before = None if known is None else int(known)
    after = len(table.rows)
    if before == after:
        return
    event = TableAccepted(table=table.name, rows_before=before, rows_after=after)
    with store.writing() as write:
        write.append(None, [LedgerEntry(event=event, at=at, actor=actor)])
        note_accepted(write, table)


def note_accepted(write: Writer, table: Table) -> None:
    """Store that a person accepts a table as it is, even if rows are missing."""
    write.write_setting(setting_keys.row_count_key(table.name), str(len(table.rows)))
