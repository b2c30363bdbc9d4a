"""Handlers for decisions, for asking and withdrawing, and for the gate itself."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl

import msgspec

from hf_gate.core.lifecycle import Status
from hf_gate.core.requests import REASON_LIMIT
from hf_gate.hub.protocol.access_refusals import RefusalCause
from hf_gate.hub.protocol.endpoints import MAX_BATCH_SIZE
from hf_gate.localhub.context import BodyValidator, CallContext, build_refusal, get_json_type
from hf_gate.localhub.http_messages import HttpError, HttpResponse, json_response, text_response
from hf_gate.localhub.records import HubAccount, HubRepo, HubToken, StoredRequest
from hf_gate.localhub.world import ALLOWED_MOVES, World, find_hub_account, get_repo_permissions

from .lists import find_request_in_view

NOT_FOUND = "No access request found matching your criteria"
ONE_OF_TWO = "Either userId or user must be provided, but not both"
_encode = msgspec.json.Encoder().encode
_NOBODY: dict[str, str] = {}


# ---- decisions -------------------------------------------------------------------------------------------------------


def handle(context: CallContext) -> HttpResponse:
    caller, hub_repo = context.require_decider()
    body = BodyValidator(context.request.body)
    row_or_person = _parse_identifier(context.world, body)
    status, reason = _parse_decision(context.world, body)
    body.raise_problems()
    row = _find_row(context.world, hub_repo, row_or_person)
    if row is None or (row.status, status) not in ALLOWED_MOVES["handle"]:
        raise HttpError(404, NOT_FOUND)
    context.world.review_request(hub_repo, row, status, context.now_ms, "handle", caller, reason)
    return json_response({})


def _parse_identifier(world: World, body: BodyValidator) -> dict[str, str]:
    keys = ("user", "userId") if world.is_old else ("user", "userId", "requestId")
    identifier = {key: text for key in keys if (text := body.get_text(key)) is not None}
    for key in ("userId", "requestId"):
        if key in identifier and not _is_hub_id(identifier[key]):
            body.add_problem("Invalid string: must match pattern /^[0-9a-f]{24}$/i", key)
    if len(identifier) != 1 and not body.problems:
        body.add_problem(ONE_OF_TWO)
    return identifier


def _is_hub_id(text: str) -> bool:
    return len(text) == 24 and all(context in "0123456789abcdefABCDEF" for context in text)


def _parse_decision(world: World, body: BodyValidator) -> tuple[Status, str | None]:
    """Parse the status and reason. The options are in the order of the Hub's error message."""
    options = [s for s in ("accepted", "rejected", "pending", "reset") if s in world.statuses]
    status = Status(body.get_option("status", options))
    rejection = body.get_text("rejectionReason", most=REASON_LIMIT)
    reset = None if world.is_old else body.get_text("resetReason", most=REASON_LIMIT)
    return status, {Status.REJECTED: rejection, Status.RESET: reset}.get(status)


def _find_row(world: World, hub_repo: HubRepo, identifier: dict[str, str]) -> StoredRequest | None:
    if "requestId" in identifier:
        return hub_repo.requests.get(identifier["requestId"].lower())
    account = find_hub_account(world, identifier)
    if account is None:
        raise HttpError(404, "User not found")
    return hub_repo.people.get(account.id)


def batch(context: CallContext) -> HttpResponse:
    caller, hub_repo = context.require_decider()
    body = BodyValidator(context.request.body)
    status, reason = _parse_decision(context.world, body)
    items = [
        _parse_item(context.world, body, n, item) for n, item in enumerate(body.get_items("requests", MAX_BATCH_SIZE))
    ]
    body.raise_problems()
    return json_response([_decide_item(context, caller, hub_repo, identifier, status, reason) for identifier in items])


def _parse_item(world: World, body: BodyValidator, n: int, item: object) -> dict[str, str]:
    part = BodyValidator(item if isinstance(item, dict) else {}, f"requests[{n}]")
    if not isinstance(item, dict):
        part.add_problem(f"Invalid input: expected object, received {get_json_type(item)}")
    identifier = _parse_identifier(world, part) if not part.problems else _NOBODY
    body.problems += part.problems
    return identifier


def _decide_item(
    context: CallContext,
    caller: HubToken,
    hub_repo: HubRepo,
    identifier: dict[str, str],
    status: Status,
    reason: str | None,
) -> dict[str, object]:
    """Decide about one person of a batch. Setting the current status again is no error and changes nothing."""
    try:
        row = _find_row(context.world, hub_repo, identifier)
    except HttpError:
        return {**identifier, "ok": False, "error": "user_not_found"}
    if row is None:
        return {**identifier, "ok": False, "error": "request_not_found"}
    if row.status is not status:
        context.world.review_request(hub_repo, row, status, context.now_ms, "batch", caller, reason)
    return {**identifier, "ok": True}


def grant(context: CallContext) -> HttpResponse:
    caller, hub_repo = context.require_decider()
    body = BodyValidator(context.request.body)
    identifier = {key: text for key in ("user", "userId") if (text := body.get_text(key)) is not None}
    if len(identifier) != 1 and not body.problems:
        body.add_problem(ONE_OF_TWO)
    body.raise_problems()
    account = find_hub_account(context.world, identifier)
    if account is None:
        raise HttpError(404, "User not found")
    row = hub_repo.people.get(account.id)
    if row is None:
        row = StoredRequest(
            context.world.new_id(context.now_ms),
            account,
            Status.ACCEPTED,
            context.now_ms,
            context.now_ms,
            caller.account,
            has_email=False,
        )
        context.world.add_request(hub_repo, row, context.now_ms, "grant", caller.name)
    elif (row.status, Status.ACCEPTED) not in ALLOWED_MOVES["grant"]:
        raise HttpError(400, "That user already has access to the repo")
    else:
        context.world.review_request(hub_repo, row, Status.ACCEPTED, context.now_ms, "grant", caller)
    return json_response({})


# ---- requesters ------------------------------------------------------------------------------------------------------


def cancel(context: CallContext) -> HttpResponse:
    caller = context.caller
    hub_repo = context.hub_repo
    row = hub_repo.people.get(caller.account.id)
    if row is None or (row.status, None) not in ALLOWED_MOVES["cancel"]:
        raise HttpError(404, "No pending access request found for this repo and this user")
    context.world.withdraw_request(hub_repo, row, context.now_ms, "cancel", caller.name)
    return json_response({"ok": True})


def ask(context: CallContext) -> HttpResponse:
    """Make a request if the caller has none, or a reset one. The answer is always a 303."""
    caller = context.caller
    hub_repo = context.hub_repo
    answers = _parse_answers(context)
    row = hub_repo.people.get(caller.account.id)
    if hub_repo.gated is not False and (row is None or row.status is Status.RESET):
        add_request(context.world, hub_repo, caller.account, answers, context.now_ms, caller.name)
    page = f"{context.request.base_url}/{hub_repo.repo.web_path}"
    return text_response(f"See Other. Redirecting to {page}", 303, Location=page)


def add_request(
    world: World,
    hub_repo: HubRepo,
    account: HubAccount,
    answers: dict[str, str],
    now_ms: int,
    token: str,
    asked_ms: int | None = None,
) -> StoredRequest:
    """Add a request, pending in manual mode and accepted in auto mode. It replaces a reset one."""
    status = Status.ACCEPTED if hub_repo.gated == "auto" else Status.PENDING
    asked_ms = now_ms if asked_ms is None else asked_ms
    reviewed = asked_ms if status is Status.ACCEPTED else None
    previous = hub_repo.people.get(account.id)
    row = StoredRequest(previous.id if previous else world.new_id(asked_ms), account, status, asked_ms, reviewed)
    row.answers = _encode(answers) if answers else None
    if previous is None:
        world.add_request(hub_repo, row, now_ms, "ask", token)
    else:
        world.ask_again(hub_repo, previous, row, now_ms, token)
    return row


def _parse_answers(context: CallContext) -> dict[str, str]:
    if context.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs = parse_qsl(context.request.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {key: value for key, value in pairs if key != "csrf"}
    body = BodyValidator(context.request.body.strip() or b"{}")
    body.raise_problems()
    return {key: value if isinstance(value, str) else _encode(value).decode() for key, value in body.values.items()}


# ---- gate ------------------------------------------------------------------------------------------------------------


def check_gate(context: CallContext) -> None:
    """Raise the Hub's error if the caller has no access, before checking whether the file exists."""
    hub_repo = context.hub_repo
    token = context.token
    if hub_repo.is_disabled:
        raise build_refusal(RefusalCause.DISABLED)
    if hub_repo.gated is False:
        return
    what = f"{hub_repo.repo.type.value} {hub_repo.repo.id}"
    page = f"https://huggingface.co/{hub_repo.repo.web_path}"
    if token is None:
        raise build_refusal(RefusalCause.NO_TOKEN, what=what)
    for restriction, variant in (("token-revoked", 1), ("token-policy", 0)):
        if restriction in token.restrictions and context.world.get_role(token.account, hub_repo.repo.namespace):
            raise build_refusal(RefusalCause.TOKEN_ORG_POLICY, variant)
    if context.world.can_pass_gate(token, hub_repo):
        return
    row = find_request_in_view(context.world, hub_repo, token.account, context.request.view, context.now_ms)
    status = None if row is None else row.status
    if status is not Status.ACCEPTED:
        raise build_refusal(_REFUSAL_CAUSES[status], what=what, page=page)
    reads_gated = token.can_read_gated or "repo.content.read" in get_repo_permissions(token, hub_repo)
    if token.role == "fineGrained" and not reads_gated:
        raise build_refusal(RefusalCause.TOKEN_NO_GATED_PERMISSION)


_REFUSAL_CAUSES: dict[Status | None, RefusalCause] = {
    None: RefusalCause.NOT_ASKED,
    Status.PENDING: RefusalCause.PENDING,
    Status.REJECTED: RefusalCause.REJECTED,
    Status.RESET: RefusalCause.RESET,
}


def auth_check(context: CallContext) -> HttpResponse:
    check_gate(context)
    return text_response("OK")


def change_settings(context: CallContext) -> HttpResponse:
    """Change gate settings. Only mode and visibility are echoed; the notification settings are write-only."""
    _, hub_repo = context.require_reviewer(can_decide=True)
    body = BodyValidator(context.request.body)
    mode = body.values.get("gated")
    if "gated" in body.values and not (mode is False or mode in ("auto", "manual")):
        body.add_problem("Invalid input", "gated")
    private = body.get_flag("private")
    members = body.get_flag("orgMembersGated")
    visibility = (
        body.get_option("visibility", ("public", "private", "protected")) if "visibility" in body.values else None
    )
    notify = (
        body.get_option("gatedNotificationsMode", ("bulk", "real-time"))
        if "gatedNotificationsMode" in body.values
        else None
    )
    email = body.get_text("gatedNotificationsEmail", most=320)
    if email is not None and ("@" not in email or " " in email):
        body.add_problem("Invalid email address", "gatedNotificationsEmail")
    body.raise_problems()
    echo: dict[str, object] = {}
    if "gated" in body.values:
        hub_repo.gated = echo["gated"] = cast("str | bool", mode)
    if private is not None and visibility is None:
        visibility = "private" if private else "public"
        echo["private"] = private
    if visibility is not None:
        hub_repo.visibility = visibility
        if "visibility" in body.values:
            echo["visibility"] = visibility
    hub_repo.org_members_gated = hub_repo.org_members_gated if members is None else members
    hub_repo.notify_mode = notify or hub_repo.notify_mode
    hub_repo.notify_email = email or hub_repo.notify_email
    return json_response(echo)
