"""One request heard by the policies of its repo, with every reason: what `explain` and the page of a request show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from msgspec import structs

from ..domain import events as e
from ..domain.lifecycle import Status
from ..domain.moments import to_ms
from ..domain.outcomes import OutcomeKind
from ..domain.requests import AccessRequest
from ..domain.rows import Identity, PersonRow, RequestRow
from ..domain.state import RequestState
from ..policy.evaluate import Evaluator
from ..policy.model import Facts, Verdict
from ..store.reading import Store
from .judging import RepoPolicies, SourcesPort, inputs_of
from .planning import enrich

_ENTRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out. Not `is_judged`: no policy judges requests of that status, and this is what they would say of a pending one."""

    row: RequestRow
    facts: Facts
    verdict: Verdict
    is_judged: bool
    is_stored: bool


def evaluate_request(
    store: Store,
    policies: RepoPolicies | None,
    sources: SourcesPort,
    row: RequestRow,
    now: datetime,
    *,
    reads_profile: bool = True,
) -> Evaluation:
    """Evaluate a request as the next plan will: a profile that can change the verdict is read first if `reads_profile`.

    `policies` None: no policy applies to the repo. Raises `LookupError` if the store has no record of the request.
    """
    row = with_read_time(store, row)
    found = _evaluate(store, policies, sources, row, now)
    if reads_profile and found.verdict.needs and found.is_stored and enrich(store, sources, [row.person], now, 1):
        return _evaluate(store, policies, sources, row, now)
    return found


def with_read_time(store: Store, row: RequestRow) -> RequestRow:
    """A request with when its record was surely read, for the age of its facts: by the last full reading, or when it was met."""
    known = store.repo(row.repo) if row.id > 0 else None
    if row.request is None or known is None:
        return row
    read_at = max(known.full_at or 0, row.first_seen_at) / 1000
    return structs.replace(row, request=structs.replace(row.request, read_at=read_at))


def _evaluate(
    store: Store, court: RepoPolicies | None, sources: SourcesPort, row: RequestRow, now: datetime
) -> Evaluation:
    case = next(inputs_of(store, court, sources, [row], now), None) if court is not None else None
    if court is not None and case is None:
        raise LookupError(row.id)
    judge, facts = (court.evaluator, case.facts) if court is not None and case is not None else (Evaluator(()), {})
    verdict = judge.evaluate_with_traces(facts, now=now, status=row.state.status)
    as_pending = verdict or judge.evaluate_with_traces(facts, now=now, status=Status.PENDING)
    if as_pending is None:
        raise AssertionError("a pending request is always judged")
    return Evaluation(row, facts, as_pending, is_judged=verdict is not None, is_stored=row.id > 0)


@dataclass(frozen=True, slots=True)
class LastTransition:
    """How a request came to stand where it stands. `actor` outside: on the Hub; then `by` is who, where it told.

    `run` and `rule` are of our own change; `is_first`: it stood there when it was first seen.
    """

    at: int  # ms
    actor: str
    by: str | None = None
    run: str | None = None
    rule: str | None = None
    is_first: bool = False


def last_transition(store: Store, row: RequestRow) -> LastTransition | None:
    """By the ledger's latest entries about it; None when they do not tell."""
    settled: LastTransition | None = None
    for entry in store.entries(request=row.id, limit=_ENTRIES) if row.id > 0 else ():
        event, link = e.event_of(entry.link.body), entry.link
        match event:
            case e.ChangeStarted() if settled is not None and event.run == settled.run:
                return replace(settled, rule=event.rule)
            case e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY) if (
                settled is None and event.after == row.state.status
            ):
                settled = LastTransition(link.at, link.actor, run=event.run)
            case e.StatusMoved() if settled is None and event.after == row.state.status:
                granter = (entry.private or {}).get("granted_by")
                by = granter.get("user") if isinstance(granter, Mapping) else None
                return LastTransition(link.at, link.actor, by=by if isinstance(by, str) else None)
            case e.RequestSeen() if settled is None and event.status == row.state.status:
                return LastTransition(link.at, link.actor, is_first=True)
    return settled


def unstored_row(request: AccessRequest) -> RequestRow:
    """A request that the store does not have, as a row of it: without history."""
    person = request.person
    state = RequestState("", request.status, to_ms(request.asked_at), hub_request=request.request_id)
    identity = Identity(person.id, person.username, person.fullname, request.email)
    return RequestRow(id=0, repo=request.repo, person=PersonRow(0, "", identity), state=state, request=request)


def latest_of(rows: Sequence[RequestRow]) -> RequestRow | None:
    """The one that is meant where several answer to a name: the one that was made last."""
    return max(rows, key=lambda row: (row.state.asked_at, row.id), default=None)
