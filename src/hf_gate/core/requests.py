"""Access requests as the Hub reports them, and decisions about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from hf_gate.base.display_text import SURROGATE
from hf_gate.base.ids import Person, Repo, is_id
from hf_gate.base.timestamps import to_ms
from hf_gate.errors import InvalidTarget, ReasonTooLong, UsageError

from .lifecycle import Status
from .request_version import ContentDigest, RequestVersion, digest_content

REASON_LIMIT = 200
"""The most UTF-16 units of a reason, as the Hub counts them."""


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An access request as of the time when it was read. A value that the Hub did not send is None.

    `status` is a `Status`, or plain text if hf-gate does not know it. `request_id` may be absent on Hubs before October
    2026, any part of `person` if the repo hides it, and `email` after a grant. `reviewed_at` is absent while pending;
    `granted_by` is sent only while accepted. `answers` maps labels of the gate form at that time to answers; `has_form`
    distinguishes an empty form from none.
    """

    repo: Repo
    status: str
    asked_at: datetime
    person: Person
    request_id: str | None = None
    email: str | None = None
    reviewed_at: datetime | None = None
    granted_by: Person | None = None
    answers: Mapping[str, str] = msgspec.field(default_factory=dict)
    has_form: bool = False
    raw_json: bytes = b""
    read_at: float = 0.0

    def __repr__(self) -> str:
        return (
            f"<AccessRequest {str(self.person)!r} at {self.repo}: {str(self.status)!r}, asked {self.asked_at:%Y-%m-%d}>"
        )

    @property
    def raw(self) -> dict[str, Any]:
        """The record as the Hub sent it, including unknown keys."""
        return dict(json.loads(self.raw_json)) if self.raw_json else {}

    @property
    def key(self) -> str:
        """The identifier within the repo: the request id, else the account id, else the username."""
        return self.request_id or self.person.id or self.person.username or ""

    @property
    def user_id(self) -> str | None:
        """The account's id, which a rename does not change; None if hidden."""
        return self.person.id

    @property
    def username(self) -> str | None:
        """The username, under the name that `huggingface_hub` uses; None if hidden."""
        return self.person.username

    @property
    def fullname(self) -> str | None:
        """The full name, under the name that `huggingface_hub` uses; None if hidden."""
        return self.person.fullname

    @property
    def timestamp(self) -> datetime:
        """When access was requested or granted, under the name that `huggingface_hub` uses."""
        return self.asked_at

    @property
    def fields(self) -> dict[str, str] | None:
        """The answers, or None without a form, under the name that `huggingface_hub` uses."""
        return dict(self.answers) if self.has_form else None

    def describe_changes_since(self, earlier: AccessRequest) -> str | None:
        """Return what has changed since `earlier` was read, in words; None if a decision about it is still valid."""
        return version_of_record(earlier).difference(version_of_record(self))


def content_digest(request: AccessRequest) -> ContentDigest:
    """Return the digests of a request."""
    person = request.person
    identity = [person.id, person.username, person.fullname, request.email]
    return digest_content([dict(request.answers), request.has_form], identity)


def version_of_record(request: AccessRequest, last_moved_at: int | None = None) -> RequestVersion:
    """Return the version of a record as read from the Hub."""
    return RequestVersion(request.status, to_ms(request.asked_at), last_moved_at, *content_digest(request))


class Target(Struct, frozen=True):
    """The person a decision is about: what the caller knows, and the request that this was read from, if any."""

    username: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    request: AccessRequest | None = None

    def __repr__(self) -> str:
        return f"<Target {self.label!r}>"

    @property
    def label(self) -> str:
        """The name of the person in messages."""
        return self.username or self.user_id or self.request_id or "(nobody)"

    def matches(self, request: AccessRequest) -> bool:
        """Tell whether a listed request is the target: by request id, else by account id, else by username."""
        if self.request_id and request.request_id:
            return self.request_id.lower() == request.request_id.lower()
        if self.user_id and request.person.id:
            return self.user_id.lower() == request.person.id.lower()
        name = request.person.username
        return bool(self.username and name) and self.username.lower() == name.lower()  # type: ignore[union-attr]


def target_of(
    user: str | Person | AccessRequest | None = None, *, request_id: str | None = None, user_id: str | None = None
) -> Target:
    """Return the target.

    Exactly one of a username, `Person` or request, a request id and an account id must be given.
    """
    if sum(given is not None for given in (user, request_id, user_id)) != 1:
        raise InvalidTarget("give exactly one of user, request_id and user_id.")
    for name, text in (("request_id", request_id), ("user_id", user_id)):
        if text is not None and not is_id(text):
            raise InvalidTarget(f"{name}={text!r} is not an id of the Hub: write 24 hex digits.")
    if isinstance(user, AccessRequest):
        person = user.person
        return Target(person.username, person.id, user.request_id, user)
    if isinstance(user, Person):
        if not (user.id or user.username):
            raise InvalidTarget("the Person has neither id nor username.")
        return Target(user.username, user.id)
    if user is not None and not user.strip():
        raise InvalidTarget("the username is empty.")
    return Target(user.strip() if user else None, user_id and user_id.lower(), request_id and request_id.lower())


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one person's request. Create it with `accept`, `reject`, `reset` or `cancel`."""

    to: Status
    target: Target
    reason: str | None = None

    def __repr__(self) -> str:
        return f"<Decision {self.to.value} for {self.target.label!r}>"

    @classmethod
    def accept(cls, who: str | Person | AccessRequest) -> Decision:
        """Give access at once."""
        return cls(Status.ACCEPTED, target_of(who))

    @classmethod
    def reject(cls, who: str | Person | AccessRequest, *, reason: str | None) -> Decision:
        """Deny access. The person cannot ask again, and sees `reason` (None: no reason)."""
        return cls(Status.REJECTED, target_of(who), check_reason(reason))

    @classmethod
    def reset(cls, who: str | Person | AccessRequest, *, reason: str | None = None) -> Decision:
        """Deny access. The person can ask again, and gets `reason` by e-mail from the Hub."""
        return cls(Status.RESET, target_of(who), check_reason(reason))

    @classmethod
    def cancel(cls, who: str | Person | AccessRequest) -> Decision:
        """Return the request to pending. An accepted person loses access."""
        return cls(Status.PENDING, target_of(who))


def utf16_units(text: str) -> int:
    """Return the length as the Hub counts it: an emoji outside the basic plane counts as two."""
    return len(text) + sum(ch > "\uffff" for ch in text)


def check_reason(reason: str | None) -> str | None:
    """Return the reason unchanged. Raises ReasonTooLong or UsageError before anything is sent."""
    if reason is None:
        return None
    if not isinstance(reason, str):
        raise UsageError(f"a reason must be text, not {type(reason).__name__}.")
    length = utf16_units(reason)
    if length > REASON_LIMIT:
        raise ReasonTooLong(
            f"the reason has {length} characters, but the Hub allows {REASON_LIMIT}.",
            hint=f"Shorten it by {length - REASON_LIMIT}; nothing was sent.",
        )
    if SURROGATE.search(reason):
        raise UsageError("the reason contains half a character (a lone surrogate); nothing was sent.")
    return reason
