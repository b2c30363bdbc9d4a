"""Backup, restore and removal broken off at every step, on a full disk, and while another process has the store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from hf_gate.errors import ForeignStore, StoreBusy, StoreDamaged, StoreUnavailable
from hf_gate.store.removal import files_of, remove_files
from hf_gate.store.write_lock import FileLock, Holder
from hf_gate.store.writing.compression import LIKELY_TEXT, unpack
from hf_gate.workspace.rows.backups import Restore, restore, write_backup
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.store_maintenance import refuse_damage
from tests.kits.paths import ROOT
from tests.kits.stores import EEG, ENDPOINT, record, store_records

ME = Holder(4711)

_SCENE = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from hf_gate.errors import StoreUnavailable
from hf_gate.workspace.rows.backups import Restore, restore, write_backup
from hf_gate.store.write_lock import Holder
from hf_gate.workspace.rows.opening import open_store
from hf_gate.store.removal import files_of, remove_files
from tests.kits.stores import EEG, ENDPOINT, record, store_records

store, backup = Path({folder!r}) / "desk.db", Path({folder!r}) / "copy.db"
ME = Holder(os.getpid())

def fill(first, last):
    with open_store(store, endpoint=ENDPOINT) as opened:
        store_records(opened, EEG, [record(n) for n in range(first, last)])

def count():
    with open_store(store, endpoint=ENDPOINT, create=False) as opened:
        return opened.repo(EEG).counts["pending"]

def put_back():
    restore(Restore(backup, store, ENDPOINT, None, {{"restored": "1"}}, lambda opened: None, "lena", 1), ME, wait=0)

def remove():
    remove_files(store, ME, wait=0)

STEPS = {{"open", "os.rename", "os.remove", "os.link", "os.rmdir", "sqlite3.connect"}}

def survives(do, n):
    "Does something in a process that is killed before its n-th step; whether it came to its end."
    pid = os.fork()
    if pid == 0:
        left = [n]
        def hook(event, args):
            if event in STEPS:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        do()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def _play(folder: Path, script: str) -> str:
    text = _SCENE.format(root=str(ROOT), folder=str(folder)) + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "desk.db"
    with open_store(path, endpoint=ENDPOINT) as store:
        store_records(store, EEG, [record(1)])
    return path


def wish(backup: Path, store: Path) -> Restore:
    return Restore(backup, store, ENDPOINT, None, {}, lambda _: None, "lena", 1)


def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one_and_can_be_repeated(tmp_path: Path) -> None:
    out = _play(
        tmp_path,
        """
        fill(0, 3)
        write_backup(store, backup)
        n = 1
        while True:
            fill(3, 5)
            put_back_again = not survives(put_back, n)
            assert count() in (3, 5), n
            if put_back_again:
                put_back()
            assert count() == 3, n
            assert not [file for file in files_of(store) if "restoring" in file.name], n
            if not put_back_again:
                break
            n += 1
        print(n)
        """,
    )
    assert int(out) > 10


def test_a_removal_that_is_killed_leaves_no_older_state_and_can_be_repeated(tmp_path: Path) -> None:
    out = _play(
        tmp_path,
        """
        n = 1
        while True:
            fill(0, 3)
            is_done = survives(remove, n)
            assert not store.exists() or count() == 3, n
            remove()
            assert files_of(store) == [], n
            if is_done:
                break
            n += 1
        print(n)
        """,
    )
    assert int(out) > 5


def test_a_backup_that_is_killed_is_no_file_or_a_whole_one(tmp_path: Path) -> None:
    out = _play(
        tmp_path,
        """
        fill(0, 3)
        n = 1
        while True:
            is_done = survives(lambda: write_backup(store, backup), n)
            if backup.exists():
                put_back()
                assert count() == 3, n
                backup.unlink()
            backup.with_name("copy.db.partial").unlink(missing_ok=True)
            if is_done:
                break
            n += 1
        print(n)
        """,
    )
    assert int(out) > 5


def test_a_full_disk_ends_a_backup_and_a_restore_with_nothing_half_written(tmp_path: Path) -> None:
    out = _play(
        tmp_path,
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        fill(0, 300)
        write_backup(store, backup)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        for do in (lambda: write_backup(store, backup.with_name("more.db")), put_back):
            try:
                do()
            except StoreUnavailable as problem:
                print(problem)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(sorted(file.name for file in store.parent.iterdir()), count())
        """,
    )
    first, second, last = out.splitlines()
    assert "cannot be written" in first or "full" in first or "could not be" in first
    assert "cannot be written" in second or "full" in second or "could not be" in second
    assert last == "['copy.db', 'desk.db', 'desk.db.copies', 'desk.db.holder', 'desk.db.lock'] 300"


def test_two_backups_into_one_file_never_mix(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db.partial").touch()
    with pytest.raises(StoreBusy, match="another backup"):
        write_backup(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_backup_is_taken_while_another_process_writes(path: Path, tmp_path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_setting("half", "written")
        write_backup(path, tmp_path / "copy.db")
    restore(wish(tmp_path / "copy.db", tmp_path / "other.db"), ME, wait=0)
    with open_store(tmp_path / "other.db", endpoint=ENDPOINT) as other:
        assert other.setting("half") is None


def test_who_writes_is_named_to_those_who_would_restore_or_remove(path: Path, tmp_path: Path) -> None:
    write_backup(path, tmp_path / "copy.db")
    lock = FileLock(path, Holder(7, "lab", "hf-gate run"), wait=0)
    try:
        with pytest.raises(StoreBusy, match=r"pid 7 on lab \(hf-gate run\)"):
            restore(wish(tmp_path / "copy.db", path), ME, wait=0)
        with pytest.raises(StoreBusy, match="pid 7 on lab"):
            remove_files(path, ME, wait=0)
    finally:
        lock.release()
    assert path.exists()


def test_a_store_that_lends_its_right_to_write_is_not_taken_from_under_it(path: Path) -> None:
    with open_store(path, endpoint=ENDPOINT, lends=True) as desk:
        assert desk.repos()
        with pytest.raises(StoreBusy, match=r"has .* open"):
            remove_files(path, ME, wait=0)
        with desk.writing() as write:
            write.write_setting("a", "1")
    assert len(files_of(path)) >= 3


def test_what_an_earlier_restore_replaced_is_kept(path: Path, tmp_path: Path) -> None:
    write_backup(path, tmp_path / "copy.db")
    first, second = (restore(wish(tmp_path / "copy.db", path), ME, wait=0) for _ in range(2))
    assert [first and first.name, second and second.name] == ["desk.db.before-restore", "desk.db.before-restore-2"]
    remove_files(path, ME, wait=0)
    assert {file.name for file in tmp_path.iterdir()} == {"copy.db"}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE private SET data = zeroblob(2) || x'0000'",
        "UPDATE private SET data = 7",
        "UPDATE people SET salt = 'text'",
        "UPDATE repos SET type = 'planet' WHERE id > 0",
        "UPDATE chains SET head = 'text'",
        "INSERT INTO members (name, role, made_at, id) VALUES ('eve', 'king', 1, 'm_1')",
    ],
)
def test_a_backup_with_values_that_no_store_holds_is_refused_in_one_line(path: Path, tmp_path: Path, sql: str) -> None:
    write_backup(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db, db:
        db.execute(sql)
    with pytest.raises(StoreDamaged, match="Nothing was restored"):
        restore(replace(wish(tmp_path / "copy.db", path), prove=refuse_damage), ME, wait=0)
    assert path.exists()
    assert not [file for file in files_of(path) if "restor" in file.name]


def test_a_stored_value_that_cannot_be_read_is_a_damaged_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO members (name, role, made_at, id) VALUES ('eve', 'king', 1, 'm_1')")
    with open_store(path, endpoint=ENDPOINT) as store, pytest.raises(StoreDamaged, match="cannot be read"):
        store.members()


def test_a_private_part_that_unfolds_without_end_is_refused_before_it_does() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -12, zdict=LIKELY_TEXT)
    packed = bomb.compress(bytes(300 << 20)) + bomb.flush()
    with pytest.raises(zlib.error, match="too much"):
        unpack(packed)


def test_a_database_of_another_program_is_never_removed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mine.db")) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(ForeignStore, match="not a store of hf-gate"):
        remove_files(tmp_path / "mine.db", ME, wait=0)
    assert (tmp_path / "mine.db").exists()


def test_a_restore_never_goes_through_a_link(path: Path, tmp_path: Path) -> None:
    write_backup(path, tmp_path / "copy.db")
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "linked.db").symlink_to(target)
    (tmp_path / "desk.db.restoring").symlink_to(target)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        restore(wish(tmp_path / "copy.db", tmp_path / "linked.db"), ME, wait=0)
    restore(wish(tmp_path / "copy.db", path), ME, wait=0)
    assert target.read_text() == "mine"


def test_a_restore_keeps_the_accounts_of_names_in_tables(path: Path, tmp_path: Path) -> None:
    """A later owner of such a name is somebody else, also if the name was listed after the backup."""
    write_backup(path, tmp_path / "copy.db")
    with open_store(path, endpoint=ENDPOINT) as store, store.writing() as write:
        write.write_binding("partners", "ada-l", "a" * 24)
    restore(wish(tmp_path / "copy.db", path), ME, wait=0)
    with open_store(path, endpoint=ENDPOINT) as store:
        assert dict(store.bindings("partners")) == {"ada-l": "a" * 24}
