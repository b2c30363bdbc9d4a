"""How the desk stands: the middle of those who wait, by any number of them, and whose answer is due, in a line that is walked only so far."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hf_gate.automation.service.health import list_unfinished_runs
from hf_gate.core.events.events import LedgerEntry, VerdictReached
from hf_gate.core.runs import RunKind, RunState
from hf_gate.core.stored_rows import RunRow
from hf_gate.reports.service.workspace_status import find_oldest_waiting, read_repo_status
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, record, store_records

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'desk.db'}", endpoint=ENDPOINT) as opened:
        yield opened


def _judged(store: Store, idents: list[int], action: str) -> None:
    entries = [
        LedgerEntry(
            event=VerdictReached(action=action, policy="p", rule="r", digest="d"), at=5, actor="policy:p", request=one
        )
        for one in idents
    ]
    with store.writing() as write:
        write.append(EEG, entries)


@pytest.mark.parametrize("count", range(6))
def test_the_median_is_that_of_the_one_in_the_middle(store: Store, count: int) -> None:
    store_records(store, EEG, [record(number, day=number) for number in range(1, count + 1)])
    store_records(store, EEG, [record(90, "accepted", day=1)])
    (row,) = store.repos()
    found = read_repo_status(store, row, NOW)
    waits = sorted(NOW - row.request.asked_at for row in store.iterate_requests(EEG, "pending") if row.request)
    assert found.waiting == count
    assert found.median == (waits[(count - 1) // 2] if count else None)
    assert found.oldest == (NOW - waits[-1] if count else None)
    assert found.median is None or found.median > timedelta()


def test_of_a_line_that_is_walked_only_so_far_no_more_is_claimed_than_was_seen(store: Store) -> None:
    idents = store_records(store, EEG, [record(number, day=number) for number in range(1, 6)])
    asked = [row.request.asked_at for row in store.iterate_requests(EEG, "pending") if row.request]
    assert find_oldest_waiting(store, EEG, 3) == (asked[0], asked[0])
    _judged(store, idents[:4], "wait")
    assert find_oldest_waiting(store, EEG, 100) == (asked[0], asked[4])
    assert find_oldest_waiting(store, EEG, 3) == (asked[0], asked[2]), "whoever asked before that is not complete"
    _judged(store, idents, "wait")
    assert find_oldest_waiting(store, EEG, 100) == (asked[0], None)


@pytest.mark.parametrize("state", RunState)
def test_every_run_that_began_and_neither_ended_nor_was_abandoned_needs_attention(
    store: Store, state: RunState
) -> None:
    with store.writing() as write:
        write.write_run(RunRow(id="r1", kind=RunKind.PLAN, actor="lena", state=state, made_at=1, total=3))
    is_quiet = state in {RunState.QUEUED, RunState.ENDED, RunState.ABANDONED}
    assert [run.id for run in list_unfinished_runs(store)] == ([] if is_quiet else ["r1"])
