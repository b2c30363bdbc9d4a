"""The desk for tests: served in this process and called directly, or run as a program and driven by Chromium."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlencode, urlsplit

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.config import Flags, read_settings
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.stored_rows import RequestRow
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.security import SecurityMiddleware
from hf_gate.desk.server import BoundedConnection
from hf_gate.members.sessions import SignInMethod
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.service.sync import sync_repo
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.rows.tray import list_waiting_decisions, schedule_decisions
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.testing import LocalHub
from hf_gate.workspace.service import bootstrap
from tests.kits.approvals import promote_files
from tests.kits.manual_clock import ManualClock
from tests.kits.members import add_long_standing_member
from tests.kits.program_server import program_words

if TYPE_CHECKING:
    from playwright.sync_api import Page  # not where the wheel is tested on other Pythons

HOST = "127.0.0.1:7860"
HOME = {"host": HOST, "sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}
POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say what you will use it for, {user}, then ask again.
  - id: academic
    when: email.academic
    then: accept
  - id: rest
    then: human
"""
STARTED = (sys.executable, "-m", "hf_gate")  # as a program of its own
GOOD = "Self-supervised encoders on resting-state recordings for my thesis; the data stay on our cluster."


# ---- in this process ---------------------------------------------------------------------------------------------------


_APART = ThreadPoolExecutor(2)  # the driver of a browser keeps an event loop in the thread of the tests


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str
    cookies: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rows(self) -> list[str]:
        """The requests of the table, in order."""
        return re.findall(r'<(?:tr|li)[^>]*\sdata-request-id="([0-9a-f]{24}|n\d+)"', self.body)


@dataclass
class Visitor:
    """A browser without a window: keeps cookies, sends what a page of the desk would send."""

    app: SecurityMiddleware
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, values: Mapping[str, str] | None = None, **headers: str) -> Answer:
        body = urlencode(values or {}).encode()
        return self.ask("POST", path, body, {"content-type": "application/x-www-form-urlencoded", **headers})

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        more = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        sent = {**HOME, "content-length": str(len(body)), **more}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name: value for name, value in sent.items() if value != "-"}  # "-": not sent at all
        answer = _APART.submit(asyncio.run, call_app(self.app, method, path, body, sent)).result()
        for name, value in answer.cookies.items():
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer


async def call_app(app: SecurityMiddleware, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    bare, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": unquote(bare), "raw_path": bare.encode(),
        "query_string": query.encode(), "headers": [(n.encode(), v.encode("latin-1")) for n, v in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "root_path": "",
    }  # fmt: skip
    told: list[Any] = []

    sent = [body]

    async def receive() -> dict[str, Any]:
        if not sent:
            await asyncio.Event().wait()  # a browser that stays says nothing more
        return {"type": "http.request", "body": sent.pop(), "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await app(scope, receive, send)
    start = told[0]
    text = b"".join(one.get("body", b"") for one in told[1:]).decode("utf-8", "replace")
    found = [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]]
    cookies = dict(value.split(";")[0].split("=", 1) for name, value in found if name == "set-cookie")
    return Answer(start["status"], dict(found), text, {n: v.strip('"') for n, v in cookies.items()})


@dataclass
class Desk:
    """A desk with its local Hub, completely read."""

    local: LocalHub
    app_state: AppState
    app: SecurityMiddleware
    authenticator: Authenticator
    repo: Repo
    follow_token: Callable[[], None] = lambda: None  # uses the token that its file holds now

    def visitor(self, member: Member | None = None) -> Visitor:
        """Somebody who is signed in: the owner, or a member who is added on the way."""
        visitor = Visitor(self.app)
        if member is None:
            assert visitor.get(f"/sign-in?t={self.authenticator.make_link()}").status == 303
            return visitor
        return self.sign_in(self.add_member(member), visitor)

    def add_member(self, member: Member) -> Member:
        """An account of the Hub with the member's name, which is made on the way, becomes a member."""
        account = member.account or member.name
        if account not in self.local.tokens:
            self.local.add_people([{"username": account}])
        return add_long_standing_member(self.app_state.membership, account, member.role, member.repos)

    def sign_in(self, member: Member, visitor: Visitor | None = None) -> Visitor:
        """A member whom the Hub named signs in."""
        visitor = visitor or Visitor(self.app)
        link = self.authenticator.make_link_of(member, SignInMethod.HUB, 60.0)
        assert visitor.post("/sign-in", {"link": link}).status == 303
        return visitor

    def remove(self, name: str) -> None:
        """Puts a member out."""
        membership = self.app_state.membership
        membership.remove(membership.find_named_member(name), membership.owner)

    def add_account(self, name: str, role: MemberRole, repos: tuple[str, ...] = ()) -> Member:
        """The owner makes a Hub account a member, or changes its role and repos."""
        membership = self.app_state.membership
        return membership.add(name, role, repos, by=membership.owner, by_account=membership.owner_id)

    def reviewer(self, name: str = "mia", *repos: str) -> Visitor:
        return self.visitor(Member(name=name, role=MemberRole.REVIEWER, repos=repos or None))

    def viewer(self, name: str = "vic") -> Visitor:
        return self.visitor(Member(name=name, role=MemberRole.VIEWER))

    def ask(self, people: Sequence[Mapping[str, str]], answers: Mapping[str, str], repo: Repo | None = None) -> None:
        """These people ask, and are read."""
        where = repo or self.repo
        self.local.add_people([person for person in people if person["username"] not in self.local.tokens])
        lines = [
            {"repo": where.id, "repo_type": where.type.value, "user": one["username"], "answers": dict(answers)}
            for one in people
        ]
        self.local.add_requests(lines)
        self.read()

    def ask_in_turn(self, repo: str, names: Sequence[str]) -> None:
        """These people of ethz.ch ask on the first days of June, one a day, with a good purpose."""
        for number, name in enumerate(names, 1):
            self.local.add_people([{"username": name, "email": f"{name}@ethz.ch"}])
            asked = {"repo": repo, "user": name, "answers": {"Purpose": GOOD}}
            self.local.add_requests([asked | {"asked_at": f"2026-06-{number:02d}T10:00:00.000Z"}])

    def read(self, kind: SyncKind = SyncKind.QUICK) -> None:
        """Read the Hub as the background worker does."""
        app_state = self.app_state
        for line in self.local.repos:
            repo = parse_repo(line["repo"], line["repo_type"])
            sync_repo(
                app_state.workspace.hub, app_state.workspace.store, app_state.workspace.clock, repo, kind, actor="lena"
            )

    def row(self, name: str) -> RequestRow:
        return self.app_state.workspace.store.find_by_identity(None, name)[0]

    def send_due(self) -> None:
        """The time of everything in the tray has come."""
        schedule_decisions(
            self.app_state.workspace.store,
            [one.run.id for one in list_waiting_decisions(self.app_state.workspace.store)],
            to_ms(self.app_state.now()),
        )
        self.app_state.tray_service.send_due(self.app_state.now())

    def count_writes(self) -> int:
        """How often the Hub was told something."""
        calls: Mapping[str, int] = self.local.stats()["calls"]
        return sum(n for name, n in calls.items() if name.startswith("POST"))


@contextmanager
def open_desk(folder: Path, policy: str | None = POLICY, config: str = "", **made: Any) -> Iterator[Desk]:
    """A desk at all repos of a local Hub made so. `config`: what `hf-gate.yaml` says besides.

    The desk's clock stands still: a test that wants time to pass advances `desk.app_state.workspace.clock`.
    """
    with LocalHub(**{"requests": 0, "repos": 1} | made) as local:
        write_desk(folder, local, policy, config)
        with open_existing_desk(folder, local) as desk:
            desk.read(SyncKind.FULL)
            if "reviewers" in (policy or ""):
                promote_files(desk.app_state.workspace)
            yield desk


@contextmanager
def open_existing_desk(
    folder: Path,
    local: LocalHub,
    environment: Mapping[str, str] | None = None,
    *,
    lends: bool = False,
    token_file: Path | None = None,
) -> Iterator[Desk]:
    """The desk of a workspace that exists. `lends`: another desk may write beside it."""
    token = local.tokens["owner"] if token_file is None else None
    place = None if token_file is None else str(token_file)
    flags = Flags(endpoint=local.url, token=token, token_file=place, workspace=str(folder))
    settings = read_settings(flags, environment or {}, folder)
    with (
        bootstrap.Connection(settings) as connection,
        bootstrap.connect_workspace(connection, bootstrap.read_location(settings), lends=lends) as workspace,
    ):
        workspace.clock = ManualClock(from_ms(to_ms(workspace.clock.now())))

        def follow_token() -> None:
            connection.follow_token(read_settings(flags, environment or {}, folder))
            workspace.use_settings(connection.settings)

        if token_file is not None:
            assert connection.account is not None  # as the command has asked before
            follow_token()
        app_state = AppState(workspace, "lena-brandt", 10.0, f"http://{HOST}", owner_id=workspace.hub.whoami().id)
        door = Authenticator(app_state)
        line = local.repos[0]
        app = build_desk_app(app_state, door, frozenset({HOST}))
        try:
            yield Desk(local, app_state, app, door, parse_repo(line["repo"], line["repo_type"]), follow_token)
        finally:
            app_state.close()


def write_desk(folder: Path, local: LocalHub, policy: str | None = POLICY, more: str = "") -> None:
    """The files of a desk at all repos of a Hub."""
    repos = [str(parse_repo(line["repo"], line["repo_type"])) for line in local.repos]
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "hf-gate.yaml").write_text(
        f"version: 1\nrepos: {json.dumps(repos)}\npolicies: [policies/*.yaml]\n{more}", "utf-8"
    )
    if policy is not None:
        (folder / "policies" / "house.yaml").write_text(policy, "utf-8")


@contextmanager
def serve_desk(desk: Desk, http: type[H11Protocol] = BoundedConnection) -> Iterator[str]:
    """The same desk on a port of this machine, without a reader of the Hub; its address."""
    app = cast("Any", build_desk_app(desk.app_state, desk.authenticator, None))
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none", http=http)
    server, socket = uvicorn.Server(config), config.bind_socket()
    socket.listen()  # whoever connects before the server has started waits
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class InterruptedStore:
    """A store before whose next write something else happens: two people act at once."""

    def __init__(self, store: Store, act: Callable[[], object]) -> None:
        self._store, self._acts = store, [act]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def writing(self, *, is_short: bool = False, wait: float | None = None) -> AbstractContextManager[Writer]:
        while self._acts:
            self._acts.pop()()
        return self._store.writing(is_short=is_short, wait=wait)


# ---- what a page says --------------------------------------------------------------------------------------------------


class _PageTexts(HTMLParser):
    """The elements of a page and the text within those that bear an id."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse_page(body: str) -> _PageTexts:
    found = _PageTexts()
    found.feed(body)
    return found


def all_keys(desk: Desk, query: str) -> list[str]:
    """The Hub's ids of the requests that a query matches, from the store."""
    app_state = desk.app_state
    page = app_state.workspace.store.query(parse_query(query), now=to_ms(app_state.now()), limit=1000)
    return [row.state.hub_request or "" for row in page.rows]


def text_of(body: str) -> str:
    """The text of a page, with single spaces."""
    return " ".join(" ".join(parse_page(body).text).split())


def links_of(body: str, part: str) -> dict[str, str]:
    """The addresses of the links of a part of the page, by their texts."""
    inside = re.search(rf'<(\w+)[^>]* (?:id|class)="{part}"[^>]*>.*?</\1>', body, re.DOTALL)
    assert inside, part
    found = re.findall(r'<a [^>]*?href="([^"]+)"[^>]*>(.*?)</a>', inside[0], re.DOTALL)
    return {text_of(text): unescape(href) for href, text in found}


# ---- as a program of its own -------------------------------------------------------------------------------------------


def find_chromium() -> str | None:
    """Where a Chromium is, best one without windows; `make test` brings it where it may (tools/chromium.sh)."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def origin_of(page: Page) -> str:
    """Where a browser is: the desk leads it from 127.0.0.1 to its private host name."""
    url = urlsplit(page.url)
    return f"{url.scheme}://{url.netloc}"


@dataclass
class DeskProgram:
    """`hf-gate ui` as it runs."""

    process: subprocess.Popen[str]
    pid: int
    url: str
    login_url: str

    def kill(self) -> None:
        """As a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def run_desk_program(
    folder: Path, local: LocalHub, hold: str | None = "10s", *more: str, start: Sequence[str] | None = None
) -> Iterator[DeskProgram]:
    """`hf-gate ui` at a desk that is written already. `start`: how the program is started, if not in a fork."""
    words = [
        *(start or program_words()),
        "ui",
        "--no-open",
        "--json",
        "--port",
        "0",
        *([] if hold is None else ["--hold", hold]),
        *more,
    ]
    env = os.environ | {"HF_ENDPOINT": local.url, "HF_TOKEN": local.tokens["owner"]}
    with (folder / "ui.err").open("a") as err:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=err, text=True)
    assert process.stdout is not None
    pid = process.pid
    try:
        line = process.stdout.readline()
        assert line, (folder / "ui.err").read_text()
        told = json.loads(line)
        pid = told["pid"]
        assert start is None or pid == process.pid
        yield DeskProgram(process, pid, told["url"], told["login_url"])
    finally:
        if process.poll() is None:
            os.kill(pid, signal.SIGKILL)  # not its client, which would not wait until the desk is gone
        process.wait()
        process.stdout.close()
