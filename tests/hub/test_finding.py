"""Finding people: in any list, by the most reliable identifier; None only if there is no request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from hf_gate import (
    Hub,
    Incomplete,
    InvalidTarget,
    NotAllowed,
    Person,
    RequestNotFound,
)
from hf_gate.core.completeness import NO_RESET_LIST
from hf_gate.errors import OutcomeUnknown
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import REQUESTERS, OneRepoHub


def find_statuses(hub: Hub, repo: str, targets: Iterable[Any]) -> tuple[dict[int, str], bool]:
    """The status of each target that has a request, by its index, and whether that is all."""
    found = hub.find_many(repo, targets)
    return {index: request.status for index, request in found.requests.items()}, found.complete


def hide_names(world: OneRepoHub) -> None:
    world.local.control("POST", "settings", {"repo": world.repo, "hide_usernames": True})


def test_an_account_known_by_id_is_found_under_its_new_name(world: OneRepoHub) -> None:
    world.ask("ada")
    person = world.request("ada").person
    assert world.owner.find(world.repo, Person(person.id, "the-name-ada-had-before")) is not None


def test_a_refusal_where_names_are_hidden_is_not_reported_as_no_request(world: OneRepoHub) -> None:
    world.ask("ada")
    world.owner.accept(world.repo, "ada")
    hide_names(world)
    with pytest.raises(OutcomeUnknown, match="could not tell why"):
        world.owner.accept(world.repo, "ada")
    with pytest.raises(RequestNotFound):
        world.owner.accept(world.repo, "bob")


def test_absence_is_unknown_with_an_incomplete_list(world: OneRepoHub) -> None:
    world.ask("ada")
    world.local.set_faults(["bad_record"])
    with pytest.raises(Incomplete):
        world.owner.find(world.repo, user_id="f" * 24)


def test_a_token_without_permission_is_refused(world: OneRepoHub) -> None:
    with Hub(world.local.tokens["reader"], world.local.url) as reader, pytest.raises(NotAllowed):
        reader.find(world.repo, "ada")


def test_find_takes_exactly_one_person(world: OneRepoHub) -> None:
    with pytest.raises(InvalidTarget):
        world.owner.find(world.repo)


def test_many_people_are_found_and_each_list_is_read_once(world: OneRepoHub) -> None:
    world.ask("ada", "bob", "cem")
    ada = world.request("ada")
    world.owner.accept(world.repo, "bob")
    before = world.calls("GET list")
    targets = [ada, "bob", "dora", Person(world.request("cem").person.id), "ada"]
    before = world.calls("GET list")
    assert find_statuses(world.owner, world.repo, targets) == (
        {0: "pending", 1: "accepted", 3: "pending", 4: "pending"},
        True,
    )
    assert world.calls("GET list") - before == 4
    assert find_statuses(world.owner, world.repo, []) == ({}, True)


@pytest.fixture
def old() -> Iterator[tuple[LocalHub, str]]:
    """A Hub of August 2026 with pending requests of Ada and Bob."""
    with LocalHub(requests=0, repos=1, people=REQUESTERS, protocol="2026-08") as local:
        repo = local.repos[0]["repo"]
        local.add_requests([{"repo": repo, "user": name, "answers": {}} for name in ("ada", "bob")])
        yield local, repo


def test_a_hub_without_reset_has_an_empty_reset_list_with_the_reason(old: tuple[LocalHub, str]) -> None:
    local, repo = old
    with Hub(local.tokens["owner"], local.url) as hub:
        listing = hub.list_reset(repo)
        assert (len(list(listing)), listing.completeness) == (0, NO_RESET_LIST)
