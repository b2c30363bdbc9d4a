"""A stranger's first ten minutes: from the README to the first sent decision on a repo of three requests, and away again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import PROGRAM, CommandResult, Console, request_access, status_of
from tests.kits.terminal import Terminal

REPO = "lumen-labs/lantern-7b-chat"
GOOD = "I compare how well small models follow instructions in Luganda and Swahili, for a paper."

# Python loads `sitecustomize` before the program: it notes each host that the program looks up or talks to.
_WATCHER = """
import os, sys
def note(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host:
        with open(os.environ["HOSTS_LOG"], "a") as log:
            log.write((host.decode() if isinstance(host, bytes) else str(host)) + chr(10))
sys.addaudithook(note)
"""


class Stranger:
    """Somebody with an empty HOME, a token, and a folder of their own."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub, self.folder = hub, folder / "work"
        self.folder.mkdir()
        watcher = folder / "watcher"
        watcher.mkdir()
        (watcher / "sitecustomize.py").write_text(_WATCHER)
        self._log = folder / "hosts.log"
        self._watched = {"PYTHONPATH": str(watcher), "HOSTS_LOG": str(self._log)}
        self._console = Console(hub)

    @property
    def environment(self) -> Mapping[str, str]:
        return self._console.environment(self._watched)

    @property
    def hosts(self) -> set[str]:
        """Every host that a command of theirs looked up or talked to."""
        return set(self._log.read_text().split())

    def types(self, *words: str, code: int = 0) -> CommandResult:
        """Types a command in their folder, without a terminal; `code` is how it should end."""
        ended = self._console.spawn(*words, env=self._watched)
        assert ended.code == code, ended.err
        return ended


@pytest.fixture
def stranger(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stranger:
    """The owner of a repo that three people asked for."""
    for name, purpose in (("ada-l", GOOD), ("bob99", "test"), ("chen-w", "Benchmarking for a course.")):
        request_access(fresh, [name], REPO, {"What will you use Lantern for?": purpose})
    made = Stranger(fresh, tmp_path)
    monkeypatch.chdir(made.folder)
    return made


def _files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _decides_in_review(stranger: Stranger) -> None:
    """Looks at the first request on a terminal, accepts it by a key, and stops."""
    with Terminal([*PROGRAM, "review", REPO], stranger.environment) as terminal:
        assert GOOD in terminal.until("q quit")
        terminal.press("a")
        terminal.until("bob99")
        terminal.press("q")
        assert terminal.end() == 0


def test_from_the_first_look_to_the_first_decision_and_away_again(stranger: Stranger, private_home: Path) -> None:
    """Nothing is sent before the stranger presses a key, and nothing of hf-gate is left when they leave."""
    told = stranger.types("doctor").out
    assert "this token can list requests; it should also be able to decide: its role is write" in told

    assert stranger.types("form", "check", REPO).out

    listed = stranger.types("ls", REPO, "--json").json
    assert [row["user"] for row in listed] == ["chen-w", "bob99", "ada-l"]
    assert stranger.hub.journal()[-1]["to"] == "pending", "looking changes nothing"

    stranger.types("init", REPO)
    own = _files_below(stranger.folder)
    assert {"hf-gate.yaml", "desk.db"} <= own
    stranger.types("help", "policies")

    _decides_in_review(stranger)
    assert status_of(stranger.hub, "ada-l") == "accepted"
    assert "ada-l" in stranger.types("audit", "ls").out
    stranger.types("audit", "verify")

    kept = stranger.folder.parent / "kept"
    stranger.types("store", "export", str(kept))
    stranger.types("audit", "verify", "--file", str(kept / "ledger.jsonl"))
    stranger.types("store", "remove", "--yes")
    assert {
        name for name in _files_below(stranger.folder) if not name.startswith(("hf-gate.yaml", "policies/", ".git"))
    } == set()
    assert {name for name in _files_below(private_home) if "hf-gate" in name} == set()
    assert status_of(stranger.hub, "ada-l") == "accepted", "leaving changes nothing on the Hub"
    assert stranger.hosts == {"127.0.0.1"}, "the page docs/promises.md names every host"


def test_init_on_three_requests_names_three_next_steps_that_work(stranger: Stranger) -> None:
    said = stranger.types("init", REPO)
    steps = [line.strip().split("  ")[0] for line in said.out.splitlines() if line.startswith("  hf-gate ")]
    assert steps == ["hf-gate ui", f"hf-gate review {REPO}", "hf-gate help policies"]
