"""Draws invented people: their names, full names as typed into a profile, and usernames."""

from __future__ import annotations

import unicodedata
from random import Random
from typing import Final, NamedTuple

from .text_pools import Culture


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
    return unicodedata.normalize("NFD", written) if r() < 0.3 else _RARE[int(r() * len(_RARE))]


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
