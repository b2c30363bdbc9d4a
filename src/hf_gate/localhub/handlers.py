"""The one function that answers: recognises a call, has it answered, and turns a refusal into the shape of its route."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.endpoints import Endpoint, RecognizedCall, match_call
from . import handlers_access as access
from . import handlers_files as files
from . import handlers_lists as lists
from . import handlers_repos as repos
from .context import NO_PAGE, Context
from .wire import Answered, Asked, Refusal
from .world import World

HANDLERS: dict[str, Callable[[Context], Answered]] = {
    "list": lists.list_requests,
    "handle": access.handle,
    "batch": access.batch,
    "grant": access.grant,
    "cancel": access.cancel,
    "ask": access.ask,
    "report": lists.report,
    "settings": access.change_settings,
    "auth-check": access.auth_check,
    "auth-check-write": access.auth_check_write,
    "resolve": files.resolve,
    "raw": files.raw,
    "tree": files.tree,
    "commit": files.commit,
    "preupload": files.preupload,
    "validate-yaml": files.validate_yaml,
    "info": repos.info,
    "info-at": repos.info,
    "repos": repos.list_repos,
    "create-repo": repos.create_repo,
    "delete-repo": repos.delete_repo,
    "whoami": repos.whoami,
    "overview": repos.overview,
    "members": repos.members,
}
# Only the official client calls it, before a README is committed; hf-gate never does, so it is no route of the client's.
_VALIDATE = Endpoint("validate-yaml", "POST", "/api/validate-yaml")
_SHAPES = {"resolve": "text", "raw": "text", "report": "html", "ask": "html"}


def route_of(asked: Asked) -> RecognizedCall | None:
    if asked.method == "POST" and asked.path == _VALIDATE.template:
        return RecognizedCall(_VALIDATE, {})
    return match_call(asked.method, asked.path)


def answer(world: World, asked: Asked, call: RecognizedCall | None = None) -> Answered:
    """What the Hub says to a call, and what it does to the world."""
    call = call or route_of(asked)
    if call is None:
        return Refusal(404, NO_PAGE).answered("json" if asked.path.startswith("/api/") else "html")
    try:
        return HANDLERS[call.endpoint.name](Context(world, asked, call))
    except Refusal as refusal:
        return refusal.answered(_SHAPES.get(call.endpoint.name, "json"))
