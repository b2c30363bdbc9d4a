"""The wheel that a user installs: built from this checkout's committed form, it holds the package, its data and its doors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.kits.paths import PACKAGE, ROOT
from tests.kits.source_files import list_tracked_files
from tools.release import build

pytestmark = pytest.mark.slow


def _copy_files(source: Path) -> Path:
    for file in list_tracked_files():
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built as `hf extensions install` does: from a copy of the files, without git, by pip."""
    source = _copy_files(tmp_path_factory.mktemp("source"))
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(target), str(source)]  # fmt: skip
    done = subprocess.run(build, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    with zipfile.ZipFile(built) as archive:
        yield archive


def _metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return HeaderParser().parsestr(wheel.read(name).decode())


def test_it_holds_every_file_of_the_package_and_nothing_beside(wheel: zipfile.ZipFile) -> None:
    here = {
        file.relative_to(PACKAGE.parent).as_posix() for file in list_tracked_files() if file.is_relative_to(PACKAGE)
    }
    there = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert there == here
    assert {"hf_gate/py.typed", "hf_gate/localhub/population/people.json"} <= there


def test_it_carries_licence_and_notice(wheel: zipfile.ZipFile) -> None:
    assert {Path(name).name for name in wheel.namelist() if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_its_metadata_is_that_of_the_contract(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = _metadata(wheel)
    assert (metadata["Name"], metadata["Version"]) == ("hf-gate", project["version"])
    assert metadata["Summary"] == project["description"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {"postgres", "notify", "sign-in", "excel", "all"}
    asked = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    needed = {re.split(r"[^\w.-]", line)[0] for line in asked}
    wanted = {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}
    assert {re.sub(r"[._]", "-", name) for name in needed} == {re.sub(r"[._]", "-", name) for name in wanted}


def test_it_opens_the_command_and_the_pytest_plugin(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    doors = wheel.read(name).decode()
    assert "[console_scripts]\nhf-gate = hf_gate.__main__:main" in doors
    assert "[pytest11]\nhf_gate = hf_gate.testing" in doors


def test_two_builds_of_the_same_files_are_equal_byte_for_byte(tmp_path: Path) -> None:
    """In another folder, with other times and permissions of the files."""
    first = build(_copy_files(tmp_path / "a"), tmp_path / "a-dist", "wheel", "sdist")
    other = _copy_files(tmp_path / "another" / "folder")
    for path in other.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert len(first) == 2
    assert build(other, tmp_path / "b-dist", "wheel", "sdist") == first
