"""The frozen words that invented people and their answers are drawn from; `tools/make_pools.py` made the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import msgspec


class Culture(msgspec.Struct, frozen=True, gc=False):
    """Names as columns: native script, Latin letters, ASCII lower case; `order` is `given` or `family` first."""

    order: str
    joint: str
    given: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    family: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


class Country(msgspec.Struct, frozen=True, gc=False, array_like=True):
    code: str
    english: str
    local: str
    weight: int
    cultures: tuple[tuple[str, int], ...]
    regions: tuple[str, ...]
    language: str


class Place(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where somebody works or studies. Universities are real and so are their domains; hospitals and companies are invented."""

    kind: str
    country: str
    name: str
    short: str
    staff: tuple[str, ...]
    students: tuple[str, ...]
    local: str
    misspelt: str


class Texts(msgspec.Struct, frozen=True, gc=False):
    openers: tuple[str, ...]
    contexts: tuple[str, ...]
    extras: tuple[str, ...]
    course_contexts: tuple[str, ...]
    course_extras: tuple[str, ...]
    departments: tuple[str, ...]
    clinical_departments: tuple[str, ...]
    independent: tuple[str, ...]
    tasks: dict[str, tuple[str, ...]]
    llm: dict[str, tuple[str, ...]]
    shared: dict[str, tuple[str, ...]]
    thin: dict[str, tuple[str, ...]]
    junk: dict[str, tuple[str, ...]]
    jobs: dict[str, tuple[str, ...]]
    languages: dict[str, tuple[str, ...]]
    names_of_languages: dict[str, tuple[str, ...]]
    handles: dict[str, tuple[str, ...]]


class Pools(msgspec.Struct, frozen=True):
    cultures: dict[str, Culture]
    countries: tuple[Country, ...]
    places: tuple[Place, ...]
    texts: Texts


@cache
def pools() -> Pools:
    return msgspec.json.decode(Path(__file__).with_name("pools.json").read_bytes(), type=Pools)


def chance(name: str) -> Random:
    """A stream of chance that depends on its name alone, the same on every machine."""
    return Random(name)
