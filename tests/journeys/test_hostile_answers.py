"""One person's answers do not keep the requests of all others from being read, listed and decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access

MARKS = "a" + "\u0301\u0323" * 200_000  # 800 KB; some Pythons sort such marks in quadratic time
PEOPLE = range(12)
GROWING = "\ufdfa"  # becomes eighteen characters


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.chdir(tmp_path)
    return Console(fresh)


def test_a_sync_of_answers_that_consist_of_combining_marks_ends(console: Console) -> None:
    request_access(console.hub, ["ada"])
    request_access(console.hub, [f"mallory-{n}" for n in PEOPLE], answers={"Purpose": MARKS})
    assert console.spawn("init", MODEL).code == 0
    synced = console.spawn("sync", "--full")
    assert synced.code == 0, synced.err
    listed = console.spawn("ls", "--json")  # `spawn` waits a minute, which is many times what this takes
    assert {line["user"] for line in listed.json} == {"ada", *(f"mallory-{n}" for n in PEOPLE)}
    shown = console.spawn("show", f"mallory-0@{MODEL}")
    assert shown.code == 0, shown.err


@pytest.mark.parametrize(
    "answers",
    [{f"{n} {GROWING * 1_700}": "yes" for n in range(200)}, {f"Purpose {n}": "" for n in range(50_000)}],
    ids=["labels that grow", "many labels"],
)
def test_commands_end_on_a_request_with_many_or_long_labels(console: Console, answers: dict[str, str]) -> None:
    request_access(console.hub, ["ada"])
    request_access(console.hub, ["mallory"], answers=answers)
    assert console.run("init", MODEL).code == 0
    for words in ("sync --full", "ls", f"show mallory@{MODEL}", f"explain mallory@{MODEL}"):
        assert console.spawn(*words.split()).code == 0, words
