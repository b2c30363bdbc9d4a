"""Measures a desk that 20 reviewers use at once, each with a page and a decision every 6 s, while a sync writes.

The desk runs in a process of its own, as `hf-gate ui` does; the reviewers are connections of this process.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import httpx2
import uvicorn

from hf_gate.core.stored_rows import count_pending
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.decisions.evaluation_process import EvaluationProcess
from hf_gate.desk.server import BoundedConnection
from hf_gate.errors import HfGateError
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.members.sessions import SignInMethod
from hf_gate.store.rows.tray import list_waiting_decisions
from hf_gate.store.store import Store
from tests.kits.members import store_member

from . import store as filling
from .desk_fixture import empty_tray, open_desk
from .results import Row, is_met_if_large, percentile_95, target_if_large
from .sizes import Sizes

KEY: Final = "web-reviewers"
EVALUATING_KEY: Final = "web-reviewers-new"
_REVIEWERS, _EVERY_S, _MOST_MS = 20, 6.0, 100
_IDLE_S: Final = 2.0  # a connection of a reviewer is kept for so long, less than the 5 s of the desk: else it may be closed under a request
_SYNCED_A_SECOND: Final = 500  # new and changed records that the sync stores meanwhile
_ACCEPT: Final = re.compile(r'name="accept" value="([^"]+)"')


@dataclass
class Visits:
    """The answers that all reviewers got: milliseconds of pages and of decisions, decisions taken, and what was refused."""

    pages: list[float] = field(default_factory=list)
    decisions: list[float] = field(default_factory=list)
    decided: int = 0
    refused: list[str] = field(default_factory=list)


def measure_reviewers(folder: Path, sizes: Sizes, *, is_evaluating: bool = False) -> Row:
    """Measure with the store of this folder, which is filled if it is new. `is_evaluating`: during its first evaluation."""
    count, began = sizes.desk_requests, time.monotonic()
    with _serve_apart(folder, count, is_evaluating=is_evaluating) as (process, url, links, terms):
        visits = asyncio.run(_visit(url, links, sizes.reviewer_rounds, terms))
        told = _end(process)
    lost = visits.decided - told["waiting"]
    page, decision = percentile_95(visits.pages), percentile_95(visits.decisions)
    meanwhile = (
        "all requests are evaluated for the first time"
        if is_evaluating
        else f"a sync stores {_SYNCED_A_SECOND} records a second"
    )
    return Row(
        EVALUATING_KEY if is_evaluating else KEY,
        f"{_REVIEWERS} reviewers, a page and a decision each {_EVERY_S:g} s, while {meanwhile}: page and decision, 95th percentile",
        f"{page:.0f} ms and {decision:.0f} ms; {len(visits.pages):,} pages, {len(visits.decisions):,} decisions,"
        f" {len(visits.refused)} errors, {lost} lost",
        target=target_if_large(count, f"<= {_MOST_MS} ms, no error, none lost"),
        is_met=is_met_if_large(count, max(page, decision) <= _MOST_MS) and not visits.refused and not lost,
        why=f"{told['synced']:,} records were stored or evaluated in {time.monotonic() - began:.0f} s. First error:"
        f" {visits.refused[0]}" if visits.refused else "The desk, its sync and the reviewers share two cores.",
    )  # fmt: skip


# ---- reviewers -----------------------------------------------------------------------------------------------------------


async def _visit(url: str, links: Sequence[str], rounds: int, terms: Sequence[str]) -> Visits:
    visits = Visits()
    begin = asyncio.get_running_loop().time() + 1.0
    await asyncio.gather(*(
        _review(url, link, begin + _EVERY_S * number / len(links), rounds, terms[number], visits)
        for number, link in enumerate(links)
    ))  # fmt: skip
    return visits


async def _review(url: str, link: str, begin: float, rounds: int, term: str, visits: Visits) -> None:
    """One reviewer, who accepts one request after the other of those that match a term."""
    loop = asyncio.get_running_loop()
    headers = {"sec-fetch-site": "same-origin", "origin": url}
    limits = httpx2.Limits(keepalive_expiry=_IDLE_S)
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60.0) as client:
        entered = await client.post("/sign-in", data={"link": link})
        if entered.status_code != httpx2.codes.SEE_OTHER:
            raise RuntimeError(f"signing in gave {entered.status_code}")
        for turn in range(rounds):
            await asyncio.sleep(max(0.0, begin + turn * _EVERY_S - loop.time()))
            answer, took = await _time(client.get(f"/queue?q={quote_plus(f'status:pending {term}')}"))
            visits.pages.append(took)
            found = _ACCEPT.findall(answer.text)
            if answer.status_code != httpx2.codes.OK or not found:
                visits.refused.append(f"the queue gave {answer.status_code} with {len(found)} requests")
                continue
            answer, took = await _time(client.get(f"/requests/{found[0].partition(':')[0]}"))
            visits.pages.append(took)
            answer, took = await _time(client.post("/tray", data={"accept": found[0]}))
            visits.decisions.append(took)
            if answer.status_code == httpx2.codes.SEE_OTHER:
                visits.decided += 1
            else:
                visits.refused.append(f"a decision gave {answer.status_code}")


async def _time(call: Any) -> tuple[httpx2.Response, float]:  # noqa: ANN401 - an awaitable response
    start = time.perf_counter()
    answer = await call
    return answer, (time.perf_counter() - start) * 1000


# ---- the desk ------------------------------------------------------------------------------------------------------------


@contextmanager
def _serve_apart(
    folder: Path, count: int, *, is_evaluating: bool
) -> Iterator[tuple[subprocess.Popen[str], str, list[str], list[str]]]:
    command = [sys.executable, "-m", "bench.reviewers", str(folder), str(count), *["evaluate"] * is_evaluating]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = json.loads(process.stdout.readline() if process.stdout else "")
            yield process, told["url"], told["links"], told["terms"]
        finally:
            process.kill()


def _end(process: subprocess.Popen[str]) -> dict[str, int]:
    """Let the desk end, and return how many decisions wait in its store and how many records its sync stored."""
    told, _ = process.communicate(timeout=600)
    found: dict[str, int] = json.loads(told)
    return found


def serve(folder: Path, count: int, *, is_evaluating: bool) -> None:
    """Serve a desk until stdin ends. Prints its address and sign-in links, at the end what its store holds.

    With `is_evaluating`, it evaluates all requests as a new desk does, else it stores what a sync brings.
    """
    with open_desk(folder, count, 50, lends=is_evaluating) as (app_state, door, _):
        members = [store_member(app_state.workspace.store, f"reviewer-{number}") for number in range(_REVIEWERS)]
        links = [door.make_link_of(member, SignInMethod.HUB, 600.0) for member in members]
        before = len(list_waiting_decisions(app_state.workspace.store))
        config = uvicorn.Config(
            build_desk_app(app_state, door, None),
            port=0,
            lifespan="off",
            log_config=None,
            ws="none",
            http=BoundedConnection,
        )
        server, socket = uvicorn.Server(config), config.bind_socket()
        socket.listen()
        stop, synced = threading.Event(), list[int]()
        evaluation = EvaluationProcess(app_state.workspace)
        threads = [
            threading.Thread(target=server.run, kwargs={"sockets": [socket]}),
            threading.Thread(target=_evaluate, args=(app_state, evaluation, stop, synced))
            if is_evaluating
            else threading.Thread(target=_sync, args=(app_state.workspace.store, stop, synced)),
        ]
        for thread in threads:
            thread.start()
        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        repos = sorted(app_state.workspace.store.repos(), key=lambda row: -row.counts.get("pending", 0))
        terms = (
            [f"repo:{row.repo}" for row in repos[:_REVIEWERS]]
            if is_evaluating
            else [f"rule:r{n:02}" for n in range(1, _REVIEWERS + 1)]
        )
        print(json.dumps({"url": url, "links": links, "terms": terms}), flush=True)
        sys.stdin.read()
        stop.set()
        evaluation.stop()  # the first evaluation of a million takes longer than the reviewers
        server.should_exit = True
        for thread in threads:
            thread.join()
        waiting = len(list_waiting_decisions(app_state.workspace.store)) - before
        empty_tray(app_state)
        print(json.dumps({"waiting": waiting, "synced": sum(synced)}), flush=True)


def _evaluate(app_state: AppState, evaluation: EvaluationProcess, stop: threading.Event, evaluated: list[int]) -> None:
    """Evaluate everything again as the background worker of a new desk does. It ends early if it is stopped."""
    store, bundle = app_state.workspace.store, app_state.policies.current
    if bundle is None:
        raise RuntimeError("the policies cannot be read")
    with store.writing() as write:
        write.db.run("DELETE FROM evaluated_lists")
    try:
        evaluation.evaluate(bundle, app_state.now(), is_new=True)
    except HfGateError:
        if not stop.is_set():
            raise
    lists = {ident for (ident,) in store.reads.rows("SELECT repo_id FROM evaluated_lists WHERE status = 'pending'")}
    evaluated.append(count_pending([row for row in store.repos() if row.id in lists]))


def _sync(store: Store, stop: threading.Event, synced: list[int]) -> None:
    """Store pages of new records, at a steady rate, as a sync does."""
    known = {row.repo for row in store.repos()}
    source = {key: rows for key, rows in filling.read_patterns(20_000, 50).items() if key[0] in known}
    mark = secrets.randbelow(40_000)
    while not stop.is_set():
        mark = (mark + 1) % 65_536
        for (repo, _), records in source.items():
            renewed = [filling.vary_record(record, mark) for record in records[:_SYNCED_A_SECOND]]
            page = read_request_page(b"[" + b",".join(renewed) + b"]", repo, 1.0).rows
            filling.sync(store, iter([(repo, page)]), 1)
            synced.append(len(page))
            if stop.wait(len(page) / _SYNCED_A_SECOND):
                return


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), is_evaluating="evaluate" in sys.argv[3:])
