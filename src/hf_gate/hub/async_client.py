"""The async client, with the same methods and flows as `Hub`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Self
from weakref import WeakSet

from hf_gate.base.ids import Person, Repo
from hf_gate.core.outcomes import Outcome
from hf_gate.core.people.accounts import Gate
from hf_gate.core.requests import Decision
from hf_gate.hub.drivers.async_driver import AsyncDriver, Items
from hf_gate.hub.drivers.async_transport import AsyncTransport
from hf_gate.hub.drivers.transport import HubConnection
from hf_gate.hub.protocol.flows import bulk, repos
from hf_gate.hub.protocol.flows.calls import Flow, T
from hf_gate.hub.protocol.flows.listing import list_requests

from .async_listing import AsyncListing
from .client import Hub, P
from .client_base import HubBase, Operation, emit_result, last_outcome, parse_status, show_result
from .credentials import check_online
from .decision_runs import AsyncDecisionRun


def make_async(method: Callable[Concatenate[Hub, P], T]) -> Callable[Concatenate[AsyncHub, P], Coroutine[Any, Any, T]]:
    """Make the method of `AsyncHub` that awaits the operation of a method of `Hub`."""
    make: Callable[..., Operation[T]] = inspect.unwrap(method)

    @wraps(make)
    async def call(hub: AsyncHub, /, *args: P.args, **named: P.kwargs) -> T:
        return await hub._perform(make(hub, *args, **named))  # noqa: SLF001 - a method of this class

    call.__qualname__ = f"Async{make.__qualname__}"
    show_result(call, make)
    return call


class AsyncHub(HubBase[AsyncListing], listing="AsyncListing"):
    """`Hub` for an event loop: listings, `gated_repos` and `decide_many` are async iterators; await
    the other methods.
    """

    def _open(self, connection: HubConnection, max_wait: float | None) -> None:
        self._driver = AsyncDriver(AsyncTransport(connection), self._budget, connection.clock, max_wait)
        self._listings: WeakSet[AsyncListing] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections. Open listings end."""
        await self._driver.close()

    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> AsyncListing:
        wanted = parse_status(status)
        target, flow = self._start(repo, repo_type, lambda target, context: list_requests(target, wanted, context))
        listing = AsyncListing(target, wanted, lambda done: self._driver.run(flow, on_result=done))
        self._listings.add(listing)
        return listing

    head = make_async(Hub.head)
    find = make_async(Hub.find)
    find_many = make_async(Hub.find_many)
    accept = make_async(Hub.accept)
    reject = make_async(Hub.reject)
    cancel = make_async(Hub.cancel)
    reset = make_async(Hub.reset)
    grant_access = make_async(Hub.grant_access)
    revoke_access = make_async(Hub.revoke_access)
    gate = make_async(Hub.gate)
    set_gate = make_async(Hub.set_gate)
    gate_form = make_async(Hub.gate_form)
    access_report = make_async(Hub.access_report)
    profile = make_async(Hub.profile)
    whoami = make_async(Hub.whoami)
    ask_access = make_async(Hub.ask_access)
    withdraw = make_async(Hub.withdraw)
    check_access = make_async(Hub.check_access)

    def decide_many(
        self,
        repo: str | Repo,
        decisions: Iterable[Decision] | AsyncIterable[Decision],
        *,
        repo_type: str | None = None,
    ) -> AsyncIterator[Outcome]:
        """Send any number of decisions in batches of 100, as `Hub.decide_many` does; they can come from an async
        iterator.
        """
        target, flow = self._start(repo, repo_type, bulk.decide_many)
        return AsyncDecisionRun(target, decisions, self._run_changing(target, flow, decisions))

    async def _perform(self, operation: Operation[T]) -> T:
        if operation.changed is None:
            return await self._driver.run_to_result(operation.flow)
        outcomes = [one async for one in self._run_changing(operation.changed, emit_result(operation.flow), ())]
        done: T = last_outcome(outcomes)
        return done

    def _run_changing(self, repo: Repo, flow: Flow[Any], source: Items) -> AsyncGenerator[Any, None]:
        async def read_open_listings() -> None:
            for listing in [one for one in self._listings if one.is_open and one.repo == repo]:
                await listing.read_ahead()

        return self._driver.run(flow, source, before_change=read_open_listings)

    def gated_repos(self, owner: str) -> AsyncIterator[Gate]:
        """Yield the gated models, then the gated datasets of a person or organisation."""
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._new_context()))

    def org_members(self, org: str) -> AsyncIterator[Person]:
        """Yield the members of an organisation, as `Hub.org_members` does."""
        check_online()
        return self._driver.run(repos.list_org_members(org, self._new_context()))
