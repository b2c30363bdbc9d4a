"""A local Hub without sockets and its real client: every pause and every timeout only advances a clock."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hf_gate import Hub
from hf_gate.base.ids import Repo
from hf_gate.hub.credentials import resolve_token
from hf_gate.hub.drivers.budget import CallBudget
from hf_gate.hub.drivers.driver import Driver
from hf_gate.hub.drivers.transport import BlockingTransport, HubConnection
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from hf_gate.localhub import control_api
from hf_gate.localhub.faults import FaultPlan, FaultSet, parse_spec
from hf_gate.localhub.handlers import dispatch as handlers
from hf_gate.localhub.http_messages import HttpRequest
from hf_gate.localhub.hub_state import LocalHubClock, RateLimiter, parse_quota
from hf_gate.localhub.population.seeding import seed_world
from hf_gate.localhub.server import LocalHubApp
from hf_gate.localhub.world import World

T0 = 1_790_000_000.0
CALL_S = 0.05  # what a call takes
ORIGIN = "https://hub.test"  # a name that leads nowhere; nobody is called


class ManualHubClock(LocalHubClock):
    """Time that passes only when somebody lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.at = T0

    def now(self) -> float:
        """Seconds since 1970."""
        return self.at

    def advance(self, seconds: float) -> None:
        """Never back: that is what `InProcessHub.skew` is for, which moves the desk's clock and not the Hub's."""
        self.at += max(0.0, seconds)


class InProcessHub:
    """The Hub: what a `LocalHub` offers, for calls of this process alone."""

    def __init__(
        self, *, repos: int = 1, quota: str | None = None, page_size: int = 1000, preset: str = "consumer"
    ) -> None:
        self.time = ManualHubClock()
        self.skew = 0.0  # how far the desk's clock is from the Hub's
        self.on_send: Callable[[HubCall], None] = lambda _: None  # gets every call before it is sent
        self.on_reply: Callable[[HubCall], None] = lambda _: None  # and before its answer is there

        def make(now_ms: int) -> World:
            world = seed_world(7, 0, repos, preset, now_ms, world_id=UUID(int=7).hex)
            world.page_size = page_size
            return world

        self.app = LocalHubApp(make, self.time, RateLimiter(parse_quota(quota)), FaultSet((), 7))
        self.tokens = {token.name: token.secret for token in self.app.world.tokens.values()}
        self._turn = threading.RLock()
        self.late_calls: list[
            tuple[float, FaultPlan]
        ] = []  # calls that nobody waits for any more, and when they arrive

    # ---- control API ------------------------------------------------------------------------------------------------

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Make one call to the control API."""
        sent = {"host": "127.0.0.1", "content-type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        asked = HttpRequest(method, control_api.PREFIX + path, query, sent, data, self.time.now_ms())
        answered = control_api.answer_control_call(self.app, asked, "127.0.0.1")
        told = json.loads(answered.body)
        if answered.status != 200:
            raise ValueError(told["error"])
        return told

    def add_people(self, *names: str) -> None:
        """Accounts that may ask."""
        made = self.control("POST", "people", [{"username": name} for name in names])
        self.tokens |= {person["username"]: person["token"] for person in made}

    def ask(self, repo: str, *names: str, repo_type: str = "model", **answers: str) -> None:
        """These people ask, all in this moment."""
        line = {"repo": repo, "repo_type": repo_type, "answers": answers}
        self.control("POST", "requests", [{**line, "user": name} for name in names])

    def rename(self, user: str, to: str) -> None:
        """Another username; the old one is free."""
        person = self.control("POST", "rename", {"user": user, "to": to})
        self.tokens.pop(user, None)
        self.tokens[to] = person["token"]

    def withdraw(self, user: str, repo: Repo) -> None:
        """Somebody takes the request back."""
        with InProcessClient(self, user) as hub:
            hub.withdraw(repo)

    def set_gate(self, repo: Repo, mode: Any) -> None:
        """Another mode of the gate."""
        found = self.app.world.find_repo(repo)
        assert found is not None
        found.gated = mode

    def gate_all(self) -> None:
        """Every repo is gated, and people are let in by hand."""
        for gated in self.app.world.repos.values():
            gated.gated = "manual"

    def restore_names(self) -> None:
        """Repos that moved are called as before."""
        for (of, old), now in list(self.app.world.renamed.items()):
            found = self.app.world.repos[of, now.id.lower()]
            self.app.world.rename_repo(found, old.partition("/")[2])

    def journal(self, after: int = 0) -> list[dict[str, Any]]:
        """Every change of a request."""
        return list(self.control("GET", f"journal?after={after}"))

    def set_faults(self, specs: Iterable[str]) -> None:
        """These from now on, and no others."""
        self.app.faults.clear()
        for spec in specs:
            self.app.faults.add(parse_spec(spec))

    # ---- a call ----------------------------------------------------------------------------------------------------

    def call(self, asked: HttpRequest, timeout: float) -> tuple[int, dict[str, str], bytes] | str:
        """The answer, or why there was none: `timeout` or `broken`."""
        with self._turn:  # as in the event loop of a real one
            return self._call(asked, timeout)

    def _call(self, asked: HttpRequest, timeout: float) -> tuple[int, dict[str, str], bytes] | str:
        self.deliver_late_calls()
        call = handlers.find_call(asked)
        self.app.calls[f"{asked.method} {call.endpoint.name if call else 'other'}"] += 1
        plan = self.app.faults.plan_call(asked, call, self.app.world)
        if plan.delay_before >= timeout:
            self.late_calls.append((self.time.now() + plan.delay_before, plan))
            self.time.advance(timeout)
            return "timeout"
        self.time.advance(plan.delay_before + CALL_S)
        answered = self.app.exchange(plan)
        if plan.delay_after >= timeout:
            self.time.advance(timeout)
            return "timeout"
        self.time.advance(plan.delay_after)
        if plan.cut_at is not None:
            return "broken"
        return answered.status, {name.lower(): value for name, value in answered.headers.items()}, answered.body

    def deliver_late_calls(self) -> None:
        """What was under way for so long is there now."""
        for due, plan in [one for one in self.late_calls if one[0] <= self.time.now()]:
            self.late_calls.remove((due, plan))
            self.app.exchange(replace_time(plan, due))


def replace_time(plan: FaultPlan, due: float) -> FaultPlan:
    """The same call, at the moment of its arrival."""
    plan.request = replace(plan.request, now_ms=round(due * 1000))
    return plan


class InProcessClock:
    """The client's clock: it follows the Hub's, and whoever waits by it lets time pass."""

    def __init__(self, near: InProcessHub) -> None:
        self._near = near
        self.skew: float | None = None

    def now(self) -> float:
        """Epoch seconds as the desk's machine has them."""
        return self._near.time.now() + self._near.skew

    def to_real_seconds(self, seconds: float) -> float:
        """Waits take no real time; they advance the clock."""
        self._near.time.advance(seconds)
        return 0.0

    def follow(self, header: str | None) -> None:
        """Do nothing: it is the same clock."""

    def record_skew(self, headers: Mapping[str, str], sent: float) -> None:  # noqa: ARG002 - nothing takes time
        """An answer tells how far the Hub is ahead of the desk's machine."""
        self.skew = -self._near.skew


class WorkspaceClock:
    """The same for the application."""

    def __init__(self, near: InProcessHub) -> None:
        self._clock = InProcessClock(near)

    def now(self) -> datetime:
        """This moment, UTC."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self._clock.to_real_seconds(seconds)


class InProcessTransport(BlockingTransport):
    """Sends calls to an `InProcessHub` instead of a socket."""

    def __init__(self, connection: HubConnection, near: InProcessHub) -> None:
        self._connection, self._near = connection, near

    def exchange(
        self,
        send: HubCall,
        until: Callable[[], float] = lambda: math.inf,  # noqa: ARG002 - nothing takes time
        within: float = math.inf,  # noqa: ARG002 - as above
    ) -> Answer:
        """One call."""
        connection, near = self._connection, self._near
        near.on_send(send)
        path, _, query = send.path.partition("?")
        asked = HttpRequest(
            send.method, path, query, connection.build_headers(send), send.body or b"", near.time.now_ms(), ORIGIN
        )
        answered = near.call(asked, connection.timeout)
        near.on_reply(send)
        at = connection.clock.now()
        if answered == "timeout":
            return NoReply(FailureReason.TIMEOUT, True, "silent", at)
        if isinstance(answered, str):
            return NoReply(FailureReason.BROKEN, True, "the connection ended early", at)
        connection.clock.record_skew(answered[1], at)
        return Reply(*answered, at)

    def close(self) -> None:
        """Nothing is open."""


class InProcessClient(Hub):
    """The real client, whose calls go to an `InProcessHub`; its budget is its own, as in a process of its own."""

    def __init__(self, near: InProcessHub, holder: str = "owner", max_wait: float | None = None) -> None:
        super().__init__(near.tokens.get(holder, holder), ORIGIN, max_wait=max_wait)
        self._driver.close()
        self._clock = clock = InProcessClock(near)
        connection = HubConnection(ORIGIN, clock, 10.0, resolve_token(near.tokens.get(holder, holder)))
        self._driver = Driver(InProcessTransport(connection, near), CallBudget(0.25), clock, max_wait)
