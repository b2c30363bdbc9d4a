"""Draws the people of the sample: name, profile name, username and e-mail address, the last three as templates.

A template names parts of the person that reads it, because `hf_gate.localhub.population.people` gives a drawn person another family name
and another number: {gn} and {fn} are given and family name as their owner writes them, {given} and {fl} in Latin letters, {a} and
{b} in ASCII, {A} and {B} with capitals, {n} is a number, {k} a number or nothing, {staff} and {student} are domains.
"""

from __future__ import annotations

import unicodedata
from random import Random
from typing import Any

# Out of 1,000 people of a preset. The shares are assumptions, because no figures for the Hub are published;
# see docs/internals/generator.md.
SHARES: dict[str, dict[str, int]] = {
    "consumer": {
        "free": 800, "company": 95, "academic": 78, "relay": 12, "disposable": 6, "lookalike": 4, "odd": 3, "absent": 2,
    },
    "medical": {
        "free": 450, "academic": 450, "company": 82, "relay": 6, "disposable": 3, "lookalike": 5, "odd": 2, "absent": 2,
    },
    "class": {
        "academic": 830, "free": 150, "company": 10, "relay": 5, "disposable": 2, "lookalike": 1, "odd": 1, "absent": 1,
    },
}  # fmt: skip
SIZES = {"consumer": 800, "medical": 560, "class": 380}  # people of each preset in the sample
LEAST = 10  # people of each kind of address
FREE: dict[str, str] = {
    "": "gmail.com:86 outlook.com:5 hotmail.com:3 yahoo.com:2.5 icloud.com:1.5 proton.me:1.2 protonmail.com:.5 live.com:.3",
    "CN": "qq.com:44 gmail.com:25 163.com:15 126.com:5 outlook.com:8 foxmail.com:2 icloud.com:1",
    "TW": "gmail.com:92 yahoo.com.tw:4 hotmail.com:2 icloud.com:2",
    "KR": "gmail.com:76 naver.com:19 daum.net:3 kakao.com:2",
    "JP": "gmail.com:85 yahoo.co.jp:9 outlook.jp:3 icloud.com:3",
    "RU": "gmail.com:62 mail.ru:16 yandex.ru:18 proton.me:2 bk.ru:2",
    "DE": "gmail.com:68 gmx.de:11 web.de:8 outlook.de:4 posteo.de:3 t-online.de:3 proton.me:3",
    "FR": "gmail.com:82 hotmail.fr:7 orange.fr:4 free.fr:3 outlook.fr:2 proton.me:2",
    "IT": "gmail.com:86 libero.it:7 hotmail.it:4 outlook.it:3",
    "BR": "gmail.com:86 hotmail.com:7 outlook.com:4 yahoo.com.br:3",
    "CZ": "gmail.com:72 seznam.cz:24 email.cz:4",
    "PL": "gmail.com:84 wp.pl:8 o2.pl:5 onet.pl:3",
    "UA": "gmail.com:88 ukr.net:12",
    "US": "gmail.com:82 outlook.com:5 yahoo.com:5 icloud.com:3.5 hotmail.com:2 proton.me:1.5 aol.com:1",
}
DISPOSABLE = (
    "mailinator.com", "guerrillamail.com", "yopmail.com", "10minutemail.com", "trashmail.com", "sharklasers.com", "maildrop.cc",
)  # fmt: skip
RELAYS = (
    "privaterelay.appleid.com", "users.noreply.github.com", "duck.com", "gmail.com", "simplelogin.com",
)  # fmt: skip
LOOKALIKES = (
    "gmail.com.example.org", "harvard.edu.example.net", "stanf0rd-edu.test", "ox.\u0430\u0441.example.org", "mit.edu.invalid",
    "tsinghua-edu.test", "alumni.cam-ac-uk.example.org", "edu.example.com", "gmaill.test", "student.oxford.invalid",
)  # fmt: skip
ODD = (
    '"{a} {b}{k}"@example.org',
    "{A}.{B}{k}@EXAMPLE.ORG",
    "{a}{k}@b\u00fccher.test",
    "{a}{k}@{b}@example.net",
    "{a}.{b}{k}@example.com.",
    "{a}..{b}{k}@example.org",
    f"{{a}}{{k}}@{'.'.join(['subdomain' * 5] * 4)}.example.org",
    "{a}{k}@localhost.test",
    "{a}.{b}{k}+a+b+c@mail.example.org",
)
BOT_STEMS = ("datauser", "mluser", "getmodel", "hfreader", "airesearch")
BOT_DOMAINS = ("mailinator.com", "yopmail.com", "guerrillamail.com")

# The share of people of a culture who write their name in that culture's own script.
NATIVE_SHARES = {"zh": 0.5, "tw": 0.5, "ja": 0.5, "ko": 0.45, "ru_m": 0.35, "ru_f": 0.35, "hi": 0.5, "ta": 0.5}
EMOJI = ("🤗", "🚀", "🔥", "🌱", "✨", "🐙", "🎧", "☕", "🦙", "🏔️")
TITLES = ("Dr. NAME", "NAME (she/her)", "NAME (he/him)", "Prof. NAME", "NAME, PhD", "NAME MD", "Mr NAME")
RARE_NAMES = (
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
# The kinds of person by class of e-mail address, out of 20.
KINDS: dict[str, list[str]] = {
    "academic": ["student"] * 12 + ["academic"] * 8,
    "company": ["industry"] * 20,
    "": ["student"] * 8 + ["hobbyist"] * 3 + ["industry"] * 5 + ["academic"] * 4,
}
WORKPLACES = {"student": "university", "academic": "university", "clinician": "hospital", "industry": "company"}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class PeopleSampler:
    """Draws rows of the sample; a country and a place are given as their positions in `countries` and `places`."""

    def __init__(self, pools: dict[str, Any], rng: Random) -> None:
        self._pools = pools
        self._rng = rng
        self._codes = [country[0] for country in pools["countries"]]
        self._weights = [country[3] for country in pools["countries"]]

    def draw_people(self, preset: str) -> dict[str, list[list[Any]]]:
        """Return the rows of a preset by kind of e-mail address."""
        shares = SHARES[preset]
        counts = {mail: max(LEAST, SIZES[preset] * share // 1000) for mail, share in shares.items()}
        people = {mail: [self._draw_person(preset, mail, i) for i in range(count)] for mail, count in counts.items()}
        self._add_rare_names(people["free"])
        people["free"] += self._draw_writers_of_every_script()
        return people

    def draw_bots(self) -> list[list[Any]]:
        """Return the rows of machine-made accounts; each series repeats one of them."""
        pairs = [(stem, domain) for stem in BOT_STEMS for domain in BOT_DOMAINS]
        rows = []
        for stem, domain in pairs:
            country = self._rng.randrange(len(self._codes))
            nameless = [""]
            row = [
                "bot",
                "bot",
                country,
                "",
                None,
                [stem],
                nameless,
                "{username}",
                f"{stem}{{n}}",
                f"{{username}}@{domain}",
            ]
            rows.append(row)
        return rows

    def _draw_person(self, preset: str, mail: str, index: int) -> list[Any]:
        rng = self._rng
        country = rng.choices(range(len(self._codes)), self._weights)[0]
        kind = rng.choice(KINDS.get(mail, KINDS[""]))
        if preset == "medical" and kind != "student" and mail != "academic" and rng.random() < 0.6:
            kind = "clinician"
        place = self._draw_place(kind, mail, self._codes[country])
        if place is None:
            kind = "hobbyist"
        else:
            home = self._pools["places"][place][1]
            country = self._codes.index(home) if rng.random() < 0.6 else country
        *_, cultures, regions, _ = self._pools["countries"][country]
        culture = rng.choices([name for name, _ in cultures], [weight for _, weight in cultures])[0]
        names = self._pools["cultures"][culture]
        given = rng.choice(list(zip(*names["given"], strict=True)))
        family = rng.choice(list(zip(*names["family"], strict=True)))
        return [
            kind,
            culture,
            country,
            rng.choice(regions),
            place,
            _shorten(given),
            _shorten(family),
            self._draw_full_name(culture, given, family),
            self._draw_username(),
            self._draw_email(mail, kind, place, self._codes[country], index),
        ]

    def _draw_place(self, kind: str, mail: str, country: str) -> int | None:
        wanted = WORKPLACES.get(kind)
        if wanted is None or (mail not in {"academic", "company"} and self._rng.random() < 0.05):
            return None
        places = [i for i, place in enumerate(self._pools["places"]) if place[0] == wanted]
        near = [i for i in places if self._pools["places"][i][1] == country]
        return self._rng.choice(near or places)

    def _draw_full_name(self, culture: str, given: tuple[str, ...], family: tuple[str, ...]) -> str:
        """Return what a profile shows: mostly the name, else part of it, the username, nothing, extras or something rare."""
        rng = self._rng
        names = self._pools["cultures"][culture]
        is_native = given[0] != given[1] and rng.random() < NATIVE_SHARES.get(culture, 0.4)
        is_family_first = names["order"] == "family" and (is_native or given[0] == given[1] or rng.random() < 0.25)
        parts = ["{gn}", "{fn}"] if is_native else ["{given}", "{fl}"]
        shown = dict(zip(("{gn}", "{fn}", "{given}", "{fl}"), (given[0], family[0], given[1], family[1]), strict=True))
        written = (names["joint"] if is_native else " ").join(reversed(parts) if is_family_first else parts)
        style = rng.random()
        if style < 0.738:
            return written
        if style < 0.76:
            return f"~{written}" if rng.random() < 0.7 else " ".join(shown[part] for part in parts).upper()
        if style < 0.86:
            return parts[rng.random() > 0.8]
        if style < 0.955:
            return "{username}" if style < 0.92 else ""
        if style < 0.98:
            return f"{written} {rng.choice(EMOJI)}"
        if style < 0.99:
            return rng.choice(TITLES).replace("NAME", written)
        return unicodedata.normalize("NFD", " ".join(shown[part] for part in parts))

    def _draw_username(self) -> str:
        rng = self._rng
        handles = self._pools["texts"]["handles"]
        style = rng.random()
        if style < 0.35:
            base = rng.choice(("{a}{b}", "{a}-{b}", "{a:.1}{b}", "{b}{a:.1}", "{a}"))
            base += "{n}" if rng.random() < 0.75 else ""
        elif style < 0.70:
            joint = "-" if rng.random() < 0.4 else ""
            base = rng.choice(handles["first"]) + joint + rng.choice(handles["second"])
            base += "{n:.3}" if rng.random() < 0.6 else ""
        elif style < 0.80:
            base = f"{{b:.4}}{{a:.2}}{rng.randrange(16, 26)}" + ("{n:.3}" if rng.random() < 0.5 else "")
        elif style < 0.85:
            base = "{b}-" + rng.choice(("ai", "lab", "research", "ml", "group", "data", "tech", "nlp"))
        elif style < 0.95:
            base = rng.choice(handles["words"]) + ("{n:.2}" if rng.random() < 0.4 else "")
        else:
            base = "{A}{B}"
        if (
            rng.random() < 0.012
        ):  # characters that the Hub allows in repo names; unknown whether it allows them in usernames
            base = base.replace("-", "_") if "-" in base else rng.choice((f"{base}_{{n:.1}}", "{a}.{b}"))
        return base

    def _draw_email(self, mail: str, kind: str, place: int | None, country: str, index: int) -> str | None:
        rng = self._rng
        if mail in {"academic", "company"} and place is not None:
            return self._draw_institution_address(self._pools["places"][place][0], is_student=kind == "student")
        if mail == "relay":
            domain = RELAYS[index % len(RELAYS)]
            if domain == "gmail.com":
                return f"{{a}}{{b}}{{n}}+hf@{domain}"
            return (
                f"{{n}}{{a}}+{{b}}{{n}}@{domain}"
                if domain.startswith("users.")
                else f"{self._draw_letters()}{{n}}@{domain}"
            )
        if mail == "disposable":
            return f"{self._draw_letters()}{{n}}@{DISPOSABLE[index % len(DISPOSABLE)]}"
        if mail == "lookalike":
            return f"{{a}}.{{b}}{{n}}@{LOOKALIKES[index % len(LOOKALIKES)]}"
        if mail == "odd":
            return ODD[index % len(ODD)]
        return None if mail == "absent" else draw_free_address(rng, country)

    def _draw_institution_address(self, workplace: str, *, is_student: bool) -> str:
        rng = self._rng
        domain = "{student}" if is_student else "{staff}"
        style = rng.random()
        if workplace != "university":
            box = "{a}.{b}{k}" if style < 0.6 else "{a:.1}{b}{k}" if style < 0.9 else "{a}{k}"
        elif is_student and style < 0.4:
            box = f"{{b:.1}}{{a:.2}}{rng.randrange(210, 250)}{{n}}"
        else:
            box = "{a}.{b}{n}" if style < 0.7 else "{a:.1}{b:.6}{n}"
        return f"{box}@{domain}"

    def _draw_letters(self) -> str:
        return "".join(self._rng.choices(LETTERS, k=7))

    def _draw_writers_of_every_script(self) -> list[list[Any]]:
        """Return a person for each script of a given name, so that none is missing by chance."""
        rows = []
        scripts = set()
        for country, (*_, cultures, regions, _) in enumerate(self._pools["countries"]):
            culture = cultures[0][0]
            names = self._pools["cultures"][culture]
            family = next(zip(*names["family"], strict=True))
            for given in zip(*names["given"], strict=True):
                script = unicodedata.name(given[0][0]).split()[0]
                if script not in scripts:
                    scripts.add(script)
                    parts = ("{fn}", "{gn}") if names["order"] == "family" else ("{gn}", "{fn}")
                    shown = names["joint"].join(parts)
                    names_and_texts = [_shorten(given), _shorten(family), shown, "{a}{b}{n}", "{a}.{b}{n}@gmail.com"]
                    rows.append(["hobbyist", culture, country, regions[0], None, *names_and_texts])
        return rows

    def _add_rare_names(self, rows: list[list[Any]]) -> None:
        """Give rare names to 0.7 % of the people, each of them to somebody if there are enough people."""
        for number in range(len(rows) * 7 // 1000):
            rows[number * 131 % len(rows)][7] = RARE_NAMES[number % len(RARE_NAMES)]


def _shorten(name: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name without the forms that follow from the others: native, Latin (the same), ASCII (in small letters)."""
    native, latin, plain = name
    if plain != latin.lower():
        return name
    return (latin,) if native == latin else (native, latin)


def draw_free_address(rng: Random, country: str) -> str:
    pairs = [part.split(":") for part in FREE.get(country, FREE[""]).split()]
    domain = rng.choices([name for name, _ in pairs], [float(weight) for _, weight in pairs])[0]
    if domain in {"qq.com", "foxmail.com"} and rng.random() < 0.85:
        return f"{rng.randrange(30_000, 350_000)}{{n}}@{domain}"
    letter = rng.choice(LETTERS[:26])
    boxes = ("{a}{b}{n}", "{a}.{b}{n}", "{a:.1}{b}{n}", f"{{a}}{{n}}{letter}", "{b}{a:.2}.{n}")
    return f"{rng.choices(boxes, (40, 20, 15, 15, 10))[0]}@{domain}"
