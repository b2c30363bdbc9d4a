"""The licence files say what the package metadata says, and that we are not Hugging Face."""

from __future__ import annotations

import hashlib
import re
import tomllib
from typing import Any

import pytest

from tests.house.tree import ROOT


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def test_the_licence_is_the_full_apache_licence() -> None:
    words = " ".join((ROOT / "LICENSE").read_text("utf-8").split())
    assert words.startswith("Apache License Version 2.0, January 2004")
    assert words.endswith("limitations under the License.")
    assert (
        hashlib.sha256(words.encode()).hexdigest() == "0ffddef9e48f8a09aed5caf2d44f7ba1c1be2d9b8e0a6f693b1635b2d5566645"
    )
    assert _project()["license"] == "Apache-2.0"


@pytest.mark.parametrize("name", ["NOTICE", "README.md"])
def test_it_says_that_we_are_not_hugging_face(name: str) -> None:
    assert re.search(
        r"not affiliated with,?.*Hugging Face", (ROOT / name).read_text("utf-8"), re.IGNORECASE | re.DOTALL
    )


def test_the_notice_names_every_package_we_stand_on() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    needed = [re.split(r"[^\w.-]", line)[0] for line in _project()["dependencies"]]
    assert [name for name in needed if name not in notice] == []


def test_the_description_is_one_line_that_hf_can_scrape() -> None:
    lines = [
        line for line in (ROOT / "pyproject.toml").read_text("utf-8").splitlines() if line.startswith("description")
    ]
    assert lines == [f'description = "{_project()["description"]}"']


def test_no_file_at_the_root_takes_the_place_of_the_package() -> None:
    assert not (ROOT / "hf-gate").exists(), "`hf extensions install` would install this file as a script"
