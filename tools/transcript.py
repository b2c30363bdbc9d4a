"""Runs the commands of docs/auditing.md on a local Hub, and writes what they print below them.

    python tools/transcript.py          # or: make transcript

The days of the page are those of a fixed start, and times of day are 10:00, so that a new run changes nothing else.
tests/journeys/test_docs.py compares the page with a run of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.kits.doc_pages import PageReader, open_example_hub  # noqa: E402 - the path is set above

_BASH: Final = shutil.which("bash") or "bash"
PAGE: Final = "docs/auditing.md"
_START: Final = date(2026, 5, 4)
_MARKER: Final = "\x1e"
_BLOCK: Final = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)
_DAY: Final = re.compile(r"\b20\d\d-\d\d-\d\d(?!\d)")
_NEAR: Final = 800  # days; dates that are further away, such as those of accounts, are not moved
_REPLACEMENTS: Final = (
    (re.compile(r"http://127\.0\.0\.1:\d+|127\.0\.0\.1:\d+"), "127.0.0.1:7777"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "10:00:00"),
    (re.compile(r"(?<=\d\d\d\d-\d\d-\d\d )\d\d:\d\d\b(?!:)"), "10:00"),
    (re.compile(r"(?<=workspace )\S+|(?<= in )/\S+"), "..."),
    (re.compile(r"\b[0-9a-f]{24}\b"), "..."),
)


def renew(text: str) -> str:
    """Return the page with the output of a new run."""
    commands = [line[2:] for block in _BLOCK.finditer(text) for line in block[2].splitlines() if line.startswith("$ ")]
    printed = iter(_run(commands))
    return _BLOCK.sub(lambda block: f"{block[1]}{_renew_block(block[2], printed)}{block[3]}", text)


def _renew_block(block: str, printed: Iterator[str]) -> str:
    lines = []
    for command in (line for line in block.splitlines() if line.startswith("$ ")):
        shown = next(printed).strip("\n")
        lines += [command, *(shown.splitlines() if shown else [])]
    return "\n".join(lines) + "\n"


def _run(commands: list[str]) -> list[str]:
    """Return what each command prints, in one shell."""
    script = "".join(f"{command}\nprintf '{_MARKER}'\n" for command in commands)
    with open_example_hub() as hub, tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        folder = Path(home) / "desk"
        folder.mkdir()
        reader = PageReader(PAGE, hub, folder, stack, ["command", "hf-gate"])
        environment = reader.environment | {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
        begun = datetime.fromtimestamp(hub.clock.now(), UTC).date()
        done = subprocess.run(
            [_BASH, "-eu"], input=script, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"a command failed:\n{done.stdout}")
    return [_normalize(part, begun) for part in done.stdout.split(_MARKER)[:-1]]


def _normalize(text: str, begun: date) -> str:
    """Return output with the days of the page, and without what differs between runs."""
    shift = _START - begun

    def move(found: re.Match[str]) -> str:
        day = date.fromisoformat(found[0])
        return (day + shift).isoformat() if abs((day - begun).days) < _NEAR else found[0]

    text = _DAY.sub(move, text)
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def main() -> None:
    """Write the page."""
    page = ROOT / PAGE
    os.environ.pop("HF_TOKEN", None)
    page.write_text(renew(page.read_text("utf-8")), "utf-8")
    print(f"{PAGE}: written")


if __name__ == "__main__":
    main()
