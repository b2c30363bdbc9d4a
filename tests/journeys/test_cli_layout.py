"""How tables and lines take their place: what is cut, what leaves, what never is; where lines part; how ages are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.display_text import display_width
from hf_gate.base.timestamps import format_age
from hf_gate.command_line.text_layout import Column, choose_widths, find_constant_columns, wrap_line
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, PROGRAM, Console
from tests.kits.terminal import Terminal

_WHO = Column("WHO", str)
_NAME = Column("NAME", str, is_flexible=True, min_width=10, drop_rank=30)
_WORDS = Column("PURPOSE", str, is_flexible=True, min_width=12, drop_rank=10)
_ID = Column("ID", str, is_flexible=True, min_width=7, is_tail_shown=True, drop_rank=20)
_TABLE = [_WHO, _NAME, _WORDS, _ID]


@pytest.mark.parametrize(
    ("room", "widths"),
    [
        (200, [30, 20, 60, 24]),
        (110, [30, 20, 30, 24]),  # long words are cut first
        (85, [30, 20, 22, 7]),  # then the id to its tail
        (65, [30, 10, 12, 7]),  # then all words to the least
        (60, [30, None, 19, 7]),  # then the name leaves
        (50, [30, None, 18, None]),  # then the id
        (40, [30, None, None, None]),  # then the answer
        (10, [30, None, None, None]),  # who it is stays whole
    ],
)
def test_columns_give_way_in_their_order_and_who_it_is_never(room: int, widths: list[int | None]) -> None:
    found = choose_widths(_TABLE, [30, 20, 60, 24], room)
    assert [found.get(number) for number in range(4)] == widths


def test_a_column_that_is_equal_in_all_rows_leaves_only_a_table_that_is_too_wide() -> None:
    columns = [_WHO, Column("VERDICT", str, is_said_once=True), Column("PURPOSE", str)]
    cells = [["ada-l", "Needs review", "sleep"], ["bob", "Needs review", "sleep"]]
    needed = [5, 12, 7]
    assert find_constant_columns(columns, cells, needed, 27) == [1]
    assert find_constant_columns(columns, cells, needed, 28) == []
    assert find_constant_columns(columns, cells, needed, None) == []
    assert find_constant_columns(columns, cells[:1], needed, 20) == [], "one row repeats nothing"
    assert find_constant_columns(columns, [*cells, ["cy", "On hold", "sleep"]], needed, 20) == []


def test_where_there_is_no_terminal_nothing_leaves_and_only_words_are_cut() -> None:
    assert choose_widths(_TABLE, [90, 20, 600, 24], None) == {0: 90, 1: 20, 2: 48, 3: 24}


@given(st.text(st.sampled_from("ab xyz 語n\u0301"), max_size=120), st.integers(4, 40))
def test_lines_are_never_too_long_and_lose_nothing_but_blanks(text: str, columns: int) -> None:
    lines = list(wrap_line(text, columns))
    assert all(display_width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_line_parts_between_words_and_the_rest_hangs() -> None:
    assert list(wrap_line("  status    waits for a review", 26, 12)) == [
        "  status    waits for a",
        "            review",
    ]
    assert list(wrap_line("      one two three", 14)) == ["      one two", "      three"]
    assert list(wrap_line("abcdefghij kl", 6)) == ["abcdef", "ghij", "kl"], "a word may be longer than a line"
    assert list(wrap_line("as long as it likes", None)) == ["as long as it likes"]


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=9), "9 d"),
        (timedelta(days=89), "89 d"),
        (timedelta(days=152), "4 mo"),
        (timedelta(days=729), "23 mo"),
        (timedelta(days=731), "2 y"),
        (timedelta(days=1525), "4 y"),
        (timedelta(days=5000), "13 y"),
    ],
)
def test_an_age_is_told_in_a_unit_that_says_something(ago: timedelta, told: str) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert format_age(now - ago, now) == told


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_gets_whole_words_below_their_label_and_no_codes_as_text(fresh: LocalHub, columns: int) -> None:
    with Terminal([*PROGRAM, "why", MODEL], Console(fresh).environment(), columns) as terminal:
        terminal.end()
        lines = terminal.display.splitlines()
    assert "\N{SYMBOL FOR ESCAPE}" not in terminal.display
    assert b"\x1b[1m" in terminal.raw, "the title is bold"
    words = set(Console(fresh).run("why", MODEL).out.split())
    if columns == 80:
        assert set(" ".join(lines).split()) == words
    (seen,) = (n for n, line in enumerate(lines) if line.startswith("  seen  token:"))
    if columns == 40:
        assert lines[seen + 1].startswith(" " * 8 + "reads")


def test_a_command_stays_whole_so_that_it_can_be_pasted(fresh: LocalHub, tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-with-a-long-name"
    words = ["--workspace", str(folder), "init", DATASET]
    with Terminal([*PROGRAM, *words], Console(fresh).environment(), 60) as terminal:
        assert terminal.end() == 0
    written = f"  hf-gate --workspace {folder} review {DATASET}\r\n    decide in the terminal, by single keys\r\n"
    assert written.encode() in terminal.raw


@pytest.mark.parametrize("topic", ["token", "policies", "formatting"])
def test_a_help_topic_keeps_its_blank_lines_and_parts_between_words(fresh: LocalHub, topic: str) -> None:
    console = Console(fresh)
    text = console.run("help", topic).out
    with Terminal([*PROGRAM, "help", topic], console.environment(), 60, 120) as terminal:
        assert terminal.end() == 0
        shown = terminal.display
    assert shown.count("\n\n") == text.rstrip().count("\n\n")
    assert shown.split() == text.split()
    assert all(len(line) <= 60 for line in shown.splitlines())
