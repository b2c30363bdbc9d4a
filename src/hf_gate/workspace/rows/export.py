"""Reads all data of a store as of one moment for an export in open formats, and writes the private export files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hf_gate.base.network_hosts import PRIVATE_HOST_SETTING
from hf_gate.base.private_files import make_private_folder, open_private_file
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import StoreUnavailable, UsageError
from hf_gate.store.rows.requests import PAGE
from hf_gate.store.store import Store
from hf_gate.store.writing.compression import unpack
from hf_gate.store.writing.erased import ERASURE_KEY
from hf_gate.store.writing.repo_classifiers import FINGERPRINT_KEY

SECRET_COLUMNS: Final = frozenset({"link", "salt"})
"""Columns that are never exported: digests of sign-in links, and salts that would help to guess erased people."""
SECRET_SETTINGS: Final = frozenset({PRIVATE_HOST_SETTING, FINGERPRINT_KEY, ERASURE_KEY})
_PACKED_COLUMNS: Final = frozenset({("plans", "document"), ("profiles", "document")})


class StoreReader:
    """Reads complete tables of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread within the block see the store as of the same moment, whatever others write."""
        db = self._store.reads
        db.begin_snapshot()
        try:
            yield
        finally:
            db.rollback()

    def requests(self) -> Iterator[RequestRow]:
        """Iterate over all attempts with their records, ordered by number."""
        rows = self._store.requests_after(0, PAGE)
        while rows:
            yield from rows
            rows = self._store.requests_after(rows[-1].id, PAGE)

    def table(self, name: str) -> Iterator[dict[str, Any]]:
        """Iterate over the rows of a table without secret columns; packed documents are returned as text."""
        for row in self._store.reads.stream(f"SELECT * FROM {name}"):
            if name == "settings" and row["key"] in SECRET_SETTINGS:
                continue
            yield {
                key: unpack(value) if (name, key) in _PACKED_COLUMNS and value is not None else value
                for key, value in row.items()
                if key not in SECRET_COLUMNS
            }


# ---- files -----------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, files: Iterable[tuple[str, Iterable[bytes]]]) -> dict[str, int]:
    """Write all files or none to a new or empty private folder, and return the number of lines of each."""
    made: list[Path] = []
    lines: dict[str, int] = {}
    try:
        _make_empty(folder)
        for name, content in files:
            path = folder / name
            make_private_folder(path.parent)
            with open_private_file(path) as file:
                lines[name] = sum(1 for line in content if file.write(line) >= 0)
            made.append(path)
    except OSError as problem:
        _remove(made)
        hint = "Nothing was left there. Check the path, its permissions and the free disk space."
        raise StoreUnavailable(f"{folder} cannot be written: {problem.strerror or problem}.", hint=hint) from None
    except BaseException:
        _remove(made)
        raise
    return lines


def _make_empty(folder: Path) -> None:
    make_private_folder(folder)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; nothing was written.", hint="Name a new or empty folder.")
    folder.chmod(0o700)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
