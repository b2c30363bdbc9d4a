"""Earlier versions of a table are built again from the stored changes: everybody is listed as they were then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hf_gate.policies.facts.table_versions import (
    MAX_EARLIER,
    TableHistory,
    TableVersion,
    add_departed,
    decode_version,
    departed_of,
    encode_version,
    forget_person,
    hide_key,
    make_version,
)
from hf_gate.policies.facts.tables import Table
from tests.kits.tables import FULL_KEY, NOW, PERSONS, accounts, addresses, dates, read_table

HEADER = "key,email,expires\n"
SALT = b"s" * 16


def store_versions(tables: list[Table]) -> TableVersion:
    """The stored version after these tables, one each 10 ms."""
    stored: TableVersion | None = None
    for number, table in enumerate(tables):
        stored = decode_version(encode_version(make_version(table, SALT, stored, 10 * (number + 1))))
    assert stored is not None
    return stored


ROWS = st.lists(st.tuples(accounts, addresses, dates), max_size=5)


@given(st.lists(ROWS, min_size=1, max_size=6), st.booleans())
def test_every_version_is_built_again_by_its_digest_and_by_its_time(
    versions: list[list[tuple[str, str, str]]], is_roster: bool
) -> None:
    tables: list[Table] = []
    stored: TableVersion | None = None
    for number, rows in enumerate(versions):
        table = read_table(HEADER + "".join(f"{','.join(row)}\n" for row in rows), FULL_KEY, previous_rows=0)
        if table.refusal or any(table.digest == each.digest for each in tables):
            continue
        if is_roster and stored is not None:
            table = add_departed(table, stored, departed_of(table, stored))
        tables.append(table)
        stored = decode_version(encode_version(make_version(table, SALT, stored, 10 * (number + 1))))
    if stored is None:
        return
    history = TableHistory(tables[-1], stored)
    starts = [stored.since, *(one.since for one in stored.earlier)][::-1]
    for table, start in zip(tables, starts, strict=True):
        assert start is not None
        for found in (history.find(None, start), history.find(table.digest[:8], 0)):
            assert found is not None
            assert found.digest == table.digest
            for person in PERSONS:
                for address in (None, "name-a@x.example", "q@w.z.example"):
                    now, then = (each.find(person, address, now=NOW) for each in (table, found))
                    assert (then.state, then.why, then.expires) == (now.state, now.why, now.expires), person
    assert history.find(None, 9) is None
    assert history.find("not-kept", 1000) is None


def test_the_later_of_the_version_that_was_read_and_the_version_in_force_counts() -> None:
    tables = [read_table(f"email\np{number}@x.example\n") for number in range(3)]
    history = TableHistory(tables[-1], store_versions(tables))

    def digest_at(number: int | None, at: int) -> str | None:
        found = history.find(None if number is None else tables[number].digest[:8], at)
        return None if found is None else found.digest

    assert digest_at(0, 25) == tables[1].digest
    assert digest_at(1, 15) == tables[1].digest
    assert history.find(tables[2].digest[:8], 15) is tables[2]
    assert digest_at(None, 5) is None


def test_only_so_many_versions_are_kept_and_an_older_one_is_not_known() -> None:
    tables = [read_table(f"email\np{number}@x.example\n") for number in range(MAX_EARLIER + 3)]
    stored = store_versions(tables)
    assert len(stored.earlier) == MAX_EARLIER
    history = TableHistory(tables[-1], stored)
    assert history.find(tables[1].digest[:8], 0) is None
    found = history.find(tables[2].digest[:8], 0)
    assert found is not None
    assert found.find(PERSONS[0], "p2@x.example", now=NOW).state == "valid"


def test_the_other_columns_of_an_earlier_version_are_unknown() -> None:
    tables = [read_table(f"email,note\np@x.example,{note}\n") for note in ("one", "two")]
    found = TableHistory(tables[1], store_versions(tables)).find(tables[0].digest[:8], 0)
    assert found is not None
    assert found.find(PERSONS[0], "p@x.example", now=NOW).row is None


def test_versions_that_tell_of_an_erased_person_are_forgotten_with_all_before_them() -> None:
    tables = [read_table(f"email\n{name}@x.example\nx@x.example\n") for name in ("ada", "bob", "cyd", "dee")]
    stored = store_versions(tables)
    left = forget_person(stored, [("username", "ada"), ("email", "Bob@x.example"), ("user_id", None)])
    assert left is not None
    assert [one.digest for one in left.earlier] == [tables[2].digest]
    hidden = {hide_key(SALT, "email", f"{name}@x.example") for name in ("ada", "bob")}
    assert hidden.isdisjoint(value for one in left.earlier for row in one.rows for value in row.keys.values())
    assert forget_person(stored, [("email", "nobody@x.example")]) is None
    assert left == replace(stored, earlier=left.earlier)
