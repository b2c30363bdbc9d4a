"""Builds the damaged search index of a store's file again. The index has no data of its own."""

from __future__ import annotations

from pathlib import Path

from ..errors import StoreUnavailable
from .opening import check_revision, read_revision
from .revisions import REVISIONS
from .schema_check import find_index_faults
from .search_index import SearchIndex
from .sql import Sqlite
from .write_lock import FileLock, Holder, OnWait, ignore_wait


def repair_search_index(path: Path, who: Holder, *, wait: float, on_wait: OnWait = ignore_wait) -> bool:
    """Build the search index of a file again if it is damaged, and tell whether it was.

    The store is not opened as usual, because opening refuses damage. Nothing of the damaged index stays in the file.
    """
    if not path.is_file() or path.is_symlink():
        raise StoreUnavailable(f"there is no store in {path} yet.", hint="Create one with: hf-gate sync REPO")
    lock = FileLock(path, who, wait=wait, on_wait=on_wait)
    try:
        db = Sqlite(path, writes=True)
        try:
            return _repair(db)
        finally:
            db.close()
    finally:
        lock.release()


def _repair(db: Sqlite) -> bool:
    revision = read_revision(db)
    if revision is None:
        return False
    check_revision(revision, db.at, REVISIONS)
    if not find_index_faults(db):
        return False
    with db.transaction():
        SearchIndex(db).rebuild()
    db.run("VACUUM")
    db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return True
