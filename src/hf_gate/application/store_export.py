"""Exports a store as files in open formats: JSON lines, the ledger with its proofs, and the owner's files."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from ..domain.timestamps import ms_to_iso, to_iso
from ..store.export import StoreReader
from .assignments import pair_with_details
from .current_verdicts import CurrentVerdicts
from .ledger_files import checkpoint_to_dict, export_ledger
from .request_record_builders import exported_request
from .workspace import Workspace

TABLES: Final[Mapping[str, str]] = {
    "about": "the Hub and version of the store",
    "repos": "repos, and when each was synced",
    "people": "people by number, as last read; the ledger uses `pseudonym`",
    "profiles": "public profiles that policies needed",
    "runs": "runs that executed changes",
    "changes": "each change of each run, with its outcome",
    "plans": "plans as they were approved",
    "tray": "decisions made in the desk, including unsent ones",
    "members": "who may use the desk",
    "views": "saved views",
    "bindings": "the account of each username in a table",
    "table_versions": "who was listed by the last good version of each table, as hashes",
    "promotions": "the version of each policy that may act unattended",
    "policy_authors": "who promoted or saved a version of a policy",
    "approvals": "approvals of requests that two people must approve",
    "approval_alarms": "acceptances outside hf-gate that lacked approvals",
    "notice_destinations": "where notices to the staff go",
    "outbox": "notices that are waiting, undeliverable or recently delivered; they name requests by number",
    "notice_lines": "lines of the next digest of notices",
    "notice_conditions": "problems that a notice reported and that may still last, such as a failing turn",
    "letters": "letters to applicants and their outcomes, without texts and addresses",
    "first_turns": "policy versions that completed their first turn at a repo",
    "halted_versions": "policy versions that wait because a person paused or stopped a run",
    "halted_ends": "ends of grants that wait for the same reason",
    "settings": "internal settings of hf-gate",
}
"""Tables that are exported unchanged, one JSON object per line, with descriptions."""


def export_files(
    workspace: Workspace, dump: StoreReader, owned: Mapping[str, bytes], now: datetime
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield file names with their lines, to be written within `dump.snapshot`. `owned` are files of the workspace."""
    store, verdicts = workspace.store, CurrentVerdicts(None)
    yield "README.txt", [_format_readme(store.endpoint, now).encode()]
    pairs = pair_with_details(workspace, dump.requests(), now)
    yield "requests.jsonl", (_encode_line(exported_request(row, verdicts, details)) for row, details in pairs)
    yield "ledger.jsonl", export_ledger(store, now, personal=True)
    yield "checkpoints.jsonl", (_encode_line(checkpoint_to_dict(one, store.endpoint)) for one in store.checkpoints())
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
