"""Deciding from the command line: single and many, from arguments, files and pipes; brakes, outcomes and exit codes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from hf_gate import Hub
from hf_gate.base.ids import Person, Repo, parse_repo
from hf_gate.cli.targets import did_you_mean
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.requests import AccessRequest
from hf_gate.decisions.commands.execution import CommandResult
from hf_gate.errors import HubUnavailable, InvalidTarget, NotAllowed, OutcomeUnknown, Stale
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access, status_of

NAMES = ["ada-l", "bob99", "cem-k"]


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["accept", f"ada-l@{MODEL}"], "accepted"),
        (["accept", MODEL, "ada-l"], "accepted"),
        (["accept", "ada-l", "--repo", MODEL], "accepted"),
        (["accept", "ada-l@lumen-labs/lantern-7b-chat", "--type", "model"], "accepted"),
        (["accept", f"ada-l@hf://{MODEL}"], "accepted"),
        (["reject", f"ada-l@{MODEL}", "--reason", "No resale."], "rejected"),
        (["reset", f"ada-l@{MODEL}", "--reason", "Say more."], "reset"),
        (["grant", f"ada-l@{MODEL}"], "accepted"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_one_change_goes_at_once_and_says_what_it_means(fresh: LocalHub, args: list[str], status: str) -> None:
    request_access(fresh, ["ada-l"])
    ended = Console(fresh).run(*args)
    assert ended.code == 0, ended.err
    assert status_of(fresh, "ada-l") == status
    assert "ada-l" in ended.out
    assert fresh.url.removeprefix("http://") in ended.err, "which Hub, before a write"
    assert "as lena-brandt" in ended.err


def test_a_request_id_with_repo_is_a_target(fresh: LocalHub) -> None:
    ids = request_access(fresh, ["ada-l"], DATASET)
    assert Console(fresh).run("accept", "--repo", DATASET, ids["ada-l"]).code == 0
    assert status_of(fresh, "ada-l") == "accepted"


def test_a_person_who_is_in_can_be_put_back_and_revoked(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    console = Console(fresh)
    console.run("accept", MODEL, *NAMES, "--yes")
    assert console.run("cancel", MODEL, "ada-l").code == 0
    assert console.run("revoke", MODEL, "bob99", "--no-reason").code == 0
    assert console.run("revoke", MODEL, "cem-k", "--how", "reject", "--reason", "Agreement broken.").code == 0
    assert [status_of(fresh, name) for name in NAMES] == ["pending", "reset", "rejected"]


def test_what_is_so_already_is_no_error_and_changes_nothing(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"])
    console = Console(fresh)
    console.run("accept", f"ada-l@{MODEL}")
    before = fresh.journal()
    ended = console.run("accept", f"ada-l@{MODEL}", "--json")
    assert (ended.code, ended.json["already"]) == (0, 1)
    assert fresh.journal() == before


def test_lines_of_ls_are_targets(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    request_access(fresh, ["dee-d"], DATASET)
    console = Console(fresh)
    listed = console.run("ls", MODEL, DATASET, "--format", "jsonl")
    ended = console.run("accept", "-", "--yes", "--json", stdin=listed.out)
    assert (ended.code, ended.json["planned"], ended.json["done"]) == (0, 4, 4)
    assert {row["repo_type"] for row in ended.json["outcomes"]} == {"model", "dataset"}
    accepted = console.run("ls", MODEL, "--status", "accepted", "--json").out
    assert console.run("reset", "-", "--yes", "--reason", "Ask again.", stdin=accepted).code == 0
    assert status_of(fresh, "ada-l") == "reset"


def test_a_file_names_people_one_a_line_and_a_bad_line_by_its_number(fresh: LocalHub, tmp_path: Path) -> None:
    request_access(fresh, NAMES)
    file = tmp_path / "names.txt"
    file.write_text(f"# those of Monday\nada-l@{MODEL}\n\n{MODEL} bob99\n")
    console = Console(fresh)
    assert console.run("accept", "--from", str(file), "--yes").code == 0
    assert [status_of(fresh, name) for name in NAMES] == ["accepted", "accepted", "pending"]
    file.write_text(f"cem-k@{MODEL}\nno line at all\n")
    ended = console.run("accept", "--from", str(file), "--yes")
    assert (ended.code, "line 2" in ended.error) == (2, True)
    assert status_of(fresh, "cem-k") == "pending"


def test_a_repo_and_then_a_file_or_stdin_of_names_alone(fresh: LocalHub, tmp_path: Path) -> None:
    request_access(fresh, NAMES)
    file = tmp_path / "names.txt"
    file.write_text("ada-l\nbob99\n")
    console = Console(fresh)
    assert console.run("accept", MODEL, "--from", str(file), "--yes").code == 0
    assert console.run("reset", MODEL, "-", "--yes", "--no-reason", stdin="bob99\ncem-k\n").code == 0
    assert [status_of(fresh, name) for name in NAMES] == ["accepted", "reset", "reset"]


def test_a_request_that_moved_since_it_was_listed_is_left_alone(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    console = Console(fresh)
    lines = console.run("ls", MODEL, "--format", "jsonl").out
    console.run("reject", f"ada-l@{MODEL}", "--no-reason")
    alone = next(line for line in lines.splitlines() if '"ada-l"' in line)
    ended = console.run("accept", "-", stdin=alone)
    assert (ended.code, "changed" in ended.error) == (6, True)
    many = console.run("accept", "-", "--yes", "--json", stdin=lines)
    assert (many.code, many.json["stale"], many.json["done"]) == (0, 1, 2)
    assert status_of(fresh, "ada-l") == "rejected"


def test_a_request_that_is_gone_since_it_was_listed_is_no_error(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"])
    lines = Console(fresh).run("ls", MODEL, "--format", "jsonl").out
    assert Console(fresh, "ada-l").run("withdraw", MODEL).code == 0
    ended = Console(fresh).run("accept", "-", "--json", stdin=lines)
    assert (ended.code, ended.json["gone"]) == (0, 1)


def test_one_unknown_name_makes_it_a_part(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    ended = Console(fresh).run("accept", MODEL, *NAMES, "nobody-of-that-name", "--yes", "--json")
    assert (ended.code, ended.json["done"], ended.json["refused"]) == (5, 3, 1)
    alone = Console(fresh).run("accept", MODEL, "nobody-of-that-name", "nobody-either", "--yes", "--json")
    assert (alone.code, alone.json["refused"]) == (1, 2)


def test_misspelt_names_among_others_are_told_who_was_meant(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    ended = Console(fresh).run("accept", MODEL, "ada-l", "bob9", "zzzzzz", "--yes")
    assert (ended.code, ended.hint) == (5, "Hint: bob9: Did you mean bob99?")
    assert "Hint" not in Console(fresh).run("accept", MODEL, "bob9", "zzzzzz", "--yes", "--json").err


def test_advice_names_nobody_whose_name_would_act_in_a_shell(fresh: LocalHub) -> None:
    request_access(fresh, ["waiting2"])
    with Hub(fresh.tokens["owner"], fresh.url) as hub:
        advice = did_you_mean(cast("Hub", _WithOneMore(hub, "waiting;ls")), parse_repo(MODEL), "waiting")
    assert advice == "Did you mean waiting2? "


class _WithOneMore:
    """A Hub whose every list begins with somebody of a name that no Hub should allow."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name, self.outlook = hub, name, hub.outlook

    def list(self, repo: Repo, status: str) -> Iterator[AccessRequest]:
        person = Person("0" * 24, self.name)
        yield AccessRequest(repo=repo, status=status, asked_at=datetime(2026, 1, 1, tzinfo=UTC), person=person)
        yield from self.hub.list(repo, status)


def test_whether_a_reason_went_along_is_said_and_quoted_safely(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    console = Console(fresh)
    sent = console.run("reset", f"bob99@{MODEL}", "--reason", 'Say "more".\n\x1b[31m')
    assert sent.out.endswith('reset; no access, can ask again; reason sent: "Say \\"more\\".\\n\\u001b[31m"\n')
    again = console.run("reset", f"bob99@{MODEL}", "--reason", "Say more.")
    assert again.out.endswith("already reset; nothing was changed; the reason was not sent.\n")
    assert console.run("reject", f"bob99@{MODEL}", "--no-reason").out.endswith("cannot ask again; no reason sent.\n")
    assert console.run("revoke", f"bob99@{MODEL}", "--reason", "Bye.").out.endswith('; reason sent: "Bye."\n')
    assert console.run("accept", f"bob99@{MODEL}").out.endswith("accepted; can download now.\n")
    many = console.run("reject", MODEL, "ada-l", "cem-k", "--reason", "Closed.", "--yes")
    assert '2 rejected; reason sent: "Closed."\n' in many.out


def test_a_repo_that_refuses_stops_its_own_part_only(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    ended = Console(fresh).run("accept", "x@lumen-labs/nothing-here", f"ada-l@{MODEL}", "--yes", "--json")
    assert (ended.code, ended.json["done"], ended.json["open"]) == (5, 1, 1)
    assert "no such repo" in ended.error


def test_several_changes_need_a_yes_where_nobody_can_be_asked(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    before = fresh.journal()
    ended = Console(fresh).run("accept", MODEL, *NAMES)
    assert (ended.code, "--yes" in ended.hint) == (6, True)
    assert f"cannot ask for confirmation of {len(NAMES)} changes here; nothing was sent." in ended.error
    assert fresh.journal() == before


def test_many_rejections_need_their_number(fresh: LocalHub) -> None:
    names = [f"person-{number}" for number in range(21)]
    request_access(fresh, names)
    console, before = Console(fresh), fresh.journal()
    ended = console.run("reject", MODEL, *names, "--reason", "Closed.", "--yes")
    assert (ended.code, "--yes --max-changes 21" in ended.hint) == (6, True)
    assert fresh.journal() == before
    assert console.run("reject", MODEL, *names, "--reason", "Closed.", "--yes", "--max-changes", "20").code == 6
    assert console.run("reject", MODEL, *names, "--reason", "Closed.", "--yes", "--max-changes", "21").code == 0
    assert status_of(fresh, "person-20") == "rejected"


def test_a_limit_that_was_said_holds_also_where_a_yes_is_enough(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    console, before = Console(fresh), fresh.journal()
    ended = console.run("accept", MODEL, *NAMES, "--yes", "--max-changes", "2")
    assert (ended.code, "exceed --max-changes 2" in ended.err) == (6, True)
    assert fresh.journal() == before
    assert console.run("accept", MODEL, *NAMES, "--yes", "--max-changes", "3").code == 0


def test_more_than_max_is_refused(fresh: LocalHub) -> None:
    names = [f"person-{number}" for number in range(101)]
    request_access(fresh, names)
    before = fresh.journal()
    ended = Console(fresh).run("accept", MODEL, *names, "--yes")
    assert (ended.code, "--max 101" in ended.hint) == (6, True)
    assert Console(fresh).run("accept", MODEL, "person-0", "person-1", "--yes", "--max", "1").code == 6
    assert fresh.journal() == before


def test_a_dry_run_sends_nothing(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    before, calls = fresh.journal(), fresh.stats()["calls"]
    ended = Console(fresh).run("reset", MODEL, *NAMES, "--reason", "Say more.", "--dry-run")
    assert (ended.code, ended.out.count("would reset")) == (0, 3)
    assert Console(fresh).run("reset", MODEL, *NAMES, "--no-reason", "--dry-run", "--json").json["planned"] == 3
    assert fresh.journal() == before
    made = {name for name, count in fresh.stats()["calls"].items() if count > calls.get(name, 0)}
    assert all(name.startswith("GET ") for name in made), made


def test_nobody_at_all_is_no_error(fresh: LocalHub) -> None:
    ended = Console(fresh).run("accept", "-", "--json", stdin="\n")
    assert (ended.code, ended.json["planned"], ended.json["outcomes"]) == (0, 0, [])


@pytest.mark.parametrize(("which", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_settles_what_was_sent_and_tells_the_rest_open(fresh: LocalHub, which: int, code: int) -> None:
    names = [f"person-{number}" for number in range(101)]
    request_access(fresh, names)
    fresh.set_faults(["delay_after:s=1:on=batch:times=1"])
    child = Console(fresh).start("accept", MODEL, *names, "--yes", "--max-changes", "101", "--json")
    while "POST batch" not in fresh.stats()["calls"]:
        assert child.poll() is None, child.communicate()
    child.send_signal(which)
    out, err = child.communicate(timeout=30)
    assert child.returncode == code, err
    document = json.loads(out)
    accepted = sum(move["to"] == "accepted" for move in fresh.journal())
    assert document["done"] == accepted, "what is told done is done, and nothing else"
    assert document["done"] + document["open"] == document["planned"] == 101


def test_a_grant_lets_somebody_in_who_has_not_asked_and_many_at_once(fresh: LocalHub) -> None:
    fresh.add_people([{"username": name} for name in NAMES])
    ended = Console(fresh).run("grant", MODEL, *NAMES, "nobody-of-that-name", "--yes", "--json")
    assert (ended.code, ended.json["done"], ended.json["refused"]) == (5, 3, 1)
    assert {move["to"] for move in fresh.journal()} == {"accepted"}


def test_asking_is_checked_against_the_form_and_can_be_taken_back(fresh: LocalHub) -> None:
    fresh.add_people([{"username": "ada-l"}])
    console = Console(fresh, "ada-l")
    form = console.run("form", "check", MODEL, "--json").json
    labels = [field["label"] for field in form["fields"] if field["type"] != "ip_location"]
    missing = console.run("ask", MODEL)
    assert (missing.code, f"  {labels[0]}\n" in missing.err) == (2, True)
    answers = json.dumps(dict.fromkeys(labels, "true"))
    assert console.run("ask", MODEL, "--answers", "-", "--dry-run", "--json", stdin=answers).json["status"] == "ask"
    assert console.run("ask", MODEL, "--answers", "-", "--yes", "--json", stdin=answers).json["status"] == "pending"
    assert status_of(fresh, "ada-l") == "pending"
    assert console.run("withdraw", MODEL, "--json").json["status"] == "ask"


def test_what_was_sent_and_cannot_be_read_is_a_part_and_never_called_unchanged(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    fresh.set_faults(["fail_after:status=500:on=batch", "fail_before:status=503:on=list:call=2-99"])
    ended = Console(fresh).run("accept", MODEL, *NAMES, "--yes", "--json", "--max-wait", "200ms")
    assert (ended.code, ended.json["open"]) == (5, 3), ended.err
    assert "Nothing was changed" not in ended.err
    assert status_of(fresh, "ada-l") == "accepted"


def _result(*kinds: tuple[OutcomeKind, Exception | None], stop: BaseException | None = None) -> CommandResult:
    repo = parse_repo(MODEL)
    return CommandResult([Outcome(kind, repo, Person(), error=error) for kind, error in kinds], stop)


AWAY, UNSURE, FORBIDDEN = HubUnavailable("away"), OutcomeUnknown("sent"), NotAllowed("no")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (_result((OutcomeKind.OPEN, UNSURE)), 5),
        (_result((OutcomeKind.OPEN, UNSURE), stop=AWAY), 5),
        (_result((OutcomeKind.OPEN, UNSURE), (OutcomeKind.OPEN, FORBIDDEN), stop=FORBIDDEN), 5),
        (_result((OutcomeKind.DONE, None), (OutcomeKind.OPEN, AWAY), stop=AWAY), 5),
        (_result((OutcomeKind.OPEN, AWAY), stop=AWAY), 75),
        (_result((OutcomeKind.OPEN, FORBIDDEN), stop=FORBIDDEN), 4),
        (_result((OutcomeKind.STALE, None), stop=Stale("moved")), 6),
        (_result((OutcomeKind.REFUSED, None), stop=InvalidTarget("nobody")), 2),
        (_result(stop=ValueError("a fault")), 1),
        (_result((OutcomeKind.DONE, None), stop=ValueError("a fault")), 5),
    ],
    ids=lambda value: value if isinstance(value, int) else None,
)
def test_the_exit_code_of_a_run_that_was_stopped(result: CommandResult, code: int) -> None:
    assert result.exit_code == code


def test_who_is_known_by_request_id_alone_is_named_by_it(fresh: LocalHub) -> None:
    ident = request_access(fresh, ["ada-l"])["ada-l"]
    console = Console(fresh)
    for _ in ("done", "already"):
        ended = console.run("accept", "--repo", MODEL, ident)
        assert f"request {ident} at {MODEL}: " in ended.out
    outcome = console.run("accept", "--repo", MODEL, ident, "--json").json["outcomes"][0]
    assert (outcome["user"], outcome["request_id"]) == (None, ident)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"user": ' * 100_000, '{"answers": ' + "[" * 100_000])
def test_json_that_is_nested_too_deep_is_bad_input(fresh: LocalHub, tmp_path: Path, text: str) -> None:
    file = tmp_path / "deep.json"
    file.write_text(text)
    for args in (["accept", "--repo", MODEL, "--from", str(file)], ["ask", MODEL, "--answers", str(file)]):
        ended = Console(fresh).run(*args)
        assert (ended.code, "nested too deep" in ended.error) == (2, True), ended.err


def test_a_byte_order_mark_is_no_part_of_a_name(fresh: LocalHub, tmp_path: Path) -> None:
    request_access(fresh, NAMES)
    console, file = Console(fresh), tmp_path / "names.txt"
    file.write_text("ada-l\n", "utf-8-sig")
    assert console.run("accept", "--repo", MODEL, "--from", str(file)).code == 0
    lines = console.run("ls", MODEL, "--json").out
    assert console.run("accept", "-", "--yes", stdin="\ufeff" + lines).code == 0
    assert [status_of(fresh, name) for name in NAMES] == ["accepted"] * 3
    file.write_text("{}", "utf-8-sig")
    assert "the form needs the" in Console(fresh, "stranger").run("ask", MODEL, "--answers", str(file)).error


def test_what_a_form_also_asks_stands_in_lines_of_their_own_however_long_a_label_is(fresh: LocalHub) -> None:
    label = "I agree " + "to this and that " * 20 + "and to all of it"
    fresh.set_card(MODEL, f"---\nextra_gated_fields:\n  Use: text\n  {label}: checkbox\n---\n")
    ended = Console(fresh, "stranger").run("ask", MODEL, "-a", "Use=to listen")
    assert ended.code == 2
    assert len(ended.error) < 100
    assert all(len(line) <= 72 for line in ended.err.splitlines() if line.startswith("  I"))
    assert "  I agree to this and that to this" in ended.err
    assert f"hf-gate form check {MODEL}" in ended.hint
