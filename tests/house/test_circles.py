"""No two modules need each other, not even for a type: whoever reads a module reads downwards."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.kits.paths import PACKAGE
from tests.kits.source_files import iterate_imported_modules, list_modules

ROOT = "hf_gate"
"""The public face. It loads each module on first use, so a module may ask it for the version."""


def _name_of(place: str) -> str:
    return ".".join([ROOT, *place.removesuffix(".py").removesuffix("/__init__").split("/")])


def _graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return the imports of each module by its place, at any depth and for types too."""
    return {
        _name_of(place): {
            name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in iterate_imported_modules(place, node)
            if name.startswith(f"{ROOT}.") and name != _name_of(place)
        }
        for place, source in sources.items()
        if place != "__init__.py"
    }


def test_no_circle_of_imports_exists() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in list_modules()}
    TopologicalSorter(_graph(sources)).prepare()


@pytest.mark.parametrize(
    "line",
    [
        "from .sql import read",
        "from . import sql",
        "import hf_gate.store.sql",
        "if TYPE_CHECKING:\n    from .sql import Chain",
        "def later():\n    from hf_gate.store.sql import read",
    ],
)
def test_a_circle_is_seen(line: str) -> None:
    places = {"store/store.py": line, "store/sql.py": "from .store_path import x", "store/store_path.py": ""}
    TopologicalSorter(_graph(places)).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter(_graph(places | {"store/store_path.py": "from .store import y"})).prepare()
