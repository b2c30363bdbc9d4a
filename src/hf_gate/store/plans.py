"""Reads, stores and deletes plans."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ..domain.rows import PlanRow
from .approvals import delete_endorsements
from .runs import check_records_kept
from .store import Store


class Plans:
    """Plans with their summaries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_plans(self, limit: int = 50) -> list[PlanRow]:
        """Return plans, the latest first."""
        return self._select("ORDER BY made_at DESC, digest LIMIT ?", limit)

    def find_plan(self, digest: str) -> PlanRow | None:
        """Return the plan with this digest, or None."""
        return next(iter(self._select("WHERE digest = ?", digest)), None)

    def _select(self, rest: str, value: object) -> list[PlanRow]:
        rows = self._store.reads.rows(f"SELECT digest, made_at, about FROM plans {rest}", (value,))
        return [self._plan(*row) for row in rows]

    def _plan(self, digest: str, made_at: int, about: str | None) -> PlanRow:
        run = self._store.run_of_plan(digest)
        told = json.loads(about) if about else {}
        return PlanRow(digest, made_at, told, *((run.id, run.state) if run else (None, None)))

    def store_plan(
        self, digest: str, document: bytes, made_at: int, about: Mapping[str, Any], requests: Collection[int] = ()
    ) -> None:
        """Store a plan and its summary. If the plan is stored already, only the summary is replaced.

        `requests` are those that the plan is about. Raises Guarded if the personal data of one of them was deleted.
        """
        with self._store.writing() as write:
            check_records_kept(write.db, requests)
            write.write_plan(digest, document, made_at)
            write.set_plan_summary(digest, about)

    def delete_plans(self, digests: Collection[str]) -> int:
        """Delete those of these plans that no run was made from; return how many. The names in them are deleted too."""
        with self._store.writing() as write:
            among, value = write.db.in_clause(list(digests))
            free = "digest NOT IN (SELECT plan FROM runs WHERE plan IS NOT NULL)"
            gone = [
                row[0] for row in write.db.rows(f"SELECT digest FROM plans WHERE digest {among} AND {free}", (value,))
            ]
            among, value = write.db.in_clause(gone)
            write.db.run(f"DELETE FROM plans WHERE digest {among}", (value,))
            delete_endorsements(write, gone)
        return len(gone)
