"""The page that finds the people of a pasted list, and grants to those who never asked: read, checked and started."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Sequence
from typing import Final

from starlette.responses import RedirectResponse, Response

from hf_gate.base.ids import Person, Repo, is_id, parse_repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.hand_terms import NO_END_WORD, choose_end
from hf_gate.decisions.service.grants_in_advance import GrantInAdvance, create_grant_run
from hf_gate.errors import HfGateError, UsageError
from hf_gate.grants.service.tables.people_lists import (
    MAX_ENTRIES,
    MAX_TEXT,
    EntryState,
    ListMatch,
    ListScope,
    match_list,
    parse_pasted_list,
)
from hf_gate.requests.pages.queue_query import parse_queue_query
from hf_gate.requests.pages.request_lines import request_key
from hf_gate.requests.rows.selections import select_requests
from hf_gate.requests.service.targets import USERNAME
from hf_gate.settings.service.workspace import new_id
from hf_gate.web.http_context import HttpContext, Refused


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
    scope = ListScope(context.can_see, context.member.is_own, repo)
    matches = match_list(context.workspace.store, entries, scope, context.app_state.profile_lookup)
    if matches is None:
        raise Refused("Another list is being looked up.", hint="Try again in a moment.", status=429)
    waiting = [row.id for match in matches if match.state is EntryState.WAITING for row in match.rows]
    pick = new_id("b")
    select_requests(context.workspace.store, pick, context.member.id, waiting, to_ms(context.now))
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
    """Show the form, and the matches of a list by state. `pick`: the selection of the requests that wait."""
    counts = Counter(match.state for match in matches)
    order = list(EntryState)
    return context.render(
        "find-list.html",
        status,
        title="Find a list",
        matches=sorted(matches, key=lambda match: order.index(match.state)),
        counts=[(state, counts[state]) for state in order if counts[state]],
        pick=pick,
        waiting=waiting,
        grants={
            match.entry: grant_value(context, GrantInAdvance(repo, match.person))
            for match in matches
            if match.state is EntryState.NEVER_ASKED and match.person is not None and repo is not None
        },
        needs_repo=repo is None and counts[EntryState.NEVER_ASKED] > 0,
        text=text,
        repo=repo,
        repos=[row.repo for row in context.list_visible_repos().rows],
        most=MAX_ENTRIES,
        wrong=wrong,
        format_age=context.format_age,
        request_key=request_key,
    )


def _find_repo(context: HttpContext, text: str) -> Repo | None:
    """Return the visible repo with this name, or the only visible one; else None."""
    repos = [row.repo for row in context.list_visible_repos().rows]
    return next((repo for repo in repos if str(repo) == text), repos[0] if len(repos) == 1 else None)


# ---- grants in advance -----------------------------------------------------------------------------------------------


GRANTED: Final = "grant"
OFFERED: Final = "offered"
"""The names of the fields: the ticked people, and all who are shown."""


def grant_value(context: HttpContext, grant: GrantInAdvance) -> str:
    """Return a grant as the value of a tick box, sealed: the name and the id are those that were found together."""
    text = f"{grant.repo}:{grant.person.id}:{grant.person.username or ''}"
    return f"{text}:{_seal(context, text)}"


def _seal(context: HttpContext, text: str) -> str:
    """Return a seal that only this process makes, for this member."""
    key = context.app_state.grant_key
    owned = f"{context.member.id} {text}"
    return hmac.new(key, owned.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32]


def read_grants(context: HttpContext, name: str = GRANTED) -> list[GrantInAdvance]:
    """Return the grants in a field, each once. Raises Refused for one that the member may not make."""
    texts = dict.fromkeys(context.form.get(name, [])[: MAX_ENTRIES + 1])
    if len(texts) > MAX_ENTRIES:
        raise Refused(f"At most {MAX_ENTRIES} people can be granted access at once.", hint="Paste the list in parts.")
    grants = [_parse_grant(context, text) for text in texts]
    return list({(grant.repo, grant.person.id): grant for grant in grants}.values())


def _parse_grant(context: HttpContext, text: str) -> GrantInAdvance:
    text, _, seal = text.rpartition(":")
    if not hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), _seal(context, text).encode()):
        raise Refused("Nothing was granted: the list is not the one that was looked up.", hint="Paste the list again.")
    place, _, rest = text.partition(":")
    user_id, _, name = rest.partition(":")
    try:
        repo = parse_repo(place)
    except HfGateError:
        repo = None
    if repo is None or not is_id(user_id) or (name and not USERNAME.match(name)):
        raise Refused("Nothing was granted: the form is not complete.", hint="Paste the list again.")
    is_stored = context.workspace.store.repo(repo) is not None
    if not is_stored or not context.can_see(repo) or context.member.is_own(name, user_id):
        raise Refused("Nothing was granted: you may not grant this access.", hint="Paste the list again.", status=403)
    return GrantInAdvance(repo, Person(user_id.lower(), name or None))


def describe_new_requests(asked: Sequence[GrantInAdvance]) -> str:
    """Say that these people have a request by now."""
    names = ", ".join(grant.person.username or "somebody" for grant in asked[:5])
    return f"{len(asked)} asked meanwhile: {names}. To see their requests, paste the list again."


def start_grants(context: HttpContext, grants: Sequence[GrantInAdvance], until: str | None) -> Response:
    """Start the run of grants and redirect to it. `until`: the chosen end, as written in rules, or `none`."""
    app_state = context.app_state
    ident = new_id("r")
    name = context.member.name
    with app_state.tray_service.lock:
        author = app_state.membership.check_limit(context.member, "accept", len(grants), refused="Nothing was granted.")
        store = app_state.workspace.store
        reader = app_state.terms_reader
        zone = app_state.workspace.zone
        ends = [
            choose_end(reader.without_request(grant.repo), until or NO_END_WORD, context.now, zone) for grant in grants
        ]
        create_grant_run(store, grants, run_id=ident, actor=name, author=author, now=context.now, end=ends[0])
    app_state.run_worker.enqueue(ident)
    return RedirectResponse(f"/runs/{ident}", 303)
