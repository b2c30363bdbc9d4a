"""Stops and starts everything that works unattended: one switch for all policies, grants that end, and runs of them."""

from __future__ import annotations

from typing import Final

from hf_gate.automation.rows import delete_stop
from hf_gate.core.events import events as e
from hf_gate.core.runs import ALL_RUNS
from hf_gate.ledger.service.ledger_checks import accept_breaks, read_check
from hf_gate.settings.service.unattended_stop import UnattendedStop, read_stop, write_stop
from hf_gate.settings.setting_keys import UNATTENDED_STOP
from hf_gate.store.sql import decode_stored
from hf_gate.store.store import Store

LEDGER_HINT: Final = (
    "See the places: hf-gate audit verify. Restore a backup, or accept the audit log as it is; then: hf-gate start"
)
"""The next step while the ledger is broken."""


def stop_unattended(store: Store, actor: str, at: int) -> bool:
    """Stop unattended work after the current batch; return False if it was stopped before.

    The stop is in force at once, also if another process holds the store or this store is open for reading only.
    `record_stop` then writes it to the ledger.
    """
    if read_stop(store) is not None:
        return False
    write_stop(store, UnattendedStop(actor, at))
    return True


def record_stop(store: Store) -> None:
    """Record the stop that is in force in the ledger, unless that was done. Each turn does this too.

    A broken ledger may be unable to take the entry; the stop is in force all the same.
    """
    text = store.stop_request(ALL_RUNS)
    if text is None or store.setting(UNATTENDED_STOP) == text:
        return
    stop = decode_stored(text, UnattendedStop)
    event = e.UnattendedStopped(cause=stop.cause)
    try:
        with store.writing() as write:
            write.append(None, [e.LedgerEntry(event=event, at=stop.at, actor=stop.by)])
            write.write_setting(UNATTENDED_STOP, text)
    except store.error:
        if stop.cause is None:
            raise


def start_unattended(store: Store, actor: str, at: int) -> bool:
    """Let unattended work continue; return False if it was not stopped.

    After a stop because the ledger is broken, this accepts the breaks that were found.
    """
    stop = read_stop(store)
    if stop is None:
        return False
    record_stop(store)
    check = read_check(store)
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=e.UnattendedStarted(cause=stop.cause), at=at, actor=actor)])
        delete_stop(write)
        if check.broken:
            accept_breaks(write, check)
        write.write_setting(UNATTENDED_STOP, None)
    return True
