"""`accept` where two people must approve: the first is deferred, the second is sent, and one person is not two."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.base.ids import parse_repo
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.config import Flags
from hf_gate.testing import LocalHub
from hf_gate.workspace.service.bootstrap import read_process_settings
from tests.kits.command_line import MODEL, PROGRAM, Console, promote_policy, status_of
from tests.kits.terminal import Terminal
from tests.kits.workspace_folders import TWO_REVIEWERS, write_unread_folder


@pytest.fixture
def desk(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_unread_folder(tmp_path, fresh, [MODEL]))
    (tmp_path / "policies" / "lantern.yaml").write_text(TWO_REVIEWERS)
    promote_policy(fresh, "lantern")
    return tmp_path


@pytest.mark.usefixtures("desk")
def test_the_first_acceptance_is_deferred_and_the_second_is_sent(fresh: LocalHub) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    first = owner.run("accept", f"ada-l@{MODEL}", "--note", "Seen the form.")
    assert first.code == 0, first.err
    assert "approval 1 of 2" in first.out
    again = owner.run("accept", f"ada-l@{MODEL}", "--json").json
    assert [(one["outcome"], one["why"][:15]) for one in again["outcomes"]] == [("deferred", "approval 1 of 2")]
    assert status_of(fresh, "ada-l") == "pending"
    assert [one["user"] for one in owner.run("ls", "--query", "approval:second", "--json").json] == ["ada-l"]
    assert owner.run("run", "--once").code == 0
    assert status_of(fresh, "ada-l") == "pending"
    assert "  approvals 1 of 2: lena-brandt, " in owner.run("show", f"ada-l@{MODEL}").out
    found = [(owner.run("show", f"{name}@{MODEL}", "--json").json["approvals"]) for name in ("ada-l", "bob99")]
    assert [(one["needed"], len(one["given"])) for one in found] == [(2, 1), (2, 0)]
    second = admin.run("accept", f"ada-l@{MODEL}")
    assert second.code == 0, second.err
    assert "accepted; can download now" in second.out
    assert status_of(fresh, "ada-l") == "accepted"
    assert owner.run("show", f"ada-l@{MODEL}", "--json").json["approvals"] is None


def test_the_list_marks_a_request_that_has_one_of_two_approvals(fresh: LocalHub, desk: Path) -> None:
    owner = Console(fresh)
    assert owner.run("sync", "--full").code == 0
    assert "APPROVALS" not in owner.run("ls", MODEL).out
    assert owner.run("accept", f"ada-l@{MODEL}").code == 0
    head, *lines = owner.run("ls", MODEL).out.splitlines()
    at = head.index("APPROVALS")
    marks = {line.split()[1]: line[at : at + 9].strip() for line in lines}
    assert marks == {"ada-l": "1 of 2", "bob99": "-"}
    listed = owner.run("ls", MODEL, "--json").json
    jsonschema.validate(listed, schema_of("ls"))
    shown = owner.run("show", f"ada-l@{MODEL}", "--json").json["approvals"]
    assert {row["user"]: row["approvals"] for row in listed} == {"ada-l": shown, "bob99": None}
    assert [one["by"] for one in shown["given"]] == ["lena-brandt"]
    cells = {
        row["user"]: row["approvals"]
        for row in csv.DictReader(owner.run("ls", MODEL, "--format", "csv").out.split("\n"))
    }
    assert (json.loads(cells["ada-l"]), cells["bob99"]) == (shown, "")
    assert owner.run("ls", MODEL, "--live", "--json").json[0]["approvals"] is None
    policy = desk / "policies" / "lantern.yaml"
    policy.write_text(TWO_REVIEWERS.replace("then: accept", "then: human"))
    assert "APPROVALS" not in owner.run("ls", MODEL).out, "the approval was for another rule"
    policy.write_text("rules: [")
    assert [row["approvals"] for row in owner.run("ls", MODEL, "--json").json] == [None, None], "nobody knows"
    policy.write_text(TWO_REVIEWERS)
    assert Console(fresh, "admin").run("accept", f"ada-l@{MODEL}").code == 0
    listed = owner.run("ls", MODEL, "--status", "all", "--json").json
    assert [row["approvals"] for row in listed] == [None, None]


@pytest.mark.usefixtures("desk")
def test_several_people_at_once_get_a_first_approval_and_then_access(fresh: LocalHub) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    targets = [f"ada-l@{MODEL}", f"bob99@{MODEL}"]
    first = owner.run("accept", *targets, "--yes", "--json")
    assert first.code == 0, first.err
    assert [(one["outcome"], one["why"]) for one in first.json["outcomes"]] == [("deferred", "approval 1 of 2")] * 2
    assert [status_of(fresh, name) for name in ("ada-l", "bob99")] == ["pending", "pending"]
    second = admin.run("accept", *targets, "--yes", "--json")
    assert [one["outcome"] for one in second.json["outcomes"]] == ["done", "done"]
    assert [status_of(fresh, name) for name in ("ada-l", "bob99")] == ["accepted", "accepted"]


@pytest.mark.usefixtures("desk")
def test_an_own_approval_among_several_does_not_keep_the_others_back(fresh: LocalHub) -> None:
    owner = Console(fresh)
    assert owner.run("sync", "--full").code == 0
    assert owner.run("accept", f"ada-l@{MODEL}").code == 0
    both = owner.run("accept", f"ada-l@{MODEL}", f"bob99@{MODEL}", "--yes", "--json")
    assert both.code == 0, both.err
    assert [(one["outcome"], one["why"]) for one in both.json["outcomes"]] == [
        ("deferred", "approval 1 of 2: your approval counts once; another person must approve"),
        ("deferred", "approval 1 of 2"),
    ]


@pytest.mark.usefixtures("desk")
def test_in_review_an_acceptance_is_a_first_approval(fresh: LocalHub) -> None:
    assert Console(fresh).run("sync", "--full").code == 0
    first = ("bob99: deferred: approval 1 of 2", "ada-l: deferred: approval 1 of 2", "0 requests decided, 2 left.")
    second = ("2 requests decided, 0 left.",)
    for holder, lines, after in (("owner", first, "pending"), ("admin", second, "accepted")):
        with Terminal([*PROGRAM, "review", MODEL], Console(fresh, holder).environment()) as terminal:
            terminal.until("Request 1 of 2")
            terminal.press("a")
            shown = terminal.until("Request 2 of 2") + terminal.until("q quit")
            assert ("another person must approve" in shown, "It is sent when you continue" in shown) == (
                after == "pending",
                after == "accepted",
            )
            terminal.press("a")
            terminal.until("Any key continues" if after == "pending" else "Any key sends")
            terminal.press(" ")
            assert terminal.end() == 0
            assert all(line in terminal.display for line in lines), terminal.display
        assert [status_of(fresh, name) for name in ("ada-l", "bob99")] == [after, after]


@pytest.mark.usefixtures("desk")
def test_another_account_id_in_the_cache_is_no_second_person(fresh: LocalHub) -> None:
    owner = Console(fresh)
    assert owner.run("sync", "--full").code == 0
    assert "approval 1 of 2" in owner.run("accept", f"ada-l@{MODEL}").out
    cache = read_process_settings(Flags()).paths.accounts
    accounts = json.loads(cache.read_bytes())
    cache.write_text(json.dumps({key: one | {"id": "f" * 24, "name": "kim"} for key, one in accounts.items()}))
    again = owner.run("accept", f"ada-l@{MODEL}")
    assert "your approval counts once" in again.out + again.err
    assert status_of(fresh, "ada-l") == "pending"


@pytest.mark.usefixtures("desk")
def test_a_grant_in_advance_is_refused(fresh: LocalHub) -> None:
    fresh.add_people([{"username": "dee-z"}])
    refused = Console(fresh).run("grant", f"dee-z@{MODEL}", "--yes")
    assert refused.code == 1, refused.err
    assert "two people must approve here" in refused.err + refused.out


@pytest.mark.usefixtures("desk")
def test_an_undo_that_gives_access_back_needs_two_people_and_blames_no_clock(fresh: LocalHub) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    for console in (owner, admin):
        assert console.run("accept", f"ada-l@{MODEL}", "--until", "90d").code == 0
    assert owner.run("reject", f"ada-l@{MODEL}", "--no-reason").code == 0
    (removal, *_) = owner.run("runs", "ls", "--json").json
    plans = ("first.json", "second.json")
    for plan in plans:
        assert owner.run("undo", removal["run"], "--out", plan).code == 0
    first = owner.run("apply", plans[0], "--yes")
    assert "1 deferred" in first.out, first.err
    assert "No grant was ended" not in first.err
    assert status_of(fresh, "ada-l") == "rejected"
    assert "1 accepted" in admin.run("apply", plans[1], "--yes").out
    assert [row["rule"] for row in owner.run("ends", "ls", "--json").json] == ["direct"]


@pytest.mark.usefixtures("desk")
def test_two_people_who_accept_somebody_again_with_a_later_end_give_it(fresh: LocalHub) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    for until in ("90d", "700d"):
        first = owner.run("accept", f"ada-l@{MODEL}", "--until", until)
        assert "approval 1 of 2" in first.out, first.err
        second = admin.run("accept", f"ada-l@{MODEL}", "--until", until)
        assert "deferred" not in second.out, second.err
    assert owner.run("ends", "ls", "--within", "600d", "--json").json == []
    assert len(owner.run("ends", "ls", "--within", "701d", "--json").json) == 1


def test_a_dry_run_of_adopt_says_that_a_longer_end_needs_a_second_person(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_unread_folder(tmp_path, fresh, [MODEL]))
    policy = tmp_path / "policies" / "lantern.yaml"
    policy.write_text(f"{TWO_REVIEWERS.replace('reviewers: 2', 'until: 1y')}")
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    assert owner.run("accept", f"ada-l@{MODEL}", "--yes").code == 0
    policy.write_text(f"{TWO_REVIEWERS}    until: 2y\n")
    promote_policy(fresh, "lantern")
    shown, real = (owner.run("ends", "set", "--all", "--with-end", *more) for more in (["--dry-run"], ["--yes"]))
    for ended in (shown, real):
        assert "ada-l@lumen-labs/lantern-7b-chat: deferred: approval 1 of 2" in ended.err
    assert "0 end dates would change" in shown.out
    assert "1 end date changed" in admin.run("ends", "set", "--all", "--with-end", "--yes").out


@pytest.mark.usefixtures("desk")
def test_a_shell_without_an_account_cannot_promote_a_policy_and_then_count_as_one_of_two(fresh: LocalHub) -> None:
    owner, nameless = Console(fresh), Console(fresh, "")
    assert owner.run("sync", "--full").code == 0
    refused = nameless.run("policy", "promote", "lantern", "--yes")
    assert refused.code == 4, refused.err
    assert "no Hub account is signed in here" in refused.error
    assert "You promoted lantern@" in owner.run("policy", "promote", "lantern", "--yes").out
    assert "nothing was done" in owner.run("policy", "promote", "lantern", "--yes").out
    first = owner.run("accept", f"ada-l@{MODEL}")
    assert "you promoted this version of the policy, and there are no members" in first.out + first.err


@pytest.mark.usefixtures("desk")
def test_status_and_sync_name_an_acceptance_that_lacks_approvals(fresh: LocalHub) -> None:
    console = Console(fresh)
    assert console.run("sync", "--full").code == 0
    with Hub(fresh.tokens["owner"], fresh.url) as hub:
        hub.accept(parse_repo(MODEL), "bob99")
    synced = console.run("sync", "--full")
    assert "1 person was accepted outside hf-gate without enough approvals" in synced.err
    assert "bob99" in console.run("ls", "--query", "approval:missing").out
    shown = console.run("status", "--json").json
    jsonschema.validate(shown, schema_of("status"))
    assert [one["kind"] for one in shown["problems"]] == ["outside"]
    assert (
        f"ALARM: 1 person was accepted outside hf-gate without enough approvals, at {MODEL}."
        in console.run("status").out
    )


def test_a_terminal_with_an_older_copy_of_the_files_accepts_nobody(fresh: LocalHub, desk: Path) -> None:
    """No loop runs, and the copy asks for one person."""
    old = desk / "old"
    text = (desk / "hf-gate.yaml").read_text()
    (old / "policies").mkdir(parents=True)
    (old / "hf-gate.yaml").write_text(f"{text}store: sqlite:///{desk / 'desk.db'}\n")
    (old / "policies" / "lantern.yaml").write_text(TWO_REVIEWERS.replace("    reviewers: 2\n", ""))
    owner = Console(fresh)
    assert owner.run("sync", "--full").code == 0
    held = owner.run("accept", f"ada-l@{MODEL}", "--yes", "--workspace", str(old))
    assert "refused: two people decide here" in held.out
    assert "or run `hf-gate policy promote lantern`; whoever promotes a version alone" in held.out
    assert "a second person must accept" not in held.err
    assert "access until" not in held.err
    for command in (["status"], ["explain", f"ada-l@{MODEL}"]):
        assert "Nobody is accepted at " in owner.run(*command, "--workspace", str(old)).out
    assert owner.run("run", "--once", "--workspace", str(old)).code == 0
    assert status_of(fresh, "ada-l") == "pending"
    sent_back = owner.run("reset", f"ada-l@{MODEL}", "--reason", "Say more.", "--yes", "--workspace", str(old))
    assert sent_back.code == 0, sent_back.err
    assert owner.run("members", "add", "ada-admin", "--role", "admin").code == 0
    fewer = owner.run("policy", "promote", "lantern", "--yes", "--workspace", str(old))
    assert "does not apply yet: another member must run `hf-gate policy promote lantern`, too" in fewer.out
    stranger = Console(fresh, "writer").run("policy", "promote", "lantern", "--yes", "--workspace", str(old))
    assert stranger.code == 4
    assert "you are none of them" in stranger.error
    assert "approval 1 of 2" in owner.run("accept", f"bob99@{MODEL}", "--yes").out


@pytest.mark.usefixtures("desk")
def test_no_end_does_not_outlast_the_end_that_the_first_person_approved(fresh: LocalHub) -> None:
    owner, admin = Console(fresh), Console(fresh, "admin")
    assert owner.run("sync", "--full").code == 0
    assert owner.run("accept", f"ada-l@{MODEL}", "--until", "90d").code == 0
    second = admin.run("accept", f"ada-l@{MODEL}", "--until", "none")
    assert "lena-brandt approved access for 90d, and this is access without an end" in second.out + second.err
    assert status_of(fresh, "ada-l") == "pending"
    assert admin.run("accept", f"ada-l@{MODEL}").code == 0
    (end,) = owner.run("ends", "ls", "--json").json
    assert (end["user"], end["is_chosen"], end["by"]) == ("ada-l", True, "lena-brandt"), "whose end holds"
    assert owner.run("accept", f"bob99@{MODEL}", "--until", "none").code == 0
    sent = admin.run("accept", f"bob99@{MODEL}", "--until", "none")
    assert "access has no end" in sent.out, sent.err
    assert "bob99" not in owner.run("ends", "ls").out
