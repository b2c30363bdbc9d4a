"""Checks, exports, copies, restores and removes a store."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from socket import gethostname
from typing import Final

import msgspec

from hf_gate import __version__
from hf_gate.base.private_files import write_private_file
from hf_gate.base.timestamps import ms_to_iso, to_iso, to_ms
from hf_gate.errors import HfGateError, StoreDamaged, UsageError
from hf_gate.grants.service.row_details import pair_with_details
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.ledger.service.ledger_files import checkpoint_record, export_ledger, read_heads
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.privacy.rows.erasure_file import read_records
from hf_gate.privacy.rows.written_files import find_written_files, record_file
from hf_gate.requests.service.request_records import exported_request
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.database.schema_check import find_file_faults
from hf_gate.store.removal import count_stored_ends, files_of, remove_files, remove_tables
from hf_gate.store.rows.event_feed import GENERATION
from hf_gate.store.sql import without_password
from hf_gate.store.store import Store
from hf_gate.store.store_path import file_of_store
from hf_gate.store.write_lock import Holder, OnWait
from hf_gate.verdicts.service.current_verdicts import CurrentVerdicts
from hf_gate.workspace.records import BackupManifest
from hf_gate.workspace.rows.backups import Restore, disarm, restore, write_backup
from hf_gate.workspace.rows.export import StoreReader, write_folder

# ---- export ----------------------------------------------------------------------------------------------------------


TABLES: Final[Mapping[str, str]] = {
    "about": "the Hub and version of the store",
    "repos": "repos, and when each was synced",
    "people": "people by number, as last read; the ledger uses `pseudonym`",
    "profiles": "public profiles that policies needed",
    "runs": "runs that executed changes",
    "changes": "each change of each run, with its outcome",
    "plans": "plans as they were approved",
    "members": "who may use the desk",
    "table_rows": "the rows of tables in the store",
    "bindings": "the account of each username in a table",
    "promotions": "the version of each policy that may act unattended",
    "policy_authors": "who promoted a version of a policy",
    "approvals": "approvals of requests that two people must approve",
    "approval_alarms": "acceptances outside hf-gate that lacked approvals",
    "notice_destinations": "where notices to the staff go",
    "messages": "notices and letters that wait, failed or were sent; without texts and addresses of letters",
    "notice_lines": "lines of the next digest of notices",
    "notice_conditions": "problems that a notice reported and that may still last, such as a failing turn",
    "first_turns": "policy versions that completed their first turn at a repo",
    "gate_texts": "the texts of prompts and forms, by the fingerprints that `SyncEnded` entries and reports name",
    "settings": "internal settings of hf-gate",
}
"""Tables that are exported unchanged, one JSON object per line, with descriptions."""


def export_files(
    workspace: Workspace, dump: StoreReader, owned: Mapping[str, bytes], now: datetime
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield file names with their lines, to be written within `dump.snapshot`. `owned` are files of the workspace."""
    store = workspace.store
    verdicts = CurrentVerdicts(None)
    yield "README.txt", [_format_readme(store.endpoint, now).encode()]
    pairs = pair_with_details(workspace, dump.requests())
    yield "requests.jsonl", (_encode_line(exported_request(row, verdicts, details)) for row, details in pairs)
    yield "ledger.jsonl", export_ledger(store, now, personal=True)
    yield (
        "checkpoints.jsonl",
        (_encode_line(checkpoint_record(checkpoint, store.endpoint)) for checkpoint in store.checkpoints()),
    )
    for table in TABLES:
        rows = ({key: _to_json_value(key, value) for key, value in row.items()} for row in dump.table(table))
        yield f"{table}.jsonl", map(_encode_line, rows)
    for name, content in owned.items():
        yield f"workspace/{name}", [content]


def _to_json_value(key: str, value: object) -> object:
    """Return a column as JSON: times as ISO 8601, documents decoded, other bytes as base64."""
    if isinstance(value, int) and not isinstance(value, bool) and (key == "at" or key.endswith("_at")):
        return ms_to_iso(value)
    if not isinstance(value, bytes | memoryview):
        return value
    data = bytes(value)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return base64.b64encode(data).decode()


def _encode_line(document: object) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _format_readme(endpoint: str, now: datetime) -> str:
    tables = "".join(f"{name + '.jsonl':20} {what}\n" for name, what in TABLES.items())
    return f"""\
hf-gate store export of {endpoint}, made at {to_iso(now)}

These files contain names, e-mail addresses and answers of people. Keep them private.
Each .jsonl file has one JSON object per line, in UTF-8. Times are ISO 8601 in UTC.

requests.jsonl       each attempt of each request, with its answers and the Hub's own record
ledger.jsonl         the ledger with its proofs: hf-gate audit verify --file ledger.jsonl
checkpoints.jsonl    the stored checkpoints: the heads of all chains at certain times
{tables}workspace/           your own files: hf-gate.yaml, policies, tables

Not exported: sessions, sign-in links, and counts that follow from the files above.
"""


# ---- all operations --------------------------------------------------------------------------------------------------


__all__ = [
    "back_up",
    "check_store",
    "count_stored_ends",
    "export_store",
    "file_of_store",
    "files_of",
    "find_written_files",
    "name_of_server_store",
    "record_file",
    "remove_store",
    "restore_backup",
    "this_process",
]


def name_of_server_store(url: str) -> str:
    """Return the name of the database, without the user and password."""
    return without_password(url).rpartition("/")[2]


def this_process(command: str) -> Holder:
    """Return how other processes see this process while it holds the store."""
    return Holder(os.getpid(), gethostname(), command)


def check_store(store: Store) -> tuple[list[str], int]:
    """Check the file, the audit log and what is derived from it; return the faults and the number of entries."""
    if faults := find_file_faults(store):
        return faults, 0
    try:
        proof = verify_ledger(store, with_tables=True)
    except HfGateError:
        raise
    except Exception as problem:  # an edited file can contain values that no code expects
        raise StoreDamaged(f"the store has data that no store has ({type(problem).__name__}).") from problem
    return [f"{each.chain}#{each.seq}: {each.what}" for each in proof.broken], proof.entries


def refuse_damage(store: Store) -> None:
    """Raise StoreDamaged with the first fault of a store."""
    faults, _ = check_store(store)
    if faults:
        raise StoreDamaged(f"the store is damaged, or was edited: {faults[0]}.")


def export_store(workspace: Workspace, folder: Path, owned: Mapping[str, bytes]) -> dict[str, int]:
    """Export the store and the owner's files into a folder; return the number of lines of each file."""
    dump = StoreReader(workspace.store)
    with dump.snapshot():
        return write_folder(folder, export_files(workspace, dump, owned, workspace.now()))


def back_up(workspace: Workspace, url: str, file: Path) -> int:
    """Copy a store to a new file, and describe it in `FILE.json` beside it; return the bytes of the file."""
    store = workspace.store
    described = file.absolute().with_name(f"{file.name}.json")
    if os.path.lexists(described):
        raise UsageError(f"{described} already exists; nothing was written.", hint="Name a new file.")
    heads = read_heads(store, workspace.now())  # before the copy, which therefore holds all of these entries
    size = write_backup(file_of_store(url) or url, file)
    folder = workspace.location.folder
    erasures = store.erasures
    manifest = BackupManifest(
        version=__version__,
        workspace=None if folder is None else folder.name,
        erasures=len(read_records(erasures)) if erasures is not None else 0,
        checkpoint=checkpoint_record(heads, store.endpoint),
    )
    write_private_file(described, _encode_line(manifest))
    return size


def restore_backup(
    backup: Path, path: Path, *, endpoint: str, actor: str, now: datetime, who: Holder, wait: float, on_wait: OnWait
) -> Path | None:
    """Replace a store with a backup; return the path of the replaced store, or None if there was none."""
    at = to_ms(now)
    job = Restore(backup, path, endpoint, get_world_id(endpoint), _mark_restored(at), refuse_damage, actor, at)
    return restore(job, who, wait=wait, on_wait=on_wait)


def disarm_store(workspace: Workspace, actor: str) -> None:
    """Treat the store as one that was restored now. For stores that came back by other means than `restore_backup`."""
    at = to_ms(workspace.now())
    disarm(workspace.store, _mark_restored(at), actor, at)


def _mark_restored(at: int) -> dict[str, str]:
    """Return the settings of a store that was restored at a time (ms). Cursors of the event feed end with it."""
    return {setting_keys.RESTORED: str(at), GENERATION: secrets.token_hex(4)}


def remove_store(url: str, who: Holder, *, wait: float, on_wait: OnWait) -> list[Path]:
    """Delete the files of a store and return them, or drop its tables on a server."""
    path = file_of_store(url)
    if path is None:
        remove_tables(url, who, wait=wait, on_wait=on_wait)
        return []
    return remove_files(path, who, wait=wait, on_wait=on_wait) if files_of(path) else []
