"""The events of the audit log: frozen, tagged structs that describe what happened.

The public part of an event holds enums, digests, the Hub's request ids, and names of rules, policies and reviewers.
Personal data (name, e-mail address, answers, reasons, fact values) is in the private part, stored beside the ledger.
The ledger holds only a salted commitment to the private part, so that part can be erased and the chain stays valid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import msgspec

from hf_gate.base.decoding import make_json_decoder
from hf_gate.core.people.access_end import HandTerms
from hf_gate.core.people.standing import Beginning

Private: TypeAlias = Mapping[str, Any]
"""JSON values only.

Keys in use: `record` (the Hub's own, as text), `reason`, `note`, `why`, `because`, `user`, `granted_by`, `version`,
`rows`.
"""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event. Its class can be renamed; its tag, which is stored, cannot."""


class RequestSeen(Event, frozen=True, kw_only=True, omit_defaults=True, tag="RequestSeen"):
    """A new request, or a new attempt, was found on the Hub."""

    person: str  # pseudonym in this store
    status: str  # pending, accepted, rejected, reset
    asked_at: int  # ms
    attempt: int = 1
    hub_request: str | None = None  # the Hub's request id, if it sent one
    reviewed_at: int | None = None  # ms
    answers: str | None = None  # digest of the answers, salted
    via: str = "sync"  # sync, import
    after: int | None = None  # the previous attempt


class RequestChanged(Event, frozen=True, kw_only=True, omit_defaults=True, tag="RequestChanged"):
    """The name, e-mail address, Hub id, review time or answers of a known attempt changed."""

    what: tuple[str, ...]  # record: name, address, id or answers; review: the review time
    hub_request: str | None = None
    reviewed_at: int | None = None  # ms; later than the known review time


class StatusMoved(Event, frozen=True, kw_only=True, omit_defaults=True, tag="StatusMoved"):
    """The Hub shows another status that hf-gate did not set: the change came from the Hub's page or another tool."""

    before: str  # a status, as in RequestSeen
    after: str
    reviewed_at: int | None = None
    cause: str = "outside"  # outside; superseded: the status changed again after a change by hf-gate
    has_granter: bool = False  # the private part names the granter


class RequestWithdrawn(Event, frozen=True, kw_only=True, omit_defaults=True, tag="RequestWithdrawn"):
    """Complete listings show that the request is in none of the four lists."""

    before: str


class VerdictReached(Event, frozen=True, kw_only=True, omit_defaults=True, tag="VerdictReached"):
    """The verdict of the policies on a request, recorded when it differs from the previous verdict."""

    action: str  # accept, reset, reject, human, wait
    rule: str
    policy: str | None = None
    digest: str | None = None  # of the policy
    shadow: tuple[tuple[str, str, str], ...] = ()  # (policy, rule, action); reported, but not used to decide
    lists: Mapping[str, str] = {}  # the version of each list and table that was used, by its name
    missing: tuple[str, ...] = ()  # the facts that are not known
    hand_terms: HandTerms | None = None  # of an acceptance by hand; None: no end


class PlanApproved(Event, frozen=True, kw_only=True, omit_defaults=True, tag="PlanApproved"):
    """A person, or a policy within its guards, approved a plan. A direct decision has no `plan`."""

    run: str
    changes: int
    plan: str | None = None


class RunResumed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="RunResumed"):
    """A person resumed a paused or interrupted run. `changes` counts the changes not sent before."""

    run: str
    changes: int


class ChangeStarted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ChangeStarted"):
    """A change is about to be sent. The event is on disk before the request is sent."""

    run: str
    before: str | None
    after: str
    rule: str | None = None
    digest: str | None = None
    plan: str | None = None
    has_reason: bool = False


class ChangeSettled(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ChangeSettled"):
    """The outcome of a started change. A change with the outcome `open` is settled again later."""

    run: str
    kind: str  # one of the seven outcomes
    after: str
    how: str = "told"  # read: the answer was lost, and a later read showed the outcome; told: any other case
    hub_reply: str | None = None  # the Hub's x-request-id of the write
    reviewed_at: int | None = None  # ms: the Hub's time if a read showed it, else ours; 0: pending again
    hub_at: int | None = None  # ms by the Hub's clock, if that clock is known and differs from ours
    is_end: bool = False  # the change ended a grant whose end had come
    is_sudden: bool = False  # the end counts towards the guard `end`
    had_access: bool = False  # an acceptance of somebody who was accepted before, so nothing moved


class GrantDated(Event, frozen=True, kw_only=True, omit_defaults=True, tag="GrantDated"):
    """The end of a grant made by hf-gate was set, changed, or removed (`until` is None).

    `cause` is `fact` if a date in a table moved, `keep_while` if a condition changed, `renew` or `drop` if
    a person set or removed the end, `chosen` if a person chose it with the acceptance, `approved` if the person who
    approved before chose it, `adopt` if a person set the end of the rules, and `outside` if the person was accepted
    again on the Hub. Without a cause, the rule set the end.
    """

    until: int | None  # ms; None: no date
    at_end: str = "reset"
    rule: str | None = None
    written: str | None = None  # as written in the rule: `30d`, `2027-06-30`
    terms: str | None = None  # digest of the conditions that can move the end later
    lapses: tuple[int | None, ...] = ()  # when each condition of `keep_while` ends access (ms); None: not now
    cause: str | None = None
    lists: Mapping[str, str] = {}  # the version of each table that the end rests on, by its name
    version: str | None = None  # start of the policy's digest, if the policy changed after a person was shown the end

    @property
    def is_chosen(self) -> bool:
        """Whether a person chose `until`."""
        return self.cause in ("renew", "chosen", "approved")


class GrantNoticed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="GrantNoticed"):
    """The time came to tell a person that access ends at `until`. Recorded once for each step of `notice`."""

    until: int  # ms
    step: str  # as written in the rule: `30d`


class LetterSent(Event, frozen=True, kw_only=True, omit_defaults=True, tag="LetterSent"):
    """The mail server took a letter to an applicant, or a person says that it was sent."""

    letter: str  # id
    about: str  # kind of the letter
    how: str = "server"  # server; hand: a person said so


class NoteWritten(Event, frozen=True, kw_only=True, omit_defaults=True, tag="NoteWritten"):
    """A reviewer wrote a note. The requester never sees it."""


class PolicyPromoted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="PolicyPromoted"):
    """A person lets this version of a policy act without confirmation; some versions take a second person."""

    policy: str
    digest: str
    member: str | None = None  # id of the member who promoted it
    account: str | None = None  # id of that person's Hub account


class TableAccepted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TableAccepted"):
    """A table that lost rows was accepted: its current rows are used from now on."""

    table: str
    rows_before: int | None  # None: the table has never been read completely
    rows_after: int


class TableChanged(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TableChanged"):
    """A person changed rows of a table. `before` and `after` are the SHA-256 digests of the file."""

    table: str
    before: str
    after: str
    added: int = 0
    changed: int = 0
    removed: int = 0


class TableRowChanged(Event, frozen=True, kw_only=True, omit_defaults=True, tag="TableRowChanged"):
    """A row of a table in the store was written or deleted.

    `before` and `after` are commitments to its key and cells, with a salt that is deleted with the row.
    """

    table: str
    before: str | None = None  # null: it is new
    after: str | None = None  # null: it was deleted


class MemberAdded(Event, frozen=True, kw_only=True, omit_defaults=True, tag="MemberAdded"):
    """A Hub account became a member, or got another role or other repos."""

    member: str
    role: str
    repos: tuple[str, ...] | None = None
    account: str | None = None  # id of the Hub account
    begun_at: int = 0  # ms; the membership before goes on, unless the member got rights that they did not have
    begun_by: str | None = None  # id of the Hub account that added the member; null: a role in an organisation
    seal: str | None = None  # digest of the member's row; a changed one reveals an edited row


class MemberConfirmed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="MemberConfirmed"):
    """A third person confirmed a new member, who counts as a person of their own now."""

    member: str
    account: str  # id of the Hub account that confirmed
    seal: str


class MemberRemoved(Event, frozen=True, kw_only=True, omit_defaults=True, tag="MemberRemoved"):
    """A member can no longer sign in."""

    member: str


class KeyMade(Event, frozen=True, kw_only=True, omit_defaults=True, tag="KeyMade"):
    """A key for another system was made. `digest` is the hash of its secret."""

    key: str
    verbs: tuple[str, ...]
    digest: str
    repos: tuple[str, ...] | None = None


class KeyRevoked(Event, frozen=True, kw_only=True, omit_defaults=True, tag="KeyRevoked"):
    """This key does not work any more."""

    key: str


class PlanAgreed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="PlanAgreed"):
    """A member agreed to a plan that two people must agree to. `account` is the id of their Hub account."""

    plan: str
    changes: int
    account: str


class ApprovalGiven(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ApprovalGiven"):
    """A person approved a request that needs two people. `account` is the id of their Hub account.

    The version of the request is in the private part, because its digest could confirm guessed answers. A longer end of
    an access is approved in the same way.
    """

    account: str
    need: str  # the digest of the rules that ask for two people
    member: str | None = None
    has_note: bool = False
    until: str | None = None  # the end of access that the person approved, as written, or `none`; None: not recorded
    conditions: tuple[str, ...] = ()  # the digests of the conditions of the approved access
    new_member: Beginning | None = None  # of a membership that was younger than 7 days


class ApprovalWithdrawn(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ApprovalWithdrawn"):
    """A person took back their approval of a request."""

    account: str
    member: str | None = None


class ApprovalMissing(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ApprovalMissing"):
    """A request was accepted outside hf-gate, and fewer people than needed had approved it."""

    given: int
    needed: int


class ApprovalAlarmClosed(Event, frozen=True, kw_only=True, omit_defaults=True, tag="ApprovalAlarmClosed"):
    """A person acknowledged that a request was accepted outside hf-gate without the approvals that it needs."""


class RunEnded(Event, frozen=True, kw_only=True, omit_defaults=True, tag="RunEnded"):
    """A run ended, was stopped or paused. `counts` is by kind of outcome."""

    run: str
    state: str
    counts: Mapping[str, int] = {}


class SyncEnded(Event, frozen=True, kw_only=True, omit_defaults=True, tag="SyncEnded"):
    """A full sync ended. Recorded when `complete`, the counts, the form or the prompt change, and once a day."""

    complete: bool  # proved complete
    counts: Mapping[str, int] = {}
    form: str | None = None  # the fingerprint of the gate form: "" without fields, None if it was never read
    prompt: str | None = None  # the fingerprint of the prompt: "" without one, None if it was never read


class PrivatePartsDeleted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="PrivatePartsDeleted"):
    """The private parts of these earlier entries of the chain were deleted.

    `entries` holds ranges: first and last number.
    """

    cause: str  # erasure, retention
    entries: tuple[tuple[int, int], ...]
    person: str | None = None  # the pseudonym of an erased person


class UnattendedStopped(Event, frozen=True, kw_only=True, omit_defaults=True, tag="UnattendedStopped"):
    """A person stopped all unattended work, or `hf-gate run` did.

    In that case `cause` is `ledger_broken`: the audit log does not verify.
    """

    cause: str | None = None


class UnattendedStarted(Event, frozen=True, kw_only=True, omit_defaults=True, tag="UnattendedStarted"):
    """An admin let unattended work continue. `cause` is that of the stop."""

    cause: str | None = None


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
    | GrantNoticed
    | LetterSent
    | NoteWritten
    | PolicyPromoted
    | TableAccepted
    | TableChanged
    | TableRowChanged
    | MemberAdded
    | MemberConfirmed
    | MemberRemoved
    | KeyMade
    | KeyRevoked
    | PlanAgreed
    | ApprovalGiven
    | ApprovalWithdrawn
    | ApprovalMissing
    | ApprovalAlarmClosed
    | RunEnded
    | SyncEnded
    | PrivatePartsDeleted
    | UnattendedStopped
    | UnattendedStarted
)

_KIND_OF: dict[type, str] = {each: each.__struct_config__.tag for each in get_args(AnyEvent)}

KINDS: tuple[str, ...] = tuple(sorted(_KIND_OF.values()))
"""The stable names of all events."""

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER: msgspec.json.Decoder[AnyEvent] = make_json_decoder(AnyEvent)  # type: ignore[arg-type]  # a union is no type


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its time, actor and request (the store's number), as passed to the writer."""

    event: AnyEvent
    at: int  # ms
    actor: str
    request: int | None = None
    person: int | None = None
    private: Private | None = None  # needs `person`, whose salt protects the commitment


OUTSIDE = "outside"
"""The actor of changes made elsewhere: by requesters, on the Hub's page, or by other tools."""

POLICY_ACTOR = "policy:"
"""The prefix of an actor that is a policy."""


def policy_actor(policy: str, digest: str | None) -> str:
    """Return the name of a policy as an actor, with the start of its digest."""
    return f"{POLICY_ACTOR}{policy}@{(digest or '')[:8]}"


def kind_of(event: type[Event]) -> str:
    """Return the persisted name of the events of a class: the `kind` of their entries."""
    return _KIND_OF[event]


def encode_event(event: AnyEvent) -> bytes:
    """Encode the public part of an event as canonical JSON, including its kind."""
    return _ENCODER.encode(event)


def decode_event(body: bytes) -> AnyEvent:
    """Decode the body of an event. Raises `msgspec.ValidationError` if hf-gate did not write it."""
    return _DECODER.decode(body)


def canonical_json(value: object) -> bytes:
    """Encode a value as JSON in UTF-8, with sorted keys and without spaces.

    Digests and commitments cover these bytes.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def commitment_of(salt: bytes, private: bytes) -> bytes:
    """Return the commitment to a private part. Without the salt, nobody can guess the content from the commitment."""
    return hashlib.sha256(len(salt).to_bytes(2) + salt + private).digest()
