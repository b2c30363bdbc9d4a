"""Waits for the Hub: long ones are logged, absurd ones are refused, and a new client tests an outage with one call."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from hf_gate import AsyncHub, Hub
from hf_gate.errors import HubUnavailable
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.raw_hub import RawHub, Say, answer, open_raw_hub

TOKEN = "hf_local_canary_token"


def read_blocking(endpoint: str, max_wait: float | None = None) -> None:
    with Hub(TOKEN, endpoint, timeout=2.0, max_wait=max_wait) as hub:
        hub.gate("a/b")


def read_async(endpoint: str, max_wait: float | None = None) -> None:
    async def run() -> None:
        async with AsyncHub(TOKEN, endpoint, timeout=2.0, max_wait=max_wait) as hub:
            await hub.gate("a/b")

    asyncio.run(run())


def years(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "429 Too Many Requests", b"{}", b"retry-after: 99999999")


def failing_for_years(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "503 Service Unavailable", b"{}", b"retry-after: Fri, 01 Jan 2038 00:00:00 GMT")


@pytest.mark.parametrize("read", [read_blocking, read_async])
@pytest.mark.parametrize("say", [years, failing_for_years])
@pytest.mark.parametrize("max_wait", [None, 5.0])
def test_a_hub_that_asks_to_wait_for_years_is_unavailable_at_once(
    read: Callable[..., None], say: Say, max_wait: float | None
) -> None:
    with open_raw_hub(say) as hub:
        with pytest.raises(HubUnavailable, match=r"would delay this by 86[0-9]{3} s") as raised:
            read(hub.url, max_wait)
        assert raised.value.exit_code == 75
        assert len(hub.lines) == 1


@contextmanager
def open_hub_at_the_start_of_a_window(calls: int) -> Iterator[LocalHub]:
    """A Hub with a limit for ten minutes of its clock, which are five seconds here: no call falls into the next."""
    window_s = 600
    with LocalHub(requests=20, repos=1, quota=f"{calls}/{window_s}", clock="x120") as local:
        local.clock.advance(f"{window_s - local.clock.now() % window_s + 1:.0f}s")
        yield local


def test_a_long_wait_is_logged_once_with_its_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with open_hub_at_the_start_of_a_window(2) as local:
        repo = local.repos[0]
        with caplog.at_level(logging.WARNING, "hf_gate"), Hub(local.tokens["owner"], local.url) as hub:
            for _ in range(3):
                hub.gate(repo["repo"], repo_type=repo["repo_type"])
    lines = [record.getMessage() for record in caplog.records if record.name == "hf_gate.waits"]
    assert len(lines) == 1, lines
    assert lines[0].startswith("Waiting ")
    assert "rate limit" in lines[0]
    assert repo["repo"] not in lines[0]


def test_a_command_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with open_hub_at_the_start_of_a_window(3) as local:
        repo = local.repos[0]
        path = repo["repo"] if repo["repo_type"] == "model" else f"datasets/{repo['repo']}"
        ended = Console(local).run("ls", path, "--live", "--status", "all", "--json")
    assert ended.code == 0, ended.err
    assert "Waiting " in ended.err
    assert not logging.getLogger("hf_gate.waits").handlers


def hang_up(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    caller.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("read", [read_blocking, read_async])
def test_the_cause_of_an_error_contains_no_token(read: Callable[..., None]) -> None:
    with open_raw_hub(hang_up) as hub, pytest.raises(HubUnavailable) as raised:
        read(hub.url, 0.0)
    problem: BaseException | None = raised.value.__cause__
    assert isinstance(problem, httpx2.HTTPError)
    while problem is not None:
        assert problem.__traceback__ is None
        assert TOKEN not in f"{problem!r} {problem} {vars(problem)}"
        problem = problem.__cause__ or problem.__context__
