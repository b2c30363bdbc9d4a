"""What the ledger keeps: facts in the past tense, each frozen and tagged; names, answers and free words stay in `Private`.

The public part of an event holds enums, digests, ids of the Hub's requests, names of rules, policies and reviewers. What
is about a person (name, mail, answers, the reason they were given, the values a rule looked at) is the private part: it
lies beside the ledger, which holds only a salted commitment to it, so that it can be erased and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias, get_args

import msgspec

Private: TypeAlias = Mapping[str, Any]
"""JSON values only. Keys in use: `record` (the Hub's own, as text), `reason`, `note`, `why`, `because`, `user`, `granted_by`."""


class EventKind(StrEnum):
    """The persisted names of all events: the tag of a body and the `kind` of an entry. A released one never changes."""

    REQUEST_SEEN = "RequestSeen"
    REQUEST_CHANGED = "RequestChanged"
    STATUS_MOVED = "StatusMoved"
    REQUEST_WITHDRAWN = "RequestWithdrawn"
    VERDICT_REACHED = "VerdictReached"
    PLAN_APPROVED = "PlanApproved"
    RUN_RESUMED = "RunResumed"
    CHANGE_STARTED = "ChangeStarted"
    CHANGE_SETTLED = "ChangeSettled"
    GRANT_DATED = "GrantDated"
    NOTE_WRITTEN = "NoteWritten"
    POLICY_PROMOTED = "PolicyPromoted"
    TABLE_ACCEPTED = "TableAccepted"
    MEMBER_INVITED = "MemberInvited"
    MEMBER_REVOKED = "MemberRevoked"
    ACCOUNT_PROVEN = "AccountProven"
    PLAN_AGREED = "PlanAgreed"
    RUN_ENDED = "RunEnded"
    SYNC_ENDED = "SyncEnded"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that happened. A class may be renamed; its tag, a member of `EventKind`, stays."""


class RequestSeen(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.REQUEST_SEEN.value):
    """A request (a new attempt) was found on the Hub. `hub_request` is the Hub's id for it, if it gives one."""

    person: str
    status: str
    asked_at: int  # ms
    attempt: int = 1
    hub_request: str | None = None
    reviewed_at: int | None = None
    answers: str | None = None  # digest of the answers, salted like the commitment
    via: str = "sync"  # sync, import
    after: int | None = None  # the request that this attempt follows


class RequestChanged(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.REQUEST_CHANGED.value):
    """The same attempt reads differently now: name, mail, answers, the id that the Hub gives it, or when it was reviewed."""

    what: tuple[str, ...]  # record, review
    hub_request: str | None = None
    reviewed_at: int | None = None  # ms; later than what was known


class StatusMoved(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.STATUS_MOVED.value):
    """The Hub shows another status than we knew, and it was not we who moved it: the Hub's page, or another tool."""

    before: str
    after: str
    reviewed_at: int | None = None
    cause: str = "outside"  # outside; superseded: it was moved on after a change of ours
    has_granter: bool = False  # who granted stands in the private part


class RequestWithdrawn(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.REQUEST_WITHDRAWN.value):
    """In none of the four lists any more, shown by complete readings."""

    before: str


class VerdictReached(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.VERDICT_REACHED.value):
    """What the policies say about a request, entered when it differs from what they said before."""

    action: str
    rule: str
    policy: str | None = None
    digest: str | None = None
    shadow: tuple[tuple[str, str, str], ...] = ()  # (policy, rule, action), reported beside and never counted
    lists: Mapping[str, str] = {}  # name to version of each list and table that was looked at
    missing: tuple[str, ...] = ()
    queue: str | None = None


class PlanApproved(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.PLAN_APPROVED.value):
    """Somebody, or a policy within its budget, let a plan (or a direct decision: no digest) begin."""

    run: str
    changes: int
    plan: str | None = None


class RunResumed(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.RUN_RESUMED.value):
    """A person let a paused or interrupted run go on. `changes`: those that were not sent before."""

    run: str
    changes: int


class ChangeStarted(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.CHANGE_STARTED.value):
    """Written, and on the disk, before anything is sent."""

    run: str
    before: str | None
    after: str
    rule: str | None = None
    digest: str | None = None
    plan: str | None = None
    has_reason: bool = False


class ChangeSettled(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.CHANGE_SETTLED.value):
    """What became of a started change: one of the kinds of an outcome. `open` is settled once more, later."""

    run: str
    kind: str
    after: str
    how: str = "told"  # told: the Hub said so; read: its answer was lost, and reading showed it
    hub_reply: str | None = None  # the Hub's x-request-id of the write
    reviewed_at: int | None = None  # ms: the Hub's time if a reading showed it, else ours; 0: it waits again
    hub_at: int | None = None  # ms by the Hub's clock, where that is known and is not ours


class GrantDated(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.GRANT_DATED.value):
    """An acceptance of ours got an end, or another one; `until` None: it has none any more."""

    until: int | None  # ms
    at_end: str = "reset"
    rule: str | None = None
    written: str | None = None  # `30d`, `2027-06-30`: as the rule says it


class NoteWritten(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.NOTE_WRITTEN.value):
    """A reviewer's own words, never shown to the requester."""


class PolicyPromoted(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.POLICY_PROMOTED.value):
    """This version of a policy may act without being asked, from its first cycle on."""

    policy: str
    digest: str


class TableAccepted(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.TABLE_ACCEPTED.value):
    """A table that lost rows is used as it is from now on."""

    table: str
    rows_before: int | None  # None: it was never read whole
    rows_after: int


class MemberInvited(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.MEMBER_INVITED.value):
    """A member got a new link to the desk. `account`: the id of the Hub account that the invitation names, unproven.

    `seal`: digest of the member's row with the digest of the link, so that a row that was edited is found.
    """

    member: str
    role: str
    repos: tuple[str, ...] | None = None
    account: str | None = None
    seal: str | None = None


class MemberRevoked(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.MEMBER_REVOKED.value):
    """A member may not sign in any more."""

    member: str


class AccountProven(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.ACCOUNT_PROVEN.value):
    """A member showed by a token of their own that this Hub account is theirs, and got a new link. `seal`: as above."""

    member: str
    account: str
    seal: str | None = None


class PlanAgreed(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.PLAN_AGREED.value):
    """Somebody agreed to a plan that two people have to agree to. `account`: the id of their proven Hub account."""

    plan: str
    changes: int
    account: str


class RunEnded(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.RUN_ENDED.value):
    """A run came to its end, was stopped, or paused; `counts` by kind of outcome."""

    run: str
    state: str
    counts: Mapping[str, int] = {}


class SyncEnded(Event, frozen=True, kw_only=True, omit_defaults=True, tag=EventKind.SYNC_ENDED.value):
    """A full reading ended; `complete` says whether it is proved whole. Entered when `complete` or the counts moved."""

    complete: bool
    counts: Mapping[str, int] = {}


AnyEvent: TypeAlias = (
    RequestSeen
    | RequestChanged
    | StatusMoved
    | RequestWithdrawn
    | VerdictReached
    | PlanApproved
    | RunResumed
    | ChangeStarted
    | ChangeSettled
    | GrantDated
    | NoteWritten
    | PolicyPromoted
    | TableAccepted
    | MemberInvited
    | MemberRevoked
    | AccountProven
    | PlanAgreed
    | RunEnded
    | SyncEnded
)

KINDS: tuple[str, ...] = tuple(sorted(kind.value for kind in EventKind))
"""The stable names of all events."""

_KIND_OF: dict[type, str] = {each: each.__struct_config__.tag for each in get_args(AnyEvent)}

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event with when, by whom and about which request (the store's number); what the writer chains and keeps.

    `private` and `person` go together: the salt of that person seals the commitment.
    """

    event: AnyEvent
    at: int  # ms
    actor: str
    request: int | None = None
    person: int | None = None
    private: Private | None = None


def policy_actor(policy: str, digest: str | None) -> str:
    """The actor of what a policy does: its name, and which version of it."""
    return f"policy:{policy}@{(digest or '')[:8]}"


def kind_of(event: AnyEvent) -> str:
    """Return the persisted name of an event."""
    return _KIND_OF[type(event)]


def encode_event(event: AnyEvent) -> bytes:
    """The canonical JSON of the public part; it names its kind."""
    return _ENCODER.encode(event)


def decode_event(body: bytes) -> AnyEvent:
    """The event behind a body; raises `msgspec.ValidationError` for one that no version of ours wrote."""
    return _DECODER.decode(body)


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: what digests and commitments are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def commitment_of(salt: bytes, private: bytes) -> bytes:
    """What the ledger holds in place of the private part: without the salt nobody can guess their way back."""
    return hashlib.sha256(len(salt).to_bytes(2) + salt + private).digest()
