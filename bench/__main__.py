"""`python -m bench [--quick] [--only NAME] [--write]`: runs all comparisons, prints a table, writes docs/internals/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from . import automation, calls, decisions, desk, first_sync, lists, notices, report, startup, turns, web, years
from .results import Row, format_table, unmeasured_row
from .sizes import FULL, QUICK, Sizes


class Case(NamedTuple):
    """A case that can be run alone, with the keys of the rows that it must produce."""

    run: Callable[[Sizes], Iterator[Row]]
    keys: tuple[str, ...]
    part: str = "beside"  # of the page; "" for a case that is only printed


CASES: dict[str, Case] = {
    "list": Case(lists.measure_long_list, ("list-0", "list-memory", "list-50", "list-calls")),
    "many": Case(lists.measure_many_lists, ("many-50",)),
    "decide": Case(decisions.measure_batches, ("decide-0", "decide-50", "decide-calls")),
    "window": Case(decisions.measure_windows, ("window-0", "window-50", "window-scaled", "window-429")),
    "handle": Case(decisions.measure_single_calls, ("handle-50",)),
    "hidden": Case(decisions.measure_hidden_limit, ("hidden-short", "hidden-long")),
    "start": Case(startup.measure_cold_starts, ("start-help", "start-version", "start-ls")),
    "serve": Case(startup.measure_local_hubs, ("serve-small", "serve-large", "serve-million")),
    "million": Case(
        desk.measure_desk,
        (
            "desk-first",
            "desk-again",
            "desk-size",
            "desk-query",
            "desk-search",
            "desk-ls",
            "desk-plan",
            "desk-same",
            "desk-verdicts",
            "desk-verify",
            "desk-erase",
        ),
        "desk",
    ),
    "first-sync": Case(first_sync.measure_first_sync, first_sync.KEYS, ""),
    "turn": Case(turns.measure_turns, turns.KEYS, "desk"),
    "notices": Case(notices.measure_notices, notices.KEYS, "desk"),
    "calls": Case(calls.measure_calls, ("desk-calls", "desk-window", "desk-429", "desk-idle"), "desk"),
    "touch": Case(automation.measure_automation, ("touch-consumer", "touch-class", "touch-medical"), "desk"),
    "years": Case(years.measure_years, years.KEYS, "desk"),
    "browser": Case(web.measure_web, web.KEYS, "web"),
    "download": Case(startup.measure_download, ("download",)),
}


def run_case(name: str, sizes: Sizes) -> list[Row]:
    """Return the rows of a case. If it fails, its missing rows are marked unmeasured with the reason, and the run continues."""
    case, rows = CASES[name], list[Row]()
    try:
        for row in case.run(sizes):
            rows.append(row)
            print(f"         {row.what}: {row.ours}", file=sys.stderr, flush=True)
    except (OSError, RuntimeError, ValueError, KeyError) as problem:
        left = case.keys[len(rows) :]
        rows += [unmeasured_row(key, key, f"{type(problem).__name__}: {problem}") for key in left]
    return rows


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compare hf-gate with huggingface_hub on a local Hub."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run with tiny numbers in seconds: checks that everything works, not how fast",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*report.PARTS, *CASES],
        help="run one part of the page, or one case; repeatable",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/internals/benchmarks.md even after a quick run, or the parts that ran completely",
    )
    parser.add_argument("--turn-requests", type=int, metavar="N", help="requests of the case `turn`")
    parser.add_argument(
        "--at", type=Path, metavar="DIR", help="another work tree; the case `first-sync` compares its first sync"
    )
    asked = parser.parse_args(args)
    sizes = QUICK if asked.quick else FULL
    if asked.turn_requests is not None:
        sizes = replace(sizes, turn_requests=asked.turn_requests)
    sizes = replace(sizes, other_tree=asked.at)
    print("\n".join(report.describe_machine()), file=sys.stderr)
    start, rows = time.perf_counter(), list[Row]()
    took = dict.fromkeys((*report.PARTS, ""), 0.0)
    names = [name for name, case in CASES.items() if not asked.only or {name, case.part} & set(asked.only)]
    for name in names:
        started = time.perf_counter()
        print(f"{started - start:5.0f} s  {name} ...", file=sys.stderr, flush=True)
        rows += run_case(name, sizes)
        took[CASES[name].part] += time.perf_counter() - started
    print(format_table(rows))
    for row in rows:
        if row.is_met is False or not row.is_measured:
            print(f"  {row.what}: {row.why}")
    print(f"{sum(took.values()):.0f} s in all", file=sys.stderr)
    if asked.write or not (asked.quick or asked.only):
        _write_page(names, rows, sizes, took)
    failed = any(not row.is_measured for row in rows if row.key != "download" or sizes.with_download)
    return 1 if failed else 0


def _write_page(names: Sequence[str], rows: Sequence[Row], sizes: Sizes, took: Mapping[str, float]) -> None:
    """Write each part of the page whose cases were all run."""
    day = datetime.now(UTC).date()  # noqa: TID251 - the day of the run
    report.PAGE.parent.mkdir(exist_ok=True)
    for part in report.PARTS:
        cases = {name: case for name, case in CASES.items() if case.part == part}
        if cases.keys() <= set(names):
            keys = {key for case in cases.values() for key in case.keys}
            mine = [row for row in rows if row.key in keys]
            before = report.PAGE.read_text("utf-8") if report.PAGE.is_file() else ""
            report.PAGE.write_text(report.build_page(mine, sizes, took[part], day, part, before), "utf-8")
            print(f"written: docs/internals/{report.PAGE.name}, {part}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
