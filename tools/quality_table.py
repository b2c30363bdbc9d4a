"""Prints what `quality()` makes of the answers that were labelled by hand: the table of docs/quality.md."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hf_gate.domain.answer_quality import Quality, rate_answer
from hf_gate.domain.roles import Role

DATA = Path(__file__).resolve().parents[1] / "tests" / "core" / "data"
SETS = ("answers_labelled.jsonl", "answers_heldout.jsonl")


class Judged(NamedTuple):
    """One labelled answer, and what came out."""

    answer: str | None
    label: str
    role: str
    script: str
    wanted: Quality
    found: Quality


def judged(name: str) -> Iterator[Judged]:
    """The answers of one file, judged."""
    for line in (DATA / name).read_text("utf-8").splitlines():
        row = json.loads(line)
        found = rate_answer(row["answer"], row["label"], Role(row["role"]), row["names"])
        yield Judged(row["answer"], row["label"], row["role"], row["script"], Quality(row["quality"]), found)


def table(name: str) -> str:
    """The confusion table of one file in Markdown: rows as labelled, columns as judged."""
    rows = list(judged(name))
    count = Counter((row.wanted, row.found) for row in rows)
    agreed = sum(row.wanted is row.found for row in rows)
    lines = [
        f"`{name}`: {len(rows)} answers in {len({row.script for row in rows})} scripts, {agreed} classified as labelled.",
        f"Good answers classified as junk: {count[Quality.GOOD, Quality.JUNK]}.",
        "",
        f"| labelled \\ classified | {' | '.join(Quality)} |",
        f"|---|{'---:|' * len(Quality)}",
    ]
    lines += [f"| {wanted} | {' | '.join(str(count[wanted, found]) for found in Quality)} |" for wanted in Quality]
    return "\n".join(lines)


def main() -> int:
    """Print the tables; with `--errors` also each answer that was judged otherwise than labelled."""
    print("\n\n".join(table(name) for name in SETS if (DATA / name).exists()))
    if "--errors" in sys.argv:
        for name in SETS:
            for row in judged(name) if (DATA / name).exists() else ():
                if row.wanted is not row.found:
                    print(f"{name}: {row.wanted} classified as {row.found}: {row.answer!r} ({row.role}, {row.label!r})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
