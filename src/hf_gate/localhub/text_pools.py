"""Loads the texts from which invented people and answers are drawn. `tools/make_pools.py` creates the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import msgspec

from ..decoding import decode_json


class Culture(msgspec.Struct, frozen=True, gc=False):
    """The names of a culture as columns: native script, Latin letters, ASCII. `order` is `given` or `family` first."""

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


class Institution(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a person works or studies. Universities and their domains are real; hospitals and companies are invented."""

    kind: str
    country: str
    name: str
    short: str
    staff: tuple[str, ...]
    students: tuple[str, ...]
    local: str
    misspelt: str


class AnswerTexts(msgspec.Struct, frozen=True, gc=False):
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
    places: tuple[Institution, ...]
    texts: AnswerTexts


@cache
def load_pools() -> Pools:
    return decode_json(Path(__file__).with_name("pools.json").read_bytes(), Pools)


def seed_random(name: str) -> Random:
    """Return a random stream that depends only on its name, on every machine."""
    return Random(name)
