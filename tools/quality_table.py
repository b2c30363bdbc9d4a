"""Prints the table of docs/internals/answer-quality.md: how `rate_answer` classifies the hand-labelled answers."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hf_gate.core.forms.roles import Role
from hf_gate.requests.answer_quality import rate_answer
from hf_gate.requests.answer_ratings import Quality

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
SETS = ("answers_labelled.jsonl", "answers_heldout.jsonl")


class RatedAnswer(NamedTuple):
    """A labelled answer and its rating."""

    answer: str | None
    label: str
    role: str
    script: str
    wanted: Quality
    found: Quality


def rate_answers(name: str) -> Iterator[RatedAnswer]:
    """Rate the answers of one file."""
    for line in (DATA / name).read_text("utf-8").splitlines():
        row = json.loads(line)
        found = rate_answer(row["answer"], row["label"], Role(row["role"]), row["names"])
        yield RatedAnswer(row["answer"], row["label"], row["role"], row["script"], Quality(row["quality"]), found)


def build_table(name: str) -> str:
    """Return the confusion table of one file in Markdown: rows as labelled, columns as rated."""
    rows = list(rate_answers(name))
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
    """Print the tables; with `--errors` also each answer whose rating differs from its label."""
    print("\n\n".join(build_table(name) for name in SETS if (DATA / name).exists()))
    if "--errors" in sys.argv:
        for name in SETS:
            for row in rate_answers(name) if (DATA / name).exists() else ():
                if row.wanted is not row.found:
                    print(f"{name}: {row.wanted} classified as {row.found}: {row.answer!r} ({row.role}, {row.label!r})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
