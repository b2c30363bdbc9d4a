"""Reads the decisions that people made, the newest first, and the entries about one person up to a decision."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from ..domain.events import POLICY_ACTOR, ChangeSettled, EventKind, StatusMoved, decode_event
from ..domain.grant_origin import DatedEvent
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.past_history import RepoEvent
from ..domain.rows import PersonDecision
from .sql import Row
from .store import Store

_PAGE: Final = 2000  # entries that one statement reads
_KINDS: Final = (EventKind.CHANGE_SETTLED.value, EventKind.STATUS_MOVED.value)
_DECIDED: Final = frozenset({Status.ACCEPTED, Status.REJECTED, Status.RESET})
_COLUMNS: Final = "id, seq, repo_id, request_id, at, actor, body"


def iterate_person_decisions(
    store: Store, repos: Collection[int], *, since: int | None = None, max_searched: int | None = None
) -> Iterator[PersonDecision]:
    """Iterate over the decisions of people at these repos (ids), the newest first.

    `since` (ms) ends the search at an earlier entry. At most `max_searched` entries of the ledger are searched.
    """
    top = int((store.reads.row("SELECT max(id) FROM ledger") or (0,))[0] or 0) + 1
    floor = 0 if max_searched is None else top - max_searched
    sql = f"SELECT {_COLUMNS} FROM ledger WHERE id < ? AND id >= ? AND kind IN (?, ?) ORDER BY id DESC LIMIT {_PAGE}"
    while page := store.reads.rows(sql, (top, floor, *_KINDS)):
        for row in page:
            if since is not None and row[4] < since:
                return
            if row[2] in repos and (decision := _decision_of(row)) is not None:
                yield decision
        top = page[-1][0]


def read_person_decisions(store: Store, requests: Sequence[int]) -> list[PersonDecision]:
    """Return the decisions of people about these requests, the newest first."""
    among, value = store.reads.in_clause(list(requests))
    sql = f"SELECT {_COLUMNS} FROM ledger WHERE request_id {among} AND kind IN (?, ?) ORDER BY id DESC"
    return [found for row in store.reads.rows(sql, (value, *_KINDS)) if (found := _decision_of(row)) is not None]


def read_person_events(store: Store, person: int, before: int) -> list[RepoEvent]:
    """Return the entries about all requests of a person before entry number `before`, oldest first."""
    rows = store.reads.rows(
        "SELECT l.request_id, l.repo_id, l.id, l.at, l.actor, l.body FROM requests r JOIN ledger l ON l.request_id = r.id"
        " WHERE r.person_id = ? AND l.id < ? ORDER BY l.id",
        (person, before),
    )
    return [
        RepoEvent(request, repo, DatedEvent(ident, at, actor, decode_event(body.encode())))
        for request, repo, ident, at, actor, body in rows
    ]


def _decision_of(row: Row) -> PersonDecision | None:
    """Return the decision that an entry shows; None if a policy made it, or if it decided nothing."""
    entry, seq, repo_id, request, at, actor, body = row
    event = decode_event(body.encode())
    if request is None or actor.startswith(POLICY_ACTOR):
        return None
    is_done = isinstance(event, ChangeSettled) and event.kind == OutcomeKind.DONE
    is_moved = isinstance(event, StatusMoved) and event.before == Status.PENDING
    if not (is_done or is_moved) or getattr(event, "after", None) not in _DECIDED:
        return None
    return PersonDecision(
        entry=entry, seq=seq, repo_id=repo_id, request=request, at=at, actor=actor, after=getattr(event, "after", ""),
        is_outside=is_moved,
    )  # fmt: skip
