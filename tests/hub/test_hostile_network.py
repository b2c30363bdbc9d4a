"""A hostile Hub, proxy or network: memory and time are bounded, and the token goes to one origin only."""

from __future__ import annotations

import asyncio
import socket
import time

import httpcore2
import pytest

from hf_gate import AsyncHub, Hub
from hf_gate.base.ids import Repo, RepoType
from hf_gate.errors import HfGateError, InsecureEndpoint, UnexpectedAnswer
from hf_gate.hub.drivers.deadlines import Deadline, DeadlineBackend
from hf_gate.hub.protocol.codec import MAX_RECORDS, UnreadableBody, find_next_link, read_request_page
from hf_gate.hub.protocol.flows.calls import FlowContext
from hf_gate.hub.protocol.flows.repos import list_gated_repos
from hf_gate.hub.protocol.messages import HubCall, Reply
from hf_gate.hub.protocol.pacing import MAX_LIMITS, Pacer
from tests.kits.flow_player import reply, run_flow
from tests.kits.raw_hub import RawHub, answer, open_raw_hub

TOKEN = "hf_local_canary_token"
REPO = Repo(RepoType.MODEL, "acme", "m")


@pytest.mark.parametrize("endpoint", ["HTTP://hub.example", "Http://hub.example:80"])
def test_capitals_in_the_scheme_do_not_allow_an_unencrypted_token(endpoint: str) -> None:
    with pytest.raises(InsecureEndpoint):
        Hub(TOKEN, endpoint)
    with Hub(TOKEN, endpoint, insecure_http=True) as hub:
        assert hub.endpoint.startswith("http://")


def test_cookies_of_the_hub_are_not_stored() -> None:
    def say(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        answer(
            caller,
            "200 OK",
            b'{"gated":"manual"}',
            *(b"set-cookie: c%d=%s; Path=/" % (n, b"x" * 500) for n in range(50)),
        )

    async def later(url: str) -> None:
        async with AsyncHub(TOKEN, url, timeout=5) as hub:
            await hub.gate("a/b")
            await hub.gate("a/b")

    with open_raw_hub(say) as hub:
        with Hub(TOKEN, hub.url, timeout=5) as client:
            client.gate("a/b")
            client.gate("a/b")
        asyncio.run(later(hub.url))
        assert len(hub.lines) == 4
        assert not [header for header in hub.headers if header.lower().startswith(b"cookie")]


def test_a_page_of_millions_of_records_is_refused_before_they_are_read() -> None:
    with pytest.raises(UnreadableBody, match="records"):
        read_request_page(b"[" + b",".join([b"1"] * (MAX_RECORDS + 1)) + b"]", REPO, 1.0)
    assert read_request_page(b"[" + b",".join([b"1"] * 10) + b"]", REPO, 1.0).size == 10


def test_a_link_header_of_brackets_is_parsed_fast() -> None:
    start = time.monotonic()
    assert find_next_link({"link": "<" * 90_000}) is None
    assert find_next_link({"link": "<" * 20_000 + '</next?a=1>; rel="next"'}) == "/next?a=1"
    assert time.monotonic() - start < 2


def test_the_number_of_tracked_limits_is_bounded() -> None:
    pacer, send = Pacer(), HubCall("list", "GET", "/x")
    for number in range(100):
        names = ", ".join(f'"n{number}-{n}";r=500;t=30' for n in range(50))
        assert pacer.try_start(float(number), send) == 0.0
        pacer.record_answer(float(number), send, Reply(200, {"ratelimit": names}), 0.5)
    assert len(pacer._windows) == MAX_LIMITS
    assert pacer.try_start(200.0, send) == 0.0
    pacer.record_answer(200.0, send, Reply(429, {"ratelimit": '"another";r=0;t=30'}), 0.5)
    assert len(pacer._windows) == MAX_LIMITS


def test_the_list_of_gated_repos_ends_even_if_each_page_links_another() -> None:
    pages = iter(range(10**9))

    def hub(send: object) -> object:  # noqa: ARG001 - it says the same to everything
        number = next(pages)
        return reply([{"id": f"acme/r{number}", "gated": "auto"}], link=f'</api/models?cursor={number}>; rel="next"')

    played = run_flow(list_gated_repos("acme", FlowContext("https://hub.test")), hub)  # type: ignore[arg-type]
    assert isinstance(played.error, UnexpectedAnswer)
    assert len(played.sent) < 2000


def test_a_name_with_many_addresses_obeys_the_time_limit_of_a_call() -> None:
    deadline = Deadline()
    start = time.monotonic()
    deadline.until = lambda: start + 0.5
    # a full backlog neither accepts nor refuses a connection
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        held = []
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
            held.append(caller)
        with pytest.raises(httpcore2.ConnectTimeout):
            DeadlineBackend(deadline).connect_first(["127.0.0.1"] * 50, port, 5.0)
        for caller in held:
            caller.close()
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "location", [b"http://[", b"http://a:99999999/", b"//evil.example", b"\xff\xfe", b"http://xn--/", b"javascript:1"]
)
def test_any_location_header_gives_a_readable_error(location: bytes) -> None:
    def say(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        answer(caller, "307 Temporary Redirect", b"", b"location: " + location)

    with open_raw_hub(say) as hub, Hub(TOKEN, hub.url, timeout=5) as client, pytest.raises(HfGateError):
        client.gate("a/b")
