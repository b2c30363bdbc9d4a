"""Reads the code blocks of the documentation, and compares what a command printed with what a page shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.kits.paths import ROOT

PAGES: Final = tuple(
    page.relative_to(ROOT).as_posix()
    for page in (
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
)
LANGUAGES: Final = frozenset({"python", "console", "sh", "js", "text", "json", "yaml", "toml", "mermaid"})
_MARK: Final = re.compile(r"<!-- check: (.+?) -->\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, its language, its text, and the mark in the comment above it.

    Marks: `real Hub` (not run here: the command tree is checked), `terminal` (needs a person at one: the same), `output`
    (what the block before it prints), `file NAME` (not run: what the reader writes into that file).
    """

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def place(self) -> str:
        """Where to look when it fails."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a console block, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def read_blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = (ROOT / page).read_text("utf-8").splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = lines.index("```", at + 1)
        mark = _MARK.match(lines[at - 1]) if at else None
        found.append(
            Block(page, at + 1, lines[at][3:].strip(), "\n".join(lines[at + 1 : end]), mark[1] if mark else "")
        )
        at = end + 1
    return found


def read_steps(text: str) -> list[Step]:
    """The commands of a console block: `$ ` begins one, a backslash at the end of a line goes on."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
            goes_on = line.endswith("\\")
        elif goes_on:
            command, shown = found[-1]
            found[-1] = (f"{command}\n{line}", shown)
            goes_on = line.endswith("\\")
        else:
            found[-1][1].append(line)
    return [Step(command, tuple(shown)) for command, shown in found]


# ---- what is shown and what was printed ---------------------------------------------------------------------------------

_ALIKE: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "ID"),
    (re.compile(r"(?:http://)?127\.0\.0\.1:\d+"), "HUB"),
    (re.compile(r"\br_[0-9a-z]{12}\b"), "RUN"),
    (re.compile(r"\b\d+[smhd](?= |\b)"), "AGE"),
    (re.compile(r'"pid": ?\d+'), '"pid": PID'),
    (re.compile(r'([:,]) (?=["{\[\d])'), r"\1"),
    (re.compile(r"\s+"), " "),
)


def normalize_line(line: str) -> str:
    """A line without what differs from run to run: times, ages, ids, the port of the Hub, blanks."""
    for pattern, word in _ALIKE:
        line = pattern.sub(word, line)
    return line.strip()


def find_mismatch(shown: tuple[str, ...], printed: list[str]) -> str | None:
    """Why what was printed is not what is shown; `...` alone in a line stands for any lines, within one for any text."""
    left = [normalize_line(line) for line in printed]
    may_skip = False
    for line in shown:
        if line.strip() == "...":
            may_skip = True
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in normalize_line(line).split("...")))
        at = next((n for n, one in enumerate(left) if pattern.fullmatch(one)), None)
        if at is None or (at and not may_skip):
            return f"shown:   {normalize_line(line)}\nprinted: {left[0] if left else '(nothing more)'}"
        left, may_skip = left[at + 1 :], False
    return None if may_skip or not left else f"printed, and not shown: {left[0]}"
