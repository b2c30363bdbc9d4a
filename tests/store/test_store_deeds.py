"""Runs, plans, ledger and odds and ends in the store: what is put in comes out, and what is done is counted."""

from __future__ import annotations

import hashlib

import pytest

from hf_gate.core.events.events import (
    ChangeSettled,
    ChangeStarted,
    LedgerEntry,
    PolicyPromoted,
    RequestSeen,
    StatusMoved,
    commitment_of,
    decode_event,
)
from hf_gate.core.events.ledger import ChainBreak, Checkpoint, verify_chain
from hf_gate.core.runs import UNSETTLED, ChangeState, RunEvent, RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RunRow
from hf_gate.errors import Guarded
from hf_gate.store.removal import refuse_unsettled
from hf_gate.store.rows.ledger import count_unattended_changes
from hf_gate.store.rows.runs import read_runs_since
from hf_gate.store.store import Store
from tests.kits.stores import EEG, MED, place, record, store, store_records

__all__ = ["place", "store"]


def _settle(store: Store, ident: int, before: str, after: str, *, at: int, kind: str = "done", run: str = "r1") -> None:
    started = ChangeStarted(run=run, before=before, after=after, has_reason=True)
    settled = ChangeSettled(run=run, kind=kind, after=after)
    person = store.requests([ident])[ident].person.id
    with store.writing() as write:
        write.append(
            EEG,
            [
                LedgerEntry(
                    event=started, at=at, actor="lena", request=ident, person=person, private={"reason": "Say more."}
                ),
                LedgerEntry(event=settled, at=at + 1, actor="lena", request=ident),
            ],
        )


# ---- runs and plans ------------------------------------------------------------------------------------------------------


def test_a_run_and_its_changes_come_back(store: Store) -> None:
    run = RunRow(
        id="r1",
        kind=RunKind.PLAN,
        actor="lena",
        state=RunState.READY,
        made_at=5,
        plan="d1",
        total=3,
        counts={"done": 1},
    )
    changes = [
        ChangeRow(run="r1", n=n, repo=repo, request=n, change=b'{"n":1}') for n, repo in ((1, EEG), (2, MED), (3, EEG))
    ]
    with store.writing() as write:
        write.write_plan("d1", b"the plan" * 1000, 5)
        write.write_plan("d1", b"another under the same digest", 6)
        write.write_run(run)
        write.write_changes(changes)
    assert store.run("r1") == run == store.run_of_plan("d1")
    assert store.plan("d1") == b"the plan" * 1000
    assert (store.run("r2"), store.run_of_plan("d2"), store.plan("d2")) == (None, None, None)
    assert list(store.changes("r1")) == changes
    with store.writing() as write:
        write.set_change_states("r1", [(2, "started", ""), (3, "started", "")])
        write.set_change_states("r1", [(3, "done", "told")])
        assert write.count_changes("r1") == {"planned": 1, "started": 1, "done": 1}
        write.move_run(run, RunEvent.PAUSE, member="m_1", verbs={"accept": 3}, is_free=True)
    assert [(row.n, row.state, row.why) for row in store.changes("r1", ("started", "done"))] == [
        (2, "started", ""),
        (3, "done", "told"),
    ]
    assert [row.n for row in store.changes("r1", limit=2)] == [1, 2]
    assert [(row.state, row.member, row.verbs, row.is_free) for row in store.runs()] == [
        ("paused", "m_1", {"accept": 3}, True)
    ]
    assert [row.id for row in read_runs_since(store, 5)] == ["r1"]
    assert (read_runs_since(store, 6), [row.id for row in store.runs_of("m_1")]) == ([], ["r1"])


def test_no_process_overwrites_a_state_that_another_one_stored(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    run = RunRow(id="r1", kind=RunKind.PLAN, actor="lena", state=RunState.READY, made_at=5, total=1)
    with store.writing() as write:
        write.write_run(run)
        write.write_changes([ChangeRow(run="r1", n=1, repo=EEG, request=1, change=b"{}")])
        write.set_change_states("r1", [(1, "started", "")])
        write.set_change_states("r1", [(1, "done", "")])
        paused = write.move_run(run, RunEvent.PAUSE)
    for late in ("started", "planned", "open"):
        with pytest.raises(Guarded, match="settled meanwhile; nothing was stored"), store.writing() as write:
            write.set_change_states("r1", [(1, late, "")])
    with pytest.raises(Guarded, match="no longer ready; nothing was stored"), store.writing() as write:
        write.move_run(run, RunEvent.END)
    with store.writing() as write:
        over = write.move_run(paused, RunEvent.STOP)
    with pytest.raises(Guarded, match="the run is stopped, which does not allow begin"), store.writing() as write:
        write.move_run(over, RunEvent.BEGIN)
    assert (store.run("r1"), next(iter(store.changes("r1"))).state) == (over, ChangeState.DONE)


@pytest.mark.parametrize("state", UNSETTLED)
def test_a_change_for_somebody_without_a_request_is_unsettled_too(store: Store, state: ChangeState) -> None:
    store_records(store, EEG, [record(1)])
    with store.writing() as write:
        write.write_run(RunRow(id="r1", kind=RunKind.DIRECT, actor="lena", state=RunState.READY, made_at=5, total=1))
        write.write_changes([ChangeRow(run="r1", n=1, repo=EEG, request=None, change=b"{}", state=state)])
    with pytest.raises(Guarded, match="1 change may have been sent"):
        refuse_unsettled(store.reads)
    with store.writing() as write:
        write.set_change_states("r1", [(1, "done", "")])
    refuse_unsettled(store.reads)


# ---- what decisions do to a request --------------------------------------------------------------------------------------


def test_a_started_change_is_open_until_it_is_settled(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1)])
    with store.writing() as write:
        event = ChangeStarted(run="r1", before="pending", after="accepted")
        write.append(EEG, [LedgerEntry(event=event, at=50, actor="lena", request=one)])
    (row,) = store.open_changes()
    assert (row.id, row.started_at, row.state.open_after) == (one, 50, "accepted")
    with store.writing() as write:
        settled = ChangeSettled(run="r1", kind="done", after="accepted")
        write.append(EEG, [LedgerEntry(event=settled, at=60, actor="lena", request=one)])
    assert store.open_changes() == []
    row = store.requests([one])[one]
    assert (row.started_at, row.state.status, row.state.moved_at) == (None, "accepted", 60)


def test_what_turns_and_keys_do_counts_towards_the_guards(store: Store) -> None:
    idents = store_records(store, EEG, [record(n) for n in range(1, 4)])
    by = (("r1", RunKind.AUTO, None), ("r2", RunKind.DIRECT, "m_1"), ("r3", RunKind.DIRECT, "key:x"))
    with store.writing() as write:
        for run, kind, member in by:
            write.write_run(RunRow(id=run, kind=kind, actor="lena", state=RunState.READY, made_at=1, member=member))
    for ident, (run, _, _) in zip(idents, by, strict=True):
        _settle(store, ident, "pending", "accepted", at=100, run=run)
    assert count_unattended_changes(store, "accept", 0) == 2


def test_a_reset_that_was_undone_does_not_count_and_one_after_which_somebody_asked_anew_does(store: Store) -> None:
    (undone, let_in, asked_anew, elsewhere) = idents = store_records(store, EEG, [record(n) for n in range(1, 5)])
    for ident in idents:
        _settle(store, ident, "pending", "reset", at=10)
    people = [store.requests(idents)[ident].person.id for ident in idents]

    def counted() -> list[tuple[int, str]]:
        found = store.history(EEG, people)
        return [(found[person].resets, found[person].last_decision) for person in people]

    assert counted() == [(1, "reset")] * 4
    _settle(store, undone, "reset", "pending", at=20)
    _settle(store, let_in, "reset", "accepted", at=20)
    store_records(store, EEG, [record(3, day=2, request=2003)])
    moved = StatusMoved(before="reset", after="pending")
    with store.writing() as write:
        write.append(EEG, [LedgerEntry(event=moved, at=20, actor="outside", request=elsewhere)])
    assert counted() == [(0, "pending"), (0, "accepted"), (1, "reset"), (0, "pending")]
    assert store.requests([asked_anew])[asked_anew].state.status == "reset"
    _settle(store, undone, "pending", "reset", at=30)
    assert counted()[0] == (1, "reset")


# ---- the ledger ----------------------------------------------------------------------------------------------------------


def test_no_name_and_no_answer_stands_in_the_ledger_itself(store: Store) -> None:
    store_records(
        store, EEG, [record(1, name="canary1", fullname="canary2", email="canary3@x", answers={"Why": "canary4"})]
    )
    for link in store.links("datasets/acme/eeg-1"):
        assert b"canary" not in link.body
        assert "canary" not in link.actor
        assert isinstance(decode_event(link.body), RequestSeen)


def test_a_commitment_is_over_salt_and_private_part(store: Store) -> None:
    told = record(1)
    store_records(store, EEG, [told])
    ((link, salt, private),) = store.links_with_private_parts("datasets/acme/eeg-1")
    assert salt is not None
    assert len(salt) == 16
    assert private is not None
    assert link.commitment == commitment_of(salt, private) == hashlib.sha256(b"\x00\x10" + salt + private).digest()


def test_a_tampered_entry_is_found(store: Store) -> None:
    store_records(store, EEG, [record(n) for n in range(1, 6)])
    assert store._writes is not None
    triggers = (
        ["DROP TRIGGER ledger_no_update"] if store._writes.is_sqlite else ["DROP TRIGGER ledger_no_change ON ledger"]
    )
    for sql in (*triggers, "UPDATE ledger SET actor = 'me' WHERE seq = 3"):
        store._writes.run(sql)
    assert [
        (one.seq, type(one)) for one in verify_chain(store.links("datasets/acme/eeg-1")) if isinstance(one, ChainBreak)
    ] == [(3, ChainBreak)]


def test_checkpoints_and_the_desks_own_chain(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    with store.writing() as write:
        write.append(None, [LedgerEntry(event=PolicyPromoted(policy="p", digest="d"), at=1, actor="lena")])
    heads = {chain: (length, head.hex()) for chain, (length, head) in store.chains().items()}
    assert list(heads) == ["datasets/acme/eeg-1", "desk"]
    with store.writing() as write:
        write.write_checkpoint(Checkpoint(9, heads))
    assert list(store.checkpoints()) == [Checkpoint(9, heads)]
    assert [link.seq for link in store.links("desk")] == [1]
    assert list(store.links("models/no/such")) == []


# ---- odds and ends -------------------------------------------------------------------------------------------------------


def test_repos_profiles_bindings_and_settings_come_back(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1)])
    person = store.requests([one])[one].person.id
    with store.writing() as write:
        write.update_repo(MED, {"gated": "manual", "form_card": "{}", "full_at": 7, "is_complete": True})
        write.write_profile(person, b'{"a":1}', 5)
        write.write_profile(person, b'{"a":2}', 6)
        write.write_binding("partners", "ada", "65")
        write.write_setting("k", "1")
        write.write_setting("k", "2")
        write.write_setting("gone", "x")
        write.write_setting("gone", None)
    assert [(row.repo, row.gated, row.full_at, row.is_complete) for row in store.repos()] == [
        (EEG, None, None, False),
        (MED, "manual", 7, True),
    ] or [row.repo for row in store.repos()] == sorted([EEG, MED])
    assert store.profiles([person, 99]) == {person: (b'{"a":2}', 6)}
    assert store.bindings("partners") == {"ada": "65"}
    assert (store.setting("k"), store.setting("gone")) == ("2", None)

    with pytest.raises(KeyError, match="not columns"), store.writing() as write:
        write.update_repo(EEG, {"id = 1; --": 1})
