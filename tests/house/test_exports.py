"""The public names: what `hf_gate` shows, what `__all__` says and what type checkers read are the same."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from types import ModuleType

import hf_gate
from tests.kits.paths import PACKAGE, ROOT


def _names_for_type_checkers() -> set[str]:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in guarded for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_every_public_name_can_be_had() -> None:
    assert [name for name in hf_gate.__all__ if not hasattr(hf_gate, name)] == []


def test_all_names_each_public_name_once_and_no_more() -> None:
    helpers = {"annotations", "import_module", "Final", "TYPE_CHECKING"}
    shown = {
        name for name, value in vars(hf_gate).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert shown - helpers <= set(hf_gate.__all__)
    assert len(hf_gate.__all__) == len(set(hf_gate.__all__))
    assert dir(hf_gate) == sorted(hf_gate.__all__)


def test_type_checkers_read_the_names_that_are_loaded_lazily() -> None:
    assert _names_for_type_checkers() == set(hf_gate._HOMES)
    assert set(hf_gate._HOMES) | {"__version__"} == set(hf_gate.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(hf_gate, "Hubb")


def test_the_version_is_that_of_pyproject() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == hf_gate.__version__


def test_importing_the_package_loads_none_of_its_rooms_and_no_library() -> None:
    ask = "import sys, hf_gate; print(sorted(m for m in sys.modules if m.partition('.')[0] in {'hf_gate', 'httpx2', 'msgspec', 'click'}))"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    assert answer == "['hf_gate']"
