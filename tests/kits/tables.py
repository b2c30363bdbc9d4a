"""Tables and random cells for tests of tables."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from hf_gate.base.ids import Person
from hf_gate.policies.drivers.table_files import parse_table
from hf_gate.policies.facts.tables import Table

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def read_table(text: str, key: tuple[str, ...] = ("email",), **options: object) -> Table:
    return parse_table(text.encode(), "dua", key, **options)  # type: ignore[arg-type]


PERSONS = [Person(letter * 24, f"name-{letter}", None) for letter in "abcd"]
accounts = st.sampled_from([*(each.id or "" for each in PERSONS), *(each.username or "" for each in PERSONS)])
addresses = st.sampled_from(["", "name-a@x.example", "name-b@y.example", "@y.example", "@*.z.example"])
dates = st.sampled_from(["", "2020-01-01", "2099-01-01", "soon"])
