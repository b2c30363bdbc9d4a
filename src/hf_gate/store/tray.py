"""Stores the tray: unsent decisions, and for some time the outcomes of sent ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..domain.outcomes import OutcomeKind
from ..domain.tray import ACCEPT, QueuedDecision
from .sql import decode_row
from .store import Store
from .writer import Writer

_NAMES = (
    "id", "request_id", "version", "verb", "reason", "actor", "batch", "made_at", "leaves_at", "run", "outcome", "why",
    "ended_at", "until", "member", "hand_terms", "note",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_NAMES)} FROM tray"
_INSERT = f"INSERT INTO tray ({', '.join(_NAMES[1:])}) VALUES ({', '.join('?' * len(_NAMES[1:]))})"
_GOOD = (OutcomeKind.DONE, OutcomeKind.ALREADY)
_MAX_ENDED = 1000  # older ended decisions are deleted


class Tray:
    """Unsent decisions, and recently sent ones."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, items: Sequence[QueuedDecision], shared: Collection[int] = ()) -> list[QueuedDecision]:
        """Add decisions.

        Return the stored decisions of requests that were already in the tray, which are not replaced. Several members
        can accept a `shared` request at once, because it needs two people.
        """
        clashes: list[QueuedDecision] = []
        with self._store.writing() as write:
            for item in items:
                rows = write.db.rows(f"{_SELECT} WHERE request_id = ? AND outcome IS NULL", (item.request,))
                clash = next(
                    (one for row in rows if not _are_two(one := decode_row(row, QueuedDecision), item, shared)), None
                )
                if clash is not None:
                    clashes.append(clash)
                    continue
                write.db.run(_INSERT, [getattr(item, name) for name in item.__struct_fields__[1:]])
        return clashes

    def list_waiting(self) -> list[QueuedDecision]:
        """Return all decisions without an outcome; those that are sent first come first."""
        return self._select("outcome IS NULL ORDER BY leaves_at IS NULL, leaves_at, id")

    def list_unsent(self, member: str) -> list[QueuedDecision]:
        """Return a member's decisions that are not part of a run yet, in the order of `list_waiting`."""
        where = "outcome IS NULL AND run IS NULL AND member = ? ORDER BY leaves_at IS NULL, leaves_at, id"
        return self._select(where, member)

    def list_due(self, now: int) -> list[QueuedDecision]:
        """Return the decisions that are due and not part of a run, in the order in which they were made."""
        return self._select("outcome IS NULL AND run IS NULL AND leaves_at <= ? ORDER BY id", now)

    def list_of_run(self, run: str) -> list[QueuedDecision]:
        """Return the decisions without an outcome that a run executes, in the order in which they were made."""
        return self._select("outcome IS NULL AND run = ? ORDER BY id", run)

    def find_latest(self, requests: Iterable[int], member: str | None = None) -> dict[int, QueuedDecision]:
        """Return the latest decision about each of these requests, ended or not; this member's unsent ones
        come first.
        """
        among, value = self._store.reads.in_clause(list(requests))
        own = "CASE WHEN member = ? AND outcome IS NULL THEN 1 ELSE 0 END"
        return {
            item.request: item for item in self._select(f"request_id {among} ORDER BY {own}, id", value, member or "")
        }

    def list_sent(self, member: str, since: int, limit: int) -> list[QueuedDecision]:
        """Return a member's decisions that took effect since a time (ms), latest first."""
        where = "outcome IN (?, ?) AND member = ? AND ended_at >= ? AND run IS NOT NULL"
        return self._select(f"{where} ORDER BY ended_at DESC, id DESC LIMIT ?", *_GOOD, member, since, limit)

    def list_recent(self, member: str, limit: int) -> list[QueuedDecision]:
        """Return a member's latest decisions, unsent or sent, the latest first; without those they undid."""
        where = "member = ? AND (outcome IS NULL OR outcome <> 'undone') ORDER BY id DESC LIMIT ?"
        return self._select(where, member, limit)

    def list_failed(self, member: str) -> list[QueuedDecision]:
        """Return a member's decisions that did not take effect, except those the member has marked as seen."""
        bad = "outcome IS NOT NULL AND outcome NOT IN (?, ?, ?, 'undone', 'seen')"
        return self._select(f"{bad} AND member = ? ORDER BY id", *_GOOD, OutcomeKind.DEFERRED, member)

    def _select(self, where: str, *values: object) -> list[QueuedDecision]:
        return [decode_row(row, QueuedDecision) for row in self._store.reads.rows(f"{_SELECT} WHERE {where}", values)]

    # ---- changes -----------------------------------------------------------------------------------------------------

    def undo(self, ids: Sequence[int], at: int) -> int:
        """Undo decisions that no run executes yet; return how many."""
        return self._update("run IS NULL AND outcome IS NULL", "outcome = 'undone', ended_at = ?", (at,), ids)

    def set_departure(self, ids: Sequence[int], at: int | None) -> int:
        """Set when decisions that no run executes yet are sent (ms); None: when a person sends them.

        Return how many.
        """
        return self._update("run IS NULL AND outcome IS NULL", "leaves_at = ?", (at,), ids)

    def set_run(self, ids: Sequence[int], run: str | None) -> int:
        """Assign decisions to a run, after which they cannot be undone; None means that the run was never started."""
        return self._update(
            f"outcome IS NULL AND run IS {'NOT NULL' if run is None else 'NULL'}", "run = ?", (run,), ids
        )

    def record_outcomes(self, outcomes: Sequence[tuple[int, str, str]], at: int) -> None:
        """Store outcomes as number, kind and reason. Old ended decisions are deleted."""
        with self._store.writing() as write:
            rows = [(kind, why, at, ident) for ident, kind, why in outcomes]
            write.db.run_many("UPDATE tray SET outcome = ?, why = ?, ended_at = ? WHERE id = ?", rows)
            write.db.run(
                "DELETE FROM tray WHERE outcome IS NOT NULL AND id < (SELECT max(id) FROM tray) - ?", (_MAX_ENDED,)
            )

    def mark_seen(self, ids: Sequence[int]) -> int:
        """Mark outcomes as seen by the member who decided."""
        return self._update("outcome IS NOT NULL", "outcome = 'seen'", (), ids)

    def _update(self, where: str, what: str, values: Sequence[object], ids: Sequence[int]) -> int:
        with self._store.writing() as write:
            among, value = write.db.in_clause(ids)
            return write.db.run(f"UPDATE tray SET {what} WHERE id {among} AND {where}", (*values, value))


def undo_acceptance(write: Writer, request: int, member: str, at: int) -> bool:
    """Undo a member's unsent acceptance of a request; return False if a run executes one."""
    where = "request_id = ? AND member = ? AND verb = ? AND outcome IS NULL"
    values = (request, member, ACCEPT)
    write.db.run(f"UPDATE tray SET outcome = 'undone', ended_at = ? WHERE {where} AND run IS NULL", (at, *values))
    return write.db.row(f"SELECT 1 FROM tray WHERE {where}", values) is None


def _are_two(one: QueuedDecision, other: QueuedDecision, shared: Collection[int]) -> bool:
    """Tell whether two people accept the same request, which needs two people."""
    return one.request in shared and one.verb == other.verb == ACCEPT and one.member != other.member
