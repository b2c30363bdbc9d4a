"""Queues decisions in the tray and sends each once, at its time; decisions of a dead process are read back.

A decision is marked with its run before that run begins. A marked decision without a run was not sent; otherwise the run's
changes say what became of it, and what they do not say is read from the Hub.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ..domain.grants import grant_end
from ..domain.lifecycle import MOVES, STATUS_AFTER_VERB, Status
from ..domain.members import Member
from ..domain.outcomes import Outcome, OutcomeKind
from ..domain.requests import Target, target_of
from ..domain.rows import ChangeRow, RequestRow
from ..domain.runs import UNSETTLED, ChangeState
from ..domain.timestamps import from_ms, to_ms
from ..domain.tray import VERBS, QueuedDecision
from ..errors import HfGateError, NotAllowed, UsageError
from .decisions import Choice, DecisionTarget
from .members import Membership
from .run_executor import RunExecutor
from .runs import is_over
from .workspace import Workspace, new_id

RETRY_PAUSE: Final = 30_000  # ms until what could not be sent is tried once more
_ENDED: Final = frozenset(ChangeState(kind) for kind in OutcomeKind if kind is not OutcomeKind.OPEN)


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A decision about requests, each with the version that the person saw. `until`: the end of an acceptance, as rules write it."""

    verb: str
    versions: Mapping[int, str]  # the store's number of each request to the token of its version
    by: Member
    reason: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class QueueResult:
    """What was queued and what was not: `conflicts` have a queued decision already, `moved` changed since they were seen."""

    batch: str
    count: int
    conflicts: list[QueuedDecision] = field(default_factory=list)
    moved: list[RequestRow] = field(default_factory=list)


@dataclass(slots=True)
class TrayService:
    """Queues decisions and sends them when their time comes. `problem` says why the last ones were not sent.

    `sending` is held from checking what one person may send alone until the decisions are queued.
    """

    workspace: Workspace
    membership: Membership
    lock: threading.RLock = field(default_factory=threading.RLock)
    problem: str | None = None

    def queue_decisions(self, wish: DecisionRequest, now: datetime, hold: float | None) -> QueueResult:
        """Queue decisions for `hold` seconds (None: until a person sends them). Send nothing.

        What can never be meant is refused whole: a verb for another status, one's own request, a reason too long.
        """
        if wish.verb not in VERBS:
            raise UsageError(f"{wish.verb!r} is no decision.", hint=f"It is one of {', '.join(VERBS)}.")
        rows = self.workspace.store.requests(list(wish.versions))
        moved = [row for ident, row in rows.items() if row.version.token != wish.versions[ident] or not row.is_current]
        fresh = [row for row in rows.values() if row not in moved]
        for row in fresh:
            _check(row, wish)
        at, batch = to_ms(now), new_id()
        items = [
            QueuedDecision(
                id=0,
                request=row.id,
                version=wish.versions[row.id],
                verb=wish.verb,
                reason=wish.reason,
                actor=wish.by.name,
                member=wish.by.id,
                batch=batch,
                made_at=at,
                leaves_at=None if hold is None else at + round(hold * 1000),
                until=wish.until if wish.verb == "accept" else None,
            )
            for row in fresh
        ]
        with (
            self.lock,
            self.workspace.store.hold_write_lock(),
        ):  # no thread and no process sends others between the limit and this
            self.membership.check_limit(wish.by, wish.verb, len(items))
            clashes = self.workspace.tray.add(items)
        return QueueResult(batch, len(items) - len(clashes), clashes, moved)

    # ---- leaving -----------------------------------------------------------------------------------------------------

    def send_due(self, now: datetime) -> int:
        """Send the decisions that are due; return how many ended. What could not be sent stays and is tried again."""
        groups: dict[tuple[str | None, ...], list[QueuedDecision]] = {}
        for item in self.workspace.tray.list_due(to_ms(now)):
            groups.setdefault((item.actor, item.member, item.verb, item.until), []).append(item)
        return sum(self._send(items, to_ms(now)) for items in groups.values())

    def _send(self, items: Sequence[QueuedDecision], now: int) -> int:
        """Send decisions with the same person, verb and end as one run."""
        first = items[0]
        rows = self.workspace.store.requests([item.request for item in items])
        is_late = not self._is_ahead(first, now)
        ends = [(item, self._end(item, rows.get(item.request), is_late=is_late)) for item in items]
        ended = [(item.id, *end) for item, end in ends if end is not None]
        if ended:
            self.workspace.tray.record_outcomes(ended, now)
        ready, over = [item for item, end in ends if end is None], len(ended)
        if not ready:
            return over
        run = new_id()
        self.workspace.tray.set_run([item.id for item in ready], run)
        asks = [DecisionTarget(rows[item.request].repo, _target(rows[item.request]), item.reason) for item in ready]
        try:
            decided = self.membership.make_decision_sender(first.actor, first.member).decide(
                asks, Choice(STATUS_AFTER_VERB[first.verb], until=first.until), run_id=run
            )
        except HfGateError as problem:
            self._keep_unsent(ready, str(problem), now)
            return over
        self.problem = None if decided.stopped_by is None else str(decided.stopped_by)
        states = {} if decided.run is None else {row.n: row for row in self.workspace.store.changes(decided.run)}
        pairs = zip(ready, decided.outcomes, strict=True)
        return over + self._store_outcomes([(item, one, states.get(n)) for n, (item, one) in enumerate(pairs, 1)], now)

    def _end(self, item: QueuedDecision, row: RequestRow | None, *, is_late: bool) -> tuple[OutcomeKind, str] | None:
        """Return why a decision must not be sent any more; None if it may be."""
        if row is None or row.version.token != item.version:
            return OutcomeKind.STALE, _describe_move(row)
        if not self.membership.can_decide(item, row):
            return OutcomeKind.REFUSED, f"{item.actor} may not decide here any more"
        return (OutcomeKind.STALE, f"{item.until} was over when it was to leave") if is_late else None

    def _is_ahead(self, item: QueuedDecision, now: int) -> bool:
        """Whether the end of an acceptance is still in the future: it may have been queued for long."""
        return (
            item.until is None
            or to_ms(
                grant_end(item.until, from_ms(now), self.membership.make_decision_sender(item.actor, item.member).zone)
            )
            > now
        )

    def _store_outcomes(self, cases: Iterable[tuple[QueuedDecision, Outcome, ChangeRow | None]], now: int) -> int:
        ended, left = [], []
        for item, outcome, row in cases:
            if outcome.kind is not OutcomeKind.OPEN or row is None:
                ended.append((item.id, outcome.kind.value, outcome.why))
            elif row.state is ChangeState.PLANNED:
                left.append(item)  # surely not sent
        self.workspace.tray.record_outcomes(ended, now)
        if left:
            self._keep_unsent(left, self.problem or "the run ended before their turn", now)
        return len(ended)

    def _keep_unsent(self, items: Sequence[QueuedDecision], why: str, now: int) -> None:
        """Keep decisions that were not sent; they are tried again later."""
        self.problem = why
        ids = [item.id for item in items]
        self.workspace.tray.set_run(ids, None)
        self.workspace.tray.set_departure(ids, now + RETRY_PAUSE)

    # ---- after a crash -----------------------------------------------------------------------------------------------

    def recover(self, now: datetime) -> int:
        """Read back decisions that a dead process sent; return how many are still unknown."""
        runs: dict[str, list[QueuedDecision]] = {}
        for item in self.workspace.tray.list_waiting():
            if item.run is not None:
                runs.setdefault(item.run, []).append(item)
        return sum(self._read_back(run, items, to_ms(now)) for run, items in runs.items())

    def _read_back(self, ident: str, items: Sequence[QueuedDecision], now: int) -> int:
        run = self.workspace.store.run(ident)
        if run is None:
            self.workspace.tray.set_run([item.id for item in items], None)
            return 0
        if not is_over(run) or self.workspace.store.changes(ident, UNSETTLED, 1):
            direct = self.membership.make_decision_sender(run.actor, run.member)
            RunExecutor(self.workspace.store, direct.hub, direct.clock, direct.zone).settle_and_keep(run)
        states = {row.request: row for row in self.workspace.store.changes(ident)}
        ended = [
            (one.id, row.state, row.why) for one in items if (row := states.get(one.request)) and row.state in _ENDED
        ]
        back = [one for one in items if (row := states.get(one.request)) is None or row.state is ChangeState.PLANNED]
        self.workspace.tray.record_outcomes(ended, now)
        self.workspace.tray.set_run([one.id for one in back], None)
        return len(items) - len(ended) - len(back)


def _check(row: RequestRow, wish: DecisionRequest) -> None:
    status = row.state.status
    if not any(move.verb == wish.verb and move.before == status for move in MOVES):
        raise UsageError(f"a request that is {status} cannot be decided so: {wish.verb}.", hint="Look at it again.")
    who = row.person.identity
    if wish.by.is_own(who.username, who.user_id):
        raise NotAllowed("nobody decides a request of their own.", hint="Somebody else has to look at it.")


def _target(row: RequestRow) -> Target:
    if row.request is not None:
        return target_of(row.request)
    who = row.person.identity
    return Target(who.username, who.user_id, row.state.hub_request)


def _describe_move(row: RequestRow | None) -> str:
    if row is None:
        return "it is not in the store any more"
    return f"it is {row.state.status} now" if row.state.status != Status.PENDING else "it reads differently now"
