"""The audit log in the desk: its entries with filters, as files, and what proves it: verification,
checkpoint, export.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Final
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from msgspec import Struct, to_builtins
from starlette.responses import RedirectResponse, Response

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.timestamps import format_day, from_ms
from hf_gate.core.events.entry_records import audit_record
from hf_gate.core.events.event_descriptions import KIND_LABELS
from hf_gate.core.events.events import KINDS, ChangeSettled, NoteWritten, RunEnded, StatusMoved, VerdictReached, kind_of
from hf_gate.core.events.ledger import WORKSPACE_CHAIN
from hf_gate.core.records import AuditRecord
from hf_gate.core.stored_rows import TimelineFilter, TimelinePage
from hf_gate.decisions.typed_input import parse_event_kind
from hf_gate.desk.exports import export_response, file_response
from hf_gate.desk.http_context import HttpContext, Refused, parse_number, require_all_repos, sees_all_repos
from hf_gate.errors import HfGateError, UsageError
from hf_gate.ledger.service.ledger_files import checkpoint_record, export_ledger, store_checkpoint
from hf_gate.ledger.service.ledger_verification import LedgerReport, verify_ledger
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.rows.ledger import iterate_entries, search_entries

from .audit_entries import entry_lines

PAGE_SIZE: Final = 50

VIEWS: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("Everything", {}),
    ("Changes", {"kind": kind_of(ChangeSettled)}),
    ("Outside the desk", {"kind": kind_of(StatusMoved)}),
    ("Runs", {"kind": kind_of(RunEnded)}),
    ("Verdicts", {"kind": kind_of(VerdictReached)}),
    ("Notes", {"kind": kind_of(NoteWritten)}),
)


# ---- the query -------------------------------------------------------------------------------------------------------


class AuditQuery(Struct, frozen=True):
    """The filters as written (`values`) and as parsed (`filter`), and the problem with them."""

    values: Mapping[str, str]
    filter: TimelineFilter
    problem: str = ""

    def href(self, path: str = "/audit", **more: object) -> str:
        """Return an address with the same filters; `more` overrides them."""
        said = {key: value for key, value in {**self.values, **more}.items() if value}
        return f"{path}?{urlencode(said)}" if said else path


def parse_audit_query(context: HttpContext) -> AuditQuery:
    """Parse the filters, limited to the repos that the member can see."""
    words = {key: context.query_value(key).strip()[:200] for key in ("repo", "kind", "actor", "person", "request")}
    mine = [row.repo for row in context.list_visible_repos().rows]
    is_all = len(mine) == len(context.workspace.store.repos())
    repos: list[Repo] | None = None if is_all else mine
    with_desk = sees_all_repos(context)
    problem = ""
    if words["repo"] == WORKSPACE_CHAIN:
        repos = []
        problem = "" if with_desk else "You cannot see the entries of the desk."
    elif words["repo"]:
        repos = _repos_named(context, words["repo"])
        with_desk = False
        problem = "" if repos else f"There is no repo {words['repo']}."
    try:
        kind = parse_event_kind(words["kind"]) if words["kind"] else None
    except UsageError as error:
        kind = None
        problem = str(error)
    requests: list[int] | None = None
    if words["person"]:
        requests = _requests_of(context, words["person"])
        problem = problem or ("" if requests else "There is no person with that name.")
    if words["request"]:
        requests = [context.find_request(words["request"]).id]
    return AuditQuery(words, TimelineFilter(repos, with_desk, kind, words["actor"] or None, requests), problem)


def _repos_named(context: HttpContext, text: str) -> list[Repo]:
    try:
        repo = parse_repo(text, endpoint=context.workspace.store.endpoint)
    except HfGateError:
        return []
    return [row.repo for row in context.list_visible_repos().rows if row.repo == repo]


def _requests_of(context: HttpContext, text: str) -> list[int]:
    """Return the attempts of the people with this name."""
    people = {row.person.id for row in context.workspace.store.find_by_identity(None, text)}
    return [
        row.id for ident in people for row in context.workspace.store.attempts(None, ident) if context.can_see(row.repo)
    ]


def _read_timeline(context: HttpContext, asked: AuditQuery, limit: int, before: int | None) -> TimelinePage:
    if asked.problem:
        return TimelinePage([])
    return search_entries(context.workspace.store, asked.filter, limit=limit, before=before)


# ---- the timeline ----------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show one page of the timeline by day, newest first."""
    asked = parse_audit_query(context)
    found = _read_timeline(context, asked, PAGE_SIZE, parse_number(context.query_value("before")))
    lines = entry_lines(context, found.rows)
    said = {key: value for key, value in asked.values.items() if value}
    zone = context.workspace.zone
    by_day = groupby(lines, key=lambda line: format_day(line.at.astimezone(zone)))
    return context.render(
        "audit.html",
        title="Audit log",
        asked=asked,
        days=[(day, list(some)) for day, some in by_day],
        count=len(lines),
        older=asked.href(before=found.next) if found.next is not None else None,
        is_cut=found.is_cut,
        is_first=not context.query_value("before"),
        kinds=[(kind, KIND_LABELS[kind]) for kind in KINDS],
        repos=[str(row.repo) for row in context.list_visible_repos().rows],
        views=[(name, "/audit" + (f"?{urlencode(some)}" if some else ""), said == some) for name, some in VIEWS],
        total=count_entries(context.workspace),
        sees_all_repos=sees_all_repos(context),
        proof=_proofs.get(context.workspace),
        checkpoints=context.workspace.store.checkpoints()[-1:] if sees_all_repos(context) else [],
        from_ms=from_ms,
    )


def export(context: HttpContext) -> Response:
    """Return all matching entries as a file like `hf-gate audit ls`: without names, answers, reasons and notes."""
    asked = parse_audit_query(context)
    if asked.problem:
        raise UsageError(asked.problem)
    records = (
        audit_record(row.link, zone=context.workspace.zone)
        for row in iterate_entries(context.workspace.store, asked.filter)
    )
    return export_response("ledger-entries", context.params["kind"], AuditRecord, records)


# ---- proofs ----------------------------------------------------------------------------------------------------------


_NEEDS_ALL_REPOS: Final = "The audit log can only be verified as a whole, and you cannot see all of its repos."


def count_entries(workspace: Workspace) -> int:
    """Return the number of entries of all chains."""
    return sum(length for length, _ in workspace.store.chains().values())


class StoredProof(Struct, frozen=True):
    """The result of a proof. `head`: the number of entries at that time; `took`: seconds."""

    result: LedgerReport
    at: datetime
    took: float
    head: int
    by: str


_proofs: WeakKeyDictionary[Workspace, StoredProof] = WeakKeyDictionary()
_proving: Final = threading.Lock()


def prove_ledger(context: HttpContext) -> Response:
    """Verify all chains, seals and stored checkpoints; one proof at a time."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    if not _proving.acquire(blocking=False):
        raise Refused("The audit log is already being verified.", hint="Reload the page in a moment.", status=409)
    try:
        workspace = context.workspace
        begun = time.monotonic()
        head = count_entries(workspace)
        result = verify_ledger(workspace.store)
        _proofs[workspace] = StoredProof(
            result, context.app_state.now(), time.monotonic() - begun, head, context.member.name
        )
    finally:
        _proving.release()
    return RedirectResponse("/audit", 303)


def make_checkpoint(context: HttpContext) -> Response:
    """Store the heads of all chains and return them as a file, which later proves that nothing was cut off."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    made = store_checkpoint(context.workspace.store, context.now)
    text = json.dumps(to_builtins(checkpoint_record(made, context.workspace.store.endpoint)), indent=1) + "\n"
    return file_response([text.encode()], "application/json", f"checkpoint-{context.now:%Y%m%dT%H%M%SZ}.json")


def download_ledger(context: HttpContext) -> Response:
    """Return the ledger for `hf-gate audit verify --file`, without personal data."""
    require_all_repos(context, _NEEDS_ALL_REPOS)
    return file_response(export_ledger(context.workspace.store, context.now), "application/x-ndjson", "ledger.jsonl")
