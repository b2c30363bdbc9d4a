"""Makes errors that carry an answer of the Hub also huggingface_hub's own, so that existing `except` lines hold."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import BadRequest, HfGateError, HubError, NotAllowed, NotGated, RepoNotFound


def dressed(error: HfGateError) -> HfGateError:
    """The same error, also an instance of the fitting leaf of `huggingface_hub.errors` when it carries a status."""
    if not isinstance(error, HubError) or error.status is None:
        return error
    import httpx2
    from huggingface_hub import errors as theirs

    if isinstance(error, theirs.HfHubHTTPError):
        return error
    leaf: type[Exception] = theirs.HfHubHTTPError
    if isinstance(error, RepoNotFound):
        leaf = theirs.RepositoryNotFoundError
    elif isinstance(error, NotAllowed) and error.code == "GatedRepo":
        leaf = theirs.GatedRepoError
    elif isinstance(error, NotGated | BadRequest) and error.status == 400:
        leaf = theirs.BadRequestError
    joined = _joined(type(error), leaf)  # type: ignore[arg-type]  # classes are hashable
    both: Any = OSError.__new__(joined)  # the one base with a layout of its own
    both.__dict__.update(error.__dict__)
    both.args = (error.message,)
    request = httpx2.Request("GET", "https://hub.invalid/")
    both.response = httpx2.Response(
        error.status,
        headers={"x-request-id": _ascii(error.request_id), "x-error-code": _ascii(error.code)},
        json={"error": _mended(error.server_message or error.message)},
        request=request,
    )
    both._request = request  # noqa: SLF001 - where httpx2's errors keep it
    both.__cause__, both.__traceback__ = error.__cause__, error.__traceback__
    return both  # type: ignore[no-any-return]


def _ascii(text: str | None) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text or "")


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be written


@cache
def _joined(ours: type[HubError], leaf: type[Exception]) -> type[HubError]:
    return type(ours.__name__, (ours, leaf), {"__doc__": ours.__doc__, "__module__": "hf_gate"})
