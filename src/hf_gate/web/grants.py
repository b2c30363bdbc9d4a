"""Grants in advance at the desk: reads them from a form, checks them, and starts their run."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from starlette.responses import RedirectResponse, Response

from ..application.grants_in_advance import Grant, create_grant_run
from ..application.pasted_list import MAX_ENTRIES
from ..application.targets import USERNAME
from ..application.workspace import new_id
from ..domain.hand_terms import NO_END_WORD, GrantEnd
from ..domain.ids import Person, is_id, parse_repo
from ..errors import Guarded, HfGateError
from .request_context import Refused, RequestContext

GRANTED: Final = "grant"
OFFERED: Final = "offered"
"""The names of the fields: the ticked people, and all who are shown."""


def grant_value(context: RequestContext, grant: Grant) -> str:
    """Return a grant as the value of a tick box, sealed: the name and the id are those that were found together."""
    text = f"{grant.repo}:{grant.person.id}:{grant.person.username or ''}"
    return f"{text}:{_seal(context, text)}"


def _seal(context: RequestContext, text: str) -> str:
    """Return a seal that only this process makes, for this member."""
    key, owned = context.app_state.grant_key, f"{context.member.id} {text}"
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
        raise Refused("Nothing was granted: this list is not the one that was found.", hint="Paste the list again.")
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
    app_state, ident, name = context.app_state, new_id("r"), context.member.name
    with app_state.tray_service.lock:
        need = app_state.membership.compute_need(context.member, {"accept": len(grants)})
        if need.is_large:
            raise Guarded(f"Nothing was granted. {need.why}", hint=need.team.describe_next_step())
        store = app_state.workspace.store
        end = None if until in (None, NO_END_WORD) else GrantEnd(until)
        create_grant_run(store, grants, run_id=ident, actor=name, author=need.author, now=context.now, end=end)
    app_state.run_worker.enqueue(ident)
    return RedirectResponse(f"/runs/{ident}", 303)
