"""`run --log json`: each line on stderr is an object with the time and the turn, and names no person."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access

POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: all, then: accept}}
"""


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l", "bob"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    return console


def test_each_line_has_the_time_and_the_turn_and_nobody_is_named(console: Console, tmp_path: Path) -> None:
    desk = tmp_path / "hf-gate.yaml"
    with desk.open("a", encoding="utf-8") as file:
        file.write("heartbeat_url: env:NO_BEAT\n")
    for turn in (1, 2):
        ended = console.run("run", "--once", "--log", "json")
        assert ended.code == 0
        lines = [json.loads(line) for line in ended.err.splitlines()]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["time"]) for line in lines)
        (summary,) = [line for line in lines if line["message"] == "the turn ended"]
        assert (summary["turn"], summary["end"], summary["done"]) == (turn, "ok", 2 if turn == 1 else 0)
        (warning,) = [line for line in lines if line["level"] == "warning"]
        assert (warning["turn"], "NO_BEAT is not set" in warning["message"]) == (turn, True)
        assert not re.search("ada|bob|example.org", ended.err)


def test_the_error_that_ends_the_command_is_a_line_of_the_log_too(console: Console) -> None:
    ended = Console(console.hub, "hf_local_revoked").run("run", "--once", "--log", "json")
    assert ended.code == 4
    assert [json.loads(line)["level"] for line in ended.err.splitlines()][-2:] == ["error", "info"]
