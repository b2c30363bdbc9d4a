"""Rows of the store as values: people, requests, repos, runs and changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from hf_gate.base.ids import Repo, name_person
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.activity import Activity
from hf_gate.core.events.erasure import ErasedRequest
from hf_gate.core.events.evaluations import StoredEvaluation
from hf_gate.core.events.events import AnyEvent, LedgerEntry, Private, RequestSeen, SyncEnded
from hf_gate.core.events.grant_origin import PastState
from hf_gate.core.events.ledger import LedgerLink
from hf_gate.core.events.request_state import RecordUpdate, RequestState, apply_event
from hf_gate.core.people.access_end import HandTerms
from hf_gate.core.people.members import Member

from .lifecycle import Status
from .request_version import ContentDigest, RequestVersion
from .requests import AccessRequest, Target
from .runs import FINISHED, ChangeState, RunKind, RunState

ListPosition: TypeAlias = tuple[int, int]
"""A position in a list of requests, oldest first: the time of the request (ms) and the request's number."""

ListRange: TypeAlias = tuple[ListPosition | None, ListPosition | None]
"""The positions after the first one, up to and including the second; None means the start or the end of the list."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The identity of a person, as last read. None means hidden or not sent; it does not erase a known value."""

    user_id: str | None
    username: str | None
    fullname: str | None = None
    email: str | None = None


class PersonRow(msgspec.Struct, frozen=True, gc=False):
    """One person in the store. Ledger bodies use `pseudonym`."""

    id: int
    pseudonym: str
    identity: Identity


class RequestRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt in the store. `request` is the last record from the Hub; it is None unless it was queried."""

    id: int
    repo: Repo
    person: PersonRow
    state: RequestState
    is_current: bool = True
    has_notes: bool = False
    first_seen_at: int | None  # ms; None if the row is not as it is stored: of an earlier moment, or only on the Hub
    started_at: int | None = None  # ms: start of the open change
    content: ContentDigest = ContentDigest(b"", b"")
    evaluation: StoredEvaluation = StoredEvaluation()
    request: AccessRequest | None = None

    @property
    def person_name(self) -> str:
        """The latest username, or a number if the repo hides it."""
        known = self.person.identity
        return name_person(known.username, known.user_id, self.state.hub_request or self.person.pseudonym)

    @property
    def target_name(self) -> str:
        """The request as commands take it: USER@REPO, or with the request id if the repo hides the name."""
        who = self.person.identity.username or self.state.hub_request or self.person.pseudonym
        return f"{who}@{self.repo}"

    @property
    def target(self) -> Target:
        """The person and the request, without the record."""
        who = self.person.identity
        return Target(who.username, who.user_id, self.state.hub_request)

    def is_made_by(self, member: Member) -> bool:
        """Tell whether the request is the member's own."""
        return member.is_own(self.person.identity.username, self.person.identity.user_id)

    @property
    def version(self) -> RequestVersion:
        """The current version, for comparison with a version read earlier."""
        state = self.state
        return RequestVersion(state.status, state.asked_at, state.last_moved_at, *self.content)


def unstored_row(request: AccessRequest) -> RequestRow:
    """Return a row without history, for a request that is not in the store."""
    person = request.person
    state = RequestState("", request.status, to_ms(request.asked_at), hub_request=request.request_id)
    identity = Identity(person.id, person.username, person.fullname, request.email)
    person_row = PersonRow(0, "", identity)
    return RequestRow(id=0, repo=request.repo, person=person_row, state=state, first_seen_at=None, request=request)


def update_row(row: RequestRow, update: RecordUpdate, *, number: int, at: int) -> RequestRow:
    """Return a row as it would be after the store has written an update. A new attempt gets this number."""
    state = row.state
    ident = row.id
    for event in update.events:
        state = apply_event(state, event, at) or state
        ident = number if isinstance(event, RequestSeen) else ident
    record = None if isinstance(update.request, ErasedRequest) else update.request
    return msgspec.structs.replace(row, id=ident, state=state, content=update.content, request=record)


def entry_about(row: RequestRow, event: AnyEvent, actor: str, at: int, private: Private | None = None) -> LedgerEntry:
    """Return a ledger entry about a stored request."""
    return LedgerEntry(event=event, at=at, actor=actor, request=row.id, person=row.person.id, private=private)


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """Earlier decisions about one person.

    `elsewhere` counts the store's other repos where the person is accepted now.
    """

    accepted: int = 0
    rejected: int = 0
    resets: int = 0
    elsewhere: int = 0
    last_decision: str = "none"
    last_at: int | None = None  # ms


class LedgerMoment(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the chain of a repo: the last entry (`seq` in the chain, `entry` in the store) at or before a time
    (ms).
    """

    repo: Repo
    repo_id: int
    at: int
    seq: int
    entry: int


class PastRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request as it was at an earlier moment: its row, and the state that its entries give until then."""

    row: RequestRow
    then: PastState


class SyncMark(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded full sync: its place in the chain, and its time (ms)."""

    seq: int
    at: int
    event: SyncEnded


class QueryPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a query. `next` is the cursor of the next page; None on the last page.

    `count` is the number of matches from this page on, as far as they were counted.
    """

    rows: list[RequestRow]
    next: str | None = None
    count: int = 0


class QueueNeighbours(msgspec.Struct, frozen=True, kw_only=True):
    """The requests beside one request in a query. `number` counts from 1; None if it is not in the query, or far on."""

    number: int | None
    before: RequestRow | None
    after: RequestRow | None


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stored entry. `id` is its number, used as a cursor.

    `private` is None if there is no private part or it was erased.
    """

    id: int
    link: LedgerLink
    private: Mapping[str, Any] | None = None
    person: int | None = None


class RepoRow(msgspec.Struct, frozen=True, kw_only=True):
    """One repo of the store; times are in ms. `counts` is by status."""

    id: int
    repo: Repo
    gated: str | None = None
    form_card: str | None = None  # the gate form as last read, as JSON of `form_to_json`
    quick_at: int | None = None
    full_at: int | None = None  # the last complete full sync
    is_complete: bool = False
    problem: str | None = None  # why the last sync failed
    counted_at: int | None = None  # when the requests in the Hub's report were last counted
    refused_at: int | None = None  # when the Hub refused all decisions of a turn at this repo
    refused_why: str | None = None
    tried_at: int | None = None  # the last full sync, complete or not
    tried_complete: bool = False
    tried_counts: Mapping[str, int] = {}
    hub_ids: frozenset[str] = frozenset()  # ids at the Hub of the repos that had this name
    counts: Mapping[str, int] = {}


def count_pending(repos: Iterable[RepoRow]) -> int:
    """Return the number of pending requests of these repos."""
    return sum(row.counts.get(Status.PENDING, 0) for row in repos)


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """A loop or a desk that runs, on PostgreSQL. `digest` is that of its policies and tables; empty: unknown.

    `revision` is that of the schema that the program knows, `token` a short digest of the token that its calls
    carry; empty: it makes none.
    """

    id: str = ""
    role: str
    host: str = ""
    version: str = ""
    revision: str = ""
    digest: str = ""
    token: str = ""
    is_leading: bool = False


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run: of a plan, of direct decisions, or of one turn of `hf-gate run`."""

    id: str
    kind: RunKind
    actor: str
    state: RunState
    made_at: int
    plan: str | None = None
    total: int = 0
    counts: Mapping[str, int] = {}
    member: str | None = None  # id of the member who started it; None: a command
    account: str | None = None  # id of the member's Hub account
    verbs: Mapping[str, int] = {}  # number of planned changes by verb
    is_free: bool = False  # the run does not count towards one person's limit
    starts_at: int | None = None
    """When decisions of the desk are or were due (ms). None: a person sends them. 0: the store was restored while they
    were being sent, and what was not sent is put on hold."""
    is_unseen: bool = False  # decisions failed, and their member was not told so yet

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to send."""
        return self.state in FINISHED


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a run."""

    run: str
    n: int
    repo: Repo
    request: int | None
    change: bytes  # the plan's change, as JSON
    state: ChangeState = ChangeState.PLANNED
    why: str = ""


class WeeklyCount(NamedTuple):
    """How often something happened in a week, summed over repos. `name`: see `Activity`."""

    kind: Activity
    week: int
    name: str
    n: int


class RowClass(NamedTuple):
    """The stored classification of one row.

    `same_text` counts the current requests of its repo with the same long answer, including itself.
    """

    quality: str | None
    mail: str | None
    same_text: int


class ClassCount(NamedTuple):
    """The number of current requests of a repo and status with one quality, or one kind of e-mail address; None:
    unknown.
    """

    repo: str
    status: str
    value: str | None
    n: int


class QueueCount(NamedTuple):
    """The number of current requests of a repo with a status and a verdict.

    `action` is None for requests that have not been evaluated.
    """

    repo: str
    status: str
    action: str | None
    rule: str | None
    n: int


class VerdictCount(NamedTuple):
    """The number of current requests of a repo with a verdict. `shadow`: (policy, rule, action) of shadow policies."""

    repo: Repo
    action: str
    policy: str | None
    rule: str
    digest: str | None
    shadow: tuple[tuple[str, str, str], ...]
    n: int


class PeoplePage(NamedTuple):
    """Requests grouped by person. `next` is the cursor of the next page; None on the last page."""

    people: list[list[RequestRow]]
    next: str | None


class PlanRow(NamedTuple):
    """A stored plan. `about` is its metadata; `run` and `state` belong to its latest run."""

    digest: str
    made_at: int  # ms
    about: Mapping[str, Any]
    run: str | None
    state: str | None


class TimelineFilter(NamedTuple):
    """A filter of ledger entries. `repos` None: all. `with_desk`: also the workspace's chain.

    `actor` matches with or without `@version`.
    """

    repos: Collection[Repo] | None = None
    with_desk: bool = True
    kind: str | None = None
    actor: str | None = None
    requests: Collection[int] | None = None


class TimelinePage(NamedTuple):
    """Entries, newest first. `next` is None at the end. With `is_cut`, the search stopped at its limit."""

    rows: list[LedgerRow]
    next: int | None = None
    is_cut: bool = False


class SelectionScope(NamedTuple):
    """The requests of a selection that a verb applies to: those with one of `statuses` in one of `repos` (ids)."""

    selection: str
    statuses: Collection[str]
    repos: Collection[int]
    own_keys: Collection[str]  # lower-case names and ids of the deciding account: nobody decides their own request
    protected: Collection[str] = ()
    own_account: str | None = None  # its id; requests with an account id are compared with it alone


class SelectionBucket(NamedTuple):
    """The number of similar requests in a selection.

    `why` says why they are skipped; it is empty if they can be decided. `terms`: of an acceptance, as stored with the
    verdict.
    """

    why: str
    repo: str
    status: str
    action: str | None
    rule: str | None
    is_again: bool
    was_in: bool
    n: int
    terms: HandTerms | None = None


GONE = "gone"
MOVED = "moved"
OWN = "own"
PROTECTED = "protected"
QUEUED = "queued"
IN_RUN = "in run"
"""Why a request of a selection is skipped."""
STATUS_REASON: Final = "status "
"""The prefix of the reason if the verb does not apply to the status; the status follows the prefix."""
