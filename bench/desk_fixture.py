"""A desk with a large store that is filled without a Hub, and a client that requests its pages in this process."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hf_gate.config import Flags, read_settings
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.security import SecurityMiddleware
from hf_gate.store.rows.tray import list_waiting_decisions, undo_waiting_decisions
from hf_gate.store.store import Store
from hf_gate.workspace.service import bootstrap

from . import store as filling
from .desk import RULES, build_policy

ENDPOINT = "https://hub.example"  # never called
HOST = "127.0.0.1:7860"
OWNER = "lena"
_HOME = {"host": HOST, "sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}


class Answer(NamedTuple):
    """A response, its time at the server, and the computing time within it (ms)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float
    cpu: float


@contextmanager
def open_desk(
    folder: Path, count: int, repos: int, *, lends: bool = False
) -> Iterator[tuple[AppState, Authenticator, SecurityMiddleware]]:
    """Open the desk in this folder, after filling a new one. `lends`: other processes may write, as with a real desk."""
    is_new = not (folder / "desk.db").exists()
    if is_new:
        _write_config(folder, [])
        with _open_workspace(folder) as (_, store):
            _fill_store(store, count, repos)
            names = [str(row.repo) for row in store.repos()]
        _write_config(folder, names)
    with _open_workspace(folder, lends=lends) as (app_state, _):
        door = Authenticator(app_state)
        gc.collect()
        gc.freeze()  # as the server does at its start
        yield app_state, door, build_desk_app(app_state, door, frozenset({HOST}))


@contextmanager
def _open_workspace(folder: Path, *, lends: bool = False) -> Iterator[tuple[AppState, Store]]:
    settings = read_settings(Flags(endpoint=ENDPOINT, token="hf_bench", workspace=str(folder)), {}, folder)  # noqa: S106
    with (
        bootstrap.Connection(settings) as connection,
        bootstrap.connect_workspace(connection, bootstrap.read_location(settings), lends=lends) as workspace,
    ):
        yield AppState(workspace, OWNER, 600.0, f"http://{HOST}"), workspace.store


def _write_config(folder: Path, repos: list[str]) -> None:
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    named = ", ".join(repos) or "nobody/nothing"
    (folder / "hf-gate.yaml").write_text(f"version: 1\nrepos: [{named}]\npolicies: [policies/*.yaml]\n", "utf-8")
    # without ends, because the rows are not evaluated: each acceptance by key would ask for one
    rules = [line for line in build_policy().splitlines() if "until:" not in line]
    (folder / "policies" / "bench.yaml").write_text("\n".join([*rules, ""]).replace("REPOS", named), "utf-8")


def _fill_store(store: Store, count: int, repos: int) -> None:
    """Store each list as a first sync does, with verdicts by row number instead of an evaluation."""
    filling.sync(store, filling.iterate_pages(filling.read_patterns(min(count, 20_000), repos), count), 4)
    with store.writing() as write:
        db = write.db
        for number, (_, action, _) in enumerate(RULES, 1):
            db.run(
                "INSERT INTO verdicts (id, action, policy, rule, digest, shadow) VALUES (?, ?, 'bench', ?, ?, '[]')",
                (number, action, f"r{number:02}", "0" * 64),
            )
        db.run(
            "UPDATE requests SET verdict_id = 1 + (id * 7919) % ?, outcome = 'stay', evaluate_at = NULL WHERE status = 'pending' AND is_current",
            (len(RULES),),
        )
        db.run("DELETE FROM counters WHERE kind = 'cell'")
        db.run(
            "INSERT INTO counters (repo_id, kind, name, n) SELECT r.repo_id, 'cell',"
            " r.status || ' ' || coalesce(v.action, '-') || ' ' || coalesce(v.rule, '-'), count(*)"
            " FROM requests r LEFT JOIN verdicts v ON v.id = r.verdict_id WHERE r.is_current GROUP BY 1, 3"
        )
        db.run("UPDATE repos SET gated = 'manual', full_at = 1, is_complete = ? WHERE id > 0", (True,))


def empty_tray(app_state: AppState) -> None:
    """Undo the waiting decisions, so that the next run starts with an empty tray."""
    waiting = list_waiting_decisions(app_state.workspace.store)
    undo_waiting_decisions(app_state.workspace.store, [one.run.id for one in waiting])


# ---- client ----------------------------------------------------------------------------------------------------------


class Visitor:
    """Requests one page after the other on one event loop, as a server would."""

    def __init__(self, app: SecurityMiddleware, door: Authenticator) -> None:
        self._app, self._cookie = app, ""
        self._runner = asyncio.Runner()
        entered = self.get(f"/sign-in?t={door.make_link()}")
        if entered.status != 303:
            raise RuntimeError(f"signing in gave {entered.status}")
        self._cookie = entered.headers["set-cookie"].partition(";")[0]

    def close(self) -> None:
        self._runner.close()

    def get(self, path: str) -> Answer:
        """Return a page; raise RuntimeError for an error status."""
        return self._request("GET", path, b"")

    def post(self, path: str, values: Mapping[str, str]) -> Answer:
        return self._request("POST", path, urlencode(values).encode())

    def _request(self, method: str, path: str, body: bytes) -> Answer:
        start, computed = time.perf_counter(), time.process_time()
        status, headers, content = self._runner.run(_call_app(self._app, method, path, body, self._cookie))
        took, cpu = (time.perf_counter() - start) * 1000, (time.process_time() - computed) * 1000
        if status >= 400:
            raise RuntimeError(f"{method} {path} gave {status}")
        return Answer(status, headers, content, took, cpu)


async def _call_app(
    app: Callable[..., Awaitable[None]], method: str, path: str, body: bytes, cookie: str
) -> tuple[int, dict[str, str], bytes]:
    bare, _, query = path.partition("?")
    sent = _HOME | {"content-length": str(len(body)), "content-type": "application/x-www-form-urlencoded"}
    sent |= {"cookie": cookie} if cookie else {}
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": bare, "raw_path": bare.encode(),
        "query_string": query.encode(), "headers": [(n.encode(), v.encode()) for n, v in sent.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "root_path": "",
    }  # fmt: skip
    told: list[Any] = []
    whole = [body]

    async def receive() -> dict[str, Any]:
        if not whole:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": whole.pop(), "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - as ASGI has it
        told.append(message)

    await app(scope, receive, send)
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in told[0]["headers"]}
    return told[0]["status"], headers, b"".join(one.get("body", b"") for one in told[1:])
