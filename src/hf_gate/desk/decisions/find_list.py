"""The page that finds the people of a pasted list, and selects those who wait."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.requests.queue_query import parse_queue_query
from hf_gate.desk.requests.request_lines import request_key
from hf_gate.errors import UsageError
from hf_gate.grants.people_files import MAX_ENTRIES, MAX_TEXT, parse_pasted_list
from hf_gate.grants.service.tables.people_lists import ENTRY_STATES, ListMatch, match_entry
from hf_gate.requests.rows.selections import select_requests
from hf_gate.settings.service.workspace import new_id


def page(context: HttpContext) -> Response:
    """Show the form for a list. The repo is that of the queue's query, if it has one."""
    asked = parse_queue_query(context, context.query_value("q")).values_of("repo")
    return _page(context, _find_repo(context, "".join(asked)))


def find(context: HttpContext) -> Response:
    """Show what is known about each entry of the list, with a selection of those who wait."""
    text = context.form_value("list")
    repo = _find_repo(context, context.form_value("repo"))
    try:
        entries = parse_pasted_list(text)
    except UsageError as problem:
        return _page(context, repo, text=text[:MAX_TEXT], wrong=f"{problem} {problem.hint}", status=422)
    store = context.workspace.store
    matches = [
        match_entry(store, entry, lambda place: context.can_see(place) and repo in {None, place}) for entry in entries
    ]
    waiting = {row.id for match in matches for row in match.rows if row.state.status == Status.PENDING}
    pick = new_id("b")
    select_requests(store, pick, context.member.id, sorted(waiting), to_ms(context.now))
    return _page(context, repo, matches, text=text, pick=pick, waiting=len(waiting))


def _page(
    context: HttpContext,
    repo: Repo | None,
    matches: Sequence[ListMatch] = (),
    *,
    text: str = "",
    pick: str = "",
    waiting: int = 0,
    wrong: str = "",
    status: int = 200,
) -> Response:
    """Show the form, and the matches of a list. `pick`: the selection of the requests that wait."""
    return context.render(
        "find-list.html",
        status,
        title="Find a list",
        matches=matches,
        counts=[(state, n) for state in ENTRY_STATES if (n := sum(match.state == state for match in matches))],
        pick=pick,
        waiting=waiting,
        text=text,
        repo=repo,
        repos=[row.repo for row in context.list_visible_repos().rows],
        most=MAX_ENTRIES,
        wrong=wrong,
        request_key=request_key,
    )


def _find_repo(context: HttpContext, text: str) -> Repo | None:
    """Return the visible repo with this name, or the only visible one; else None."""
    repos = [row.repo for row in context.list_visible_repos().rows]
    return next((repo for repo in repos if str(repo) == text), repos[0] if len(repos) == 1 else None)
