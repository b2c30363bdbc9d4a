"""Defines every error of hf-gate, with its exit code and a hint for the next step.

    HfGateError
    ├── UsageError (also ValueError)      2   the input is invalid; nothing was sent
    │   ├── InvalidRepo                       not a repo id, URL or path
    │   ├── SpaceNotSupported                 Spaces have no access requests on the Hub
    │   ├── InvalidStatus                     not pending, accepted, rejected or reset
    │   ├── InvalidTarget                     not a person or request, or more than one
    │   ├── ReasonTooLong                     more UTF-16 units than the Hub allows
    │   ├── EndNeeded                         the rules do not know the end of an acceptance
    │   ├── InsecureEndpoint                  a token would be sent unencrypted
    │   ├── InvalidQuery                      not a search query for requests
    │   │   └── QueryTooLarge                 more characters, terms or values than allowed
    │   └── ForeignStore                      the store belongs to another Hub
    ├── HubError                          1   an error answer of the Hub: status, code and request id
    │   ├── NotAllowed                    4   401 or 403: no token, an invalid one, or no permission
    │   ├── RepoNotFound                  1
    │   │   └── WrongRepoType (UsageError)  2   a repo of the other type has that name
    │   ├── RepoMoved                     1   the repo was renamed or moved
    │   ├── NotGated                      1
    │   ├── PersonNotFound                1   no such account
    │   ├── RequestNotFound               1   the person has no request for this repo
    │   ├── BadRequest                    1   the Hub rejected the call
    │   ├── UnexpectedAnswer              1   not an answer of the Hub: HTML, truncated or too large
    │   ├── ForeignOrigin                 1   the Hub pointed to another host; nothing was sent there
    │   └── HubUnavailable               75   no answer, errors or a used-up rate limit for too long
    ├── Offline                          75   HF_HUB_OFFLINE is set
    ├── StoreUnavailable                 75   the store is missing, or cannot be read or written now
    │   └── StoreBusy                    75   another process writes to the store
    ├── StoreDamaged                      1   the file is not a valid store; nothing was written
    ├── StoreTooNew                       1   a newer hf-gate made the store; nothing was written
    ├── Stale                             6   the request changed since it was read; nothing was sent
    ├── Guarded                           6   a safety limit stopped the command; nothing was sent
    ├── OutcomeUnknown                    5   sent, but reading could not tell what happened
    └── Incomplete                        5   a listing that is not proved complete, or a partly done run

An error that carries an answer of the Hub is also an instance of the matching `huggingface_hub.errors` class when it
reaches the caller. `hub/errors.py` adds that base class at run time, because its import costs 60 ms.
"""

from __future__ import annotations

from collections.abc import Sequence

ACCESS_HELP = "More: `hf-gate help token` (docs/token.md)."
TOKEN_HELP = "More: docs/token.md."  # noqa: S105 - a hint
LOGIN_ADVICE = "Set HF_TOKEN, or run `hf auth login`"  # `hub.credentials.name_token_source` replaces it
NO_TOKEN_HINT = f"{LOGIN_ADVICE}. {ACCESS_HELP}"
PAGED_READ_HINT = "`hub.list(repo, status)` reads the requests page by page."

_HTTP_HINT = "Use an https endpoint, or insecure_http=True if you trust the network."
_GATE_HINT = 'Gate it first: `hub.set_gate(repo, "manual")`.'
_GRANT_HINT = "To give access without a request: `hub.grant_access(repo, user)`."
_LATER_HINT = "Nothing was changed. Make the same call again later."

# Hints of errors that users of the library can meet are written in Python. Commands and the desk show the second
# column.
_COMMAND_HINTS = (
    (TOKEN_HELP, ACCESS_HELP),
    (PAGED_READ_HINT, "`hf-gate ls REPO --status all --live` reads the requests page by page."),
    (_HTTP_HINT, "Use an https endpoint, or --insecure-http if you trust the network."),
    (_GATE_HINT, "Gate it first: `hf repos settings REPO --gated manual`."),
    (_GRANT_HINT, "To give access without a request: `hf-gate grant USER@REPO`."),
    (_LATER_HINT, "Nothing was changed. Run the same command again later."),
)


def to_command_hint(hint: str) -> str:
    """Return a hint in the words of the command line."""
    for python_words, command_words in _COMMAND_HINTS:
        hint = hint.replace(python_words, command_words)
    return hint


class HfGateError(Exception):
    """Base class of all errors of hf-gate. `hint` says in one line what to do next, in Python.

    `details` are further lines, such as each line of a file that is wrong.
    """

    exit_code = 1
    default_hint = ""

    def __init__(self, message: str, *, hint: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return self.message


class UsageError(HfGateError, ValueError):
    """The input is invalid; nothing was sent."""

    exit_code = 2


class NoToken(UsageError):
    """The place that a token is read from cannot be read, or holds none."""


class InvalidRepo(UsageError):
    """The text is not a repo id, nor a path or URL of a repo."""

    default_hint = "Write ns/name for a model, datasets/ns/name for a dataset, or paste the Hub's URL."


class SpaceNotSupported(UsageError):
    """Spaces have no access requests on the Hub."""

    default_hint = "Gate the model or the dataset behind the Space instead."


class InvalidStatus(UsageError):
    """The status is not one of pending, accepted, rejected, reset."""


class InvalidTarget(UsageError):
    """The target is not a person or a request, or there is more than one."""


class ReasonTooLong(UsageError):
    """The reason has more UTF-16 code units than the Hub accepts."""


class EndNeeded(UsageError):
    """The rules do not know the end of an acceptance, and nobody can be asked."""


class InsecureEndpoint(UsageError):
    """A token would be sent over plain http to another machine."""

    default_hint = _HTTP_HINT


class HubError(HfGateError):
    """The Hub answered with an error, or did not answer.

    `status` is the HTTP status (None without an answer), `code` the Hub's X-Error-Code, `request_id` its x-request-id
    (name it when you contact the Hub's support), `server_message` the Hub's own text (untrusted).
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        server_message: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.server_message = server_message


class NotAllowed(HubError):
    """The call had no token, an invalid token, or a token without the permission."""

    exit_code = 4
    default_hint = (
        "Reading requests needs repo.content.read and repo.access.read; deciding also needs repo.write (or the "
        "write role). "
        f"{LOGIN_ADVICE}. {TOKEN_HELP}"
    )


class RepoNotFound(HubError):
    """The repo does not exist, or the token cannot see it."""

    default_hint = "Check the spelling. A dataset is datasets/ns/name. A private repo needs a token that can see it."


class WrongRepoType(RepoNotFound, UsageError):
    """A repo of the other type has this name."""

    exit_code = 2


class RepoMoved(HubError):
    """The repo was renamed or moved. Decisions are not sent to the new name automatically."""

    default_hint = "Check that the new name is the same repo, then use it."


class NotGated(HubError):
    """The repo is not gated, so it has no access requests."""

    default_hint = _GATE_HINT


class PersonNotFound(HubError):
    """No account on the Hub has this name or id."""

    default_hint = "Check the spelling of the username (not the full name)."


class RequestNotFound(HubError):
    """The person has no request for this repo, or withdrew it."""

    default_hint = _GRANT_HINT


class BadRequest(HubError):
    """The Hub rejected the call as invalid."""


class UnexpectedAnswer(HubError):
    """The answer does not follow the Hub's protocol: HTML from a proxy, a truncated or oversized body."""

    default_hint = "Check that the endpoint is a Hub, and that no network sign-in page answers in its place."


class ForeignOrigin(HubError):
    """The Hub pointed to another host; nothing was sent there."""

    default_hint = "Check the endpoint. If the Hub itself does this, report it."


class HubUnavailable(HubError):
    """The Hub gave no answer, errors or a used-up rate limit for longer than allowed; nothing was changed."""

    exit_code = 75
    default_hint = _LATER_HINT


class Offline(HfGateError):
    """HF_HUB_OFFLINE is set."""

    exit_code = 75
    default_hint = "Unset HF_HUB_OFFLINE to reach the Hub."


class InvalidQuery(UsageError):
    """The text is not a search query. `at` is the position from 0, `suggestion` a corrected query."""

    def __init__(self, message: str, *, hint: str, at: int, suggestion: str) -> None:
        super().__init__(message, hint=hint)
        self.at = at
        self.suggestion = suggestion


class QueryTooLarge(InvalidQuery):
    """The query has more characters, terms or values than allowed."""


class ForeignStore(UsageError):
    """The store belongs to another Hub."""

    default_hint = "Give each Hub its own store: --workspace DIR, or another `store:` in hf-gate.yaml."


class StoreUnavailable(HfGateError):
    """The store is missing, or cannot be read or written now; nothing was written."""

    exit_code = 75
    default_hint = "Check the path, its permissions and the free disk space, then run the same command again."


class StoreMissing(StoreUnavailable):
    """There is no store at this place yet."""

    default_hint = "Create one with: hf-gate sync REPO"


class StoreBusy(StoreUnavailable):
    """Another process writes to the store."""

    default_hint = "Wait until it ends, or stop it. You can still read the store."


class StoreDamaged(HfGateError):
    """The file is not a valid store; nothing was written."""

    default_hint = (
        "With a backup: hf-gate store restore FILE. Without one: hf-gate store remove, then hf-gate sync --full; "
        "the dates of ends and the audit log are lost."
    )


class StoreTooNew(HfGateError):
    """A newer hf-gate made this store; nothing was written."""

    default_hint = "Install that newer version here, then run the command again."


class Stale(HfGateError):
    """The request changed since it was read; nothing was sent."""

    exit_code = 6
    default_hint = "Read the request again, then decide."


class Guarded(HfGateError):
    """A safety limit stopped the command (too many changes, no confirmation, a changed plan); nothing was sent."""

    exit_code = 6


class OutcomeUnknown(HfGateError):
    """A change was sent, but reading could not tell whether it happened."""

    exit_code = 5
    default_hint = "List the request before you decide again: the change may have happened, or may still happen."


class Incomplete(HfGateError):
    """A listing is not proved complete, or a run was done in part."""

    exit_code = 5
