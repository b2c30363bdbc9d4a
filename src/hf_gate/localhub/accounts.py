"""Generates invented people: their names, the account that the Hub shows, and the facts about its owner."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

import msgspec

from ..domain.normalization import normalize
from . import email_addresses
from .hostile_texts import NAMES
from .records import HubAccount
from .text_pools import Country, Culture, Institution, Pools


class InventedName(NamedTuple):
    """A person's name: `shown_...` is in the script of the profile, `plain_...` in ASCII letters."""

    given: str
    family: str
    plain_given: str
    plain_family: str
    shown_given: str
    shown_family: str
    joint: str
    is_family_first: bool


# The share of people of a culture who write their name in that culture's own script.
_NATIVE_SHARE: Final = {"zh": 0.5, "tw": 0.5, "ja": 0.5, "ko": 0.45, "ru_m": 0.35, "ru_f": 0.35, "hi": 0.5, "ta": 0.5}
_EMOJI: Final = ("🤗", "🚀", "🔥", "🌱", "✨", "🐙", "🎧", "☕", "🦙", "🏔️")
_TITLES: Final = ("Dr. {}", "{} (she/her)", "{} (he/him)", "Prof. {}", "{}, PhD", "{} MD", "Mr {}")
_RARE: Final = (
    "Siobhan O'Brien",
    "X Æ",
    "Q",
    "\uff2e\uff41\uff4f\uff4b\uff49\u3000\uff33\uff41\uff54\uff4f",  # full-width Latin
    "\u0130pek Y\u0131ld\u0131z",  # dotted and dotless I
    "Jörg Straßenmeyer",
    "يوسف 2024 حداد",
    "Jean-Baptiste de la Tour d'Auvergne-Lémery",
    "d'Artagnan",
    "李",
    "María del Pilar Fernández-Cabezón y Ruiz de Villanueva de los Infantes y Montemayor Alcántara",
    "Þórdís Ægisdóttir",
    "Åse-Marie Øvergård",
    "the one who trains models at night",
    "R2",
    "von der Heide",
    "AI Team",
)
_ORG_LIKE: Final = ("ai", "lab", "research", "ml", "group", "data", "tech", "nlp")


def draw_name(rng: Random, name: str, culture: Culture) -> InventedName:
    g, f = int(rng.random() * len(culture.given[0])), int(rng.random() * len(culture.family[0]))
    (native_given, given, plain_given), (native_family, family, plain_family) = (
        [column[at] for column in columns] for columns, at in ((culture.given, g), (culture.family, f))
    )
    first = culture.order == "family"
    if native_given != given and rng.random() < _NATIVE_SHARE.get(name, 0.4):
        return InventedName(given, family, plain_given, plain_family, native_given, native_family, culture.joint, first)
    first = first and (native_given == given or rng.random() < 0.25)
    return InventedName(given, family, plain_given, plain_family, given, family, " ", first)


def draw_full_name(rng: Random, name: InventedName, username: str) -> str:
    """Return what a profile shows: mostly the name, else part of it, the username, nothing, extras or something rare."""
    r = rng.random
    style = r()
    parts = (name.shown_family, name.shown_given) if name.is_family_first else (name.shown_given, name.shown_family)
    written = name.joint.join(parts)
    if style < 0.76:
        return written if r() < 0.97 else written.lower() if r() < 0.7 else written.upper()
    if style < 0.86:
        return name.shown_given if r() < 0.8 else name.shown_family
    if style < 0.955:
        return username if style < 0.92 else ""
    if style < 0.98:
        return f"{written} {_EMOJI[int(r() * len(_EMOJI))]}"
    if style < 0.99:
        return _TITLES[int(r() * len(_TITLES))].format(written)
    return normalize("NFD", written) if r() < 0.3 else _RARE[int(r() * len(_RARE))]


def draw_username(rng: Random, name: InventedName, handles: dict[str, tuple[str, ...]]) -> str:
    """Return a username that may be taken."""
    r, given, family = rng.random, name.plain_given, name.plain_family
    style = r()
    if style < 0.35:
        number = str(int(r() * 9000 + 10)) if r() < 0.75 else ""
        base = (f"{given}{family}", f"{given}-{family}", given[0] + family, family + given[0], given)[
            int(r() * 5)
        ] + number
    elif style < 0.70:
        first, second = handles["first"], handles["second"]
        base = first[int(r() * len(first))] + ("-" if r() < 0.4 else "") + second[int(r() * len(second))]
        base += str(int(r() * 999)) if r() < 0.6 else ""
    elif style < 0.80:
        base = family[:4] + given[:2] + str(int(16 + r() * 10)) + (str(int(r() * 900)) if r() < 0.5 else "")
    elif style < 0.85:
        base = f"{family}-{_ORG_LIKE[int(r() * len(_ORG_LIKE))]}"
    elif style < 0.95:
        base = handles["words"][int(r() * len(handles["words"]))] + (str(int(r() * 99)) if r() < 0.4 else "")
    else:
        base = given.title() + family.title()
    if r() < 0.012:  # characters that the Hub allows in repo names; unknown whether it allows them in usernames
        base = base.replace("-", "_") if "-" in base else f"{base}_{int(r() * 9)}" if r() < 0.6 else f"{given}.{family}"
    return base


MAX_NAME: Final = 96


class Persona(msgspec.Struct, frozen=True, gc=False):
    """The facts about an account's owner, used only for answers and the oracle.

    Two accounts of one person share `person_id`.
    """

    person_id: int
    kind: str
    mail: str
    given: str
    family: str
    is_family_first: bool
    institution: Institution | None
    country: Country
    text: str | None = None
    hostile_kind: str | None = None

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


# The kinds of person by class of e-mail address, out of 20.
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "academic": ("student",) * 12 + ("academic",) * 8,
    "company": ("industry",) * 20,
    "": ("student",) * 8 + ("hobbyist",) * 3 + ("industry",) * 5 + ("academic",) * 4,
}
_INSTITUTION_KIND: Final = {
    "student": "university",
    "academic": "university",
    "clinician": "hospital",
    "industry": "company",
}


class PersonGenerator:
    """Draws people from a seed; the same seed and the same calls give the same people."""

    def __init__(self, pools: Pools, rng: Random, preset: str, home: Institution | None = None) -> None:
        self.accounts: list[HubAccount] = []
        self.personas: list[Persona] = []
        self._pools, self._rng, self._preset, self._home = pools, rng, preset, home
        self._seen: set[str] = set()
        self._machines = tuple(f"{rng.getrandbits(40):010x}" for _ in range(8))
        self._classes = _expand_weights(email_addresses.CLASSES[preset])
        self._countries = tuple(country for country in pools.countries for _ in range(country.weight))
        self._by_code = {country.code: country for country in pools.countries}
        self._cultures = {country.code: _expand_weights(country.cultures) for country in pools.countries}
        self._places: dict[tuple[str, str], list[Institution]] = {}
        for place in pools.places:
            for key in ((place.kind, place.country), (place.kind, "")):
                self._places.setdefault(key, []).append(place)
        self._orgs: dict[str, tuple[str, str, str]] = {}  # id, name and full name

    def add_person(self, created_ms: int, *, course: tuple[Institution, str] | None = None) -> None:
        """Add a person; `course` is the university of a class and the text that the whole class sends."""
        rng = self._rng
        r = rng.random
        country = self._countries[int(r() * len(self._countries))]
        mail_class = "academic" if course else self._classes[int(r() * len(self._classes))]
        kind = "student" if course else self._draw_kind(mail_class)
        place = course[0] if course else self._draw_institution(kind, mail_class, country.code)
        kind = kind if place is not None else "hobbyist"
        if place is not None and place.country != country.code and r() < 0.6:
            country = self._by_code[place.country]
        cultures = self._cultures[country.code]
        culture = cultures[int(r() * len(cultures))]
        name = draw_name(rng, culture, self._pools.cultures[culture])
        username = self._make_unique(draw_username(rng, name, self._pools.texts.handles))
        if r() < 0.001 and self.accounts and self.accounts[-1].username[0].islower():
            username = self.accounts[-1].username.capitalize()  # differs from another username only by a capital letter
        email = self._draw_email(mail_class, kind, place, country.code, name)
        hostile, fullname = NAMES[int(r() * len(NAMES))] if r() < 0.001 else (None, draw_full_name(rng, name, username))
        persona = Persona(
            person_id=len(self.accounts),
            kind=kind,
            mail=mail_class,
            given=name.given,
            family=name.family,
            is_family_first=name.is_family_first,
            institution=place,
            country=country,
            text=course[1] if course else None,
            hostile_kind=hostile,
        )
        self._append_account(persona, username, fullname, email, created_ms)

    def add_twin(self, created_ms: int) -> None:
        """Add another account of the last person: another username, and the same mailbox in another spelling."""
        account, persona = self.accounts[-1], self.personas[-1]
        username = self._make_unique(account.username.rstrip("0123456789") + str(int(self._rng.random() * 90 + 10)))
        email = email_addresses.vary_spelling(self._rng, account.email) if account.email else None
        self._append_account(persona, username, account.fullname, email, max(created_ms, account.created_ms))

    def add_bot(self, created_ms: int, stem: str, number: int, domain: str) -> None:
        """Add one of a series of automatically created accounts."""
        username = self._make_unique(f"{stem}{number}")
        persona = Persona(
            person_id=len(self.accounts),
            kind="bot",
            mail="disposable",
            given=username,
            family="",
            is_family_first=False,
            institution=None,
            country=self._countries[number * 7919 % len(self._countries)],
            text="research",
        )
        self._append_account(persona, username, username, f"{username}@{domain}", created_ms)

    # --- parts -------------------------------------------------------------------------------------------------

    def _draw_kind(self, mail_class: str) -> str:
        kinds = _KINDS.get(mail_class, _KINDS[""])
        kind = kinds[int(self._rng.random() * len(kinds))]
        clinical = self._preset == "medical" and kind != "student" and mail_class != "academic"
        return "clinician" if clinical and self._rng.random() < 0.6 else kind

    def _draw_institution(self, kind: str, mail_class: str, country: str) -> Institution | None:
        r = self._rng.random
        if self._home is not None and mail_class in {"academic", "free"} and r() < 0.97:
            return self._home
        wanted = _INSTITUTION_KIND.get(kind)
        if wanted is None or (mail_class not in {"academic", "company"} and r() < 0.05):
            return None
        places = self._places.get((wanted, country)) or self._places[wanted, ""]
        return places[int(r() * len(places))]

    def _draw_email(
        self, mail_class: str, kind: str, place: Institution | None, country: str, name: InventedName
    ) -> str | None:
        given, family = name.plain_given, name.plain_family
        if mail_class in {"academic", "company"} and place is not None:
            return email_addresses.draw_institution_address(self._rng, place, given, family, student=kind == "student")
        if mail_class == "free":
            return email_addresses.draw_free_address(self._rng, country, given, family)
        return email_addresses.draw_unusual_address(self._rng, mail_class, given, family)

    def _make_unique(self, base: str) -> str:
        """Return a username that is unique regardless of case; the only exception is in `add_person`."""
        base = base[:40].strip("-_.")
        stem = base = base if len(base) > 1 else f"{base}-hf"
        while base.lower() in self._seen:
            base = f"{stem[:34]}{int(self._rng.random() * (970 if len(self._seen) < 5000 else 97_000))}"
        self._seen.add(base.lower())
        return base

    def _get_org(self, place: Institution) -> tuple[str, str, str]:
        org = self._orgs.get(place.name)
        if org is None:
            second = 0x5F000000 + len(self._orgs) * 86_413
            identifier = f"{second:08x}{self._machines[0]}{len(self._orgs):06x}"
            org = self._orgs[place.name] = (identifier, place.staff[0].replace(".", "-"), place.name)
        return org

    def _append_account(
        self, persona: Persona, username: str, fullname: str, email: str | None, created_ms: int
    ) -> None:
        r, index, human = self._rng.random, len(self.accounts), persona.kind != "bot"
        place = persona.institution
        org = self._get_org(place) if place is not None and r() < 0.07 else None
        is_verified = org is not None and persona.mail in {"academic", "company"} and r() < 0.6
        active = human and r() < 0.45
        account = HubAccount(
            id=f"{created_ms // 1000:08x}{self._machines[index & 7]}{index * 7919 & 0xFFFFFF:06x}",
            username=username,
            fullname=fullname[:MAX_NAME],
            email=email,
            is_pro=human and r() < 0.04,
            verified_orgs=(org[1],) if org is not None and is_verified else (),
            orgs=() if org is None else (org,),
            counts=(int(r() ** 4 * 60), int(r() ** 5 * 25), int(r() ** 7 * 300)) if active else (0, 0, 0),
        )
        self.accounts.append(account)
        self.personas.append(persona)


def _expand_weights(weights: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(name for name, weight in weights for _ in range(weight))
