"""Draws invented e-mail addresses by class. Never send e-mail to them."""

from __future__ import annotations

from random import Random
from typing import Final

from .text_pools import Institution

# Out of 1,000 people of a preset. The shares are assumptions, because no figures for the Hub are published;
# see docs/generator.md.
CLASSES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "consumer": (
        ("free", 800),
        ("company", 95),
        ("academic", 78),
        ("relay", 12),
        ("disposable", 6),
        ("lookalike", 4),
        ("odd", 3),
        ("absent", 2),
    ),
    "medical": (
        ("free", 450),
        ("academic", 450),
        ("company", 82),
        ("relay", 6),
        ("disposable", 3),
        ("lookalike", 5),
        ("odd", 2),
        ("absent", 2),
    ),
    "class": (
        ("academic", 830),
        ("free", 150),
        ("company", 10),
        ("relay", 5),
        ("disposable", 2),
        ("lookalike", 1),
        ("odd", 1),
        ("absent", 1),
    ),
}
_FREE: Final[dict[str, str]] = {
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
DISPOSABLE_DOMAINS: Final = (
    "mailinator.com",
    "guerrillamail.com",
    "yopmail.com",
    "10minutemail.com",
    "trashmail.com",
    "sharklasers.com",
    "maildrop.cc",
)
RELAY_DOMAINS: Final = (
    "privaterelay.appleid.com",
    "users.noreply.github.com",
    "duck.com",
    "gmail.com",
    "simplelogin.com",
)
_LOOKALIKE: Final = (
    "gmail.com.example.org",
    "harvard.edu.example.net",
    "stanf0rd-edu.test",
    "ox.\u0430\u0441.example.org",
    "mit.edu.invalid",
    "tsinghua-edu.test",
    "alumni.cam-ac-uk.example.org",
    "edu.example.com",
    "gmaill.test",
    "student.oxford.invalid",
)
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def _expand_weights(text: str) -> tuple[str, ...]:
    """Return a table of about 200 entries for random indexing, which is faster than weighted choices."""
    pairs = [part.split(":") for part in text.split()]
    total = sum(float(weight) for _, weight in pairs)
    return tuple(domain for domain, weight in pairs for _ in range(max(1, round(200 * float(weight) / total))))


FREE_DOMAINS: Final = {country: _expand_weights(text) for country, text in _FREE.items()}


def draw_free_address(rng: Random, country: str, given: str, family: str) -> str:
    r = rng.random
    table = FREE_DOMAINS.get(country) or FREE_DOMAINS[""]
    domain = table[int(r() * len(table))]
    number = int(10 + r() * 9980) if r() < 0.7 else int(1970 + r() * 40)
    if domain in ("qq.com", "foxmail.com") and r() < 0.85:
        return f"{int(3e8 + r() * 3.2e9)}@{domain}"
    style = r()
    if style < 0.4:
        return f"{given}{family}{number}@{domain}"
    if style < 0.6:
        return f"{given}.{family}{number}@{domain}"
    if style < 0.75:
        return f"{given[0]}{family}{number}@{domain}"
    if style < 0.9:
        return f"{given}{number}{_LETTERS[int(r() * 26)]}@{domain}"
    return f"{family}{given[:2]}.{number}@{domain}"


def draw_institution_address(rng: Random, place: Institution, given: str, family: str, *, student: bool) -> str:
    r = rng.random
    domains = place.students if student else place.staff
    domain = domains[int(r() * len(domains))]
    style = r()
    if place.kind != "university":
        return (
            f"{given}.{family}@{domain}"
            if style < 0.6
            else f"{given[0]}{family}@{domain}"
            if style < 0.9
            else f"{given}@{domain}"
        )
    if student and style < 0.4:
        return f"{family[:1]}{given[:2]}{int(21e5 + r() * 4e5)}@{domain}"
    if style < 0.7:
        return f"{given}.{family}{int(2 + r() * 97)}@{domain}"
    return f"{given[:1]}{family[:6]}{int(11 + r() * 988)}@{domain}"


def _draw_letters(rng: Random, length: int) -> str:
    return "".join(_LETTERS[int(rng.random() * 36)] for _ in range(length))


def draw_odd_address(rng: Random, given: str, family: str) -> str:
    forms = (
        f'"{given} {family}"@example.org',
        f"{given.upper()}.{family.upper()}@EXAMPLE.ORG",
        f"{given}@b\u00fccher.test",
        f"{given}@{family}@example.net",
        f"{given}.{family}@example.com.",
        f"{given}..{family}@example.org",
        f"{given}@{'.'.join(['subdomain' * 5] * 4)}.example.org",
        f"{given}@localhost.test",
        f"{given}.{family}+a+b+c@mail.example.org",
    )
    return forms[int(rng.random() * len(forms))]


def draw_unusual_address(rng: Random, kind: str, given: str, family: str) -> str | None:
    """Return an address of the classes relay, disposable, lookalike or odd; None for absent."""
    number = int(rng.random() * 9000 + 1000)
    if kind == "relay":
        domain = RELAY_DOMAINS[int(rng.random() * len(RELAY_DOMAINS))]
        if domain == "gmail.com":
            return f"{given}{family}{number}+hf@{domain}"
        return (
            f"{number}{given}+{family}{number}@{domain}"
            if domain.startswith("users.")
            else f"{_draw_letters(rng, 10)}@{domain}"
        )
    if kind == "disposable":
        return f"{_draw_letters(rng, 9)}@{DISPOSABLE_DOMAINS[int(rng.random() * len(DISPOSABLE_DOMAINS))]}"
    if kind == "lookalike":
        return f"{given}.{family}{number % 100}@{_LOOKALIKE[int(rng.random() * len(_LOOKALIKE))]}"
    return draw_odd_address(rng, given, family) if kind == "odd" else None


def vary_spelling(rng: Random, address: str) -> str:
    """Return the same mailbox in another spelling: dots, a tag or capitals."""
    local, _, domain = address.rpartition("@")
    choice = rng.random()
    if domain == "gmail.com" and choice < 0.5 and len(local) > 4:
        at = 2 + int(rng.random() * (len(local) - 3))
        dotted = local.replace(".", "")
        return f"{dotted[:at]}.{dotted[at:]}@{domain}" if at < len(dotted) else f"{dotted}@{domain}"
    if choice < 0.75:
        return f"{local}+{('hf', 'ml', '2', 'data')[int(rng.random() * 4)]}@{domain}"
    return f"{local.title()}@{domain}"
