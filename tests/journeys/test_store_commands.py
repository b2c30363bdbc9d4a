"""store: where it lies, who has it, and what `check` and `export` find in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.desk.private_host import ensure_private_host
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.settings.service.workspace import Workspace
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import MODEL, Console, status_of
from tests.kits.store_workspace import console, database, execute, place

__all__ = ["console", "place"]


# ---- while another process has it ---------------------------------------------------------------------------------------


def test_a_command_waits_for_a_process_that_has_the_store_and_names_it_meanwhile(console: Console, place: Path) -> None:
    with open_store(
        place / "desk.db", endpoint=console.hub.url, world=get_world_id(console.hub.url), command="hf-gate ui"
    ):
        waiting = console.start("accept", f"bob@{MODEL}")
        assert waiting.stderr is not None
        said = next((line.decode() for line in waiting.stderr if b"Waiting" in line), "")
    with waiting:
        assert waiting.wait(timeout=60) == 0
    assert f"up to 60 s for pid {os.getpid()} (hf-gate ui)" in said
    assert status_of(console.hub, "bob") == "accepted"


# ---- check --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda path: execute(path, "CREATE VIEW v AS SELECT 1"), "v is a missing, a changed or a foreign trigger"),
        (lambda path: execute(path, "DROP TRIGGER ledger_no_update"), "ledger_no_update is a missing"),
        (
            lambda path: execute(path, "UPDATE requests SET status = 'accepted' WHERE status = 'pending'"),
            "says accepted",
        ),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"?" * 9000), "damaged"),
    ],
    ids=["view", "trigger", "row", "damage"],
)
def test_each_harm_is_one_line_and_exit_code_1(
    console: Console, place: Path, harm: Callable[[Path], object], word: str
) -> None:
    harm(place / "desk.db")
    ended = console.run("store", "check", "--json")
    assert ended.code == 1
    assert any(word in line for line in ended.json["findings"]), ended.json


def test_a_damaged_search_index_is_found(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        db.execute("UPDATE grams_data SET block = zeroblob(length(block)) WHERE id > 1000")
    found = console.run("store", "check", "--json")
    jsonschema.validate(found.json, schema_of("store-check"))
    assert (found.code, found.json["ok"]) == (1, False)
    refused = console.run("sync")
    assert refused.code != 0
    assert "hf-gate store restore FILE" in refused.hint


# ---- export -------------------------------------------------------------------------------------------------------------


def test_an_export_holds_the_tables_of_policies_and_names_what_it_leaves_out(console: Console, place: Path) -> None:
    (place / "partners.csv").write_text("email\nada@example.org\n")
    (place / "large.csv").write_text("email\n" + "x@example.org\n" * 400_000)
    policy = place / "policies" / "starter.yaml"
    tables = "tables: {partners: {file: partners.csv, key: email}, large: {file: large.csv, key: email}}\n"
    policy.write_text(policy.read_text() + tables)
    assert console.run("store", "backup", "copy.sqlite").code == 0
    assert console.run("plan", "--out", "later.json").code == 0
    ended = console.run("store", "export", "out", "--json")
    jsonschema.validate(ended.json, schema_of("store-export"))
    assert (place / "out" / "workspace" / "partners.csv").read_text() == "email\nada@example.org\n"
    names = ("large.csv", "copy.sqlite", "copy.sqlite.json", "later.json")
    assert set(ended.json["left_out"]) == {str(place / name) for name in names}
    assert f"Not in the export: {place / 'large.csv'}" in console.run("store", "export", "again").out


def test_an_export_does_not_tell_the_private_host_name_of_the_desk(console: Console, place: Path) -> None:
    with database(place / "desk.db") as db:
        (endpoint,) = db.execute("SELECT value FROM about WHERE key = 'endpoint'").fetchone()
    with open_store(place / "desk.db", endpoint=endpoint, world=get_world_id(endpoint)) as store:
        name = ensure_private_host(cast("Workspace", SimpleNamespace(store=store)))
    assert console.run("store", "export", "out").code == 0
    files = [path for path in (place / "out").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if name.encode() in path.read_bytes()] == []


def test_an_export_never_writes_into_a_folder_that_holds_something(console: Console, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "mine").touch()
    assert console.run("store", "export", "out").code == 2
    assert [path.name for path in (place / "out").iterdir()] == ["mine"]
