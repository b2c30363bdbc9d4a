"""Pins the life of requests from outside: commands of the program and what they print, on both databases."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access
from tests.kits.golden_files import check_golden
from tests.kits.stores import new_schema

SETTINGS = """\
version: 1
repos: [{model}, {dataset}]
policies: [policies/*.yaml]
tables: {{partners: {{file: tables/partners.csv, key: username}}}}
store: {store}
"""
MODEL_RULES = f"""\
version: 1
policy: model
applies_to: [{MODEL}]
mode: enforce
rules:
  - id: partners
    when: tables.partners
    then: accept
    until: 30d
    at_end: reset
    end_reason: The project is over.
  - id: refused
    when: answers.purpose.text == "to resell"
    then: reject
    reason: Resale is not allowed.
  - id: thin
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please write what you will study.
  - {{id: rest, then: human}}
"""
DATASET_RULES = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: both, then: accept, reviewers: 2, until: 90d}}
"""
PARTNERS = "username\nada-l\nbob99\n"
# `hub` writes down what the Hub did, `later` moves its clock, `as` names another account.
SCRIPT = """\
# Read, look, explain
hf-gate sync --full
hf-gate ls
hf-gate explain ada-l@MODEL
hf-gate explain dee@MODEL
hf-gate policy check
# Plan, apply, undo
hf-gate plan --out plan.json
hf-gate apply plan.json --yes
hub
hf-gate apply plan.json --yes
hf-gate runs ls
hf-gate undo --out back.json
hf-gate apply back.json --yes
hub
later 2h
hf-gate run --once
hub
# Decide by hand
hf-gate accept fay@MODEL --until none --note "known to us"
hf-gate accept fay@MODEL
hf-gate reject gus@MODEL --reason "no link to the project" --yes
hf-gate reset hal@MODEL --reason "Who is your supervisor?"
hf-gate accept nobody-of-this-name@MODEL
hub
# Two people
hf-gate accept fay@DATASET
as writer hf-gate policy promote voices --yes
hf-gate accept fay@DATASET
hf-gate accept fay@DATASET
hf-gate show fay@DATASET
hf-gate ls DATASET
hub
as admin hf-gate accept fay@DATASET
hub
# Access, its end, and the day before
hf-gate report access
hf-gate show ada-l@MODEL
later 29d
hf-gate run --once
hub
later 2d
hf-gate run --once
hub
hf-gate report access
# Erase, verify
hf-gate person show fay
hf-gate person erase cy --yes
hf-gate person ls
hf-gate ls --status all
hf-gate audit verify
hf-gate audit ls MODEL
hf-gate status
hf-gate store check
""".replace("MODEL", MODEL).replace("DATASET", DATASET)
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|\+00:00)?)?"), "DATE"),
    (re.compile(r"\b\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[nr]_?[0-9a-z]{10,14}\b"), "RUN"),
    (re.compile(r"\bp_[0-9a-z]+\b"), "PERSON"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "DIGEST"),
    (re.compile(r"\bin \d+(\.\d+)? ?(ms|s|seconds)\b"), "in SECONDS"),
    (re.compile(r"\b\d+ ?(ms|s|min|seconds?|minutes?)\b( ago)?"), "AGO"),
    (re.compile(r"\b\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)( \d{4})?\b"), "DATE"),
    (re.compile(r"[\d,]+ of 1,000,000 calls"), "CALLS"),
    (re.compile(r"(?<=, store )\S+"), "STORE"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HUB"),
)


class Story:
    """Runs commands and writes down their endings, with times, ids and paths replaced."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self.folder = folder
        self.lines: list[str] = []
        self.moves = 0

    def play(self, step: str) -> None:
        """Play one line of the script."""
        match step.split(maxsplit=1):
            case ["#", _]:
                self.lines += [step, ""]
            case ["later", time]:
                self.console.hub.clock.advance(time)
            case ["hub"]:
                self._write_moves()
            case ["as", rest]:
                holder, command = rest.split(maxsplit=1)
                self._run(command, Console(self.console.hub, holder))
            case _:
                self._run(step, self.console)

    def _run(self, command: str, console: Console) -> None:
        ended = console.run(*shlex.split(command)[1:], env={"COLUMNS": "110"})
        who = "" if console is self.console else f"  # by the {console.holder}"
        self.lines.append(f"$ {command}{who}")
        for text in (ended.out, ended.err):
            self.lines += [self._mask(line) for line in text.splitlines()]
        self.lines += [f"exit {ended.code}", ""]

    def _write_moves(self) -> None:
        """Write down what the Hub did since the last time."""
        moves = self.console.hub.journal()
        self.lines += [f"hub: {move['user']} to {move['to']}" for move in moves[self.moves :]]
        self.lines.append("")
        self.moves = len(moves)

    def _mask(self, line: str) -> str:
        masked = line.replace(str(self.folder), "FOLDER")
        for pattern, name in _MASKS:
            masked = pattern.sub(name, masked)
        return re.sub(r" {2,}", "  ", masked.strip())


@pytest.fixture(params=["sqlite", "postgresql"])
def story(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    store = "sqlite:///gate.db"
    if request.param == "postgresql":
        store = new_schema(request.getfixturevalue("postgres_uri"))
    (tmp_path / "policies").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "partners.csv").write_text(PARTNERS, "utf-8")
    (tmp_path / "policies" / "model.yaml").write_text(MODEL_RULES, "utf-8")
    (tmp_path / "policies" / "voices.yaml").write_text(DATASET_RULES, "utf-8")
    (tmp_path / "hf-gate.yaml").write_text(SETTINGS.format(model=MODEL, dataset=DATASET, store=store), "utf-8")
    return Story(Console(request.getfixturevalue("hub")), tmp_path)


@pytest.fixture
def hub() -> LocalHub:
    return LocalHub(requests=0)


def ask(hub: LocalHub) -> None:
    """Eight people ask for the model, two of them for the dataset too."""
    request_access(hub, ["ada-l", "bob99"], answers={"Purpose": "to study the voices of old harbours in the north"})
    request_access(hub, ["cy"], answers={"Purpose": "to resell"})
    request_access(hub, ["dee", "eve"], answers={"Purpose": "asdf"})
    request_access(hub, ["fay", "gus", "hal"], answers={"Purpose": "to compare three methods that remove noise"})
    request_access(hub, ["fay", "gus"], DATASET, {"Purpose": "to train a model of dialects for a thesis"})


def test_the_life_of_requests_from_outside(story: Story) -> None:
    with story.console.hub as hub:
        ask(hub)
        story.moves = len(hub.journal())
        for step in SCRIPT.splitlines():
            story.play(step)
    check_golden("life.txt", story.lines)
