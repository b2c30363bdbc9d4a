"""Reads public profiles from the Hub within a budget of calls, and encodes them for the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import make_json_decoder
from hf_gate.base.ids import Person
from hf_gate.core.people.accounts import Profile
from hf_gate.core.policy_model import UnknownReason
from hf_gate.errors import HfGateError, HubUnavailable, NotAllowed, Offline, PersonNotFound
from hf_gate.policies.facts.fact_values import ProfileFact

MAX_AGE: Final = timedelta(days=7)
"""The age after which a profile is read again if a verdict needs it."""

_HIDDEN: Final = ProfileFact(why=UnknownReason.UNAVAILABLE, note="the repo hides requesters")
_UNREAD: Final = ProfileFact(note="the profile has not been read yet")


class ProfilePort(Protocol):
    """The part of the Hub client that reads profiles, with one API call each."""

    def profile(self, user: str) -> Profile: ...


class FetchedProfiles(Struct, frozen=True):
    """The profiles that were read, keyed by `profile_key`.

    `left` counts the people whose profiles were not read; `stopped` says why.
    """

    facts: Mapping[str, ProfileFact]
    calls: int
    left: int = 0
    stopped: str = ""


def profile_key(person: Person) -> str | None:
    """Return the key of a profile: account id or username; None for a hidden person."""
    return person.id or person.username


def current_profile(person: Person, stored: ProfileFact | None, now: datetime) -> ProfileFact:
    """Return the stored profile if it is recent enough; otherwise it counts as unread."""
    if person.username is None:
        return _HIDDEN
    if stored is None or stored.read_at is None or now - stored.read_at > MAX_AGE:
        return _UNREAD
    return stored


def fetch_profiles(hub: ProfilePort, people: Iterable[Person], *, now: datetime, budget: int) -> FetchedProfiles:
    """Read the profile of each person once, with at most `budget` calls. Other profiles remain unread.

    A missing account, or another account with the same name, is a result and is stored. An unavailable Hub or a refusal
    stops the loop. After any other error, the person's profile is read next time.
    """
    wanted = {key: each for each in people if each.username and (key := profile_key(each))}
    facts: dict[str, ProfileFact] = {}
    calls = 0
    stopped = ""
    for key, person in wanted.items():
        if calls >= budget:
            stopped = "the budget for profiles is spent"
            break
        calls += 1
        try:
            facts[key] = _check_account(hub.profile(person.username or ""), person, now)
        except PersonNotFound:
            facts[key] = ProfileFact(None, now, UnknownReason.UNAVAILABLE, "the Hub has no such account")
        except (HubUnavailable, NotAllowed, Offline) as problem:
            stopped = str(problem)
            break
        except HfGateError as problem:  # this profile is read next time; the others are not delayed
            stopped = str(problem)
    return FetchedProfiles(facts, calls, len(wanted) - len(facts), stopped)


def _check_account(profile: Profile, person: Person, now: datetime) -> ProfileFact:
    """Accept a profile only if it belongs to the requesting account: usernames can be reused."""
    found = profile.person.id
    if person.id and found and found.lower() != person.id.lower():
        return ProfileFact(None, now, UnknownReason.UNAVAILABLE, "the username belongs to another account now")
    return ProfileFact(profile, now)


# ---- encoding for the store ------------------------------------------------------------------------------------------


class _StoredProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | None = None
    username: str | None = None
    fullname: str | None = None
    created_at: datetime | None = None
    is_pro: bool = False
    orgs: tuple[str, ...] = ()
    models: int | None = None
    datasets: int | None = None
    followers: int | None = None
    note: str = ""  # why there is no profile


_encode = msgspec.json.Encoder().encode
_decode = make_json_decoder(_StoredProfile).decode


def encode_profile(fact: ProfileFact) -> bytes:
    """Encode a profile for the store."""
    if fact.profile is None:
        return _encode(_StoredProfile(note=fact.note))
    it = fact.profile
    person = fact.profile.person
    return _encode(
        _StoredProfile(
            person.id,
            person.username,
            person.fullname,
            it.created_at,
            it.is_pro,
            it.orgs,
            it.models,
            it.datasets,
            it.followers,
        )
    )


def decode_profile(document: bytes, at: datetime) -> ProfileFact:
    """Decode a profile from the store; an invalid document counts as unread."""
    try:
        stored = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREAD
    if stored.note:
        return ProfileFact(None, at, UnknownReason.UNAVAILABLE, stored.note)
    person = Person(stored.id, stored.username, stored.fullname)
    profile = Profile(
        person, stored.created_at, stored.is_pro, stored.orgs, stored.models, stored.datasets, stored.followers
    )
    return ProfileFact(profile, at)
