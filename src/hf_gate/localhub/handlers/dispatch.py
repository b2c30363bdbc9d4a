"""Answers calls to the local Hub: finds the handler of each call, and formats errors as the endpoint does."""

from __future__ import annotations

from collections.abc import Callable

from hf_gate.hub.protocol.endpoints import Endpoint, RecognizedCall, match_call
from hf_gate.localhub.context import NO_PAGE, CallContext
from hf_gate.localhub.http_messages import HttpError, HttpRequest, HttpResponse
from hf_gate.localhub.world import World

from . import access, files, lists, openid, repos

HANDLERS: dict[str, Callable[[CallContext], HttpResponse]] = {
    "list": lists.answer_list,
    "handle": access.handle,
    "batch": access.batch,
    "grant": access.grant,
    "cancel": access.cancel,
    "ask": access.ask,
    "report": lists.build_report,
    "settings": access.change_settings,
    "auth-check": access.auth_check,
    "resolve": files.resolve_file,
    "tree": files.list_tree,
    "commit": files.create_commit,
    "preupload": files.preupload,
    "validate-yaml": files.validate_yaml,
    "info": repos.describe_repo,
    "info-at": repos.describe_repo,
    "repos": repos.list_repos,
    "create-repo": repos.create_repo,
    "delete-repo": repos.delete_repo,
    "whoami": repos.describe_token,
    "overview": repos.describe_user,
    "members": repos.list_members,
    "openid-configuration": openid.describe_provider,
    "openid-authorize": openid.authorize,
    "openid-token": openid.exchange_code,
    "openid-userinfo": openid.describe_signed_in_person,
    "openid-keys": openid.list_keys,
}
# Only the official client makes this call, before it commits a README. It is not in hf-gate's list of endpoints.
_VALIDATE = Endpoint("validate-yaml", "POST", "/api/validate-yaml")
_SHAPES = {"resolve": "text", "report": "html", "ask": "html", "openid-authorize": "html"}


def find_call(request: HttpRequest) -> RecognizedCall | None:
    if request.method == "POST" and request.path == _VALIDATE.template:
        return RecognizedCall(_VALIDATE, {})
    return match_call(request.method, request.path)


def get_error_shape(request: HttpRequest, call: RecognizedCall | None) -> str:
    """Return the form of a call's errors: json, text or html."""
    if call is None:
        return "json" if request.path.startswith("/api/") else "html"
    return _SHAPES.get(call.endpoint.name, "json")


def answer_call(world: World, request: HttpRequest, call: RecognizedCall | None = None) -> HttpResponse:
    """Answer a call and apply its changes to the world."""
    call = call or find_call(request)
    if call is None:
        return HttpError(404, NO_PAGE).to_response(get_error_shape(request, None))
    try:
        return HANDLERS[call.endpoint.name](CallContext(world, request, call))
    except HttpError as refusal:
        return refusal.to_response(get_error_shape(request, call))
