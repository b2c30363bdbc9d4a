"""The worlds of `hub serve`, from outside: how odd their people are, when they ask, and that a seed gives them again."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kits.golden_files import check_golden

DAY = 86_400_000
REQUESTS = 8_000
PRESETS = ("consumer", "medical", "class")


class ServedWorld(NamedTuple):
    """What `hub serve --data` writes: the accounts by id, the rows of all repos, and the oracle's lines by request."""

    now_ms: int
    repos: list[dict[str, Any]]
    accounts: dict[str, list[Any]]
    oracle: dict[str, dict[str, Any]]

    @property
    def rows(self) -> list[list[Any]]:
        return [row for repo in self.repos for row in repo["rows"]]


def serve_world(folder: Path, preset: str, seed: int = 7, requests: int = REQUESTS, repos: int = 4) -> ServedWorld:
    options = ["--preset", preset, "--seed", seed, "--requests", requests, "--repos", repos, "--data", folder]
    words = [sys.executable, "-m", "hf_gate", "hub", "serve", "--json", *map(str, options)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
    saved = json.loads((folder / "world.json").read_text("utf-8"))
    lines = [json.loads(line) for line in (folder / "oracle.jsonl").read_text("utf-8").splitlines()]
    accounts = {account[0]: account for account in saved["accounts"]}
    return ServedWorld(saved["now_ms"], saved["repos"], accounts, {line["request_id"]: line for line in lines})


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ServedWorld]:
    return {preset: serve_world(tmp_path_factory.mktemp(preset), preset) for preset in PRESETS}


def share(values: Iterable[object]) -> float:
    listed = [bool(value) for value in values]
    return sum(listed) / len(listed)


def test_every_request_has_one_line_in_the_oracle(worlds: dict[str, ServedWorld]) -> None:
    for world in worlds.values():
        assert len(world.rows) == len(world.oracle) == REQUESTS
        assert {row[0] for row in world.rows} == set(world.oracle)
        assert all(row[3] <= world.now_ms for row in world.rows)
        assert len({(repo["id"], row[1]) for repo in world.repos for row in repo["rows"]}) == REQUESTS


@pytest.mark.parametrize("preset", ["medical", "class"])
def test_most_requests_wait_and_a_few_are_grants(worlds: dict[str, ServedWorld], preset: str) -> None:
    rows = worlds[preset].rows
    states = Counter(row[2] for row in rows)
    for status, wanted in {"pending": 0.69, "accepted": 0.21, "rejected": 0.06, "reset": 0.04}.items():
        assert states[status] / REQUESTS == pytest.approx(wanted, abs=0.03), status
    assert share(not row[6] for row in rows) == pytest.approx(0.01, abs=0.005)
    newest = sorted(rows, key=lambda row: row[3])
    assert share(row[2] == "pending" for row in newest[-800:]) > 1.5 * share(
        row[2] == "pending" for row in newest[:800]
    )


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("consumer", {"free": 0.80, "academic": 0.09, "company": 0.09, "relay": 0.012, "disposable": 0.012}),
        ("medical", {"free": 0.45, "academic": 0.46, "company": 0.08, "relay": 0.006, "lookalike": 0.005}),
        ("class", {"academic": 0.83, "free": 0.15, "company": 0.01}),
    ],
)
def test_mail_addresses_are_of_the_kinds_of_the_preset(
    worlds: dict[str, ServedWorld], preset: str, wanted: dict[str, float]
) -> None:
    kinds = Counter(line["email_class"] for line in worlds[preset].oracle.values())
    for kind, part in wanted.items():
        assert kinds[kind] / REQUESTS == pytest.approx(part, abs=max(0.012, 0.06 * part)), kind
    assert set(kinds) == {"free", "academic", "company", "relay", "disposable", "lookalike", "odd", "absent"}


@pytest.mark.parametrize("preset", PRESETS)
def test_answers_are_good_thin_junk_empty_missing_and_hostile(worlds: dict[str, ServedWorld], preset: str) -> None:
    lines = [line for line in worlds[preset].oracle.values() if line["quality"]]
    qualities = Counter(quality for line in lines for quality in line["quality"].values())
    total = qualities.total()
    assert 0.60 < qualities["good"] / total < 0.75
    assert 0.11 < qualities["thin"] / total < 0.25
    assert 0.05 < qualities["junk"] / total < 0.10
    assert 0.03 < qualities["empty"] / total < 0.07
    assert 0.015 < qualities["missing"] / total < 0.04
    assert share(line["hostile_kind"] for line in lines) == pytest.approx(0.006, abs=0.004)
    assert {line["should"] for line in lines} == {"accept", "reset", "reject", "human"}
    manners = Counter(manner for line in lines for manner in line["manner"].values())
    wanted = {"template", "language model", "own language", "abbreviation", "misspelt", "translated", "not ticked"}
    assert {*wanted, "typo", "given name only", "independent", "former field"} - set(manners) <= {"not ticked"}
    answers = [text for row in worlds[preset].rows for text in (row[7] or {}).values()]
    assert share(text.strip() == "" for text in answers) == pytest.approx(0.04, abs=0.02)


def test_people_write_in_many_scripts_and_ask_at_several_repos(worlds: dict[str, ServedWorld]) -> None:
    world = worlds["consumer"]
    names = [account[2] for account in world.accounts.values() if account[4:5] in ([], ["user"])]
    assert share(not name.isascii() for name in names) == pytest.approx(0.28, abs=0.06)
    assert share(name == "" for name in names) == pytest.approx(0.035, abs=0.015)
    asked = Counter(row[1] for row in world.rows)
    assert share(count > 1 for count in asked.values()) > 0.1
    people = Counter({(line["person_id"], row[1]) for row in world.rows for line in [world.oracle[row[0]]]})
    assert len({person for person, _ in people}) < len(people)  # some have two accounts
    ages = [row[3] - int(row[1][:8], 16) * 1000 for row in world.rows]
    assert min(ages) >= 0
    assert share(age < 21 * DAY for age in ages) == pytest.approx(0.33, abs=0.08)
    purposes = [text for row in world.rows for label, text in (row[7] or {}).items() if "use" in label.lower()]
    assert len({text for text in purposes if len(text) > 40}) > 0.7 * share(len(text) > 40 for text in purposes) * len(
        purposes
    )


def test_requests_come_at_launches_on_working_days_and_in_bursts(worlds: dict[str, ServedWorld]) -> None:
    rows = worlds["medical"].repos[0]["rows"]
    times = sorted(row[3] for row in rows)
    first_week = sum(time < times[0] + 7 * DAY for time in times)
    assert first_week > 3 * sum(times[0] + 60 * DAY <= time < times[0] + 67 * DAY for time in times)
    late = [time for time in times if time > times[0] + 30 * DAY]
    assert share((time // DAY + 3) % 7 >= 5 for time in late) == pytest.approx(0.2, abs=0.06)
    hours = Counter(time // 3_600_000 % 24 for time in late)
    assert max(hours.values()) > 1.4 * min(hours.values())
    asked = sorted(row[3] for row in worlds["class"].repos[0]["rows"])
    assert max(sum(start <= time < start + 2 * DAY for time in asked) for start in asked[::50]) > 0.5 * len(asked)
    for preset, kinds in {"consumer": {"bot", "student"}, "medical": {"bot", "clinician"}, "class": {"bot"}}.items():
        assert kinds <= {line["class"] for line in worlds[preset].oracle.values()}
    bots = [row[3] for row in rows if worlds["medical"].oracle[row[0]]["class"] == "bot"]
    assert 8 <= len(bots) < 0.02 * len(rows)


def test_a_seed_gives_its_people_again_and_another_seed_gives_others(tmp_path: Path) -> None:
    def read(name: str, seed: int) -> list[list[Any]]:
        (tmp_path / name).mkdir()
        world = serve_world(tmp_path / name, "consumer", seed, requests=300)
        return [[*world.accounts[row[1]][1:3], row[2], row[7]] for row in world.rows]

    first = read("first", 7)
    assert read("again", 7) == first
    assert read("other", 8) != first


def test_the_repos_of_each_preset_and_their_cards_are_those_of_before(tmp_path: Path) -> None:
    lines: list[str] = []
    for preset in PRESETS:
        (tmp_path / preset).mkdir()
        world = serve_world(tmp_path / preset, preset, requests=0, repos=12)
        for repo in world.repos:
            lines.append(f"{preset}: {repo['type']} {repo['namespace']}/{repo['name']}, {repo['settings']['gated']}")
            lines += base64.b64decode(repo["commits"][0][3]["README.md"]).decode().splitlines()
    check_golden("invented_repos.txt", lines)
