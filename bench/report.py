"""Builds docs/internals/benchmarks.md: the figures with machine and versions, and why some targets are not met."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from .hub_process import ROOT
from .results import HEAD, HEAD_WITHOUT_PEER, Row, format_markdown_table
from .sizes import Sizes

PAGE = ROOT / "docs" / "internals" / "benchmarks.md"
LIBRARIES = ("hf-gate", "huggingface_hub", "httpx2", "msgspec", "click", "uvicorn")

_HEAD = """# Benchmarks

Use this page to see how fast hf-gate is, and where it misses its targets. `make bench` writes this page; do not edit it."""

PARTS = {
    "beside": """## Compared with huggingface_hub

This part compares hf-gate with `huggingface_hub`. Both clients run on one machine against the local Hub (`hf-gate hub serve`), which runs
in its own process. The clients run one after the other, each in a fresh process. Imports are not counted, except in cold starts.
`50 ms` is the delay that the Hub adds to each answer. Repeated measurements alternate between the clients, and the median counts.

The loop with `huggingface_hub` is the one in its guide: one call for each person. If all people would take minutes, this loop gets fewer
people, and the rates per decision are compared. T_min is the least time that a rate window allows: the calls outside the reserve, one
after the other, window after window. The floor of a list is its number of pages times the round trip, because each page names the next.
""",
    "desk": """## The program on a large store

This part measures the program as people start it, against the local Hub in its own process. The workspace has three repos and a policy of
twenty rules, on SQLite. Wall time is elapsed time. CPU time is that of the program and its child processes, without the Hub. Other work on
the machine increases wall time a lot, and CPU time hardly at all.
""",
    "web": """## The desk in the browser

This part measures the pages of the desk. The store has a million requests in 50 repos on SQLite and is filled without a Hub. The pages are
requested one after the other, in the process that renders them. The time runs from the call to the last byte of the answer, and includes
the policies for each row shown. Each page was rendered once before.

The first figure is elapsed time. CPU is the computing time in it; the rest is waiting for a core if the machine has other work. The
page itself measures the keyboard figures, in headless Chromium on the same machine. Each key follows the answer to the previous key.
""",
}
_KEPT = re.compile(r"<!-- (\w+) -->\n(.*?)\n<!-- end \1 -->", re.DOTALL)


def describe_machine() -> list[str]:
    """Return two lines about the machine and the versions of the libraries."""
    versions = ", ".join(f"{name} {_find_version(name)}" for name in LIBRARIES)
    return [
        f"{_find_processor()}, {os.cpu_count()} cores; {platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}; {versions}",
    ]


def _find_version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "(of this checkout)"


def _find_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def build_page(
    rows: Sequence[Row], sizes: Sizes, took: float, day: date, part: str = "beside", before: str = ""
) -> str:
    """Return the page with one part built from these rows; the other parts stay as they are."""
    parts = dict(_KEPT.findall(before)) | {part: _build_part(part, rows, sizes, took, day)}
    told = [f"<!-- {name} -->\n{parts[name]}\n<!-- end {name} -->" for name in PARTS if name in parts]
    return "\n\n".join([_HEAD, *told]) + "\n"


def _build_part(part: str, rows: Sequence[Row], sizes: Sizes, took: float, day: date) -> str:
    form = (
        ""
        if sizes.name == "full"
        else " **This was a quick run with tiny numbers. It shows that everything works, not how fast.**"
    )
    taken = f"Taken on {day.isoformat()} in {took / 60:.0f} min.{form}"
    table = format_markdown_table(rows, HEAD if part == "beside" else HEAD_WITHOUT_PEER)
    parts = [PARTS[part], "\n".join([taken, "", *(f"- {line}" for line in describe_machine())]), table]
    short = [row for row in rows if row.is_met is False]
    if short:
        parts.append(
            "### Why some targets are not met\n\n"
            + "\n".join(f"- **{row.what}**: {row.ours}. {row.why}".rstrip() for row in short)
        )
    missing = [row for row in rows if not row.is_measured]
    if missing:
        parts.append("### Not measured\n\n" + "\n".join(f"- {row.what}: {row.why}" for row in missing))
    return "\n\n".join(text.strip() for text in parts)
