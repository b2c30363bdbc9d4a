"""Verifies the ledger, and makes the files to verify it elsewhere: checkpoint and export."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from weakref import WeakKeyDictionary

from starlette.responses import RedirectResponse, Response

from ..application.ledger_files import checkpoint_to_dict, export_ledger, store_checkpoint
from ..application.ledger_verification import LedgerReport, verify_ledger
from ..application.workspace import Workspace
from .exports import file_response
from .request_context import Refused, RequestContext


def sees_all_repos(context: RequestContext) -> bool:
    """Return whether the member can see all repos, and so the workspace's chain and the proofs."""
    return context.member.repos is None


def require_all_repos(context: RequestContext, no: str) -> None:
    """Raise Refused with this message for members of some repos."""
    if not sees_all_repos(context):
        raise Refused(no, hint="Ask an admin of all repos.", status=403)


_NEEDS_ALL_REPOS: Final = "The audit log can only be verified as a whole, and you cannot see all of its repos."


def count_entries(workspace: Workspace) -> int:
    """Return the number of entries of all chains."""
    return sum(length for length, _ in workspace.store.chains().values())


def last_proof(workspace: Workspace) -> StoredProof | None:
    """Return the last proof made in this process."""
    return _proofs.get(workspace)


@dataclass(frozen=True, slots=True)
class StoredProof:
    """The result of a proof. `head`: the number of entries at that time; `took`: seconds."""

    result: LedgerReport
    at: datetime
    took: float
    head: int
    by: str


_proofs: WeakKeyDictionary[Workspace, StoredProof] = WeakKeyDictionary()
_proving: Final = threading.Lock()


def prove_ledger(context: RequestContext) -> Response:
    """Verify all chains, seals and stored checkpoints; one proof at a time."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    if not _proving.acquire(blocking=False):
        raise Refused("The audit log is already being verified.", hint="Reload the page in a moment.", status=409)
    try:
        workspace, begun = context.workspace, time.monotonic()
        head = count_entries(workspace)
        result = verify_ledger(workspace.store)
        _proofs[workspace] = StoredProof(
            result, context.app_state.now(), time.monotonic() - begun, head, context.member.name
        )
    finally:
        _proving.release()
    return RedirectResponse("/audit", 303)


def make_checkpoint(context: RequestContext) -> Response:
    """Store the heads of all chains and return them as a file, which later proves that nothing was cut off."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    made = store_checkpoint(context.workspace.store, context.now)
    text = json.dumps(checkpoint_to_dict(made, context.workspace.store.endpoint), indent=1) + "\n"
    return file_response([text.encode()], "application/json", f"checkpoint-{context.now:%Y%m%dT%H%M%SZ}.json")


def download_ledger(context: RequestContext) -> Response:
    """Return the ledger for `hf-gate audit verify --file`, without personal data."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    return file_response(export_ledger(context.workspace.store, context.now), "application/x-ndjson", "ledger.jsonl")
