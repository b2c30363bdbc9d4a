"""The worlds of `hub serve`: how odd their people are, when they ask, and that a seed gives them again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from bench.automation_rate import expect_decision
from hf_gate.localhub.population.generator import GeneratedRequest, generate_data
from hf_gate.localhub.population.seeding import seed_world
from hf_gate.localhub.records import HubRepo, StoredRequest
from hf_gate.localhub.world import World
from tests.kits.golden_files import check_golden

DAY = 86_400_000
NOW = 1_790_000_000_000
REQUESTS = 8_000
PRESETS = ("consumer", "medical", "class")


class SeededWorld(NamedTuple):
    """A world, and the facts about each of its requests by id."""

    world: World
    facts: dict[str, GeneratedRequest]

    @property
    def repos(self) -> list[HubRepo]:
        return list(self.world.repos.values())

    @property
    def rows(self) -> list[StoredRequest]:
        return [row for repo in self.repos for row in repo.requests.values()]


def make_world(preset: str, seed: int = 7, requests: int = REQUESTS, repos: int = 4) -> SeededWorld:
    drawn = generate_data(seed, requests, repos, preset, NOW)
    world = seed_world(seed, requests, repos, preset, NOW)
    return SeededWorld(world, {row.request_id: row for row in drawn.rows})


def answers_of(row: StoredRequest) -> dict[str, str]:
    return json.loads(row.answers or b"null") or {}


@pytest.fixture(scope="module")
def worlds() -> dict[str, SeededWorld]:
    return {preset: make_world(preset) for preset in PRESETS}


def share(values: Iterable[object]) -> float:
    listed = [bool(value) for value in values]
    return sum(listed) / len(listed)


def test_every_request_has_its_facts(worlds: dict[str, SeededWorld]) -> None:
    for world in worlds.values():
        assert len(world.rows) == len(world.facts) == REQUESTS
        assert {row.id for row in world.rows} == set(world.facts)
        assert all(row.asked_ms <= NOW for row in world.rows)
        assert len({(repo.id, row.account.id) for repo in world.repos for row in repo.requests.values()}) == REQUESTS


@pytest.mark.parametrize("preset", ["medical", "class"])
def test_most_requests_wait_and_a_few_are_grants(worlds: dict[str, SeededWorld], preset: str) -> None:
    rows = worlds[preset].rows
    states = Counter(row.status.value for row in rows)
    for status, wanted in {"pending": 0.69, "accepted": 0.21, "rejected": 0.06, "reset": 0.04}.items():
        assert states[status] / REQUESTS == pytest.approx(wanted, abs=0.03), status
    assert share(not row.has_email for row in rows) == pytest.approx(0.01, abs=0.005)
    newest = sorted(rows, key=lambda row: row.asked_ms)
    assert share(row.status == "pending" for row in newest[-800:]) > 1.5 * share(
        row.status == "pending" for row in newest[:800]
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
    worlds: dict[str, SeededWorld], preset: str, wanted: dict[str, float]
) -> None:
    kinds = Counter(row.persona.mail for row in worlds[preset].facts.values())
    for kind, part in wanted.items():
        assert kinds[kind] / REQUESTS == pytest.approx(part, abs=max(0.012, 0.06 * part)), kind
    assert set(kinds) == {"free", "academic", "company", "relay", "disposable", "lookalike", "odd", "absent"}


@pytest.mark.parametrize("preset", PRESETS)
def test_answers_are_good_thin_junk_empty_missing_and_hostile(worlds: dict[str, SeededWorld], preset: str) -> None:
    lines = [row for row in worlds[preset].facts.values() if row.quality]
    qualities = Counter(quality for row in lines for quality in (row.quality or {}).values())
    total = qualities.total()
    assert 0.60 < qualities["good"] / total < 0.75
    assert 0.11 < qualities["thin"] / total < 0.25
    assert 0.05 < qualities["junk"] / total < 0.10
    assert 0.03 < qualities["empty"] / total < 0.07
    assert 0.015 < qualities["missing"] / total < 0.04
    assert share(row.hostile_kind for row in lines) == pytest.approx(0.006, abs=0.004)
    assert {expect_decision(row) for row in lines} == {"accept", "reset", "reject", "human"}
    manners = Counter(manner for row in lines for manner in row.manner.values())
    wanted = {"template", "language model", "own language", "abbreviation", "misspelt", "translated", "not ticked"}
    assert {*wanted, "typo", "given name only", "independent", "former field"} - set(manners) <= {"not ticked"}
    answers = [text for row in worlds[preset].rows for text in answers_of(row).values()]
    assert share(text.strip() == "" for text in answers) == pytest.approx(0.04, abs=0.02)


def test_people_write_in_many_scripts_and_ask_at_several_repos(worlds: dict[str, SeededWorld]) -> None:
    world = worlds["consumer"]
    names = [account.fullname for account in world.world.accounts.values() if account.kind == "user"]
    assert share(not name.isascii() for name in names) == pytest.approx(0.28, abs=0.06)
    assert share(name == "" for name in names) == pytest.approx(0.035, abs=0.015)
    asked = Counter(row.account.id for row in world.rows)
    assert share(count > 1 for count in asked.values()) > 0.1
    people = Counter({(world.facts[row.id].persona.person_id, row.account.id) for row in world.rows})
    assert len({person for person, _ in people}) < len(people)  # some have two accounts
    ages = [row.asked_ms - row.account.created_ms for row in world.rows]
    assert min(ages) >= 0
    assert share(age < 21 * DAY for age in ages) == pytest.approx(0.33, abs=0.08)
    purposes = [text for row in world.rows for label, text in answers_of(row).items() if "use" in label.lower()]
    assert len({text for text in purposes if len(text) > 40}) > 0.7 * share(len(text) > 40 for text in purposes) * len(
        purposes
    )


def test_requests_come_at_launches_on_working_days_and_in_bursts(worlds: dict[str, SeededWorld]) -> None:
    rows = list(worlds["medical"].repos[0].requests.values())
    times = sorted(row.asked_ms for row in rows)
    first_week = sum(time < times[0] + 7 * DAY for time in times)
    assert first_week > 3 * sum(times[0] + 60 * DAY <= time < times[0] + 67 * DAY for time in times)
    late = [time for time in times if time > times[0] + 30 * DAY]
    assert share((time // DAY + 3) % 7 >= 5 for time in late) == pytest.approx(0.2, abs=0.06)
    hours = Counter(time // 3_600_000 % 24 for time in late)
    assert max(hours.values()) > 1.4 * min(hours.values())
    asked = sorted(row.asked_ms for row in worlds["class"].repos[0].requests.values())
    assert max(sum(start <= time < start + 2 * DAY for time in asked) for start in asked[::50]) > 0.5 * len(asked)
    for preset, kinds in {"consumer": {"bot", "student"}, "medical": {"bot", "clinician"}, "class": {"bot"}}.items():
        assert kinds <= {row.persona.kind for row in worlds[preset].facts.values()}
    bots = [row.asked_ms for row in rows if worlds["medical"].facts[row.id].persona.kind == "bot"]
    assert 8 <= len(bots) < 0.02 * len(rows)


def test_a_seed_gives_its_people_again_and_another_seed_gives_others() -> None:
    def read(seed: int) -> list[tuple[object, ...]]:
        rows = make_world("consumer", seed, requests=300).rows
        return [(row.account.username, row.account.fullname, row.status, row.answers) for row in rows]

    first = read(7)
    assert read(7) == first
    assert read(8) != first


def test_the_repos_of_each_preset_and_their_cards_are_those_of_before() -> None:
    lines: list[str] = []
    for preset in PRESETS:
        for repo in make_world(preset, requests=0, repos=12).repos:
            lines.append(f"{preset}: {repo.repo.type.value} {repo.repo.id}, {repo.gated}")
            lines += repo.commits[0].files["README.md"].decode().splitlines()
    check_golden("invented_repos.txt", lines)
