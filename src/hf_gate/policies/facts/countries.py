"""Finds the one country that an answer names: by code, name, flag, or as the last part of a place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from hf_gate.base.normalization import normalize

_EACH = re.compile(r"\s*(?:[/|;&+、，]|\band\b|\bund\b|\bet\b|\by\b|\bи\b)\s*")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_NO_CODES = {
    "am",
    "as",
    "at",
    "be",
    "by",
    "do",
    "id",
    "in",
    "is",
    "it",
    "la",
    "me",
    "my",
    "na",
    "no",
    "pa",
    "se",
    "so",
    "to",
}
_LIMIT = 200


def country_key(text: str) -> str:
    """Normalise a country name: ignore case, accents, dots and a leading article."""
    if text.isascii():
        return " ".join(text.lower().translate(_LETTERS).split()).removeprefix("the ")
    plain = normalize("NFKD", normalize("NFKC", text)[:_LIMIT]).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char) or ord(char) > 0x0370)
    plain = normalize("NFC", plain)
    plain = " ".join("".join(_letter(char) for char in plain).split())
    return plain.removeprefix("the ")


def _letter(char: str) -> str:
    if char in ".'\u2019`\u02bb":
        return ""
    return char if unicodedata.category(char)[0] in "LMN" else " "


_LETTERS = {code: _letter(chr(code)) for code in range(128)}


def country_code(text: str, names: Mapping[str, str]) -> str | None:
    """Return the alpha-2 code of the only country in a text; None if there is none, or more than one.

    `names` maps values of `country_key` and alpha-3 codes to alpha-2 codes. `Paris, France` gives FR; `France,
    Germany`, `Georgia, USA` and `France or so` give None.
    """
    text = text.strip()[:_LIMIT]
    country = _match_country(text, names)
    if country:
        return country
    codes: set[str | None] = set()
    for part in filter(None, _EACH.split(text)):
        codes |= _codes_in_place(part, names)
    return codes.pop() if len(codes) == 1 else None


def _codes_in_place(text: str, names: Mapping[str, str]) -> set[str | None]:
    """Return the codes in `Town, Region, Country`, with None added if the last part is not a country."""
    parts = [part for part in re.split(r"\s*[,(]\s*|\s+-\s+", text.rstrip(") ")) if part]
    codes = [_match_country(part, names) for part in parts]
    return {code for code in codes if code} | ({None} if not codes or codes[-1] is None else set())


def _match_country(text: str, names: Mapping[str, str]) -> str | None:
    whole = _FLAG.fullmatch(text)
    if whole:
        return names.get("".join(chr(ord(char) - 0x1F1E6 + ord("a")) for char in text))
    key = country_key(_FLAG.sub(" ", text))
    if key in _NO_CODES and not text.isupper():
        return None
    return names.get(key) or names.get(text)
