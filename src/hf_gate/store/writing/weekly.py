"""Counts by repo and week: written with every change of a request, and read for the overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS
from hf_gate.core.events.activity import Activity, Answerer, wait_bucket, week_of, weekday_of
from hf_gate.core.events.events import OUTSIDE, POLICY_ACTOR
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import ANSWERS, Status
from hf_gate.core.stored_rows import WeeklyCount
from hf_gate.store.rows.repos import read_repos_by_number
from hf_gate.store.sql import Database, Reader


class WeeklyCounts:
    """The counts of one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: Counter[tuple[str, int, int, str]] = Counter()
        self._new_pending: Counter[tuple[int, int]] = Counter()  # most new attempts: by repo and day of the request

    def add(self, kind: Activity, at: int, repo_id: int, name: str = "", n: int = 1) -> None:
        """Count something that happened at a time (ms)."""
        self._counts[str(kind), week_of(at), repo_id, name] += n

    def count_new(self, repo_id: int, state: RequestState) -> None:
        """Count a new attempt, which has no end yet. If it was already answered, it was answered outside hf-gate."""
        if state.status == Status.PENDING:
            self._new_pending[repo_id, state.asked_at // DAY_MS] += 1
            return
        self.add(Activity.ASKED, state.asked_at, repo_id)
        self.count_current(repo_id, state, 1)
        if state.status in ANSWERS and state.reviewed_at is not None:
            self._count_answer(repo_id, state, state.reviewed_at, Answerer.OUTSIDE)

    def count_move(self, repo_id: int, before: RequestState, after: RequestState, at: int, actor: str) -> None:
        """Count a change of status. Only a change of a pending request counts as an answer."""
        if before.status != Status.PENDING or after.status not in ANSWERS:
            return
        self._count_answer(repo_id, after, at, _answerer(actor))

    def count_current(self, repo_id: int, state: RequestState, n: int) -> None:
        """Count a current request as pending, or as a grant that ends."""
        if state.status == Status.PENDING:
            self.add(Activity.OPEN, state.asked_at, repo_id, str(weekday_of(state.asked_at)), n)
        if state.ends_at is not None:
            self.add(Activity.END, state.ends_at, repo_id, n=n)

    def flush(self) -> None:
        """Add the counts to the stored ones."""
        for (repo_id, day), n in self._new_pending.items():
            asked_at = day * DAY_MS
            self.add(Activity.ASKED, asked_at, repo_id, n=n)
            self.add(Activity.OPEN, asked_at, repo_id, str(weekday_of(asked_at)), n)
        self._new_pending.clear()
        self._db.run_many(
            "INSERT INTO weekly (kind, week, repo_id, name, n) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, week, repo_id, name) DO UPDATE SET n = weekly.n + excluded.n",
            [(*key, n) for key, n in self._counts.items() if n],
        )
        self._counts.clear()

    def _count_answer(self, repo_id: int, state: RequestState, at: int, answerer: Answerer) -> None:
        self.add(Activity.ANSWERED, at, repo_id, f"{answerer} {state.status}")
        self.add(Activity.WAIT, state.asked_at, repo_id, str(wait_bucket(at - state.asked_at)))


def read_weekly_counts(
    reader: Reader, kinds: Iterable[Activity], repos: Iterable[Repo] | None, since: int | None = None
) -> list[WeeklyCount]:
    """Return sums over repos by kind, week and name. `repos` None means all. `since` is the first week."""
    among, kinds_value = reader.reads.in_clause([kind.value for kind in kinds])
    conditions = [f"w.kind {among}"]
    values = [kinds_value]
    if since is not None:
        conditions.append("w.week >= ?")
        values.append(since)
    if repos is not None:
        wanted = set(repos)
        numbers = [number for number, repo in read_repos_by_number(reader).items() if repo in wanted]
        among, repos_value = reader.reads.in_clause(numbers)
        conditions.append(f"w.repo_id {among}")
        values.append(repos_value)
    rows = reader.reads.rows(
        f"SELECT w.kind, w.week, w.name, sum(w.n) FROM weekly w WHERE {' AND '.join(conditions)}"
        " GROUP BY w.kind, w.week, w.name HAVING sum(w.n) > 0",
        tuple(values),
    )
    return [WeeklyCount(Activity(kind), int(week), name, int(n)) for kind, week, name, n in rows]


def _answerer(actor: str) -> Answerer:
    if actor.startswith(POLICY_ACTOR):
        return Answerer.RULE
    return Answerer.OUTSIDE if actor == OUTSIDE else Answerer.PERSON
