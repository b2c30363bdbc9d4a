"""The command line at a Hub of August 2026, which knows no reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access


@pytest.fixture
def old() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1, protocol="2026-08") as hub:
        request_access(hub, ["ada-l", "bob99"])
        yield hub


@pytest.mark.parametrize("format_", ["jsonl", "human"])
def test_all_lists_of_an_old_hub_are_those_that_it_has(old: LocalHub, format_: str) -> None:
    Console(old).run("accept", f"ada-l@{MODEL}")
    ended = Console(old).run("ls", MODEL, "--status", "all", "--format", format_)
    assert ended.code == 0, ended.err
    assert "ada-l" in ended.out
    assert "bob99" in ended.out
    assert "proved" not in ended.err


@pytest.mark.parametrize("status", ["reset", "pending,reset"])
def test_a_list_that_an_old_hub_does_not_have_is_named_in_one_line(old: LocalHub, status: str) -> None:
    ended = Console(old).run("ls", MODEL, "--status", status, "--json")
    assert (ended.code, "no list of reset requests" in ended.error) == (2, True)
    assert "all" in ended.hint
