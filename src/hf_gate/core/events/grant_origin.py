"""The origin of an access: when it began, which people or rule gave it, and what its end rests on; a fold of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from hf_gate.core.lifecycle import Status
from hf_gate.core.runs import ChangeOrigin

from . import events as e
from .request_state import RequestState, apply_event

_NO_RULES = frozenset(ChangeOrigin)


class DatedEvent(NamedTuple):
    """One entry of the ledger about a request: its number, time (ms), actor and event."""

    entry: int
    at: int
    actor: str
    event: e.AnyEvent


class GrantOrigin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a request became accepted. `since` (ms) is None if it was accepted when first seen, at an unknown time.

    `entry` is the number of the entry; for a change on the Hub, its private part names the granter.
    """

    entry: int
    actor: str
    since: int | None = None
    rule: str | None = None
    policy: str | None = None
    digest: str | None = None
    approvals: tuple[DatedEvent, ...] = ()  # those before that may have counted, the oldest first

    @property
    def is_outside(self) -> bool:
        """Whether the request was accepted outside hf-gate, or before it was first read."""
        return self.actor == e.OUTSIDE


class EndedAccess(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An access that ended: the state before, the time (ms), and the entry that ended it.

    `reason_entry` is the number of the entry whose private part has the reason that was sent.
    """

    before: PastState
    at: int
    event: DatedEvent
    status: str | None
    reason_entry: int | None


class PastState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of one request after some of its events.

    `seq` is the place of its first entry in the chain. `grant` is None unless it is accepted. `record_entry` is the
    number of the entry with its latest record. `started` is the last change that was sent.
    """

    seq: int
    state: RequestState | None = None
    grant: GrantOrigin | None = None
    started: e.ChangeStarted | None = None
    record_entry: int | None = None
    versions: Mapping[str, str] = {}  # of the lists and tables that the last verdict used
    approvals: tuple[DatedEvent, ...] = ()  # given since the status last changed
    missing: e.ApprovalMissing | None = None  # the access was given outside hf-gate, with too few approvals
    dated: DatedEvent | None = None  # what set the end, or moved it
    started_entry: int | None = None  # the number of the entry of `started`
    ended: tuple[EndedAccess, ...] = ()  # earlier accesses, the oldest first

    @property
    def named_entries(self) -> Iterator[int | None]:
        """The entries whose private parts say who gave the access, and on which rows its end rests."""
        if self.grant is not None:
            yield self.grant.entry
            yield from (given.entry for given in self.grant.approvals)
        if self.dated is not None:
            yield self.dated.entry


def apply_dated_event(past: PastState, dated: DatedEvent) -> PastState:
    """Return the state after one more event."""
    event = dated.event
    after = apply_event(past.state, event, dated.at)
    is_moved = after is None or past.state is None or after.status != past.state.status
    is_start = isinstance(event, e.ChangeStarted)
    started = event if isinstance(event, e.ChangeStarted) else past.started
    grant = _grant_after(past, after, started, dated)
    return PastState(
        seq=past.seq,
        state=after,
        grant=grant,
        started=started,
        started_entry=dated.entry if is_start else past.started_entry,
        ended=past.ended if past.grant is None or grant is not None else (*past.ended, _end_access(past, after, dated)),
        record_entry=dated.entry if _has_record(dated) else past.record_entry,
        versions=event.lists if isinstance(event, e.VerdictReached) else past.versions,
        approvals=() if is_moved else _approvals_after(past.approvals, dated),
        missing=None if is_moved else event if isinstance(event, e.ApprovalMissing) else past.missing,
        dated=_end_after(past, after, dated),
    )


def _end_access(past: PastState, after: RequestState | None, dated: DatedEvent) -> EndedAccess:
    return EndedAccess(
        before=past,
        at=(after.reviewed_at if after is not None else None) or dated.at,
        event=dated,
        status=None if after is None else after.status,
        reason_entry=past.started_entry if isinstance(dated.event, e.ChangeSettled) else None,
    )


def _approvals_after(given: tuple[DatedEvent, ...], dated: DatedEvent) -> tuple[DatedEvent, ...]:
    """Return the latest approval of each account for the rules that the last approval names."""
    event = dated.event
    if not isinstance(event, e.ApprovalGiven | e.ApprovalWithdrawn):
        return given
    others = (one for one in given if isinstance(one.event, e.ApprovalGiven) and one.event.account != event.account)
    if isinstance(event, e.ApprovalWithdrawn):
        return tuple(others)
    same = (other for other in others if isinstance(other.event, e.ApprovalGiven) and other.event.need == event.need)
    return (*same, dated)


def _end_after(past: PastState, after: RequestState | None, dated: DatedEvent) -> DatedEvent | None:
    """Return the entry that set the end. An entry that repeats the date does not, unless it names tables."""
    if after is None or (after.ends_at is None and after.terms is None):
        return None
    event = dated.event
    if not isinstance(event, e.GrantDated):
        return past.dated
    is_same = past.dated is not None and past.state is not None and past.state.until == event.until
    return past.dated if is_same and not event.lists else dated


def _has_record(dated: DatedEvent) -> bool:
    """Tell whether the private part of an entry holds the Hub's record: only a sync writes such entries."""
    return dated.actor == e.OUTSIDE and isinstance(dated.event, e.RequestSeen | e.RequestChanged | e.StatusMoved)


def _grant_after(
    past: PastState, after: RequestState | None, started: e.ChangeStarted | None, dated: DatedEvent
) -> GrantOrigin | None:
    if after is None or after.status != Status.ACCEPTED:
        return None
    if past.grant is not None:
        return past.grant
    origin = GrantOrigin(
        entry=dated.entry,
        actor=dated.actor,
        since=after.reviewed_at,
        approvals=past.approvals,
    )
    match dated.event:
        case e.RequestSeen():
            return origin
        case e.ChangeSettled(run=run) if started is not None and started.run == run:
            since = after.reviewed_at or dated.at
            if started.rule is None or started.rule in _NO_RULES:
                rule, policy = _approved_rule(past)
                return msgspec.structs.replace(origin, since=since, rule=rule, policy=policy)
            policy = _policy_of(after, started)
            return msgspec.structs.replace(origin, since=since, rule=started.rule, policy=policy, digest=started.digest)
        case _:
            return msgspec.structs.replace(origin, since=after.reviewed_at or dated.at)


def _approved_rule(past: PastState) -> tuple[str | None, str | None]:
    """Return the rule and policy that left the decision to several people; None if no approval was given."""
    if not past.approvals or past.state is None or past.state.verdict is None or past.state.verdict[1] is None:
        return None, None
    _, policy, rule, _ = past.state.verdict
    return rule, policy


def _policy_of(state: RequestState, started: e.ChangeStarted) -> str | None:
    """Return the policy of the rule that made a change, from the verdict with the same version."""
    if state.verdict is None:
        return None
    _, policy, _, digest = state.verdict
    return policy if digest == started.digest else None
