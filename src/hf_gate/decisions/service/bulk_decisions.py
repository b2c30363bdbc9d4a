"""Stores a decision about many requests as a run, part by part, so that the requests are never all in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec
from msgspec import Struct, field

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.people.access_end import (
    NO_END_WORD,
    NO_HAND_TERMS,
    AccessEnd,
    HandTerms,
    TermsKind,
    choose_end,
    end_of_terms,
    is_later,
)
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.runs import ChangeState, RunEvent, RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow
from hf_gate.decisions.service.runs.runs import make_direct_change
from hf_gate.errors import Guarded
from hf_gate.store.store import Store

OTHER_END: Final = "its access would end at a different time than shown; look at it again"


class BulkEnds(Struct, frozen=True):
    """The ends of acceptances: by the terms that were shown, and where these are not known as the person chose.

    If `for_all`, the chosen end is for all of them. `shown` are the terms by row id. For very many, a page shows those
    of the last evaluation; then `read` reads the terms of requests as they are at `now`, and `asks_at` says whether
    the page asked for the end of the requests at a repo that nothing evaluated yet.
    """

    shown: Mapping[int, HandTerms] = field(default_factory=dict)
    chosen: str | None = None
    for_all: bool = False
    read: Callable[[Sequence[RequestRow]], Mapping[int, HandTerms]] | None = None
    asks_at: Callable[[Repo], bool] = lambda _: True
    now: datetime = from_ms(0)
    zone: tzinfo = UTC

    def end_of(self, terms: HandTerms) -> AccessEnd | None:
        """Return the end of one acceptance; None if it has none."""
        if not (self.for_all or terms.needs_choice):
            return end_of_terms(terms)
        return choose_end(terms, self.chosen or NO_END_WORD, self.now, self.zone)

    def assign(self, rows: Sequence[RequestRow]) -> Mapping[int, AccessEnd | None]:
        """Return the end of each request by row id, without those whose terms are no longer those that were shown."""
        if self.read is None:
            return dict.fromkeys(row.id for row in rows)
        ends = {row.id: self.end_of(self.shown[row.id]) for row in rows if row.id in self.shown}
        unshown = [row for row in rows if row.id not in ends]
        current = self.read(unshown)
        for row in unshown:
            if row.id in current and self._is_as_shown(row, current[row.id]):
                ends[row.id] = self._end_of_unshown(row, current[row.id])
        return ends

    def _was_asked(self, row: RequestRow) -> bool:
        """Tell whether the page of very many asked the person for the end of this request."""
        if row.state.verdict is None:
            return self.asks_at(row.repo)
        return (row.state.hand_terms or NO_HAND_TERMS).needs_choice

    def _is_as_shown(self, row: RequestRow, terms: HandTerms) -> bool:
        """Tell whether terms are those that the last evaluation stored, or those for which the person chose the end."""
        if self.for_all:
            return True
        if self._was_asked(row):
            return self.chosen is not None
        if row.state.verdict is None:
            return not terms.needs_choice
        return (row.state.hand_terms or NO_HAND_TERMS).token == terms.token

    def _end_of_unshown(self, row: RequestRow, terms: HandTerms) -> AccessEnd | None:
        """Return the end that a person chose, or the end of the rules if that is known by now and earlier."""
        is_asked = self._was_asked(row) and not self.for_all and self.chosen is not None
        if is_asked and (
            terms.kind is not TermsKind.END or not is_later(self.chosen, terms.end.written, self.now, self.zone)
        ):
            return choose_end(terms, self.chosen or NO_END_WORD, self.now, self.zone)
        return self.end_of(terms)


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
        id=decision.run_id,
        kind=RunKind.BULK,
        actor=decision.actor,
        state=RunState.STOPPED,
        made_at=to_ms(now),
        total=decision.total,
        member=decision.author.member,
        account=decision.author.account,
        is_free=decision.author.is_free,
    )
    verbs = Counter[str]()
    with store.writing() as write:
        write.write_run(run)
    n = 0
    for idents in parts:
        rows = store.requests(idents)
        ends = decision.ends.assign(list(rows.values()))
        changes = []
        for row in rows.values():
            if row.request is None:
                continue
            n += 1
            change = make_direct_change(row, decision.after, decision.reason, end=ends.get(row.id))
            stored = ChangeRow(run=run.id, n=n, repo=row.repo, request=row.id, change=msgspec.json.encode(change))
            if row.id in ends:
                verbs[change.action] += 1
            else:
                stored = msgspec.structs.replace(stored, state=ChangeState.UNSENT, why=OTHER_END)
            changes.append(stored)
        with store.writing() as write:
            write.write_changes(changes)
    if n != decision.total:
        raise Guarded(
            f"{n:,} requests can be decided now, but {decision.total:,} were shown; nothing was sent.",
            hint="Reload the page and check the requests.",
        )
    approved = e.PlanApproved(run=run.id, changes=n)
    with store.writing() as write:
        ready = write.move_run(run, RunEvent.STORE, verbs=verbs)
        write.append(None, [e.LedgerEntry(event=approved, at=to_ms(now), actor=decision.actor)])
    return ready
