"""`accept` and `grant` give the end that the rules set, say it, and ask where the rules do not know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, PROGRAM, Console, request_access, status_of
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
def test_an_acceptance_ends_as_the_rule_says_although_people_decide(fresh: LocalHub) -> None:
    done = Console(fresh).run("accept", f"ada-l@{MODEL}")
    assert done.code == 0, done.err
    assert "1 acceptance: access ends 2030-07-01 00:00 UTC, by rule lantern/robots." in done.err
    assert _ends(fresh) == {"ada-l": ("lantern/robots", "2030-07-01", "reject")}
    assert Console(fresh).run("accept", f"bob99@{MODEL}").code == 0
    assert list(_ends(fresh)) == ["ada-l"], "no accept rule holds for bob99"


@pytest.mark.usefixtures("desk")
def test_an_unknown_end_is_one_clear_line_without_a_terminal(fresh: LocalHub) -> None:
    console = Console(fresh)
    refused = console.run("accept", MODEL, "ada-l", "cem-k", "--yes")
    assert refused.code == 2
    assert refused.error == "Error: the end of access of cem-k is not known: number of public models; nothing was sent."
    assert refused.hint == "Hint: Choose an end: --until 1y, --until 2027-06-30, or --until none."
    assert status_of(fresh, "ada-l") == "pending"
    chosen = console.run("accept", MODEL, "ada-l", "cem-k", "--yes", "--until", "none")
    assert (chosen.code, _ends(fresh)) == (0, {}), chosen.err
    assert "access has no end" in chosen.out


@pytest.mark.usefixtures("desk")
def test_explain_says_the_end_of_an_acceptance_by_hand(fresh: LocalHub) -> None:
    console = Console(fresh)
    assert console.run("sync").code == 0
    shown = console.run("explain", f"ada-l@{MODEL}", "--format", "human")
    assert "If accepted by hand: access ends 2030-07-01 00:00 UTC, by rule lantern/robots." in shown.out
    terms = console.run("explain", f"ada-l@{MODEL}", "--json").json["by_hand"]
    assert (terms["kind"], terms["until"], terms["rule"]) == ("end", "2030-06-30", "lantern/robots")
    assert console.run("explain", f"bob99@{MODEL}", "--json").json["by_hand"]["kind"] == "none"


@pytest.mark.usefixtures("desk")
def test_in_a_terminal_the_end_is_asked(fresh: LocalHub) -> None:
    with Terminal([*PROGRAM, "accept", f"cem-k@{MODEL}"], Console(fresh).environment()) as terminal:
        terminal.until("The end of access of cem-k is not known: number of public models.")
        terminal.press("never\n")
        terminal.until("Access ends (1y, 2027-06-30, or none)", 2)
        terminal.press("2031-01-31\n")
        assert terminal.end() == 0
    assert _ends(fresh)["cem-k"] == ("direct", "2031-02-01", "reset")


def test_policies_that_cannot_be_read_give_no_end_by_surprise(fresh: LocalHub, desk: Path) -> None:
    (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("2030-06-30", "soon"))
    refused = Console(fresh).run("accept", f"ada-l@{MODEL}")
    assert (refused.code, "the policies, which cannot be read" in refused.error) == (2, True)
    assert Console(fresh).run("accept", f"ada-l@{MODEL}", "--until", "30d").code == 0


def test_at_a_repo_outside_the_workspace_no_rule_sets_an_end(fresh: LocalHub, desk: Path) -> None:
    (desk / "hf-gate.yaml").write_text(HOUSE.replace(MODEL, "acme/other"))
    (desk / "policies" / "lantern.yaml").write_text(POLICY.replace(f"[{MODEL}]", '["*/*"]'))
    done = Console(fresh).run("accept", f"ada-l@{MODEL}")
    assert (done.code, "access ends" in done.err) == (0, False), done.err
    assert _ends(fresh) == {}, "no run would end it"


@pytest.mark.usefixtures("desk")
def test_a_grant_without_a_request_needs_a_chosen_end(fresh: LocalHub) -> None:
    fresh.add_people([{"username": "dan"}])
    console = Console(fresh)
    refused = console.run("grant", f"dan@{MODEL}")
    assert (refused.code, "the request, which was not read" in refused.error) == (2, True)
    assert console.run("grant", f"dan@{MODEL}", "--until", "90d").code == 0
    assert _ends(fresh)["dan"][0] == "direct"
