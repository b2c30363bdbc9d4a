"""Imports stand at the top of a file; the exceptions are listed in `tools/deferred_imports.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.house.tree import PACKAGE, modules
from tools.deferred_imports import DEFERRED, DEFERRED_ON_START_PATH, START_PATH


def _absolute_names(place: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
        return
    if not node.level:
        yield str(node.module)
        return
    here = ["hf_gate", *place.removesuffix(".py").split("/")]
    package = ".".join([*here[: -node.level], *filter(None, [node.module])])
    folder = PACKAGE.parent.joinpath(*package.split("."))
    for each in node.names:
        yield f"{package}.{each.name}" if (folder / f"{each.name}.py").is_file() else package


@cache
def _imports_in_functions() -> tuple[tuple[str, str, int], ...]:
    """Module, place and line of every import inside a function."""
    found = set()
    for path in modules():
        place = path.relative_to(PACKAGE).as_posix()
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                imports = (node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))
                found |= {(name, place, node.lineno) for node in imports for name in _absolute_names(place, node)}
    return tuple(sorted(found))


def _is_allowed(name: str, place: str) -> bool:
    return name in DEFERRED or (name in DEFERRED_ON_START_PATH and place in START_PATH)


def test_an_import_inside_a_function_is_of_a_listed_module() -> None:
    unlisted = [(name, place, line) for name, place, line in _imports_in_functions() if not _is_allowed(name, place)]
    assert unlisted == []


def test_every_listed_module_is_imported_inside_a_function_somewhere() -> None:
    assert {*DEFERRED, *DEFERRED_ON_START_PATH} - {name for name, _, _ in _imports_in_functions()} == set()
