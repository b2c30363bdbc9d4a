"""A workspace whose policy accepts everybody, and what `hf-gate status --check` says about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access

POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: all, then: accept}}
"""


CLOCK = {"HF_GATE_CLOCK": "hub"}


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A workspace whose policy accepts everybody; one person has asked."""
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET, MODEL).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    return console


def check_status(console: Console, *more: str) -> tuple[int, str]:
    """The exit code and the state."""
    ended = console.run("status", "--check", *more, env=CLOCK)
    assert ended.err == ""
    state, colon, _ = ended.out.partition(": ")
    assert colon
    assert console.run("status", "--check", *more, "--json", env=CLOCK).json["state"] == state
    return ended.code, state
