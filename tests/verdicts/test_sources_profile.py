"""Profiles are read within a budget, stored with their age, and never belong to another account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hf_gate.base.ids import Person
from hf_gate.core.people.accounts import Profile
from hf_gate.core.policy_model import UnknownReason
from hf_gate.errors import HubUnavailable, PersonNotFound
from hf_gate.policies.facts.fact_values import ProfileFact
from hf_gate.verdicts.drivers.profile import current_profile, decode_profile, encode_profile, fetch_profiles

NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Hub:
    """A Hub of a few accounts; `down` answers nothing."""

    def __init__(self, *accounts: Person, down: bool = False) -> None:
        self.accounts = {each.username: each for each in accounts}
        self.down = down
        self.calls = 0

    def profile(self, user: str) -> Profile:
        self.calls += 1
        if self.down:
            raise HubUnavailable("silent")
        if user not in self.accounts:
            raise PersonNotFound(user)
        return Profile(self.accounts[user], NOW - timedelta(days=99), orgs=("acme",), models=3)


def person(number: int) -> Person:
    return Person(f"{number:024x}", f"p{number}")


def test_within_the_budget_each_person_is_asked_once_and_the_rest_stays_not_yet_known() -> None:
    people = [person(number) for number in range(5)]
    hub = Hub(*people)
    found = fetch_profiles(hub, [*people, *people], now=NOW, budget=3)
    assert (found.calls, hub.calls, len(found.facts), found.left) == (3, 3, 3, 2)
    assert "budget" in found.stopped


def test_an_account_that_is_gone_and_a_name_that_changed_hands_are_answers() -> None:
    gone, taken = person(1), person(2)
    found = fetch_profiles(Hub(Person("f" * 24, "p2")), [gone, taken], now=NOW, budget=9)
    assert [fact.why for fact in found.facts.values()] == [UnknownReason.UNAVAILABLE, UnknownReason.UNAVAILABLE]
    assert "another account" in found.facts[taken.id or ""].note


def test_a_silent_hub_ends_the_reading_and_teaches_nothing() -> None:
    hub = Hub(down=True)
    found = fetch_profiles(hub, [person(1), person(2)], now=NOW, budget=9)
    assert (dict(found.facts), found.left, hub.calls) == ({}, 2, 1)


def test_a_hidden_person_is_not_asked_for() -> None:
    hub = Hub()
    assert fetch_profiles(hub, [Person()], now=NOW, budget=9).calls == 0
    assert current_profile(Person(), None, NOW).why is UnknownReason.UNAVAILABLE


def test_a_profile_is_used_with_its_age_until_it_is_too_old() -> None:
    kept = ProfileFact(Profile(person(1)), NOW - timedelta(days=6))
    assert current_profile(person(1), kept, NOW) is kept
    assert current_profile(person(1), kept, NOW + timedelta(days=2)).why is UnknownReason.NOT_YET
    assert current_profile(person(1), None, NOW).why is UnknownReason.NOT_YET


def test_what_the_store_keeps_comes_back_as_it_was() -> None:
    read = fetch_profiles(Hub(person(1)), [person(1), person(2)], now=NOW, budget=9).facts
    for fact in read.values():
        assert decode_profile(encode_profile(fact), NOW) == fact
    assert decode_profile(b"{", NOW).why is UnknownReason.NOT_YET
