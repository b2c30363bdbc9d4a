"""The pages of repos: gate, pending requests, syncs, form and policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from hf_gate.base.ids import Repo, RepoType, parse_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.parsing.query import Query, one_of
from hf_gate.core.policy_model import Policy
from hf_gate.core.records import RepoRecord
from hf_gate.core.stored_rows import RepoRow
from hf_gate.decisions.records import repo_record
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, require
from hf_gate.desk.policies.policy_texts import can_read_policy
from hf_gate.errors import HfGateError
from hf_gate.policies.words.descriptions import describe_policies
from hf_gate.policies.words.rule_phrases import has_constant
from hf_gate.reports.service.workspace_status import format_answered_line, read_repo_status

GATE_MODES: Final = {
    "manual": ("manual", "each request waits for a review"),
    "auto": ("automatic", "each requester gets access at once"),
}
WRITE_ONLY: Final = (
    "Who is notified of new requests",
    "How often they are notified",
    "Whether members of the organisation must ask too",
)
"""Settings of a gate that the API can write but not read."""


class RepoLine(Struct, frozen=True):
    """One repo as a row. `form` None: the card was never read."""

    row: RepoRow
    oldest: datetime | None
    form: GateForm | None
    problems: Sequence[Mapping[str, Any]]
    policies: Sequence[Policy]

    @property
    def repo(self) -> Repo:
        return self.row.repo

    @property
    def href(self) -> str:
        return repo_url(self.row.repo)

    @property
    def gate(self) -> tuple[str, str]:
        """The label of the gate's mode, and its meaning."""
        if self.row.gated is None:
            return ("never read", "") if self.row.full_at is None else ("open", "no request is needed")
        return GATE_MODES.get(self.row.gated, (self.row.gated, ""))

    @property
    def synced_at(self) -> datetime | None:
        """The time of the last sync, quick or full."""
        moments = [at for at in (self.row.quick_at, self.row.full_at) if at is not None]
        return from_ms(max(moments)) if moments else None

    @property
    def questions(self) -> list[str]:
        """The questions that a requester has to answer."""
        return [] if self.form is None else [field.label for field in self.form.fields if field.type != "ip_location"]

    def count(self, status: str) -> int:
        return self.row.counts.get(status, 0)

    def queue_url(self, status: str) -> str:
        """Return the queue's address for the requests in one status."""
        return "/queue?" + urlencode({"q": f"status:{status} repo:{self.row.repo}"})


def repo_url(repo: Repo) -> str:
    """Return the address of a repo's page."""
    return f"/repos/{repo.type.value}s/{repo.id}"


def find_repo(context: HttpContext) -> RepoRow:
    """Return the repo of the address; NotFound if the member cannot see it."""
    words = {f"{kind.value}s": kind for kind in RepoType}
    repo = Repo(require(words.get(context.params["type"])), context.params["ns"], context.params["name"])
    return require(context.workspace.store.repo(repo) if context.can_see(repo) else None)


# ---- the list --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the repos that the member can see, the longest wait first."""
    lines = sorted(
        (repo_line(context, row) for row in context.list_visible_repos().rows),
        key=lambda line: (line.oldest is None, line.oldest.timestamp() if line.oldest else 0.0, line.repo),
    )
    return context.render(
        "repos.html",
        title="Repos",
        lines=lines,
        waiting=sum(line.count(Status.PENDING) for line in lines),
        unread=[str(repo) for repo in _configured_repos(context) if not any(line.repo == repo for line in lines)],
        problem=context.app_state.policies.problem_for(context.member),
    )


def _configured_repos(context: HttpContext) -> Iterator[Repo]:
    """Yield the repos that hf-gate.yaml names without wildcards, to find those that were never synced."""
    for text in context.workspace.location.config.repos if context.workspace.location.folder is not None else ():
        with suppress(HfGateError):  # a glob
            repo = parse_repo(text)
            if context.can_see(repo):
                yield repo


def export(context: HttpContext) -> Response:
    """Return the same rows as a file."""
    rows = [
        repo_record(row, _oldest_pending(context, row), [policy.name for policy in list_policies(context, row.repo)])
        for row in context.list_visible_repos().rows
    ]
    return export_response("repos", context.params["kind"], RepoRecord, rows)


def repo_line(context: HttpContext, row: RepoRow) -> RepoLine:
    """Return the row of a repo."""
    form, problems = read_stored_form(row)
    return RepoLine(row, _oldest_pending(context, row), form, problems, list_policies(context, row.repo))


def _oldest_pending(context: HttpContext, row: RepoRow) -> datetime | None:
    if not row.counts.get(Status.PENDING, 0):
        return None
    terms = (one_of("repo", str(row.repo)), one_of("status", Status.PENDING))
    found = context.workspace.store.query(Query(terms), now=to_ms(context.now), limit=1, with_record=False).rows
    return from_ms(found[0].state.asked_at) if found else None


def read_stored_form(row: RepoRow) -> tuple[GateForm | None, Sequence[Mapping[str, Any]]]:
    """Return the form as last read, and the problems of its card."""
    if row.form_card is None:
        return None, []
    return form_from_json(row.form_card), json.loads(row.form_card).get("problems", [])


def list_policies(context: HttpContext, repo: Repo) -> list[Policy]:
    """Return the policies that apply to a repo; none while a file has an error."""
    bundle = context.app_state.policies.current
    found = () if bundle is None else bundle.policies
    return [each for each in found if matches_any(each.applies_to, repo)]


# ---- one repo --------------------------------------------------------------------------------------------------------


def repo_page(context: HttpContext) -> Response:
    """Show one repo: gate, syncs, the form as requesters see it, and its policies in words."""
    row = find_repo(context)
    line = repo_line(context, row)
    app_state = context.app_state
    standing = read_repo_status(app_state.workspace.store, row, context.now)
    pending = line.count(Status.PENDING)
    return context.render(
        "repo.html",
        title=str(row.repo),
        line=line,
        statuses=[(status.value, line.count(status)) for status in STATUSES],
        others=[(name, n) for name, n in row.counts.items() if n and name not in set(STATUSES)],
        median=standing.median if pending else None,
        serving=format_answered_line(standing.answered_before, standing.oldest, context.now, app_state.workspace.zone),
        quick=None if row.quick_at is None else from_ms(row.quick_at),
        full=None if row.full_at is None else from_ms(row.full_at),
        write_only=WRITE_ONLY,
        said_lines=_describe_policies(context, line.policies),
        problem=app_state.policies.problem_for(context.member),
        hub_url=f"{app_state.workspace.store.endpoint}/{row.repo.web_path}",
    )


def _describe_policies(context: HttpContext, policies: Sequence[Policy]) -> list[str]:
    """Return the policies in sentences, without those that could name other repos to this member."""
    lines = list(describe_policies(policies)) if policies else []
    if not all(can_read_policy(context, policy) for policy in policies):
        return [line for line in lines if not has_constant(line)]
    return lines


def sync_now(context: HttpContext) -> Response:
    """Ask the background worker to sync now."""
    row = find_repo(context)
    context.app_state.request_sync()
    return RedirectResponse(f"{repo_url(row.repo)}?asked=1", 303)
