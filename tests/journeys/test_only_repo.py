"""In a workspace with one repo, every command that needs a repo uses that one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, PROGRAM, Console, request_access, status_of
from tests.kits.terminal import Terminal


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Three people who ask at the only repo of a workspace."""
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l", "bob", "carol"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    return console


@pytest.mark.parametrize(
    "words", ["show bob", "explain bob", "policy show", "repos show", "form check", "accept bob carol --dry-run"]
)
def test_a_command_takes_the_only_repo(console: Console, words: str) -> None:
    ended = console.run(*words.split())
    assert ended.code == 0, ended.err
    assert DATASET in ended.out


def test_decisions_ends_and_lists_of_names_mean_the_only_repo(console: Console, tmp_path: Path) -> None:
    assert console.run("accept", "bob").code == 0
    assert console.run("ends", "set", "bob", "--until", "2027-06-30", "--yes").code == 0
    (tmp_path / "names.txt").write_text(f"carol\nada-l@{DATASET}\n")
    assert console.run("reset", "--from", "names.txt", "--no-reason", "--yes").code == 0
    assert [status_of(console.hub, name) for name in ("bob", "carol", "ada-l")] == ["accepted", "reset", "reset"]
    with Terminal([*PROGRAM, "review"], console.environment()) as terminal:
        terminal.until("0 requests decided, 0 left.")


def test_another_repo_can_still_be_named(console: Console) -> None:
    request_access(console.hub, ["dan"], MODEL)
    assert console.run("accept", f"dan@{MODEL}").code == 0
    assert console.run("accept", MODEL, "dan").code == 0
    assert status_of(console.hub, "dan") == "accepted"


def test_with_two_repos_a_name_alone_is_refused(console: Console, tmp_path: Path) -> None:
    config = tmp_path / "hf-gate.yaml"
    config.write_text(config.read_text().replace(f"- {DATASET}", f"- {DATASET}\n  - {MODEL}"))
    assert MODEL in config.read_text()
    refused = console.run("accept", "bob")
    assert (refused.code, refused.error) == (2, "Error: no repo is given for bob.")
    assert "Missing argument 'REPO'" in console.run("policy", "show").err
    assert status_of(console.hub, "bob") == "pending"
