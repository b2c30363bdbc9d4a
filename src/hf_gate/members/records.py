"""Output records of the desk, its members and its keys."""

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


class MemberRecord(Record, frozen=True, kw_only=True):
    """One member."""

    name: str
    account: str
    account_id: str
    role: MemberRole
    repos: list[str]
    since: Time
    membership: Annotated[str | None, Meta(description="the age of a membership of less than 7 days, and who began it")]


class MembersRecord(Record, frozen=True, kw_only=True):
    """The members of a desk, and what the command did."""

    owner: Annotated[str | None, Meta(description="null until a Hub account has opened the desk")]
    members: list[MemberRecord]
    has_single_admin: Annotated[bool, Meta(description="nobody else can notice that an admin adds a second account")]
    added: Annotated[str | None, Meta(description="the member who was added or changed")] = None
    confirmed: Annotated[str | None, Meta(description="the member who was confirmed")] = None
    removed: Annotated[str | None, Meta(description="the member who was removed")] = None


class KeyRecord(Record, frozen=True, kw_only=True):
    """A key of another system."""

    name: str
    verbs: list[str]
    repos: list[str]
    made_at: Time


class KeysRecord(Record, frozen=True, kw_only=True):
    """The keys, and what the command did."""

    keys: list[KeyRecord]
    secret: Annotated[str | None, Meta(description="of the new key; it is not shown again")] = None
    removed: Annotated[str | None, Meta(description="the key that was removed")] = None
