"""The public API as a type checker sees it: mypy reads this file, nothing runs it. Each public name gets its line here."""

from __future__ import annotations

from typing import assert_type

import hf_gate

assert_type(hf_gate.__version__, str)


def clients(hub: hf_gate.Hub, request: hf_gate.AccessRequest) -> None:
    """What the blocking client returns."""
    assert_type(hub.find("acme/m", "ada"), hf_gate.AccessRequest | None)
    assert_type(hub.find("acme/m", request_id="0" * 24), hf_gate.AccessRequest | None)
    found = hub.find_many("acme/m", ["ada", request, hf_gate.Person(username="bob")])
    assert_type(found.requests.get(0), hf_gate.AccessRequest | None)
    assert_type(found.complete, bool)
    assert_type(hub.gate("acme/m"), hf_gate.Gate)
    assert_type(hub.accept("acme/m", request), hf_gate.Outcome)


async def async_clients(hub: hf_gate.AsyncHub) -> None:
    """And the async one."""
    assert_type(await hub.find("acme/m", "ada"), hf_gate.AccessRequest | None)
    assert_type((await hub.find_many("acme/m", ["ada"])).complete, bool)
    assert_type(await hub.gate("acme/m"), hf_gate.Gate)
    assert_type(await hub.check_access("acme/m"), str)
