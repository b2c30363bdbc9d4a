"""Both clients and the module functions have one interface, call one origin and leak nothing."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar, cast, get_type_hints

import huggingface_hub
import pytest
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError

import hf_gate
from hf_gate import AsyncHub, Decision, Hub, NotAllowed, Outcome, OutcomeKind
from hf_gate.errors import (
    ForeignOrigin,
    HfGateError,
    InsecureEndpoint,
    InvalidRepo,
    InvalidTarget,
    Offline,
    OutcomeUnknown,
    UsageError,
)
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import OneRepoHub

CANARY = "hf_local_canary_token"


def public(cls: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(cls).items()
        if not name.startswith("_") and callable(member)
    }


def test_both_clients_have_the_same_names_and_parameters() -> None:
    ours, theirs = public(Hub), public(AsyncHub)
    assert ours.keys() == theirs.keys()
    for name, signature in ours.items():
        assert list(signature.parameters) == list(theirs[name].parameters), name


@pytest.mark.parametrize("client", [Hub, AsyncHub])
def test_help_describes_each_method_of_a_client_and_what_it_returns(client: type) -> None:
    for name in public(client):
        member = getattr(client, name)
        assert inspect.getdoc(member), name
        shown = inspect.signature(member).return_annotation
        assert inspect.get_annotations(member)["return"] == shown, name
        assert "Operation" not in shown, name
    assert get_type_hints(client.accept)["return"] is Outcome  # type: ignore[attr-defined]


def test_each_method_of_the_async_client_performs_the_operation_of_the_blocking_one(world: OneRepoHub) -> None:
    world.ask("ada", "bob", Purpose="to learn")
    repo, tokens, url = world.repo, world.local.tokens, world.local.url

    async def decide(hub: AsyncHub) -> list[str | None]:
        for change in (
            hub.accept(repo, "ada"),
            hub.cancel(repo, "ada"),
            hub.reject(repo, "ada", reason="no"),
            hub.reset(repo, "bob", reason="more"),
            hub.grant_access(repo, "cem"),
            hub.revoke_access(repo, "cem", how="reject"),
        ):
            assert (await change).kind is OutcomeKind.DONE
        return [world.status(name) for name in ("ada", "bob", "cem")]

    async def ask() -> list[object]:
        async with AsyncHub(tokens["stranger"], url) as hub:
            states = [await hub.check_access(repo), await hub.ask_access(repo, {"Purpose": "to see"})]
            return [*states, (await hub.withdraw(repo)).kind, await hub.check_access(repo)]

    async def read(hub: AsyncHub) -> list[object]:
        head, one = await hub.head(repo, "rejected"), await hub.find(repo, "bob")
        several = await hub.find_many(repo, ["ada", "bob"])
        assert {each.username for each in head.requests} == {"ada", "cem"}
        assert [one and one.username, *(each.username for each in several.requests.values())] == ["bob", "ada", "bob"]
        mine = [await hub.set_gate(repo, "auto"), await hub.gate(repo), await hub.gate_form(repo)]
        return [*mine, await hub.access_report(repo), await hub.profile("ada"), await hub.whoami()]

    async def script() -> tuple[list[str | None], list[object], list[object]]:
        async with AsyncHub(tokens["owner"], url) as hub:
            return await decide(hub), await ask(), await read(hub)

    statuses, states, found = asyncio.run(script())
    assert statuses == ["rejected", "reset", "rejected"]
    assert states == ["ask", "pending", OutcomeKind.DONE, "ask"]
    hub, gate = world.owner, world.owner.gate(repo)
    others = [hub.gate_form(repo), hub.access_report(repo), hub.profile("ada"), hub.whoami()]
    assert found == [gate, gate, *others]


@pytest.mark.parametrize("name", ["list_pending_access_requests", "list_accepted_access_requests", "list_rejected_access_requests", "accept_access_request", "reject_access_request", "cancel_access_request", "grant_access"])  # fmt: skip
def test_module_functions_take_what_huggingface_hub_takes(name: str) -> None:
    theirs = inspect.signature(getattr(huggingface_hub, name)).parameters
    ours = inspect.signature(getattr(hf_gate, name)).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


def test_an_existing_script_changes_its_import_and_nothing_else(
    world: OneRepoHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", world.local.url)
    monkeypatch.setenv("HF_TOKEN", world.local.tokens["owner"])
    world.ask("ada", "bob", Purpose="to learn")
    people = {r.username: r.fields for r in hf_gate.list_pending_access_requests(world.repo)}
    assert people == {"ada": {"Purpose": "to learn"}, "bob": {"Purpose": "to learn"}}
    hf_gate.accept_access_request(world.repo, "ada")
    hf_gate.accept_access_request(world.repo, "ada")  # in huggingface_hub: HTTP 404
    hf_gate.reject_access_request(world.repo, "bob", rejection_reason=None)
    hf_gate.cancel_access_request(world.repo, "bob")
    hf_gate.reset_access_request(world.repo, "bob", reset_reason="please say more")
    hf_gate.grant_access(world.repo, "cem")
    hf_gate.revoke_access(world.repo, "cem")
    assert [r.username for r in hf_gate.list_accepted_access_requests(world.repo)] == ["ada"]
    assert {r.username for r in hf_gate.list_reset_access_requests(world.repo)} == {"bob", "cem"}
    assert list(hf_gate.list_rejected_access_requests(world.repo)) == []
    with pytest.raises(HfHubHTTPError, match="nobody"):
        hf_gate.accept_access_request(world.repo, "nobody-at-all")
    with pytest.raises(ValueError, match="exactly one"):
        hf_gate.accept_access_request(world.repo)


def test_errors_are_also_huggingface_hubs(world: OneRepoHub) -> None:
    with pytest.raises(RepositoryNotFoundError) as missing:
        world.owner.accept("acme/nothing-here", "ada")
    assert missing.value.response.status_code == 404
    world.owner.set_gate(world.repo, False)
    with pytest.raises(BadRequestError) as ungated:
        world.owner.grant_access(world.repo, "ada")
    assert isinstance(ungated.value, hf_gate.NotGated)
    with Hub(world.local.tokens["reader"], world.local.url) as reader, pytest.raises(HfHubHTTPError) as refused:
        list(reader.list_pending(world.repo))
    assert isinstance(refused.value, NotAllowed)
    assert refused.value.response.status_code == 403

    async def find_no_repo() -> None:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            await hub.find("acme/nothing-here", "ada")

    with pytest.raises(RepositoryNotFoundError):
        asyncio.run(find_no_repo())


@pytest.mark.parametrize(
    "call",
    [
        lambda hub, repo: hub.accept(repo),
        lambda hub, repo: hub.accept(repo, "ada", user_id="0" * 24),
        lambda hub, repo: hub.accept(repo, request_id="nonsense"),
        lambda hub, repo: hub.accept(repo, ""),
        lambda hub, repo: list(hub.decide_many(repo, ["ada"])),
    ],
)
def test_the_person_must_be_named_exactly_once(world: OneRepoHub, call: object) -> None:
    with pytest.raises(InvalidTarget):
        call(world.owner, world.repo)  # type: ignore[operator]
    assert world.calls("POST handle", "POST batch") == 0


@pytest.mark.parametrize("host", ["https://huggingface.co", "http://127.0.0.1:9", "https://hub.example"])
def test_a_url_of_another_host_is_no_repo_of_this_hub(world: OneRepoHub, host: str) -> None:
    world.ask("ada")
    with pytest.raises(InvalidRepo, match="another host"):
        world.owner.accept(f"{host}/{world.repo}", "ada")
    with pytest.raises(InvalidRepo, match="another host"):
        world.owner.list_pending(f"{host}/{world.repo}")
    assert world.status("ada") == "pending"
    world.owner.accept(f"{world.local.url}/{world.repo}", "ada")
    assert world.status("ada") == "accepted"


@pytest.mark.parametrize("reason", ["x" * 201, "😀" * 101, "\ud800"])
def test_a_reason_that_is_too_long_is_refused_before_anything_is_sent(world: OneRepoHub, reason: str) -> None:
    world.ask("ada")
    with pytest.raises(UsageError) as raised:
        world.owner.reject(world.repo, "ada", reason=reason)
    assert raised.value.exit_code == 2
    assert world.calls("POST handle") == 0
    world.owner.reject(world.repo, "ada", reason="😀" * 100)


class _CanaryServer(BaseHTTPRequestHandler):
    """A foreign host that records every call, and a Hub that points to it in every possible way."""

    seen: ClassVar[list[str | None]] = []
    evil = ""
    trick = "link"

    def do_GET(self) -> None:
        if cast("HTTPServer", self.server).server_port == int(_CanaryServer.evil.rsplit(":", 1)[1]):
            _CanaryServer.seen.append(self.headers.get("authorization"))
        if _CanaryServer.trick == "link":
            self.send_response(200)
            self.send_header("link", f'<{_CanaryServer.evil}/next>; rel="next"')
        else:
            self.send_response(int(_CanaryServer.trick))
            self.send_header("location", f"{_CanaryServer.evil}/there")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    do_POST = do_PUT = do_GET  # noqa: N815 - http.server's spelling

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("trick", ["link", "301", "302", "307", "308"])
def test_the_token_goes_to_the_configured_origin_only(trick: str) -> None:
    evil, hub_server = HTTPServer(("127.0.0.1", 0), _CanaryServer), HTTPServer(("127.0.0.1", 0), _CanaryServer)
    _CanaryServer.seen, _CanaryServer.trick, _CanaryServer.evil = [], trick, f"http://127.0.0.1:{evil.server_port}"
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in (evil, hub_server)
    ]
    for thread in threads:
        thread.start()
    try:
        with Hub(CANARY, f"http://127.0.0.1:{hub_server.server_port}", timeout=2) as hub:
            acts = [
                lambda: list(hub.list_pending("a/b")),
                lambda: hub.gate_form("a/b"),
                lambda: list(hub.gated_repos("a")),
                lambda: list(hub.org_members("a")),
            ]
            if trick != "link":
                acts += [
                    lambda: hub.accept("a/b", "ada"),
                    lambda: list(hub.decide_many("a/b", [Decision.accept("ada")])),
                    lambda: hub.access_report("a/b"),
                ]
            for act in acts if trick != "link" else [acts[0], *acts[2:4]]:
                with pytest.raises(ForeignOrigin):
                    act()  # type: ignore[no-untyped-call]
    finally:
        for server in (evil, hub_server):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
    assert _CanaryServer.seen == []


def test_a_token_never_shows(world: OneRepoHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub = Hub(CANARY, world.local.url)
    told = [repr(hub), str(vars(hub)), repr(hub._driver.transport._connection)]
    try:
        hub.accept(world.repo, "ada")
    except HfGateError as error:
        told += ["".join(traceback.format_exception(error)), repr(vars(error)), repr(getattr(error, "response", None))]
        told += [str(dict(error.response.request.headers)), str(dict(error.response.headers))]  # type: ignore[attr-defined]
    hub.close()
    assert len(told) > 3
    assert all(CANARY not in text for text in [*told, caplog.text])


def test_a_token_is_not_sent_unencrypted_to_another_machine() -> None:
    with pytest.raises(InsecureEndpoint):
        Hub(CANARY, "http://hub.example.org")
    Hub(CANARY, "http://hub.example.org", insecure_http=True).close()
    Hub(False, "http://hub.example.org").close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://x",
        "https://a:b@hub.test",
        "https://hub.test/path",
        "nonsense",
        "https://[",
        "https://hub.test:x",
        "https://hub.example?",
        "https://hub.example#",
        "http://127.0.0.1#@hub.example",
        "http://@hub.example",
    ],
)
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError):
        Hub(False, endpoint)


def test_offline_mode_sends_no_call(world: OneRepoHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Offline) as raised:
        world.owner.accept(world.repo, "ada")
    assert raised.value.exit_code == 75


def test_many_threads_share_one_hub(world: OneRepoHub) -> None:
    names = [f"t{n:02}" for n in range(40)]
    world.local.add_people([{"username": name} for name in names])
    world.ask(*names)
    threads = [threading.Thread(target=world.owner.accept, args=(world.repo, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.username for r in world.owner.list_accepted(world.repo)} == set(names)


def test_a_cancelled_change_has_an_unknown_outcome(world: OneRepoHub) -> None:
    world.ask("ada")
    world.local.set_faults(["delay_after:s=600:on=handle"])

    async def run() -> None:
        async with AsyncHub(world.local.tokens["owner"], world.local.url, timeout=600) as hub, asyncio.timeout(60):
            task = asyncio.ensure_future(hub.accept(world.repo, "ada"))
            while await asyncio.to_thread(world.moves) == []:  # each check calls the control API
                assert not task.done()
            task.cancel()
            with pytest.raises(OutcomeUnknown):
                await task

    asyncio.run(run())
    assert world.moves() == [("ada", "pending", "accepted")]


def test_decisions_may_come_from_an_async_iterator(world: OneRepoHub) -> None:
    world.ask("ada", "bob")

    async def run() -> list[str | None]:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            pending = hub.list_pending(world.repo)
            outcomes = hub.decide_many(world.repo, (Decision.accept(r) async for r in pending))
            return [o.user async for o in outcomes]

    assert set(asyncio.run(run())) == {"ada", "bob"}


def test_the_log_has_endpoints_and_statuses_but_no_names(world: OneRepoHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="hf_gate")
    world.ask("ada")
    world.owner.accept(world.repo, world.request("ada"))
    told = [record.getMessage() for record in caplog.records if record.name == "hf_gate"]
    assert "POST handle: 200" in told
    assert not any("ada" in line for line in told)
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("hf_gate").handlers)


# ---- clocks ----------------------------------------------------------------------------------------------------------


def test_a_client_measures_the_skew_of_the_hub() -> None:
    with LocalHub(requests=0, repos=1) as local, Hub(local.tokens["owner"], local.url) as hub:
        assert hub.skew is None, "nobody was asked yet"
        hub.whoami()
        assert hub.skew == pytest.approx(0, abs=2)
        local.clock.advance("400h")
        hub.whoami()
        assert hub.skew == pytest.approx(400 * 3600, abs=60)

        async def told() -> float | None:
            async with AsyncHub(local.tokens["owner"], local.url) as twin:
                await twin.whoami()
                return twin.skew

        assert asyncio.run(told()) == pytest.approx(400 * 3600, abs=60)


def test_a_client_that_follows_a_local_hub_has_no_skew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1) as local, Hub(local.tokens["owner"], local.url) as hub:
        local.clock.advance("400h")
        hub.whoami()
        assert hub.skew == 0


def test_a_listing_shows_its_state(world: OneRepoHub) -> None:
    world.ask("ada", "bob", Purpose="to learn")
    listing = world.owner.list_pending(world.repo)
    assert repr(listing) == f"<Listing {world.repo} pending: 0 rows so far, not proved complete: not read to the end>"
    names = [request.username for request in listing]
    assert repr(listing) == f"<Listing {world.repo} pending: 2 rows, complete>"
    with pytest.raises(UsageError, match="only once"):
        list(listing)

    async def later() -> tuple[list[str | None], str]:
        async with AsyncHub(world.local.tokens["owner"], world.local.url) as hub:
            pending = hub.list_pending(world.repo)
            return [request.username async for request in pending], repr(pending)

    assert asyncio.run(later()) == (names, f"<AsyncListing {world.repo} pending: 2 rows, complete>")


def test_the_repr_of_an_incomplete_listing_tells_why(world: OneRepoHub) -> None:
    world.ask("ada")
    world.local.set_faults(["dup_rows:n=1"])
    listing = world.owner.list_pending(world.repo)
    assert len(list(listing)) == 1
    assert "1 row so far, not proved complete: a request appeared twice" in repr(listing)
