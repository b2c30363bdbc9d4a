"""A store that is closed while other threads use it: each use works or says that the store is closed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from hf_gate.errors import HfGateError, StoreUnavailable
from hf_gate.members.rows.sessions import open_session
from hf_gate.members.sessions import NewSession, SignInMethod
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, place, record, store, store_records

__all__ = ["place", "store"]


def _use(work: Callable[[], object], ends: list[Exception], begun: threading.Barrier) -> None:
    work()
    begun.wait()
    try:
        while True:
            work()
    except Exception as problem:  # noqa: BLE001 - the test looks at all of them
        ends.append(problem)


def test_threads_at_work_learn_that_the_store_is_closed(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as desk:
        store_records(desk, EEG, [record(number) for number in range(300)])
    numbers = itertools.count()
    for _ in range(8):
        desk = open_store(place, endpoint=ENDPOINT)

        def read(desk: Store = desk) -> None:
            assert len(list(desk.iterate_requests(EEG, "pending"))) == 300

        def write(desk: Store = desk) -> None:
            open_session(
                desk,
                str(next(numbers)),
                NewSession(member="lena", method=SignInMethod.TERMINAL, browser=""),
                at=0,
            )

        ends = list[Exception]()
        works = [read, read, read, write]
        begun = threading.Barrier(len(works) + 1)
        threads = [threading.Thread(target=_use, args=(work, ends, begun), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        begun.wait()
        desk.close()
        for thread in threads:
            thread.join(10)
        assert len(ends) == len(works)
        assert {type(end) for end in ends} == {StoreUnavailable}


def test_a_closed_store_says_so(place: str) -> None:
    desk = open_store(place, endpoint=ENDPOINT)
    desk.close()
    for work in (desk.repos, desk.writing().__enter__):
        try:
            work()
        except HfGateError as problem:
            assert "closed" in str(problem)  # noqa: PT017 - the same for both
        else:
            raise AssertionError(work)


def test_a_transaction_ends_before_the_store_is_closed(place: str) -> None:
    desk = open_store(place, endpoint=ENDPOINT)
    closing = threading.Thread(target=desk.close)
    with desk.writing():
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
    closing.join(10)
    assert not closing.is_alive()
