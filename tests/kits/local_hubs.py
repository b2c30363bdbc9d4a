"""A small local Hub without a server, and calls to a running one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import HfApi

from hf_gate import AccessRequest, Hub
from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.lifecycle import Status
from hf_gate.localhub.faults import FaultSet
from hf_gate.localhub.handlers.dispatch import answer_call, find_call
from hf_gate.localhub.handlers.files import commit_files
from hf_gate.localhub.http_messages import PLAIN_VIEW, HttpRequest, HttpResponse, ReadView
from hf_gate.localhub.population.seeding import make_id
from hf_gate.localhub.records import HubAccount, HubRepo, HubToken, StoredRequest
from hf_gate.localhub.world import World
from hf_gate.testing import LocalHub

PENDING = Status.PENDING
T0 = 1_790_000_000_000
REPO = "acme/model"
ACCESS = "/api/models/acme/model/user-access-request"


@dataclass
class LocalHubKit:
    """A gated model of an organisation, its staff, three requesters, and a clock that advances by 1 s with each call."""

    world: World = field(default_factory=lambda: World(7, "w" * 32))
    now_ms: int = T0

    def __post_init__(self) -> None:
        for name in ("ona", "ada", "wim", "rosa", "kit", "bea", "Cleo", "dan"):
            self.world.add_account(HubAccount(make_id(name, T0 - 10**10), name, name.title(), f"{name}@example.org"))
            self.token(name)
        org = self.world.add_org(HubAccount(make_id("acme", T0 - 10**10), "acme", "Acme", kind="org"))
        names = {"ona": "admin", "ada": "admin", "wim": "write", "rosa": "read", "kit": "contributor"}
        org.roles.update({self.world.names[name].id: role for name, role in names.items()})
        self.gated = self.add_repo(RepoType.MODEL, "model")

    def add_repo(self, of: RepoType, name: str) -> HubRepo:
        repo = Repo(of, "acme", name)
        made = HubRepo(repo, make_id(str(repo), T0), self.world.names["ona"], T0 - 10**9, gated="manual")
        card = b"---\nlicense: mit\n---\n# Model\n"
        commit_files(made, {"README.md": card, "config.json": b"{}", "sub/a.bin": b"123"}, "initial", T0 - 10**9)
        return self.world.add_repo(made)

    def token(self, name: str, role: str = "write", *permissions: str, label: str = "") -> str:
        secret = f"hf_local_{label or name}_7"
        self.world.add_token(
            HubToken(label or name, secret, self.world.names[name.lower()], role, frozenset(permissions), T0)
        )
        return secret

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = "ona",
        view: ReadView = PLAIN_VIEW,
        headers: Any = None,
    ) -> HttpResponse:
        self.now_ms += 1000
        return answer_call(self.world, self.build_request(method, path, body, by=by, view=view, headers=headers))

    def build_request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = "ona",
        view: ReadView = PLAIN_VIEW,
        headers: Any = None,
    ) -> HttpRequest:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = dict(headers or {}) | ({"authorization": f"Bearer hf_local_{by}_7"} if by else {})
        path, _, query = path.partition("?")
        return HttpRequest(method, path, query, sent, raw, self.now_ms, "http://hub.test", view)

    def call_with_faults(
        self, faults: FaultSet, method: str, path: str, body: Any = None, *, by: str | None = "ona"
    ) -> HttpResponse:
        """Answer a call with faults like the server, but without delays."""
        self.now_ms += 1000
        asked = self.build_request(method, path, body, by=by)
        plan = faults.plan_call(asked, find_call(asked), self.world)
        answered = plan.replacement or answer_call(self.world, plan.request, plan.call)
        if plan.replacement is None:
            for change in plan.changes:
                answered = change(answered)
        return answered

    def ask(self, by: str, answers: dict[str, str] | None = None, repo: str = REPO) -> HttpResponse:
        return self.call("POST", f"/{repo}/ask-access", answers or {}, by=by)

    def decide(self, user: str, status: str, **more: str) -> HttpResponse:
        return self.call("POST", f"{ACCESS}/handle", {"user": user, "status": status, **more})

    def list_rows(self, status: str, query: str = "", view: ReadView = PLAIN_VIEW) -> list[dict[str, Any]]:
        answered = self.call("GET", f"{ACCESS}/{status}{query}", view=view)
        assert answered.status == 200, answered.body
        rows: list[dict[str, Any]] = json.loads(answered.body)
        return rows

    def add_pending(self, count: int, *, tied: bool = False) -> list[StoredRequest]:
        """Add pending requests of new people, a second apart or all in one millisecond."""
        for n in range(count):
            name = f"person-{n:04}"
            account = self.world.add_account(HubAccount(make_id(name, T0), name, f"Person {n}", f"{name}@example.org"))
            at = T0 if tied else T0 + n * 1000
            self.world.add_request(
                self.gated, StoredRequest(self.world.new_id(at), account, PENDING, at), at, "ask", name
            )
        return list(self.gated.lists[PENDING])


def read_error(answered: HttpResponse) -> tuple[int, str, str | None]:
    return answered.status, json.loads(answered.body)["error"], answered.headers.get("X-Error-Code")


class FetchedAnswer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


def fetch(hub: LocalHub, method: str, path: str, body: object = None, **headers: str) -> FetchedAnswer:
    connection = HTTPConnection(urlsplit(hub.url).netloc, timeout=20)
    sent = {"content-type": "application/json", "authorization": f"Bearer {hub.tokens['owner']}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, None if body is None else json.dumps(body), sent)
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return FetchedAnswer(
        response.status, {k.lower(): v for k, v in response.headers.items()}, json.loads(raw) if is_json else raw
    )


def repo_of(hub: LocalHub) -> str:
    """The first repo of a Hub."""
    return str(hub.repos[0]["repo"])


def owner_of(hub: LocalHub) -> HfApi:
    """The client of a Hub's owner."""
    return HfApi(endpoint=hub.url, token=hub.tokens["owner"])


def accept(hub: LocalHub, user: str) -> None:
    """Let a person ask for the first repo, and accept the request."""
    hub.add_requests([{"repo": repo_of(hub), "user": user}])
    owner_of(hub).accept_access_request(repo_of(hub), user)


REQUESTERS = [
    {"username": name, "fullname": name.title(), "email": f"{name}@example.org"}
    for name in ("ada", "bob", "cem", "dora", "eve")
]


@dataclass
class OneRepoHub:
    """A local Hub with one repo to work on, and clients for it."""

    local: LocalHub
    repo: str
    owner: Hub

    def ask(self, *names: str, **answers: str) -> None:
        """Make requests of these people."""
        self.local.add_requests([{"repo": self.repo, "user": name, "answers": answers} for name in names])

    def request(self, name: str, status: str = "pending") -> AccessRequest:
        """Return one person's request from the lists."""
        return next(r for r in self.owner.list(self.repo, status) if r.username == name)

    def status(self, name: str) -> str | None:
        """Return the current status of a person."""
        for status in ("pending", "accepted", "rejected", "reset"):
            if any(r.username == name for r in self.owner.list(self.repo, status)):
                return status
        return None

    def moves(self) -> list[tuple[Any, Any, Any]]:
        """Return all changes of status, from the local Hub's journal."""
        return [(m["user"], m["from"], m["to"]) for m in self.local.journal() if m["from"] is not None]

    def calls(self, *names: str) -> int:
        """Return the number of calls of these kinds."""
        return sum(self.local.stats()["calls"].get(name, 0) for name in names)
