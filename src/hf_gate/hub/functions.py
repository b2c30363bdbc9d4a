"""The functions of `huggingface_hub` by the same names: an existing script changes its import and nothing else.

Parameters and returns are theirs. One point differs, on purpose: a person who is already in the wished list is no
error here (there: HTTP 404, or 400 for a grant).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.lifecycle import Status
from ..domain.requests import AccessRequest
from ..errors import InvalidTarget
from .client import How, Hub

Token = bool | str | None


def list_pending_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """Who waits for a review. Lazy, and every page, as far as the Hub tells."""
    return _list(repo_id, Status.PENDING, repo_type, token)


def list_accepted_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """Who may download."""
    return _list(repo_id, Status.ACCEPTED, repo_type, token)


def list_rejected_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """Who was turned away."""
    return _list(repo_id, Status.REJECTED, repo_type, token)


def list_reset_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """Who was sent back to ask again (new: `huggingface_hub` has none)."""
    return _list(repo_id, Status.RESET, repo_type, token)


def accept_access_request(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    repo_type: str | None = None,
    token: Token = None,
) -> None:
    """The person may download at once."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.accept(repo_id, user, request_id=request_id, repo_type=repo_type)


def reject_access_request(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    repo_type: str | None = None,
    rejection_reason: str | None,
    token: Token = None,
) -> None:
    """No files, and the person cannot ask again."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.reject(repo_id, user, request_id=request_id, repo_type=repo_type, reason=rejection_reason)


def cancel_access_request(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    repo_type: str | None = None,
    token: Token = None,
) -> None:
    """Back to pending; a person who was in loses access."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.cancel(repo_id, user, request_id=request_id, repo_type=repo_type)


def reset_access_request(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    repo_type: str | None = None,
    reset_reason: str | None = None,
    token: Token = None,
) -> None:
    """No files, and the person may ask again (new: `huggingface_hub` has none)."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.reset(repo_id, user, request_id=request_id, repo_type=repo_type, reason=reset_reason)


def grant_access(repo_id: str, user: str, *, repo_type: str | None = None, token: Token = None) -> None:
    """Let somebody in who need not have asked."""
    with Hub(token) as hub:
        hub.grant_access(repo_id, user, repo_type=repo_type)


def revoke_access(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    how: How = "reset",
    reason: str | None = None,
    repo_type: str | None = None,
    token: Token = None,
) -> None:
    """Take access away (new: the Hub has no such route; this is reset, reject or cancel)."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.revoke_access(repo_id, user, request_id=request_id, how=how, reason=reason, repo_type=repo_type)


def _list(repo_id: str, status: Status, repo_type: str | None, token: Token) -> Iterable[AccessRequest]:
    with Hub(token) as hub:
        yield from hub.list(repo_id, status, repo_type=repo_type)


def _check(user: str | None, request_id: str | None) -> None:
    if (user is None) == (request_id is None):
        raise InvalidTarget("give exactly one of user and request_id.")
