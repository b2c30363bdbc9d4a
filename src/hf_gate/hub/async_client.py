"""The async client, with the same methods and flows as `Hub`."""

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
from ..protocol.flows import bulk, lookup, repos, single_decision
from ..protocol.flows.calls import Flow, FlowContext, RetryPolicy, T
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
    from ..protocol.flows.lookup import Found


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
        wanted = parse_status(status)
        target, flow = self._start(repo, repo_type, lambda target, context: list_requests(target, wanted, context))
        listing = AsyncListing(target, wanted, lambda done: self._driver.run(flow, on_result=done))
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
        wanted = parse_status(status)
        return await self._fetch(repo, repo_type, lambda target, context: read_head(target, wanted, context))

    async def find(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> AccessRequest | None:
        person = target_of(user, request_id=request_id, user_id=user_id)
        return await self._fetch(repo, repo_type, lambda target, context: lookup.find_one(target, person, context))

    async def find_many(self, repo: str | Repo, targets: Iterable[TargetRef], *, repo_type: str | None = None) -> Found:
        people = [to_target(who) for who in targets]
        statuses = lookup.choose_statuses(people)
        return await self._fetch(
            repo, repo_type, lambda target, context: lookup.find_requests(target, people, statuses, context)
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
        person = target_of(user, request_id=request_id, user_id=user_id)
        return await self._run_single(
            repo, repo_type, lambda target, context: single_decision.grant_access(target, person, context)
        )

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
        target, flow = self._start(repo, repo_type, bulk.decide_many)
        return self._run_changing(target, flow, decisions)

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
        decision = Decision(to, target_of(user, request_id=request_id, user_id=user_id), check_reason(reason))
        return await self._run_single(
            repo, repo_type, lambda target, context: single_decision.decide_one(target, decision, context)
        )

    async def _run_single(
        self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[Outcome]]
    ) -> Outcome:
        target, flow = self._start(repo, repo_type, make)
        outcome: Outcome = [one async for one in self._run_changing(target, emit_result(flow), ())][-1]
        if outcome.error is not None:
            raise to_huggingface_error(outcome.error) if isinstance(outcome.error, HubError) else outcome.error
        return outcome

    def _run_changing(self, repo: Repo, flow: Flow[Any], source: Items) -> AsyncIterator[Any]:
        async def read_open_listings() -> None:
            for listing in [one for one in self._listings if one.is_open and one.repo == repo]:
                await listing.read_ahead()

        return self._driver.run(flow, source, before_change=read_open_listings)

    async def gate(self, repo: str | Repo, *, repo_type: str | None = None) -> Gate:
        return await self._fetch(repo, repo_type, repos.fetch_gate)

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
        values = build_gate_settings(mode, org_members_gated, notify_email, notify_mode)
        return await self._fetch(repo, repo_type, lambda target, context: repos.set_gate(target, values, context))

    async def gate_form(self, repo: str | Repo, *, repo_type: str | None = None) -> GateForm:
        from ..domain.forms import parse_gate_form  # imported on first use: it takes 0.15 s

        return parse_gate_form(await self._fetch(repo, repo_type, repos.fetch_card))

    async def access_report(self, repo: str | Repo, *, repo_type: str | None = None) -> Sequence[dict[str, Any]]:
        return await self._fetch(repo, repo_type, repos.fetch_report)

    def gated_repos(self, owner: str) -> AsyncIterator[Gate]:
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._new_context()))

    def org_members(self, org: str) -> AsyncIterator[Person]:
        check_online()
        return self._driver.run(repos.list_org_members(org, self._new_context()))

    async def profile(self, user: str | Person) -> Profile:
        name = user.username if isinstance(user, Person) else user
        if not name:
            raise UsageError("the Person has no username; profiles can only be found by username.")
        return await self._run_flow(lambda context: repos.fetch_profile(name, context))

    async def whoami(self) -> Account:
        return await self._run_flow(repos.fetch_account)

    async def ask_access(
        self, repo: str | Repo, answers: Mapping[str, str] | None = None, *, repo_type: str | None = None
    ) -> str:
        form = dict(answers or {})
        return await self._fetch(repo, repo_type, lambda target, context: repos.ask_access(target, form, context))

    async def withdraw(self, repo: str | Repo, *, repo_type: str | None = None) -> Outcome:
        return await self._fetch(repo, repo_type, repos.withdraw_request)

    async def check_access(self, repo: str | Repo, *, repo_type: str | None = None) -> str:
        return await self._fetch(repo, repo_type, repos.check_access)

    def outlook(self) -> Outlook:
        return self._driver.budget.outlook(self._clock.now())

    @property
    def skew(self) -> float | None:
        return self._clock.skew

    async def _fetch(self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[T]]) -> T:
        return await self._driver.run_to_result(self._start(repo, repo_type, make)[1])

    async def _run_flow(self, make: Callable[[FlowContext], Flow[T]]) -> T:
        check_online()
        return await self._driver.run_to_result(make(self._new_context()))

    def _start(
        self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[T]]
    ) -> tuple[Repo, Flow[T]]:
        """Return the parsed repo and a flow for it; raise before anything is sent if the Hub must not be called."""
        target, context = parse_repo(repo, repo_type), self._new_context()
        check_online()
        return target, repos.with_type_hint(make(target, context), target, context)

    def _new_context(self) -> FlowContext:
        return FlowContext(self.endpoint, self._patience, self._clock.now())
