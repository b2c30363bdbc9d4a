"""The page that a run writes: the figures with machine and versions, and what holds those that are not reached."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from .hubs import ROOT
from .rows import ALONE, HEAD, Row, markdown_table
from .sizes import Sizes

PAGE = ROOT / "docs" / "benchmarks.md"
LIBRARIES = ("hf-gate", "huggingface_hub", "httpx2", "msgspec", "click", "uvicorn")

_HEAD = """# Benchmarks

Written by `make bench`; do not edit."""

PARTS = {
    "beside": """## Beside huggingface_hub

Both clients run on this machine against the local Hub (`hf-gate hub serve`) in a
process of its own, one after the other in the same run, each in a fresh process; imports are not counted, except in cold
starts. `50 ms` is what the Hub adds to each answer. What is repeated is repeated in turn, and the median counts.

A loop of `huggingface_hub` is what its guide shows: one call for one person. It is given fewer people where all of them
would take minutes, and then the rates per decision are compared. T_min is the least time that a rate window allows: the
calls it leaves beside the reserve, one after the other, windows back to back. The floor of a list is its pages times the
round trip, for a page must be read before the next is known.
""",
    "desk": """## The desk

The program as people start it, against the local Hub in a process of its own: one desk with three repos and a policy of
twenty rules, on SQLite. Wall time is what a clock on the wall shows; CPU time is that of the program and of the processes
that it makes, without the Hub's. On a machine with other work the first grows, the second hardly.
""",
    "web": """## The desk in the browser

Its pages over a store of a million requests in 50 repos on SQLite, filled without a Hub, asked for one after the other in
the process that makes them: from the call that came to the last byte of the answer, with the policies heard for each row
that is shown. Each page was seen once before. The first figure is what a clock on the wall shows, CPU what the process
computed of that; the rest is waiting for a core where the machine has other work. What is felt at the keyboard is measured
by the page itself, in Chromium without a window on the same machine, each key after the answer to the one before.
""",
}
_KEPT = re.compile(r"<!-- (\w+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)


def machine() -> list[str]:
    """What the figures were taken on."""
    versions = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return [
        f"{_processor()}, {os.cpu_count()} cores; {platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}; {versions}",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "(of this checkout)"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def page(rows: Sequence[Row], sizes: Sizes, took: float, day: date, part: str = "beside", before: str = "") -> str:
    """The page with one part made of these rows; its other parts stay as they were."""
    parts = dict(_KEPT.findall(before)) | {part: _part(part, rows, sizes, took, day)}
    told = [f"<!-- {name} -->\n{parts[name]}\n<!-- end {name} -->" for name in PARTS if name in parts]
    return "\n\n".join([_HEAD, *told]) + "\n"


def _part(part: str, rows: Sequence[Row], sizes: Sizes, took: float, day: date) -> str:
    form = (
        ""
        if sizes.name == "full"
        else " **This was a quick run with tiny numbers: it shows that all works, and no speed.**"
    )
    taken = f"Taken on {day.isoformat()} in {took / 60:.0f} minutes.{form}"
    table = markdown_table(rows, HEAD if part == "beside" else ALONE)
    parts = [PARTS[part], "\n".join([taken, "", *(f"- {line}" for line in machine())]), table]
    short = [row for row in rows if row.reached is False]
    if short:
        parts.append(
            "### What holds the figures that are not reached\n\n"
            + "\n".join(f"- **{row.what}**: {row.ours}. {row.held}".rstrip() for row in short)
        )
    missing = [row for row in rows if not row.is_measured]
    if missing:
        parts.append("### Not measured\n\n" + "\n".join(f"- {row.what}: {row.held}" for row in missing))
    return "\n\n".join(text.strip() for text in parts)
