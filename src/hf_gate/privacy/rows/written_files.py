"""Remembers the backups, exports and plans that were written of a store, so that erasures and removals name them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from hf_gate.store.removal import BEFORE_RESTORE, RESTORING, files_of

PARTIAL: Final = ".partial"
"""Added to the name of a backup until it is complete."""
_LIST: Final = ".copies"  # added to the name of the store
_LOGS: Final = ("-wal", "-shm", "-journal")


class WrittenFile(NamedTuple):
    """A file with data of a store, and when it was written (ms); None if it was moved or deleted."""

    path: Path
    made_at: int | None
    is_copy: bool  # of the whole store; else an export or a plan


def record_copy(store: Path, target: Path) -> None:
    """Remember a backup."""
    _add_line(store, str(target.absolute()))


def record_file(store: Path, target: Path) -> None:
    """Remember an export or a plan."""
    _add_line(store, {"file": str(target.absolute())})


def _add_line(store: Path, entry: object) -> None:
    if entry in _read_list(store):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    file = os.open(store.with_name(store.name + _LIST), flags, 0o600)
    try:
        os.write(file, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(file)


def find_written_files(store: Path) -> list[WrittenFile]:
    """Return the backups of a store, the copies beside it, and the exports and plans that are still where they were.

    Interrupted backups are listed too.
    """
    found = [WrittenFile(Path(name), _read_time(name), is_copy) for name, is_copy in dict.fromkeys(_list_names(store))]
    return [one for one in found if one.is_copy or one.made_at is not None]


def _list_names(store: Path) -> Iterator[tuple[str, bool]]:
    for entry in _read_list(store):
        name = entry.get("file") if isinstance(entry, dict) else entry
        if isinstance(name, str):
            yield name, not isinstance(entry, dict)
            if os.path.lexists(name + PARTIAL):
                yield name + PARTIAL, True
    kept = tuple(store.name + word for word in (BEFORE_RESTORE, RESTORING, ".before-"))
    for path in files_of(store):
        if path.name.startswith(kept) and not path.name.endswith(_LOGS):
            yield str(path), True


def _read_time(name: str) -> int | None:
    try:
        return int(os.lstat(name).st_mtime * 1000)
    except OSError:
        return None


def _read_list(store: Path) -> list[object]:
    try:
        lines = store.with_name(store.name + _LIST).read_bytes().splitlines()
    except OSError:
        return []
    entries: list[object] = []
    for line in lines:
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries
