"""A no to a whole repo is asked for once, told of everybody it concerns, and stops no other repo's part."""

from __future__ import annotations

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.journeys.console import DATASET, MODEL, Console, fill, status_of

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
        fill(fresh, NAMES, repo)
    open_up(fresh, MODEL)
    targets = [f"{name}@{repo}" for repo in (MODEL, DATASET) for name in NAMES]
    ended = Console(fresh).run(verb, *targets, "--yes", "--json")
    assert (ended.code, ended.json["done"]) == (5, 3)
    assert {row["repo_type"] for row in ended.json["outcomes"] if row["outcome"] == "done"} == {"dataset"}
    assert ended.json["open"] + ended.json["refused"] == 3
    assert status_of(fresh, "ada-l") == "accepted"
