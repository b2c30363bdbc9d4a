"""Classifies answers of the Hub: builds the matching error and detects transient failures.

The decisions use codes, not text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard
from urllib.parse import urljoin

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.core.people.accounts import DECIDE_PERMISSION, READ_PERMISSION
from hf_gate.errors import (
    LOGIN_ADVICE,
    TOKEN_HELP,
    BadRequest,
    ForeignOrigin,
    HubError,
    HubUnavailable,
    NotAllowed,
    NotGated,
    RepoMoved,
    RepoNotFound,
    RequestNotFound,
    UnexpectedAnswer,
    UsageError,
)

from .codec import UnreadableBody, read_object
from .messages import Answer, FailureReason, NoReply, Reply

_CONNECT_HINT = "Check the endpoint and the network connection. Nothing was sent."
_LIST_PERMISSIONS = f"repo.content.read and {READ_PERMISSION}"
_DECIDE_PERMISSIONS = DECIDE_PERMISSION
_PERMISSIONS: dict[str, str] = {
    **dict.fromkeys(("list", "report"), _LIST_PERMISSIONS),
    **dict.fromkeys(("handle", "batch", "grant", "settings"), _DECIDE_PERMISSIONS),
    **dict.fromkeys(("info", "resolve", "auth-check"), "repo.content.read"),
}
MAX_SERVER_MESSAGE = 500  # characters
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})

# The first matching row wins: (X-Error-Code, status, error class, message); None matches anything.
_MessageFactory = Callable[[str], str]
_ERROR_RULES: tuple[tuple[str | None, int | None, type[HubError], _MessageFactory], ...] = (
    ("RepoNotGated", None, NotGated, lambda where: f"{where} is not gated."),
    ("RepoNotFound", None, RepoNotFound, lambda where: f"{where}: no such repo, or this token cannot see it."),
    ("GatedRepo", 401, NotAllowed, lambda where: f"{where} is gated and no valid token was sent."),
    ("GatedRepo", None, NotAllowed, lambda where: f"{where} is gated and this account has no access to it."),
    (None, 401, NotAllowed, lambda _: "the Hub does not know this token, or none was sent (401)."),
    (None, 403, NotAllowed, lambda where: f"{where} refused this token (403): the token lacks the permission."),
    (None, 404, RequestNotFound, lambda where: f"{where}: the Hub found no such request."),
    (None, 429, HubUnavailable, lambda where: f"{where}: the rate limit is used up (429)."),
)


def build_error(answer: Answer, repo: Repo | None) -> HubError:
    """Return the error for an answer that is not a success."""
    where = f"{repo}" if repo else "this call"
    if isinstance(answer, NoReply):
        return _build_no_reply_error(answer, where)
    code = answer.headers.get("x-error-code")
    text = server_message(answer)
    details: dict[str, Any] = {
        "status": answer.status,
        "code": code,
        "request_id": answer.headers.get("x-request-id"),
        "server_message": text,
    }
    for rule_code, status, error_class, make_message in _ERROR_RULES:
        if rule_code in (None, code) and status in (None, answer.status):
            hint = _build_permission_hint(answer) if error_class is NotAllowed else None
            return error_class(make_message(where), hint=hint, **details)
    if 300 <= answer.status < 400:
        return _build_redirect_error(answer, where, details)
    if answer.status >= 500:
        return HubUnavailable(f"{where}: the Hub answered {answer.status}.", **details)
    if answer.status >= 400:
        return BadRequest(f"{where}: the Hub refused this ({answer.status}): {text}", **details)
    return UnexpectedAnswer(f"{where}: the answer does not follow the Hub's protocol.", **details)


def _build_permission_hint(answer: Reply) -> str:
    """Return a hint that names the permission of a refused call and the help page."""
    needed = _PERMISSIONS.get(answer.endpoint)
    if answer.status == 401:
        more = (
            f"This call needs {needed}."
            if needed
            else f"Reading requests needs {_LIST_PERMISSIONS}; deciding needs {_DECIDE_PERMISSIONS}."
        )
        return f"{LOGIN_ADVICE}. {more} {TOKEN_HELP}"
    if needed is None:
        return f"The token lacks the permission. {TOKEN_HELP}"
    if needed == "repo.content.read":
        return f"Needed: {needed}, and an account that can read the repo. {TOKEN_HELP}"
    kinds = f"{needed} (fine-grained token) or the write role (classic token)"
    return f"Needed: {kinds}, and an account with write access. {TOKEN_HELP}"


def _build_redirect_error(answer: Reply, where: str, details: dict[str, Any]) -> HubError:
    target = answer.headers.get("location", "")
    if answer.headers.get("x-hf-gate-foreign"):
        return ForeignOrigin(f"{where}: the Hub points to another host; nothing was sent there.", **details)
    return RepoMoved(f"{where} was moved: the Hub points to {_name_target(target)}.", **details)


def _name_target(location: str) -> str:
    """Return the repo to which a redirect points, or the start of its address if that is no repo."""
    try:
        return str(parse_repo(urljoin(PUBLIC_HUB, location[:1000]), endpoint=None))
    except (UsageError, ValueError):
        return repr(location[:200])


def _build_no_reply_error(answer: NoReply, where: str) -> HubError:
    error = _describe_no_reply(answer, where)
    error.__cause__ = answer.cause
    return error


def _describe_no_reply(answer: NoReply, where: str) -> HubError:
    match answer.reason:
        case FailureReason.CONNECT:
            return HubUnavailable(f"no connection to the Hub for {where}: {answer.detail}.", hint=_CONNECT_HINT)
        case FailureReason.WAIT_TOO_LONG:
            return HubUnavailable(f"{where}: {answer.detail}.")
        case FailureReason.TOO_LARGE:
            return UnexpectedAnswer(f"{where}: {answer.detail}.")
        case _:
            return HubUnavailable(
                f"{where}: {answer.detail or answer.reason.value}.", hint="Try again. Reading changes nothing."
            )


def server_message(reply: Reply) -> str:
    """Return the Hub's own error text, at most `MAX_SERVER_MESSAGE` characters (untrusted)."""
    try:
        text = read_object(reply.body[:10_000]).get("error")
    except UnreadableBody:
        text = None
    return (text if isinstance(text, str) else reply.headers.get("x-error-message", ""))[:MAX_SERVER_MESSAGE]


def is_transient(answer: Answer) -> bool:
    """Return whether the same call may succeed later."""
    if isinstance(answer, NoReply):
        return answer.reason in (FailureReason.CONNECT, FailureReason.TIMEOUT, FailureReason.BROKEN)
    return answer.status in TRANSIENT_STATUSES


def is_outcome_unknown(answer: Answer) -> bool:
    """Return whether a write with this answer may have happened."""
    if isinstance(answer, NoReply):
        return answer.is_sent
    return answer.status >= 500 or answer.status == 408


def is_ok(answer: Answer) -> TypeGuard[Reply]:
    """Return whether the answer is a success (2xx)."""
    return isinstance(answer, Reply) and 200 <= answer.status < 300
