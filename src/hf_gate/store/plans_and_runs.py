"""Reads plans and runs for pages: lists, counts, and changes page by page.

It never reads all changes of a run at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..domain.ids import Repo
from ..domain.rows import ChangeRow, PlanRow
from .approvals import delete_endorsements
from .runs import SELECT_CHANGES, build_changes, check_records_kept
from .state_columns import repo_of
from .store import Store


class PlansAndRuns:
    """Reads plans and runs for pages, and stores plans."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # ---- plans -------------------------------------------------------------------------------------------------------

    def list_plans(self, limit: int = 50) -> list[PlanRow]:
        """Return plans, the latest first."""
        rows = self._store.reads.rows(
            "SELECT p.digest, p.made_at, p.about FROM plans p ORDER BY p.made_at DESC, p.digest LIMIT ?",
            (limit,),
        )
        return [self._plan(*row) for row in rows]

    def find_plan(self, digest: str) -> PlanRow | None:
        """Return the plan with this digest, or None."""
        row = self._store.reads.row(
            "SELECT p.digest, p.made_at, p.about FROM plans p WHERE p.digest = ?",
            (digest,),
        )
        return None if row is None else self._plan(*row)

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

    # ---- runs --------------------------------------------------------------------------------------------------------

    def read_repos(self, run: str) -> list[Repo]:
        """Return the repos of the requests that a run changes."""
        found = self._store.reads.rows(
            "SELECT o.type, o.namespace, o.name FROM repos o WHERE o.id IN (SELECT repo_id FROM changes WHERE run = ?)"
            " ORDER BY o.type, o.namespace, o.name",
            (run,),
        )
        return [repo_of(*row) for row in found]

    def count_changes(self, run: str, repos: Sequence[Repo] | None = None) -> dict[str, int]:
        """Return how many changes of a run are in each state, at these repos or at all (None)."""
        where, values = self._build_condition(run, repos)
        return dict(
            self._store.reads.rows(f"SELECT state, count(*) FROM changes c WHERE {where} GROUP BY state", values)
        )

    def read_page(
        self,
        run: str,
        *,
        states: Collection[str] | None = None,
        repos: Sequence[Repo] | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[ChangeRow]:
        """Return the changes after the one with number `after`, in the order of the plan."""
        where, values = self._build_condition(run, repos)
        if states is not None:
            among, value = self._store.reads.in_clause(list(states))
            where = f"{where} AND c.state {among}"
            values = [*values, value]
        sql = f"{SELECT_CHANGES} {where} AND c.n > ? ORDER BY c.n LIMIT ?"
        return build_changes(run, self._store.reads.rows(sql, (*values, after, limit)))

    def iterate_changes(self, run: str, repos: Sequence[Repo] | None = None) -> Iterator[ChangeRow]:
        """Iterate over all changes of a run, read in pages."""
        after = 0
        size = 1000
        while page := self.read_page(run, repos=repos, after=after, limit=size):
            yield from page
            after = page[-1].n

    def _build_condition(self, run: str, repos: Sequence[Repo] | None) -> tuple[str, list[object]]:
        if repos is None:
            return "c.run = ?", [run]
        rows = [self._store.repo(repo) for repo in repos]
        among, value = self._store.reads.in_clause([row.id for row in rows if row is not None])
        return f"c.run = ? AND c.repo_id {among}", [run, value]
