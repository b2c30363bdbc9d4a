"""What the store keeps and hands out, as values: people, requests, repos, runs and their changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from .ids import Repo
from .ledger import LedgerLink
from .lifecycle import Status
from .request_state import RequestState
from .request_version import ContentDigest, RequestVersion
from .requests import AccessRequest
from .runs import ChangeState, RunKind, RunState

ListPosition: TypeAlias = tuple[int, int]
"""A place in a list of requests from the oldest on: when that one asked (ms), and its number."""

ListRange: TypeAlias = tuple[ListPosition | None, ListPosition | None]
"""What comes after the first place, up to and with the second; None: from the beginning, to the end."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who somebody is, as last read; what is None was hidden or not told, and erases nothing that is known."""

    user_id: str | None
    username: str | None
    fullname: str | None = None
    email: str | None = None


class PersonRow(msgspec.Struct, frozen=True, gc=False):
    """One person of the store. `pseudonym` is what ledger bodies name."""

    id: int
    pseudonym: str
    identity: Identity


class RequestRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt as the store knows it. `request` is the record as the Hub last told it (None unless asked for)."""

    id: int
    repo: Repo
    person: PersonRow
    state: RequestState
    is_current: bool = True
    has_notes: bool = False
    first_seen_at: int = 0  # ms
    started_at: int | None = None  # ms: when the change that is open was started
    content: ContentDigest = ContentDigest(b"", b"")
    request: AccessRequest | None = None

    @property
    def version(self) -> RequestVersion:
        """What it looks like now, to be compared with what somebody looked at."""
        state = self.state
        return RequestVersion(state.status, state.asked_at, state.last_moved_at, *self.content)


class DerivedRow(msgspec.Struct, frozen=True):
    """What is kept of a request beside its state, and `mail_domain`, the domain of its person's address now."""

    domain: str | None
    mail_domain: str | None
    reason: str | None  # the last that was given to the person


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one person before. `elsewhere`: other repos of the store where they are accepted now."""

    accepted: int = 0
    rejected: int = 0
    resets: int = 0
    elsewhere: int = 0
    last_decision: str = "none"
    last_at: int | None = None  # ms


class QueryPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a query; `next` is the cursor of the following one, None at the end."""

    rows: list[RequestRow]
    next: str | None = None


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as it lies in the store. `id` is its number there, by which pages go on; `private` None: none, or erased."""

    id: int
    link: LedgerLink
    private: Mapping[str, Any] | None = None
    person: int | None = None


class RepoRow(msgspec.Struct, frozen=True, kw_only=True):
    """One repo of the store; times in ms. `counts` by status, kept by the writer."""

    id: int
    repo: Repo
    gated: str | None = None
    form_card: str | None = None  # the gate form as last read (a JSON document of ours)
    quick_at: int | None = None
    full_at: int | None = None  # the last full reading that was complete
    is_complete: bool = False
    problem: str | None = None  # why the last sync did not end well
    counted_at: int | None = None  # when the Hub's own report was counted last
    refused_at: int | None = None  # when the Hub refused the decisions of a turn for the whole repo
    refused_why: str | None = None
    tried_at: int | None = None  # the last full reading, proved or not
    tried_complete: bool = False
    tried_counts: Mapping[str, int] = {}
    counts: Mapping[str, int] = {}


def count_pending(repos: Iterable[RepoRow]) -> int:
    """Return how many requests wait at these repos."""
    return sum(row.counts.get(Status.PENDING, 0) for row in repos)


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run: of a plan, of decisions at the keyboard, of a turn."""

    id: str
    kind: RunKind
    actor: str
    state: RunState
    made_at: int
    plan: str | None = None
    total: int = 0
    counts: Mapping[str, int] = {}
    member: str | None = None  # the own id of the member who began it; None: a command
    account: str | None = None  # their Hub account, if it was proven then
    verbs: Mapping[str, int] = {}  # how many changes of which kind it was begun with
    is_free: bool = False  # does not count towards the limit of one person


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a run."""

    run: str
    n: int
    repo: Repo
    request: int | None
    change: bytes  # the plan's change, as JSON
    state: ChangeState = ChangeState.PLANNED
    why: str = ""


class QueueCount(NamedTuple):
    """How many current requests of a repo have a status and a verdict; `action` None: not evaluated."""

    repo: str
    status: str
    action: str | None
    rule: str | None
    n: int


class VerdictCount(NamedTuple):
    """How many current requests of a repo have a verdict; `shadow`: what policies in shadow mode say (policy, rule, action)."""

    repo: Repo
    action: str
    policy: str | None
    rule: str
    digest: str | None
    shadow: tuple[tuple[str, str, str], ...]
    n: int


class PeoplePage(NamedTuple):
    """The requests of each person together; `next` is the cursor of the following page, None at the end."""

    people: list[list[RequestRow]]
    next: str | None


class PlanRow(NamedTuple):
    """A plan that is kept. `about`: what was written beside it when it was made; `run` and `state` of its latest run."""

    digest: str
    made_at: int  # ms
    about: Mapping[str, Any]
    run: str | None
    state: str | None


class TimelineFilter(NamedTuple):
    """Which entries. `repos` None: of every repo; `with_desk`: also of the workspace's own chain; `actor` also without `@version`."""

    repos: Collection[Repo] | None = None
    with_desk: bool = True
    kind: str | None = None
    actor: str | None = None
    requests: Collection[int] | None = None


class TimelinePage(NamedTuple):
    """Entries, the newest first. `next`: from where to go on (None: that was all); `is_cut`: the search stopped at its limit."""

    rows: list[LedgerRow]
    next: int | None = None
    is_cut: bool = False


class SelectionScope(NamedTuple):
    """A verb about a selection. `able`: the statuses that it applies to; `repos`: the numbers of those that count."""

    selection: str
    statuses: Collection[str]
    repos: Collection[int]
    own_keys: Collection[str]  # names and ids, in lower case, of the account that must not decide about itself
    protected: Collection[str] = ()


class SelectionBucket(NamedTuple):
    """How many of a selection are alike. `why` they are left out; empty: they can be decided."""

    why: str
    repo: str
    status: str
    action: str | None
    rule: str | None
    is_again: bool
    was_in: bool
    n: int


GONE, MOVED, OWN, PROTECTED, HELD, CARRIED = "gone", "moved", "own", "protected", "held", "carried"
"""Why one of a selection is left out."""
STATUS_REASON: Final = "status "
"""Begins the reason of those to whose status the verb does not apply; the status follows."""
