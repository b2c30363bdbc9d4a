"""Stores a decision about many requests as a run, part by part, so that the requests are never all in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from msgspec import Struct, field

from ..domain import events as e
from ..domain.hand_terms import NO_END_WORD, GrantEnd, HandTerms, choose_end, end_of_terms
from ..domain.members import NO_AUTHOR, RunAuthor
from ..domain.rows import ChangeRow, RequestRow, RunRow
from ..domain.runs import RunKind, RunState
from ..domain.timestamps import from_ms, to_ms
from ..errors import Guarded
from ..store.store import Store
from .runs import make_direct_change


class BulkEnds(Struct, frozen=True):
    """The ends of acceptances: by the `shown` terms, and where these are not known as the person chose.

    If `for_all`, the chosen end is for all of them. `read` reads the terms of requests as they are at `now`.
    """

    shown: Mapping[HandTerms, int] = field(default_factory=dict)
    chosen: str | None = None
    for_all: bool = False
    read: Callable[[Sequence[RequestRow]], Mapping[int, HandTerms]] | None = None
    now: datetime = from_ms(0)
    zone: tzinfo = UTC

    def end_of(self, terms: HandTerms) -> GrantEnd | None:
        """Return the end of one acceptance; None if it has none. Raises UsageError for an end beyond the ceiling."""
        if not (self.for_all or terms.needs_choice):
            return end_of_terms(terms)
        return choose_end(terms, self.chosen or NO_END_WORD, self.now, self.zone)


class EndAssigner:
    """Assigns ends to requests part by part, and counts their terms, which must be those that were shown."""

    def __init__(self, ends: BulkEnds) -> None:
        self.ends, self._counts = ends, Counter[HandTerms]()

    def assign(self, rows: Sequence[RequestRow]) -> Mapping[int, GrantEnd | None]:
        """Return the end of each request by row id; none for a decision without ends."""
        if self.ends.read is None:
            return {}
        terms = self.ends.read(rows)
        self._counts.update(each.without_document for each in terms.values())
        return {ident: self.ends.end_of(each) for ident, each in terms.items()}

    def check(self) -> None:
        """Raise Guarded if the terms differ from those that were shown."""
        if self.ends.read is not None and not self.ends.for_all and self._counts != Counter(self.ends.shown):
            raise Guarded(
                "For some requests, access would end at a different time than shown; nothing was sent.",
                hint="Make a plan, which evaluates all requests. Then decide again.",
            )


class BulkDecision(Struct, frozen=True):
    """One decision about many requests. `total` is the number of requests that the person confirmed."""

    run_id: str
    actor: str
    after: str
    reason: str | None
    total: int
    author: RunAuthor = NO_AUTHOR
    ends: BulkEnds = BulkEnds()


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
    n, assigner = 0, EndAssigner(decision.ends)
    for idents in parts:
        rows = store.requests(idents)
        ends = assigner.assign(list(rows.values()))
        changes = []
        for row in rows.values():
            if row.request is None:
                continue
            n += 1
            change = make_direct_change(row, decision.after, decision.reason, end=ends.get(row.id))
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
    assigner.check()
    ready = msgspec.structs.replace(run, state=RunState.READY, verbs=verbs)
    approved = e.PlanApproved(run=run.id, changes=n)
    with store.writing() as write:
        write.write_run(ready)
        write.append(None, [e.LedgerEntry(event=approved, at=to_ms(now), actor=decision.actor)])
    return ready
