"""Gauges of the package: how many statements it has, and how long its functions are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.kits.paths import PACKAGE
from tests.kits.source_files import iterate_statements


class _Function(NamedTuple):
    lines: int
    name: str


def _functions() -> Iterator[_Function]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in iterate_statements(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno} {node.name}"
                yield _Function((node.end_lineno or node.lineno) - node.lineno + 1, place)


def count_statements(path: Path) -> int:
    """Count statements without imports and docstrings, so that no way of formatting changes the number."""
    ignored = (ast.Import, ast.ImportFrom)
    return sum(
        isinstance(node, ast.stmt) and not isinstance(node, ignored) and not _is_docstring(node)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def list_gauges() -> list[str]:
    """The lines that tests/conftest.py shows at the end of a run."""
    functions = sorted(_functions(), reverse=True)
    files = list(PACKAGE.rglob("*.py"))
    total = sum(map(count_statements, files))
    p95 = functions[len(functions) // 20].lines if functions else 0
    return [
        f"{total:,} statements in {len(files)} files.",
        f"{len(functions)} functions, 95 % of them within {p95} lines (aim: 35). The longest:",
        *(f"  {lines:4} lines  {name}" for lines, name in functions[:10]),
    ]
