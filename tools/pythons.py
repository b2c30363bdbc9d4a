"""Tests the built wheel on the oldest patch release of each supported Python, with the lowest and the newest dependencies.

    python tools/pythons.py                  3.11, 3.12 and 3.13; one that is missing fails the run
    python tools/pythons.py --whole          all tests with both sets of dependencies
    python tools/pythons.py --only 3.12      one of them
    python tools/pythons.py -- -k demo       the rest goes to pytest; what it selects runs with both sets

Each environment holds what a user gets from the wheel, and the test tools. The checkout's own source is not importable there.

Each Python runs all tests with one set of dependencies, and a quarter of the test files, the types and the demo with the
other. What breaks depends on the Python or on a library, and seldom on both at once. So `WHOLE` takes the combinations that
nothing else covers: the lowest set on the oldest Python and, because `make test` runs the newest set on the newest Python, on
the newest Python too; the newest set on the Python between them. The quarters differ, so that three quarters of the files run
with both sets on some Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
SUPPORTED: Final = ("3.11", "3.12", "3.13")
DEPENDENCIES: Final = ("lowest", "newest")
TESTS: Final = ("tests/journeys", "tests/typing")
WHOLE: Final[Mapping[str, str]] = {"3.11": "lowest", "3.12": "newest", "3.13": "lowest"}
"""With which dependencies a Python runs all tests. A Python that is not named runs them with both sets."""
ALWAYS: Final = ("tests/journeys/test_cli_demo.py", "tests/typing/test_api_is_covered.py")
QUARTERS: Final = 4
ENVIRONMENTS: Final = ROOT / ".venv-pythons"
_DESCRIBE: Final = (
    "import sys, venv, ensurepip\n"
    "assert sys.prefix == sys.base_prefix and sys.version_info.releaselevel == 'final'\n"
    "print('%d.%d.%d' % sys.version_info[:3])"
)


class Interpreter(NamedTuple):
    """A Python of this machine, with its version as a tuple, such as (3, 11, 2)."""

    version: tuple[int, ...]
    path: Path

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))


class Result(NamedTuple):
    """What one environment showed."""

    name: str
    summary: str
    seconds: float
    is_good: bool


def list_candidates(minors: Iterable[str], environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield files that may be Pythons: on the PATH, and where version managers and CI keep theirs."""
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [Path("/usr/bin"), Path("/usr/local/bin")]
    folders += sorted((home / ".pyenv" / "versions").glob("*/bin"))
    folders += sorted((home / ".local" / "share" / "uv" / "python").glob("*/bin"))
    folders += sorted(Path(environ.get("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache")).glob("Python/*/*/bin"))
    for folder in folders:
        yield from (folder / f"python{minor}" for minor in minors)


def find_oldest(candidates: Iterable[Path]) -> dict[str, Interpreter]:
    """Return the oldest patch release of each minor version. A name proves nothing, so each candidate is run."""
    oldest: dict[str, Interpreter] = {}
    for path in dict.fromkeys(candidates):
        if not path.is_file():
            continue
        shown = subprocess.run([path, "-c", _DESCRIBE], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            continue
        interpreter = Interpreter(tuple(map(int, shown.stdout.split("."))), path)
        minor = f"{interpreter.version[0]}.{interpreter.version[1]}"
        if minor not in oldest or interpreter.version < oldest[minor].version:
            oldest[minor] = interpreter
    return oldest


def list_tests() -> list[str]:
    """Return the test files, relative to the checkout."""
    files = (file for folder in TESTS for file in (ROOT / folder).glob("**/test_*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def quarter_of(file: str) -> int:
    """Return the quarter that a test file is in. It depends on its name only, so a new file moves no other."""
    return hashlib.sha256(file.encode()).digest()[0] % QUARTERS


def select_tests(minor: str, dependencies: str) -> list[str]:
    """Return the test files that a Python runs with a set of dependencies, if not everything is asked for."""
    if WHOLE.get(minor, dependencies) == dependencies:
        return list_tests()
    quarter = list(WHOLE).index(minor)
    return [file for file in list_tests() if file in ALWAYS or quarter_of(file) == quarter]


def build_wheel() -> Path:
    """Build the wheel of this checkout and return its path."""
    folder = ROOT / "build" / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, stdin=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def prepare_environment(interpreter: Interpreter, dependencies: str, wheel: Path) -> Path:
    """Install the locked dependencies and the wheel; return the Python of the environment."""
    folder = ENVIRONMENTS / f"{interpreter.name}-{dependencies}"
    lock = f"requirements/test-{dependencies}.txt"
    subprocess.run([interpreter.path, "tools/bootstrap.py", folder.relative_to(ROOT), lock], cwd=ROOT, check=True)
    python = folder / "bin" / "python"
    options = ["-q", "--disable-pip-version-check", "--no-deps", "--no-index", "--force-reinstall"]
    subprocess.run([python, "-m", "pip", "install", *options, wheel], check=True, stdin=subprocess.DEVNULL)
    where = subprocess.run(
        [python, "-c", "import hf_gate; print(hf_gate.__file__)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    if not Path(where.stdout.strip()).is_relative_to(folder):
        sys.exit(f"make: {folder.name} imports hf_gate from {where.stdout.strip()}, not from the wheel")
    return python


def check_environment(
    name: str, python: Path, processes: str, tests: Sequence[str], arguments: Sequence[str]
) -> Result:
    """Check the types that the wheel shows to users, and run the tests that use the installed program."""
    started = time.monotonic()
    print(f"\n=== {name}", flush=True)
    typing = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "typing").glob("api*.py"))
    mypy = [str(python), "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", os.devnull, *typing]
    is_typed = subprocess.run(mypy, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0
    environment = {**os.environ, "HF_GATE_TEST_PROFILE": "ci"}
    pytest = [str(python), "-m", "pytest", "-q", "-n", processes, "--dist", "worksteal", *tests, *arguments]
    process = subprocess.Popen(
        pytest, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment
    )
    summary = "no summary"
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if re.search(r"\d+ (passed|failed|error)", line):
            summary = line.strip(" =\n")
    is_good = process.wait() == 0 and is_typed
    if not is_typed:
        summary += ", types of tests/typing wrong"
    return Result(name, summary, time.monotonic() - started, is_good)


def main() -> None:
    """Test each Python with each set of dependencies, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="test only this Python (repeatable)")
    parser.add_argument("--whole", action="store_true", help="run all tests with both sets of dependencies")
    parser.add_argument("-n", dest="processes", default="3", help="test processes")
    parser.add_argument("arguments", nargs="*", help="arguments for pytest")
    given = parser.parse_args()
    asked = given.only or SUPPORTED
    is_whole = given.whole or bool(given.arguments)
    pythons = find_oldest(list_candidates(asked, os.environ, Path.home()))
    wheel = build_wheel()
    results = [
        check_environment(
            f"Python {pythons[minor].name}, {dependencies} dependencies",
            prepare_environment(pythons[minor], dependencies, wheel),
            given.processes,
            TESTS if is_whole else select_tests(minor, dependencies),
            given.arguments,
        )
        for minor in asked
        if minor in pythons
        for dependencies in DEPENDENCIES
    ]
    missing = [minor for minor in asked if minor not in pythons]
    print()
    for result in results:
        print(f"{'ok    ' if result.is_good else 'FAILED'} {result.name}: {result.summary} ({result.seconds:.0f} s)")
    for minor in missing:
        print(f"MISSING Python {minor}: not on this machine, so not tested. Install it, or name others with ONLY=")
    sys.exit(1 if missing or not all(result.is_good for result in results) else 0)


if __name__ == "__main__":
    main()
