"""Colours of the terminal: each has a meaning, each coloured part has its word or mark, and only a terminal shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.command_line.output import STYLE_OF_MEANING, StyledLine, style_mark
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access

POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: say-more, when: 'answers.purpose.quality in ["empty", "junk"]', then: reset, reason: Say more.}}
  - {{id: resale, when: 'answers.purpose.text == "to resell"', then: reject, reason: No resale.}}
  - {{id: all, then: accept}}
"""
GREEN, CYAN, RED = "\x1b[32m", "\x1b[36m", "\x1b[31m"
END = "\x1b[0m"


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A workspace with a policy that accepts ada-l, rejects bob and sends cy back."""
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], DATASET)
    request_access(fresh, ["bob"], DATASET, {"Purpose": "to resell"})
    request_access(fresh, ["cy"], DATASET, {"Purpose": "test"})
    console = Console(fresh)
    assert console.run("init", DATASET).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    return console


def test_a_plan_and_its_run_have_a_colour_for_each_action(console: Console) -> None:
    plan = console.run("plan", "--out", "plan.json", "--color", "always").out
    for mark in (f"{GREEN}+{END} accept", f"{CYAN}↺{END} send back", f"{RED}✗{END} reject"):
        assert f"  {mark}" in plan
    assert console.run("apply", "plan.json", "--yes").code == 0
    run = console.run("runs", "ls", "-q").out.split()[0]
    shown = console.run("runs", "show", run, "--color", "always").out
    assert f"ada-l at {DATASET}: {GREEN}accepted{END} (all)" in shown
    assert f"cy at {DATASET}: {CYAN}reset{END} (say-more)" in shown
    assert f"bob at {DATASET}: {RED}rejected{END} (resale)" in shown
    back = console.run("undo", "--color", "always").out
    assert f"  {RED}-{END} return to pending, with access" in back


def test_only_a_leading_mark_has_a_colour() -> None:
    assert style_mark("    ✓ an answer") == StyledLine("    ✓ an answer", "✓", "✓")
    for text in ("", "+", "accept everybody", "+49 30 1234", "the mark ✓ says yes"):
        assert STYLE_OF_MEANING.get(style_mark(text).meaning) is None
