"""All exchanges of hf-gate and the local Hub agree with the Hub's OpenAPI of August 2026 plus one patch."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from hf_gate import AsyncHub, Decision, Hub, PersonNotFound, RequestNotFound
from hf_gate.testing import LocalHub
from tests.kits.openapi import Exchange, Recording, Spec, list_faults, record_exchanges
from tests.kits.paths import DATA
from tests.kits.shared_files import shared_file

SUBSET: Final = "data/hub-openapi-2026-08.subset.json"
PATCH: Final = json.loads((DATA / "openapi_patch_2026_10_23.json").read_text("utf-8"))
REPO: Final = "/{namespace}/{repo}"
# What of the subset the local Hub has; each must have been answered with a 2xx or 3xx, or nothing is shown about it.
COVERED: Final = {
    f"{method} {path}"
    for kind in ("models", "datasets")
    for method, path in (
        ("PUT", f"/api/{kind}{REPO}/settings"),
        ("GET", f"/api/{kind}{REPO}/user-access-request/{{status}}"),
        ("POST", f"/api/{kind}{REPO}/user-access-request/handle"),
        ("POST", f"/api/{kind}{REPO}/user-access-request/batch"),
        ("POST", f"/api/{kind}{REPO}/user-access-request/grant"),
        ("POST", f"/api/{kind}{REPO}/user-access-request/cancel"),
        ("POST", f"{'/datasets' if kind == 'datasets' else ''}{REPO}/ask-access"),
        ("GET", f"{'/datasets' if kind == 'datasets' else ''}{REPO}/user-access-report"),
    )
} | {"GET /api/whoami-v2", "GET /api/users/{username}/overview", "GET /api/organizations/{name}/members"}


class Play:
    """One play with every access call of both clients, on a repo of each type, through a door that writes it down."""

    def __init__(self, hub: LocalHub, door: Recording) -> None:
        self.hub, self.door = hub, door
        self.is_old = False
        self.tokens = hub.tokens

    def raw(self, method: str, path: str, body: object = None, by: str = "owner") -> None:
        """A call that hf-gate never makes, for what the Hub answers to it."""
        connection = HTTPConnection(urlsplit(self.door.url).netloc, timeout=30)
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.tokens[by]}"} if by else {})
        connection.request(method, path, sent, headers)
        connection.getresponse().read()
        connection.close()

    def run(self) -> None:
        for line in self.hub.repos:
            self._client(line["repo"], line["repo_type"])
            asyncio.run(self._async_client(line["repo"], line["repo_type"]))
            self._answers(line["repo"], line["repo_type"])
        self._hidden(self.hub.repos[0]["repo"], self.hub.repos[0]["repo_type"])
        self._accounts({line["repo"].partition("/")[0] for line in self.hub.repos})

    def _client(self, repo: str, repo_type: str) -> None:
        where: dict[str, Any] = {"repo_type": repo_type}
        with Hub(self.tokens["owner"], self.door.url) as hub, Hub(self.tokens["stranger"], self.door.url) as stranger:
            for status in ("pending", "accepted", "rejected", *(() if self.is_old else ("reset",))):
                list(hub.list(repo, status, **where))
            one, two, three, four, *rest = list(hub.list_pending(repo, **where))
            hub.accept(repo, one, **where)
            hub.accept(repo, one.username, **where)
            hub.cancel(repo, user_id=str(one.person.id).upper(), **where)
            hub.reject(repo, two, reason="für ein anderes Mal 🙂", **where)
            if not self.is_old:
                hub.reset(repo, three, reason="say who you are", **where)
                hub.revoke_access(repo, three.username, how="reject", **where)
                list(hub.decide_many(repo, [Decision.reset(row, reason="again") for row in rest[5:7]], **where))
            hub.grant_access(repo, four, **where)
            hub.grant_access(repo, "ada-admin", **where)
            names = [Decision.accept(str(row.username)) for row in rest[:3]]
            list(
                hub.decide_many(
                    repo, [*names, Decision.reject(rest[3], reason="no"), Decision.accept("nobody-here")], **where
                )
            )
            for who, error in (("nobody-here", PersonNotFound), ("wim-writer", RequestNotFound)):
                with pytest.raises(error):
                    hub.accept(repo, who, **where)
            stranger.ask_access(repo, {"Why": "to learn", "☂": "on"}, **where)
            stranger.withdraw(repo, **where)
            hub.access_report(repo, **where)
            hub.set_gate(repo, "auto", **where)
            hub.set_gate(
                repo, "manual", org_members_gated=False, notify_email="gate@example.org", notify_mode="bulk", **where
            )  # fmt: skip
            hub.gate(repo, **where)
            hub.gate_form(repo, **where)
            list(hub.gated_repos(repo.partition("/")[0]))
            hub.whoami()
            hub.profile(str(one.username))

    async def _async_client(self, repo: str, repo_type: str) -> None:
        where: dict[str, Any] = {"repo_type": repo_type}
        async with AsyncHub(self.tokens["owner"], self.door.url) as hub:
            rows = [row async for row in hub.list_pending(repo, **where)]
            await hub.accept(repo, rows[-1], **where)
            [_ async for _ in hub.decide_many(repo, [Decision.cancel(rows[-1].person)], **where)]

    def _answers(self, repo: str, repo_type: str) -> None:
        """Pages, searches, and every way to be told no."""
        api = f"/api/{repo_type}s/{repo}"
        access = f"{api}/user-access-request"
        page = f"{'/datasets' if repo_type == 'dataset' else ''}/{repo}"
        for query in (
            "limit=10",
            "limit=10&after=2026-01-01T00:00:00.000Z",
            "before=2026-01-01T00:00:00Z",
            "limit=5",
            "q=a",
        ):
            self.raw("GET", f"{access}/accepted?{query}")
        self.raw("GET", f"{access}/bogus")
        for token in ("", "stranger", "reader", "owner_read", "fine_access", "fine_write", "fine_content"):
            self.raw("GET", f"{access}/pending", by=token)
            self.raw("POST", f"{access}/handle", {"user": "wim-writer", "status": "accepted"}, token)
            self.raw("GET", f"{page}/user-access-report", by=token)
        for body in (
            {},
            {"status": "x", "user": "a"},
            {"status": "accepted"},
            b"{",
            {"status": "accepted", "requests": []},
        ):
            for verb in ("handle", "batch", "grant"):
                self.raw("POST", f"{access}/{verb}", body)
        self.raw(
            "POST", f"{access}/batch", {"status": "pending", "requests": [{"user": "ada-admin"}, {"user": "no-one"}]}
        )
        self.raw("POST", f"{access}/cancel")
        self.raw("PUT", f"{api}/settings", {"gated": "sometimes"})
        self.raw("PUT", f"{api}/settings", {})
        self.raw("PUT", f"{api}/settings", {"visibility": "private"})
        self.raw("PUT", f"{api}/settings", {"private": False})
        self.raw("GET", f"{api}/settings")
        if not self.is_old:
            with Hub(self.tokens["owner"], self.door.url) as hub:
                row = next(iter(hub.list_accepted(repo, repo_type=repo_type)))
            self.raw("POST", f"{access}/batch", {"status": "pending", "requests": [{"requestId": row.request_id}]})
            self.raw("POST", f"{access}/batch", {"status": "accepted", "requests": [{"requestId": row.request_id}]})

    def _hidden(self, repo: str, repo_type: str) -> None:
        for key in ("hide_emails", "hide_usernames"):
            self.hub.control("POST", "settings", {"repo": repo, "repo_type": repo_type, key: True})
            self.raw("GET", f"/api/{repo_type}s/{repo}/user-access-request/accepted")
            self.raw("GET", f"/{'datasets/' if repo_type == 'dataset' else ''}{repo}/user-access-report")
        with Hub(self.tokens["owner"], self.door.url) as hub:
            rows = list(hub.list_pending(repo, repo_type=repo_type))
            if not self.is_old:
                list(hub.decide_many(repo, [Decision.accept(rows[0])], repo_type=repo_type))

    def _accounts(self, namespaces: set[str]) -> None:
        for token in self.tokens:
            self.raw("GET", "/api/whoami-v2", by=token)
        self.raw("GET", "/api/whoami-v2", by="")
        self.raw("GET", "/api/users/nobody-here/overview")
        for token in ("owner", "stranger"):
            for name in namespaces:
                self.raw("GET", f"/api/organizations/{name}/members?limit=10", by=token)
                self.raw("GET", f"/api/organizations/{name}/members?email=ada-admin@example.org", by=token)


def _played(protocol: str) -> list[Exchange]:
    with LocalHub(requests=240, repos=3, protocol=protocol, page_size=20) as hub, record_exchanges(hub.url) as door:
        play = Play(hub, door)
        play.is_old = protocol == "2026-08"
        play.run()
        return door.exchanges


@pytest.fixture(scope="module")
def of_august() -> list[Exchange]:
    return _played("2026-08")


@pytest.fixture(scope="module")
def of_october() -> list[Exchange]:
    return _played("2026-10-23")


def _paths() -> Any:
    return json.loads(shared_file(SUBSET).read_text("utf-8"))["paths"]


def _is_probe(exchange: Exchange) -> bool:
    """A client that looks for somebody cannot know how old a Hub is: it asks for one name, and after the reset list.

    An old Hub takes no notice of `q` and refuses `reset`, and both are taken for what they are.
    """
    parts = urlsplit(exchange.target)
    return exchange.is_ours and ("&q=" in parts.query or (parts.path.endswith("/reset") and exchange.status == 400))


def test_with_the_protocol_of_august_every_exchange_agrees_as_it_stands(of_august: list[Exchange]) -> None:
    assert list_faults(Spec(_paths()), [e for e in of_august if not _is_probe(e)]) == []


def test_what_is_left_out_of_that_are_questions_that_an_old_hub_ignores_or_refuses(of_august: list[Exchange]) -> None:
    probes = [exchange for exchange in of_august if _is_probe(exchange)]
    assert {(e.method, e.status, "/reset" in e.target) for e in probes} == {("GET", 200, False), ("GET", 400, True)}


def test_with_the_protocol_of_october_every_exchange_agrees_once_the_patch_is_applied(
    of_october: list[Exchange],
) -> None:
    assert list_faults(Spec(_paths(), PATCH), of_october) == []


@pytest.mark.parametrize("line", PATCH, ids=lambda line: f"{line['on'].rpartition('/')[2]}{line['at']}")
def test_each_line_of_the_patch_is_needed_and_names_its_source(
    line: dict[str, Any], of_august: list[Exchange], of_october: list[Exchange]
) -> None:
    assert line["source"].startswith("hub-protocol ")
    if line["at"].endswith("/required/-"):  # a promise, not a permission: an old Hub breaks it
        assert list_faults(Spec(_paths(), [line]), of_august)
    else:
        assert list_faults(Spec(_paths(), [other for other in PATCH if other != line]), of_october)


@pytest.mark.parametrize("protocol", ["of_august", "of_october"])
def test_every_gated_path_that_the_local_hub_has_was_tried_with_success(
    protocol: str, request: pytest.FixtureRequest
) -> None:
    spec = Spec(_paths(), PATCH)
    found = [spec.find(e) for e in request.getfixturevalue(protocol) if e.status < 400]
    assert {hit[0].name for hit in found if hit} >= COVERED
