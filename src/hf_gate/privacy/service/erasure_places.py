"""Finds where a person occurs in the files of a workspace that hf-gate does not edit: policies, tables and exports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from hf_gate.base.normalization import NormalForm, normalize
from hf_gate.base.private_files import read_regular_file
from hf_gate.core.events.erasure import MIN_NAME_PART
from hf_gate.core.records import PlaceRecord

_MAX_FILES: Final = 20_000
_MAX_BYTES: Final = 64 << 20  # of one file
_MAX_LINES: Final = 20  # places that are listed in one file
_FORMS: Final[tuple[NormalForm, ...]] = ("NFC", "NFD")
_SKIPPED: Final = frozenset({".git", ".venv", "node_modules", "__pycache__"})


def find_places(
    folder: Path | None, named: Iterable[Path], own: Collection[Path], names: Iterable[str]
) -> list[PlaceRecord]:
    """Return the places below a folder, and in the named files and folders, that contain one of these names.

    `own` are files that hf-gate writes itself. A file that was not searched is listed with the reason.
    """
    words = _compile(names)
    if words is None:
        return []
    skipped = {path.resolve() for path in own}
    listed = [path for one in named for path in (_iterate_files(one) if one.is_dir() else [one])]
    files = sorted({path.resolve() for path in (*listed, *_iterate_files(folder))})
    return [place for path in files if path not in skipped for place in _search(path, words)]


def _compile(names: Iterable[str]) -> re.Pattern[bytes] | None:
    """Return the pattern of these names in lower-case bytes: as they are and escaped as in JSON; short ones as whole
    words.
    """
    parts = set()
    for lower in {normalize(form, name.lower()) for name in names for form in _FORMS}:
        spellings = {lower.encode("utf-8", "replace"), json.dumps(lower)[1:-1].encode()}
        parts |= {
            re.escape(spelling) if len(spelling) >= MIN_NAME_PART else rb"\b" + re.escape(spelling) + rb"\b"
            for spelling in spellings
        }
    return re.compile(b"|".join(sorted(parts))) if parts else None


def _iterate_files(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        return iter(())
    return islice(_walk(folder), _MAX_FILES)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _search(path: Path, words: re.Pattern[bytes]) -> Iterator[PlaceRecord]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            yield PlaceRecord(file=str(path), line=None, problem="too large to search")
            return
        content = read_regular_file(path).lower()
    except OSError as problem:
        yield PlaceRecord(file=str(path), line=None, problem=f"cannot be read: {problem.strerror}")
        return
    if words.search(content) is None:
        return
    if b"\0" in content:
        yield PlaceRecord(file=str(path), line=None, problem=None)
        return
    lines = (n for n, line in enumerate(content.split(b"\n"), 1) if words.search(line))
    for number in islice(lines, _MAX_LINES):
        yield PlaceRecord(file=str(path), line=number, problem=None)
