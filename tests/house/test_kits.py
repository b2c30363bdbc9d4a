"""Tests share code through `tests/kits` alone: a test module can then be moved, split or deleted by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.paths import KITS, ROOT

MAX_LINES = 600


def list_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def find_wrong_imports(source: str) -> Iterator[str]:
    """Yield the imports of test modules in a source, and its relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            if node.level:
                yield f"line {node.lineno}: relative import of {node.module}"
        else:
            continue
        for module in modules:
            if module.rpartition(".")[2].startswith("test_"):
                yield f"line {node.lineno}: import of {module}"


def test_no_test_imports_a_test_module() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, {problem}"
        for path in list_files("tests")
        for problem in find_wrong_imports(path.read_text("utf-8"))
    ]
    assert not wrong, f"move what is shared to tests/kits, and import it by its full name: {wrong}"


def test_no_tool_and_no_benchmark_imports_a_test_module() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}, {problem}"
        for path in list_files("tools", "bench")
        for problem in find_wrong_imports(path.read_text("utf-8"))
        if "relative" not in problem
    ]
    assert not wrong, f"move what is shared to tests/kits: {wrong}"


@pytest.mark.parametrize(
    "source",
    [
        "from tests.decisions.test_plans import made",
        "from tests.desk import test_plans",
        "import tests.decisions.test_plans",
        "from .test_plans import made",
        "from .kit import made",
        "def late() -> None:\n    from tests.decisions.test_plans import made",
    ],
)
def test_a_wrong_import_is_found(source: str) -> None:
    assert list(find_wrong_imports(source))


def test_kits_contain_no_tests_and_stay_short() -> None:
    for path in list_files("tests/kits"):
        text = path.read_text("utf-8")
        names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert not [name for name in names if name.startswith(("test_", "Test"))], path
        assert len(text.splitlines()) <= MAX_LINES, path


def test_only_kits_are_beside_the_tests() -> None:
    others = [
        path.relative_to(ROOT)
        for path in list_files("tests")
        if path.parent not in {KITS, ROOT / "tests" / "typing"} and not path.name.startswith(("test_", "conftest."))
    ]
    assert not others, f"move these to tests/kits: {others}"
