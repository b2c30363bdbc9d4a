"""The licence files say what the package metadata says, and that we are not Hugging Face."""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib.metadata import distribution
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.kits.installed_packages import list_installed
from tests.kits.paths import ROOT


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


_CLASSIFIED = {
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
}


def _licence_of(name: str) -> str:
    metadata = distribution(name).metadata
    classified = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
    stated = [metadata[key] for key in ("License-Expression", "License") if key in metadata]
    return next((_CLASSIFIED.get(text, text) for text in [*stated, *classified]), "?")


def test_the_notice_names_the_licence_of_every_package_a_user_gets() -> None:
    rows = re.findall(r"^  ([\w.-]+) {2,}(.+?)(?: \(.*\))?$", (ROOT / "NOTICE").read_text("utf-8"), re.MULTILINE)
    noted: dict[str, str] = {canonicalize_name(name): licence for name, licence in rows}
    names = list_installed([*_project()["dependencies"], "psycopg", "apprise", "joserfc", "openpyxl"])
    installed = {name: _licence_of(name) for name in names}
    assert {name: noted.get(name) for name in installed} == installed
    assert set(noted) - set(installed) <= {"colorama"}, "the notice names a package that nobody gets"


def test_the_description_is_one_line_that_hf_can_scrape() -> None:
    lines = [
        line for line in (ROOT / "pyproject.toml").read_text("utf-8").splitlines() if line.startswith("description")
    ]
    assert lines == [f'description = "{_project()["description"]}"']


def test_no_file_at_the_root_takes_the_place_of_the_package() -> None:
    assert not (ROOT / "hf-gate").exists(), "`hf extensions install` would install this file as a script"
