"""An import says whom its rows mean, without a look at each person for each row, and adds keys that it can look up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest

from hf_gate.config import Settings, resolve_paths
from hf_gate.errors import UsageError
from hf_gate.grants.service.tables.own_tables import find_own_table
from hf_gate.grants.service.tables.table_imports import TableImport, prepare_import, read_people_file
from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.store.store import Store
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import EEG, place, record, store, store_records

__all__ = ["place", "store"]

T0 = 1_790_000_000_000
FILE = "email,name\n"


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Workspace:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "partners.csv").write_text(FILE)
    (tmp_path / "hf-gate.yaml").write_text(
        f"version: 1\nrepos: [{EEG}]\ntables: {{partners: {{file: tables/partners.csv, key: email}}}}\n"
    )
    location = WorkspaceLocation(tmp_path, WorkspaceConfig())
    settings = Settings(paths=resolve_paths({}, tmp_path))
    return Workspace(settings, location, store, clock=ManualClock.at_ms(T0), open_hub=lambda: cast("Any", None))


def read(desk: Workspace, text: str, **columns: str) -> TableImport:
    own = find_own_table(desk, "partners")
    return prepare_import(desk, own, read_people_file(text.encode(), columns), replaces=False)


def count_calls(desk: Workspace, number: int) -> int:
    """Return how many calls of functions the import of so many rows about as many people takes."""
    store_records(
        desk.store, EEG, [record(n, fullname=f"Person{n} Example", email=f"p{n}@mit.edu") for n in range(number)]
    )
    text = FILE + "".join(f"p{n}@mit.edu,Person\n" for n in range(number))
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = read(desk, text)
    finally:
        sys.setprofile(before)
    assert (found.found, list(found.not_found)) == (number, [])
    return calls


def test_an_import_of_many_rows_looks_at_no_person_for_each_row(desk: Workspace) -> None:
    few = count_calls(desk, 50)
    assert count_calls(desk, 400) < 8 * 1.5 * few


def record_id(desk: Workspace) -> str:
    """The account id of the first person."""
    (row,) = desk.store.find_by_identity(None, "user1")
    return row.person.identity.user_id or ""


@pytest.mark.parametrize("columns", [199, 201])
def test_a_file_has_at_most_two_hundred_columns(desk: Workspace, tmp_path: Path, columns: int) -> None:
    (tmp_path / "tables" / "partners.csv").unlink()
    names = ["email", *(f"c{n}" for n in range(columns - 1))]
    text = f"{','.join(names)}\nada@mit.edu{',' * (columns - 1)}\n"
    if columns > 200:
        with pytest.raises(UsageError, match="more than 200 columns"):
            read(desk, text)
    else:
        assert read(desk, text).draft.content.decode() == text


def test_two_rows_that_mean_the_same_row_of_the_table_are_refused(desk: Workspace) -> None:
    folder = desk.location.folder
    assert folder is not None
    (folder / "hf-gate.yaml").write_text(
        f"version: 1\nrepos: [{EEG}]\ntables: {{partners: {{file: tables/partners.csv, key: [username, email]}}}}\n"
    )
    (folder / "tables" / "partners.csv").write_text("username,email\nada,ada@mit.edu\n")
    with pytest.raises(UsageError, match="rows of the file do not fit table partners") as refused:
        read(desk, "username,email\nada,\nbob,ada@mit.edu\n")
    assert refused.value.details == ["lines 2 and 3 of the file name the same row (line 2 of partners)"]


def test_a_row_whose_columns_name_two_people_is_refused(desk: Workspace) -> None:
    store_records(desk.store, EEG, [record(n, email=f"p{n}@mit.edu") for n in (1, 2)])
    with pytest.raises(UsageError) as refused:
        read(desk, f"user_id,username,name\n{record_id(desk)},user2,x\n")
    assert refused.value.details == ["line 2: The columns of the row name two people."]


def test_an_address_of_two_accounts_means_both(desk: Workspace) -> None:
    store_records(desk.store, EEG, [record(1, email="p@mit.edu"), record(2, email="p@mit.edu")])
    found = read(desk, "email\np@mit.edu\n")
    assert (found.found, found.likely, found.without_row) == (1, [], [])
    assert found.notes == ["line 2, p@mit.edu: two accounts have this address: user1, user2"]


def test_a_username_of_two_people_means_neither(desk: Workspace) -> None:
    """One of them has the name since the other was renamed, and the next sync tells who."""
    store_records(desk.store, EEG, [record(1, email="p1@mit.edu"), record(2, name="user1", email="p2@mit.edu")])
    with pytest.raises(UsageError) as refused:
        read(desk, "username,name\nuser1,x\n")
    assert refused.value.details[0].startswith("line 2: the email of ")
