"""The package works without POSIX modules, as on Windows."""

from __future__ import annotations

import subprocess
import sys

_IMPORT_ALL = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {"fcntl", "termios", "tty", "pty", "resource", "pwd", "grp"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

for name in ABSENT:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())

import importlib, pkgutil
import hf_gate

failed = []
def broken(name):
    failed.append(name)

for module in pkgutil.walk_packages(hf_gate.__path__, "hf_gate.", onerror=broken):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as problem:
        if problem.name in ABSENT:
            failed.append(f"{module.name} needs {problem.name}")
        else:
            raise
print("\\n".join(failed))
sys.exit(bool(failed))
"""


def test_every_module_is_imported_where_posix_modules_are_absent() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
