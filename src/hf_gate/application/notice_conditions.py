"""Compares the state after a turn with the one before, and queues notices about what began, lasts or is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from ..domain.notices import MAX_REQUESTS, Condition, NoticeEvent, NoticeItem
from ..domain.timestamps import to_ms
from ..domain.turns import TurnEnd, TurnRow
from ..errors import NotAllowed
from ..store.approvals import count_overdue
from ..store.outbox import compare_conditions
from ..store.queue_queries import count_older, find_older, find_overdue
from ..store.writer import Writer
from .health import StuckKind, list_stuck
from .policy_bundle import PolicyBundle
from .policy_saves import read_workspace_holds
from .turn_permissions import read_held_counts
from .undelivered import list_undelivered
from .unknown_conditions import list_unknown_conditions
from .workspace import Workspace
from .workspace_status import MAX_OVERDUE

OLD_DAYS: Final = 5
"""A pending request is old after so many days."""

_REFUSED_TEXT: Final = "The Hub refuses the token of hf-gate run. Nothing is decided until you replace it."
_TURN_EVENTS: Final = (NoticeEvent.FAILED_TURN, NoticeEvent.TOKEN)
_STATE_EVENTS: Final = (NoticeEvent.AGEING, NoticeEvent.OVERDUE, NoticeEvent.STUCK)


def compare_after_turn(
    write: Writer, turn: TurnRow, problems: Sequence[BaseException], state: Sequence[Condition] | None = None
) -> None:
    """Queue notices about what a turn changed, in the transaction that stores its end.

    `state` comes from `list_state_conditions`; None if the turn could not find out.
    """
    is_telling = turn.end in {TurnEnd.OK, TurnEnd.PARTIAL, TurnEnd.FAILED}  # not stopped or interrupted
    events = (_TURN_EVENTS if is_telling else ()) + (() if state is None else _STATE_EVENTS)
    conditions = [*(_turn_conditions(turn, problems) if is_telling else ()), *(state or ())]
    if events:
        compare_conditions(write, events, conditions, turn.ended_at or turn.started_at)


def _turn_conditions(turn: TurnRow, problems: Sequence[BaseException]) -> Iterator[Condition]:
    if turn.end is not TurnEnd.OK:
        part = " in part" if turn.end is TurnEnd.PARTIAL else ""
        text = f"A turn failed{part}: {turn.problem or 'unknown why'}"
        yield Condition("turn", NoticeItem(event=NoticeEvent.FAILED_TURN, facts={"text": text}))
    if any(map(is_refused_token, problems)):
        yield Condition("token", NoticeItem(event=NoticeEvent.TOKEN, facts={"text": _REFUSED_TEXT}))


def is_refused_token(problem: BaseException) -> bool:
    """Tell whether an error says that the token is not valid any more."""
    return isinstance(problem, NotAllowed) and problem.status == HTTPStatus.UNAUTHORIZED


def list_state_conditions(workspace: Workspace, bundle: PolicyBundle) -> list[Condition]:
    """Return what lasts apart from turns: old and overdue requests of each repo, and what is stuck."""
    store, now, rows = workspace.store, workspace.now(), workspace.store.repos()
    before = to_ms(now - timedelta(days=OLD_DAYS))
    found: list[Condition] = []
    for repo in (row.repo for row in rows if bundle.config.includes(row.repo)):
        name = str(repo)
        if count := count_older(store, repo, before, MAX_OVERDUE):
            first = tuple(find_older(store, repo, before, MAX_REQUESTS))
            item = NoticeItem(
                event=NoticeEvent.AGEING, repo=name, count=count, requests=first, facts={"days": OLD_DAYS}
            )
            found.append(Condition(name, item))
        if count := count_overdue(store, repo, to_ms(now), MAX_OVERDUE):
            first = tuple(find_overdue(store, repo, to_ms(now), MAX_REQUESTS))
            item = NoticeItem(event=NoticeEvent.OVERDUE, repo=name, count=count, requests=first)
            found.append(Condition(name, item))
    stuck = list_stuck(
        store,
        rows,
        now,
        held_counts=read_held_counts(store),
        holds=read_workspace_holds(workspace),
        refused=[table for _, table in sorted(bundle.tables.items()) if table.file_problem],
        unknown=list_unknown_conditions(store, bundle.tables, bundle.is_governed),
        undelivered=list_undelivered(workspace),
        read_policies=lambda: bundle.policies,
    )
    found += [
        Condition(problem.key, NoticeItem(event=NoticeEvent.STUCK, facts={"text": problem.sentence}))
        for problem in stuck
        if problem.kind is not StuckKind.OVERDUE  # an event of its own
    ]
    return found
