"""One access request as the Hub tells it, and what somebody decided about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ..errors import InvalidTarget, ReasonTooLong, UsageError
from .ids import Person, Repo, is_id
from .lifecycle import Status
from .request_version import version_of_record

REASON_LIMIT = 200


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request as it stood when it was read. Absent on the wire is None here.

    `status` is a `Status`, or plain text when the Hub names one that hf-gate does not know. `request_id` may be
    absent on Hubs before October 2026, any part of `person` when the repo hides it, `email` also after a grant.
    `reviewed_at` is absent while pending; `granted_by` is told only while accepted. `answers` maps each label of
    the gate form, as it stood then, to the answer; `has_form` tells an empty form from none.
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

    @property
    def raw(self) -> dict[str, Any]:
        """The record as the Hub sent it, unknown keys included."""
        return dict(json.loads(self.raw_json)) if self.raw_json else {}

    @property
    def key(self) -> str:
        """What tells this request from the others of its repo: the request's id, else the account's, else the name."""
        return self.request_id or self.person.id or self.person.username or ""

    @property
    def user_id(self) -> str | None:
        """The id of the account, which stays when it is renamed; None when hidden."""
        return self.person.id

    @property
    def username(self) -> str | None:
        """As `huggingface_hub` names it; None when hidden."""
        return self.person.username

    @property
    def fullname(self) -> str | None:
        """As `huggingface_hub` names it; None when hidden."""
        return self.person.fullname

    @property
    def timestamp(self) -> datetime:
        """As `huggingface_hub` names it: when the person asked (or was granted access)."""
        return self.asked_at

    @property
    def fields(self) -> dict[str, str] | None:
        """As `huggingface_hub` names it: the answers, or None without a form."""
        return dict(self.answers) if self.has_form else None

    def describe_changes_since(self, earlier: AccessRequest) -> str | None:
        """What changed since `earlier` was read, in words; None when a decision on it still holds."""
        return version_of_record(earlier).difference(version_of_record(self))


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a decision means: exactly what the caller knew, and the request it was read from, if any."""

    username: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    request: AccessRequest | None = None

    @property
    def label(self) -> str:
        """How to name the person to a reader."""
        return self.username or self.user_id or self.request_id or "(nobody)"

    def matches(self, request: AccessRequest) -> bool:
        """Whether a listed request is the one that is meant: by request id, else by account id, else by name."""
        if self.request_id and request.request_id:
            return self.request_id.lower() == request.request_id.lower()
        if self.user_id and request.person.id:
            return self.user_id.lower() == request.person.id.lower()
        name = request.person.username
        return bool(self.username and name) and self.username.lower() == name.lower()  # type: ignore[union-attr]


def target_of(
    user: str | Person | AccessRequest | None = None, *, request_id: str | None = None, user_id: str | None = None
) -> Target:
    """The one person who is meant: a username, a `Person` or a request, or by keyword an id; exactly one."""
    if sum(given is not None for given in (user, request_id, user_id)) != 1:
        raise InvalidTarget("give exactly one of user, request_id and user_id.")
    for name, text in (("request_id", request_id), ("user_id", user_id)):
        if text is not None and not is_id(text):
            raise InvalidTarget(f"{name}={text!r} is no id of the Hub: 24 hex digits.")
    if isinstance(user, AccessRequest):
        person = user.person
        return Target(person.username, person.id, user.request_id, user)
    if isinstance(user, Person):
        if not (user.id or user.username):
            raise InvalidTarget("that Person has neither id nor username.")
        return Target(user.username, user.id)
    if user is not None and not user.strip():
        raise InvalidTarget("an empty username.")
    return Target(user.strip() if user else None, user_id and user_id.lower(), request_id and request_id.lower())


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall become of one person's request. Made by `accept`, `reject`, `reset` and `cancel`."""

    to: Status
    target: Target
    reason: str | None = None

    @classmethod
    def accept(cls, who: str | Person | AccessRequest) -> Decision:
        """May download at once."""
        return cls(Status.ACCEPTED, target_of(who))

    @classmethod
    def reject(cls, who: str | Person | AccessRequest, *, reason: str | None) -> Decision:
        """No files, and the person cannot ask again; `reason` is shown to them (None: no reason is given)."""
        return cls(Status.REJECTED, target_of(who), check_reason(reason))

    @classmethod
    def reset(cls, who: str | Person | AccessRequest, *, reason: str | None = None) -> Decision:
        """No files, and the person may ask again; the Hub mails them `reason`."""
        return cls(Status.RESET, target_of(who), check_reason(reason))

    @classmethod
    def cancel(cls, who: str | Person | AccessRequest) -> Decision:
        """Back to pending; a person who was in loses access."""
        return cls(Status.PENDING, target_of(who))


def utf16_units(text: str) -> int:
    """The length as the Hub counts it: an emoji outside the basic plane is two."""
    return len(text) + sum(ch > "\uffff" for ch in text)


def check_reason(reason: str | None) -> str | None:
    """The reason unchanged, or a clear refusal before anything is sent."""
    if reason is None:
        return None
    if not isinstance(reason, str):
        raise UsageError(f"a reason is text, not {type(reason).__name__}.")
    length = utf16_units(reason)
    if length > REASON_LIMIT:
        raise ReasonTooLong(
            f"the reason has {length} characters, the Hub allows {REASON_LIMIT}.",
            hint=f"Shorten it by {length - REASON_LIMIT}; nothing was sent.",
        )
    if any("\ud800" <= ch <= "\udfff" for ch in reason):
        raise UsageError("the reason holds half a character (a lone surrogate); nothing was sent.")
    return reason
