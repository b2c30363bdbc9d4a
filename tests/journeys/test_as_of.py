"""--as-of: what was, from the ledger, in text, JSON and CSV; a date that nothing is known of gets one line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.cli.schemas import SCHEMAS
from hf_gate.testing import LocalHub

from .console import DATASET, HOSTILE, MODEL, Console, fill


@pytest.fixture
def days(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Console, list[str]]:
    """A desk of three days: ada is accepted on the first, bob on the second, ada is sent back on the third."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    fill(fresh, ["ada-l", "bob"], answers={"Purpose": "to study sleep"})
    fill(fresh, ["cem"], DATASET, answers={"Purpose": "to cook"})
    console, moments = Console(fresh), list[str]()
    assert console.run("init", MODEL, DATASET).code == 0
    for args in (
        ["accept", f"ada-l@{MODEL}", "--until", "30d"],
        ["accept", f"bob@{MODEL}"],
        ["reset", f"ada-l@{MODEL}", "--no-reason"],
    ):
        assert console.run(*args).code == 0
        console.run("sync", "--full")
        fresh.clock.advance("1h")
        moments.append(datetime.fromtimestamp(fresh.clock.now(), UTC).isoformat(timespec="milliseconds"))
        fresh.clock.advance("24h")
    return console, moments


def rows(console: Console, name: str, *args: str) -> list[dict[str, Any]]:
    """What a command prints; of a report of access, only the people who asked."""
    ended = console.run(*args, "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS[name])
    return [row for row in ended.json if row.get("through", "request") == "request"]


def test_who_had_access_since_when_and_by_whom(days: tuple[Console, list[str]]) -> None:
    console, (first, second, third) = days
    (ada,) = rows(console, "report-access", "report", "access", MODEL, "--as-of", first)
    assert (ada["user"], ada["by"], ada["rule"], ada["agreement"], ada["found_later"]) == (
        "ada-l",
        "lena-brandt",
        None,
        None,
        False,
    )
    assert ada["until"] > ada["since"]
    assert ada["form"]
    assert ada["proved_at"]
    both = rows(console, "report-access", "report", "access", MODEL, "--as-of", second)
    assert {row["user"] for row in both} == {"ada-l", "bob"}
    assert {row["user"] for row in rows(console, "report-access", "report", "access", MODEL, "--as-of", third)} == {
        "bob"
    }
    assert {row["user"] for row in rows(console, "report-access", "report", "access", MODEL)} == {"bob"}
    sheet = list(
        csv.DictReader(io.StringIO(console.run("report", "access", MODEL, "--as-of", second, "--format", "csv").out))
    )
    assert [row["user"] for row in sheet if row["through"] == "request"] == [row["user"] for row in both]
    human = console.run("report", "access", MODEL, "--as-of", second)
    assert "proved complete ended" in human.err
    assert "WHO" in human.out


def test_ls_lists_the_requests_of_that_time(days: tuple[Console, list[str]]) -> None:
    console, (first, _, third) = days
    then = {
        row["user"]: row["status"]
        for row in rows(console, "ls-as-of", "ls", MODEL, "--status", "all", "--as-of", first)
    }
    assert then == {"ada-l": "accepted", "bob": "pending"}
    now = {
        row["user"]: row["status"]
        for row in rows(console, "ls-as-of", "ls", MODEL, "--status", "all", "--as-of", third)
    }
    assert now == {"ada-l": "reset", "bob": "accepted"}
    oldest = rows(console, "ls-as-of", "ls", "--status", "all", "--as-of", first, "--sort", "age")
    newest = rows(console, "ls-as-of", "ls", "--status", "all", "--as-of", first)
    assert [row["user"] for row in oldest if row["repo"] == MODEL] == [
        row["user"] for row in newest if row["repo"] == MODEL
    ][::-1]
    assert "As of" in console.run("ls", MODEL, "--as-of", first).err


def test_today_means_now_and_a_date_its_end(days: tuple[Console, list[str]]) -> None:
    console, (first, *_) = days
    assert {
        row["user"] for row in rows(console, "report-access", "report", "access", MODEL, "--as-of", first[:10])
    } == {"ada-l"}
    today = datetime.fromtimestamp(console.hub.clock.now(), UTC).date().isoformat()
    assert {row["user"] for row in rows(console, "report-access", "report", "access", MODEL, "--as-of", today)} == {
        "bob"
    }


@pytest.mark.parametrize("args", [["ls", MODEL], ["report", "access", MODEL]])
@pytest.mark.parametrize(
    ("text", "words"),
    [("2001-01-01", "the audit log begins"), ("2999-01-01", "in the future"), ("yesterday", "neither a date nor a time"), (HOSTILE, "neither")],
)  # fmt: skip
def test_a_moment_that_nothing_is_known_of_gets_one_line(
    days: tuple[Console, list[str]], args: list[str], text: str, words: str
) -> None:
    ended = days[0].run(*args, "--as-of", text)
    assert ended.code == 2
    assert words in ended.error
    assert ended.hint
    assert "\x1b[31m" not in ended.err


def test_what_the_ledger_cannot_answer_is_refused(days: tuple[Console, list[str]]) -> None:
    console, (first, *_) = days
    for more in (["--query", "sleep"], ["--live"]):
        ended = console.run("ls", MODEL, "--as-of", first, *more)
        assert (ended.code, more[0] in ended.error) == (2, True)


def test_names_of_that_time_cannot_act_on_a_terminal_or_a_sheet(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    fresh.add_people([{"username": "mallory", "fullname": HOSTILE, "email": "=1+1@example.org"}])
    fill(fresh, ["mallory"], answers={HOSTILE: HOSTILE})
    console = Console(fresh)
    assert console.run("init", MODEL).code == 0
    assert console.run("accept", f"mallory@{MODEL}").code == 0
    now = datetime.fromtimestamp(fresh.clock.now(), UTC).isoformat()
    for args in (
        ["report", "access"],
        ["report", "access", "--format", "csv"],
        ["ls", "--as-of", now, "--status", "all"],
    ):
        shown = console.run(*args)
        assert shown.code == 0, shown.err
        assert not any(sign in shown.out for sign in ("\x1b", "\u202e", "\r"))
    assert json.loads(console.run("report", "access", "--json").out)[0]["fullname"] == HOSTILE


def test_show_and_person_show_what_was(days: tuple[Console, list[str]]) -> None:
    console, (first, second, third) = days
    shown = console.run("show", f"ada-l@{MODEL}", "--as-of", first, "--json").json
    jsonschema.validate(shown, SCHEMAS["show-as-of"])
    assert (shown["status"], shown["by"], shown["answers"]) == (
        "accepted",
        "lena-brandt",
        {"Purpose": "to study sleep"},
    )
    later = console.run("show", f"ada-l@{MODEL}", "--as-of", third, "--json").json
    assert (later["status"], later["since"], later["by"]) == ("reset", None, None)
    assert len(later["history"]) > len(shown["history"])
    text = console.run("show", f"ada-l@{MODEL}", "--as-of", first).out
    assert "access    since" in text
    assert "by lena-brandt" in text
    person = rows(console, "ls-as-of", "person", "show", "ada-l", "--as-of", second)
    assert [(row["status"], row["attempt"]) for row in person] == [("accepted", 1)]
    line = console.run("person", "show", "ada-l", "--as-of", third).out.splitlines()[0]
    assert line.startswith("ada-l ")
    assert f"{MODEL}: reset" in line


def test_a_request_that_came_later_was_not_there(days: tuple[Console, list[str]]) -> None:
    console, (first, *_) = days
    fill(console.hub, ["dora"])
    console.run("sync")
    for args in (["show", f"dora@{MODEL}"], ["person", "show", "dora"]):
        assert console.run(*args).code == 0
        ended = console.run(*args, "--as-of", first)
        assert ended.code == 1, ended.err
        assert "no request of dora" in ended.error


def test_members_who_bypass_the_gate_are_listed_or_it_is_said_that_they_were_not_read(
    days: tuple[Console, list[str]],
) -> None:
    console, (first, *_) = days
    listed = console.run("report", "access", MODEL, "--as-of", first, "--json").json
    members = [row for row in listed if row["through"] == "member"]
    assert "lena-brandt" in {row["user"] for row in members}
    assert all("no earlier members" in row["note"] for row in members)
    console.hub.set_faults(["fail_before:status=403:on=members"])
    ended = console.run("report", "access", MODEL, "--as-of", first, "--json")
    (unread,) = [row for row in ended.json if row["through"] == "member"]
    assert (ended.code, unread["user"]) == (0, None)
    assert "could not be read" in unread["note"]
    assert "could not be read" in ended.err
