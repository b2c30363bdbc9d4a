"""The earlier decisions about one person, folded from the events of their requests, to check what the store counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hf_gate.core.events.events import decode_event
from hf_gate.core.events.grant_origin import DatedEvent
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.stored_rows import HistoryRow
from hf_gate.store.store import Store


class RepoEvent(NamedTuple):
    """One entry about a request of a person, with the numbers of the request and its repo."""

    request: int
    repo_id: int
    dated: DatedEvent


def read_person_events(store: Store, person: int) -> list[RepoEvent]:
    """Return the entries about all requests of a person, oldest first."""
    rows = store.reads.rows(
        "SELECT l.request_id, l.repo_id, l.id, l.at, l.actor, l.body FROM requests r JOIN ledger l"
        " ON l.request_id = r.id WHERE r.person_id = ? ORDER BY l.id",
        (person,),
    )
    return [
        RepoEvent(request, repo, DatedEvent(ident, at, actor, decode_event(body.encode())))
        for request, repo, ident, at, actor, body in rows
    ]


def fold_history(events: Iterable[RepoEvent], repo_id: int) -> HistoryRow:
    """Return the decisions about a person at one repo after these events, as the store counts them.

    `elsewhere` counts the other repos where the latest request is accepted.
    """
    states: dict[int, RequestState] = {}
    repos: dict[int, int] = {}
    counts = dict.fromkeys((Status.ACCEPTED, Status.REJECTED, Status.RESET), 0)
    last = "none"
    last_at = None
    for request, repo, (_, at, _, event) in events:
        before = states.get(request)
        after = apply_event(before, event, at)
        if after is None:
            continue
        states[request] = after
        repos[request] = repo
        status = None if before is None else before.status
        is_undone = status == Status.RESET and after.status in STATUSES
        if repo != repo_id or status == after.status or (after.status not in counts and not is_undone):
            continue
        if after.status in counts:
            counts[Status(after.status)] += 1
        counts[Status.RESET] -= is_undone
        is_new_review = before is None or after.reviewed_at != before.reviewed_at
        last = after.status
        last_at = (after.reviewed_at if is_new_review else None) or at
    superseded = {state.after for state in states.values()}
    elsewhere = [
        request
        for request, state in states.items()
        if request not in superseded and state.status == Status.ACCEPTED and repos[request] != repo_id
    ]
    return HistoryRow(
        accepted=counts[Status.ACCEPTED],
        rejected=counts[Status.REJECTED],
        resets=counts[Status.RESET],
        elsewhere=len(elsewhere),
        last_decision=last,
        last_at=last_at,
    )
