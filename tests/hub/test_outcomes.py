"""What each situation gives, in a single verb and in many: the table of the contract, row by row."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import pytest

from hf_gate import AsyncHub, Decision, Hub, NotAllowed, PersonNotFound, RequestNotFound, Stale
from hf_gate.core.outcomes import OutcomeKind, exit_code_of
from hf_gate.errors import HubUnavailable, InvalidTarget, WrongRepoType
from tests.kits.local_hubs import OneRepoHub

Who = Callable[[OneRepoHub], Any]


def arrange(world: OneRepoHub, *, decided: bool = False) -> Any:
    """Ada asked and was listed; then, if wished, somebody else decided."""
    world.ask("ada", Purpose="to learn")
    request = world.request("ada")
    if decided:
        with Hub(world.local.tokens["admin"], world.local.url) as admin:
            admin.reject(world.repo, "ada", reason=None)
    return request


def wished(world: OneRepoHub) -> Any:
    return arrange(world)


def already_by_request(world: OneRepoHub) -> Any:
    arrange(world)
    world.owner.accept(world.repo, "ada")
    return world.request("ada", "accepted")


def already_by_name(world: OneRepoHub) -> Any:
    arrange(world)
    world.owner.accept(world.repo, "ada")
    return "ada"


def unknown_name(_: OneRepoHub) -> Any:
    return "nobody-at-all"


def no_request(_: OneRepoHub) -> Any:
    return "bob"


def gone(world: OneRepoHub) -> Any:
    request = arrange(world)
    with Hub(world.local.tokens["ada"], world.local.url) as ada:
        ada.withdraw(world.repo)
    return request


def moved(world: OneRepoHub) -> Any:
    return arrange(world, decided=True)


def new_attempt(world: OneRepoHub) -> Any:
    request = arrange(world)
    world.owner.reset(world.repo, "ada")
    with Hub(world.local.tokens["ada"], world.local.url) as ada:
        assert ada.ask_access(world.repo, {"Purpose": "again"}) == "pending"
    return request


# situation -> what a single verb gives (None: the outcome's kind, else what it raises), in many, exit code, moves made
TABLE: list[tuple[Any, Any, OutcomeKind, int, int]] = [
    (wished, OutcomeKind.DONE, OutcomeKind.DONE, 0, 1),
    (already_by_request, OutcomeKind.ALREADY, OutcomeKind.ALREADY, 0, 0),
    (already_by_name, OutcomeKind.ALREADY, OutcomeKind.DONE, 0, 0),
    (unknown_name, PersonNotFound, OutcomeKind.REFUSED, 1, 0),
    (no_request, RequestNotFound, OutcomeKind.REFUSED, 1, 0),
    (gone, RequestNotFound, OutcomeKind.GONE, 0, 0),
    (moved, Stale, OutcomeKind.STALE, 0, 0),
    (new_attempt, Stale, OutcomeKind.STALE, 0, 0),
]


@dataclass(frozen=True)
class Row:
    """One row: what a single verb gives or raises, what many give, their exit code, and how often the Hub moved."""

    situation: Who
    single: Any
    many: OutcomeKind
    code: int
    moves: int


each_row = pytest.mark.parametrize("row", [Row(*cells) for cells in TABLE], ids=[cells[0].__name__ for cells in TABLE])


@each_row
def test_each_situation_gives_what_the_contract_says(world: OneRepoHub, row: Row) -> None:
    situation, single, moves = row.situation, row.single, row.moves
    who = situation(world)
    before = len(world.local.journal())
    if isinstance(single, OutcomeKind):
        assert world.owner.accept(world.repo, who).kind is single
    else:
        with pytest.raises(single) as raised:
            world.owner.accept(world.repo, who)
        assert raised.value.hint
    assert len(world.local.journal()) - before == moves


@each_row
def test_and_so_do_many(world: OneRepoHub, row: Row) -> None:
    situation, many, code, moves = row.situation, row.many, row.code, row.moves
    who = situation(world)
    before = len(world.local.journal())
    outcomes = list(world.owner.decide_many(world.repo, [Decision.accept(who)]))
    assert [o.kind for o in outcomes] == [many]
    assert exit_code_of(outcomes) == code
    assert (outcomes[0].why == "") == (many is OutcomeKind.DONE)
    assert len(world.local.journal()) - before == moves


def test_a_second_different_decision_in_one_run_is_refused_and_the_first_stands(world: OneRepoHub) -> None:
    world.ask("ada", "bob")
    outcomes = list(
        world.owner.decide_many(
            world.repo, [Decision.accept("ada"), Decision.reject("ADA", reason="no"), Decision.accept("bob")]
        )
    )
    assert sorted((o.user, o.kind.value) for o in outcomes) == [("ADA", "refused"), ("ada", "done"), ("bob", "done")]
    assert exit_code_of(outcomes) == 5
    assert world.status("ada") == "accepted"


@pytest.mark.parametrize("n", [1, 150])
def test_an_unknown_name_that_is_repeated_is_refused_each_time(world: OneRepoHub, n: int) -> None:
    """Also if the repetition comes after the first outcome is known (more than a batch later)."""
    fill = [f"p{i:03}" for i in range(n)]
    world.local.add_people([{"username": name} for name in fill])
    world.ask(*fill)
    decisions = [*map(Decision.accept, ["no-such-person", *fill, "NO-SUCH-PERSON"])]
    outcomes = list(world.owner.decide_many(world.repo, decisions))
    refused = [one for one in outcomes if one.kind is OutcomeKind.REFUSED]
    assert sorted(str(one.user) for one in refused) == ["NO-SUCH-PERSON", "no-such-person"]
    assert {one.why for one in refused} == {refused[0].why}
    assert isinstance(refused[1].error, PersonNotFound)
    assert len(outcomes) == n + 2


@pytest.mark.parametrize("make", [list, tuple, set, dict.fromkeys])
def test_a_wrong_item_in_a_list_of_decisions_raises_at_the_call(world: OneRepoHub, make: Any) -> None:
    world.ask("ada")
    with pytest.raises(InvalidTarget, match="Decision objects, not str") as raised:
        world.owner.decide_many(world.repo, make([Decision.accept("ada"), "bob"]))
    assert "Decision.accept" in raised.value.hint
    assert world.moves() == []


def test_decisions_that_nobody_iterates_warn_that_nothing_was_sent(world: OneRepoHub) -> None:
    world.ask("ada")

    def forget_blocking() -> None:
        world.owner.decide_many(world.repo, [Decision.accept("ada")])
        gc.collect()

    with pytest.warns(ResourceWarning, match="decide_many .* was not iterated, so nothing was sent"):
        forget_blocking()

    async def forget() -> None:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            hub.decide_many(world.repo, [Decision.accept("ada")])
            gc.collect()

    with pytest.warns(ResourceWarning, match="nothing was sent"):
        asyncio.run(forget())
    assert world.moves() == []


def test_decisions_that_are_closed_on_purpose_do_not_warn(world: OneRepoHub) -> None:
    with closing(cast("Any", world.owner.decide_many(world.repo, [Decision.accept("ada")]))):
        pass
    gc.collect()


@pytest.mark.parametrize("token", ["reader", "stranger", "owner_read"])
def test_a_token_that_may_only_read_stops_the_run_and_nothing_is_changed(world: OneRepoHub, token: str) -> None:
    world.ask("ada", "bob")
    with Hub(world.local.tokens[token], world.local.url) as hub:
        with pytest.raises(NotAllowed) as raised:
            hub.accept(world.repo, "ada")
        assert raised.value.exit_code == 4
        kinds: list[OutcomeKind] = []
        with pytest.raises(NotAllowed):
            kinds.extend(o.kind for o in hub.decide_many(world.repo, [Decision.accept("ada"), Decision.accept("bob")]))
        assert kinds == [OutcomeKind.OPEN, OutcomeKind.OPEN]
    assert world.moves() == []


def test_a_wrong_token_is_named_as_such_and_never_shown(world: OneRepoHub) -> None:
    with Hub("hf_local_wrong_token", world.local.url) as hub, pytest.raises(NotAllowed) as raised:
        hub.accept(world.repo, "ada")
    assert "401" in str(raised.value)
    assert "hf_local_wrong_token" not in repr(raised.value) + str(raised.value) + repr(hub) + repr(vars(hub))


def test_the_wrong_type_of_repo_is_named(world: OneRepoHub) -> None:
    for act in (
        lambda: world.owner.accept(f"datasets/{world.repo}", "ada"),
        lambda: list(world.owner.list_pending(f"datasets/{world.repo}")),
    ):
        with pytest.raises(WrongRepoType) as raised:
            act()
        assert raised.value.exit_code == 2
        assert world.repo in raised.value.hint


def test_a_hub_that_is_not_there_is_unavailable_and_nothing_was_sent() -> None:
    with Hub("hf_local_owner", "http://127.0.0.1:9", max_wait=0.0) as hub, pytest.raises(HubUnavailable) as raised:
        hub.accept("acme/m", "ada")
    assert raised.value.exit_code == 75


def test_decisions_taken_while_a_listing_is_open_skip_nobody(world: OneRepoHub) -> None:
    names = [f"p{n:03}" for n in range(45)]
    world.local.add_people([{"username": name} for name in names])
    world.ask(*names)
    done = {
        o.user
        for o in world.owner.decide_many(world.repo, (Decision.accept(r) for r in world.owner.list_pending(world.repo)))
    }
    assert done == set(names)
    for request in world.owner.list_accepted(world.repo):
        world.owner.cancel(world.repo, request)
    assert {r.username for r in world.owner.list_pending(world.repo)} == set(names)


def test_one_bad_name_never_fails_its_neighbours(world: OneRepoHub) -> None:
    world.ask("ada", "bob", "cem")
    people = ["ada", "no-such-person", "bob", "dora", "cem"]
    kinds = {
        o.user: o.kind
        for o in world.owner.decide_many(world.repo, [Decision.reset(p, reason="Say more.") for p in people])
    }
    assert kinds == {
        "ada": OutcomeKind.DONE,
        "bob": OutcomeKind.DONE,
        "cem": OutcomeKind.DONE,
        "dora": OutcomeKind.REFUSED,
        "no-such-person": OutcomeKind.REFUSED,
    }
    assert world.calls("POST batch") == 1
