"""What the use cases need from the world, as Protocols: shells satisfy them without importing them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from ..domain.accounts import Account, Gate, Profile
from ..domain.completeness import Completeness
from ..domain.events import Entry
from ..domain.forms import GateForm
from ..domain.ids import Person, Repo
from ..domain.ledger import Checkpoint, Link
from ..domain.outcomes import Outcome
from ..domain.requests import AccessRequest, Decision
from ..domain.state import Known, RequestState

# ---- the Hub -----------------------------------------------------------------------------------------------------------


class Rows(Protocol):
    """A lazy listing."""

    @property
    def completeness(self) -> Completeness: ...
    def __iter__(self) -> Iterator[AccessRequest]: ...


class Head(Protocol):
    """The first page of a list."""

    @property
    def requests(self) -> Sequence[AccessRequest]: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def quarantined(self) -> Sequence[Any]: ...


class Found(Protocol):
    """Where given people stand now."""

    @property
    def requests(self) -> Mapping[int, AccessRequest]: ...
    @property
    def complete(self) -> bool: ...


class HubPort(Protocol):
    """The part of `Hub` that use cases call."""

    endpoint: str

    def list(self, repo: Repo, status: str) -> Rows: ...
    def head(self, repo: Repo, status: str) -> Head: ...
    def find_many(self, repo: Repo, targets: Sequence[Any]) -> Found: ...
    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]: ...
    def gate(self, repo: Repo) -> Gate: ...
    def gate_form(self, repo: Repo) -> GateForm: ...
    def gated_repos(self, owner: str) -> Iterator[Gate]: ...
    def access_report(self, repo: Repo) -> Sequence[dict[str, Any]]: ...
    def profile(self, user: str | Person) -> Profile: ...
    def whoami(self) -> Account: ...


class ClockPort(Protocol):
    """The one clock."""

    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


# ---- the store ---------------------------------------------------------------------------------------------------------


class Identity(msgspec.Struct, frozen=True):
    """Who somebody is, as last read; what is None was hidden or not told, and erases nothing that is known."""

    user_id: str | None
    username: str | None
    fullname: str | None = None
    email: str | None = None


class PersonRow(msgspec.Struct, frozen=True):
    """One person of the store. `pseudonym` is what ledger bodies name."""

    id: int
    pseudonym: str
    identity: Identity


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One record with what it told: what the store writes for it. `events` () refreshes the digests only."""

    request: AccessRequest
    known: Known | None
    events: tuple[Any, ...]
    raw: bytes
    content: bytes


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the store knows it. `request` is the record as the Hub last told it (None unless asked for)."""

    id: int
    repo: Repo
    person: PersonRow
    state: RequestState
    is_current: bool = True
    has_notes: bool = False
    first_seen_at: int = 0  # ms
    started_at: int | None = None  # ms: when the change that is open was started
    request: AccessRequest | None = None


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
    counts: Mapping[str, int] = {}


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run: of a plan, of a direct decision, of an undo. `state`: ready, running, paused, stopped, ended."""

    id: str
    kind: str  # plan, direct, undo, expire, auto
    actor: str
    state: str
    made_at: int
    plan: str | None = None
    total: int = 0
    counts: Mapping[str, int] = {}
    owner: str | None = None  # the process that has the lease: `host:pid`
    lease_until: int | None = None
    fence: int = 0
    undoes: str | None = None


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a run. `state`: planned, started, or a kind of an outcome."""

    run: str
    n: int
    repo: Repo
    request: int | None
    change: bytes  # the plan's change, as JSON
    state: str = "planned"
    why: str = ""


class WritePort(Protocol):
    """One transaction of the one writer: all of it, or nothing, and durable when it ends."""

    def repo(self, repo: Repo) -> RepoRow: ...
    def repo_changed(self, repo: Repo, columns: Mapping[str, Any]) -> None: ...
    def observe(self, repo: Repo, seen: Sequence[Seen], at: int) -> Sequence[int]: ...
    def append(self, repo: Repo | None, entries: Sequence[Entry]) -> None: ...
    def run(self, row: RunRow) -> None: ...
    def changes(self, rows: Sequence[ChangeRow]) -> None: ...
    def counts(self, run: str) -> Mapping[str, int]: ...
    def change_states(self, run: str, states: Sequence[tuple[int, str, str]]) -> None: ...
    def plan(self, digest: str, document: bytes, made_at: int) -> None: ...
    def checkpoint(self, checkpoint: Checkpoint) -> None: ...
    def profile(self, person: int, document: bytes | None, at: int) -> None: ...
    def bind(self, table: str, key: str, user_id: str, how: str, at: int) -> None: ...
    def setting(self, key: str, value: str | None) -> None: ...


class StorePort(Protocol):
    """What the desk remembers. Reading never blocks on writing."""

    endpoint: str

    def writing(self) -> AbstractContextManager[WritePort]: ...
    # repos
    def repos(self) -> Sequence[RepoRow]: ...
    def repo(self, repo: Repo) -> RepoRow | None: ...
    # requests
    def known(self, repo: Repo, seen: Sequence[AccessRequest]) -> Sequence[Known | None]: ...
    def unseen(self, repo: Repo, seen: Collection[int]) -> Iterator[Known]: ...
    def walk(self, repo: Repo, status: str, *, with_record: bool = True) -> Iterator[RequestRow]: ...
    def request(self, ident: int) -> RequestRow | None: ...
    def requests(self, idents: Sequence[int]) -> Mapping[int, RequestRow]: ...
    def find(self, repo: Repo | None, text: str) -> Sequence[RequestRow]: ...
    def attempts(self, repo: Repo | None, person: int) -> Sequence[RequestRow]: ...
    def due(self, until: int) -> Iterator[RequestRow]: ...
    def open_changes(self) -> Sequence[RequestRow]: ...
    def history(self, repo: Repo, people: Sequence[int]) -> Mapping[int, Mapping[str, int]]: ...
    # runs
    def run(self, ident: str) -> RunRow | None: ...
    def run_of_plan(self, digest: str) -> RunRow | None: ...
    def runs(self, limit: int = 50) -> Sequence[RunRow]: ...
    def changes(
        self, run: str, states: Collection[str] | None = None, limit: int | None = None
    ) -> Sequence[ChangeRow]: ...
    def plan(self, digest: str) -> bytes | None: ...
    # ledger
    def chains(self) -> Mapping[str, tuple[int, bytes]]: ...
    def links(self, chain: str, first: int = 1) -> Iterator[Link]: ...
    def entries(
        self, *, request: int | None = None, run: str | None = None, limit: int = 100, before: int | None = None
    ) -> Sequence[tuple[Link, Mapping[str, Any] | None]]: ...
    def checkpoints(self) -> Sequence[Checkpoint]: ...
    def done_since(self, verb: str, since: int) -> int: ...
    # odds and ends
    def profiles(self, people: Sequence[int]) -> Mapping[int, tuple[bytes | None, int]]: ...
    def bindings(self, table: str) -> Mapping[str, str]: ...
    def setting(self, key: str) -> str | None: ...
