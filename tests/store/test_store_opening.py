"""Opening a store: whose it is, who may write, what is refused and left as it was, and what a full disk does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from hf_gate.core.events.ledger import LedgerLink, verify_chain
from hf_gate.errors import ForeignStore, HfGateError, StoreBusy, StoreDamaged, StoreTooNew, StoreUnavailable, UsageError
from hf_gate.store.leases import LEASE_S
from hf_gate.store.store import Store
from hf_gate.store.store_path import parse_path
from hf_gate.store.write_lock import FileLock, Holder, lock_files, read_holder
from hf_gate.workspace.rows.opening import open_store
from tests.kits.paths import ROOT
from tests.kits.stores import EEG, ENDPOINT, mode_of, record, store, store_records
from tests.kits.stores import empty_place as place

__all__ = ["place", "store"]


def _old(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_setting("a", "1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "desk.db"


# ---- the file ------------------------------------------------------------------------------------------------------------


def test_everything_on_the_disk_is_this_users_alone(path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(1)])
        store.repos()
        modes = {file.name: mode_of(file) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["desk.db", "desk.db-wal", "desk.db-shm", "desk.db.lock", "desk.db.holder"], 0o600)
    assert mode_of(path.parent) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    open_store(path, endpoint=ENDPOINT).close()
    path.chmod(0o644)
    open_store(path, endpoint=ENDPOINT).close()
    assert mode_of(path) == 0o600


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    open_store(path, endpoint=ENDPOINT).close()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        open_store(link, endpoint=ENDPOINT)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not a file"):
        open_store(tmp_path, endpoint=ENDPOINT)


def test_addresses() -> None:
    assert parse_path("sqlite:///desk.db") == Path("desk.db")
    assert parse_path("sqlite:////srv/my%20desk.db") == Path("/srv/my desk.db")
    assert parse_path("some/desk.db") == Path("some/desk.db")
    with pytest.raises(UsageError, match="mysql"):
        parse_path("mysql://x/y")


def test_no_store_is_made_where_one_should_be(path: Path) -> None:
    for create, read_only in ((False, False), (True, True)):
        with pytest.raises(StoreUnavailable, match="no store"):
            open_store(path, endpoint=ENDPOINT, create=create, read_only=read_only)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at" * 30, b"\x00" * 5000])
def test_a_file_of_something_else_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreDamaged):
        open_store(path, endpoint=ENDPOINT)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ForeignStore, match="not a store"):
        open_store(path, endpoint=ENDPOINT)
    assert path.read_bytes() == before


# ---- whose it is ---------------------------------------------------------------------------------------------------------


def test_a_store_belongs_to_one_hub(place: str) -> None:
    open_store(place, endpoint=ENDPOINT).close()
    with pytest.raises(ForeignStore, match=r"belongs to https://huggingface\.co"):
        open_store(place, endpoint="https://hub.example.org")
    open_store(place, endpoint=ENDPOINT).close()


def test_a_local_hub_that_was_started_again_is_another_hub(place: str) -> None:
    open_store(place, endpoint=ENDPOINT, world="w1").close()
    for world in ("w2", None):
        with pytest.raises(ForeignStore, match="an earlier local Hub"):
            open_store(place, endpoint=ENDPOINT, world=world)
    open_store(place, endpoint=ENDPOINT, world="w1").close()


# ---- who may write -------------------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is_and_readers_go_on(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT, pid=4711, host="lab") as first:
        store_records(first, EEG, [record(1)])
        with pytest.raises(StoreBusy, match="pid 4711 on lab") as caught:
            open_store(place, endpoint=ENDPOINT, wait=0.0)
        assert caught.value.exit_code == 75
        with open_store(place, endpoint=ENDPOINT, read_only=True) as reader, first.writing() as write:
            write.update_repo(EEG, {"problem": "not yet to be seen"})
            found = reader.repo(EEG)
            assert found is not None
            assert (found.problem, dict(found.counts)) == (None, {"pending": 1})
    open_store(place, endpoint=ENDPOINT, wait=0.0).close()


def test_a_store_is_free_as_soon_as_its_writer_closed_it(place: str) -> None:
    refused = 0
    for _ in range(60):  # a server notices the end of a session a moment later
        try:
            open_store(place, endpoint=ENDPOINT, wait=0.0).close()
        except StoreBusy:
            refused += 1
    assert refused == 0


def test_whoever_waits_gets_the_right_when_it_is_given_back(place: str) -> None:
    first = open_store(place, endpoint=ENDPOINT)
    code = f"from hf_gate.workspace.rows.opening import open_store\nprint('waiting', flush=True)\nopen_store({place!r}, endpoint={ENDPOINT!r}, wait=60).close()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as second:
        assert second.stdout is not None
        second.stdout.readline()
        first.close()
        assert second.wait(60) == 0


def test_a_store_that_was_removed_while_somebody_waited_for_it_is_made_anew_and_private(path: Path) -> None:
    open_store(path, endpoint=ENDPOINT).close()
    lock, is_told = FileLock(path, Holder(4711), wait=0), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(open_store, path, endpoint=ENDPOINT, wait=20.0, on_wait=lambda *_: is_told.set())
        assert is_told.wait(20)
        for file in (path, *lock_files(path)):
            file.unlink()
        lock.release()
        waiting.result(20).close()
    assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}


def test_the_right_to_write_ends_with_its_process_however_that_ends(place: str) -> None:
    code = textwrap.dedent(f"""
        import sys
        from hf_gate.workspace.rows.opening import open_store
        store = open_store({place!r}, endpoint={ENDPOINT!r})
        print("open", flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy, match=f"pid {other.pid}"):
            open_store(place, endpoint=ENDPOINT, wait=0.0)
        other.send_signal(signal.SIGKILL)
        other.wait(30)
    open_store(place, endpoint=ENDPOINT, wait=LEASE_S + 5).close()


def test_who_opened_for_reading_cannot_write(place: str) -> None:
    open_store(place, endpoint=ENDPOINT).close()
    with open_store(place, endpoint=ENDPOINT, read_only=True) as reader:
        with pytest.raises(StoreUnavailable, match="reading only"), reader.writing():
            pass
        with pytest.raises((sqlite3.Error, psycopg.Error, HfGateError)):
            reader.reads.run("DELETE FROM settings")


# ---- the ledger ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", ["UPDATE ledger SET actor = 'me'", "DELETE FROM ledger", "TRUNCATE ledger"])
def test_the_ledger_is_only_added_to(store: Store, sql: str) -> None:
    store_records(store, EEG, [record(1)])
    assert store._writes is not None
    with pytest.raises((sqlite3.Error, psycopg.Error)):
        store._writes.run(sql)
    assert len(list(store.links("datasets/acme/eeg-1"))) == 1


# ---- a store that is lost -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["emptied", "deleted"])
def test_where_a_store_has_been_no_new_one_is_made_without_a_word(path: Path, how: str) -> None:
    _old(str(path))
    for file in path.parent.glob("desk.db-*"):
        file.unlink()
    path.write_bytes(b"") if how == "emptied" else path.unlink()
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="there was a store here before") as refused:
            open_store(path, endpoint=ENDPOINT)
        assert "desk.db.holder" in refused.value.hint
    path.with_name("desk.db.holder").unlink()
    with open_store(path, endpoint=ENDPOINT) as store:
        assert store.setting("a") is None


def test_a_store_whose_making_was_broken_off_is_made_at_the_next_opening(path: Path) -> None:
    path.parent.mkdir()
    FileLock(path, Holder(4711), wait=0).release()
    path.touch()
    open_store(path, endpoint=ENDPOINT).close()
    with open_store(path, endpoint=ENDPOINT, pid=7) as store, store.writing() as write:
        write.write_setting("a", "1")
    assert read_holder(path) == Holder(7)


# ---- damage --------------------------------------------------------------------------------------------------------------


def test_flipped_bits_are_refused_or_do_no_harm(path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(n, answers={"Why": "to study sleep " * 5}) for n in range(300)])
    whole = path.read_bytes()
    refused = 0
    for page in range(len(whole) // 4096):
        spoiled = bytearray(whole)
        spoiled[page * 4096 : page * 4096 + 16] = bytes(255 - byte for byte in spoiled[page * 4096 : page * 4096 + 16])
        path.write_bytes(spoiled)
        try:
            open_store(path, endpoint=ENDPOINT).close()
        except (StoreDamaged, StoreTooNew):
            refused += 1
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    assert refused > len(whole) // 4096 * 0.8  # the rest are pages of overflow and of nothing


def _open_interrupted(path: Path, wait_ms: int) -> None:
    signal.setitimer(signal.ITIMER_REAL, wait_ms / 1000)
    open_store(path, endpoint=ENDPOINT).close()
    time.sleep(0.5)


def test_a_ctrl_c_during_the_check_for_damage_is_not_lost(path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT) as store:
        for number in range(40):
            with store.writing() as write:
                write.write_setting(f"filler {number}", "x" * 1_000_000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for wait_ms in range(1, 40, 4):
            with pytest.raises(KeyboardInterrupt):
                _open_interrupted(path, wait_ms)
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- a full disk ---------------------------------------------------------------------------------------------------------

_FILL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from hf_gate.errors import StoreUnavailable
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, record, store_records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({path!r})
with open_store(path, endpoint=ENDPOINT) as store:
    store_records(store, EEG, [record(n) for n in range(50)])
    room = sum(file.stat().st_size for file in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    done = 50
    try:
        while True:
            store_records(store, EEG, [record(n, answers={{"Why": "sleep " * 400}}) for n in range(done, done + 50)])
            done += 50
    except StoreUnavailable as problem:
        print(problem, "|", problem.hint)
    assert dict(store.repo(EEG).counts) == {{"pending": done}}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store_records(store, EEG, [record(9999)])
    print(done + 1)
"""


def test_a_full_disk_is_told_and_nothing_is_half_written(path: Path) -> None:
    root = str(ROOT)
    ran = subprocess.run(
        [sys.executable, "-c", _FILL.format(root=root, path=str(path))], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told, count = ran.stdout.splitlines()
    assert "full" in told or "written" in told
    assert "Free disk space" in told
    with open_store(path, endpoint=ENDPOINT) as store:
        (head,) = verify_chain(store.links("datasets/acme/eeg-1"))
        assert isinstance(head, LedgerLink)
        assert head.seq == int(count) == len(list(store.iterate_requests(EEG, "pending")))


def test_a_folder_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: what a folder without rights does is not checked here")
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        open_store(tmp_path / "desk.db", endpoint=ENDPOINT)
