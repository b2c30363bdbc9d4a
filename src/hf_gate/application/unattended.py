"""Stops and starts everything that works unattended: one switch for all policies, grants that end, and runs of them."""

from __future__ import annotations

import msgspec

from ..domain import events as e
from ..store.store import Store
from ..store.turns import ALL_RUNS, delete_stop
from .setting_keys import UNATTENDED_STOP


class UnattendedStop(msgspec.Struct, frozen=True):
    """Who stopped unattended work, and when (ms)."""

    by: str
    at: int


def read_stop(store: Store) -> UnattendedStop | None:
    """Return the stop that is in force; None while unattended work may run."""
    text = store.stop_request(ALL_RUNS)
    return None if text is None else msgspec.json.decode(text, type=UnattendedStop)


def stop_unattended(store: Store, actor: str, at: int) -> bool:
    """Stop unattended work after the current batch; return False if it was stopped before.

    The stop is in force at once, also if another process holds the store or this store is open for reading only.
    `record_stop` then writes it to the ledger.
    """
    if read_stop(store) is not None:
        return False
    store.request_stop(ALL_RUNS, msgspec.json.encode(UnattendedStop(actor, at)).decode())
    return True


def record_stop(store: Store) -> None:
    """Record the stop that is in force in the ledger, unless that was done. Each turn does this too."""
    text = store.stop_request(ALL_RUNS)
    if text is None or store.setting(UNATTENDED_STOP) == text:
        return
    stop = msgspec.json.decode(text, type=UnattendedStop)
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=e.UnattendedStopped(), at=stop.at, actor=stop.by)])
        write.write_setting(UNATTENDED_STOP, text)


def start_unattended(store: Store, actor: str, at: int) -> bool:
    """Let unattended work continue; return False if it was not stopped."""
    if read_stop(store) is None:
        return False
    record_stop(store)
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=e.UnattendedStarted(), at=at, actor=actor)])
        delete_stop(write)
        write.write_setting(UNATTENDED_STOP, None)
    return True
