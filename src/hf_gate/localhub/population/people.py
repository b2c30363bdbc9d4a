"""Draws invented people from the sample, with other family names, numbers and accounts than those of the sample."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, Final, TypeVar

from msgspec import Struct

from hf_gate.localhub.records import HubAccount

from .sample import Place, SampledPerson, load_hostile_texts, load_sample

T = TypeVar("T")
MAX_NAME: Final = 96
_HOSTILE_NAMES: Final = 0.001
_UNIQUE: Final = 2000  # from this person on, e-mail addresses without a number get one


class Persona(Struct, frozen=True, gc=False):
    """The facts about an account's owner, used only for answers and to score decisions.

    Two accounts of one person share `person_id`.
    """

    person_id: int
    mail: str
    sampled: SampledPerson
    family: tuple[str, ...]
    institution: Place | None
    number: int
    text: str | None = None
    hostile_kind: str | None = None

    @property
    def kind(self) -> str:
        return self.sampled.kind

    @property
    def facts(self) -> dict[str, str]:
        """The values of the slots of templates."""
        facts = _describe_given_name(self.sampled) | _describe_family(self.family)
        if self.institution is not None:
            facts |= self.institution.facts
        facts["name"] = f"{facts['given']} {facts['fl']}".strip()
        facts["family"] = facts["fl"] or facts["given"]
        facts["n"] = str(self.number)
        facts["k"] = "" if self.person_id < _UNIQUE else str(self.person_id)
        return facts


class QuickRandom(Random):
    """A random stream whose `choice` takes a third of the time, and is as fair for short sequences."""

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[int(self.random() * len(seq))]


def fill(template: str, facts: dict[str, Any]) -> str:
    """Replace the slots of a template. One that begins with `~` gives small letters, one with `^` capitals."""
    if "{" not in template:
        return template
    text = template.format_map(facts)
    mark = text[:1]
    return text[1:].lower() if mark == "~" else text[1:].title() if mark == "^" else text


@cache
def _describe_given_name(sampled: SampledPerson) -> dict[str, str]:
    given = sampled.given
    names = {"gn": given[0], "given": (given * 2)[1], "a": given[-1].lower(), "A": given[-1].title()}
    return load_sample().countries[sampled.country] | {"kind": sampled.kind, "region": sampled.region} | names


@cache
def _describe_family(family: tuple[str, ...]) -> dict[str, str]:
    return {"fn": family[0], "fl": (family * 2)[1], "b": family[-1].lower(), "B": family[-1].title()}


class PeopleDrawer:
    """Draws people; the same random stream and the same calls give the same people."""

    def __init__(self, rng: Random, preset: str) -> None:
        self.accounts: list[HubAccount] = []
        self.personas: list[Persona] = []
        self._rng = rng
        sample = load_sample()
        self._people = sample.people[preset]
        self._mails = [mail for mail, share in sample.shares[preset].items() for _ in range(share)]
        self._places = sample.places
        self.universities = [place for place in sample.places if place.form.startswith("university")]
        self.students = [sampled for sampled in self._people["academic"] if sampled.kind == "student"]
        self._home = rng.choice(self.universities) if preset == "class" else None
        self._hostile = [pair for pair in load_hostile_texts() if len(pair[1]) <= 60]
        self._families: dict[str, list[tuple[str, ...]]] = {}
        for sampled in (
            *sample.bots,
            *(one for kinds in sample.people.values() for many in kinds.values() for one in many),
        ):
            self._families.setdefault(sampled.culture, []).append(sampled.family)
        self._usernames: set[str] = set()
        self._machines = [f"{rng.getrandbits(40):010x}" for _ in range(8)]
        self._orgs: dict[str, tuple[str, str, str]] = {}  # id, name and full name

    def add_person(
        self,
        created_ms: int,
        mail: str = "",
        sampled: SampledPerson | None = None,
        place: Place | None = None,
        text: str | None = None,
        number: int = 0,
    ) -> int:
        """Add a person and return their position; what is not given is drawn."""
        rng = self._rng
        mail = mail or rng.choice(self._mails)
        sampled = sampled or rng.choice(self._people[mail])
        if sampled.place is not None and place is None:
            place = self._places[sampled.place]
        if self._home is not None and mail in {"academic", "free"} and rng.random() < 0.97:
            place = self._home
        hostile, fullname = rng.choice(self._hostile) if rng.random() < _HOSTILE_NAMES else (None, "")
        family = rng.choice(self._families[sampled.culture])
        number = number or rng.randrange(10, 10_000)
        persona = Persona(len(self.accounts), mail, sampled, family, place, number, text, hostile)
        facts = persona.facts
        username = self._make_unique(fill(sampled.username, facts))
        if rng.random() < 0.001 and self.accounts and self.accounts[-1].username[0].islower():
            username = self.accounts[-1].username.capitalize()  # differs from another username only by a capital letter
        facts["username"] = username
        if place is not None:
            facts["staff"] = place.staff[number % len(place.staff)]
            facts["student"] = place.students[number % len(place.students)]
        email = None if sampled.email is None else fill(sampled.email, facts)
        return self._add_account(
            persona, username, fullname if hostile else fill(sampled.fullname, facts), email, created_ms
        )

    def add_twin(self, created_ms: int) -> int:
        """Add another account of the last person: another username, and the same mailbox in another spelling."""
        account = self.accounts[-1]
        username = self._make_unique(f"{account.username.rstrip('0123456789')}{self._rng.randrange(10, 100)}")
        mailbox, at, domain = (account.email or "").rpartition("@")
        email = self._rng.choice((f"{mailbox}+hf@{domain}", f"{mailbox.title()}@{domain}")) if at else None
        return self._add_account(
            self.personas[-1], username, account.fullname, email, max(created_ms, account.created_ms)
        )

    def _make_unique(self, base: str) -> str:
        """Return a username that is unique regardless of case; the only exception is in `add_person`."""
        base = base[:40].strip("-_.")
        stem = base = base if len(base) > 1 else f"{base}-hf"
        while base.lower() in self._usernames:
            base = f"{stem[:34]}{self._rng.randrange(1000 if len(self._usernames) < 5000 else 100_000)}"
        self._usernames.add(base.lower())
        return base

    def _get_org(self, place: Place) -> tuple[str, str, str]:
        number = len(self._orgs)
        hub_id = f"{0x5F000000 + number * 86_413:08x}{self._machines[0]}{number:06x}"
        return self._orgs.setdefault(place.name, (hub_id, place.staff[0].replace(".", "-"), place.name))

    def _add_account(self, persona: Persona, username: str, fullname: str, email: str | None, created_ms: int) -> int:
        r = self._rng.random
        index = len(self.accounts)
        is_human = persona.kind != "bot"
        place = persona.institution
        orgs = (self._get_org(place),) if place is not None and r() < 0.07 else ()
        is_verified = persona.mail in {"academic", "company"} and r() < 0.6
        is_active = is_human and r() < 0.45
        account = HubAccount(
            id=f"{created_ms // 1000:08x}{self._machines[index & 7]}{index * 7919 & 0xFFFFFF:06x}",
            username=username,
            fullname=fullname[:MAX_NAME],
            email=email,
            is_pro=is_human and r() < 0.04,
            verified_orgs=tuple(name for _, name, _ in orgs if is_verified),
            orgs=orgs,
            counts=(int(r() ** 4 * 60), int(r() ** 5 * 25), int(r() ** 7 * 300)) if is_active else (0, 0, 0),
        )
        self.accounts.append(account)
        self.personas.append(persona)
        return index
