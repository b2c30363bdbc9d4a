"""Nothing that is committed carries a secret, a machine's paths, a package index's host, or a patched test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.paths import ROOT
from tests.kits.source_files import list_tracked_files

# Written in pieces, so that this file does not hold what it looks for.
_INDEX_HOSTS = ("pypi" + r"\.org", "python" + r"hosted\.org", "registry" + r"\.npmjs", "deb" + r"\.debian")
_EXAMPLE_PEOPLE = r"(?!(?:you|user|lena)\b)"
_MACHINE_FOLDERS = (
    "wor" + "k/",
    "roo" + "t/",
    "tm" + "p/",
    rf"home/{_EXAMPLE_PEOPLE}\w+/",
    rf"Users/{_EXAMPLE_PEOPLE}\w+/",
)
FAKE_TOKENS = "a token of the Hub's form (fake ones are hf_local_ROLE, see CONTRIBUTING.md)"
MACHINE_PATHS = "a path of one machine"
FORBIDDEN = {
    FAKE_TOKENS: r"\bhf_[A-Za-z0-9]{20,}",
    "an organisation token": r"\bapi_org_[A-Za-z0-9]{20,}",
    "a signed token": r"\beyJ[\w-]{20,}\.eyJ[\w-]{10,}",
    "a private key": "-----BEGIN [A-Z ]*PRIVATE" + " KEY-----",
    "the host of a package index": "|".join(_INDEX_HOSTS),
    MACHINE_PATHS: rf"(?<![\w.~}}])/(?:{'|'.join(_MACHINE_FOLDERS)})",
}
PATCHING = r"monkeypatch\.(?:setattr|setitem|delattr|delitem|syspath_prepend)|unittest" + r"\.mock|\bmocker\b"


def _texts() -> Iterator[tuple[Path, str]]:
    for path in list_tracked_files():
        try:
            yield path, path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def _where(pattern: str, *, below: str = "") -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
        for path, text in _texts()
        if path.relative_to(ROOT).as_posix().startswith(below)
        for match in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_committed_holds(what: str) -> None:
    found = _where(FORBIDDEN[what])
    assert not found, f"{what} stands in {found}"


def test_the_patterns_find_what_they_are_for_and_leave_fake_tokens_alone() -> None:
    token = FORBIDDEN[FAKE_TOKENS]
    assert re.search(token, "hf_" + "a1B2" * 8)
    assert not re.search(token, "hf_local_owner hf_local_reader_0123456789abcdef01234567")
    path = FORBIDDEN[MACHINE_PATHS]
    assert re.search(path, "open /" + "work/main")
    assert not re.search(path, "docs/work/x ~/desks /home/you/desk https://hf.co/work/x")


def test_no_lock_names_an_address() -> None:
    assert [hit for hit in _where("://", below="requirements/") if ".txt:" in hit] == []


def test_no_test_patches_code() -> None:
    assert [hit for hit in _where(PATCHING, below="tests/") if "test_commit_hygiene" not in hit] == []


def test_no_file_is_larger_than_a_megabyte() -> None:
    assert [str(path.relative_to(ROOT)) for path in list_tracked_files() if path.stat().st_size > 2**20] == []
