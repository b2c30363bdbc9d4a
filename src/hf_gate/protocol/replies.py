"""What an answer of the Hub means: the error that fits it, and whether the call may be repeated. Codes decide, text never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..domain.accounts import DECIDE, LOOK
from ..domain.ids import Repo
from ..errors import (
    ACCESS_HELP,
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
)
from .codec import UnreadableBody, read_object
from .messages import Answer, FailureReason, NoReply, Reply

_CONNECT_HINT = "Is the endpoint right, and the network there? Nothing was sent."
_LIST_PERMISSIONS, _DECIDE_PERMISSIONS = f"repo.content.read and {LOOK}", DECIDE
_PERMISSIONS: dict[str, str] = {
    **dict.fromkeys(("list", "report"), _LIST_PERMISSIONS),
    **dict.fromkeys(("handle", "batch", "grant", "settings"), _DECIDE_PERMISSIONS),
    **dict.fromkeys(("info", "resolve", "auth-check"), "repo.content.read"),
}
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})

# The first row that fits decides: (X-Error-Code, status) -> the leaf and its sentence; None fits anything.
_MessageFactory = Callable[[str], str]
_ERROR_RULES: tuple[tuple[str | None, int | None, type[HubError], _MessageFactory], ...] = (
    ("RepoNotGated", None, NotGated, lambda where: f"{where} is not gated."),
    ("RepoNotFound", None, RepoNotFound, lambda where: f"{where}: no such repo, or this token may not see it."),
    ("GatedRepo", 401, NotAllowed, lambda where: f"{where} is gated and no valid token was sent."),
    ("GatedRepo", None, NotAllowed, lambda where: f"{where} is gated and this account has no access to it."),
    (None, 401, NotAllowed, lambda _: "the Hub does not know this token, or none was sent (401)."),
    (None, 403, NotAllowed, lambda where: f"{where} refused this token (403): it may not do this here."),
    (None, 404, RequestNotFound, lambda where: f"{where}: the Hub found no such request."),
    (None, 429, HubUnavailable, lambda where: f"{where}: out of calls (429)."),
)


def build_error(answer: Answer, repo: Repo | None) -> HubError:
    """The error that fits an answer which is not the wished one."""
    where = f"{repo}" if repo else "this call"
    if isinstance(answer, NoReply):
        return _build_no_reply_error(answer, where)
    code, said = answer.headers.get("x-error-code"), server_message(answer)
    facts: dict[str, Any] = {
        "status": answer.status,
        "code": code,
        "request_id": answer.headers.get("x-request-id"),
        "server_message": said,
    }
    for row_code, status, leaf, sentence in _ERROR_RULES:
        if row_code in (None, code) and status in (None, answer.status):
            hint = _build_permission_hint(answer) if leaf is NotAllowed else None
            return leaf(sentence(where), hint=hint, **facts)
    if 300 <= answer.status < 400:
        return _build_redirect_error(answer, where, facts)
    if answer.status >= 500:
        return HubUnavailable(f"{where}: the Hub fails ({answer.status}).", **facts)
    if answer.status >= 400:
        return BadRequest(f"{where}: the Hub refuses this ({answer.status}): {said}", **facts)
    return UnexpectedAnswer(f"{where}: the answer is not what the Hub's protocol promises.", **facts)


def _build_permission_hint(answer: Reply) -> str:
    """Which permission a refused call needs, and where that is explained."""
    needed = _PERMISSIONS.get(answer.endpoint)
    if answer.status == 401:
        more = (
            f"This call needs {needed}."
            if needed
            else f"Looking needs {_LIST_PERMISSIONS}, deciding {_DECIDE_PERMISSIONS}."
        )
        return f"Set HF_TOKEN, or `hf auth login`, with a valid token. {more} {ACCESS_HELP}"
    if needed is None:
        return f"The token may not do this. {ACCESS_HELP}"
    if needed == "repo.content.read":
        return f"Needed: {needed}, and an account that may read the repo. {ACCESS_HELP}"
    kinds = f"{needed} (fine-grained token) or the write role (classic token)"
    return f"Needed: {kinds}, and an account with write access. {ACCESS_HELP}"


def _build_redirect_error(answer: Reply, where: str, facts: dict[str, Any]) -> HubError:
    target = answer.headers.get("location", "")
    if answer.headers.get("x-hf-gate-foreign"):
        return ForeignOrigin(f"{where}: the Hub points to another host; nothing was sent there.", **facts)
    return RepoMoved(f"{where} was moved: the Hub points to {target[:200]!r}.", **facts)


def _build_no_reply_error(answer: NoReply, where: str) -> HubError:
    match answer.reason:
        case FailureReason.CONNECT:
            return HubUnavailable(f"no connection to the Hub for {where}: {answer.detail}.", hint=_CONNECT_HINT)
        case FailureReason.WAIT_TOO_LONG:
            return HubUnavailable(f"{where}: {answer.detail}.")
        case FailureReason.TOO_LARGE:
            return UnexpectedAnswer(f"{where}: {answer.detail}.")
        case _:
            return HubUnavailable(
                f"{where}: {answer.detail or answer.reason.value}.", hint="Try again; reading changes nothing."
            )


def server_message(reply: Reply) -> str:
    """The Hub's own words about an error, at most 500 characters; text from outside."""
    try:
        said = read_object(reply.body[:10_000]).get("error")
    except UnreadableBody:
        said = None
    if not isinstance(said, str):
        said = reply.headers.get("x-error-message", "")
    return said[:500]


def is_transient(answer: Answer) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(answer, NoReply):
        return answer.reason in (FailureReason.CONNECT, FailureReason.TIMEOUT, FailureReason.BROKEN)
    return answer.status in TRANSIENT_STATUSES


def is_outcome_unknown(answer: Answer) -> bool:
    """Whether a write that was answered so may have happened."""
    if isinstance(answer, NoReply):
        return answer.sent
    return answer.status >= 500 or answer.status == 408


def is_ok(answer: Answer) -> bool:
    """Whether the Hub did what was asked."""
    return isinstance(answer, Reply) and 200 <= answer.status < 300
