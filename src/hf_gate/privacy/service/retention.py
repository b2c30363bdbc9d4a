"""Deletes the personal data of old requests as `retention` in hf-gate.yaml says: shows it first,
and works in batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.privacy.rows.erasure import count_expired, delete_expired
from hf_gate.privacy.rows.erasure_repetition import scrub
from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.setting_keys import RETENTION_AT

_BATCH: Final = 5_000  # requests of one transaction, which rebuilds the search index of SQLite once
_MAX_IN_TURN: Final = 5_000  # requests of one turn of `run`; the next turn continues


def count_expired_by_status(workspace: Workspace) -> dict[str, int]:
    """Return how many requests of each configured status have been kept long enough."""
    periods = workspace.location.config.retention
    return {
        status: count_expired(workspace.store, status, _limit_of(workspace, days))
        for status, days in sorted(periods.items())
    }


def apply_retention(workspace: Workspace, actor: str, most: int = _MAX_IN_TURN) -> dict[str, int]:
    """Delete the personal data of at most `most` requests; return how many of each status."""
    done: dict[str, int] = {}
    for status, days in sorted(workspace.location.config.retention.items()):
        while most > 0:
            count = delete_expired(
                workspace.store,
                status,
                _limit_of(workspace, days),
                limit=min(_BATCH, most),
                at=to_ms(workspace.now()),
                actor=actor,
            )
            done[status] = done.get(status, 0) + count
            most -= count
            if count == 0:
                break
    if sum(done.values()):
        scrub(workspace.store)
    return done


def apply_daily(workspace: Workspace, actor: str) -> Mapping[str, int]:
    """Apply the retention once a day, or again at once while requests are left over from the last time."""
    store = workspace.store
    now = to_ms(workspace.now())
    if not workspace.location.config.retention or now - int(store.setting(RETENTION_AT) or 0) < DAY_MS:
        return {}
    done = apply_retention(workspace, actor)
    if sum(done.values()) < _MAX_IN_TURN:
        with store.writing() as write:
            write.write_setting(RETENTION_AT, str(now))
    return done


def _limit_of(workspace: Workspace, days: int) -> int:
    return to_ms(workspace.now()) - days * DAY_MS
