"""Many decisions about requests that were read earlier are checked before they are sent, with few calls."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from msgspec.structs import replace

from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import AccessRequest, Decision
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.hub.protocol.flows.bulk import MAX_AGE_S, decide_many
from hf_gate.hub.protocol.flows.calls import FlowContext
from hf_gate.hub.protocol.messages import Answer, HubCall, Reply
from tests.kits.flow_player import FlowResult, reply, row, run_flow

REPO = Repo(RepoType.MODEL, "acme", "m")
BEGAN = 1_000.0


class Lists:
    """A Hub with so many pending requests; each change takes `step` seconds."""

    def __init__(self, count: int, *, step: float = 0.0, batch: bool = True, knows_before: bool = True) -> None:
        self.now, self.step, self.batch, self.knows_before = BEGAN, step, batch, knows_before
        rows = [row(n) | {"timestamp": iso_of(n)} for n in range(count)]
        self.rows = {r["user"]["_id"]: r for r in rows}
        self.accounts = {r["user"]["user"]: r["user"]["_id"] for r in rows}
        self.requests = list(self.read(rows, at=BEGAN - 500))
        self.calls: list[str] = []
        self.meanwhile: dict[int, Any] = {}  # what happens after so many changes

    def read(self, rows: list[dict[str, Any]], at: float) -> tuple[AccessRequest, ...]:
        return read_request_page(msgspec.json.encode(rows), REPO, at).rows

    def clock(self) -> float:
        return self.now

    def __call__(self, send: HubCall) -> Answer:
        self.calls.append(send.endpoint)
        if send.endpoint == "list":
            return replace(self.listed(send), received_at=self.now)
        if send.endpoint == "overview":
            return replace(reply({"_id": self.accounts[send.path.split("/")[3]]}), received_at=self.now)
        if send.endpoint == "batch" and not self.batch:
            return reply(status=405)
        return self.changed(msgspec.json.decode(send.body or b""), send.endpoint)

    def listed(self, send: HubCall) -> Reply:
        url = urlsplit(send.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        rows = [r for r in self.rows.values() if r["status"] == url.path.rsplit("/", 1)[1]]
        if "q" in query:
            rows = [r for r in rows if r["user"]["user"].startswith(query["q"])]
        if "before" in query and self.knows_before:
            rows = [r for r in rows if r["timestamp"] < query["before"]]
        start = int(query.get("cursor", "0"))
        page, more = rows[start : start + 1000], rows[start + 1000 :]
        link = f'<https://hub.test{url.path}?cursor={start + 1000}>; rel="next"' if more else None
        return reply(page, link=link) if link else reply(page)

    def changed(self, body: Any, route: str) -> Reply:
        people = body["requests"] if route == "batch" else [body]
        for who in people:
            user_id = who.get("userId") or next(i for i, r in self.rows.items() if r["requestId"] == who["requestId"])
            self.rows[user_id]["status"] = body["status"]
        self.now += self.step
        count = self.calls.count(route)
        self.meanwhile.pop(count, lambda: None)()
        return replace(reply([{**who, "ok": True} for who in people] if route == "batch" else {}), received_at=self.now)


def iso_of(n: int) -> str:
    """Return the time of a request; a higher number is older, by a second each."""
    return f"2026-10-{28 - n // 86400:02d}T{23 - n // 3600 % 24:02d}:{59 - n // 60 % 60:02d}:{59 - n % 60:02d}.000Z"


def decided(hub: Lists, requests: list[AccessRequest]) -> FlowResult:
    setting = FlowContext("https://hub.test", started_at=BEGAN)
    return run_flow(decide_many(REPO, setting), hub, map(Decision.accept, requests), hub.clock)


def kinds(played: FlowResult) -> dict[OutcomeKind, int]:
    found = [outcome.kind for outcome in played.emitted]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_another_meaning_of_before_costs_calls_but_stays_correct() -> None:
    hub = Lists(2500, knows_before=False)
    assert kinds(decided(hub, hub.requests[::-1])) == {OutcomeKind.DONE: 2500}


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "one by one"])
def test_requests_that_wait_long_are_read_again_before_they_are_sent(*, batch: bool) -> None:
    hub = Lists(300, step=MAX_AGE_S + 1 if batch else 1.0, batch=batch)
    people = list(hub.rows.values())

    def others_decide() -> None:
        people[299]["status"] = "rejected"
        del hub.rows[people[298]["user"]["_id"]]

    hub.meanwhile[1] = others_decide
    played = decided(hub, hub.requests)
    assert kinds(played) == {OutcomeKind.DONE: 298, OutcomeKind.STALE: 1, OutcomeKind.GONE: 1}
    assert people[299]["status"] == "rejected"


def test_two_accounts_with_one_name_are_two_people() -> None:
    hub = Lists(3)
    for n, name in enumerate(("Echo", "echo", "echo")):
        list(hub.rows.values())[n]["user"]["user"] = name
    fresh = list(hub.read(list(hub.rows.values()), at=BEGAN))
    assert kinds(decided(hub, fresh)) == {OutcomeKind.DONE: 3}
    assert kinds(decided(hub, [*fresh, fresh[0]])) == {OutcomeKind.ALREADY: 1, OutcomeKind.DONE: 3}


def test_a_few_missing_people_are_searched_by_name() -> None:
    hub = Lists(5000)
    for r in list(hub.rows.values())[1000:]:
        r["status"] = "accepted"
    gone = hub.requests[7]
    del hub.rows[gone.person.id or ""]
    played = decided(hub, hub.requests[:1000])
    assert kinds(played) == {OutcomeKind.GONE: 1, OutcomeKind.DONE: 999}
    assert hub.calls.count("list") < 25
