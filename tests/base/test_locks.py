"""Locks between processes are held while the process lives and free after it was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hf_gate.base.locks import ProcessLock, is_held, read_announcement
from hf_gate.errors import StoreBusy, StoreUnavailable
from hf_gate.store.leases import LEASE_S, hold_work_lock
from hf_gate.store.removal import files_of
from hf_gate.store.write_lock import FileLock, Holder, Work
from hf_gate.workspace.service import bootstrap
from tests.kits.stores import place

__all__ = ["place"]

_HOLD = """
import sys
from pathlib import Path
from hf_gate.workspace.service import bootstrap

with bootstrap.publish_process(Path(sys.argv[1]), {"url": "http://127.0.0.1:1"}):
    print("announced", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _announcing(path: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "announced\n"
            yield child
        finally:
            child.kill()


def test_an_announcement_is_valid_until_its_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "desk.json"
    with _announcing(path) as child:
        found = read_announcement(path)
        assert found is not None
        assert (found["url"], found["pid"]) == ("http://127.0.0.1:1", child.pid)
        child.communicate(timeout=20)
    assert read_announcement(path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_looked_at_may_be_held_and_makes_no_announcement_valid(tmp_path: Path) -> None:
    lock, path = tmp_path / "desk.json.0123abcd.lock", tmp_path / "desk.json"
    lock.symlink_to(lock)
    path.write_text(json.dumps({"url": "http://127.0.0.1:1", "lock": lock.name}), "utf-8")
    assert is_held(lock)
    assert read_announcement(path) is None
    assert not is_held(tmp_path / "none.lock")


def test_the_announcement_of_a_killed_process_is_invalid_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "desk.json"
    with _announcing(path) as child:
        child.kill()
        child.wait(20)
        assert path.exists()
        assert read_announcement(path) is None
    with bootstrap.publish_process(path, {"url": "http://127.0.0.1:2"}):
        assert (read_announcement(path) or {})["url"] == "http://127.0.0.1:2"
        assert len(list(tmp_path.glob("*.lock"))) == 1


def test_a_reused_pid_does_not_count_as_the_running_process(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text(json.dumps({"pid": os.getpid(), "lock": "demo.json.00000000.lock"}))
    assert read_announcement(path) is None
    path.with_name("demo.json.00000000.lock").touch()
    assert read_announcement(path) is None


def test_one_process_at_a_time_holds_a_lock_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    first, second = ProcessLock(path), ProcessLock(path)
    assert first.acquire()
    assert is_held(path)
    assert not second.acquire()
    first.release()
    assert path.exists()
    assert not is_held(path)
    assert second.acquire()
    second.release()


def test_a_second_process_is_told_pid_host_and_command_of_the_first(tmp_path: Path) -> None:
    store = tmp_path / "desk.db"
    first = FileLock(store, Holder(4711, "box", "hf-gate run"), wait=0)
    with pytest.raises(StoreBusy, match=r"desk\.db is being written by pid 4711 on box \(hf-gate run\)"):
        FileLock(store, Holder(4712), wait=0)
    first.hand_back()
    second = FileLock(store, Holder(4712), wait=0)
    second.release()
    assert first.acquire(), "another process had it meanwhile"
    first.hand_back()
    assert not first.acquire()
    first.release()


def test_a_damaged_holder_file_counts_as_an_existing_store(tmp_path: Path) -> None:
    store = tmp_path / "desk.db"
    store.with_name("desk.db.holder").write_bytes(b"\x00torn")
    lock = FileLock(store, Holder(1), wait=0)
    assert lock.has_store
    lock.release()


def test_a_lock_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    for name in ("desk.db.lock", "desk.db.holder"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreUnavailable, match="cannot be locked"):
            FileLock(folder / "desk.db", Holder(1), wait=0)


_WORK = """
import sys
from hf_gate.store.leases import hold_work_lock
from hf_gate.store.write_lock import Holder, Work

with hold_work_lock(sys.argv[1], Holder(4711, "box", "hf-gate ui"), Work.MESSAGES):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_work_is_done_by_the_process_that_lives_until_it_is_killed(place: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WORK, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        who = r"pid 4711 on box \(hf-gate ui\)"
        busy = pytest.raises(StoreBusy, match=f"messages are being sent by .*{who}")
        with busy, hold_work_lock(place, Holder(1), Work.MESSAGES):
            pass
        with hold_work_lock(place, Holder(1), Work.LOOP):  # another kind of work
            pass
        child.kill()
    with hold_work_lock(place, Holder(1), Work.MESSAGES, wait=LEASE_S + 10.0):
        pass


def test_the_files_of_a_store_include_the_locks_of_its_work(tmp_path: Path) -> None:
    for work in Work:
        with hold_work_lock(f"sqlite:///{tmp_path / 'desk.db'}", Holder(1), work):
            pass
    assert {path.name for path in files_of(tmp_path / "desk.db")} == {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 2 * len(Work)
