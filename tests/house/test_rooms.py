"""Holds the floor plan: how large rooms and folders may be, and that files outside the shelves of a room are pure.

import-linter holds the order of rooms and what each shelf may import (pyproject.toml). It has no wildcard for "every other
file", so purity is checked here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.kits.paths import PACKAGE, ROOT
from tests.kits.source_files import list_modules

MOST_MODULES: Final = 45
MOST_FILES: Final = 15
SHELVES: Final = frozenset({"rows", "service", "records", "drivers", "channels"})
FRONTS: Final = frozenset({"command_line", "desk"})
FREE_ROOMS: Final = frozenset({"hub", "localhub", "store", "command_line", "desk"})
"""Rooms of one kind throughout; of these, only `hub/protocol` is pure."""
FREE_FILES: Final = frozenset({"base/environment.py", "base/locks.py", "base/private_files.py", "base/time_zones.py"})
"""Files of `base` that reach the disk or the environment. Of the files beside the rooms, only `errors.py` is pure."""
OUTSIDE: Final = frozenset({
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "importlib", "io", "locale", "logging", "multiprocessing", "os",
    "pathlib", "random", "sched", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "uuid", "anyio", "apprise", "click", "filelock", "fsspec", "httpcore2", "httpx2",
    "huggingface_hub", "joserfc", "openpyxl", "psycopg", "requests", "rich", "starlette", "uvicorn",
})  # fmt: skip
EXCEPTIONS: Final = frozenset({
    ("base/decoding.py", "threading"),  # its lock changes no result: threads must not meet half of a type's description
    ("grants/people_files.py", "io"),  # text in memory
    ("grants/table_edits.py", "io"),  # text in memory
    ("policies/parsing/table_text.py", "io"),  # text in memory
})  # fmt: skip


def is_pure(name: str) -> bool:
    """Tell whether a file, as a path below the package, holds only values and rules."""
    parts = name.split("/")
    if name in FREE_FILES or len(parts) == 1:
        return name == "errors.py"
    if parts[0] in FREE_ROOMS:
        return parts[:2] == ["hub", "protocol"]
    shelf = parts[1].removesuffix(".py")
    return shelf not in SHELVES - {"records"}


def find_imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a file imports, also inside functions."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
            yield from [name if find_file(name) else module for name in names]


def find_file(module: str) -> str | None:
    """Return the path below the package of a module's file; None if it is not of this package."""
    stem = "/".join(module.split(".")[1:])
    names = (f"{stem}.py", f"{stem}/__init__.py")
    return next((name for name in names if module.startswith("hf_gate.") and (PACKAGE / name).is_file()), None)


def test_no_room_and_no_folder_is_larger_than_people_can_survey() -> None:
    names = [path.relative_to(PACKAGE).parts for path in list_modules()]
    rooms = Counter(parts[0] for parts in names if len(parts) > 1 and parts[-1] != "__init__.py")
    folders = Counter("/".join(parts[:-1]) for parts in names if len(parts) > 1 and parts[-1] != "__init__.py")
    assert {room: count for room, count in rooms.items() if count > MOST_MODULES and room not in FRONTS} == {}
    assert {folder: count for folder, count in folders.items() if count > MOST_FILES} == {}


def test_the_list_of_rooms_in_architecture_md_has_the_order_of_the_contract() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    block = text.partition("```text\n")[2].partition("```")[0]
    listed = [room for line in block.splitlines() for room in re.split(r" {3,}", line.strip())[0].split()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    order = [name.strip("()") for name in next(each for each in contracts if each["id"] == "rooms")["layers"]]
    assert listed == [name for name in order if (PACKAGE / name).is_dir()]


def test_each_folder_says_what_it_is_for_and_exports_nothing() -> None:
    folders = {path.parent for path in list_modules()} - {PACKAGE}
    for folder in folders:
        tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
        assert ast.get_docstring(tree), folder
        assert len(tree.body) == 1, folder


@pytest.mark.parametrize("name", [n for n in (p.relative_to(PACKAGE).as_posix() for p in list_modules()) if is_pure(n)])
def test_a_file_outside_the_shelves_is_pure(name: str) -> None:
    for module in find_imports(PACKAGE / name):
        assert module.split(".")[0] not in OUTSIDE or (name, module) in EXCEPTIONS, module
        file = find_file(module)
        assert file is None or is_pure(file), module
