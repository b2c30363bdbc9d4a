"""`review` at a desk: who waits from the store, why beside each, the last note, and templates by number."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.store.write_lock import FileLock, Holder
from hf_gate.testing import LocalHub
from tests.kits.command_line import HOSTILE, MODEL, Console, request_access, status_of
from tests.kits.program_server import program_words
from tests.kits.terminal import Terminal

PURPOSE = "What will you use Lantern for?"
HOUSE = f"""\
version: 1
repos: [{MODEL}]
policies: [policies/*.yaml]
templates:
  closed: We are closed.
  say-more: "{{user}}: say more about {{repo}}."
"""
POLICY = f"""\
version: 1
policy: lantern
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: robots
    when: '"{PURPOSE}" in form && form["{PURPOSE}"].contains("robots")'
    then: accept
    until: 30d
  - id: rest
    then: human
"""


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk with one policy, read whole: ada-l has asked, bob99 too."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(HOUSE)
    (tmp_path / "policies" / "lantern.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"], answers={PURPOSE: "to build robots"})
    request_access(fresh, ["bob99"], answers={PURPOSE: "to listen"})
    assert Console(fresh).run("sync").code == 0
    return tmp_path


def _review(hub: LocalHub, *more: str) -> Terminal:
    return Terminal([*program_words(), "review", MODEL, *more], Console(hub).environment())


def test_why_stands_beside_each_request(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - where it runs
    with _review(fresh) as terminal:
        shown = terminal.until("q quit")
        assert "why       Would accept: " in shown
        terminal.press(" ")
        terminal.until("Request 2 of 2")
        assert "why       Needs review: " in terminal.until("q quit")
        terminal.press("q")
        assert terminal.end() == 0


def test_who_asked_a_moment_ago_is_in_the_list_and_a_decision_is_a_run(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    request_access(fresh, ["cem-k"])
    lists = fresh.stats()["calls"]["GET list"]
    with _review(fresh, "--newest-first") as terminal:
        assert "cem-k" in terminal.until("Request 1 of 3")
        assert fresh.stats()["calls"]["GET list"] == lists + 4, "one page of each list"
        terminal.press("aq")
        assert terminal.end() == 0
        assert "1 request decided, 2 left" in terminal.display
    console = Console(fresh)
    (run,) = console.run("runs", "ls", "--json").json
    assert (run["kind"], run["state"], run["counts"]) == ("direct", "ended", {"done": 1})
    assert status_of(fresh, "cem-k") == "accepted"
    assert console.run("audit", "verify").code == 0


def test_an_acceptance_ends_as_the_screen_says(fresh: LocalHub, desk: Path) -> None:
    (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("until: 30d", "until: 2030-06-30"))
    with _review(fresh) as terminal:
        assert "accept    access until 30 Jun 2030, by rule lantern/robots" in terminal.until("q quit")
        terminal.press("a")
        terminal.until("Request 2 of 2")
        terminal.press("a")
        terminal.until("That was the last request")
        terminal.press(" ")
        assert terminal.end() == 0
    grants = {each["user"]: each["rule"] for each in Console(fresh).run("ends", "ls", "--json").json}
    assert grants == {"ada-l": "lantern/robots"}, "no rule sets an end for bob99"


def test_the_end_that_the_screen_showed_is_sent(fresh: LocalHub, desk: Path) -> None:
    (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("until: 30d", "until: 2030-06-30"))
    with _review(fresh) as terminal:
        terminal.until("q quit")
        terminal.press("a")
        terminal.until("Not sent yet: accept ada-l")
        (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("until: 30d", "until: 60d"))
        terminal.press(" ")
        terminal.until("1 request decided")
        terminal.press("q")
        terminal.end()
    (grant,) = Console(fresh).run("ends", "ls", "--json").json
    assert (grant["user"], grant["rule"], grant["until"][:10]) == ("ada-l", "lantern/robots", "2030-07-01")


def test_an_end_of_a_policy_that_was_switched_off_under_the_review_is_not_sent(fresh: LocalHub, desk: Path) -> None:
    with _review(fresh) as terminal:
        terminal.until("q quit")
        terminal.press("a")
        terminal.until("Not sent yet: accept ada-l")
        (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("mode: enforce", "mode: shadow"))
        terminal.press(" ")
        words = "Not sent: the policy lantern, which set the end of access, no longer applies"
        assert "Request 1 of 2" in terminal.until(words)
        assert status_of(fresh, "ada-l") == "pending"
        terminal.press("q")
        terminal.end()


def test_an_unknown_end_is_left_to_the_command_that_asks_for_it(fresh: LocalHub, desk: Path) -> None:
    unknown = POLICY.replace("until: 30d", "until: 30d\n    unless: person.models > 3")
    (desk / "policies" / "lantern.yaml").write_text(unknown)
    with _review(fresh) as terminal:
        assert "the end of access is not known: number of public models; you choose it" in terminal.until("q quit")
        terminal.press("a")
        terminal.until(f"Choose the end of access: hf-gate accept ada-l@{MODEL} --until 1y, or none.")
        terminal.press("q")
        assert terminal.end() == 0
    assert status_of(fresh, "ada-l") == "pending"


def test_a_template_goes_by_its_number(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    with _review(fresh) as terminal:
        terminal.until("Request 1 of 2")
        terminal.press("s")
        shown = terminal.until("! and Enter")
        assert "1 and Enter: We are closed. (closed)" in shown
        assert "2 and Enter: {user}: say more about {repo}. (say-more)" in shown
        assert "3 and Enter: Please say in two or three sentences" in shown, "the texts of every workspace come after"
        terminal.press("2\n")
        terminal.until("Request 2 of 2")
        terminal.press("q")
        assert terminal.end() == 0
    assert f"ada-l: say more about {MODEL}." in str(fresh.control("GET", "outbox"))


def test_others_may_decide_while_somebody_reviews(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    with _review(fresh) as terminal:
        terminal.until("Request 1 of 2")
        assert Console(fresh).run("accept", f"ada-l@{MODEL}").code == 0
        terminal.press("a")
        terminal.until("Request 2 of 2")
        terminal.press("q")
        assert terminal.end() == 0
        assert "ada-l: stale" in terminal.display
    assert len([move for move in fresh.journal() if move["route"] == "handle"]) == 1


def test_a_store_that_is_busy_ends_it_and_what_was_held_is_told_unsent(fresh: LocalHub, desk: Path) -> None:
    with _review(fresh, "--max-wait", "2s") as terminal:
        terminal.until("Request 1 of 2")
        terminal.press("a")
        terminal.until("Request 2 of 2")
        lock = FileLock(desk / "desk.db", Holder(4711), wait=0)
        terminal.press("q")
        assert terminal.end() == 75
        lock.release()
        assert "Not sent: accept ada-l" in terminal.display
        shown = "".join(
            terminal.display.split()
        )  # wrapped after the path: between words, or by the terminal within one
        assert "beingwrittenbypid4711" in shown
    assert status_of(fresh, "ada-l") == "pending"


def test_a_policy_that_is_wrong_keeps_nobody_from_reviewing(fresh: LocalHub, desk: Path) -> None:
    (desk / "policies" / "lantern.yaml").write_text(POLICY.replace("then: accept", "then: acept"))
    with _review(fresh) as terminal:
        assert "no verdict, because the policies cannot be read: policies/lantern.yaml:8:11" in terminal.until("q quit")
        terminal.press("s")
        terminal.until("Type a reason")
        terminal.press("Please say more.\n")
        terminal.until("Request 2 of 2")
        terminal.press("q")
        assert terminal.end() == 0
    assert status_of(fresh, "ada-l") == "reset"


def test_a_hostile_note_does_not_act_on_the_screen(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    assert Console(fresh).run("cancel", f"ada-l@{MODEL}", "--note", HOSTILE + "\x1b[2J").code == 0
    with _review(fresh) as terminal:
        terminal.until("q quit")
        terminal.press("q")
        terminal.end()
        assert "␛[31mEvil" in terminal.display
        assert b"\x1b[31mEvil" not in terminal.raw
