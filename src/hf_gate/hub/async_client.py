"""The async client: the same methods as `Hub`, on the same flows."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakSet

from ..domain.accounts import Account, Gate, Profile
from ..domain.ids import Person, Repo, parse_repo
from ..domain.lifecycle import Status
from ..domain.outcomes import Outcome
from ..domain.requests import AccessRequest, Decision, check_reason, target_of
from ..errors import HubError, UsageError
from ..protocol.flows import bulk, deciding, finding, repos
from ..protocol.flows.calling import Flow, FlowContext, RetryPolicy, T
from ..protocol.flows.listing import Head, list_requests, read_head
from ..protocol.pacing import Outlook
from .async_driver import AsyncDriver, Items
from .budget import budget_for
from .client import (
    UNSET,
    RevocationMode,
    TargetRef,
    UserRef,
    build_gate_settings,
    emit_result,
    parse_status,
    resolve_connection,
    revocation_status,
    to_target,
)
from .credentials import check_online
from .errors import to_huggingface_error
from .listing import AsyncListing
from .transport import AsyncTransport

if TYPE_CHECKING:
    from ..domain.forms import GateForm
    from ..protocol.flows.finding import Found


class AsyncHub:
    """`Hub` for an event loop: listings, `gated_repos` and `decide_many` are async iterators; await the other methods."""

    def __init__(
        self,
        token: str | bool | None = None,
        endpoint: str | None = None,
        *,
        timeout: float = 10.0,
        max_wait: float | None = None,
        reserve: float = 0.25,
        insecure_http: bool = False,
    ) -> None:
        connection = resolve_connection(token, endpoint, timeout, insecure_http=insecure_http)
        self.endpoint, self._clock = connection.origin, connection.clock
        budget = budget_for(connection.origin, connection.token.fingerprint if connection.token else "", reserve)
        self._driver = AsyncDriver(AsyncTransport(connection), budget, connection.clock, max_wait)
        self._patience = RetryPolicy(max_wait)
        self._listings: WeakSet[AsyncListing] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncHub({self.endpoint!r})"

    async def close(self) -> None:
        await self._driver.close()

    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> AsyncListing:
        check_online()
        where, wanted = parse_repo(repo, repo_type), parse_status(status)
        setting = self._new_context()
        flow = repos.with_type_hint(list_requests(where, wanted, setting), where, setting)
        listing = AsyncListing(where, wanted, lambda done: self._driver.run(flow, on_result=done))
        self._listings.add(listing)
        return listing

    def list_pending(self, repo: str | Repo, *, repo_type: str | None = None) -> AsyncListing:
        return self.list(repo, Status.PENDING, repo_type=repo_type)

    def list_accepted(self, repo: str | Repo, *, repo_type: str | None = None) -> AsyncListing:
        return self.list(repo, Status.ACCEPTED, repo_type=repo_type)

    def list_rejected(self, repo: str | Repo, *, repo_type: str | None = None) -> AsyncListing:
        return self.list(repo, Status.REJECTED, repo_type=repo_type)

    def list_reset(self, repo: str | Repo, *, repo_type: str | None = None) -> AsyncListing:
        return self.list(repo, Status.RESET, repo_type=repo_type)

    async def head(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Head:
        where, wanted = parse_repo(repo, repo_type), parse_status(status)
        return await self._fetch(where, lambda setting: read_head(where, wanted, setting))

    async def find(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> AccessRequest | None:
        where, target = parse_repo(repo, repo_type), target_of(user, request_id=request_id, user_id=user_id)
        return await self._fetch(where, lambda setting: finding.find_one(where, target, setting))

    async def find_many(self, repo: str | Repo, targets: Iterable[TargetRef], *, repo_type: str | None = None) -> Found:
        where, sought = parse_repo(repo, repo_type), [to_target(who) for who in targets]
        return await self._fetch(
            where, lambda setting: finding.find_requests(where, sought, finding.choose_statuses(sought), setting)
        )

    async def accept(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        return await self._decide(Status.ACCEPTED, None, repo, user, request_id, user_id, repo_type)

    async def reject(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        return await self._decide(Status.REJECTED, reason, repo, user, request_id, user_id, repo_type)

    async def cancel(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        return await self._decide(Status.PENDING, None, repo, user, request_id, user_id, repo_type)

    async def reset(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        return await self._decide(Status.RESET, reason, repo, user, request_id, user_id, repo_type)

    async def grant_access(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        where, target = parse_repo(repo, repo_type), target_of(user, request_id=request_id, user_id=user_id)
        return await self._run_single(where, lambda setting: deciding.grant_access(where, target, setting))

    async def revoke_access(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        how: RevocationMode = "reset",
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        return await self._decide(revocation_status(how, reason), reason, repo, user, request_id, user_id, repo_type)

    def decide_many(
        self,
        repo: str | Repo,
        decisions: Iterable[Decision] | AsyncIterable[Decision],
        *,
        repo_type: str | None = None,
    ) -> AsyncIterator[Outcome]:
        check_online()
        where, setting = parse_repo(repo, repo_type), self._new_context()
        flow = repos.with_type_hint(bulk.decide_many(where, setting), where, setting)
        return self._run_changing(where, flow, decisions)

    async def _decide(
        self,
        to: Status,
        reason: str | None,
        repo: str | Repo,
        user: UserRef,
        request_id: str | None,
        user_id: str | None,
        repo_type: str | None,
    ) -> Outcome:
        where = parse_repo(repo, repo_type)
        decision = Decision(to, target_of(user, request_id=request_id, user_id=user_id), check_reason(reason))
        return await self._run_single(where, lambda setting: deciding.decide_one(where, decision, setting))

    async def _run_single(self, repo: Repo, make: Callable[[FlowContext], Flow[Outcome]]) -> Outcome:
        check_online()
        setting = self._new_context()
        flow = repos.with_type_hint(make(setting), repo, setting)
        outcome: Outcome = [one async for one in self._run_changing(repo, emit_result(flow), ())][-1]
        if outcome.error is not None:
            raise to_huggingface_error(outcome.error) if isinstance(outcome.error, HubError) else outcome.error
        return outcome

    def _run_changing(self, repo: Repo, flow: Flow[Any], source: Items) -> AsyncIterator[Any]:
        async def read_open_listings() -> None:
            for listing in [one for one in self._listings if one.is_open and one.repo == repo]:
                await listing.read_ahead()

        return self._driver.run(flow, source, before_change=read_open_listings)

    async def gate(self, repo: str | Repo, *, repo_type: str | None = None) -> Gate:
        where = parse_repo(repo, repo_type)
        return await self._fetch(where, lambda setting: repos.fetch_gate(where, setting))

    async def set_gate(
        self,
        repo: str | Repo,
        mode: Literal[False, "auto", "manual"] = UNSET,
        *,
        org_members_gated: bool | None = None,
        notify_email: str | None = None,
        notify_mode: Literal["bulk", "real-time"] | None = None,
        repo_type: str | None = None,
    ) -> Gate:
        where = parse_repo(repo, repo_type)
        values = build_gate_settings(mode, org_members_gated, notify_email, notify_mode)
        return await self._fetch(where, lambda setting: repos.set_gate(where, values, setting))

    async def gate_form(self, repo: str | Repo, *, repo_type: str | None = None) -> GateForm:
        from ..domain.forms import parse_gate_form  # takes 0.15 s

        where = parse_repo(repo, repo_type)
        return parse_gate_form(await self._fetch(where, lambda setting: repos.fetch_card(where, setting)))

    async def access_report(self, repo: str | Repo, *, repo_type: str | None = None) -> Sequence[dict[str, Any]]:
        where = parse_repo(repo, repo_type)
        return await self._fetch(where, lambda setting: repos.fetch_report(where, setting))

    def gated_repos(self, owner: str) -> AsyncIterator[Gate]:
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._new_context()))

    async def profile(self, user: str | Person) -> Profile:
        name = user.username if isinstance(user, Person) else user
        if not name:
            raise UsageError("the Person has no username; profiles are found by username only.")
        return await self._fetch(None, lambda setting: repos.fetch_profile(name, setting))

    async def whoami(self) -> Account:
        return await self._fetch(None, repos.fetch_account)

    async def ask_access(
        self, repo: str | Repo, answers: Mapping[str, str] | None = None, *, repo_type: str | None = None
    ) -> str:
        where = parse_repo(repo, repo_type)
        return await self._fetch(where, lambda setting: repos.ask_access(where, dict(answers or {}), setting))

    async def withdraw(self, repo: str | Repo, *, repo_type: str | None = None) -> Outcome:
        where = parse_repo(repo, repo_type)
        return await self._fetch(where, lambda setting: repos.withdraw_request(where, setting))

    async def check_access(self, repo: str | Repo, *, repo_type: str | None = None) -> str:
        where = parse_repo(repo, repo_type)
        return await self._fetch(where, lambda setting: repos.check_access(where, setting))

    def outlook(self) -> Outlook:
        return self._driver.budget.outlook(self._clock.now())

    @property
    def skew(self) -> float | None:
        return self._clock.skew

    async def _fetch(self, repo: Repo | None, make: Callable[[FlowContext], Flow[T]]) -> T:
        check_online()
        setting = self._new_context()
        flow = make(setting)
        return await self._driver.run_to_result(flow if repo is None else repos.with_type_hint(flow, repo, setting))

    def _new_context(self) -> FlowContext:
        return FlowContext(self.endpoint, self._patience, self._clock.now())
