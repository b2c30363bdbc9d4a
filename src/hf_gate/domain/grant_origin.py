"""The origin of an access: when it began, and which person or rule gave it, as a fold of the events of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from . import events as e
from .lifecycle import Status
from .request_state import RequestState, apply_event
from .runs import ChangeOrigin

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
    verdict_entry: int | None = None  # of the last verdict before, which names the agreements


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
    verdict_entry: int | None = None
    versions: Mapping[str, str] = {}  # of the lists and tables that the last verdict used


def apply_dated_event(past: PastState, dated: DatedEvent) -> PastState:
    """Return the state after one more event."""
    event = dated.event
    after = apply_event(past.state, event, dated.at)
    started = event if isinstance(event, e.ChangeStarted) else past.started
    return PastState(
        seq=past.seq,
        state=after,
        grant=_grant_after(past, after, started, dated),
        started=started,
        record_entry=dated.entry if _has_record(dated) else past.record_entry,
        verdict_entry=dated.entry if isinstance(event, e.VerdictReached) else past.verdict_entry,
        versions=event.lists if isinstance(event, e.VerdictReached) else past.versions,
    )


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
        entry=dated.entry, actor=dated.actor, since=after.reviewed_at, verdict_entry=past.verdict_entry
    )
    match dated.event:
        case e.RequestSeen():
            return origin
        case e.ChangeSettled(run=run) if started is not None and started.run == run:
            since = after.reviewed_at or dated.at
            if started.rule is None or started.rule in _NO_RULES:
                return msgspec.structs.replace(origin, since=since)
            policy = _policy_of(after, started)
            return msgspec.structs.replace(origin, since=since, rule=started.rule, policy=policy, digest=started.digest)
        case _:
            return msgspec.structs.replace(origin, since=after.reviewed_at or dated.at)


def _policy_of(state: RequestState, started: e.ChangeStarted) -> str | None:
    """Return the policy of the rule that made a change, from the verdict with the same version."""
    if state.verdict is None:
        return None
    _, policy, _, digest = state.verdict
    return policy if digest == started.digest else None
