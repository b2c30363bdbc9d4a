"""The Hub and the clock as Protocols: each has a real implementation and one for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from hf_gate.base.ids import Person, Repo
from hf_gate.core.forms.forms import GateForm
from hf_gate.core.letters.letters import LetterText
from hf_gate.core.letters.messages import Delivery
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.core.people.accounts import Account, Gate, Profile

from .completeness import Completeness
from .outcomes import Outcome
from .requests import AccessRequest, Decision

__all__ = ["ChannelPort", "ClockPort", "FoundRequests", "HubPort", "ListingHead", "Rows", "SendPort"]


class Rows(Protocol):
    """A lazy listing."""

    @property
    def completeness(self) -> Completeness: ...
    def __iter__(self) -> Iterator[AccessRequest]: ...
    def close(self) -> None: ...


class ListingHead(Protocol):
    """The first page of a list."""

    @property
    def requests(self) -> Sequence[AccessRequest]: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def quarantined(self) -> Sequence[Any]: ...


class FoundRequests(Protocol):
    """The requests of given people, by the index of the person.

    `complete` is false if a list could not be read to its end.
    """

    @property
    def requests(self) -> Mapping[int, AccessRequest]: ...
    @property
    def complete(self) -> bool: ...


class SendPort(Protocol):
    """The Hub calls that execute a run.

    `skew` is how many seconds the Hub's clock is ahead of ours; None if unknown.
    """

    @property
    def skew(self) -> float | None: ...
    def find_many(self, repo: Repo, targets: Sequence[Any]) -> FoundRequests: ...
    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]: ...
    def grant_access(self, repo: Repo, user: Person | None = None, *, request_id: str | None = None) -> Outcome: ...


class HubPort(SendPort, Protocol):
    """The methods of `Hub` that services call."""

    endpoint: str

    def list(self, repo: Repo, status: str) -> Rows: ...
    def head(self, repo: Repo, status: str) -> ListingHead: ...
    def gate(self, repo: Repo) -> Gate: ...
    def gate_form(self, repo: Repo) -> GateForm: ...
    def gated_repos(self, owner: str) -> Iterator[Gate]: ...
    def org_members(self, org: str) -> Iterator[Person]: ...
    def access_report(self, repo: Repo) -> Sequence[dict[str, Any]]: ...
    def profile(self, user: str | Person) -> Profile: ...
    def whoami(self) -> Account: ...


class ClockPort(Protocol):
    """The clock that all waits and times use."""

    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class ChannelPort(Protocol):
    """A way to one destination of notices. `send` ends within a bounded time and raises nothing."""

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str]) -> Delivery:
        """Send a message, except to the recipients whose digests are in `accepted`."""


class LetterPort(Protocol):
    """A way to send letters to applicants. `send` ends within a bounded time and raises nothing."""

    def send(self, ident: str, to: str, text: LetterText, sent_at: datetime) -> Delivery: ...
