"""Holds the size of each room, in statements: no room grows unless a commit raises its budget and says why.

`rooms.tsv` names the room of each module. A module in a folder of the name of a room needs no line. `budgets.tsv` has
the most statements of each room. Statements count without imports and docstrings, so no formatting changes them.
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


def count_rooms() -> tuple[Counter[str], list[str]]:
    """Return the statements of each room, and the modules that no room has."""
    rooms = read_table("rooms.tsv")
    names = set(read_table("budgets.tsv"))
    sizes: Counter[str] = Counter()
    homeless = []
    for path in sorted(PACKAGE.rglob("*.py")):
        statements = count_statements(path.read_text("utf-8"))
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        room = rooms.get(module) or module.split("/", maxsplit=1)[0]
        if room in names:
            sizes[room] += statements
        elif statements:
            homeless.append(module)
    return sizes, homeless


def test_each_module_belongs_to_a_room() -> None:
    _, homeless = count_rooms()
    assert not homeless, f"name the rooms of these modules in tests/house/rooms.tsv: {homeless}"


def test_no_line_of_the_table_is_about_a_module_that_is_gone() -> None:
    gone = [module for module in read_table("rooms.tsv") if not (PACKAGE / f"{module}.py").is_file()]
    assert not gone, f"remove these lines from tests/house/rooms.tsv: {gone}"


def test_no_room_is_larger_than_its_budget() -> None:
    sizes, _ = count_rooms()
    budgets = {room: int(most) for room, most in read_table("budgets.tsv").items()}
    over = {room: f"{sizes[room]:,} of {most:,}" for room, most in budgets.items() if sizes[room] > most}
    assert not over, f"these rooms exceed their budgets (tests/house/budgets.tsv): {over}"


def test_no_budget_has_room_for_a_feature_that_nobody_announced() -> None:
    sizes, _ = count_rooms()
    budgets = {room: int(most) for room, most in read_table("budgets.tsv").items()}
    loose = {room: f"{most:,} for {sizes[room]:,}" for room, most in budgets.items() if most > sizes[room] + SLACK}
    assert not loose, f"lower these budgets to what the rooms need (tests/house/budgets.tsv): {loose}"
