"""Hides tokens in texts, also tokens that are escaped, broken over lines, or split by characters that nobody sees."""

from __future__ import annotations

import html
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .credentials import Secret

_SHORTEST_TOKEN: Final = 8  # characters; a shorter one is a word, which the text may have for itself
_SHORTEST_SIGNED: Final = 12  # characters after `eyJ`, with or without the dots of a whole token
_HIDDEN: Final = "(token)"
_MAX_ESCAPES: Final = 3  # how often one character may be escaped, such as `%2525 5F`
_ESCAPED: Final = re.compile(
    r"(?P<gone>\x1b\[[0-9;:?]*[mK]|[\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff])"
    r"|(?P<break>\\?(?:\r\n?|\n)[ \t>|]*|\\{1,4}n(?=[A-Za-z0-9_-]))"
    r"|%(?P<percent>[0-9A-Fa-f]{2})"
    r"|\\{1,8}(?:u\{?(?P<code>[0-9A-Fa-f]{4})\}?|x(?P<byte>[0-9A-Fa-f]{2}))"
    r"|(?P<html>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});)"
)
_START: Final = re.compile(
    r"(?P<known>h\n?f\n?_|a\n?p\n?i\n?_\n?o\n?r\n?g\n?_|g\n?a\n?t\n?e\n?_)|(?P<signed>(?<![A-Za-z0-9])eyJ)"
    r"|(?P<basic>(?i:\bbasic)[ \n]+)|(?P<bearer>(?i:\bbearer)[ \n]+)|(?P<address>://)"
)
_WORD: Final = re.compile(r"[A-Za-z0-9_-]*")
_SIGNED: Final = re.compile(r"[\w.-]*")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_ANY: Final = re.compile(r"[^\s'\"<>]*")
_USER: Final = re.compile(r"[^/@\s]*")
_LENGTHS: Final = {"hf_": 34, "api_org_": 34, "gate_": 43}  # characters after the prefix of a whole token
_WRAPPED: Final = 40  # characters; a token of unknown length goes on in the next line after a part as long as this


def hide_tokens(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return the text without these tokens, and without anything that looks like a token.

    A token is found also if it is percent-encoded, written with escapes of JSON or HTML, broken over lines, or split
    by zero-width characters or colours. What follows a token that is shorter than a real one, up to the first blank
    of the next line, counts as its rest.
    """
    view, starts = _decode(text)
    parts = list[str]()
    done = 0
    for start, end in sorted([*_find_tokens(view), *_find_given(view, secrets)]):
        if starts[start] >= done:
            parts += [text[done : starts[start]], _HIDDEN]
        done = max(done, starts[end])
    return "".join([*parts, text[done:]]) if parts else text


def _decode(text: str) -> tuple[str, Sequence[int]]:
    """Return the text without escapes and hidden characters, and where each of its characters begins in `text`.

    A line break is one line feed there, without the indentation that follows.
    """
    view = text
    starts: Sequence[int] = range(len(text) + 1)
    for _ in range(_MAX_ESCAPES):
        pieces = list[str]()
        places = list[int]()
        done = 0
        for found in _ESCAPED.finditer(view):
            plain = _decode_character(found)
            pieces += [view[done : found.start()], plain]
            places += starts[done : found.start()]
            places += [starts[found.start()]] * len(plain)
            done = found.end()
        if not pieces or (changed := "".join([*pieces, view[done:]])) == view:
            break
        view = changed
        starts = [*places, *starts[done:]]
    return view, starts


def _decode_character(found: re.Match[str]) -> str:
    if found["gone"]:
        return ""
    if found["break"]:
        return "\n"
    if found["html"]:
        return html.unescape(found["html"])
    code = int(found["percent"] or found["code"] or found["byte"], 16)
    return "" if found["percent"] and code > 0x7F else chr(code)  # a part of a character, which no token has


def _find_given(view: str, secrets: Iterable[Secret]) -> Iterator[tuple[int, int]]:
    for token in (secret.reveal() for secret in secrets):
        if len(token) >= _SHORTEST_TOKEN:
            pattern = "\n?".join(map(re.escape, token))
            yield from (found.span() for found in re.finditer(pattern, view))


def _find_tokens(view: str) -> Iterator[tuple[int, int]]:
    at = 0
    while found := _START.search(view, at):
        at = found.end()
        if (token := _find_token(view, found)) is not None:
            yield token
            at = max(at, token[1])


def _find_token(view: str, found: re.Match[str]) -> tuple[int, int] | None:
    """Return where a token begins and ends, of which `found` is the first part or the word before it."""
    at = found.end()
    match found.lastgroup:
        case "known":
            prefix = found[0].replace("\n", "")
            end = _find_end(view, at, _WORD, _LENGTHS[prefix])
            is_in_word = found.start() > 0 and view[found.start() - 1].isalnum()
            shortest = _LENGTHS[prefix] - 4 if is_in_word or prefix == "gate_" else _SHORTEST_TOKEN
            return (found.start(), end) if end - at >= shortest else None
        case "signed":
            end = _find_end(view, at, _SIGNED)
            return (found.start(), end) if end - at >= _SHORTEST_SIGNED else None
        case "basic":
            end = _find_end(view, at, _BASE64)
            return (at, end) if _has_password(view[at:end]) else None
        case "bearer":
            end = _find_end(view, at, _ANY, _WRAPPED)
            return (at, end) if end - at >= 6 else None
        case _:
            end = _find_end(view, at, _USER)
            return (at, end) if end > at and view[end : end + 1] == "@" else None


def _find_end(view: str, start: int, characters: re.Pattern[str], length: int | None = None) -> int:
    """Return where a token ends that begins at `start`; it goes on in the next line while it is not whole."""
    begin = start
    breaks = 0
    while True:
        found = characters.match(view, begin)
        end = found.end() if found else begin
        is_whole = end - begin < _WRAPPED if length is None else end - start - breaks >= length
        if is_whole or (breaks and end == begin) or view[end : end + 1] != "\n":
            return end if end > begin else max(start, begin - 1)
        begin = end + 1
        breaks += 1


def _has_password(text: str) -> bool:
    """Return whether a text is a name and a password in Base64."""
    plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return len(plain) > 5 and b":" in b64decode(plain + "=" * (-len(plain) % 4))
    except ValueError:
        return False
