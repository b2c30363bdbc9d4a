"""Finding people: in any list, by the most reliable identifier; None only if there is no request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from hf_gate import (
    AccessRequest,
    AsyncHub,
    Completeness,
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


class Both:
    """`find` and `find_many` of either client, called in the same way."""

    def __init__(self, local: LocalHub, token: str, *, is_async: bool) -> None:
        self.local, self.token, self.is_async = local, token, is_async

    def _call(self, name: str, *given: Any, **named: Any) -> Any:
        if self.is_async:
            return asyncio.run(self._awaited(name, *given, **named))
        with Hub(self.token, self.local.url) as hub:
            return getattr(hub, name)(*given, **named)

    async def _awaited(self, name: str, *given: Any, **named: Any) -> Any:
        async with AsyncHub(self.token, self.local.url) as hub:
            return await getattr(hub, name)(*given, **named)

    def find(self, *given: Any, **named: Any) -> AccessRequest | None:
        found: AccessRequest | None = self._call("find", *given, **named)
        return found

    def many(self, repo: str, targets: Iterable[Any]) -> tuple[dict[int, str], bool]:
        found = self._call("find_many", repo, targets)
        return {index: request.status for index, request in found.requests.items()}, found.complete


@pytest.fixture(params=[False, True], ids=["Hub", "AsyncHub"])
def both(request: pytest.FixtureRequest, world: OneRepoHub) -> Both:
    return Both(world.local, world.local.tokens["owner"], is_async=request.param)


def hide_names(world: OneRepoHub) -> None:
    world.local.control("POST", "settings", {"repo": world.repo, "hide_usernames": True})


@pytest.mark.parametrize("status", ["pending", "accepted", "rejected", "reset"])
def test_a_person_is_found_in_whichever_list_holds_them(world: OneRepoHub, both: Both, status: str) -> None:
    world.ask("ada", "bob")
    if status != "pending":
        {"accepted": world.owner.accept, "reset": world.owner.reset}.get(
            status, lambda repo, user: world.owner.reject(repo, user, reason=None)
        )(world.repo, "ada")
    listed = world.request("ada", status)
    for found in (
        both.find(world.repo, "ADA"),
        both.find(world.repo, listed),
        both.find(world.repo, Person(listed.person.id)),
        both.find(world.repo, request_id=listed.request_id),
        both.find(world.repo, user_id=listed.person.id),
    ):
        assert found is not None
        assert (found.request_id, found.status) == (listed.request_id, status)


def test_a_missing_person_is_none_and_takes_one_call_for_each_list(world: OneRepoHub, both: Both) -> None:
    world.ask("ada")
    assert both.find(world.repo, "bob") is None
    assert both.find(world.repo, "nobody-at-all") is None
    assert world.calls("GET list") == 8


def test_a_name_that_is_a_prefix_of_another_finds_only_its_own(world: OneRepoHub, both: Both) -> None:
    world.local.add_people([{"username": "adam"}])
    world.ask("adam")
    assert both.find(world.repo, "ada") is None


def test_a_withdrawn_request_is_none(world: OneRepoHub, both: Both) -> None:
    world.ask("ada")
    listed = world.request("ada")
    with Hub(world.local.tokens["ada"], world.local.url) as ada:
        ada.withdraw(world.repo)
    assert both.find(world.repo, listed) is None


def test_an_account_known_by_id_is_found_under_its_new_name(world: OneRepoHub, both: Both) -> None:
    world.ask("ada")
    person = world.request("ada").person
    assert both.find(world.repo, Person(person.id, "the-name-ada-had-before")) is not None


def test_absence_is_unknown_where_names_are_hidden(world: OneRepoHub, both: Both) -> None:
    world.ask("ada")
    listed = world.request("ada")
    hide_names(world)
    with pytest.raises(Incomplete, match="could not be read completely"):
        both.find(world.repo, user_id=listed.person.id)
    with pytest.raises(Incomplete):
        both.find(world.repo, "ada")
    found = both.find(world.repo, request_id=listed.request_id)
    assert found is not None
    assert found.username is None


def test_a_refusal_where_names_are_hidden_is_not_reported_as_no_request(world: OneRepoHub) -> None:
    world.ask("ada")
    world.owner.accept(world.repo, "ada")
    hide_names(world)
    with pytest.raises(OutcomeUnknown, match="could not tell why"):
        world.owner.accept(world.repo, "ada")
    with pytest.raises(RequestNotFound):
        world.owner.accept(world.repo, "bob")


def test_absence_is_unknown_with_an_incomplete_list(world: OneRepoHub, both: Both) -> None:
    world.ask("ada")
    world.local.set_faults(["bad_record"])
    with pytest.raises(Incomplete):
        both.find(world.repo, user_id="f" * 24)


def test_a_token_without_permission_is_refused(world: OneRepoHub) -> None:
    for is_async in (False, True):
        with pytest.raises(NotAllowed):
            Both(world.local, world.local.tokens["reader"], is_async=is_async).find(world.repo, "ada")


def test_find_takes_exactly_one_person(both: Both, world: OneRepoHub) -> None:
    with pytest.raises(InvalidTarget):
        both.find(world.repo)


def test_many_people_are_found_and_each_list_is_read_once(world: OneRepoHub, both: Both) -> None:
    world.ask("ada", "bob", "cem")
    ada = world.request("ada")
    world.owner.accept(world.repo, "bob")
    before = world.calls("GET list")
    targets = [ada, "bob", "dora", Person(world.request("cem").person.id), "ada"]
    before = world.calls("GET list")
    assert both.many(world.repo, targets) == ({0: "pending", 1: "accepted", 3: "pending", 4: "pending"}, True)
    assert world.calls("GET list") - before == 4
    assert both.many(world.repo, []) == ({}, True)


@pytest.fixture
def old() -> Iterator[tuple[LocalHub, str]]:
    """A Hub of August 2026 with pending requests of Ada and Bob."""
    with LocalHub(requests=0, repos=1, people=REQUESTERS, protocol="2026-08") as local:
        repo = local.repos[0]["repo"]
        local.add_requests([{"repo": repo, "user": name, "answers": {}} for name in ("ada", "bob")])
        yield local, repo


@pytest.mark.parametrize("is_async", [False, True])
def test_without_search_the_lists_are_read(old: tuple[LocalHub, str], *, is_async: bool) -> None:
    local, repo = old
    both = Both(local, local.tokens["owner"], is_async=is_async)
    found = both.find(repo, "bob")
    assert found is not None
    assert found.username == "bob"
    assert both.find(repo, "cem") is None
    assert both.many(repo, ["ada", "cem", "bob"]) == ({0: "pending", 2: "pending"}, True)


def test_a_hub_without_reset_has_an_empty_reset_list_with_the_reason(old: tuple[LocalHub, str]) -> None:
    local, repo = old

    async def awaited() -> tuple[int, Completeness]:
        async with AsyncHub(local.tokens["owner"], local.url) as hub:
            listing = hub.list_reset(repo)
            return len([request async for request in listing]), listing.completeness

    with Hub(local.tokens["owner"], local.url) as hub:
        listing = hub.list_reset(repo)
        assert (len(list(listing)), listing.completeness) == asyncio.run(awaited()) == (0, NO_RESET_LIST)
