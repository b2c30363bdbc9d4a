"""The Hub's answers about access requests: the decisions, asking and taking back, the gate itself."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl

import msgspec

from ..domain.lifecycle import Status
from ..protocol.endpoints import MAX_BATCH_SIZE
from .context import NO_RIGHT, Context
from .reading import request_of
from .records import Account, Gated, Token
from .shelf import Row
from .wire import Answered, Refusal, json_answer, text_answer
from .world import TARGETS, World, who
from .zod import Body, kind

NOT_FOUND = "No access request found matching your criteria"
ONE_OF_TWO = "Either userId or user must be provided, but not both"
_encode = msgspec.json.Encoder().encode
_NOBODY: dict[str, str] = {}


# ---- the decisions ------------------------------------------------------------------------------------------------------


def handle(c: Context) -> Answered:
    caller, gated = c.deciding()
    body = Body(c.asked.body)
    row_or_person = _identifier(c.world, body)
    status, reason = _decision(c.world, body)
    body.settle()
    row = _row(c.world, gated, row_or_person)
    if row is None or (row.status, status) not in TARGETS["handle"]:
        raise Refusal(404, NOT_FOUND)
    c.world.review(gated, row, status, c.now_ms, "handle", caller, reason)
    return json_answer({})


def _identifier(world: World, body: Body) -> dict[str, str]:
    keys = ("user", "userId") if world.is_old else ("user", "userId", "requestId")
    given = {key: text for key in keys if (text := body.text(key)) is not None}
    for key in ("userId", "requestId"):
        if key in given and not _is_hub_id(given[key]):
            body.say("Invalid string: must match pattern /^[0-9a-f]{24}$/i", key)
    if len(given) != 1 and not body.problems:
        body.say(ONE_OF_TWO)
    return given


def _is_hub_id(text: str) -> bool:
    return len(text) == 24 and all(c in "0123456789abcdefABCDEF" for c in text)


def _decision(world: World, body: Body) -> tuple[Status, str | None]:
    """Order of the four words as the Hub names them in its error."""
    options = [s for s in ("accepted", "rejected", "pending", "reset") if s in world.statuses]
    status = Status(body.option("status", options))
    rejection = body.text("rejectionReason", most=200)
    reset = None if world.is_old else body.text("resetReason", most=200)
    return status, {Status.REJECTED: rejection, Status.RESET: reset}.get(status)


def _row(world: World, gated: Gated, given: dict[str, str]) -> Row | None:
    if "requestId" in given:
        return gated.requests.get(given["requestId"].lower())
    account = who(world, given)
    if account is None:
        raise Refusal(404, "User not found")
    return gated.people.get(account.id)


def batch(c: Context) -> Answered:
    caller, gated = c.deciding()
    body = Body(c.asked.body)
    status, reason = _decision(c.world, body)
    items = [_item(c.world, body, n, item) for n, item in enumerate(body.items("requests", MAX_BATCH_SIZE))]
    body.settle()
    return json_answer([_batched(c, caller, gated, given, status, reason) for given in items])


def _item(world: World, body: Body, n: int, item: object) -> dict[str, str]:
    part = Body(item if isinstance(item, dict) else {}, f"requests[{n}]")
    if not isinstance(item, dict):
        part.say(f"Invalid input: expected object, received {kind(item)}")
    given = _identifier(world, part) if not part.problems else _NOBODY
    body.problems += part.problems
    return given


def _batched(
    c: Context, caller: Token, gated: Gated, given: dict[str, str], status: Status, reason: str | None
) -> dict[str, object]:
    """Same status is fine here, and leaves the request as it was."""
    try:
        row = _row(c.world, gated, given)
    except Refusal:
        return {**given, "ok": False, "error": "user_not_found"}
    if row is None:
        return {**given, "ok": False, "error": "request_not_found"}
    if row.status is not status:
        c.world.review(gated, row, status, c.now_ms, "batch", caller, reason)
    return {**given, "ok": True}


def grant(c: Context) -> Answered:
    caller, gated = c.deciding()
    body = Body(c.asked.body)
    given = {key: text for key in ("user", "userId") if (text := body.text(key)) is not None}
    if len(given) != 1 and not body.problems:
        body.say(ONE_OF_TWO)
    body.settle()
    account = who(c.world, given)
    if account is None:
        raise Refusal(404, "User not found")
    row = gated.people.get(account.id)
    if row is None:
        row = Row(c.world.new_id(c.now_ms), account, Status.ACCEPTED, c.now_ms, c.now_ms, caller.account, mailed=False)
        c.world.enter(gated, row, c.now_ms, "grant", caller.name)
    elif (row.status, Status.ACCEPTED) not in TARGETS["grant"]:
        raise Refusal(400, "That user already has access to the repo")
    else:
        c.world.review(gated, row, Status.ACCEPTED, c.now_ms, "grant", caller)
    return json_answer({})


# ---- the requester's side -----------------------------------------------------------------------------------------------


def cancel(c: Context) -> Answered:
    caller, gated = c.caller, c.gated
    row = gated.people.get(caller.account.id)
    if row is None or (row.status, None) not in TARGETS["cancel"]:
        raise Refusal(404, "No pending access request found for this repo and this user")
    c.world.leave(gated, row, c.now_ms, "cancel", caller.name)
    return json_answer({"ok": True})


def ask(c: Context) -> Answered:
    """Always 303, also where nothing changes: only nobody's and a reset request make a new one."""
    caller, gated = c.caller, c.gated
    answers = _answers(c)
    row = gated.people.get(caller.account.id)
    if gated.gated is not False and (row is None or row.status is Status.RESET):
        ask_for(c.world, gated, caller.account, answers, c.now_ms, caller.name)
    page = f"{c.asked.base_url}/{gated.repo.web_path}"
    return text_answer(f"See Other. Redirecting to {page}", 303, Location=page)


def ask_for(
    world: World,
    gated: Gated,
    account: Account,
    answers: dict[str, str],
    now_ms: int,
    token: str,
    asked_ms: int | None = None,
) -> Row:
    """A new attempt: waiting in manual mode, in at once in auto mode. It takes the place of a reset one."""
    status = Status.ACCEPTED if gated.gated == "auto" else Status.PENDING
    asked = now_ms if asked_ms is None else asked_ms
    reviewed = asked if status is Status.ACCEPTED else None
    old = gated.people.get(account.id)
    row = Row(old.id if old else world.new_id(asked), account, status, asked, reviewed)
    row.answers = _encode(answers) if answers else None
    if old is None:
        world.enter(gated, row, now_ms, "ask", token)
    else:
        world.ask_again(gated, old, row, now_ms, token)
    return row


def _answers(c: Context) -> dict[str, str]:
    if c.asked.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs = parse_qsl(c.asked.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {key: value for key, value in pairs if key != "csrf"}
    body = Body(c.asked.body.strip() or b"{}")
    body.settle()
    return {key: value if isinstance(value, str) else _encode(value).decode() for key, value in body.values.items()}


# ---- the gate ----------------------------------------------------------------------------------------------------------


def check_gate(c: Context) -> None:
    """Raises the refusal that somebody without access gets, before it is looked whether the file exists."""
    gated, token = c.gated, c.token
    if gated.gated is False:
        return
    what = f"{gated.repo.type.value} {gated.repo.id}"
    page = f"https://huggingface.co/{gated.repo.web_path}"
    if token is None:
        words = "You must have access to it and be authenticated to access it. Please log in."
        raise Refusal(401, f"Access to {what} is restricted. {words}", "GatedRepo")
    if c.world.passes_gate(token, gated):
        return
    row = request_of(c.world, gated, token.account, c.asked.view, c.now_ms)
    status = None if row is None else row.status
    if status is not Status.ACCEPTED:
        raise Refusal(403, _REFUSALS[status].format(what=what, page=page), "GatedRepo")


_REFUSALS: dict[Status | None, str] = {
    None: "Access to {what} is restricted and you are not in the authorized list. Visit {page} to ask for access.",
    Status.PENDING: "Your request to access {what} is awaiting a review from the repo authors.",
    Status.REJECTED: "Your request to access {what} has been rejected by the repo's authors.",
    Status.RESET: (
        "Your request to access {what} has been reset by the repo's authors. Visit {page} to submit a new request."
    ),
}


def auth_check(c: Context) -> Answered:
    check_gate(c)
    return text_answer("OK")


def auth_check_write(c: Context) -> Answered:
    caller = c.caller
    if not c.world.may_write(caller, c.gated):
        raise Refusal(403, NO_RIGHT)
    return text_answer("OK")


def change_settings(c: Context) -> Answered:
    """Only the mode and the visibility come back; who is mailed and how can be written, never read."""
    _, gated = c.reviewing(deciding=True)
    body = Body(c.asked.body)
    mode = body.values.get("gated")
    if "gated" in body.values and not (mode is False or mode in ("auto", "manual")):
        body.say("Invalid input", "gated")
    private, members = body.flag("private"), body.flag("orgMembersGated")
    visibility = body.option("visibility", ("public", "private", "protected")) if "visibility" in body.values else None
    notify = (
        body.option("gatedNotificationsMode", ("bulk", "real-time"))
        if "gatedNotificationsMode" in body.values
        else None
    )
    email = body.text("gatedNotificationsEmail", most=320)
    if email is not None and ("@" not in email or " " in email):
        body.say("Invalid email address", "gatedNotificationsEmail")
    body.settle()
    echo: dict[str, object] = {}
    if "gated" in body.values:
        gated.gated = echo["gated"] = cast("str | bool", mode)
    if private is not None and visibility is None:
        visibility = "private" if private else "public"
        echo["private"] = private
    if visibility is not None:
        gated.visibility = visibility
        if "visibility" in body.values:
            echo["visibility"] = visibility
    gated.org_members_gated = gated.org_members_gated if members is None else members
    gated.notify_mode, gated.notify_email = notify or gated.notify_mode, email or gated.notify_email
    return json_answer(echo)
