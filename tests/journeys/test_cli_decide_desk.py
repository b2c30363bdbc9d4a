"""Deciding at a desk and without one: what the store keeps of it, notes, templates, ends, several repos, two at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.store.write_lock import FileLock, Holder
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, request_access

OTHER = "kestrel-code/kestrel-coder-3b"
HOUSE = f"""\
version: 1
repos: [{MODEL}, {OTHER}, {DATASET}]
timezone: Europe/Zurich
templates:
  say-more: "Hello {{user}}, say what you will do with {{repo}}, then ask again."
  closed: We are closed.
  by-rule: "Decided by {{rule}}."
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk with templates and no policy, in which the program runs."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(HOUSE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mails(hub: LocalHub) -> str:
    """What the Hub wrote to people."""
    return str(hub.control("GET", "outbox"))


# ---- what the ledger lists ------------------------------------------------------------------------------------------------


# ---- what is kept --------------------------------------------------------------------------------------------------------


def test_two_at_once_decide_once_and_both_are_told(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - where it runs
    request_access(fresh, ["ada-l"])
    fresh.set_faults(["delay_after:s=1:on=handle"])
    children = [Console(fresh).start("accept", f"ada-l@{MODEL}", "--json") for _ in range(2)]
    ended = [
        CommandResult(child.returncode, out.decode(), err.decode())
        for child in children
        for out, err in [child.communicate(timeout=60)]
    ]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert sorted((one.json["done"], one.json["already"]) for one in ended) == [(0, 1), (1, 0)]
    assert [move["to"] for move in fresh.journal() if move["route"] == "handle"] == ["accepted"]


def test_a_store_that_somebody_writes_to_or_that_is_damaged_stops_it_and_nothing_is_sent(
    fresh: LocalHub, desk: Path
) -> None:
    request_access(fresh, ["ada-l"])
    console, moves = Console(fresh), len(fresh.journal())
    assert console.run("sync", MODEL).code == 0
    lock = FileLock(desk / "desk.db", Holder(4711), wait=0)
    busy = console.run("accept", f"ada-l@{MODEL}", "--max-wait", "2s")
    lock.release()
    assert (busy.code, "pid 4711" in busy.error) == (75, True), busy.err
    (desk / "desk.db").write_bytes(b"this is no database at all, but long enough to look at" * 200)
    damaged = console.run("accept", f"ada-l@{MODEL}")
    assert (damaged.code, "desk.db" in damaged.error) == (1, True), damaged.err
    assert len(fresh.journal()) == moves


def test_the_file_of_a_person_names_ends_in_the_time_zone_of_the_workspace(fresh: LocalHub, desk: Path) -> None:
    (desk / "hf-gate.yaml").write_text(HOUSE.replace("Europe/Zurich", "America/Los_Angeles"))
    request_access(fresh, ["ada-l"])
    console = Console(fresh)
    assert console.run("accept", f"ada-l@{MODEL}", "--until", "2099-06-30").code == 0
    told = [entry["text"] for entry in console.run("person", "export", "ada-l", "--json").json["entries"]]
    assert [text for text in told if "Jun 2099" in text] == [text for text in told if "30 Jun 2099" in text] != []


# ---- what they are told, and what is noted -------------------------------------------------------------------------------


def test_a_template_is_filled_for_each_and_refused_before_anything_is_sent(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    request_access(fresh, ["ada-l", "bob99", "cem-k"])
    console = Console(fresh)
    one = console.run("reset", f"ada-l@{MODEL}", "--reason-template", "say-more")
    assert f'reason sent: "Hello ada-l, say what you will do with {MODEL}, then ask again."' in one.out, one.err
    many = console.run("reset", MODEL, "bob99", "cem-k", "--reason-template", "say-more", "--yes")
    assert many.code == 0, many.err
    sent = [move for move in fresh.journal() if move["to"] == "reset"]
    assert len(sent) == 3
    assert "Hello cem-k, say what" in mails(fresh)
    moves = len(fresh.journal())
    for word, what in (("say-les", "say-more"), ("by-rule", "--reason TEXT")):
        ended = console.run("reject", f"bob99@{MODEL}", "--reason-template", word)
        assert (ended.code, what in ended.hint) == (2, True), ended.err
    assert console.run("reject", f"bob99@{MODEL}", "--reason-template", "closed", "--reason", "No.").code == 2
    assert len(fresh.journal()) == moves
    chosen = console.run("reject", f"bob99@{MODEL}", "--reason-template", "closed")
    assert 'reason sent: "We are closed."' in chosen.out


def test_a_text_that_comes_with_hf_gate_needs_no_template(fresh: LocalHub, desk: Path) -> None:
    request_access(fresh, ["ada-l", "bob99"])
    console = Console(fresh)
    ended = console.run("reset", f"ada-l@{MODEL}", "--reason-template", "full-name")
    assert "Please give your full name" in ended.out, ended.err
    (desk / "hf-gate.yaml").unlink()
    ended = console.run("reset", f"bob99@{MODEL}", "--reason-template", "full-name")
    assert "Please give your full name" in ended.out, ended.err
    for verb, word, why in (
        ("reset", "ful-name", "full-name"),
        ("reject", "full-name", "other-purpose"),
    ):
        ended = console.run(verb, f"bob99@{MODEL}", "--reason-template", word)
        assert (ended.code, why in ended.hint) == (2, True), ended.err


# ---- several repos -------------------------------------------------------------------------------------------------------


def test_one_decision_for_all_repos_in_which_somebody_waits(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    for repo in (MODEL, OTHER, DATASET):
        request_access(fresh, ["ada-l", "bob99"], repo)
    console = Console(fresh)
    unknown = console.run("accept", "ada-l@*/*")
    assert (unknown.code, "hf-gate sync" in unknown.hint) == (2, True), unknown.err
    assert console.run("sync").code == 0
    assert console.run("reject", f"ada-l@{OTHER}", "--no-reason").code == 0
    shown = console.run("accept", "ada-l@*/*", "ada-l@datasets/*/*", "--dry-run")
    assert [line.split()[-1] for line in shown.out.splitlines()[:-1]] == [f"ada-l@{MODEL}", f"ada-l@{DATASET}"]
    asked = console.run("accept", "ada-l@*/*", "ada-l@datasets/*/*")
    assert (asked.code, "--yes" in asked.hint) == (6, True), asked.err
    decided = console.run("accept", "ada-l@*/*", "ada-l@datasets/*/*", "--yes", "--json")
    assert (decided.code, decided.json["done"]) == (0, 2), decided.err
    assert {(one["user"], one["repo_type"]) for one in decided.json["outcomes"]} == {
        ("ada-l", "model"),
        ("ada-l", "dataset"),
    }
    assert len(console.run("runs", "ls", "--json").json) == 2
    out = console.run("revoke", "ada-l@*/*", "--no-reason", "--json")
    assert (out.code, out.json["done"], out.json["outcomes"][0]["repo"]) == (0, 1, MODEL)
    nobody = console.run("accept", "ada-l@*/*")
    assert (nobody.code, "no request of ada-l there is pending" in nobody.error) == (1, True), nobody.err
    wrong = console.run("accept", "ada-l@lumen-*")
    assert (wrong.code, "Did you mean" in wrong.hint) == (2, True), wrong.err


def test_acceptances_need_their_number_above_fifty_or_a_tenth_of_who_waits(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - as above
    names = [f"person-{number:03}" for number in range(60)]
    request_access(fresh, [*names, *(f"other-{number:03}" for number in range(640))])
    console = Console(fresh)
    refused = console.run("accept", MODEL, *names, "--yes")
    assert (refused.code, "--max-changes 60" in refused.hint) == (6, True), refused.err
    assert console.run("sync", MODEL).code == 0
    assert console.run("accept", MODEL, *names, "--yes").code == 0, "60 of 700 is less than a tenth"
