"""The page that finds the people of a pasted list, and grants to those who never asked: read, checked and started."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from ..application.grants_in_advance import Grant, create_grant_run
from ..application.list_lookup import (
    MAX_ENTRIES,
    MAX_TEXT,
    EntryState,
    FoundEntry,
    ListScope,
    count_states,
    find_list,
    parse_pasted_list,
)
from ..application.targets import USERNAME
from ..application.workspace import new_id
from ..domain.hand_terms import NO_END_WORD, choose_end
from ..domain.ids import Person, Repo, is_id, parse_repo
from ..domain.timestamps import to_ms
from ..errors import Guarded, HfGateError, UsageError
from .queue_query import parse_queue_query
from .request_context import Refused, RequestContext
from .request_lines import request_key

PHRASES: Final = {
    EntryState.WAITING: "waiting", EntryState.ACCEPTED: "already in", EntryState.NEVER_ASKED: "never asked",
    EntryState.REJECTED: "rejected", EntryState.SENT_BACK: "sent back", EntryState.OWN: "your own account",
    EntryState.REPEATED: "named twice", EntryState.UNCLEAR: "unclear", EntryState.NOT_FOUND: "not found",
    EntryState.NOT_LOOKED_UP: "could not be looked up", EntryState.UNREADABLE: "not readable",
}  # fmt: skip
"""The states in the order of the page, in words."""


class ListLine(Struct, frozen=True):
    """One entry as a row.

    `grant`: the value of its tick box if access can be granted; `is_sure`: it is ticked at first.
    """

    text: str
    state: EntryState
    name: str
    fullname: str
    repos: Sequence[Repo]
    key: str | None
    age: str
    why: str
    grant: str = ""
    is_sure: bool = False

    @property
    def phrase(self) -> str:
        return PHRASES[self.state]


def page(context: RequestContext) -> Response:
    """Show the form for a list. The repo is that of the queue's query, if it has one."""
    asked = parse_queue_query(context, context.query_value("q")).values_of("repo")
    return _page(context, ListResult(), repo=_find_repo(context, "".join(asked)))


def find(context: RequestContext) -> Response:
    """Show what is known about each entry of the list, with a selection of those who wait."""
    text = context.form_value("list")
    repo = _find_repo(context, context.form_value("repo"))
    try:
        entries = parse_pasted_list(text)
    except UsageError as problem:
        return _page(
            context, ListResult(), text=text[:MAX_TEXT], repo=repo, wrong=f"{problem} {problem.hint}", status=422
        )
    scope = ListScope(context.can_see, context.member.is_own, repo)
    found = find_list(context.workspace.store, entries, scope, context.app_state.profile_lookup)
    if found is None:
        raise Refused("Another list is being looked up.", hint="Try again in a moment.", status=429)
    rows = [row.id for one in found if one.state is EntryState.WAITING for row in one.rows]
    ident = new_id("b")
    context.workspace.selections.add(ident, context.member.id, rows, to_ms(context.now))
    order = list(PHRASES)
    lines = sorted((_make_line(context, one, repo) for one in found), key=lambda line: order.index(line.state))
    counts = count_states(found)
    result = ListResult(
        ident,
        lines,
        [(PHRASES[state], counts[state]) for state in PHRASES if counts[state]],
        len(rows),
        sum(1 for line in lines if line.grant),
        needs_repo=repo is None and counts[EntryState.NEVER_ASKED] > 0,
    )
    return _page(context, result, text=text, repo=repo)


class ListResult(Struct, frozen=True):
    """What was found: lines, counts by phrase, requests that wait, and people who can be granted access."""

    pick: str = ""
    lines: Sequence[ListLine] = ()
    counts: Sequence[tuple[str, int]] = ()
    waiting: int = 0
    grants: int = 0
    needs_repo: bool = False


def _page(
    context: RequestContext,
    result: ListResult,
    *,
    text: str = "",
    repo: Repo | None = None,
    wrong: str = "",
    status: int = 200,
) -> Response:
    return context.render(
        "find-list.html",
        status,
        title="Find a list",
        result=result,
        text=text,
        repo=repo,
        repos=[row.repo for row in context.list_visible_repos().rows],
        most=MAX_ENTRIES,
        wrong=wrong,
    )


def _find_repo(context: RequestContext, text: str) -> Repo | None:
    """Return the visible repo with this name, or the only visible one; else None."""
    repos = [row.repo for row in context.list_visible_repos().rows]
    return next((repo for repo in repos if str(repo) == text), repos[0] if len(repos) == 1 else None)


def _make_line(context: RequestContext, one: FoundEntry, repo: Repo | None) -> ListLine:
    row = one.rows[0] if one.rows and one.state is not EntryState.UNCLEAR else None
    person = one.person
    if row is not None:
        identity = row.person.identity
        person = Person(identity.user_id, row.person_name, identity.fullname)
    can_grant = row is None and one.state is EntryState.NEVER_ASKED
    made = None if person is None else person.created_at
    return ListLine(
        text=one.entry.text,
        state=one.state,
        name="" if person is None else person.username or "",
        fullname="" if person is None else person.fullname or "",
        repos=[] if row is None else [each.repo for each in one.rows],
        key=None if row is None else request_key(row),
        age="" if made is None else f"account {context.format_age(made)}",
        why=one.why,
        grant=grant_value(context, Grant(repo, person))
        if can_grant and repo is not None and person is not None
        else "",
        is_sure=one.entry.is_alone,
    )


# ---- grants in advance -----------------------------------------------------------------------------------------------


GRANTED: Final = "grant"
OFFERED: Final = "offered"
"""The names of the fields: the ticked people, and all who are shown."""


def grant_value(context: RequestContext, grant: Grant) -> str:
    """Return a grant as the value of a tick box, sealed: the name and the id are those that were found together."""
    text = f"{grant.repo}:{grant.person.id}:{grant.person.username or ''}"
    return f"{text}:{_seal(context, text)}"


def _seal(context: RequestContext, text: str) -> str:
    """Return a seal that only this process makes, for this member."""
    key = context.app_state.grant_key
    owned = f"{context.member.id} {text}"
    return hmac.new(key, owned.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32]


def read_grants(context: RequestContext, name: str = GRANTED) -> list[Grant]:
    """Return the grants in a field, each once. Raises Refused for one that the member may not make."""
    texts = dict.fromkeys(context.form.get(name, [])[: MAX_ENTRIES + 1])
    if len(texts) > MAX_ENTRIES:
        raise Refused(f"At most {MAX_ENTRIES} people can be granted access at once.", hint="Paste the list in parts.")
    found = [_parse_grant(context, text) for text in texts]
    return list({(grant.repo, grant.person.id): grant for grant in found}.values())


def _parse_grant(context: RequestContext, text: str) -> Grant:
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
    return Grant(repo, Person(user_id.lower(), name or None))


def describe_new_requests(asked: Sequence[Grant]) -> str:
    """Say that these people have a request by now."""
    names = ", ".join(grant.person.username or "somebody" for grant in asked[:5])
    return f"{len(asked)} asked meanwhile: {names}. To see their requests, paste the list again."


def start_grants(context: RequestContext, grants: Sequence[Grant], until: str | None) -> Response:
    """Start the run of grants and redirect to it. `until`: the chosen end, as written in rules, or `none`."""
    app_state = context.app_state
    ident = new_id("r")
    name = context.member.name
    with app_state.tray_service.lock:
        need = app_state.membership.compute_need(context.member, {"accept": len(grants)})
        if need.is_large:
            raise Guarded(f"Nothing was granted. {need.why}", hint=need.team.describe_next_step())
        store = app_state.workspace.store
        reader = app_state.terms_reader
        zone = app_state.workspace.zone
        ends = [choose_end(reader.without_request(one.repo), until or NO_END_WORD, context.now, zone) for one in grants]
        create_grant_run(store, grants, run_id=ident, actor=name, author=need.author, now=context.now, end=ends[0])
    app_state.run_worker.enqueue(ident)
    return RedirectResponse(f"/runs/{ident}", 303)
