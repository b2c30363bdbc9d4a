"""Reads facts from outside a request: domain and country lists, and profiles from the Hub on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from hf_gate.base.ids import Person
from hf_gate.base.timestamps import from_ms
from hf_gate.errors import HfGateError, PersonNotFound
from hf_gate.policies.facts.fact_values import EmailFacts, ProfileFact
from hf_gate.policies.facts.tables import NO_ACCOUNT

from .domain_lists import load_domain_lists
from .profile import ProfilePort, current_profile, decode_profile, encode_profile, fetch_profiles, profile_key


class FactSources:
    """Reads facts from lists and profiles.

    Lists are loaded on first use (about 0.2 s), the Hub client at the first profile.
    """

    def __init__(self, open_hub: Callable[[], ProfilePort] | None) -> None:
        self._open_hub = open_hub

    @property
    def countries(self) -> Mapping[str, str]:
        """Alpha-2 codes by country name, code and alias."""
        return load_domain_lists().countries

    def email(self, text: str | None) -> EmailFacts | None:
        """Classify an e-mail address."""
        return None if text is None else load_domain_lists().email(text)

    def list_versions(self) -> Mapping[str, str]:
        """Return the version of each list, for the ledger."""
        return load_domain_lists().version_names()

    def profile(self, person: Person, stored: tuple[bytes | None, int] | None, now: datetime) -> ProfileFact:
        """Return a stored profile, without a call to the Hub."""
        fact = None if stored is None or stored[0] is None else decode_profile(stored[0], from_ms(stored[1]))
        return current_profile(person, fact, now)

    def fetch(self, people: Iterable[Person], now: datetime, budget: int) -> Mapping[str, bytes]:
        """Read at most `budget` profiles from the Hub, one call each; keyed by `profile_key`.

        The others stay unknown.
        """
        if self._open_hub is None:
            return {}
        fetched = fetch_profiles(self._open_hub(), people, now=now, budget=budget)
        return {key: encode_profile(fact) for key, fact in fetched.facts.items()}

    def account(self, username: str) -> str | None:
        """Return the account id of a username, `NO_ACCOUNT` if there is none, None if the Hub is unavailable."""
        if self._open_hub is None:
            return None
        try:
            return self._open_hub().profile(username).person.id
        except PersonNotFound:
            return NO_ACCOUNT
        except HfGateError:
            return None

    @staticmethod
    def key(person: Person) -> str | None:
        """Return the key of a person in the result of `fetch`."""
        return profile_key(person)
