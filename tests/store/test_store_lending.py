"""A store that lends its right to write: two processes take turns, neither believes what it remembers, and whoever waits is told."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_gate.errors import StoreBusy, StoreTooNew
from hf_gate.members.rows.sessions import IDLE_MS, find_session_member, open_session
from hf_gate.members.sessions import NewSession, SignInMethod
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, place, record, store, store_records

__all__ = ["place", "store"]


def test_while_nothing_is_written_here_another_process_writes(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT, lends=True) as desk:
        store_records(desk, EEG, [record(1)])
        with open_store(place, endpoint=ENDPOINT, pid=4711, wait=0.0) as other:
            store_records(other, EEG, [record(2), record(3)])
        store_records(desk, EEG, [record(4)])
        with open_store(place, endpoint=ENDPOINT, pid=4712, wait=0.0) as other:
            store_records(other, EEG, [record(5)])
        found = desk.repo(EEG)
        assert found is not None
        assert dict(found.counts) == {"pending": 5}
        chain = next(iter(desk.chains().values()))
        assert chain[0] == 5, "one entry each, none over another"


def test_another_process_of_the_same_number_is_another_one(place: str) -> None:
    """As of two containers, each of which calls its process 1."""
    with open_store(place, endpoint=ENDPOINT, lends=True, pid=1, host="pod") as desk:
        store_records(desk, EEG, [record(1)])
        with open_store(place, endpoint=ENDPOINT, pid=1, host="pod", wait=0.0) as other:
            store_records(other, EEG, [record(2), record(3)])
        store_records(desk, EEG, [record(4)])
        assert next(iter(desk.chains().values()))[0] == 4


def test_within_a_piece_of_work_nobody_else_writes(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT, lends=True, pid=4711) as desk:
        with desk.hold_write_lock():
            store_records(desk, EEG, [record(1)])
            with desk.hold_write_lock(), pytest.raises(StoreBusy, match="pid 4711"):
                open_store(place, endpoint=ENDPOINT, wait=0.0)
            with pytest.raises(StoreBusy, match="pid 4711"):
                open_store(place, endpoint=ENDPOINT, wait=0.0)
        open_store(place, endpoint=ENDPOINT, wait=0.0).close()


def test_who_lends_waits_too_and_reads_meanwhile(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT, lends=True, wait=0.0) as desk:
        store_records(desk, EEG, [record(1)])
        open_session(desk, "secret", NewSession(member="lena", method=SignInMethod.TERMINAL, browser=""), at=0)
        with open_store(place, endpoint=ENDPOINT, pid=4711) as other:
            with pytest.raises(StoreBusy, match="pid 4711"), desk.writing():
                pass
            assert desk.repo(EEG) is not None
            assert find_session_member(desk, "secret", IDLE_MS) == "lena", "who is in stays in"
            store_records(other, EEG, [record(2)])
        store_records(desk, EEG, [record(3)])


def test_who_would_not_wait_does_not_wait_for_who_does(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT, lends=True, wait=20.0) as desk:
        store_records(desk, EEG, [record(1)])
        with ThreadPoolExecutor(1) as aside:
            with open_store(place, endpoint=ENDPOINT, pid=4711):
                patient = aside.submit(store_records, desk, EEG, [record(2)])
                for _ in range(200):
                    with pytest.raises(StoreBusy), desk.hold_write_lock(wait=0.0):
                        pass
                assert not patient.done()
            patient.result()
        found = desk.repo(EEG)
        assert found is not None
        assert dict(found.counts) == {"pending": 2}


def test_the_right_comes_back_when_the_other_process_dies(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with open_store(path, endpoint=ENDPOINT, lends=True) as desk:
        code = (
            "import os\nfrom hf_gate.workspace.rows.opening import open_store\n"
            f"s = open_store({str(path)!r}, endpoint={ENDPOINT!r})\nprint('in', flush=True)\ninput()\nos._exit(9)"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            other.stdout.readline()
            with pytest.raises(StoreBusy), desk.hold_write_lock(wait=0.0):
                pass
            other.stdin.close()
            other.kill()
            other.wait()
        store_records(desk, EEG, [record(1)])


def test_a_newer_hf_gate_that_changed_the_shape_meanwhile_ends_the_writing(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with open_store(path, endpoint=ENDPOINT, lends=True) as desk:
        with open_store(path, endpoint=ENDPOINT, pid=4711, wait=0.0) as newer, newer.writing() as write:
            write.db.run("UPDATE about SET value = '9999' WHERE key IN ('schema', 'oldest')")
        with pytest.raises(StoreTooNew, match="newer"), desk.writing():
            pass
