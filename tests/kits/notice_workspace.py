"""A workspace whose notices go to one webhook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.message_servers import HOOK_KEY, Hook, open_hook

CLOCK = {"HF_GATE_CLOCK": "hub"}
POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: all, then: human}}
"""
NOTIFY = """\
notify:
  - name: team
    webhook: env:HOOK
    key: env:HOOK_KEY
"""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with open_hook() as found:
        yield found


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook) -> Console:
    """A workspace with one destination; one person asked before it was turned on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOK", hook.url)
    monkeypatch.setenv("HOOK_KEY", HOOK_KEY)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    request_access(fresh, ["ada-l"], DATASET)
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    configure(tmp_path, NOTIFY)
    return console


def configure(folder: Path, notify: str) -> None:
    """Replace the destinations of a workspace."""
    desk = folder / "hf-gate.yaml"
    desk.write_text(desk.read_text("utf-8").partition("notify:")[0] + notify, "utf-8")


def run_once(console: Console, code: int = 0) -> str:
    ended = console.run("run", "--once")
    assert ended.code == code, ended.err
    return ended.err
