"""The comparison with huggingface_hub runs from end to end: in its quick form, whose figures say nothing about speed."""

from __future__ import annotations

from datetime import date

import pytest

from bench import report
from bench.__main__ import CASES, run_case
from bench.decisions import compute_least_time
from bench.results import Row, format_markdown_table, format_table, unmeasured_row
from bench.sizes import FULL, QUICK, world_for


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "download"])
def test_each_part_of_the_quick_form_fills_its_rows(name: str) -> None:
    rows = run_case(name, QUICK)
    assert [row.key for row in rows] == list(CASES[name].keys)
    assert [f"{row.key}: {row.why}" for row in rows if not row.is_measured] == []


def test_the_download_is_left_to_the_full_form() -> None:
    (row,) = run_case("download", QUICK)
    assert not row.is_measured
    assert FULL.with_download


def test_a_part_that_fails_keeps_its_place_in_the_table_and_says_why() -> None:
    broken = world_for(10)
    rows = [unmeasured_row("list-0", "list 100,000", f"OSError: {broken} is no port")]
    assert "not measured" in format_table(rows)
    assert "is no port" in report.build_page(rows, FULL, 60.0, date(2026, 11, 25))


def test_the_page_says_what_holds_a_figure_that_is_not_reached() -> None:
    rows = [
        Row("a", "fast", "1 s", target="<= 2 s", is_met=True, why="nothing"),
        Row("b", "slow | steady", "3 s", target="<= 2 s", is_met=False, why="The clock."),
    ]
    page = report.build_page(rows, FULL, 60.0, date(2026, 11, 25))
    assert "- **slow | steady**: 3 s. The clock." in page
    assert "nothing" not in page
    assert "quick run" not in page
    assert "quick run" in report.build_page(rows, QUICK, 60.0, date(2026, 11, 25))
    assert r"slow \| steady" in format_markdown_table(rows)


def test_a_part_of_the_page_is_renewed_and_the_other_stays_as_it_was() -> None:
    beside = report.build_page([Row("a", "lists", "1 s", "2 s", "2x")], FULL, 60.0, date(2026, 11, 25))
    both = report.build_page([Row("b", "ledger", "3 s")], FULL, 60.0, date(2026, 11, 26), "desk", beside)
    assert both.startswith(beside.rstrip())
    assert "| ledger | 3 s | – | – |" in both
    again = report.build_page([Row("b", "ledger", "4 s")], FULL, 60.0, date(2026, 11, 27), "desk", both)
    assert again.startswith(beside.rstrip())
    assert "3 s |" not in again
    assert (
        report.build_page([Row("a", "lists", "1 s", "2 s", "2x")], FULL, 60.0, date(2026, 11, 25), before=again)
        == again
    )


def test_every_part_of_the_page_has_cases_and_no_figure_belongs_to_two() -> None:
    keys = [key for case in CASES.values() for key in case.keys]
    assert len(keys) == len(set(keys))
    assert {case.part for case in CASES.values()} - {""} == set(report.PARTS)  # "" is only printed


@pytest.mark.parametrize("part", report.PARTS)
def test_the_stored_page_has_a_row_for_every_figure(part: str) -> None:
    text = report.PAGE.read_text("utf-8").partition(f"<!-- {part} -->")[2].partition(f"<!-- end {part} -->")[0]
    rows = sum(line.startswith("| ") for line in text.splitlines()) - 2  # without the head of the table
    assert rows == sum(len(case.keys) for case in CASES.values() if case.part == part), "run: make bench"


@pytest.mark.parametrize(
    ("people", "began", "least"),
    [
        (3_700, 300.0, 37 * 0.05),  # all fit into the window that is open
        (3_800, 301.0, 2.0 + 0.05),  # one call waits for the next window, two seconds away
        (7_400, 301.0, 2.0 + 37 * 0.05),
        (7_500, 301.0, 2.0 + 3.0 + 0.05),
        (10_000, 301.0, 2.0 + 3.0 + 26 * 0.05),
    ],
)
def test_the_least_time_in_windows_of_50_calls_keeps_a_quarter_free(people: int, began: float, least: float) -> None:
    assert compute_least_time(people, began, (50, 3), 0.05) == pytest.approx(least)


def test_a_world_of_the_size_asked_for_has_that_many_pending() -> None:
    from hf_gate.localhub.server import build_local_hub_app

    (repo,) = build_local_hub_app(requests=world_for(1_000), repos=1).describe_repos()
    assert repo.pending >= 1_000
