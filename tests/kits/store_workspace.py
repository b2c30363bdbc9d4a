"""A workspace with two requesters, one of them accepted, and functions that look at its store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, in which the program runs."""
    folder = tmp_path / "eeg"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def console(fresh: LocalHub, place: Path) -> Console:
    """A workspace with two people, of whom one was let in."""
    assert place.exists()
    request_access(fresh, ["ada-l", "bob"], answers={"Purpose": "to study sleep"})
    console = Console(fresh)
    assert console.run("init", MODEL).code == 0
    assert console.run("accept", f"ada-l@{MODEL}").code == 0
    return console


def own_files(home: Path) -> list[Path]:
    """Everything below the home folder that hf-gate could have made."""
    return sorted(path for path in home.rglob("*") if "hf-gate" in path.parts)


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db, db:
        yield db


def execute(path: Path, sql: str) -> None:
    with database(path) as db:
        db.execute(sql)
