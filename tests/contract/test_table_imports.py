"""An import proposes the people whom its rows may mean, and finds them without a look at each person for each row."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest

from hf_gate.application.own_tables import find_own_table, row_of_cells
from hf_gate.application.table_imports import ImportMatches, match_rows
from hf_gate.application.workspace import Workspace, WorkspaceLocation
from hf_gate.config import Settings, resolve_paths
from hf_gate.policy.workspace_config import WorkspaceConfig
from hf_gate.store.store import Store
from tests.clock import ManualClock

from .store_kit import EEG, place, record, store, take

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


def match(desk: Workspace, *rows: tuple[str, str]) -> ImportMatches:
    """Match rows with an e-mail address and a name."""
    own = find_own_table(desk, "partners")
    cells = [{"email": email, "name": name} for email, name in rows]
    return match_rows(desk, own, {line: row_of_cells(own, one) for line, one in enumerate(cells, 2)})


def count_calls(desk: Workspace, number: int) -> int:
    """Return how many calls of functions the matching of so many rows to as many people takes."""
    take(desk.store, EEG, [record(n, fullname=f"Person{n} Example", email=f"p{n}@mit.edu") for n in range(number)])
    rows = [(f"p{n}+work@mit.edu", "") for n in range(number)]
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = match(desk, *rows)
    finally:
        sys.setprofile(before)
    assert all(len(proposals) == 1 for _, proposals in found.unmatched.values())
    return calls


def test_an_import_of_many_rows_looks_at_no_person_for_each_row(desk: Workspace) -> None:
    few = count_calls(desk, 50)
    assert count_calls(desk, 400) < 8 * 1.5 * few


def test_a_row_proposes_those_with_its_whole_name_and_those_of_its_domain_with_the_name_in_its_address(
    desk: Workspace,
) -> None:
    people = [
        ("Ada Lovelace", "ada@mit.edu"),
        ("Ada Byron", "byron@mit.edu"),
        ("Bob Lovelace", "bob@example.org"),
        ("Ada King Lovelace", "king@mit.edu"),
    ]
    take(desk.store, EEG, [record(n, fullname=name, email=email) for n, (name, email) in enumerate(people, 1)])
    found = match(desk, ("lovelace@mit.edu", "Ada Lovelace"), ("x@example.net", "Ada Lovelace"), ("y@mit.edu", "Ada"))
    proposals = [[(one.person.identity.username, one.why) for one in each] for _, each in found.unmatched.values()]
    assert proposals == [
        [("user1", "e-mail differs, same name and domain"), ("user4", "e-mail differs, same name and domain")],
        [("user1", "e-mail differs, same name")],
        [],
    ]
