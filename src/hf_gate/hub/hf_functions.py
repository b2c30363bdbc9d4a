"""Functions with the names and parameters of `huggingface_hub`, so that an existing script only needs another import.

One difference is deliberate: it is no error if the person already has the wanted status (in `huggingface_hub`, this is
HTTP 404, or 400 for a grant).
"""

from __future__ import annotations

from collections.abc import Iterable

from hf_gate.core.lifecycle import Status
from hf_gate.core.requests import AccessRequest
from hf_gate.errors import InvalidTarget

from .client import Hub
from .client_base import RevocationMode

Token = bool | str | None


def list_pending_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """List the pending requests, lazily and over all pages."""
    return _list(repo_id, Status.PENDING, repo_type, token)


def list_accepted_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """List the accepted requests."""
    return _list(repo_id, Status.ACCEPTED, repo_type, token)


def list_rejected_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """List the rejected requests."""
    return _list(repo_id, Status.REJECTED, repo_type, token)


def list_reset_access_requests(
    repo_id: str, *, repo_type: str | None = None, token: Token = None
) -> Iterable[AccessRequest]:
    """List the requests that were sent back (new: `huggingface_hub` has no such function)."""
    return _list(repo_id, Status.RESET, repo_type, token)


def accept_access_request(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    repo_type: str | None = None,
    token: Token = None,
) -> None:
    """Give the person access."""
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
    """Deny access; the person cannot ask again."""
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
    """Return the request to pending; an accepted person loses access."""
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
    """Send the request back; the person can ask again (new: `huggingface_hub` has no such function)."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.reset(repo_id, user, request_id=request_id, repo_type=repo_type, reason=reset_reason)


def grant_access(repo_id: str, user: str, *, repo_type: str | None = None, token: Token = None) -> None:
    """Give a person access without a request."""
    with Hub(token) as hub:
        hub.grant_access(repo_id, user, repo_type=repo_type)


def revoke_access(
    repo_id: str,
    user: str | None = None,
    *,
    request_id: str | None = None,
    how: RevocationMode = "reset",
    reason: str | None = None,
    repo_type: str | None = None,
    token: Token = None,
) -> None:
    """Take access away by reset, reject or cancel (new: `huggingface_hub` has no such function)."""
    _check(user, request_id)
    with Hub(token) as hub:
        hub.revoke_access(repo_id, user, request_id=request_id, how=how, reason=reason, repo_type=repo_type)


def _list(repo_id: str, status: Status, repo_type: str | None, token: Token) -> Iterable[AccessRequest]:
    with Hub(token) as hub:
        yield from hub.list(repo_id, status, repo_type=repo_type)


def _check(user: str | None, request_id: str | None) -> None:
    if (user is None) == (request_id is None):
        raise InvalidTarget("give exactly one of user and request_id.")
