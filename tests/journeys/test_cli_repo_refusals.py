"""A no to a whole repo is asked for once, told of everybody it concerns, and stops no other repo's part."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access, status_of

NAMES = ["ada-l", "bob99", "cem-k"]


def grants(hub: LocalHub) -> int:
    return int(hub.stats()["calls"].get("POST grant", 0))


def open_up(hub: LocalHub, repo: str) -> None:
    with Hub(hub.tokens["owner"], hub.url) as owner:
        owner.set_gate(repo, False)


def test_grants_at_a_repo_that_is_not_gated_end_with_the_first(fresh: LocalHub) -> None:
    fresh.add_people([{"username": name} for name in NAMES])
    open_up(fresh, MODEL)
    ended = Console(fresh).run("grant", MODEL, *NAMES, "--yes", "--json")
    assert (ended.code, "not gated" in ended.error) == (1, True)
    assert [row["user"] for row in ended.json["outcomes"]] == NAMES
    assert {row["outcome"] for row in ended.json["outcomes"]} <= {"refused", "open"}
    assert all("not gated" in row["why"] for row in ended.json["outcomes"])
    assert grants(fresh) == 1, "the first no is for all of them"


def test_grants_at_a_repo_that_is_not_there_are_not_sent(fresh: LocalHub) -> None:
    fresh.add_people([{"username": name} for name in NAMES])
    ended = Console(fresh).run("grant", "lumen-labs/nothing-here", *NAMES, "--yes", "--json")
    assert (ended.code, ended.json["refused"] + ended.json["open"], ended.json["done"]) == (1, 3, 0)
    assert grants(fresh) == 0


def test_grants_with_a_token_that_may_not_are_not_sent(fresh: LocalHub) -> None:
    fresh.add_people([{"username": name} for name in NAMES])
    ended = Console(fresh, "reader").run("grant", MODEL, *NAMES, "--yes", "--json")
    assert (ended.code, ended.json["open"], ended.json["done"]) == (4, 3, 0)
    assert grants(fresh) == 0


@pytest.mark.parametrize("verb", ["grant", "accept"])
def test_one_repo_that_refuses_does_not_stop_the_others(fresh: LocalHub, verb: str) -> None:
    for repo in (MODEL, DATASET):
        request_access(fresh, NAMES, repo)
    open_up(fresh, MODEL)
    targets = [f"{name}@{repo}" for repo in (MODEL, DATASET) for name in NAMES]
    ended = Console(fresh).run(verb, *targets, "--yes", "--json")
    assert (ended.code, ended.json["done"]) == (5, 3)
    assert {row["repo_type"] for row in ended.json["outcomes"] if row["outcome"] == "done"} == {"dataset"}
    assert ended.json["open"] + ended.json["refused"] == 3
    assert status_of(fresh, "ada-l") == "accepted"


FOREIGN = f"https://huggingface.co/{MODEL}"
COMMANDS = (
    ("accept", FOREIGN, "ada-l"),
    ("accept", f"ada-l@{FOREIGN}"),
    ("reset", "--repo", FOREIGN, "ada-l"),
    ("grant", FOREIGN, "ada-l", "--yes"),
    ("ls", FOREIGN),
    ("sync", FOREIGN),
    ("form", "check", FOREIGN),
    ("withdraw", FOREIGN),
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_url_of_another_hub_is_refused_in_one_line(fresh: LocalHub, words: tuple[str, ...]) -> None:
    before = fresh.stats()["calls"]
    ended = Console(fresh).run(*words)
    assert ended.code == 2, ended.error
    (line,) = [line for line in ended.error.splitlines() if "another host" in line]
    assert FOREIGN in line
    assert {name: n for name, n in fresh.stats()["calls"].items() if n != before.get(name)}.keys() <= {"GET whoami"}


def test_a_url_of_another_hub_in_a_file_of_targets_names_its_line(fresh: LocalHub) -> None:
    ended = Console(fresh).run("accept", "-", stdin=f"ada-l@{MODEL}\nbob99@{FOREIGN}\n")
    assert (ended.code, "line 2" in ended.error, "another host" in ended.error) == (2, True, True)


def test_a_url_of_this_hub_names_its_repo(fresh: LocalHub) -> None:
    ended = Console(fresh).run("ls", f"{fresh.url}/{MODEL}", "--json")
    assert ended.code == 0, ended.error


@pytest.mark.parametrize("file", ["hf-gate.yaml", "policies/main.yaml"])
def test_a_workspace_that_names_a_repo_of_another_hub_is_refused(fresh: LocalHub, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "desk"
    console = Console(fresh)
    assert console.run("init", MODEL, "--workspace", str(folder)).code == 0
    path = next(iter(folder.glob("policies/*.yaml"))) if file != "hf-gate.yaml" else folder / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(MODEL, f'"{FOREIGN}"', 1), encoding="utf-8")
    ended = console.run("plan", "--workspace", str(folder))
    assert ended.code == 2, ended.error
    assert "another host" in ended.error
    if file != "hf-gate.yaml":
        checked = console.run("policy", "check", "--workspace", str(folder))
        assert (checked.code, "another host" in checked.out + checked.err) == (2, True)
    path.write_text(text.replace(MODEL, f'"{fresh.url}/{MODEL}"', 1), encoding="utf-8")
    assert console.run("plan", "--workspace", str(folder)).code == 0
