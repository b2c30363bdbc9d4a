"""Which way calls go when the environment names a proxy, and what a proxy gets to see."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from hf_gate import AsyncHub, Hub
from hf_gate.errors import HubUnavailable, InsecureEndpoint, UsageError
from tests.kits.local_hubs import OneRepoHub
from tests.kits.raw_hub import RawHub, answer, open_raw_hub

TOKEN = "hf_local_canary_token"
PASSWORD = "pa55word"
REMOTE = "http://hub.example"


def refuse(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "407 Proxy Authentication Required")


def serve(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "200 OK", b"[]")


def read_blocking(token: str, endpoint: str, repo: str) -> int:
    with Hub(token, endpoint, timeout=5) as hub:
        return len(list(hub.list_pending(repo)))


def read_async(token: str, endpoint: str, repo: str) -> int:
    async def run() -> int:
        async with AsyncHub(token, endpoint, timeout=5) as hub:
            return len([request async for request in hub.list_pending(repo)])

    return asyncio.run(run())


@pytest.mark.parametrize("read", [read_blocking, read_async])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_call_to_this_machine_never_goes_through_a_proxy(
    world: OneRepoHub, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[str, str, str], int]
) -> None:
    world.ask("ada")
    with open_raw_hub(refuse) as proxy:
        monkeypatch.setenv(name, proxy.url)
        assert read(world.local.tokens["owner"], world.local.url, world.repo) == 1
        assert proxy.lines == []


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9", "http://user:pa/55word@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_does_not_matter_on_this_machine(
    world: OneRepoHub, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    assert read_blocking(world.local.tokens["owner"], world.local.url, world.repo) == 0


@pytest.mark.parametrize("client", [Hub, AsyncHub])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks5://user:pa55word@127.0.0.1:9", "SOCKS"),
        ("ftp://user:pa55word@127.0.0.1:9", "proxy"),
        ("http://user:pa55word/x@127.0.0.1:9", "proxy"),
        ("http://user:pa55word@[::1", "proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, client: type[Hub | AsyncHub], value: str, said: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(UsageError, match=said) as raised:
        client(TOKEN, "https://hub.example")
    shown = f"{raised.value} {raised.value.hint} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert "55word" not in shown
    assert "ALL_PROXY" in shown


@pytest.mark.parametrize("read", [read_blocking, read_async])
def test_a_proxy_of_an_https_endpoint_sees_no_token_and_its_own_password_is_not_told(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[str, str, str], int]
) -> None:
    with open_raw_hub(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//user:{PASSWORD}@"))
        with pytest.raises(HubUnavailable, match="proxy") as raised:
            read(TOKEN, f"https://{read.__name__.replace('_', '-')}.example", "acme/m")  # each with a budget of its own
        assert {line.split(" ")[0] for line in proxy.lines} == {"CONNECT"}
        assert not any(TOKEN.encode() in header for header in proxy.headers)
        assert any(header.lower().startswith(b"proxy-authorization") for header in proxy.headers)
    assert PASSWORD not in f"{raised.value} {raised.value.hint} {raised.value.__cause__!r}"


def test_a_token_does_not_travel_in_the_clear_through_a_proxy_either(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_raw_hub(serve) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(InsecureEndpoint):
            Hub(TOKEN, REMOTE)
        with Hub(TOKEN, REMOTE, insecure_http=True, timeout=5) as hub:
            assert list(hub.list_pending("acme/m")) == []
        assert proxy.lines[0].startswith(f"GET {REMOTE}/api/")
