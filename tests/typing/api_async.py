"""`AsyncHub` as a type checker sees it: the names of `Hub`, to be awaited or iterated with `async for`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, assert_type

from hf_gate import (
    AccessRequest,
    Account,
    AsyncHub,
    AsyncListing,
    Decision,
    Found,
    Gate,
    GateForm,
    Head,
    Outcome,
    Outlook,
    Person,
    Profile,
    Repo,
    RepoType,
    Status,
)

DATA = Repo(RepoType.DATASET, "acme", "eeg")


async def making() -> None:
    assert_type(AsyncHub("hf_x", "https://hub.example", timeout=2.0, max_wait=None, reserve=0.5), AsyncHub)
    async with AsyncHub(token=False, insecure_http=True) as hub:
        assert_type(hub, AsyncHub)
        assert_type(hub.endpoint, str)
        assert_type(hub.outlook(), Outlook)
        assert_type(hub.skew, float | None)
    await hub.close()
    with AsyncHub() as wrong:  # type: ignore[attr-defined]
        del wrong
    AsyncHub(token=7)  # type: ignore[arg-type]


async def listing(hub: AsyncHub) -> None:
    assert_type(hub.list(DATA, Status.PENDING), AsyncListing)
    assert_type(hub.list_pending("acme/eeg", repo_type="dataset"), AsyncListing)
    assert_type(hub.list_accepted(DATA), AsyncListing)
    assert_type(hub.list_rejected(DATA), AsyncListing)
    assert_type(hub.list_reset(DATA), AsyncListing)
    assert_type(await hub.head(DATA, "pending"), Head)
    async for request in hub.list_pending(DATA):
        assert_type(request, AccessRequest)
    assert_type([request async for request in hub.list_reset(DATA)], list[AccessRequest])
    for _ in hub.list_pending(DATA):  # type: ignore[attr-defined]
        pass
    await hub.list_pending(DATA)  # type: ignore[misc]


async def finding(hub: AsyncHub, request: AccessRequest) -> None:
    assert_type(await hub.find(DATA, "mia"), AccessRequest | None)
    assert_type(await hub.find_many(DATA, [request, "mia"]), Found)


async def deciding(hub: AsyncHub, request: AccessRequest, person: Person) -> None:
    assert_type(await hub.accept(DATA, "mia"), Outcome)
    assert_type(await hub.accept(DATA, request), Outcome)
    assert_type(await hub.reject(DATA, person, reason=None), Outcome)
    assert_type(await hub.cancel(DATA, user_id="0" * 24), Outcome)
    assert_type(await hub.reset(DATA, request_id="0" * 24, reason="Say more."), Outcome)
    assert_type(await hub.grant_access(DATA, "mia"), Outcome)
    assert_type(await hub.revoke_access(DATA, "mia", how="cancel"), Outcome)
    assert_type(hub.decide_many(DATA, [Decision.accept("mia")]), AsyncIterator[Outcome])
    async for outcome in hub.decide_many(DATA, (Decision.accept(r) async for r in hub.list_pending(DATA))):
        assert_type(outcome, Outcome)
    (await hub.accept(DATA, "mia")).kind = "done"  # type: ignore[misc, assignment]
    repr(hub.accept(DATA, "mia").kind)  # type: ignore[attr-defined]
    await hub.reject(DATA, "mia")  # type: ignore[call-arg]
    await hub.accept(DATA, 7)  # type: ignore[arg-type]
    await hub.revoke_access(DATA, "mia", how="remove")  # type: ignore[arg-type]
    await hub.decide_many(DATA, [])  # type: ignore[misc]


async def gates_and_people(hub: AsyncHub) -> None:
    assert_type(await hub.gate(DATA), Gate)
    assert_type(await hub.set_gate(DATA, False), Gate)
    assert_type(await hub.gate_form(DATA), GateForm)
    assert_type(await hub.access_report(DATA), Sequence[dict[str, Any]])
    assert_type(hub.gated_repos("acme"), AsyncIterator[Gate])
    assert_type(hub.org_members("acme"), AsyncIterator[Person])
    assert_type(await hub.profile("mia"), Profile)
    assert_type(await hub.whoami(), Account)
    assert_type(await hub.ask_access(DATA, {"Purpose": "to sleep"}), str)
    assert_type(await hub.withdraw(DATA), Outcome)
    assert_type(await hub.check_access(DATA), str)
    await hub.set_gate(DATA, "closed")  # type: ignore[arg-type]
    await hub.ask_access(DATA, {"I agree": True})  # type: ignore[dict-item]
