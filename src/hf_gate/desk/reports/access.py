"""The page of access: who has access to a repo, or had it on a date, and what the syncs of that time prove; also as
files.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from hf_gate.base.ids import Repo
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, parse_number
from hf_gate.desk.people.people import person_url
from hf_gate.errors import UsageError
from hf_gate.ledger.service.access_report import (
    AccessRecord,
    AccessView,
    describe_outside,
    name_deciders,
    name_rule,
    parse_moment,
    read_access,
)

_ROWS: Final = 100  # on one page


def page(context: HttpContext) -> Response:
    """Show who had access to one repo at a moment, a page at a time."""
    as_of = context.query_value("as_of").strip()[:40]
    repos = [row.repo for row in context.list_visible_repos().rows]
    view = None
    problem = None
    try:
        repo = _chosen_repo(context, repos)
        view = None if repo is None else _read_view(context, [repo], as_of)
    except UsageError as found:
        problem = f"{found} {found.hint or ''}".strip()
        repo = None
    rows = []
    following = None
    if view is not None:
        pairs, cursor = view.read_page(_ROWS, parse_number(context.query_value("before")))
        rows = [(row, person_url(past.row.person)) for past, row in pairs]
        following = None if cursor is None else _href("/access", repo, as_of, before=str(cursor))
    return context.render(
        "access.html",
        title="Access",
        repos=repos,
        repo=repo,
        as_of=as_of,
        view=view,
        rows=rows,
        following=following,
        is_first=not context.query_value("before"),
        first=_href("/access", repo, as_of),
        files={} if view is None else {kind: _href(f"/access.{kind}", repo, as_of) for kind in ("csv", "json")},
        sentences=[] if view is None else list(view.describe()),
        problem=problem,
        name_deciders=name_deciders,
        name_rule=name_rule,
        describe_outside=describe_outside,
    )


def export(context: HttpContext) -> Response:
    """Return everybody who had access by a request, at one repo or at all visible repos, as a file."""
    repos = [row.repo for row in context.list_visible_repos().rows]
    chosen = _chosen_repo(context, repos) if context.query_value("repo") else None
    view = _read_view(context, repos if chosen is None else [chosen], context.query_value("as_of").strip()[:40])
    return export_response("access", context.params["kind"], AccessRecord, view.records())


def _chosen_repo(context: HttpContext, repos: list[Repo]) -> Repo | None:
    """Return the repo of the address, else the first one. Raises UsageError for a repo that is not visible."""
    name = context.query_value("repo")
    if not name:
        return repos[0] if repos else None
    repo = next((repo for repo in repos if str(repo) == name), None)
    if repo is None:
        raise UsageError("This desk has no such repo.", hint="Choose one from the list.")
    return repo


def _read_view(context: HttpContext, repos: list[Repo], as_of: str) -> AccessView:
    zone = context.workspace.zone
    at = parse_moment(as_of, context.now, zone) if as_of else context.now
    return read_access(context.workspace.store, repos, at.astimezone(zone))


def _href(path: str, repo: Repo | None, as_of: str, **more: str) -> str:
    values = {"repo": "" if repo is None else str(repo), "as_of": as_of} | more
    return f"{path}?{urlencode({key: value for key, value in values.items() if value})}"
