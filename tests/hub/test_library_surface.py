"""What a user of the library sees at a prompt: reprs, help, hints and errors of wrong use."""

from __future__ import annotations

import inspect
import pydoc
import re
from itertools import islice
from typing import Any

import pytest

import hf_gate
from hf_gate import AsyncHub, Decision, Hub, InvalidRepo, errors
from hf_gate.errors import HfGateError, UsageError, to_command_hint
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import OneRepoHub

LISTS = ("list", "list_pending", "list_accepted", "list_rejected", "list_reset")
SECRET_ANSWER, ADDRESS = "a private purpose", "ada@private.example"


@pytest.fixture
def asked(world: OneRepoHub) -> OneRepoHub:
    world.local.add_people([{"username": "zoe", "fullname": "Zoe Z", "email": ADDRESS}])
    world.ask("zoe", Purpose=SECRET_ANSWER)
    return world


def _shown(world: OneRepoHub) -> dict[str, object]:
    hub, repo = world.owner, world.repo
    request = world.request("zoe")
    decision = Decision.reject(request, reason=SECRET_ANSWER)
    listing = hub.list_pending(repo)
    next(listing)
    return {
        "AccessRequest": request,
        "Target": decision.target,
        "Decision": decision,
        "Head": hub.head(repo, "pending"),
        "Found": hub.find_many(repo, ["zoe", "ada"]),
        "Listing": listing,
        "Outcome": hub.accept(repo, request),
        "Hub": hub,
        "LocalHub": world.local,
        "Account": hub.whoami(),
        "Profile": hub.profile("zoe"),
    }


def test_reprs_are_short_and_show_no_answers_and_no_addresses(asked: OneRepoHub) -> None:
    for name, value in _shown(asked).items():
        text = repr(value)
        assert name in text
        assert len(text) <= 300, text
        assert SECRET_ANSWER not in text
        assert ADDRESS not in text
        assert "\n" not in text


def test_a_repr_names_the_request(asked: OneRepoHub) -> None:
    request = asked.request("zoe")
    assert re.fullmatch(rf"<AccessRequest 'zoe' at {asked.repo}: 'pending', asked \d{{4}}-\d\d-\d\d>", repr(request))
    assert repr(Decision.accept(request)) == "<Decision accepted for 'zoe'>"


def test_a_local_hub_shows_whether_it_runs() -> None:
    local = LocalHub(requests=0, repos=1)
    assert repr(local) == "LocalHub(not started)"
    with local:
        assert repr(local) == f"LocalHub('{local.url}')"


@pytest.mark.parametrize(("client", "listing"), [(Hub, "Listing"), (AsyncHub, "AsyncListing")])
@pytest.mark.parametrize("name", LISTS)
def test_help_names_the_class_of_a_listing(client: type, listing: str, name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(client, name)))
    assert f"-> {listing}" in text.replace("'", "")
    assert inspect.getdoc(getattr(client, name))


def test_help_of_the_package_shows_an_example() -> None:
    assert "```python" in (hf_gate.__doc__ or "")


@pytest.mark.parametrize("repo", [None, 3, ["a/b"], b"a/b"])
def test_a_repo_that_is_not_text_is_an_invalid_repo(world: OneRepoHub, repo: Any) -> None:
    with pytest.raises(InvalidRepo):
        world.owner.list_pending(repo)
    with pytest.raises(InvalidRepo):
        world.owner.accept(repo, "ada")


def test_a_second_iteration_of_a_listing_is_an_error(world: OneRepoHub) -> None:
    world.ask("ada", "bob")
    listing = world.owner.list_pending(world.repo)
    first = next(listing)
    assert len([first, *listing]) == 2, "an iteration that was begun can go on"
    assert next(listing, None) is None
    with pytest.raises(UsageError, match="only once"):
        list(listing)
    empty = world.owner.list_rejected(world.repo)
    assert list(empty) == []
    with pytest.raises(UsageError):
        list(empty)


def test_a_listing_can_be_read_in_batches(world: OneRepoHub) -> None:
    world.ask("ada", "bob", "cem")
    rows = iter(world.owner.list_pending(world.repo))
    assert [len(list(islice(rows, 2))) for _ in range(4)] == [2, 1, 0, 0]


def test_a_listing_that_was_read_ahead_is_iterated_once(world: OneRepoHub) -> None:
    world.ask("ada", "bob")
    listing = world.owner.list_pending(world.repo)
    next(listing)
    listing.read_ahead()
    assert len(list(listing)) == 1
    with pytest.raises(UsageError):
        list(listing)


def test_a_closed_listing_cannot_be_iterated(world: OneRepoHub) -> None:
    listing = world.owner.list_pending(world.repo)
    listing.close()
    with pytest.raises(UsageError):
        list(listing)


# Errors of stores, plans and workspaces, which only commands raise.
OF_COMMANDS = ("Store", "ForeignStore", "Guarded", "EndNeeded", "InvalidQuery", "QueryTooLarge")
CLASSES = [
    value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, HfGateError) and not name.startswith(OF_COMMANDS)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_default_hint_in_python_names_no_command(kind: type[HfGateError]) -> None:
    assert not re.search(r"hf-gate|--[a-z]|hf repos|same command", kind.default_hint)


def test_a_hint_speaks_python_in_python_and_commands_on_the_command_line(world: OneRepoHub) -> None:
    with pytest.raises(errors.RequestNotFound) as raised:
        world.owner.accept(world.repo, "ada")
    assert "hub.grant_access(repo, user)" in raised.value.hint
    assert "`hf-gate grant USER@REPO`" in to_command_hint(raised.value.hint)
    world.owner.set_gate(world.repo, False)
    with pytest.raises(errors.NotGated) as ungated:
        world.owner.accept(world.repo, "ada")
    assert "hub.set_gate" in ungated.value.hint
    assert "hf repos settings" in to_command_hint(ungated.value.hint)
