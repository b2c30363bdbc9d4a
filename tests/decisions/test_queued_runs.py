"""Decisions of members as queued runs: they are undone, put on hold, sent together, and wait again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import asdict

from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.queued_decisions import QueuedChange
from hf_gate.core.requests import AccessRequest
from hf_gate.core.runs import RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow
from hf_gate.errors import Guarded
from hf_gate.store.rows.tray import (
    add_waiting_decisions,
    find_latest_decisions,
    list_waiting_decisions,
)
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.change_builders import PlanSubject, make_change
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, record, store_records


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "desk.db")


NAMES = ("ada", "bo", "cyd")


def _decision(row: RequestRow, member: str = "m_1", at: int | None = 10) -> tuple[RunRow, ChangeRow]:
    request = row.request
    assert isinstance(request, AccessRequest)
    change = make_change(
        PlanSubject(request, row.state, row.id), "accepted", rule="direct", end=AccessEnd("90d", shown_at=7)
    )
    queued = QueuedChange(**asdict(change), version=row.version.token, batch="b", note="Known.")
    run = RunRow(
        id=f"b.{row.id}.{member}",
        kind=RunKind.DIRECT,
        actor="mia",
        state=RunState.QUEUED,
        made_at=row.id,
        total=1,
        verbs={"accept": 1},
        member=member,
        starts_at=at,
    )
    return run, ChangeRow(run=run.id, n=1, repo=row.repo, request=row.id, change=msgspec.json.encode(queued))


def _rows(store: Store) -> list[RequestRow]:
    return list(
        store.requests(store_records(store, EEG, [record(n, name=name) for n, name in enumerate(NAMES, 1)])).values()
    )


def test_one_request_has_one_unsent_decision_unless_two_people_must_accept_it(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        row, *_ = _rows(store)
        add_waiting_decisions(store, [_decision(row)], (), [row.id])
        assert [one.run.member for one in add_waiting_decisions(store, [_decision(row, "m_2")], (), [row.id])] == [
            "m_1"
        ]
        assert add_waiting_decisions(store, [_decision(row, "m_2")], [row.id], [row.id]) == []
        assert len(add_waiting_decisions(store, [_decision(row)], [row.id], [row.id])) == 1, "of one member, one"
        assert find_latest_decisions(store, [row.id], "m_1")[row.id].run.member == "m_1"


def test_nothing_is_queued_about_somebody_who_was_erased_meanwhile(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        row, *_ = _rows(store)
        with store.writing() as write:
            write.db.run("UPDATE requests SET record_id = NULL WHERE id = ?", (row.id,))
        with pytest.raises(Guarded, match="was deleted in the meantime"):
            add_waiting_decisions(store, [_decision(row)], (), [row.id])
        assert list_waiting_decisions(store) == []
