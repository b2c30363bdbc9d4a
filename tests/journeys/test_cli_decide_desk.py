"""Deciding at a desk and without one: what the store keeps of it, notes, templates, ends, several repos, two at once."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate.store.write_lock import FileLock, Holder
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, request_access, status_of

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


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which there is no desk."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stores(folder: Path) -> list[Path]:
    return sorted(Path(os.environ["XDG_DATA_HOME"]).rglob("*.db")) + sorted(folder.glob("*.db"))


def mails(hub: LocalHub) -> str:
    """What the Hub wrote to people."""
    return str(hub.control("GET", "outbox"))


# ---- what the ledger lists ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
def test_for_people_the_ledger_lists_what_one_run_did_to_many_as_one_row(fresh: LocalHub) -> None:
    names = [f"person-{n}" for n in range(8)]
    request_access(fresh, names)
    console = Console(fresh)
    assert console.run("accept", MODEL, *names, "--yes").code == 0
    asked = ("audit", "ls", "--kind", "ChangeSettled")
    grouped = console.run(*asked, "--format", "human").out.splitlines()
    assert len(grouped) == 2
    assert "8 accepted" in grouped[1]
    assert len(console.run(*asked, "--all-entries", "--format", "human").out.splitlines()) == 9
    assert len(console.run(*asked, "--json").json) == 8
    assert len(console.run(*asked, "--format", "csv").out.splitlines()) == 9


def test_a_run_that_did_several_things_is_one_row_that_counts_each(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours differ: one is accepted, the next is sent back."""
    monkeypatch.chdir(tmp_path)
    for n in range(8):
        request_access(
            fresh, [f"person-{n}"], answers={"What will you use Lantern for?": "robots" if n % 2 else "test"}
        )
    (tmp_path / "hf-gate.yaml").write_text(f"version: 1\nrepos: [{MODEL}]\npolicies: [p.yaml]\n")
    (tmp_path / "p.yaml").write_text(
        f"version: 1\npolicy: p\napplies_to: [{MODEL}]\nmode: enforce\nrules:\n"
        """  - {id: in, when: 'form["What will you use Lantern for?"] == "robots"', then: accept}\n  - {id: back, then: reset, reason: Say more.}\n"""
    )
    console = Console(fresh)
    assert console.run("sync").code == 0
    assert console.run("plan", "--out", "plan.json").code == 0
    assert console.run("apply", "plan.json", "--yes").code == 0
    listed = console.run("audit", "ls", "--kind", "ChangeSettled", "--format", "human").out.splitlines()
    assert len(listed) == 2
    assert "4 accepted; 4 sent back" in listed[1]


# ---- what is kept --------------------------------------------------------------------------------------------------------


def test_a_decision_is_a_run_of_the_desk_that_can_be_shown_and_turned_back(fresh: LocalHub, desk: Path) -> None:
    request_access(fresh, ["ada-l", "bob99"])
    console = Console(fresh)
    decided = console.run("accept", MODEL, "ada-l", "bob99", "--yes", "--json")
    assert (decided.code, decided.json["done"]) == (0, 2), decided.err
    assert stores(desk) == [desk / "desk.db"]
    run = decided.json["run"]
    shown = console.run("runs", "show", run, "--json").json
    assert (shown["run"], shown["done"], {one["user"] for one in shown["outcomes"]}) == (run, 2, {"ada-l", "bob99"})
    assert console.run("runs", "ls", "--json").json[0]["kind"] == "direct"
    assert console.run("audit", "verify").code == 0
    assert console.run("undo", run, "--out", "back.json").code == 0
    assert console.run("apply", "back.json", "--yes").code == 0
    assert status_of(fresh, "ada-l") == status_of(fresh, "bob99") == "pending"


def test_without_a_desk_each_hub_has_a_store_of_this_user(fresh: LocalHub, nowhere: Path) -> None:
    request_access(fresh, ["ada-l"])
    decided = Console(fresh).run("accept", f"ada-l@{MODEL}", "--json")
    assert decided.code == 0, decided.err
    assert Console(fresh).run("runs", "show", decided.json["run"], "--json").json["done"] == 1
    with LocalHub(requests=0) as another:
        request_access(another, ["ada-l"])
        assert Console(another).run("accept", f"ada-l@{MODEL}").code == 0
        assert [row["planned"] for row in Console(another).run("runs", "ls", "--json").json] == [1]
    assert len(stores(nowhere)) == 2


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


def test_a_grant_is_found_afterwards_and_stands_in_the_store(fresh: LocalHub, desk: Path) -> None:
    fresh.add_people([{"username": "eve-g"}])
    assert Console(fresh).run("grant", f"eve-g@{MODEL}", "--note", "Asked by telephone.").code == 0
    with closing(sqlite3.connect(desk / "desk.db")) as db:
        found = db.execute(
            "SELECT p.username, r.status, r.has_notes FROM requests r JOIN people p ON p.id = r.person_id"
        )
        assert found.fetchall() == [("eve-g", "accepted", 1)]


# ---- what they are told, and what is noted -------------------------------------------------------------------------------


def test_a_note_is_kept_and_told_to_nobody(fresh: LocalHub, desk: Path) -> None:  # noqa: ARG001 - where it runs
    request_access(fresh, ["ada-l"])
    console = Console(fresh)
    ended = console.run("reset", f"ada-l@{MODEL}", "--reason", "Say more.", "--note", "Met her at NeurIPS.")
    assert ended.code == 0, ended.err
    assert "NeurIPS" not in ended.out
    assert "Say more." in mails(fresh)
    assert "NeurIPS" not in mails(fresh) + str(fresh.journal())
    assert console.run("accept", f"ada-l@{MODEL}", "--note", " ").code == 2
    assert console.run("accept", f"ada-l@{MODEL}", "--note", "x" * 4001).code == 2


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


def test_a_template_that_gets_too_long_is_no_reason(fresh: LocalHub, desk: Path) -> None:
    request_access(fresh, ["ada-l"])
    text = HOUSE.replace("Hello {user}", "x" * 120 + " {user}")
    (desk / "hf-gate.yaml").write_text(text)
    ended = Console(fresh).run("reset", f"ada-l@{MODEL}", "--reason-template", "say-more")
    assert (ended.code, "the Hub allows 200" in ended.error) == (2, True), ended.err


@pytest.mark.parametrize("verb", ["reject", "reset", "revoke", "revoke --how reject"])
def test_without_a_terminal_nobody_is_turned_away_without_a_reason_unless_that_is_meant(
    fresh: LocalHub,
    desk: Path,  # noqa: ARG001 - as above
    verb: str,
) -> None:
    request_access(fresh, ["ada-l"])
    console, words = Console(fresh), [*verb.split(), f"ada-l@{MODEL}"]
    for flags in ([], ["--yes"], ["--json"], ["--dry-run"]):
        ended = console.run(*words, *flags)
        assert (ended.code, "--no-reason" in ended.hint, ended.out) == (2, True, "")
    assert [move for move in fresh.journal() if move["to"] in {"rejected", "reset"}] == []
    assert console.run(*words, "--no-reason", "--reason", "No.").code == 2
    assert console.run(*words, "--no-reason").code == 0
    assert console.run("revoke", f"ada-l@{MODEL}", "--how", "cancel").code == 0
    assert console.run("accept", f"ada-l@{MODEL}").code == 0


def test_an_acceptance_can_end_and_only_a_desk_can_end_it(
    fresh: LocalHub, desk: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_access(fresh, ["ada-l", "bob99"])
    console = Console(fresh)
    ended = console.run("accept", f"ada-l@{MODEL}", "--until", "2030-06-30")
    assert "access ends 2030-06-30" in ended.out, ended.err
    assert "GrantDated" in console.run("audit", "ls").out
    with closing(sqlite3.connect(desk / "desk.db")) as db:
        (until,) = db.execute("SELECT until_at FROM requests WHERE until_at IS NOT NULL").fetchone()
    assert until == 1_909_087_200_000, "the end of that day in Zurich"
    again = console.run("accept", f"ada-l@{MODEL}", "--until", "1y")
    assert "already accepted; access now ends in 1y." in again.out
    moves = len(fresh.journal())
    for text, what in (("2020-01-01", "in the past"), ("30 days", "30d"), ("tomorrow", "not an end")):
        refused = console.run("accept", f"bob99@{MODEL}", "--until", text)
        assert (refused.code, what in refused.err) == (2, True), refused.err
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    assert console.run("accept", f"bob99@{MODEL}", "--until", "30d").code == 2
    assert len(fresh.journal()) == moves


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
