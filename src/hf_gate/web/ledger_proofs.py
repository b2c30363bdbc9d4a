"""The proof of the whole ledger, and the files that prove it where the store is not: a checkpoint, an export."""

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
    """Whether this person is let into every repo of the desk, and so into its own chain and its proofs."""
    return context.member.repos is None


def require_all_repos(context: RequestContext, no: str) -> None:
    """Refuses who is let into some repos only."""
    if not sees_all_repos(context):
        raise Refused(no, hint="An admin of all repos can.", status=403)


_NEEDS_ALL_REPOS: Final = "The ledger can be proved as a whole only, and not all of its repos are yours."


def count_entries(workspace: Workspace) -> int:
    """How many entries all chains have together."""
    return sum(length for length, _ in workspace.store.chains().values())


def last_proof(workspace: Workspace) -> StoredProof | None:
    """What was found last, in this process."""
    return _proofs.get(workspace)


@dataclass(frozen=True, slots=True)
class StoredProof:
    """What the last proof found; `head` is how many entries there were, so that a page can say what came since."""

    result: LedgerReport
    at: datetime
    took: float
    head: int
    by: str


_proofs: WeakKeyDictionary[Workspace, StoredProof] = WeakKeyDictionary()
_proving: Final = threading.Lock()


def prove_ledger(context: RequestContext) -> Response:
    """Proves every chain, every seal and every checkpoint that is kept; one proof at a time."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    if not _proving.acquire(blocking=False):
        raise Refused("The ledger is being proved already.", hint="Load the page again in a moment.", status=409)
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
    """The heads of all chains, kept in the store and handed out as a file: it proves later that nothing was cut off."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    made = store_checkpoint(context.workspace.store, context.now)
    text = json.dumps(checkpoint_to_dict(made, context.workspace.store.endpoint), indent=1) + "\n"
    return file_response([text.encode()], "application/json", f"checkpoint-{context.now:%Y%m%dT%H%M%SZ}.json")


def download_ledger(context: RequestContext) -> Response:
    """The ledger as `hf-gate audit verify --file` proves it; personal data only comes from the command line."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    return file_response(export_ledger(context.workspace.store, context.now), "application/x-ndjson", "ledger.jsonl")
