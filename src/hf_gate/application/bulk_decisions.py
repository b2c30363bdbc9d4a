"""A person's decision about very many, as a run: written down in parts before anything is sent, never all in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from ..domain import events as e
from ..domain.members import NO_AUTHOR, RunAuthor
from ..domain.rows import ChangeRow, RunRow
from ..domain.runs import RunKind, RunState
from ..domain.timestamps import to_ms
from ..errors import Guarded
from ..store.store import Store
from .runs import make_direct_change


@dataclass(frozen=True, slots=True)
class BulkDecision:
    """What is decided, under which name the run goes, and how many were shown to whoever said yes."""

    run_id: str
    actor: str
    after: str
    reason: str | None
    total: int
    author: RunAuthor = NO_AUTHOR


def create_bulk_run(store: Store, order: BulkDecision, parts: Iterable[Sequence[int]], now: datetime) -> RunRow:
    """Writes the run down, a part at a time; sends nothing.

    Until the last part it lies there as one that was stopped, so that a crash leaves nothing that could be carried.
    Raises `Guarded`, and leaves it so, when others can be decided by then than were shown.
    """
    run = RunRow(
        id=order.run_id, kind=RunKind.BULK, actor=order.actor, state=RunState.STOPPED, made_at=to_ms(now), total=order.total,
        member=order.author.member, account=order.author.account, is_free=order.author.is_free,
    )  # fmt: skip
    verbs = Counter[str]()
    with store.writing() as write:
        write.run(run)
    n = 0
    for idents in parts:
        rows = store.requests(idents)
        changes = []
        for row in rows.values():
            if row.request is None:
                continue
            n += 1
            change = make_direct_change(row, order.after, order.reason)
            verbs[change.action] += 1
            document = msgspec.json.encode(change)
            changes.append(ChangeRow(run=run.id, n=n, repo=row.repo, request=row.id, change=document))
        with store.writing() as write:
            write.changes(changes)
    if n != order.total:
        raise Guarded(f"{n:,} can be decided now, {order.total:,} were shown; nothing was sent.", hint="Look again.")
    begun = msgspec.structs.replace(run, state=RunState.READY, verbs=verbs)
    approved = e.PlanApproved(run=run.id, changes=n)
    with store.writing() as write:
        write.run(begun)
        write.append(None, [e.LedgerEntry(event=approved, at=to_ms(now), actor=order.actor)])
    return begun
