"""Everything that a store keeps, as files in open formats: JSON lines, the ledger with its proofs, the owner's own files."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ..domain.timestamps import ms_to_iso, to_iso
from ..store.export import Dump
from ..store.store import Store
from .evaluation import CurrentVerdicts
from .ledger_files import checkpoint_to_dict, export_ledger
from .record_builders import exported_request

TABLES: Final[Mapping[str, str]] = {
    "about": "whose store it is",
    "repos": "repos, and when each was read",
    "people": "people by number, as last read; `pseudonym` is how the ledger names them",
    "profiles": "public profiles that a policy asked for",
    "runs": "what was carried out",
    "changes": "each change of each run, with how it ended",
    "plans": "plans as they were approved",
    "tray": "decisions of the desk, also those that were not sent",
    "members": "who may use the desk",
    "views": "saved views",
    "bindings": "which account a key of a table means",
    "promotions": "which version of each policy may act unattended",
    "first_turns": "versions of policies whose first turn at a repo is over",
    "halted_versions": "versions of policies that wait because somebody paused or stopped a run",
    "halted_ends": "ends of grants that wait for the same reason",
    "settings": "internal settings of hf-gate",
}
"""Tables that are exported as they are, one JSON object a line, and what each holds."""


def export_files(
    store: Store, dump: Dump, owned: Mapping[str, bytes], now: datetime
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Names of files with their lines; to be written within `dump.snapshot`. `owned`: files of the workspace."""
    verdicts = CurrentVerdicts(None)
    yield "README.txt", [_readme(store.endpoint, now).encode()]
    yield "requests.jsonl", (_line(exported_request(row, verdicts)) for row in dump.requests())
    yield "ledger.jsonl", export_ledger(store, now, personal=True)
    yield "checkpoints.jsonl", (_line(checkpoint_to_dict(one, store.endpoint)) for one in store.checkpoints())
    for table in TABLES:
        yield f"{table}.jsonl", (_line(_readable(row)) for row in dump.table(table))
    for name, content in owned.items():
        yield f"workspace/{name}", [content]


def _readable(row: Mapping[str, Any]) -> dict[str, object]:
    """Moments as ISO 8601, documents as JSON."""
    return {key: _value(key, value) for key, value in row.items()}


def _value(key: str, value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and (key == "at" or key.endswith("_at")):
        return ms_to_iso(value)
    if not isinstance(value, bytes | memoryview):
        return value
    data = bytes(value)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return base64.b64encode(data).decode()


def _line(document: object) -> bytes:
    return msgspec.json.encode(document) + b"\n"


def _readme(endpoint: str, now: datetime) -> str:
    tables = "".join(f"{name + '.jsonl':20} {what}\n" for name, what in TABLES.items())
    return f"""\
hf-gate store export of {endpoint}, made at {to_iso(now)}

These files hold names, mail addresses and answers of people. Keep them private.
Each .jsonl file has one JSON object a line, UTF-8. Times are ISO 8601 in UTC.

requests.jsonl       each attempt of each request, with its answers and the Hub's own record
ledger.jsonl         the ledger with its proofs: hf-gate audit verify --file ledger.jsonl
checkpoints.jsonl    the heads of all chains as they were written down
{tables}workspace/           your own files: hf-gate.yaml, policies, tables

Left out: sessions and sign-in links, and what is counted from the files above.
"""
