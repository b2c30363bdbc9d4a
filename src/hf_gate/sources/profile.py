"""Public profiles, read only for whom they can change the verdict: remembered with their age, within a budget of calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from ..domain.accounts import Profile
from ..domain.ids import Person
from ..errors import HfGateError, HubUnavailable, NotAllowed, Offline, PersonNotFound
from ..policy.fact_values import ProfileFact
from ..policy.model import UnknownReason

MAX_AGE: Final = timedelta(days=7)
"""A profile older than this is read again when a verdict asks for it; until then it is used with its age."""

_HIDDEN: Final = ProfileFact(why=UnknownReason.UNAVAILABLE, note="the repo hides requesters")
_UNREAD: Final = ProfileFact(note="the profile was not read yet")


class ProfilePort(Protocol):
    """The part of the Hub that is asked; one call of the API budget each."""

    def profile(self, user: str) -> Profile: ...


@dataclass(frozen=True, slots=True)
class FetchedProfiles:
    """What was read now: by account id, or by username where the id is hidden. `left` were not asked, and why."""

    facts: Mapping[str, ProfileFact]
    calls: int
    left: int = 0
    stopped: str = ""


def profile_key(person: Person) -> str | None:
    """By what a profile is remembered; None when the person is hidden."""
    return person.id or person.username


def current_profile(
    person: Person, kept: ProfileFact | None, now: datetime, max_age: timedelta = MAX_AGE
) -> ProfileFact:
    """What is known without a call. A profile of too great an age is not known any more, so that it is asked for again."""
    if person.username is None:
        return _HIDDEN
    if kept is None or kept.read_at is None or now - kept.read_at > max_age:
        return _UNREAD
    return kept


def fetch_profiles(hub: ProfilePort, people: Iterable[Person], *, now: datetime, budget: int) -> FetchedProfiles:
    """Reads profiles, each person once and at most `budget` calls; those left over stay not yet known.

    No such account, or one that took over the name, is an answer, and remembered. A Hub that is away or says no ends
    the reading; any other error leaves that person for the next time.
    """
    wanted = {key: each for each in people if each.username and (key := profile_key(each))}
    facts: dict[str, ProfileFact] = {}
    calls, stopped = 0, ""
    for key, person in wanted.items():
        if calls >= budget:
            stopped = "the budget for profiles is used up"
            break
        calls += 1
        try:
            facts[key] = _check_account(hub.profile(person.username or ""), person, now)
        except PersonNotFound:
            facts[key] = ProfileFact(None, now, UnknownReason.UNAVAILABLE, "the Hub has no such account")
        except (HubUnavailable, NotAllowed, Offline) as problem:
            stopped = str(problem)
            break
        except HfGateError as problem:  # this one is for the next time; it keeps nobody behind it waiting
            stopped = str(problem)
    return FetchedProfiles(facts, calls, len(wanted) - len(facts), stopped)


def _check_account(profile: Profile, person: Person, now: datetime) -> ProfileFact:
    """Names are used again: the profile counts only for the account that asked."""
    told = profile.person.id
    if person.id and told and told.lower() != person.id.lower():
        return ProfileFact(None, now, UnknownReason.UNAVAILABLE, "the username belongs to another account now")
    return ProfileFact(profile, now)


# ---- as the store keeps it -------------------------------------------------------------------------------------------


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
    note: str = ""  # why there is none


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_StoredProfile).decode


def encode_profile(fact: ProfileFact) -> bytes:
    """A profile that was read, as the document that the store keeps beside the moment."""
    if fact.profile is None:
        return _encode(_StoredProfile(note=fact.note))
    it, who = fact.profile, fact.profile.person
    return _encode(
        _StoredProfile(
            who.id, who.username, who.fullname, it.created_at, it.is_pro, it.orgs, it.models, it.datasets, it.followers
        )
    )


def decode_profile(document: bytes, at: datetime) -> ProfileFact:
    """The document of the store as it was; one that cannot be read is not yet known."""
    try:
        kept = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREAD
    if kept.note:
        return ProfileFact(None, at, UnknownReason.UNAVAILABLE, kept.note)
    who = Person(kept.id, kept.username, kept.fullname)
    profile = Profile(who, kept.created_at, kept.is_pro, kept.orgs, kept.models, kept.datasets, kept.followers)
    return ProfileFact(profile, at)
