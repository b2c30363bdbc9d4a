"""Reads, stores and deletes plans."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from hf_gate.core.stored_rows import PlanRow
from hf_gate.store.rows.runs import check_records_kept, read_run
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store

from .approvals import delete_endorsements

_MAX_LISTED: Final = 50


def list_plans(reader: Reader) -> list[PlanRow]:
    """Return the latest plans, the latest first."""
    return _select(reader, "ORDER BY made_at DESC, digest LIMIT ?", _MAX_LISTED)


def find_plan(reader: Reader, digest: str) -> PlanRow | None:
    """Return the plan with this digest, or None."""
    return next(iter(_select(reader, "WHERE digest = ?", digest)), None)


def save_plan(
    store: Store, digest: str, document: bytes, made_at: int, about: Mapping[str, Any], requests: Collection[int] = ()
) -> None:
    """Store a plan and its summary. If the plan is stored already, only the summary is replaced.

    `requests` are those that the plan is about. Raises Guarded if the personal data of one of them was deleted.
    """
    with store.writing() as write:
        check_records_kept(write.db, requests)
        write.write_plan(digest, document, made_at)
        write.set_plan_summary(digest, about)


def delete_plans(store: Store, digests: Collection[str]) -> int:
    """Delete those of these plans that no run was made from; return how many. The names in them are deleted too."""
    with store.writing() as write:
        among, value = write.db.in_clause(list(digests))
        free = "digest NOT IN (SELECT plan FROM runs WHERE plan IS NOT NULL)"
        gone = [row[0] for row in write.db.rows(f"SELECT digest FROM plans WHERE digest {among} AND {free}", (value,))]
        among, value = write.db.in_clause(gone)
        write.db.run(f"DELETE FROM plans WHERE digest {among}", (value,))
        delete_endorsements(write, gone)
    return len(gone)


def _select(reader: Reader, rest: str, value: object) -> list[PlanRow]:
    rows = reader.reads.rows(f"SELECT digest, made_at, about FROM plans {rest}", (value,))
    return [_build_plan_row(reader, *row) for row in rows]


def _build_plan_row(reader: Reader, digest: str, made_at: int, about: str | None) -> PlanRow:
    run = read_run(reader.reads, "plan = ?", digest)
    told = json.loads(about) if about else {}
    return PlanRow(digest, made_at, told, *((run.id, run.state) if run else (None, None)))
