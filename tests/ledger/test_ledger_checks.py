"""Turns verify what was added to the ledger, and once a day all of it; what a person accepted stops nothing again."""

from __future__ import annotations

import pytest

from hf_gate.automation.service.unattended import record_stop, start_unattended, stop_unattended
from hf_gate.base.timestamps import DAY_MS, from_ms
from hf_gate.core.events.ledger import chain_of
from hf_gate.errors import StoreDamaged
from hf_gate.ledger.service.ledger_checks import LedgerCheck, stop_if_broken, verify_due_entries
from hf_gate.ledger.service.ledger_files import store_checkpoint
from hf_gate.privacy.rows.erasure import delete_expired
from hf_gate.settings.service.unattended_stop import StopCause, read_stop
from hf_gate.settings.setting_keys import LEDGER_CHECK
from hf_gate.store.store import Store
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import EEG, ON_BOTH, record, store, store_records
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]

T0 = 1_790_000_000_000
CHAIN = chain_of(EEG)


def check(store: Store, at: int = T0) -> LedgerCheck:
    return verify_due_entries(store, at)


def tamper(store: Store, *statements: str) -> None:
    """What somebody with a database tool can do."""
    with store.writing() as write:
        for name in ("ledger_no_update", "ledger_no_delete") if write.db.is_sqlite else ("ledger_no_change",):
            write.db.run(f"DROP TRIGGER {name}{'' if write.db.is_sqlite else ' ON ledger'}")
        for sql in statements:
            assert write.db.run(sql)


INSERTED = (
    "INSERT INTO ledger (repo_id, seq, at, kind, actor, body, hash)"
    " SELECT repo_id, seq + 1, at, kind, actor, body, hash FROM ledger WHERE repo_id > 0 AND seq = 19"
)
REWRITE = "UPDATE ledger SET actor = 'mallory' WHERE seq = {} AND repo_id > 0"


def test_a_ledger_that_nobody_touched_stops_nothing(store: Store) -> None:
    assert check(store).broken == []
    store_records(store, EEG, [record(number) for number in range(1, 20)])
    for at in (T0, T0 + 1, T0 + DAY_MS, T0 + 3 * DAY_MS):
        assert check(store, at).broken == []
    assert stop_if_broken(store, ManualClock.at_ms(T0)) is None


def test_an_end_that_was_cut_off_with_its_head_is_found_by_the_next_turn(store: Store) -> None:
    store_records(store, EEG, [record(number) for number in range(1, 20)])
    check(store)
    tamper(
        store,
        "DELETE FROM private WHERE id IN (SELECT id FROM ledger WHERE repo_id > 0 AND seq > 15)",
        "UPDATE chains SET seq = 15, head = (SELECT hash FROM ledger WHERE repo_id > 0 AND seq = 15) WHERE repo_id > 0",
    )
    assert f"{CHAIN}#16: cut off: 19 entries at the checkpoint, 15 now" in check(store).broken


def test_a_chain_that_was_rewritten_whole_differs_from_a_stored_checkpoint(store: Store) -> None:
    store_records(store, EEG, [record(number) for number in range(1, 20)])
    check(store)
    store_checkpoint(store, from_ms(T0))
    with store.writing() as write:
        assert write.db.run("UPDATE checkpoints SET heads = replace(heads, ':[19,\"', ':[18,\"')")
    assert check(store, T0 + DAY_MS - 1).broken == []
    assert check(store, T0 + DAY_MS).broken == [f"{CHAIN}#18: rewritten: its hash differs from the checkpoint"]


@pytest.mark.parametrize("harm", ["changed", "removed", "inserted", "cut off"])
def test_the_daily_check_finds_an_old_entry_that_was_changed_removed_or_inserted(store: Store, harm: str) -> None:
    store_records(store, EEG, [record(number) for number in range(1, 20)])
    check(store)
    tamper(store, *_HARMS[harm])
    assert any(f"{CHAIN}#" in text for text in check(store, T0 + DAY_MS).broken), harm


_HARMS = {
    "changed": (REWRITE.format(3),),
    "removed": ("DELETE FROM ledger WHERE repo_id > 0 AND seq = 3",),
    "inserted": (INSERTED,),
    "cut off": (
        "DELETE FROM private WHERE id IN (SELECT id FROM ledger WHERE repo_id > 0 AND seq > 15)",
        "DELETE FROM ledger WHERE repo_id > 0 AND seq > 15",
        "UPDATE chains SET seq = 15, head = (SELECT hash FROM ledger WHERE repo_id > 0 AND seq = 15) WHERE repo_id > 0",
    ),
}


def test_an_erasure_is_no_break(store: Store) -> None:
    store_records(store, EEG, [record(number) for number in range(1, 1001)])
    check(store)
    assert delete_expired(store, "pending", 1 << 60, limit=10, at=T0, actor="lena") == 10
    for at in (T0, T0 + DAY_MS, T0 + 3 * DAY_MS):
        assert check(store, at).broken == []


@pytest.mark.parametrize("value", ["{", "[]", '{"reached": {"desk": 7}}'])
def test_a_stored_result_that_cannot_be_read_is_a_damaged_store(store: Store, value: str) -> None:
    with store.writing() as write:
        write.write_setting(LEDGER_CHECK, value)
    with pytest.raises(StoreDamaged, match="cannot be read"):
        check(store)


@ON_BOTH
def test_a_break_stops_unattended_work_until_a_person_accepts_it(store: Store) -> None:
    store_records(store, EEG, [record(number) for number in range(1, 20)])
    assert stop_if_broken(store, ManualClock.at_ms(T0)) is None
    store_records(store, EEG, [record(20)])
    tamper(store, REWRITE.format(20))
    stop = stop_if_broken(store, ManualClock.at_ms(T0 + 1))
    assert stop is not None
    assert (stop.by, stop.cause) == ("hf-gate run", StopCause.LEDGER_BROKEN)
    assert stop_if_broken(store, ManualClock.at_ms(T0 + 2)) == stop == read_stop(store)
    assert start_unattended(store, "lena", T0 + 3)
    for at in (T0 + 4, T0 + DAY_MS, T0 + 3 * DAY_MS):
        assert stop_if_broken(store, ManualClock.at_ms(at)) is None, "a person accepted it"
    with store.writing() as write:
        assert write.db.run(REWRITE.format(2))
    assert stop_if_broken(store, ManualClock.at_ms(T0 + 5 * DAY_MS)) is not None, "another break"


def test_a_break_is_named_although_a_person_had_stopped_unattended_work_before(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    tamper(store, REWRITE.format(1))
    assert stop_unattended(store, "mia", T0)
    stop = stop_if_broken(store, ManualClock.at_ms(T0))
    assert stop is not None
    assert stop.cause is StopCause.LEDGER_BROKEN


def test_a_stop_is_in_force_although_the_broken_ledger_takes_no_entry(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    assert stop_unattended(store, "mia", T0)
    record_stop(store)
    assert start_unattended(store, "mia", T0)
    assert check(store).broken == []
    tamper(store, "UPDATE chains SET seq = 1 WHERE repo_id = 0")
    stop = stop_if_broken(store, ManualClock.at_ms(T0 + 1))
    assert stop is not None
    record_stop(store)
    assert read_stop(store) == stop
