"""Makes text from strangers safe to display: characters that hide, reorder or control text become visible.

A dangerous character becomes its control picture (U+0000-U+001F, U+007F: `␛` for ESC) or `⟨U+202E⟩`. Characters that
normal text needs stay: joiners in Arabic, Indic and Mongolian words and in emoji, and variation selectors with a base.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which cannot be encoded."""

_pattern = cache(re.compile)  # imported on first use: compiling all patterns would add 6 ms to every start

# ---- dangerous characters --------------------------------------------------------------------------------------------

_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
_ALWAYS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 (tab and line feed are handled separately), DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"  # soft hyphen, grapheme joiner, fillers, invisible vowels
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # zero width, direction marks, line separators, bidi
    "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"  # blank pattern, fillers, BOM, annotations, noncharacters
    "\ud800-\udfff"  # surrogates
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # shorthand, music, tags
)
_MARKS = "\u0300-\u034e\u0350-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
MAX_MARKS = 8  # marks on one letter; more would cover the lines above and below

_PILED = f"(?<=[{_MARKS}]{{{MAX_MARKS}}})[{_MARKS}]+"
_DANGER = f"[{_ALWAYS}{_JOINERS}{_SELECTORS}]|{_PILED}"
_DANGER_IN_LINE = f"[{_ALWAYS}{_JOINERS}{_SELECTORS}\\t\\n]|{_PILED}"

# ---- contexts of joiners and selectors -------------------------------------------------------------------------------

_ARABIC = "\u0600-\u0605\u0620-\u06ff\u0700-\u08ff\ufb50-\ufdff\ufe70-\ufefc"
_INDIC = "\u0900-\u0dff\u0f00-\u109f\u1780-\u17b3\u17b6-\u17ff\u1800-\u180a\u1810-\u18af\u1900-\u1aaf\u1b00-\u1bff"
_JOINED = f"[{_ARABIC}{_INDIC}\ua8e0-\ua8ff\uaa00-\uaadf\uabc0-\uabff\U00011000-\U00011fff]"
_EMOJI = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEYCAP = "[0-9#*]"
_HAN = "[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_MONGOLIAN = "[\u1820-\u18aa]"


def make_visible(text: str, *, one_line: bool = False) -> str:
    """Return the text with dangerous characters replaced; the same object if there are none.

    Tabs and line feeds stay, and CR LF becomes LF; with `one_line` they are replaced too. Calling this again with
    the result changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    if not one_line and "\r\n" in text:
        text = text.replace("\r\n", "\n")
    danger = _pattern(_DANGER_IN_LINE if one_line else _DANGER)
    if not danger.search(text):
        return text
    shown = danger.sub(_replacement, text)
    return text if shown == text else shown


def _replacement(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if char[0] in _JOINERS:
        return char if _is_joining(match.string, match.start()) else _code_point(code)
    if code == 0x034F or not unicodedata.category(char[0]).startswith("M"):
        return _code_point(code)
    if _is_selector(code):
        return char if _is_selecting(match.string, match.start()) else _code_point(code)
    if 0x17B4 <= code <= 0x17B5:
        return _code_point(code)
    return f"\u27e8+{len(char)} marks\u27e9"


def _code_point(code: int) -> str:
    return f"\u27e8U+{code:04X}\u27e9"


def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code in (0x180B, 0x180C, 0x180D, 0x180F)


def _is_joining(text: str, index: int) -> bool:
    """Tell whether a joiner is inside a word of a joining script, or (ZWJ) between two emoji."""
    before = text[index - 1 : index] if index else ""
    after = text[index + 1 : index + 2]
    if _pattern(_JOINED).match(before) and (
        _pattern(_JOINED).match(after) or (text[index] == "\u200d" and not after.strip())
    ):
        return True
    if text[index] != "\u200d" or not _pattern(_EMOJI).match(after):
        return False
    base = text[index - 2 : index - 1] if before == "\ufe0f" and index > 1 else before
    return bool(_pattern(_EMOJI).match(base))


def _is_selecting(text: str, index: int) -> bool:
    """Tell whether a variation selector follows a character that has variants."""
    before = text[index - 1 : index] if index else ""
    code = ord(text[index])
    if code in (0xFE0E, 0xFE0F):
        return bool(
            _pattern(_EMOJI).match(before)
            or (_pattern(_KEYCAP).match(before) and text[index + 1 : index + 2] == "\u20e3")
        )
    return bool(_pattern(_MONGOLIAN if code < 0xFE00 else _HAN).match(before))


# ---- cells and columns -----------------------------------------------------------------------------------------------

_BLANK = "\\s\x00\u00ad\u200b-\u200f\u2060\ufeff"
_SIGN = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = f"[{_BLANK}]*[{_SIGN}]|[\t\r\n\x00]"
_FORMULA_INSIDE = f"(?<=[;\r\n])(?=(?:(?![\r\n])[{_BLANK}])*[{_SIGN}])"


def csv_cell(text: str) -> str:
    """Return the text as a cell that no spreadsheet reads as a formula: text that looks like one gets a leading `'`.

    Where the list separator is a semicolon, spreadsheets also start a cell after a semicolon, and a row after a line
    break.
    """
    guarded = _pattern(_FORMULA_INSIDE).sub("'", text)
    return f"'{guarded}" if _pattern(_FORMULA).match(text) else guarded


def to_json(value: object) -> str:
    r"""Encode a value as one line of JSON. A value with a dangerous character is written entirely with `\u` escapes."""
    import msgspec

    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = ""
    if text and make_visible(text, one_line=True) is text:
        return text
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def to_one_line(value: object) -> str:
    """Format a value as a table cell: null is `-`, nested values are JSON, dangerous characters are visible."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    is_nested = isinstance(value, Mapping | list | tuple)
    return make_visible(value if isinstance(value, str) else to_json(value) if is_nested else str(value), one_line=True)


def csv_value(value: object) -> str | int | float:
    """Format a value as a CSV cell: null is empty, numbers stay numbers, text is visible and never a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return csv_cell(make_visible(value) if isinstance(value, str) else to_one_line(value))


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 change`, `1,204 changes`; `many` is the plural if adding an s is not enough."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def join_words(words: Sequence[str], last: str) -> str:
    """Join words with commas, and put `last` (and, or) before the last word."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


T = TypeVar("T")


def limit_lines(
    items: Sequence[T], most: int, describe: Callable[[T], str] = str, rest: str = "and {:,} more"
) -> list[str]:
    """Return a line for each of the first items, and one that says how many more there are."""
    lines = [describe(item) for item in items[:most]]
    return [*lines, rest.format(len(items) - most)] if len(items) > most else lines


def name_first(names: Sequence[object], most: int) -> str:
    """Return the first names separated by commas, and how many more there are: `a, b and 7 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"


_WIDTH_PART = 512  # characters


def display_width(text: str) -> int:
    """Return the width in terminal columns: 2 for wide East Asian characters and emoji, 0 for marks and joiners."""
    if text.isascii():
        return len(text)
    from wcwidth import width

    starts = range(0, len(text), _WIDTH_PART)  # in parts, because the time for a run of flags is quadratic
    return sum(width(text[start : start + _WIDTH_PART], control_codes="ignore") for start in starts)


def clip(text: str, columns: int, *, ending: str = "\N{HORIZONTAL ELLIPSIS}") -> str:
    """Cut one line to at most `columns` columns. Truncated text ends in `ending`; letters keep their marks."""
    if len(text) * 2 <= columns or display_width(text) <= columns:
        return text
    room = columns - display_width(ending)
    if room <= 0:
        return ending if room == 0 else ""
    if text.isascii():
        return text[:room] + ending
    from wcwidth import iter_graphemes

    kept = []
    used = 0
    for grapheme in iter_graphemes(text):
        used += display_width(grapheme)
        if used > room:
            break
        kept.append(grapheme)
    return "".join(kept) + ending


def clip_line(text: str, columns: int) -> str:
    """Return a text from strangers on one line of at most `columns` columns."""
    return clip(make_visible(text[: columns * 8], one_line=True), columns)
