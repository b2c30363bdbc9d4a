"""Finds the YAML front matter of a card, and explains why the Hub may not find it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from .yaml_parser import Problem


class FrontMatter(Struct, frozen=True):
    """The YAML between the two `---` (None if there is no such block), and the line of the card where it begins."""

    text: str | None
    first_line: int
    problems: tuple[Problem, ...]


_DELIMITER = re.compile(r"---[ \t]*$")
_FENCE = re.compile(r"[ ]{0,3}(```|~~~)")
_GATE_KEY = re.compile(r"extra[_-]gated[\w-]*[ \t]*:")
_YAML_KEY = re.compile(r"[a-z_][\w-]*[ \t]*:(?:[ \t]|$)")


def find_front_matter(card: str) -> FrontMatter:
    """Return the first block of a card, with the delimiters of `huggingface_hub`. Only blank lines may precede it."""
    lines = re.split(r"\r\n|\n|\r", card)
    start = next((row for row, line in enumerate(lines) if line.strip("\ufeff \t")), len(lines))
    head = lines[start].lstrip("\ufeff") if start < len(lines) else ""
    if not _DELIMITER.match(head):
        return FrontMatter(None, 1, (_explain_missing(lines),))
    end = next((row for row in range(start + 1, len(lines)) if _DELIMITER.match(lines[row])), None)
    if end is None:
        words = "This --- is never closed, so the Hub reads no metadata."
        fix = "Put --- on a separate line after the YAML."
        return FrontMatter(None, 1, (Problem(start + 1, 1, "front_matter_open", words, fix),))
    problems = (*_delimiter_problems(lines, start, end), *_body_problems(lines, end))
    return FrontMatter("\n".join(lines[start + 1 : end]) + "\n", start + 2, problems)


def _explain_missing(lines: list[str]) -> Problem:
    for row, line in enumerate(lines[:-1]):
        if _DELIMITER.match(line) and (_YAML_KEY.match(lines[row + 1]) or _GATE_KEY.match(lines[row + 1])):
            if any(_FENCE.match(before) for before in lines[:row]):
                words = "The front matter is inside a code fence, so the Hub does not read it."
                return Problem(row + 1, 1, "front_matter_in_fence", words, "Remove the fence.")
            words = "Text before this --- hides the metadata from the Hub."
            return Problem(row + 1, 1, "front_matter_hidden", words, "Move the --- to the first line of the card.")
    gate = next((row for row, line in enumerate(lines) if _GATE_KEY.match(line)), None)
    if gate is not None:
        words = "Front matter not found, so this key has no effect."
        fix = "Put --- before the YAML, on the card's first line, and --- after it."
        return Problem(gate + 1, 1, "front_matter_missing", words, fix)
    words = "Front matter not found. The card has no metadata and no gate form."
    return Problem(
        1, 1, "front_matter_absent", words, "To ask questions, begin the card with YAML between two --- lines."
    )


def _delimiter_problems(lines: list[str], start: int, end: int) -> Iterator[Problem]:
    if lines[0].startswith("\ufeff"):
        words = "A byte order mark precedes the ---, so some readers find no metadata."
        yield Problem(1, 1, "bom", words, "Save the file without BOM.")
    for row in (start, end):
        blanks = len(lines[row].lstrip("\ufeff")) - 3
        if blanks:
            yield Problem(
                row + 1,
                4,
                "delimiter_blanks",
                "Spaces follow the ---, so some readers treat it as text.",
                "Remove them.",
            )


def _body_problems(lines: list[str], end: int) -> Iterator[Problem]:
    """Yield a problem if metadata seems to follow: the block was closed too early, or there is a second block."""
    body = list(_without_code_fence(lines, end + 1))
    first = next((row for row in body if lines[row].strip()), None)
    if first is None:
        return
    delimiters = [row for row in body if _DELIMITER.match(lines[row])]
    gate = next((row for row in body if _GATE_KEY.match(lines[row])), None)
    opener = max((row for row in delimiters if gate is not None and row < gate), default=None)
    if opener is None and first in delimiters and _closes_yaml(lines, first, delimiters):
        opener = first
    if opener is not None:
        words = "This is a second front matter, and the Hub reads only the first."
        yield Problem(opener + 1, 1, "second_front_matter", words, "Move its keys up and remove this block.")
    elif gate is not None or (_YAML_KEY.match(lines[first]) and _closes_yaml(lines, first - 1, delimiters)):
        words = "The front matter ends at this ---, but more metadata follows."
        yield Problem(end + 1, 1, "front_matter_closed_early", words, "Remove this line.")


def _closes_yaml(lines: list[str], opener: int, delimiters: list[int]) -> bool:
    """Tell whether a later `---` ends a block that begins after `opener` with a YAML key."""
    end = next((row for row in delimiters if row > opener), None)
    if end is None or opener + 1 >= end:
        return False
    inside = [line for line in lines[opener + 1 : end] if line.strip()]
    return bool(inside) and bool(_YAML_KEY.match(inside[0]))


def _without_code_fence(lines: list[str], start: int) -> Iterator[int]:
    fence: str | None = None
    for row in range(start, len(lines)):
        match = _FENCE.match(lines[row])
        if match and fence in (None, match[1]):
            fence = match[1] if fence is None else None
        elif fence is None:
            yield row
