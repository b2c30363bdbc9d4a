"""`accept` and `grant` give the end that the rules set, say it, and ask where the rules do not know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, PROGRAM, Console, request_access
from tests.kits.terminal import Terminal

PURPOSE = "What will you use Lantern for?"
HOUSE = f"version: 1\nrepos: [{MODEL}]\npolicies: [policies/*.yaml]\n"
POLICY = f"""\
version: 1
policy: lantern
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: people
    when: 'form["{PURPOSE}"].contains("robots")'
    then: human
  - id: busy
    when: 'form["{PURPOSE}"] == "to look" && person.models > 3'
    then: accept
    until: 60d
  - id: robots
    when: 'form["{PURPOSE}"].contains("robots")'
    then: accept
    until: 2030-06-30
    at_end: reject
"""


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is synced: ada-l writes of robots, bob99 listens, cem-k looks."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(HOUSE)
    (tmp_path / "policies" / "lantern.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    for name, text in (("ada-l", "to build robots"), ("bob99", "to listen"), ("cem-k", "to look")):
        request_access(fresh, [name], answers={PURPOSE: text})
    return tmp_path


def _ends(hub: LocalHub) -> dict[str, tuple[str, str, str]]:
    listed = Console(hub).run("ends", "ls", "--json").json
    return {each["user"]: (each["rule"], each["until"][:10], each["at_end"]) for each in listed}


@pytest.mark.usefixtures("desk")
def test_in_a_terminal_the_end_is_asked(fresh: LocalHub) -> None:
    with Terminal([*PROGRAM, "accept", f"cem-k@{MODEL}"], Console(fresh).environment()) as terminal:
        terminal.until("The end of access of cem-k is not known: number of public models.")
        terminal.press("never\n")
        terminal.until("Access ends (1y, 2027-06-30, or none)", 2)
        terminal.press("2031-01-31\n")
        assert terminal.end() == 0
    assert _ends(fresh)["cem-k"] == ("direct", "2031-02-01", "reset")
