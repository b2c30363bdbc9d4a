"""Stores a decision about many requests as a run, part by part, so that the requests are never all in memory."""

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
    """One decision about many requests. `total` is the number of requests that the person confirmed."""

    run_id: str
    actor: str
    after: str
    reason: str | None
    total: int
    author: RunAuthor = NO_AUTHOR


def create_bulk_run(store: Store, decision: BulkDecision, parts: Iterable[Sequence[int]], now: datetime) -> RunRow:
    """Store the run, one part of row ids at a time, and return it ready to execute; send nothing.

    The run is stored as stopped until its last part is stored, so that a crash leaves nothing to execute. Raises
    `Guarded`, and leaves the run stopped, if the number of requests differs from the number that was confirmed.
    """
    run = RunRow(
        id=decision.run_id, kind=RunKind.BULK, actor=decision.actor, state=RunState.STOPPED, made_at=to_ms(now), total=decision.total,
        member=decision.author.member, account=decision.author.account, is_free=decision.author.is_free,
    )  # fmt: skip
    verbs = Counter[str]()
    with store.writing() as write:
        write.write_run(run)
    n = 0
    for idents in parts:
        rows = store.requests(idents)
        changes = []
        for row in rows.values():
            if row.request is None:
                continue
            n += 1
            change = make_direct_change(row, decision.after, decision.reason)
            verbs[change.action] += 1
            document = msgspec.json.encode(change)
            changes.append(ChangeRow(run=run.id, n=n, repo=row.repo, request=row.id, change=document))
        with store.writing() as write:
            write.write_changes(changes)
    if n != decision.total:
        raise Guarded(
            f"{n:,} requests can be decided now, but {decision.total:,} were shown; nothing was sent.",
            hint="Reload the page and check the requests.",
        )
    ready = msgspec.structs.replace(run, state=RunState.READY, verbs=verbs)
    approved = e.PlanApproved(run=run.id, changes=n)
    with store.writing() as write:
        write.write_run(ready)
        write.append(None, [e.LedgerEntry(event=approved, at=to_ms(now), actor=decision.actor)])
    return ready
