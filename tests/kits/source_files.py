"""Lists the files of this checkout and reads the modules of the package."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.kits.paths import PACKAGE, ROOT


@cache
def list_tracked_files() -> tuple[Path, ...]:
    """Everything git knows, or would take at the next `git add`; without git (an archive), everything that is no leaving."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        named = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
        return tuple(path for name in named if name and (path := ROOT / name).is_file())
    leavings = {".venv", ".venv-docs", ".venv-release", ".venv-witness", "build", "dist"}
    return tuple(
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not leavings & set(path.relative_to(ROOT).parts) and "_cache" not in str(path)
    )


def list_modules() -> tuple[Path, ...]:
    """The modules of the package, without `__init__.py` files that only say what their room is for."""
    return tuple(sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or _has_code(path)))


def read_first_sentence(path: Path) -> str:
    """How a module opens."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def iterate_child_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements directly within a node, and its branches. Expressions, most of a tree, hold no statements."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, name, None)
        yield from inner if isinstance(inner, list) else ()


def iterate_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements within a node at all depths."""
    for statement in iterate_child_statements(node):
        yield statement
        yield from iterate_statements(statement)


def iterate_imported_modules(place: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The full names of the modules that an import in the module at `place` names."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
        return
    here = ["hf_gate", *place.removesuffix(".py").split("/")]
    package = ".".join([*(here[: -node.level] if node.level else ()), *filter(None, [node.module])])
    folder = PACKAGE.parent.joinpath(*package.split("."))
    for each in node.names:
        yield f"{package}.{each.name}" if (folder / f"{each.name}.py").is_file() else package


def _has_code(path: Path) -> bool:
    body = ast.parse(path.read_text("utf-8")).body
    return any(not isinstance(node, ast.Expr | ast.ImportFrom) for node in body)
