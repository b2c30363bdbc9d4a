"""Writes pools.json: the words for the local Hub's invented people and answers.

Usage: python tools/people/make_pools.py (needs Faker, a development dependency)

pools_names.toml (names with romanisation), pools_places.toml and pools_texts.toml are written by hand. Faker gives given and
family names of the Latin, Cyrillic, Greek, Georgian and Armenian cultures, from a seed. The result is committed, so a new
release of Faker changes nothing until this script runs again.
"""

from __future__ import annotations

import json
import random
import re
import tomllib
import unicodedata
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

HERE = Path(__file__).resolve().parent
TARGET = HERE / "pools.json"
SEED = 20261023
NAMES_EACH = 140

Column: TypeAlias = list[str]
Table: TypeAlias = dict[str, list[str]]

LATIN = (
    "en_US en_GB en_IN de_DE fr_FR es_ES es_MX pt_BR it_IT nl_NL tr_TR sv_SE ro_RO hu_HU fi_FI en_NG yo_NG ig_NG en_KE zu_ZA en_PK"
).split()
# Family names that depend on gender: one culture each for men and women, so that no name is like Всеволод Сорокина.
GENDERED = {"ru": "ru_RU", "uk": "uk_UA", "bg": "bg_BG", "el": "el_GR", "pl_PL": "pl_PL", "cs_CZ": "cs_CZ"}
PLAIN = {"ka": "ka_GE", "hy": "hy_AM"}

ROMAN = {
    "cyrillic": dict(
        zip(
            "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґ",
            "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch _ y _ e yu ya i i ye g".split(),
            strict=True,
        )
    ),
    "greek": dict(
        zip("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o".split(), strict=True)
    ),
    "georgian": dict(
        zip(
            "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
            "a b g d e v z t i k l m n o p zh r s t u p k gh q sh ch ts dz ts ch kh j h".split(),
            strict=True,
        )
    ),
    "armenian": dict(
        zip(
            "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆև",
            "a b g d e z e y t zh i l kh ts k h dz gh ch m y n sh o ch p j r s v t r ts u p k o f ev".split(),
            strict=True,
        )
    ),
}
LETTERS = {letter: roman.replace("_", "") for table in ROMAN.values() for letter, roman in table.items()}
FOLDED = str.maketrans({"đ": "d", "ı": "i", "ł": "l", "ø": "o", "ß": "ss", "æ": "ae", "œ": "oe", "ħ": "h"})


def romanise(text: str) -> str:
    text = text.replace("ου", "ou").replace("Ου", "Ou")
    bare = "".join(
        c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c) or c == "\u0306"
    )
    bare = bare.replace("и\u0306", "й").replace("\u0306", "")
    return "".join(LETTERS.get(letter, letter) for letter in bare).title()


def ascii_of(latin: str) -> str:
    folded = unicodedata.normalize("NFD", latin.lower().translate(FOLDED))
    return re.sub(r"[^a-z0-9]", "", folded)


def build_columns(pairs: list[tuple[str, str]]) -> list[Column]:
    """Return native, Latin and ASCII names as columns, without names whose ASCII form is too short for a username."""
    kept = sorted({(native, latin, ascii_of(latin)) for native, latin in pairs if len(ascii_of(latin)) > 1})
    return [list(column) for column in zip(*kept, strict=True)]


def build_culture(
    order: str, joint: str, given: list[tuple[str, str]], family: list[tuple[str, str]]
) -> dict[str, object]:
    return {"order": order, "joint": joint, "given": build_columns(given), "family": build_columns(family)}


def draw_names(locale: str, kind: str) -> Column:
    # Imported here, because only this function needs Faker.
    fake = import_module("faker").Faker(locale, use_weighting=False)
    fake.seed_instance(SEED)
    names: dict[str, None] = {}
    for _ in range(3000):
        name = getattr(fake, kind)()
        if len(name) <= 24 and "." not in name:
            names[name] = None
    return list(names)[:NAMES_EACH]


def build_faker_cultures() -> dict[str, dict[str, object]]:
    found = {}
    for locale in LATIN:
        given, family = draw_names(locale, "first_name"), draw_names(locale, "last_name")
        found[locale] = build_culture("given", " ", [(n, n) for n in given], [(n, n) for n in family])
    for name, locale in [*GENDERED.items(), *PLAIN.items()]:
        for ending, suffix in (("_m", "_male"), ("_f", "_female")) if name in GENDERED else (("", ""),):
            given, family = draw_names(locale, "first_name" + suffix), draw_names(locale, "last_name" + suffix)
            latin = str if "_" in name else romanise
            found[name + ending] = build_culture(
                "given", " ", [(n, latin(n)) for n in given], [(n, latin(n)) for n in family]
            )
    return found


def _parse_glued(text: str) -> list[tuple[str, str]]:
    """Parse `王Wang 李Li` into pairs."""
    return [(m[1], m[2]) for m in re.finditer(r"([^\sA-Za-z]+)([A-Za-z]+)", text)]


def _parse_listed(text: str) -> list[tuple[str, str]]:
    """Parse `native latin;native latin`, or Latin words alone, where `_` means a space."""
    if ";" in text:
        return [(entry.rsplit(" ", 1)[0], entry.rsplit(" ", 1)[1]) for entry in text.split(";")]
    return [(word.replace("_", " "),) * 2 for word in text.split()]


def build_handwritten_cultures() -> dict[str, dict[str, object]]:
    rng = random.Random(SEED)
    found = {}
    for name, entry in tomllib.loads((HERE / "pools_names.toml").read_text("utf-8")).items():
        glued = "syllables" in entry or name == "ja"
        family = _parse_glued(entry["family"]) if glued else _parse_listed(entry["family"])
        if "syllables" in entry:
            parts = _parse_glued(entry["syllables"])
            given = parts[:: 2 if name == "zh" else 9] if name in ("zh", "ko") else []
            given = [(n, r.title()) for n, r in given]
            join = "-" if name == "tw" else ""
            for _ in range(260):
                (a, ra), (b, rb) = rng.sample(parts, 2)
                given.append((a + b, f"{ra}{join}{rb}".capitalize()))
        else:
            given = _parse_glued(entry["given"]) if glued else _parse_listed(entry["given"])
        found[name] = build_culture(entry["order"], entry["joint"], given, family)
    return found


def _parse_rows(text: str) -> list[list[str]]:
    return [line.split("|") for line in text.strip().splitlines()]


def _parse_weights(text: str) -> list[tuple[str, int]]:
    pairs = []
    for part in text.split(","):
        name, _, weight = part.partition(":")
        names = (f"{name}_m", f"{name}_f") if name in GENDERED else (name,)
        pairs += [(each, int(weight or 1)) for each in names]
    return pairs


def misspell(name: str, rng: random.Random) -> str:
    spots = [
        i for i in range(1, len(name) - 2) if name[i : i + 2].isalpha() and name[i].islower() and name[i] != name[i + 1]
    ]
    at = rng.choice(spots) if spots else 0
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :] if rng.random() < 0.5 else name[:at] + name[at + 1 :]


def build_companies(source: Table, countries: list[str], rng: random.Random) -> list[list[object]]:
    text = {key: str(value) for key, value in source.items()}
    found: list[list[object]] = []
    for word in text["company_words"].split():
        for kind in rng.sample(text["company_kinds"].split("|"), 4):
            tail = rng.choice(text["company_tails"].split("|"))
            name = f"{word} {kind} {tail}".strip()
            domain = f"{word}-{kind}.{rng.choice(text['company_domains'].split('|'))}".lower()
            short = word if rng.random() < 0.7 else f"{word} {kind}"
            found.append(["company", rng.choice(countries), name, short, [domain], [domain], "", misspell(name, rng)])
    return found


def build_places(source: Table) -> list[list[object]]:
    rng = random.Random(SEED)
    found: list[list[object]] = []
    for country, name, short, staff, students, local in _parse_rows(str(source["universities"])):
        found.append(
            ["university", country, name, short, staff.split(","), students.split(","), local, misspell(name, rng)]
        )
    for country, name, short, domain, local in _parse_rows(str(source["hospitals"])):
        found.append(["hospital", country, name, short, [domain], [domain], local, misspell(name, rng)])
    codes = [code for code, _, _, weight, *_ in _parse_rows(str(source["countries"])) for _ in range(int(weight))]
    return found + build_companies(source, codes, rng)


def build_pools(cultures: dict[str, dict[str, object]]) -> dict[str, object]:
    source = tomllib.loads((HERE / "pools_places.toml").read_text("utf-8"))
    countries = [
        [code, english, local, int(weight), _parse_weights(names), regions.split(";"), language]
        for code, english, local, weight, names, regions, language in _parse_rows(source["countries"])
    ]
    texts = tomllib.loads((HERE / "pools_texts.toml").read_text("utf-8"))
    return {"cultures": cultures, "countries": countries, "places": build_places(source), "texts": texts}


def main() -> None:
    made = build_pools(build_faker_cultures() | build_handwritten_cultures())
    TARGET.write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
