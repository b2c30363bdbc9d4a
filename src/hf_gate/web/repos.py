"""Repos: how each is gated, who waits there, when it was read and how surely, what its form asks and which policies hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..application.record_builders import repo_record
from ..application.records import RepoRecord
from ..application.workspace_status import format_answered_line, read_repo_status
from ..domain.forms import GateForm, form_from_json
from ..domain.ids import Repo, RepoType, parse_repo
from ..domain.lifecycle import STATUSES, Status
from ..domain.query import Pattern, Query, Term
from ..domain.rows import RepoRow
from ..domain.timestamps import from_ms, to_ms
from ..errors import HfGateError
from ..policy.descriptions import describe_policies
from ..policy.literals import glob_matches
from ..policy.model import Policy
from .exports import export_response
from .markdown import parse_markdown
from .request_context import NotFound, RequestContext

GATE_MODES: Final = {
    "manual": ("by hand", "each request waits for a review"),
    "auto": ("by itself", "whoever asks is let in at once"),
}
WRITE_ONLY: Final = (
    "Whom it tells of new requests",
    "How often it tells them",
    "Whether members of the organisation have to ask too",
)
"""Settings of a gate that can be made through the API and never read back."""


@dataclass(frozen=True, slots=True)
class FormProblem:
    """What is wrong with the card, at its line and column."""

    line: int
    column: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RepoLine:
    """One repo as its row shows it. `form` None: the card was never read."""

    row: RepoRow
    oldest: datetime | None
    form: GateForm | None
    problems: Sequence[FormProblem]
    policies: Sequence[Policy]

    @property
    def repo(self) -> Repo:
        return self.row.repo

    @property
    def href(self) -> str:
        return repo_url(self.row.repo)

    @property
    def gate(self) -> tuple[str, str]:
        """Two words for the mode, and what it means."""
        if self.row.gated is None:
            return ("never read", "") if self.row.full_at is None else ("open", "nobody has to ask")
        return GATE_MODES.get(self.row.gated, (self.row.gated, ""))

    @property
    def synced_at(self) -> datetime | None:
        """The last reading of either kind."""
        moments = [at for at in (self.row.quick_at, self.row.full_at) if at is not None]
        return from_ms(max(moments)) if moments else None

    @property
    def questions(self) -> list[str]:
        """What a requester has to fill in."""
        return [] if self.form is None else [field.label for field in self.form.fields if field.type != "ip_location"]

    def count(self, status: str) -> int:
        return self.row.counts.get(status, 0)

    def queue_url(self, status: str) -> str:
        """The address of those in one status."""
        return "/queue?" + urlencode({"q": f"status:{status} repo:{self.row.repo}"})


def repo_url(repo: Repo) -> str:
    """The address of its page."""
    return f"/repos/{repo.type.value}s/{repo.id}"


def find_repo(context: RequestContext) -> RepoRow:
    """Which repo the address means, if this person sees it."""
    words = {f"{kind.value}s": kind for kind in RepoType}
    kind = words.get(context.params["type"])
    if kind is None:
        raise NotFound
    repo = Repo(kind, context.params["ns"], context.params["name"])
    row = context.workspace.store.repo(repo) if context.can_see(repo) else None
    if row is None:
        raise NotFound
    return row


# ---- all of them -------------------------------------------------------------------------------------------------------


def page(context: RequestContext) -> Response:
    """Every repo of the desk that this person sees; who waits longest first."""
    lines = sorted((repo_line(context, row) for row in context.app_state.membership.repos(context.member)), key=_by_age)
    return context.render(
        "repos.html",
        title="Repos",
        lines=lines,
        waiting=sum(line.count(Status.PENDING) for line in lines),
        unread=[str(repo) for repo in _configured_repos(context) if not any(line.repo == repo for line in lines)],
        problem=context.app_state.policy_problem_for(context.member),
    )


def _by_age(line: RepoLine) -> tuple[bool, float, Repo]:
    return line.oldest is None, line.oldest.timestamp() if line.oldest else 0.0, line.repo


def _configured_repos(context: RequestContext) -> Iterator[Repo]:
    """Repos that the desk names one by one, so that one which was never read is missed."""
    for text in context.workspace.location.config.repos if context.workspace.location.folder is not None else ():
        with suppress(HfGateError):  # a glob
            repo = parse_repo(text)
            if context.can_see(repo):
                yield repo


def export(context: RequestContext) -> Response:
    """The same rows as a file."""
    rows = [
        repo_record(row, _oldest_pending(context, row), [each.name for each in list_policies(context, row.repo)])
        for row in context.app_state.membership.repos(context.member)
    ]
    return export_response("repos", context.params["kind"], RepoRecord, rows)


def repo_line(context: RequestContext, row: RepoRow) -> RepoLine:
    """One repo with what its row shows."""
    form, problems = read_form(row)
    return RepoLine(row, _oldest_pending(context, row), form, problems, list_policies(context, row.repo))


def _oldest_pending(context: RequestContext, row: RepoRow) -> datetime | None:
    if not row.counts.get(Status.PENDING, 0):
        return None
    terms = (Term("repo", (Pattern((str(row.repo),)),)), Term("status", (Pattern((Status.PENDING.value,)),)))
    found = context.workspace.store.query(Query(terms), now=to_ms(context.now), limit=1, with_record=False).rows
    return from_ms(found[0].state.asked_at) if found else None


def read_form(row: RepoRow) -> tuple[GateForm | None, list[FormProblem]]:
    """The form as it was read last, and what was wrong with its card."""
    if row.form_card is None:
        return None, []
    told = json.loads(row.form_card).get("problems", [])
    problems = [FormProblem(each["line"], each["column"], each["code"], each["message"]) for each in told]
    return form_from_json(row.form_card), problems


def list_policies(context: RequestContext, repo: Repo) -> list[Policy]:
    """The policies that are for a repo; none while a file is wrong."""
    bundle = context.app_state.policies.current
    found = () if bundle is None else bundle.policies
    return [each for each in found if any(glob_matches(glob, repo) for glob in each.applies_to)]


# ---- one of them -------------------------------------------------------------------------------------------------------


def repo_page(context: RequestContext) -> Response:
    """One repo: its gate, its readings, its form as a requester meets it, and what holds there in words."""
    row = find_repo(context)
    line, app_state = repo_line(context, row), context.app_state
    standing = read_repo_status(app_state.workspace.store, row, context.now)
    pending = line.count(Status.PENDING)
    return context.render(
        "repo.html",
        title=str(row.repo),
        line=line,
        prompt_of=parse_markdown,
        statuses=[(status.value, line.count(status)) for status in STATUSES],
        others=[(name, n) for name, n in row.counts.items() if n and name not in set(STATUSES)],
        median=standing.median if pending else None,
        serving=format_answered_line(standing.answered_before, context.now, app_state.workspace.zone),
        quick=None if row.quick_at is None else from_ms(row.quick_at),
        full=None if row.full_at is None else from_ms(row.full_at),
        write_only=WRITE_ONLY,
        said_lines=describe_policies(line.policies) if line.policies else [],
        problem=app_state.policy_problem_for(context.member),
        hub_url=f"{app_state.workspace.store.endpoint}/{row.repo.web_path}",
    )


def sync_now(context: RequestContext) -> Response:
    """Asks the reader of this desk to look now; it goes on by its own rules, so nobody reads twice at once."""
    row = find_repo(context)
    context.app_state.request_sync()
    return RedirectResponse(f"{repo_url(row.repo)}?asked=1", 303)
