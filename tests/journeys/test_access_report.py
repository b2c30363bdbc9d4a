"""`report access --as-of` answers who had access on a day, whatever happened to the request since."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, promote_policy, request_access
from tests.kits.workspace_folders import TWO_REVIEWERS

KEYS = ("by", "approvers", "policy", "rule", "is_outside", "until_rule", "until_row", "found_later")

SIGNED = f"""\
version: 1
policy: signed
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: dua
    when: tables.dua
    then: accept
    until: tables.dua.expires
"""


class Days:
    """A workspace on a Hub whose clock is moved: one event a day, and a moment after each."""

    def __init__(self, hub: LocalHub, folder: Path) -> None:
        self.hub = hub
        self.folder = folder
        self.owner = Console(hub)
        self.admin = Console(hub, "admin")

    def run(self, *args: str, by: Console | None = None) -> None:
        ended = (by or self.owner).run(*args)
        assert ended.code == 0, ended.err

    def end_day(self) -> str:
        """Sync, and return a moment after it."""
        self.run("sync", "--full")
        self.hub.clock.advance("1h")
        moment = datetime.fromtimestamp(self.hub.clock.now(), UTC).isoformat(timespec="milliseconds")
        self.hub.clock.advance("24h")
        return moment

    def read(self, moment: str) -> dict[str | None, dict[str, object]]:
        ended = self.owner.run("report", "access", "--as-of", moment, "--json")
        assert ended.code == 0, ended.err
        return {row["user"]: row for row in ended.json if row["through"] == "request"}

    def show(self, moment: str, user: str | None) -> tuple[object, ...]:
        row = self.read(moment)[user]
        return tuple(row[key] for key in KEYS)


@pytest.fixture
def days(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Days:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "hf-gate.yaml").write_text(
        f"version: 1\nrepos: [{MODEL}]\npolicies: [policies/*.yaml]\n"
        "tables: {dua: {file: tables/dua.csv, key: username}}\n"
    )
    request_access(fresh, ["ada-l", "bob99"])
    return Days(fresh, tmp_path)


def test_two_approvers_an_undo_and_an_erasure_leave_each_day_as_it_was(days: Days) -> None:
    (days.folder / "policies" / "lantern.yaml").write_text(TWO_REVIEWERS)
    (days.folder / "tables" / "dua.csv").write_text("username,expires\nzed,2099-01-01\n")
    request_access(days.hub, ["eve"])
    with Hub(days.hub.tokens["owner"], days.hub.url) as hub:
        hub.accept(MODEL, "eve")
    days.run("run", "--once")
    promote_policy(days.hub, "lantern")
    days.run("accept", f"ada-l@{MODEL}", "--until", "90d")
    first = days.end_day()
    days.run("accept", f"ada-l@{MODEL}", "--until", "90d", by=days.admin)
    second = days.end_day()
    days.run("reset", f"ada-l@{MODEL}", "--no-reason")
    removal = days.owner.run("runs", "ls", "--json").json[0]["run"]
    third = days.end_day()
    for console, plan in ((days.owner, "one.json"), (days.admin, "two.json")):
        days.run("undo", removal, "--out", plan)
        days.run("apply", plan, "--yes", by=console)
    fourth = days.end_day()
    days.run("reset", f"eve@{MODEL}", "--no-reason")
    days.run("person", "erase", "eve", "--yes")
    assert set(days.read(first)) == {None}
    assert days.show(first, None) == (None, [], None, None, True, None, None, False)
    assert days.read(first)[None]["person"]
    by_two = (["lena-brandt", "ada-admin"], "lantern", "all", False, "direct", None, False)
    assert days.show(second, "ada-l")[1:] == by_two
    assert days.read(second)["ada-l"]["until"]
    assert days.read(second)["ada-l"]["form"]
    assert "ada-l" not in days.read(third)
    assert days.show(fourth, "ada-l")[1:4] == by_two[:3]
    assert str(days.read(fourth)["ada-l"]["since"]) > str(days.read(second)["ada-l"]["since"])


def test_a_renewal_names_the_row_and_the_table_of_each_end(days: Days) -> None:
    (days.folder / "policies" / "signed.yaml").write_text(SIGNED)
    table = days.folder / "tables" / "dua.csv"
    year = datetime.fromtimestamp(days.hub.clock.now(), UTC).year

    def sign(end: int, version: str) -> None:
        table.write_text(f"username,expires,version\nada-l,{end}-06-30,{version}\nzoe,{end}-06-30,{version}\n")

    sign(year + 1, "DUA-1")
    days.run("run", "--once")
    first = days.end_day()
    sign(year + 2, "DUA-2")
    days.run("run", "--once")
    second = days.end_day()
    days.run("ends", "set", f"ada-l@{MODEL}", "--until", f"{year + 3}-01-31", "--yes")
    third = days.end_day()
    for moment, end in ((first, year + 1), (second, year + 2)):
        row = days.read(moment)["ada-l"]
        assert str(row["until"]).startswith(f"{end}-0")
        assert (row["policy"], row["rule"], row["until_rule"]) == ("signed", "dua", "signed/dua")
        assert re.fullmatch("dua row [0-9a-f]{16}, table [0-9a-f]{8}", str(row["until_row"]))
    renewed = days.read(third)["ada-l"]
    assert (str(renewed["until"])[:4], renewed["until_rule"], renewed["until_row"]) == (
        str(year + 3),
        "signed/dua",
        None,
    )
    assert str(renewed["by"]).startswith("policy:signed@")


def test_a_change_on_the_hub_that_was_read_later_is_marked(days: Days) -> None:
    days.run("sync", "--full")
    days.run("accept", f"ada-l@{MODEL}")
    days.end_day()
    with Hub(days.hub.tokens["owner"], days.hub.url) as hub:
        hub.cancel(MODEL, "ada-l")
        hub.reject(MODEL, "ada-l", reason="left")
    days.hub.clock.advance("1h")
    between = datetime.fromtimestamp(days.hub.clock.now(), UTC).isoformat(timespec="milliseconds")
    days.hub.clock.advance("1h")
    days.end_day()
    assert days.read(between)["ada-l"]["found_later"] is True
