"""Gauges: how long functions and files are. The suite shows them at its end; they are looked at together when they grow, and never fail it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from tests.house.tree import PACKAGE, statements


class _Function(NamedTuple):
    lines: int
    name: str


def _functions() -> Iterator[_Function]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in statements(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno} {node.name}"
                yield _Function((node.end_lineno or node.lineno) - node.lineno + 1, place)


def gauges() -> list[str]:
    """The lines that tests/conftest.py shows at the end of a run."""
    functions = sorted(_functions(), reverse=True)
    files = sorted(((len(path.read_text("utf-8").splitlines()), path) for path in PACKAGE.rglob("*.py")), reverse=True)
    p95 = functions[len(functions) // 20].lines if functions else 0
    return [
        f"{len(files)} files, {len(functions)} functions, 95 % of them within {p95} lines (aim: 35). The longest:",
        *(f"  {lines:4} lines  {name}" for lines, name in functions[:10]),
        "The largest files (aim: 300, never above 450):",
        *(f"  {lines:4} lines  {path.relative_to(PACKAGE).as_posix()}" for lines, path in files[:5]),
    ]


def test_the_gauges_read_the_whole_package() -> None:
    assert gauges()[0].startswith(f"{len(list(PACKAGE.rglob('*.py')))} files, ")
