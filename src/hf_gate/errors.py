"""Everything that can go wrong, as one tree; each leaf knows its exit code, and each instance its next step.

    HfGateError
    ├── UsageError (also ValueError)      2   what was asked for cannot be asked
    │   ├── InvalidRepo                       not a repo id, URL or path
    │   ├── SpaceNotSupported                 Spaces have no access requests on the Hub
    │   ├── InvalidStatus                     not pending, accepted, rejected or reset
    │   ├── InvalidTarget                     a person or request that cannot be read, or two of them
    │   ├── ReasonTooLong                     over 200 UTF-16 units
    │   ├── InsecureEndpoint                  a token would travel in the clear
    │   ├── InvalidQuery                      not a query of requests
    │   │   └── QueryTooLarge                 more characters, terms or values than a query may have
    │   └── ForeignStore                      the store belongs to another Hub
    ├── HubError                          1   the Hub's answer, with its status, code and request id
    │   ├── NotAllowed                    4   401, or 403: no token, a wrong one, or one that may not
    │   ├── RepoNotFound                  1
    │   │   └── WrongRepoType (UsageError)  2   that name is a dataset, or a model
    │   ├── RepoMoved                     1   renamed: the Hub points to another name
    │   ├── NotGated                      1
    │   ├── PersonNotFound                1   no such account
    │   ├── RequestNotFound               1   that person has no request there
    │   ├── BadRequest                    1   the Hub refuses what was sent
    │   ├── UnexpectedAnswer              1   not what the protocol promises: HTML, truncated, too large
    │   ├── ForeignOrigin                 1   the Hub pointed to another host; nothing was sent there
    │   └── HubUnavailable               75   silent, failing or out of calls for longer than allowed; nothing was sent
    ├── Offline                          75   HF_HUB_OFFLINE is set
    ├── StoreUnavailable                 75   the store is not there, or cannot be written now: a full disk, no rights
    │   └── StoreBusy                    75   another process writes to it
    ├── StoreDamaged                      1   the file is not what a store is; nothing was written
    ├── StoreTooOld                       1   a pre-release of hf-gate made it; nothing was written
    ├── StoreTooNew                       1   a newer hf-gate made it; nothing was written
    ├── Stale                             6   the request moved since it was read; nothing was sent
    ├── Guarded                           6   a brake held: more than --max, no yes, a plan that changed
    ├── OutcomeUnknown                    5   sent, and reading could not tell what happened
    └── Incomplete                        5   a listing that is not proved whole, or a run done in part

Errors that carry an answer of the Hub are, when raised to a caller, also `huggingface_hub.errors.HfHubHTTPError`
or its fitting leaf (`hub/errors.py` joins them, since that import costs 60 ms).
"""

from __future__ import annotations

ACCESS_HELP = "More: `hf-gate help token` (docs/token.md)."
NO_TOKEN_HINT = f"Set HF_TOKEN, or `hf auth login`. {ACCESS_HELP}"


class HfGateError(Exception):
    """Anything that hf-gate raises on purpose. `hint` is one line: what to do next."""

    exit_code = 1
    default_hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return self.message


class UsageError(HfGateError, ValueError):
    """What was asked for cannot be asked; nothing was sent."""

    exit_code = 2


class InvalidRepo(UsageError):
    """Not a repo id, a path or a URL of one."""

    default_hint = "Write ns/name for a model, datasets/ns/name for a dataset, or paste the Hub's URL."


class SpaceNotSupported(UsageError):
    """Spaces have no access requests on the Hub."""

    default_hint = "Gate the model or the dataset behind the Space instead."


class InvalidStatus(UsageError):
    """Not one of pending, accepted, rejected, reset."""


class InvalidTarget(UsageError):
    """A person or a request that cannot be read, or more than one where one is meant."""


class ReasonTooLong(UsageError):
    """The Hub takes at most 200 UTF-16 code units of reason."""


class InsecureEndpoint(UsageError):
    """A token would travel over plain http beyond this machine."""

    default_hint = "Use an https endpoint, or --insecure-http if you know that network."


class HubError(HfGateError):
    """An answer of the Hub that is not the wished one.

    `status` is the HTTP status (None when no answer came), `code` the Hub's X-Error-Code, `request_id` its
    x-request-id for a report to the Hub's support, `server_message` the Hub's own words (text from outside).
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
    """No token, a wrong one, or one that may not do this."""

    exit_code = 4
    default_hint = (
        "Looking needs repo.content.read and repo.access.read, deciding also repo.write, or a token with the write role. "
        + NO_TOKEN_HINT
    )


class RepoNotFound(HubError):
    """No such repo, or this token may not see it."""

    default_hint = "Check the spelling; a dataset is datasets/ns/name, and a private repo needs a token that sees it."


class WrongRepoType(RepoNotFound, UsageError):
    """The name exists, as the other type of repo."""

    exit_code = 2


class RepoMoved(HubError):
    """The repo was renamed or moved; decisions are not carried over to another name by themselves."""

    default_hint = "Look at the new name, and use it if it is the same repo."


class NotGated(HubError):
    """The repo is not gated, so nobody needs access."""

    default_hint = "Gate it first: `hf repos settings REPO --gated manual`."


class PersonNotFound(HubError):
    """No account of that name or id on the Hub."""

    default_hint = "Check the spelling of the username (not the full name)."


class RequestNotFound(HubError):
    """That person has no request there (or took it back)."""

    default_hint = "To let somebody in who has not asked: `hf-gate grant USER@REPO`."


class BadRequest(HubError):
    """The Hub refuses what was sent."""


class UnexpectedAnswer(HubError):
    """Not what the protocol promises: HTML from a proxy, a truncated or oversized body."""

    default_hint = "Is the endpoint a Hub, and is no sign-in page of a network in between?"


class ForeignOrigin(HubError):
    """The Hub pointed to another host; the token stays here and nothing was sent there."""

    default_hint = "Check the endpoint; if the Hub itself does this, report it."


class HubUnavailable(HubError):
    """The Hub was silent, failing or out of calls for longer than allowed; nothing of this was sent."""

    exit_code = 75
    default_hint = "Nothing was changed; the same command can be repeated as it is."


class Offline(HfGateError):
    """HF_HUB_OFFLINE is set."""

    exit_code = 75
    default_hint = "Unset HF_HUB_OFFLINE to reach the Hub."


class InvalidQuery(UsageError):
    """Not a query of requests. `at` is the place from 0, `suggestion` the whole query as it may have been meant."""

    def __init__(self, message: str, *, hint: str, at: int, suggestion: str) -> None:
        super().__init__(message, hint=hint)
        self.at = at
        self.suggestion = suggestion


class QueryTooLarge(InvalidQuery):
    """A query with more characters, terms or values than are read."""


class ForeignStore(UsageError):
    """The store belongs to another Hub than the one that is meant."""

    default_hint = "Give each Hub a store of its own: --workspace DIR, or another `store:` in hf-gate.yaml."


class StoreUnavailable(HfGateError):
    """The store is not there, or cannot be read or written now; nothing was written."""

    exit_code = 75
    default_hint = "Check the path and its rights; the same command can be repeated as it is."


class StoreBusy(StoreUnavailable):
    """Another process writes to the store."""

    default_hint = "Wait until it is done, or stop it; reading is possible meanwhile."


class StoreDamaged(HfGateError):
    """The file is not what a store is; nothing was written."""

    default_hint = "Restore it from a backup; requests can be read from the Hub again: hf-gate sync --full."


class StoreTooOld(HfGateError):
    """A pre-release of hf-gate made this store; nothing was written."""

    default_hint = "Make it anew from the Hub: hf-gate store remove, then hf-gate sync --full."


class StoreTooNew(HfGateError):
    """A newer hf-gate made this store; nothing was written."""

    default_hint = "Use that newer hf-gate: pip install -U hf-gate."


class Stale(HfGateError):
    """The request moved since it was read; nothing was sent."""

    exit_code = 6
    default_hint = "Read it again and decide on what it says now."


class Guarded(HfGateError):
    """A brake held; nothing was sent."""

    exit_code = 6


class OutcomeUnknown(HfGateError):
    """A change was sent and reading could not tell whether it happened."""

    exit_code = 5
    default_hint = "List the request before deciding again: the change may have happened, or may still arrive."


class Incomplete(HfGateError):
    """A listing that is not proved whole, or a run that was done in part."""

    exit_code = 5
