"""`report access` for a period: everybody who had access in it, until when, by whom and why it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, CommandResult, Console, request_access

Report = Callable[..., CommandResult]


def _people(ended: CommandResult) -> dict[str, dict[str, Any]]:
    assert ended.code == 0, ended.err
    jsonschema.validate(ended.json, schema_of("report-access"))
    return {row["user"]: row for row in ended.json if row["through"] == "request"}


@pytest.fixture
def days(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Console, list[str]]:
    """Four people, one event a day.

    Before the record eve gets access on the Hub. Then ada does, bob does, ada is sent back with a reason, and cem gets
    access and is rejected on the Hub. The dates are those of the days, beginning with that of the first sync.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    request_access(fresh, ["ada-l", "bob", "cem", "eve"])
    console, dates = Console(fresh), list[str]()
    with Hub(fresh.tokens["owner"], fresh.url) as hub:
        hub.accept(MODEL, "eve")
        fresh.clock.advance("60d")
        assert console.run("init", MODEL).code == 0

        def end_day() -> None:
            assert console.run("sync", "--full").code == 0
            dates.append(datetime.fromtimestamp(fresh.clock.now(), UTC).date().isoformat())
            fresh.clock.advance("24h")

        for args in (
            ["accept", f"ada-l@{MODEL}", "--until", "30d"],
            ["accept", f"bob@{MODEL}"],
            ["reset", f"ada-l@{MODEL}", "--reason", "Please name your institute."],
        ):
            assert console.run(*args).code == 0
            end_day()
        hub.accept(MODEL, "cem")
        end_day()
        hub.reject(MODEL, "cem", reason="No.")
        end_day()
    return console, dates


def test_everybody_of_the_period_is_listed_with_end_reason_and_who_ended_it(days: tuple[Console, list[str]]) -> None:
    console, dates = days
    whole = _people(console.run("report", "access", MODEL, "--from", dates[0], "--until", dates[4], "--json"))
    assert set(whole) == {"ada-l", "bob", "cem", "eve"}
    ada, bob, cem = (whole[name] for name in ("ada-l", "bob", "cem"))
    assert (ada["by"], ada["ended_as"], ada["ended_by"], ada["reason"]) == (
        "lena-brandt",
        "reset",
        "lena-brandt",
        "Please name your institute.",
    )
    assert ada["ended_at"][:10] == dates[2]
    assert ada["since"][:10] == dates[0]
    assert (bob["ended_at"], bob["ended_by"], bob["reason"]) == (None, None, None)
    assert (cem["ended_as"], cem["ended_at"][:10]) == ("rejected", dates[4])
    shown = console.run("report", "access", MODEL, "--from", dates[0]).out
    assert "reset by lena-brandt" in shown
    assert "Please name your institute." in shown


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [(0, 0, {"ada-l", "eve"}), (1, 1, {"ada-l", "bob", "eve"}), (2, 2, {"ada-l", "bob", "eve"}), (3, 3, {"bob", "cem", "eve"})],
)  # fmt: skip
def test_only_access_within_the_period_counts(
    days: tuple[Console, list[str]], first: int, last: int, names: set[str]
) -> None:
    console, dates = days
    words = ["report", "access", "--from", dates[first], "--until", dates[last]]
    assert set(_people(console.run(*words, "--json"))) == names


def test_a_month_is_a_period(days: tuple[Console, list[str]]) -> None:
    console, dates = days
    months = sorted({date[:7] for date in dates})
    found = set[str]()
    for month in months:
        found |= set(_people(console.run("report", "access", month, "--json")))
    assert found == {"ada-l", "bob", "cem", "eve"}
    assert f"From {months[0]}-01 00:00" in console.run("report", "access", MODEL, months[0]).err


def test_of_days_before_the_record_it_says_what_is_known(days: tuple[Console, list[str]]) -> None:
    console, dates = days
    begin = datetime.fromisoformat(dates[0])
    first, last = ((begin - timedelta(days=ago)).date().isoformat() for ago in (40, 20))
    report = console.run("report", "access", "--from", first, "--until", last, "--json")
    assert set(_people(report)) == {"eve"}
    said = console.run("report", "access", "--from", first, "--until", last).err
    assert "Before it, at least 1 person had access." in " ".join(said.split())
    first, last = ((begin - timedelta(days=ago)).date().isoformat() for ago in (400, 300))
    nothing = console.run("report", "access", "--from", first, "--until", last)
    assert "eve" not in nothing.out
    assert "Before it, nothing is known." in nothing.err


@pytest.mark.parametrize(
    "words",
    ["--until 2027-01-01", "2027-01 --as-of 2027-01-02", "--from 2027-02-01 --until 2027-01-01", "2999-01", "--from soon"],
)  # fmt: skip
def test_a_wrong_period_gets_one_line(days: tuple[Console, list[str]], words: str) -> None:
    refused = days[0].run("report", "access", *words.split())
    assert refused.code == 2
    assert refused.err.count("Error: ") == 1
