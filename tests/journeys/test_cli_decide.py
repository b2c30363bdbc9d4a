"""Deciding from the command line: single and many, from arguments, files and pipes; brakes, outcomes and exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from hf_gate.base.ids import Person, parse_repo
from hf_gate.command_line.decisions.execution import CommandResult
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.errors import HubUnavailable, InvalidTarget, NotAllowed, OutcomeUnknown, Stale
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access, status_of

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


def test_a_request_that_is_gone_since_it_was_listed_is_no_error(fresh: LocalHub) -> None:
    request_access(fresh, ["ada-l"])
    lines = Console(fresh).run("ls", MODEL, "--format", "jsonl").out
    assert Console(fresh, "ada-l").run("withdraw", MODEL).code == 0
    ended = Console(fresh).run("accept", "-", "--json", stdin=lines)
    assert (ended.code, ended.json["gone"]) == (0, 1)


def test_misspelt_names_among_others_are_told_who_was_meant(fresh: LocalHub) -> None:
    request_access(fresh, NAMES)
    ended = Console(fresh).run("accept", MODEL, "ada-l", "bob9", "zzzzzz", "--yes")
    assert (ended.code, ended.hint) == (5, "Hint: bob9: Did you mean bob99?")
    assert "Hint" not in Console(fresh).run("accept", MODEL, "bob9", "zzzzzz", "--yes", "--json").err


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
