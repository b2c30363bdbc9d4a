"""`python -m bench [--quick] [--only NAME] [--write]`: all comparisons in one run, as a table and as docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from . import automation, calls, decisions, desk, lists, report, startup, web
from .results import Row, screen_table, unmeasured
from .sizes import FULL, QUICK, Sizes


class Case(NamedTuple):
    """A part of the run that can be asked for alone, and the rows that it owes."""

    run: Callable[[Sizes], Iterator[Row]]
    keys: tuple[str, ...]
    part: str = "beside"  # of the page


CASES: dict[str, Case] = {
    "list": Case(lists.long_list, ("list-0", "list-memory", "list-50", "list-calls")),
    "many": Case(lists.many_lists, ("many-50",)),
    "decide": Case(decisions.by_batch, ("decide-0", "decide-50", "decide-calls")),
    "window": Case(decisions.in_a_window, ("window-0", "window-50", "window-scaled", "window-429")),
    "handle": Case(decisions.one_by_one, ("handle-50",)),
    "hidden": Case(decisions.under_a_hidden_limit, ("hidden-short", "hidden-long")),
    "start": Case(startup.cold_starts, ("start-help", "start-version", "start-ls")),
    "serve": Case(startup.local_hubs, ("serve-small", "serve-large", "serve-million")),
    "million": Case(
        desk.desk,
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
        ),
        "desk",
    ),
    "calls": Case(calls.calls, ("desk-calls", "desk-window", "desk-429", "desk-idle"), "desk"),
    "touch": Case(automation.touch, ("touch-consumer", "touch-class", "touch-medical"), "desk"),
    "browser": Case(web.web, web.KEYS, "web"),
    "download": Case(startup.download, ("download",)),
}


def rows_of(name: str, sizes: Sizes) -> list[Row]:
    """The rows of a case; one that fails leaves its rows unmeasured, with the reason, and the run goes on."""
    case, rows = CASES[name], list[Row]()
    try:
        for row in case.run(sizes):
            rows.append(row)
            print(f"         {row.what}: {row.ours}", file=sys.stderr, flush=True)
    except (OSError, RuntimeError, ValueError, KeyError) as problem:
        left = case.keys[len(rows) :]
        rows += [unmeasured(key, key, f"{type(problem).__name__}: {problem}") for key in left]
    return rows


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="hf-gate beside huggingface_hub, on a local Hub."
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny numbers, in seconds: shows that all works, and no speed"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*report.PARTS, *CASES],
        help="a part of the page, or one case; may be repeated",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/benchmarks.md also after a quick run, or the parts of it that were run whole",
    )
    asked = parser.parse_args(args)
    sizes = QUICK if asked.quick else FULL
    print("\n".join(report.machine()), file=sys.stderr)
    start, rows = time.perf_counter(), list[Row]()
    took = dict.fromkeys(report.PARTS, 0.0)
    names = [name for name, case in CASES.items() if not asked.only or {name, case.part} & set(asked.only)]
    for name in names:
        begun = time.perf_counter()
        print(f"{begun - start:5.0f} s  {name} ...", file=sys.stderr, flush=True)
        rows += rows_of(name, sizes)
        took[CASES[name].part] += time.perf_counter() - begun
    print(screen_table(rows))
    for row in rows:
        if row.reached is False or not row.is_measured:
            print(f"  {row.what}: {row.held}")
    print(f"{sum(took.values()):.0f} s in all", file=sys.stderr)
    if asked.write or not (asked.quick or asked.only):
        _write(names, rows, sizes, took)
    failed = any(not row.is_measured for row in rows if row.key != "download" or sizes.with_download)
    return 1 if failed else 0


def _write(names: Sequence[str], rows: Sequence[Row], sizes: Sizes, took: Mapping[str, float]) -> None:
    """Each part of the page whose cases were all run."""
    day = datetime.now(UTC).date()  # noqa: TID251 - the day of the run
    report.PAGE.parent.mkdir(exist_ok=True)
    for part in report.PARTS:
        cases = {name: case for name, case in CASES.items() if case.part == part}
        if cases.keys() <= set(names):
            keys = {key for case in cases.values() for key in case.keys}
            mine = [row for row in rows if row.key in keys]
            before = report.PAGE.read_text("utf-8") if report.PAGE.is_file() else ""
            report.PAGE.write_text(report.page(mine, sizes, took[part], day, part, before), "utf-8")
            print(f"written: docs/{report.PAGE.name}, {part}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
