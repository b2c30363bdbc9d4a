"""`python -m bench.store [--requests N]`: measures sync, queries and verification of a store of invented requests."""

from __future__ import annotations

import argparse
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hf_gate import Hub
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.events.ledger import LedgerLink, verify_chain
from hf_gate.core.events.request_state import RecordUpdate, diff_record
from hf_gate.core.requests import AccessRequest
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.requests.query_parser import parse_query
from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from hf_gate.workspace.rows.opening import open_store

PAGE = 1000
ENDPOINT = "http://127.0.0.1:1"
_PATTERNS = 20_000
_ID = re.compile(rb'"(requestId|_id)":"([0-9a-f]{24})"')
_USER = re.compile(rb'"user":"([^"]+)"')


def read_patterns(requests: int = _PATTERNS, repos: int = 3) -> dict[tuple[Repo, str], list[bytes]]:
    """Return records of a seeded local Hub, by repo and list."""
    found: dict[tuple[Repo, str], list[bytes]] = {}
    with LocalHub(requests=requests, repos=repos, seed=7) as local, Hub(local.tokens["owner"], local.url) as hub:
        for row in local.repos:
            repo = parse_repo(row["repo"], row["repo_type"])
            for status in ("pending", "accepted", "rejected", "reset"):
                found[repo, status] = [one.raw_json for one in hub.list(repo, status)]
    return found


def iterate_pages(
    source: dict[tuple[Repo, str], list[bytes]], count: int
) -> Iterator[tuple[Repo, Sequence[AccessRequest]]]:
    """Iterate over pages of `count` records in total. Each pattern is repeated with other people."""
    rounds = -(-count // (whole := sum(map(len, source.values()))))
    for (repo, _), records in source.items():
        page: list[bytes] = []
        for turn in range(rounds):
            share = len(records) if turn < rounds - 1 else len(records) * (count - turn * whole) // whole
            for record in records[:share]:
                page.append(record if turn == 0 else vary_record(record, turn))
                if len(page) == PAGE:
                    yield repo, read_request_page(b"[" + b",".join(page) + b"]", repo, 1.0).rows
                    page = []
        if page:
            yield repo, read_request_page(b"[" + b",".join(page) + b"]", repo, 1.0).rows


def vary_record(record: bytes, turn: int) -> bytes:
    mark = b"%04x" % turn
    record = _ID.sub(lambda m: b'"%s":"%s%s%s"' % (m[1], m[2][:12], mark, m[2][16:]), record)
    return _USER.sub(lambda m: b'"user":"%s%d"' % (m[1], turn), record, count=1)


def sync(store: Store, source: Iterator[tuple[Repo, Sequence[AccessRequest]]], group: int) -> dict[str, float]:
    """Store all records as a full sync does, `group` pages in a transaction; return seconds by part."""
    waiting: list[tuple[Repo, list[RecordUpdate]]] = []

    def write() -> None:
        start = time.perf_counter()
        if waiting:
            with store.writing() as write:
                for repo, seen in waiting:
                    write.observe(repo, seen, 1_800_000_000_000)
        waiting.clear()
        took = time.perf_counter() - start
        spent["observe"] += took
        spent["slowest"] = max(spent["slowest"], took)

    spent = {"decode": 0.0, "known": 0.0, "news": 0.0, "observe": 0.0, "records": 0.0, "slowest": 0.0}
    last = time.perf_counter()
    for repo, page in source:
        spent["decode"] += time.perf_counter() - last
        start = time.perf_counter()
        known = store.latest_attempts(repo, page)
        spent["known"] += time.perf_counter() - start
        start = time.perf_counter()
        seen = [new for request, one in zip(page, known, strict=True) if (new := diff_record(one, request)) is not None]
        spent["news"] += time.perf_counter() - start
        if seen:
            waiting.append((repo, seen))
        if len(waiting) == group:
            write()
        spent["records"] += len(page)
        last = time.perf_counter()
    write()
    return spent


def time_calls(times: int, act: Callable[[int], object]) -> tuple[float, float, float]:
    """Return median, 95th percentile and maximum of the calls, in milliseconds."""
    took = []
    for index in range(times):
        start = time.perf_counter()
        act(index)
        took.append((time.perf_counter() - start) * 1000)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.95)], took[-1]


def verify_entries(links: Iterator[LedgerLink]) -> int:
    """Verify a chain and return its number of entries."""
    (last,) = verify_chain(links)
    return last.seq


def read_peak_memory() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--at", type=Path, help="keep the store in this folder")
    parser.add_argument("--group", type=int, default=1, help="pages in a transaction")
    parser.add_argument("--postgres", help="URL of an empty database to use instead of a file")
    asked = parser.parse_args(args)
    random.seed(7)
    source = read_patterns()
    before = read_peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        place = asked.postgres or (asked.at or Path(folder)) / "desk.db"
        with open_store(place, endpoint=ENDPOINT) as store:
            measure(store, source, asked.requests, asked.group)
        print(
            f"memory     {read_peak_memory():.0f} MB at most, of which {before:.0f} MB the invented records and the local Hub"
        )
        if isinstance(place, Path):
            size = sum(file.stat().st_size for file in place.parent.iterdir())
            print(f"size       {size / asked.requests:.0f} B per request")
            time_cold_open(place)
    return 0


def measure(store: Store, source: dict[tuple[Repo, str], list[bytes]], count: int, group: int) -> None:
    """Measure a store and print a line for each figure."""
    for name in ("first", "again"):
        start = time.process_time()
        spent = sync(store, iterate_pages(source, count), group)
        total = sum(spent[part] for part in ("known", "news", "observe"))
        parts = ", ".join(f"{part} {spent[part] / spent['records'] * 1e6:.1f}" for part in ("known", "news", "observe"))
        spent["cpu"] = time.process_time() - start
        print(
            f"{name:10} {spent['records']:.0f} records in {total:.1f} s ({parts} us a record;"
            f" slowest page {spent['slowest'] * 1000:.0f} ms), decoding them {spent['decode']:.1f} s; CPU {spent['cpu']:.1f} s"
        )
    for name, texts in (("query", QUERIES), ("search", SEARCHES)):
        asked = time_queries(store, texts)
        print(f"{name:10} median {asked.median:.1f} ms, p95 {asked.p95:.1f} ms; slowest: {asked.slow}")
    start = time.perf_counter()
    rows = sum(1 for row in store.repos() for _ in store.iterate_requests(row.repo, "pending"))
    print(f"walk       {rows / (time.perf_counter() - start):.0f} rows/s")
    start = time.perf_counter()
    entries = sum(verify_entries(store.links(chain)) for chain in store.chains())
    print(f"verify     {(time.perf_counter() - start) / entries * 1e6:.1f} s per million entries")


NOW = 1_795_600_000_000
QUERIES = (
    "", "status:pending", "status:pending age:>2d", "repo:datasets/tidewater-audio/harbour-voices status:pending",
    "repo:lantern-7b-chat status:accepted,reset", "status:pending asked:<2026-10-01", "-status:pending age:>30d",
)  # fmt: skip
SEARCHES = (
    "research", "lovelace", "jorgemccoy1985", "noise suppression", "university", "清华", "大学", "李", "москва",
    "user:jorge*", "email:*@gmail.com", "domain:mit.edu", "domain:*.edu", 'form."Country":TR', "answer:*suppression*",
    "status:pending robot", "nothingatall", "qzx",
)  # fmt: skip


class QueryTimes(NamedTuple):
    """Milliseconds of pages of queries; `slow` names the slowest queries."""

    median: float
    p95: float
    slow: str


def time_queries(store: Store, texts: Sequence[str]) -> QueryTimes:
    """Time the first ten pages of 50 for each query, in both orders."""
    took: dict[str, float] = {}
    all_took: list[float] = []
    for text in texts:
        query, worst = parse_query(text), 0.0
        for newest_first in (True, False):
            cursor = None
            for _ in range(10):
                start = time.perf_counter()
                page = store.query(query, now=NOW, newest_first=newest_first, cursor=cursor)
                all_took.append((time.perf_counter() - start) * 1000)
                worst = max(worst, all_took[-1])
                cursor = page.next
                if cursor is None:
                    break
        took[text] = worst
    all_took.sort()
    slow = ", ".join(f"{text!r} {ms:.0f}" for text, ms in sorted(took.items(), key=lambda item: -item[1])[:4])
    return QueryTimes(all_took[len(all_took) // 2], all_took[int(len(all_took) * 0.95)], slow)


def time_cold_open(place: Path) -> None:
    """Time a process that opens the store and reads the first rows."""
    code = (
        "from hf_gate.workspace.rows.opening import open_store\n"
        f"with open_store({str(place)!r}, endpoint={ENDPOINT!r}, read_only=True) as store:\n"
        "    row = store.repos()[0]\n"
        "    next(iter(store.iterate_requests(row.repo, 'pending')))\n"
    )
    median, _, worst = time_calls(5, lambda _: subprocess.run([sys.executable, "-c", code], check=True))
    print(f"cold open  {median:.0f} ms, worst {worst:.0f} ms, Python included")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
