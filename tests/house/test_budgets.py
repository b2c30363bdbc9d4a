"""Holds the size of each room, in statements: no room grows unless a commit raises its budget and says why.

`budgets.tsv` has the most statements of each room; the files beside the rooms count as `hf_gate`. Statements count without
imports and docstrings, so no formatting changes them.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.kits.paths import PACKAGE

HERE = Path(__file__).parent
SLACK = 25
"""A budget may exceed the size of its room by this many statements; above, it is lowered with the change that saves."""


def read_table(name: str) -> dict[str, str]:
    lines = (HERE / name).read_text("utf-8").splitlines()
    return dict(line.split("\t") for line in lines if line and not line.startswith("#"))


def count_statements(source: str) -> int:
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
                skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case _:
                pass
    return sum(isinstance(node, ast.stmt) and node.lineno not in skipped for node in ast.walk(tree))


def count_rooms() -> Counter[str]:
    """Return the statements of each room."""
    sizes: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        sizes[parts[0] if len(parts) > 1 else PACKAGE.name] += count_statements(path.read_text("utf-8"))
    return sizes


def test_each_room_has_a_budget() -> None:
    assert set(count_rooms()) == set(read_table("budgets.tsv"))


def test_no_room_is_larger_than_its_budget() -> None:
    sizes = count_rooms()
    budgets = {room: int(most) for room, most in read_table("budgets.tsv").items()}
    over = {room: f"{sizes[room]:,} of {most:,}" for room, most in budgets.items() if sizes[room] > most}
    assert not over, f"these rooms exceed their budgets (tests/house/budgets.tsv): {over}"


def test_no_budget_has_room_for_a_feature_that_nobody_announced() -> None:
    sizes = count_rooms()
    budgets = {room: int(most) for room, most in read_table("budgets.tsv").items()}
    loose = {room: f"{most:,} for {sizes[room]:,}" for room, most in budgets.items() if most > sizes[room] + SLACK}
    assert not loose, f"lower these budgets to what the rooms need (tests/house/budgets.tsv): {loose}"
