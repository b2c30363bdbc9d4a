"""Decisions of members as queued runs: they are undone, put on hold, sent together, and wait again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import asdict, replace

from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.queued_decisions import QueuedChange
from hf_gate.core.requests import AccessRequest
from hf_gate.core.runs import RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow
from hf_gate.errors import Guarded
from hf_gate.store.rows.tray import (
    add_waiting_decisions,
    end_unsent_decisions,
    find_latest_decisions,
    list_begun_decision_runs,
    list_due_decisions,
    list_failed_decisions,
    list_recent_decisions,
    list_sent_decisions,
    list_waiting_decisions,
    mark_failures_seen,
    schedule_decisions,
    take_waiting,
    undo_waiting_decisions,
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
    change = make_change(PlanSubject(request, row.state, row.id), "accepted", rule="direct", until="90d")
    queued = QueuedChange(**asdict(change), version=row.version.token, batch="b", shown_at=7, note="Known.")
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


def test_what_a_run_did_not_send_waits_again_with_what_was_shown(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        rows = _rows(store)
        assert add_waiting_decisions(store, [_decision(row) for row in rows], (), [row.id for row in rows]) == []
        assert store.runs() == []
        due = list_due_decisions(store, 10)
        assert undo_waiting_decisions(store, [due[2].run.id]) == 1
        with store.writing() as write:
            assert sorted(take_waiting(write, [one.run.id for one in due])) == [one.run.id for one in due[:2]]
            run = RunRow(
                id="r_1",
                kind=RunKind.DIRECT,
                actor="mia",
                state=RunState.READY,
                made_at=20,
                total=2,
                verbs={"accept": 2},
                member="m_1",
                starts_at=20,
            )
            write.write_run(run)
            sent = [
                ChangeRow(
                    run="r_1",
                    n=n,
                    repo=one.row.repo,
                    request=one.request,
                    change=msgspec.json.encode(one.change.replace_change(one.change)),
                )
                for n, one in enumerate(due[:2], 1)
            ]
            write.write_changes(sent)
            write.set_change_states("r_1", [(1, "done", "")])
        assert [(one.is_being_sent, one.outcome) for one in list_recent_decisions(store, "m_1", 5)] == [
            (True, None),
            (False, OutcomeKind.DONE),
        ]
        assert [run.id for run in list_begun_decision_runs(store)] == ["r_1"]
        with store.writing() as write:
            write.release_unsent(run, 50)
            write.write_run(replace(run, state=RunState.ENDED))
        (again,) = list_waiting_decisions(store)
        assert (again.request, again.run.starts_at, again.run.verbs) == (rows[1].id, 50, {"accept": 1})
        assert again.change == replace(due[1].change, note=None)
        assert (list_due_decisions(store, 49), len(list_due_decisions(store, 50)), list_begun_decision_runs(store)) == (
            [],
            1,
            [],
        )
        assert [one.request for one in list_sent_decisions(store, "m_1", 0, 5)] == [rows[0].id]


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


def test_a_hold_ends_only_by_a_person_and_failures_are_shown_until_they_are_dismissed(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        row, other, _ = _rows(store)
        add_waiting_decisions(store, [_decision(row), _decision(other)], (), [row.id])
        held, failed = list_due_decisions(store, 10)
        assert schedule_decisions(store, [held.run.id], None) == 1
        assert schedule_decisions(store, [held.run.id], 99, due=50) == 0
        with store.writing() as write:
            assert take_waiting(write, [held.run.id]) == []
        end_unsent_decisions(store, [(failed, OutcomeKind.STALE, "its answers changed")])
        end_unsent_decisions(store, [(failed, OutcomeKind.REFUSED, "too late")])
        assert [(one.outcome, one.row.why) for one in list_failed_decisions(store, "m_1")] == [
            ("stale", "its answers changed")
        ]
        assert [(run.state, run.counts) for run in store.runs()] == [(RunState.ENDED, {"stale": 1})]
        mark_failures_seen(store, "m_1")
        assert list_failed_decisions(store, "m_1") == []
        assert [one.run.id for one in list_waiting_decisions(store)] == [held.run.id]


@pytest.mark.parametrize("is_current", [True, False])
def test_a_queued_run_is_no_run_yet_for_lists_and_commands(place: str, *, is_current: bool) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        row, *_ = _rows(store)
        add_waiting_decisions(store, [_decision(row, at=10 if is_current else None)], (), [row.id])
        (one,) = list_waiting_decisions(store)
        assert (store.runs(), store.run(one.run.id), store.runs_of("m_1"), list_begun_decision_runs(store)) == (
            [],
            None,
            [],
            [],
        )


def test_nothing_is_queued_about_somebody_who_was_erased_meanwhile(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        row, *_ = _rows(store)
        with store.writing() as write:
            write.db.run("UPDATE requests SET record_id = NULL WHERE id = ?", (row.id,))
        with pytest.raises(Guarded, match="was deleted in the meantime"):
            add_waiting_decisions(store, [_decision(row)], (), [row.id])
        assert list_waiting_decisions(store) == []
