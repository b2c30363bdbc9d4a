"""Checks, exports, copies, restores and removes a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from socket import gethostname

from ..domain.timestamps import to_ms
from ..errors import StoreDamaged
from ..hub.local_hub_headers import get_world_id
from ..store.backups import Restore, disarm, restore, write_backup
from ..store.export import StoreReader, write_folder
from ..store.index_repair import repair_search_index
from ..store.opening import parse_path
from ..store.removal import (
    count_unsettled,
    files_of,
    find_mode_faults,
    remove_empty_folders,
    remove_files,
    remove_tables,
    remove_traces,
)
from ..store.schema_check import find_file_faults
from ..store.sql import without_password
from ..store.write_lock import Holder
from . import setting_keys
from .ledger_verification import verify_ledger
from .restore_checks import check_ledger
from .store_export import export_files
from .workspace import Workspace

__all__ = [
    "check_store", "count_unsettled", "export_store", "file_of_store", "files_of", "find_mode_faults", "name_of_server_store",
    "remove_empty_folders", "remove_files", "remove_tables", "remove_traces", "repair_search_index", "restore_backup", "this_process",
    "write_backup",
]  # fmt: skip


def file_of_store(url: str) -> Path | None:
    """Return the file of a store; None if the store is on a server."""
    return None if url.startswith("postgres") else parse_path(url).absolute()


def name_of_server_store(url: str) -> str:
    """Return the name of the database, without the user and password."""
    return without_password(url).rpartition("/")[2]


def this_process(command: str) -> Holder:
    """Return how other processes see this process while it holds the store."""
    return Holder(os.getpid(), gethostname(), command)


def check_store(workspace: Workspace) -> tuple[list[str], int]:
    """Check the file and the audit log for damage; return the faults and the number of checked entries."""
    found = find_file_faults(workspace.store.reads)
    try:
        proof = verify_ledger(workspace.store, with_tables=True)
    except StoreDamaged as problem:
        return [*found, str(problem)], 0
    return [*found, *(f"{each.chain}#{each.seq}: {each.what}" for each in proof.broken)], proof.entries


def export_store(workspace: Workspace, folder: Path, owned: Mapping[str, bytes]) -> dict[str, int]:
    """Export the store and the owner's files into a folder; return the number of lines of each file."""
    dump = StoreReader(workspace.store)
    with dump.snapshot():
        return write_folder(folder, export_files(workspace, dump, owned, workspace.now()))


def restore_backup(
    backup: Path,
    path: Path,
    *,
    endpoint: str,
    actor: str,
    now: datetime,
    command: str,
    wait: float,
    on_wait: Callable[[str, float], None],
) -> Path | None:
    """Replace a store with a backup; return the path of the replaced store, or None if there was none."""
    settings = {setting_keys.RESTORED: str(to_ms(now))}
    kept = (setting_keys.SAVED_POLICIES, setting_keys.TWO_PERSON_POLICIES)
    order = Restore(backup, path, endpoint, get_world_id(endpoint), settings, check_ledger, actor, to_ms(now), kept)
    return restore(order, this_process(command), wait=wait, on_wait=on_wait)


def disarm_store(workspace: Workspace, actor: str) -> None:
    """Treat the store as one that was restored now. For stores that came back by other means than `restore_backup`."""
    at = to_ms(workspace.now())
    disarm(workspace.store, {setting_keys.RESTORED: str(at)}, actor, at)
