"""Output records of members of the desk: links, invitations, sessions and keys, as a desk answers the terminal."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hf_gate.core.people.members import MemberRole
from hf_gate.core.records import Count, Record, Time


class DeskRecord(Record, frozen=True, kw_only=True):
    """A desk that serves."""

    url: str
    login_url: str
    pid: Count


class LinkRecord(Record, frozen=True, kw_only=True):
    """A sign-in link."""

    login_url: str


class InvitationRecord(Record, frozen=True, kw_only=True):
    """A member who was invited."""

    name: str
    role: MemberRole
    link: str
    account: str | None
    account_id: str | None


class ProofRecord(Record, frozen=True, kw_only=True):
    """A member whose Hub account is proven now, with their new link."""

    name: str
    role: MemberRole
    account: str
    link: str


class RevocationRecord(Record, frozen=True, kw_only=True):
    """A member who was removed."""

    name: str


class MemberRecord(Record, frozen=True, kw_only=True):
    """One member."""

    name: str
    role: MemberRole
    repos: list[str]
    link: bool
    link_state: str
    account: str | None
    proven: bool


class MembersRecord(Record, frozen=True, kw_only=True):
    """The members of a desk."""

    members: list[MemberRecord]


class SessionRecord(Record, frozen=True, kw_only=True):
    """One browser that is signed in."""

    id: str
    member: str
    method: str
    browser: str
    began_at: Time
    seen_at: Time


class SessionsRecord(Record, frozen=True, kw_only=True):
    """The browsers that are signed in."""

    sessions: list[SessionRecord]


class EndedSessionRecord(Record, frozen=True, kw_only=True):
    """A session that was ended."""

    session: str


class KeyRecord(Record, frozen=True, kw_only=True):
    """One secret of a key of another system."""

    name: str
    verbs: list[str]
    repos: list[str]
    made_at: Time
    until: Annotated[Time | None, Meta(description="when it ends, because a newer one replaced it")]


class KeysRecord(Record, frozen=True, kw_only=True):
    """The keys that work, the newest secret of each first, and what the command did."""

    keys: list[KeyRecord]
    secret: Annotated[str | None, Meta(description="the new one, which is not shown again")] = None
    old_until: Annotated[Time | None, Meta(description="until when the earlier secret works")] = None
    revoked: Annotated[str | None, Meta(description="the key that was revoked")] = None
