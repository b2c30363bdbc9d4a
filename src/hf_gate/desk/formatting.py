"""Formats ages, times, verbs and facts for pages, and splits untrusted text into plain and marked pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from hf_gate.base.display_text import make_visible
from hf_gate.base.timestamps import format_day, format_span

EPOCH: Final = datetime.fromtimestamp(0, UTC)
_TOKEN: Final = re.compile("⟨(?:U\\+[0-9A-F]{4,6}|\\+\\d+ marks)⟩|[\u2400-\u2421]")
_MAX_SHOWN: Final = 20_000  # characters of one text
_CYRILLIC_OR_GREEK: Final = re.compile(
    "[\u0370-\u052f\u1c80-\u1c8f\u1d26-\u1d78\u1f00-\u1fff\u2126\u2de0-\u2dff\ua640-\ua69f\uab65\ufe2e\ufe2f"
    "\U00010140-\U0001018e\U000101a0\U0001d200-\U0001d245\U0001e030-\U0001e08f]"
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
DOING: Final = {
    "accept": "accepting",
    "reset": "sending back",
    "reject": "rejecting",
    "cancel": "returning to pending",
}
DONE: Final = {"accept": "Accepted", "reset": "Sent back", "reject": "Rejected", "cancel": "Returned to pending"}


class TextPiece(NamedTuple):
    """A piece of text. `mark` says why it is highlighted; empty if it is not."""

    text: str
    mark: str = ""


def is_ascii(text: str | None) -> bool:
    """Tell whether a text is short and has only letters, digits and signs of ASCII, so that it runs
    from left to right.
    """
    return text is not None and text.isascii() and text.isprintable() and len(text) <= _MAX_SHOWN


def is_plain(text: str | None) -> bool:
    """Tell whether a text is short and nothing in it is marked: most texts are so."""
    if text is None or is_ascii(text):
        return text is not None
    return len(text) <= _MAX_SHOWN and make_visible(text) is text and not _CYRILLIC_OR_GREEK.search(text)


def begin_text(text: str, most: int) -> str:
    """Return the begin of a text as one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} …"


def split_text(text: str | None, most: int = _MAX_SHOWN) -> list[TextPiece]:
    """Split untrusted text: control characters become visible, letters of another script in a word are marked."""
    shown_text = make_visible((text or "")[:most])
    found: list[TextPiece] = []
    at = 0
    for match in _TOKEN.finditer(shown_text):
        found += _split_mixed_scripts(shown_text[at : match.start()])
        found.append(TextPiece(match[0].strip("⟨⟩"), _character_name(match[0])))
        at = match.end()
    found += _split_mixed_scripts(shown_text[at:])
    if text is not None and len(text) > most:
        found.append(TextPiece(f"{len(text) - most:,} more characters", "truncated here"))
    return found


def _split_mixed_scripts(text: str) -> Iterator[TextPiece]:
    """Mark Cyrillic and Greek letters within Latin words: they look like Latin ones."""
    if not _CYRILLIC_OR_GREEK.search(text):  # the usual case; to name each character takes long
        if text:
            yield TextPiece(text)
        return
    at = 0
    for word in _WORD.finditer(text):
        scripts = [_script(char) for char in word[0]]
        if not {"LATIN"} < set(scripts) or not set(scripts) & {"CYRILLIC", "GREEK"}:
            continue
        for offset, (char, script) in enumerate(zip(word[0], scripts, strict=True)):
            if script in {"CYRILLIC", "GREEK"}:
                place = word.start() + offset
                if place > at:
                    yield TextPiece(text[at:place])
                yield TextPiece(f"{char} U+{ord(char):04X}", f"{unicodedata.name(char, 'a letter')}, in a Latin word")
                at = place + 1
    if at < len(text):
        yield TextPiece(text[at:])


@lru_cache(4096)
def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0]


def _character_name(token: str) -> str:
    if token.startswith("⟨U+"):
        return unicodedata.name(chr(int(token[3:-1], 16)), "a character without a name").capitalize()
    return "marks piled on one letter" if token.startswith("⟨+") else "a control character"


def text_direction(text: str | None) -> str | None:
    """Return `rtl` if the first letter with a direction runs from right to left."""
    for char in (text or "")[:2000]:
        kind = unicodedata.bidirectional(char)
        if kind == "L":
            return None
        if kind in {"R", "AL"}:
            return "rtl"
    return None


# ---- time ------------------------------------------------------------------------------------------------------------


def format_wait(seconds: int | None) -> str:
    """Return a length of time in one unit; `unknown` for None."""
    return "unknown" if seconds is None else format_span(seconds)


def format_time(moment: datetime, zone: tzinfo, now: datetime | None = None) -> str:
    """Format a time in the desk's zone: `19 Nov 2026, 15:02`; `now` omits the current year."""
    there = moment.astimezone(zone)
    return f"{format_day(there, None if now is None else now.astimezone(zone).year)}, {there:%H:%M}"
