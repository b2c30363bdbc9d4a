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
    ended = console.run(*args, "--json")
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, SCHEMAS[name])
    return list(ended.json)


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
    assert [row["user"] for row in sheet] == [row["user"] for row in both]
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
    [("2001-01-01", "the ledger begins"), ("2999-01-01", "in the future"), ("yesterday", "neither a date nor a time"), (HOSTILE, "neither")],
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
    for more in (["--query", "sleep"], ["--live"], ["--by", "person"]):
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
