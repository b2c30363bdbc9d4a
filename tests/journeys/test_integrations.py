"""The programs of docs/integrations.md do what the page says, also when they are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from hf_gate.base.ids import RepoType
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.core.records import EventRecord
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.messages.channels.webhook import Webhook
from hf_gate.store.rows.event_feed import GENERATION, read_events
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.desk import Desk, open_desk, serve_desk
from tests.kits.doc_pages import read_blocks
from tests.kits.key_calls import give_key
from tests.kits.message_servers import HOOK_KEY
from tests.kits.notice_workspace import configure, console, hook, run_once

__all__ = ["console", "hook"]

PAGE: Final = "docs/integrations.md"
EVENTS: Final = 10_000
KILLS: Final = 10
_EVENT: Final = EventRecord(
    id="acme/x#1",
    at="2026-12-01T00:00:00.000Z",
    kind="SyncEnded",
    actor="outside",
    repo="acme/x",
    repo_type=RepoType.MODEL,
    request=None,
    text="",
    body={},
    cursor="0-1-",
    hash="ff",
    commitment=None,
)


def write_program(name: str, folder: Path) -> Path:
    """A program of the page, as its reader keeps it."""
    (block,) = [block for block in read_blocks(PAGE) if block.mark == f"file {name}"]
    path = folder / name
    path.write_text(block.text + "\n", "utf-8")
    return path


def _add_events(desk: Desk, first: int, count: int) -> None:
    entries: Sequence[LedgerEntry] = [
        LedgerEntry(event=e.SyncEnded(complete=True, counts={"pending": n}), at=n, actor="lena-brandt")
        for n in range(first, first + count)
    ]
    with desk.app_state.workspace.store.writing() as write:
        write.append(desk.repo, entries)


def _start_consumer(program: Path, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", program.name],
        cwd=program.parent,
        env=os.environ | {"DESK_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_consumer_killed_ten_times_misses_nothing_and_applies_nothing_twice(desk: Desk, tmp_path: Path) -> None:
    program = write_program("consumer.py", tmp_path)
    (tmp_path / "billing.key").write_text(f"{give_key(desk, 'reader', 'events', repos=None)}\n")
    _add_events(desk, 0, EVENTS // 2)
    with serve_desk(desk) as url:
        for kill in range(KILLS):
            with _start_consumer(program, url) as consumer:
                assert consumer.stdout is not None
                for _ in range(1 + kill % 3):  # pages; then it is in the middle of the next one
                    assert consumer.stdout.readline() == "100\n"
                os.kill(consumer.pid, signal.SIGKILL)
            _add_events(desk, EVENTS // 2 + kill * EVENTS // 20, EVENTS // 20)
        with _start_consumer(program, url) as consumer:
            assert consumer.stdout is not None
            assert consumer.stdout.read().splitlines()[0] == "100"
        assert consumer.returncode == 0
    store = desk.app_state.workspace.store
    hashes, kinds, cursor = list[str](), Counter[str](), None
    while page := read_events(store, cursor, 500, TimelineFilter()):
        hashes += [link.hash.hex() for link, _ in page.entries]
        kinds.update(link.kind for link, _ in page.entries)
        cursor = page.next
        if not page.has_more:
            break
    assert kinds["SyncEnded"] >= EVENTS
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        assert [row[0] for row in db.execute("SELECT hash FROM applied ORDER BY rowid")] == hashes
        assert dict(db.execute("SELECT kind, n FROM counts")) == kinds


def test_a_receiver_applies_each_event_of_each_turn_once_and_refuses_what_is_not_signed(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = write_program("receiver.py", tmp_path)
    environment = os.environ | {"SHOP_KEY": HOOK_KEY, "PORT": "0"}
    (example,) = [block.text for block in read_blocks(PAGE) if block.language == "yaml"]
    configure(tmp_path, f"{example}\n")
    command = [sys.executable, program.name]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            assert receiver.stdout is not None
            url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/"
            monkeypatch.setenv("SHOP_URL", url)
            monkeypatch.setenv("SHOP_KEY", HOOK_KEY)
            run_once(console)  # from now on
            request_access(console.hub, ["bob99", "chen-w"], DATASET)
            run_once(console)
            message = OutgoingMessage(
                schema_version=1,
                id="n_1",
                sequence=1,
                event="audit_log",
                is_alarm=False,
                made_at="2026-12-01T00:00:00.000Z",
                hub="",
                workspace=None,
                subject="",
                items=(),
                events=(_EVENT,),
            )
            now = from_ms(int(console.hub.clock.now() * 1000))
            genuine = Webhook("shop", url, HOOK_KEY)
            assert [genuine.send(message, now).kind for _ in range(2)] == ["delivered", "delivered"]
            forged = replace(message, id="n_2", events=(replace(_EVENT, hash="f0"),))
            assert Webhook("shop", url, f"{HOOK_KEY}!").send(forged, now).problem == "the receiver answered 401"
            assert genuine.send(forged, now - timedelta(minutes=6)).problem == "the receiver answered 401"
        finally:
            receiver.terminate()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db:
        found = {row[0].hex(): row[1] for row in db.execute("SELECT hash, kind FROM ledger")}
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        applied = [row[0] for row in db.execute("SELECT hash FROM applied ORDER BY rowid")]
    assert applied.pop() == _EVENT.hash
    assert [found[each] for each in applied].count("RequestSeen") == 2
    assert len(applied) == len(set(applied))


def test_a_consumer_of_a_store_made_anew_misses_none_of_its_events(desk: Desk, tmp_path: Path) -> None:
    program = write_program("consumer.py", tmp_path)
    expected = 0
    with open_desk(tmp_path / "anew") as anew:
        for number, one in enumerate((desk, anew)):  # the names of their entries are the same
            (tmp_path / "billing.key").write_text(give_key(one, "reader", "events", repos=None))
            _add_events(one, number * 1000, 5)
            with serve_desk(one) as url, _start_consumer(program, url) as consumer:
                consumer.wait(60)
            assert consumer.returncode == 0
            expected += one.app_state.workspace.store.reads.count("SELECT count(*) FROM ledger")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        assert sum(row[0] for row in db.execute("SELECT n FROM counts")) == expected


def test_a_consumer_of_a_restored_store_starts_again_and_skips_what_it_knows(desk: Desk, tmp_path: Path) -> None:
    program = write_program("consumer.py", tmp_path)
    (tmp_path / "billing.key").write_text(give_key(desk))
    _add_events(desk, 0, 5)
    counts = []
    with serve_desk(desk) as url:
        for generation in ("a1", "b2"):
            with desk.app_state.workspace.store.writing() as write:
                write.write_setting(GENERATION, generation)
            with _start_consumer(program, url) as consumer:
                consumer.wait(60)
            assert consumer.returncode == 0
            with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
                counts.append(dict(db.execute("SELECT kind, n FROM counts")))
    assert counts[0] == counts[1]
    assert counts[0]["SyncEnded"] >= 5
