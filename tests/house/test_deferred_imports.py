"""What loading a module may cost: imports stand at the top, apart from listed ones, and values are no dataclasses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Final

import hf_gate
from tests.kits.paths import PACKAGE
from tests.kits.source_files import iterate_imported_modules, iterate_statements, list_modules
from tools.deferred_imports import DEFERRED, DEFERRED_ON_START_PATH, START_PATH


@cache
def _imports_in_functions() -> tuple[tuple[str, str, int], ...]:
    """Module, place and line of every import inside a function."""
    found = set()
    for path in list_modules():
        place = path.relative_to(PACKAGE).as_posix()
        for function in iterate_statements(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                imports = (
                    node for node in iterate_statements(function) if isinstance(node, ast.Import | ast.ImportFrom)
                )
                found |= {
                    (name, place, node.lineno) for node in imports for name in iterate_imported_modules(place, node)
                }
    return tuple(sorted(found))


def _is_allowed(name: str, place: str) -> bool:
    return name in DEFERRED or (name in DEFERRED_ON_START_PATH and place in START_PATH)


def test_an_import_inside_a_function_is_of_a_listed_module() -> None:
    unlisted = [(name, place, line) for name, place, line in _imports_in_functions() if not _is_allowed(name, place)]
    assert unlisted == []


def test_every_listed_module_is_imported_inside_a_function_somewhere() -> None:
    assert {*DEFERRED, *DEFERRED_ON_START_PATH} - {name for name, _, _ in _imports_in_functions()} == set()


_STRUCT_HAS_NO: Final = frozenset({"compare", "hash", "init", "kw_only", "repr"})
"""Options of a dataclass's `field` that a `msgspec.Struct` does not have."""


def _slotted_dataclasses() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in list_modules():
        place = path.relative_to(PACKAGE).as_posix()
        for node in iterate_statements(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                "slots=True" in ast.unparse(each) for each in node.decorator_list
            ):
                yield place, node


def _needs_dataclass(place: str, node: ast.ClassDef) -> bool:
    options = {each.arg for call in ast.walk(node) if isinstance(call, ast.Call) for each in call.keywords}
    is_foreign = not {ast.unparse(base) for base in node.bases} <= {"Generic[_T]"}
    return place in START_PATH or node.name in hf_gate.__all__ or bool(options & _STRUCT_HAS_NO) or is_foreign


def test_a_value_within_the_package_is_a_struct_which_loads_fifty_times_as_fast_as_a_dataclass() -> None:
    assert [
        f"{place}: {node.name}" for place, node in _slotted_dataclasses() if not _needs_dataclass(place, node)
    ] == []
