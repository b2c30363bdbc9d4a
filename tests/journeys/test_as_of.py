"""report access --as-of: who had access, from the ledger, in text, JSON and CSV; a date that nothing is known of gets one line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, HOSTILE, MODEL, Console, request_access


@pytest.fixture
def days(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Console, list[str]]:
    """A desk of three days: ada is accepted on the first, bob on the second, ada is sent back on the third."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    request_access(fresh, ["ada-l", "bob"], answers={"Purpose": "to study sleep"})
    request_access(fresh, ["cem"], DATASET, answers={"Purpose": "to cook"})
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
    jsonschema.validate(ended.json, schema_of(name))
    return [row for row in ended.json if row.get("through", "request") == "request"]


def test_who_had_access_since_when_and_by_whom(days: tuple[Console, list[str]]) -> None:
    console, (first, second, third) = days
    (ada,) = rows(console, "report-access", "report", "access", MODEL, "--as-of", first)
    assert (ada["user"], ada["by"], ada["rule"], ada["found_later"]) == (
        "ada-l",
        "lena-brandt",
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


def test_today_means_now_and_a_date_its_end(days: tuple[Console, list[str]]) -> None:
    console, (first, *_) = days
    assert {
        row["user"] for row in rows(console, "report-access", "report", "access", MODEL, "--as-of", first[:10])
    } == {"ada-l"}
    today = datetime.fromtimestamp(console.hub.clock.now(), UTC).date().isoformat()
    assert {row["user"] for row in rows(console, "report-access", "report", "access", MODEL, "--as-of", today)} == {
        "bob"
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [("2001-01-01", "the audit log begins"), ("2999-01-01", "in the future"), ("yesterday", "neither a date nor a time"), (HOSTILE, "neither")],
)  # fmt: skip
def test_a_moment_that_nothing_is_known_of_gets_one_line(
    days: tuple[Console, list[str]], text: str, words: str
) -> None:
    ended = days[0].run("report", "access", MODEL, "--as-of", text)
    assert ended.code == 2
    assert words in ended.error
    assert ended.hint
    assert "\x1b[31m" not in ended.err


def test_names_of_that_time_cannot_act_on_a_terminal_or_a_sheet(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    fresh.add_people([{"username": "mallory", "fullname": HOSTILE, "email": "=1+1@example.org"}])
    request_access(fresh, ["mallory"], answers={HOSTILE: HOSTILE})
    console = Console(fresh)
    assert console.run("init", MODEL).code == 0
    assert console.run("accept", f"mallory@{MODEL}").code == 0
    now = datetime.fromtimestamp(fresh.clock.now(), UTC).isoformat()
    for args in (
        ["report", "access"],
        ["report", "access", "--format", "csv"],
        ["report", "access", "--as-of", now],
    ):
        shown = console.run(*args)
        assert shown.code == 0, shown.err
        assert not any(sign in shown.out for sign in ("\x1b", "\u202e", "\r"))
    assert json.loads(console.run("report", "access", "--json").out)[0]["fullname"] == HOSTILE


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
