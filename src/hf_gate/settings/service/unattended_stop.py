"""The stop of all unattended work, which is in force at once, also while another process holds the store."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from hf_gate.core.runs import ALL_RUNS
from hf_gate.store.sql import decode_stored
from hf_gate.store.store import Store


class StopCause(StrEnum):
    """Why unattended work was stopped, if no person did it."""

    LEDGER_BROKEN = "ledger_broken"


class UnattendedStop(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who stopped unattended work, and when (ms). `cause` is None if a person did."""

    by: str
    at: int
    cause: StopCause | None = None


def read_stop(store: Store) -> UnattendedStop | None:
    """Return the stop that is in force; None while unattended work may run."""
    text = store.stop_request(ALL_RUNS)
    return None if text is None else decode_stored(text, UnattendedStop)


def write_stop(store: Store, stop: UnattendedStop) -> None:
    """Stop unattended work, also if it was stopped before."""
    store.request_stop(ALL_RUNS, msgspec.json.encode(stop).decode())
