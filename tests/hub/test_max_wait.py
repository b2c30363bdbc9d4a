"""`max_wait` ends a call whatever the Hub does: dripping headers, a dripping body, refusals, silence."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

import pytest

from hf_gate import AsyncHub, Hub
from hf_gate.errors import HubUnavailable, OutcomeUnknown, UnexpectedAnswer
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from tests.kits.raw_hub import DRIPS, RawHub, Say, answer, open_raw_hub

TOKEN = "hf_local_token"
MAX_WAIT, LATEST = 1.2, 3.0  # seconds; a single try takes at most twelve without it


def silent(hub: RawHub, _caller: socket.socket, _line: str) -> None:
    hub.over.wait(60)


def busy(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "429 Too Many Requests", b"{}", b"retry-after: 1")


def failing(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "503 Service Unavailable")


def failing_slowly(hub: RawHub, caller: socket.socket, _line: str) -> None:
    hub.over.wait(0.5)
    answer(caller, "503 Service Unavailable")


WEATHER = {**DRIPS, "silence": silent, "429": busy, "503": failing, "503 after a while": failing_slowly}


def read_blocking(endpoint: str) -> None:
    with Hub(TOKEN, endpoint, timeout=2.0, max_wait=MAX_WAIT) as hub:
        hub.gate("a/b")


def read_async(endpoint: str) -> None:
    async def run() -> None:
        async with AsyncHub(TOKEN, endpoint, timeout=2.0, max_wait=MAX_WAIT) as hub:
            await hub.gate("a/b")

    asyncio.run(run())


@pytest.mark.parametrize("read", [read_blocking, read_async])
@pytest.mark.parametrize("say", WEATHER.values(), ids=WEATHER)
def test_a_read_ends_when_max_wait_is_over(say: Say, read: object) -> None:
    with open_raw_hub(say) as hub:
        start = time.monotonic()
        with pytest.raises(HubUnavailable):
            read(hub.url)  # type: ignore[operator]
        assert time.monotonic() - start < LATEST


def test_a_list_that_is_never_json_ends_when_max_wait_is_over() -> None:
    def say(hub: RawHub, caller: socket.socket, _line: str) -> None:
        hub.over.wait(0.4)
        answer(caller, "200 OK", b"<html>")

    with open_raw_hub(say) as hub, Hub(TOKEN, hub.url, timeout=2.0, max_wait=MAX_WAIT) as client:
        start = time.monotonic()
        with pytest.raises(UnexpectedAnswer):
            list(client.list_pending("a/b"))
        assert time.monotonic() - start < LATEST


def test_a_page_that_drips_ends_a_list_that_was_begun() -> None:
    page = b'[{"requestId":"%024x","timestamp":"2026-10-01T00:00:00.000Z","status":"pending"}]' % 1

    def say(hub: RawHub, caller: socket.socket, line: str) -> None:
        if "cursor" in line:
            DRIPS["a body"](hub, caller, line)
        else:
            link = b'link: </api/models/a/b/user-access-request/pending?cursor=1>; rel="next"'
            answer(caller, "200 OK", page, link)

    with open_raw_hub(say) as hub, Hub(TOKEN, hub.url, timeout=2.0, max_wait=MAX_WAIT) as client:
        listing, start = client.list_pending("a/b"), time.monotonic()
        next(listing)
        with pytest.raises(HubUnavailable):
            next(listing)
        assert time.monotonic() - start < LATEST
        assert "ended by an error" in listing.completeness.why


def test_a_change_whose_answer_drips_is_read_back_once_and_then_unknown() -> None:
    with open_raw_hub(DRIPS["a header"]) as hub, Hub(TOKEN, hub.url, timeout=2.0, max_wait=MAX_WAIT) as client:
        start = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            client.accept("a/b", "ada")
        assert time.monotonic() - start < 2 * LATEST  # reading back may take as long again


def test_a_healthy_answer_takes_a_second_at_most_even_where_nothing_may_be_waited_for() -> None:
    def say(hub: RawHub, caller: socket.socket, _line: str) -> None:
        hub.over.wait(0.3)
        answer(caller, "200 OK", b'{"gated":"manual"}')

    with open_raw_hub(say) as hub, Hub(TOKEN, hub.url, timeout=2.0, max_wait=0.0) as client:
        assert client.gate("a/b").mode == "manual"


@pytest.mark.parametrize("say", DRIPS.values(), ids=DRIPS)
def test_asking_a_local_hub_for_its_world_ends_in_time(say: Say) -> None:
    with open_raw_hub(say) as hub:
        start = time.monotonic()
        with suppress(HubUnavailable):
            assert get_world_id(hub.url, 0.5) is None
        assert time.monotonic() - start < LATEST


def test_a_local_hub_that_states_its_world_and_then_drips_is_not_believed() -> None:
    def say(hub: RawHub, caller: socket.socket, _line: str) -> None:
        caller.sendall(b"HTTP/1.1 200 OK\r\nx-hf-gate-world: abc\r\n")
        while not hub.over.wait(0.05):
            caller.sendall(b"x: y\r\n")

    with open_raw_hub(say) as hub, pytest.raises(HubUnavailable, match="does not answer"):
        get_world_id(hub.url, 0.5)
