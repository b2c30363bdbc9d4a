"""Many decisions that wait for the next window: what somebody else decided meanwhile is not decided over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from hf_gate import AsyncHub, Decision, Hub, Outcome
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.hub.protocol.pacing import WaitReason
from hf_gate.testing import LocalHub

NAMES = [f"n{n:03}" for n in range(650)]


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalHub, str]]:
    """Eight calls in five minutes, of which bulk work takes six, where eight are needed."""
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    people = [{"username": name} for name in NAMES]
    with LocalHub(requests=0, repos=1, people=people, quota="8/300") as local:
        local.clock.advance(f"{301 - int(local.clock.now()) % 300}s")  # a window has just begun
        repo = local.repos[0]["repo"]
        local.add_requests([{"repo": repo, "user": name, "answers": {}} for name in NAMES])
        yield local, repo


class Run:
    """Decides in a thread of its own, and says when the window is used up."""

    def __init__(self, local: LocalHub, repo: str, decisions: list[Decision]) -> None:
        self.local, self.repo, self.decisions = local, repo, decisions
        self.kinds: list[OutcomeKind] = []
        self.used_up = threading.Event()
        self.look: Callable[[], object] = lambda: None  # any call: its answer tells the client what time it is
        self.thread = threading.Thread(target=self.decide)
        self.thread.start()

    def told(self, outcome: Outcome, why: WaitReason) -> None:
        self.kinds.append(outcome.kind)
        if why is WaitReason.RESERVE:
            self.used_up.set()

    def decide(self) -> None:
        with Hub(self.local.tokens["owner"], self.local.url) as hub:
            self.look = lambda: hub.gate(self.repo)
            for outcome in hub.decide_many(self.repo, self.decisions):
                self.told(outcome, hub.outlook().waiting_why)


class AsyncRun(Run):
    def decide(self) -> None:
        asyncio.run(self.awaited())

    async def awaited(self) -> None:
        loop = asyncio.get_running_loop()
        async with AsyncHub(self.local.tokens["owner"], self.local.url) as hub:
            self.look = lambda: asyncio.run_coroutine_threadsafe(hub.gate(self.repo), loop).result(60)
            async for outcome in hub.decide_many(self.repo, self.decisions):
                self.told(outcome, hub.outlook().waiting_why)


@pytest.mark.parametrize("kind", [Run, AsyncRun])
def test_what_waited_for_the_next_window_is_read_again_in_it(scarce: tuple[LocalHub, str], kind: type[Run]) -> None:
    local, repo = scarce
    with Hub(local.tokens["admin"], local.url) as admin:
        requests = list(admin.list_pending(repo))
        run = kind(local, repo, [Decision.accept(r) for r in requests])
        try:
            assert run.used_up.wait(60)
            admin.reject(repo, requests[-1], reason=None)
        finally:
            local.clock.advance("300s")
            run.look()
            run.thread.join()
    assert (run.kinds.count(OutcomeKind.DONE), run.kinds.count(OutcomeKind.STALE)) == (649, 1)
    assert [m["to"] for m in local.journal() if m["user"] == requests[-1].username] == ["pending", "rejected"]
