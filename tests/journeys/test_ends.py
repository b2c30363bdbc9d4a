"""Ends of access in the terminal: what `run`, `plan` and `status` say about them, and the commands that change them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub

from .console import DATASET, Console, fill

POLICY = f"""\
version: 1
policy: starter
applies_to: [{DATASET}]
mode: enforce
tables: {{dua: {{file: tables/dua.csv, key: username}}}}
rules:
  - {{id: signed, when: tables.dua, then: accept, until: tables.dua.expires}}
  - {{id: rest, then: human}}
"""
NAMES = [f"person-{number}" for number in range(21)]


def write_rows(place: Path, day: str, names: list[str]) -> None:
    others = [f"other-{number},2099-12-31" for number in range(30)]
    (place / "tables").mkdir(exist_ok=True)
    (place / "tables" / "dua.csv").write_text("\n".join(["username,expires", *others, *(f"{n},{day}" for n in names)]))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the clock follows that of the local Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    return tmp_path


@pytest.fixture
def console(fresh: LocalHub, place: Path) -> Console:
    """A workspace whose 21 people have access until 2090."""
    fill(fresh, NAMES, repo=DATASET)
    console = Console(fresh)
    console.run("init", DATASET)
    write_rows(place, "2090-01-01", NAMES)
    (place / "policies" / "starter.yaml").write_text(POLICY)
    assert console.run("run", "--once").code == 0
    return console


def ends(console: Console) -> list[dict[str, object]]:
    return list(json.loads(console.run("expire", "ls", "--json").out))


def test_many_earlier_ends_wait_until_a_person_confirms_them(console: Console, place: Path) -> None:
    assert len(ends(console)) == 21
    write_rows(place, "2089-01-01", NAMES)
    turn = console.run("run", "--once")
    assert "21 grants would end earlier" in turn.out
    assert "hf-gate expire confirm" in turn.out
    assert "21 grants would end earlier" in console.run("status").out
    assert json.loads(console.run("status", "--json").out)["held_ends"] == 21
    assert "hf-gate expire confirm" in console.run("plan").out
    refused = console.run("expire", "confirm", "--yes")
    assert (refused.code, "--yes --max-changes 21" in refused.err) == (6, True)
    done = console.run("expire", "confirm", "--yes", "--max-changes", "21")
    assert done.out == "Moved 21 ends to an earlier time.\n"
    assert {str(row["ends_at"])[:10] for row in ends(console)} == {"2089-01-02"}
    assert "would end earlier" not in console.run("status").out
    assert console.run("expire", "confirm").out == "No end waits to be confirmed.\n"


def test_a_past_date_is_refused_by_policy_check_and_not_by_run(console: Console, place: Path) -> None:
    (place / "policies" / "starter.yaml").write_text(POLICY.replace("tables.dua.expires", "2020-01-01"))
    checked = console.run("policy", "check")
    assert checked.code == 2
    assert "`until` is in the past (2020-01-01)" in checked.out + checked.err
    assert console.run("run", "--once").code == 0


def test_a_service_that_comes_late_says_how_late(console: Console, fresh: LocalHub, place: Path) -> None:
    soon = datetime.fromtimestamp(fresh.clock.now(), UTC) + timedelta(days=10)
    write_rows(place, f"{soon:%Y-%m-%d}", NAMES[:3] + [f"{name}-2" for name in NAMES[3:]])
    assert "3 ends of access moved to an earlier date" in console.run("run", "--once").out
    fresh.clock.advance("20d")
    late = [row for row in ends(console) if row["late_hours"]]
    assert len(late) == 3
    assert {int(str(row["late_hours"])) // 24 for row in late} <= {8, 9, 10}
    assert "days ago" in console.run("expire", "ls").out
    assert "ended up to" in console.run("plan").out
    turn = console.run("run", "--once")
    assert "3 grants ended up to" in turn.out
    assert [row["late_hours"] for row in ends(console)] == [0] * 18
