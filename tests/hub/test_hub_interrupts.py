"""Calls that end early (Ctrl-C, a closed client, a fork, a slow Hub) neither hang nor mislead."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hf_gate import AsyncHub, Decision, Hub, NotAllowed
from hf_gate.base.ids import parse_repo
from hf_gate.errors import HfGateError, HubUnavailable, InsecureEndpoint, OutcomeUnknown
from hf_gate.hub.client import limit_client
from hf_gate.hub.drivers.async_driver import CallQueues
from hf_gate.hub.drivers.async_transport import AsyncTransport
from hf_gate.hub.drivers.budget import CallBudget
from hf_gate.hub.drivers.clock import RealClock
from hf_gate.hub.drivers.driver import Driver
from hf_gate.hub.drivers.transport import BlockingTransport, HubConnection
from hf_gate.hub.errors import to_huggingface_error
from hf_gate.hub.protocol.messages import AwaitCall, EmitValue, FailureReason, HubCall, NoReply, Reply, StartCall
from hf_gate.hub.protocol.pacing import WaitReason
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import OneRepoHub
from tests.kits.raw_hub import DRIPS, RawHub, Say, answer, open_raw_hub

TOKEN = "hf_local_token"


def refuse_writes(_hub: RawHub, caller: socket.socket, line: str) -> None:
    """Answer every write with 429 for 10 minutes, and every read with an empty list."""
    if line.startswith("POST"):
        answer(caller, "429 Too Many Requests", b"{}", b"retry-after: 600")
    else:
        answer(caller, "200 OK", b"[]")


def silent(hub: RawHub, _caller: socket.socket, _line: str) -> None:
    hub.over.wait(600)


def after(event: threading.Event, act: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        if event.wait(60):
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_stops_a_waiting_change() -> None:
    with open_raw_hub(refuse_writes) as hub, Hub(TOKEN, hub.url, timeout=5) as client:
        presser = after(hub.answered, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            client.accept("a/b", "ada")
        presser.join()
        client.close()  # would block if a change still waited
        assert len([line for line in hub.lines if line.startswith("POST")]) == 1


def test_ctrl_c_in_a_run_reports_the_rest_as_open_then_raises() -> None:
    told = []
    with open_raw_hub(refuse_writes) as hub, Hub(TOKEN, hub.url, timeout=5) as client:
        presser = after(hub.answered, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - what was told before it is the point
            for outcome in client.decide_many("a/b", [Decision.accept(name) for name in ("ada", "bob")]):
                told.append((outcome.user, str(outcome.kind)))  # noqa: PERF401 - it is to survive the interrupt
        presser.join()
    assert told == [("ada", "open"), ("bob", "open")]


def test_a_change_in_flight_is_settled_within_seconds_after_ctrl_c() -> None:
    with open_raw_hub(silent) as hub, Hub(TOKEN, hub.url, timeout=300) as client:
        presser = after(hub.came, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            client.accept("a/b", "ada")
        client.close()
        presser.join()


def test_ctrl_c_while_a_page_is_read_is_raised() -> None:
    with open_raw_hub(silent) as hub, Hub(TOKEN, hub.url, timeout=300) as client:
        presser = after(hub.came, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            list(client.list_pending("a/b"))
        presser.join()


# ---- close -----------------------------------------------------------------------------------------------------------


def test_close_ends_a_change_that_waits_and_it_is_not_sent() -> None:
    with open_raw_hub(refuse_writes) as hub, Hub(TOKEN, hub.url, timeout=5) as client:
        closer = after(hub.answered, client.close)
        with pytest.raises(HubUnavailable, match="closed"):
            client.accept("a/b", "ada")
        closer.join()
        assert len(hub.lines) == 1
        with pytest.raises(ValueError, match="closed"):
            client.accept("a/b", "ada")
        with pytest.raises(ValueError, match="closed"):
            client.gate("a/b")


def test_closing_an_async_client_ends_its_waiting_tasks() -> None:
    async def run(hub: RawHub) -> None:
        client = AsyncHub(TOKEN, hub.url, timeout=5)
        task = asyncio.ensure_future(client.accept("a/b", "ada"))
        async with asyncio.timeout(60):
            while client.outlook().waiting_why is not WaitReason.CEILING:  # noqa: ASYNC110 - the 429 was heard; nothing tells it
                await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(HubUnavailable, match="closed"):
            await asyncio.wait_for(task, 60)
        with pytest.raises(ValueError, match="closed"):
            await client.gate("a/b")

    with open_raw_hub(refuse_writes) as hub:
        asyncio.run(run(hub))
        assert len(hub.lines) == 1


def test_no_waiting_change_is_sent_after_a_run_is_left() -> None:
    with open_raw_hub(refuse_writes) as hub:
        driver = Driver(
            BlockingTransport(HubConnection(hub.url, RealClock(), 5), time.monotonic),
            CallBudget(0.25),
            RealClock(),
            None,
        )

        def flow() -> Iterator[object]:
            send = HubCall("handle", "POST", "/x", b"{}", is_change=True)
            yield AwaitCall((yield StartCall(send)))  # the 429 delays the next call
            yield StartCall(send)
            yield EmitValue("one")

        run = driver.run(flow())  # type: ignore[arg-type]
        assert next(run) == "one"
        while not driver.budget._pacer._waiting:
            time.sleep(0.01)  # the second call runs in its thread
        run.close()
        assert driver._pool is not None
        driver._pool.shutdown(wait=True)  # blocks while the second call waits
        driver.close()
        assert len(hub.lines) == 1


# ---- order of waiting calls ------------------------------------------------------------------------------------------


def test_an_answer_in_another_thread_wakes_waiting_tasks_one_by_one() -> None:
    budget, send, went, in_vain = CallBudget(0.25), HubCall("list", "GET", "/x"), list[str](), asyncio.Event()

    async def one(queues: CallQueues, name: str, *, goes: bool) -> None:
        queue = queues.queue_for(send)
        await queue.wait(600, is_new=True)
        went.append(name)
        if goes:
            queue.wake_first()
        else:
            in_vain.set()
            await queue.wait(600, is_new=False)  # woken in vain: it stays first
            went.append(f"{name} again")

    async def run() -> None:
        queues = CallQueues()
        budget.add_listener(queues)
        async with asyncio.timeout(60):
            tasks = [
                asyncio.ensure_future(one(queues, name, goes=goes))
                for name, goes in (("first", True), ("second", False), ("third", True))
            ]
            await asyncio.sleep(0)  # all three wait
            await asyncio.to_thread(budget.wake)
            await tasks[0]
            await in_vain.wait()
            assert went == ["first", "second"]
            budget.record_answer(0.0, send, Reply(200))
            await tasks[1]
            assert not tasks[2].done()
            budget.record_lost_call(send)
            await tasks[2]

    asyncio.run(run())
    assert went == ["first", "second", "second again", "third"]


# ---- fork ------------------------------------------------------------------------------------------------------------


def test_a_write_after_a_fork_is_refused_and_does_not_hang(world: OneRepoHub) -> None:
    world.ask("ada")
    world.owner.accept(world.repo, "ada")  # so that the parent has worker threads
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            world.owner.cancel(world.repo, "ada")
            os.write(writer, b"worked")
        except OutcomeUnknown:
            os.write(writer, b"refused")
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 200) == b"refused"
    os.close(reader)
    assert world.status("ada") == "accepted"


def test_a_run_inherited_by_a_fork_sends_nothing(world: OneRepoHub) -> None:
    world.ask("ada", "bob")
    world.owner.accept(world.repo, "ada")
    decisions = [Decision.accept(world.request("ada", "accepted")), Decision.accept("bob")]
    run = world.owner.decide_many(world.repo, decisions)
    assert str(next(run).kind) == "already"
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            next(run)
            os._exit(1)
        except OutcomeUnknown:
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert [str(outcome.kind) for outcome in run] == ["done"]


# ---- a slow Hub ------------------------------------------------------------------------------------------------------


READ = HubCall("list", "GET", "/x")


@pytest.mark.parametrize("say", DRIPS.values(), ids=DRIPS)
def test_a_slow_answer_ends_at_the_time_limit_of_the_call(say: Say) -> None:
    with open_raw_hub(say) as hub:
        wire = HubConnection(hub.url, RealClock(), timeout=0.25)  # connecting takes its time on a busy machine
        blocking = BlockingTransport(wire, time.monotonic)
        told = blocking.exchange(READ)
        blocking.close()

        async def run() -> object:
            transport = AsyncTransport(wire)
            answer = await transport.exchange(READ)
            await transport.close()
            return answer

        for one in (told, asyncio.run(run())):
            assert isinstance(one, NoReply)
            assert (one.reason, one.is_sent, one.detail) == (FailureReason.TIMEOUT, True, "incomplete after 1.5 s")


def test_the_time_limit_applies_to_a_reused_connection() -> None:
    slow = DRIPS["a header"]

    def say(hub: RawHub, caller: socket.socket, line: str) -> None:
        if "/fast" in line:
            answer(caller, "200 OK")
        else:
            slow(hub, caller, line)

    with open_raw_hub(say) as hub:
        transport = BlockingTransport(HubConnection(hub.url, RealClock(), timeout=0.15), time.monotonic)
        assert isinstance(transport.exchange(HubCall("list", "GET", "/fast")), Reply)
        assert isinstance(transport.exchange(READ), NoReply)
        transport.close()


# ---- one async listing, several tasks --------------------------------------------------------------------------------


def many(world: OneRepoHub, count: int) -> None:
    names = [f"n{n:03}" for n in range(count)]
    world.local.add_people([{"username": name} for name in names])
    world.ask(*names)


def test_a_write_during_a_listing_disturbs_neither(world: OneRepoHub) -> None:
    many(world, 40)

    async def run() -> list[str | None]:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            pending = hub.list_pending(world.repo)

            async def read() -> list[str | None]:
                return [r.username async for r in pending]

            reading = [asyncio.ensure_future(read()) for _ in range(2)]
            await asyncio.sleep(0)  # the readers have started, and none has a page yet
            await asyncio.gather(hub.accept(world.repo, "n000"), hub.accept(world.repo, "n001"))
            return [name for part in await asyncio.gather(*reading) for name in part]

    names = asyncio.run(asyncio.wait_for(run(), 60))
    assert sorted(str(name) for name in names) == [f"n{n:03}" for n in range(40)]


def test_a_listing_may_be_the_source_of_the_decisions_that_read_it_ahead(world: OneRepoHub) -> None:
    many(world, 130)  # several batches, so that a write happens while the listing is open

    async def run() -> set[str | None]:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            pending = hub.list_pending(world.repo)
            source = (Decision.accept(r) async for r in pending)
            async with asyncio.timeout(60):
                return {o.user async for o in hub.decide_many(world.repo, source)}

    assert asyncio.run(run()) == {f"n{n:03}" for n in range(130)}
    assert list(world.owner.list_pending(world.repo)) == []


# ---- hostile text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (rb'{"error":"\ud800"}', [b"x-error-code: plain"]),
        (b'{"error":"no"}', ["x-error-code: Größe😀".encode(), b"x-request-id: \xff\xfe"]),
        (b"<html>", ["x-error-message: ü".encode(), b"x-request-id: \xe9"]),
    ],
)
def test_an_error_with_hostile_text_keeps_its_class(body: bytes, headers: list[bytes]) -> None:
    def say(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        answer(caller, "403 Forbidden", body, *headers)

    with open_raw_hub(say) as hub, Hub(TOKEN, hub.url, timeout=5) as client:
        with pytest.raises(NotAllowed) as raised:
            client.gate("a/b")
        response = raised.value.response  # type: ignore[attr-defined]
        assert response.status_code == 403
        assert "error" in json.loads(response.content)
        str(raised.value).encode()
        assert all(value.isascii() for value in response.headers.values())


def test_an_error_with_a_lone_surrogate_converts_to_huggingface_hub() -> None:
    bare = NotAllowed("no \ud800", status=403, server_message="\ud800", code="é\n", request_id="\ud800")
    error: HfGateError = to_huggingface_error(bare)
    assert error.response.json() == {"error": "?"}  # type: ignore[attr-defined]
    assert dict(error.response.headers)["x-error-code"] == "??"  # type: ignore[attr-defined]


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]"])
def test_a_name_that_looks_like_localhost_is_another_machine(host: str) -> None:
    with pytest.raises(InsecureEndpoint):
        Hub(TOKEN, f"http://{host}")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "localhost", "[::1]:80"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    with Hub(TOKEN, f"http://{host}") as hub:
        assert hub.endpoint == f"http://{host}"


def test_a_change_that_was_allowed_before_the_process_stood_still_is_not_sent_after_its_time() -> None:
    with LocalHub(requests=20, repos=1) as local, Hub(local.tokens["owner"], local.url) as hub:
        repo = parse_repo(local.repos[0]["repo"], local.repos[0]["repo_type"])
        person = next(iter(hub.list(repo, "pending"))).person
        allowed = iter([5.0, 5.0])  # asked before and after the wait for the budget; then the process stands still
        limit_client(hub, lambda: next(allowed, 0.0), lambda: 1)
        with pytest.raises(OutcomeUnknown):
            hub.accept(repo, person)
        assert [name for name in local.stats()["calls"] if name.startswith("POST")] == []
