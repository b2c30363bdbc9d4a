"""Adds huggingface_hub's error classes to errors that carry an answer of the Hub, so that existing `except` clauses
work.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hf_gate.errors import BadRequest, HfGateError, HubError, NotAllowed, NotGated, RepoNotFound


def to_huggingface_error(error: HfGateError) -> HfGateError:
    """Return the error as an instance of the matching `huggingface_hub.errors` class too, if it has a status."""
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
    joined = _combine_classes(type(error), leaf)  # type: ignore[arg-type]  # classes are hashable
    both: Any = OSError.__new__(joined)  # the only base class with its own memory layout
    both.__dict__.update(error.__dict__)
    both.args = (error.message,)
    request = httpx2.Request("GET", "https://hub.invalid/")
    both.response = httpx2.Response(
        error.status,
        headers={"x-request-id": _to_ascii(error.request_id), "x-error-code": _to_ascii(error.code)},
        json={"error": _replace_surrogates(error.server_message or error.message)},
        request=request,
    )
    both._request = request  # noqa: SLF001 - the attribute of httpx2's errors
    both.__cause__ = error.__cause__
    both.__traceback__ = error.__traceback__
    return both  # type: ignore[no-any-return]


def _to_ascii(text: str | None) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text or "")


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be encoded


@cache
def _combine_classes(ours: type[HubError], leaf: type[Exception]) -> type[HubError]:
    return type(ours.__name__, (ours, leaf), {"__doc__": ours.__doc__, "__module__": "hf_gate"})
