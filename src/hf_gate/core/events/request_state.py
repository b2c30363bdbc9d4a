"""The state of a request as a fold of its events, and the events that a new record leads to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.lifecycle import WITHDRAWN, Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import HandTerms
from hf_gate.core.people.grants import first_lapse
from hf_gate.core.request_version import ContentDigest
from hf_gate.core.requests import AccessRequest, content_digest

from . import events as e

LIST_LAG: Final = 10_000
"""ms by the Hub's clock. A list read less than this long after one of our changes may still show the old status."""


SUDDEN_MS: Final = 7 * DAY_MS
"""A date in a table ends access without a limit when it has stood for this long."""

_NO_END: Final[dict[str, Any]] = {
    **dict.fromkeys(("until", "at_end", "until_rule", "until_cause", "shortened_at", "terms", "noticed_at")),
    "lapses": (),
}


class RequestState(msgspec.Struct, frozen=True, gc=False):
    """One attempt of one person at one repo. Times are in ms.

    `open_run` and `open_after` belong to an unsettled change.
    """

    person: str
    status: str
    asked_at: int
    attempt: int = 1
    hub_request: str | None = None
    reviewed_at: int | None = None
    after: int | None = None
    verdict: tuple[str, str | None, str, str | None] | None = None  # action, policy, rule, digest
    shadow: tuple[tuple[str, str, str], ...] = ()  # policy, rule, action
    hand_terms: HandTerms | None = None  # of an acceptance by hand, with the verdict; None: no end
    until: int | None = None
    at_end: str | None = None
    until_rule: str | None = None  # the rule that set the end
    until_cause: str | None = None  # why `until` was set, as in `GrantDated`
    shortened_at: int | None = None  # when a table last moved `until` to an earlier time
    open_run: str | None = None
    open_before: str | None = None
    open_after: str | None = None
    moved_at: int | None = None  # our last change, by the Hub's clock if known
    terms: str | None = None  # digest of what can move the end; see `core.people.grants.GrantTerms`
    lapses: tuple[int | None, ...] = ()  # of each condition of `keep_while` that is false, when it ends access
    noticed_at: int | None = None  # the steps of `notice` up to this time are done
    last_moved_at: int = 0  # when the store recorded the last change of status, whoever made it; always increases
    version: int = 0

    @property
    def has_chosen_end(self) -> bool:
        """Whether a person chose `until`; the reasons that a rule gives for its end do not fit it."""
        return current_end(self).is_chosen

    @property
    def has_end_by_person(self) -> bool:
        """Whether access ends when a person chose, and not because a condition is false."""
        return self.has_chosen_end and self.ends_at != self.lapses_at

    @property
    def end_action(self) -> str:
        """What happens at the end of the access: `reset`, unless its rule says `reject`."""
        return self.at_end or "reset"

    def is_sudden_end(self, now: int) -> bool:
        """Whether access that ends by `now` (ms) ends by a false condition, or by a date that a table moved to an
        earlier time in the last 7 days.

        The SQL of this is `SUDDEN` in `store.rows.requests`.
        """
        if self.until is None or self.until > now:
            return True
        return self.shortened_at is not None and self.shortened_at > now - SUDDEN_MS

    @property
    def lapses_at(self) -> int | None:
        """When access ends first because a condition of `keep_while` is false (ms); None if no condition is."""
        return first_lapse(self.lapses)

    @property
    def ends_at(self) -> int | None:
        """When access ends (ms): by its date or by a condition, whichever is earlier; None if it has no end."""
        if self.until is None or self.lapses_at is None:
            return self.lapses_at if self.until is None else self.until
        return min(self.until, self.lapses_at)

    @property
    def present_end(self) -> int | None:
        """The end that a person replaces by a new one (ms): the date, also while a false condition ends access sooner.

        Without a date it is the time at which the condition ends access.
        """
        return self.ends_at if self.until is None else self.until


def apply_event(state: RequestState | None, event: e.AnyEvent, at: int) -> RequestState | None:
    """Return the state after an event; `state` is None before the first one.

    Events of the workspace's chain change nothing.
    """
    if isinstance(event, e.RequestSeen):
        return RequestState(
            event.person,
            event.status,
            event.asked_at,
            event.attempt,
            event.hub_request,
            event.reviewed_at,
            event.after,
            version=1,
        )
    if state is None:
        return None
    change = _CHANGES.get(type(event))
    return replace(state if change is None else change(state, event, at), version=state.version + 1)


def _change_record(state: RequestState, event: e.RequestChanged, at: int) -> RequestState:
    changed = replace(state, hub_request=event.hub_request or state.hub_request)
    if event.reviewed_at is None:
        return changed
    return replace(changed, reviewed_at=event.reviewed_at, last_moved_at=_next_move(state, at))


def _move(state: RequestState, status: str, at: int, **changes: int | None) -> RequestState:
    """Return the state in another status: access that is not given has no end."""
    ends = {} if status == Status.ACCEPTED else _NO_END
    return replace(state, status=status, last_moved_at=_next_move(state, at), **changes, **ends)


def _reach_verdict(state: RequestState, event: e.VerdictReached, _at: int) -> RequestState:
    reached = (event.action, event.policy, event.rule, event.digest)
    return replace(state, verdict=reached, shadow=event.shadow, hand_terms=event.hand_terms)


def _settle_change(state: RequestState, event: e.ChangeSettled, at: int) -> RequestState:
    """Apply the outcome of a change. The kinds done and already change the status; the others do not."""
    if event.kind == OutcomeKind.OPEN:
        return state
    closed = replace(state, open_run=None, open_before=None, open_after=None)
    if event.kind not in (OutcomeKind.DONE, OutcomeKind.ALREADY):
        return closed
    if event.had_access and state.status == event.after:
        return replace(closed, reviewed_at=_review_time(state, event))
    moved_at = at if event.hub_at is None else event.hub_at
    return _move(closed, event.after, at, moved_at=moved_at, reviewed_at=_review_time(state, event))


def _set_end(state: RequestState, event: e.GrantDated, at: int) -> RequestState:
    """Apply an end. A later end starts the steps of `notice` again; an earlier end keeps those not done."""
    if event.until is None and first_lapse(event.lapses) is None and event.terms is None:
        return replace(state, **_NO_END)
    dated = replace(
        state,
        until=event.until,
        at_end=event.at_end,
        until_rule=event.rule,
        until_cause=state.until_cause if event.cause == "keep_while" else event.cause,
        shortened_at=_shortened_at(state, event, at),
        terms=event.terms,
        lapses=event.lapses,
    )
    before = state.ends_at
    after = dated.ends_at
    is_earlier = after is not None and state.noticed_at is not None and (before is None or after < before)
    return dated if is_earlier else replace(dated, noticed_at=at)


def _shortened_at(state: RequestState, event: e.GrantDated, at: int) -> int | None:
    """Return when a table last moved the date to an earlier time; a later date within the 7 days does not undo that."""
    if event.cause not in ("fact", "keep_while"):
        return None
    is_earlier = event.until is not None and (state.until is None or event.until < state.until)
    return at if is_earlier else state.shortened_at


_CHANGES: Final[Mapping[type[e.Event], Callable[[RequestState, Any, int], RequestState]]] = {
    e.RequestChanged: _change_record,
    e.StatusMoved: lambda state, event, at: _move(state, event.after, at, reviewed_at=event.reviewed_at),
    e.RequestWithdrawn: lambda state, _event, at: _move(state, WITHDRAWN, at),
    e.VerdictReached: _reach_verdict,
    e.ChangeStarted: lambda state, event, _at: replace(
        state, open_run=event.run, open_before=event.before, open_after=event.after
    ),
    e.ChangeSettled: _settle_change,
    e.GrantDated: _set_end,
    e.GrantNoticed: lambda state, _event, at: replace(state, noticed_at=at),
}
"""What each event changes, given the state before and the time of the event (ms). Other events change nothing."""


def _next_move(state: RequestState, at: int) -> int:
    """Return the time of this change of status: later than the previous one, even if the clock was set back."""
    return max(at, state.last_moved_at + 1)


def _review_time(state: RequestState, event: e.ChangeSettled) -> int | None:
    """Return the review time after a change of ours. If the status did not change, a known time is kept."""
    is_known = state.status == event.after and state.reviewed_at is not None
    return state.reviewed_at if event.reviewed_at is None or is_known else event.reviewed_at or None


# ---- new records -----------------------------------------------------------------------------------------------------


class KnownRequest(msgspec.Struct, frozen=True, gc=False):
    """The stored values of a person's latest attempt, for comparison with a new record.

    `raw` is an 8-byte digest of the record; `content` covers the record without status and review.
    """

    id: int
    person: int
    pseudonym: str
    state: RequestState
    raw: bytes
    content: ContentDigest


class RecordUpdate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record and what the store writes for it. If `events` is empty, only the digests are refreshed.

    `folded_answers` are for searches; None if they are folded when the record is written.
    """

    request: AccessRequest
    known: KnownRequest | None
    events: tuple[e.AnyEvent, ...]
    raw: bytes
    content: ContentDigest
    skew: float = 0.0
    folded_answers: str | None = None


def diff_record(known: KnownRequest | None, request: AccessRequest, skew: float = 0.0) -> RecordUpdate | None:
    """Return what the store must write for a record; None if the record is stored already, or a later state is known.

    `skew` is how many seconds the Hub's clock is ahead of the clock of `request.read_at`.
    """
    raw = raw_digest(request)
    if (
        known is not None
        and known.raw == raw
        and known.state.status == request.status
        and not _lacks_review_time(known, request)
    ):
        return None
    events = detect_events(known, request, skew)
    if (
        known is not None
        and not events
        and not (is_same_attempt(known, request) and request.status == known.state.status)
    ):
        return None  # an earlier attempt, or one of our changes, which is settled later
    content = content_digest(request)
    return RecordUpdate(request=request, known=known, events=events, raw=raw, content=content, skew=skew)


def is_same_attempt(known: KnownRequest, request: AccessRequest) -> bool:
    """Tell whether a record belongs to the known attempt. A record of an earlier attempt says nothing about it."""
    return to_ms(request.asked_at) == known.state.asked_at


def raw_digest(request: AccessRequest) -> bytes:
    """Return an 8-byte digest that shows whether a record is exactly as before."""
    return hashlib.blake2b(request.raw_json, digest_size=8).digest()


def detect_events(known: KnownRequest | None, seen: AccessRequest, skew: float = 0.0) -> tuple[e.AnyEvent, ...]:
    """Return the events that a record adds to the known attempt. A new attempt is a `RequestSeen`.

    `person` of a `RequestSeen` is empty: the store fills in the pseudonym. `skew` is as in `diff_record`.
    """
    asked_at = to_ms(seen.asked_at)
    if known is None:
        return (_request_seen_event(seen, asked_at, 1, None),)
    state = known.state
    if asked_at != state.asked_at:
        if asked_at < state.asked_at and not _is_surviving(state, seen):
            return ()  # an older attempt, from a page that was read earlier
        return (
            _request_seen_event(seen, asked_at, state.attempt + 1, known.id),
            *_end_that_moved_on(state, seen, asked_at),
        )
    events: list[e.AnyEvent] = []
    if content_digest(seen) != known.content or (seen.request_id and seen.request_id != state.hub_request):
        events.append(e.RequestChanged(what=("record",), hub_request=seen.request_id))
    if (reviewed_at := _later_review(state, seen)) is not None:
        events.append(e.RequestChanged(what=("review",), reviewed_at=reviewed_at))
        if is_renewed_outside(state, reviewed_at):
            events.append(e.GrantDated(until=None, cause="outside"))
    if seen.status != state.status and not _is_own_change(state, seen, skew):
        events.append(
            e.StatusMoved(
                before=state.status,
                after=seen.status,
                # never the time of our own change, because that no longer applies
                reviewed_at=None if seen.status == Status.PENDING else to_ms(seen.reviewed_at),
                cause="superseded" if state.moved_at is not None else "outside",
                has_granter=seen.granted_by is not None,
            )
        )
    return tuple(events)


def _is_surviving(state: RequestState, seen: AccessRequest) -> bool:
    """Tell whether the Hub lists an older request of a person whose later one is gone, for example because it was never
    theirs.
    """
    has_other_id = seen.request_id is not None and seen.request_id != state.hub_request
    return state.status == WITHDRAWN and state.hub_request is not None and has_other_id


def _is_own_change(state: RequestState, seen: AccessRequest, skew: float) -> bool:
    """Tell whether a change of ours, under way or just made, explains a different status."""
    if state.open_after is not None:
        return True
    return bool(seen.read_at) and was_just_moved(state, seen.read_at + skew)


def was_just_moved(state: RequestState, hub_now: float) -> bool:
    """Tell whether we changed a request so recently that lists may still show it as it was before.

    The comparison uses the Hub's clock, because ours may be set back and reach the same time again.
    """
    return state.moved_at is not None and abs(hub_now * 1000 - state.moved_at) < LIST_LAG


def _end_that_moved_on(state: RequestState, seen: AccessRequest, asked_at: int) -> tuple[e.AnyEvent, ...]:
    """Return the end of our grant for a newer request, made before our acceptance arrived and accepted by it."""
    has_end = state.until is not None or state.terms is not None
    if not has_end or state.moved_at is None or asked_at > state.moved_at or seen.status != state.status:
        return ()
    return (current_end(state),)


def is_renewed_outside(state: RequestState, reviewed_at: int | None) -> bool:
    """Tell whether a grant with an end was accepted again on the Hub at `reviewed_at` (ms). That grant has no end of
    ours.

    The Hub's time of our own acceptance may be slightly later than the time that we stored.
    """
    known = (state.reviewed_at, state.moved_at)
    if reviewed_at is None or state.status != Status.ACCEPTED or (state.until is None and state.terms is None):
        return False
    return any(known) and reviewed_at > max(at or 0 for at in known) + LIST_LAG


def current_end(state: RequestState) -> e.GrantDated:
    """Return the event that sets the end that a grant has already."""
    return e.GrantDated(
        until=state.until,
        at_end=state.end_action,
        rule=state.until_rule,
        cause=state.until_cause,
        terms=state.terms,
        lapses=state.lapses,
    )


def _lacks_review_time(known: KnownRequest, seen: AccessRequest) -> bool:
    """Tell whether a record has a review time that was not stored when the same record was read before."""
    return known.state.reviewed_at is None and _later_review(known.state, seen) is not None


def _later_review(state: RequestState, seen: AccessRequest) -> int | None:
    """Return the Hub's review time if it is later than the known one. A changed status has its own review time."""
    if seen.status != state.status or seen.status == Status.PENDING or state.open_after is not None:
        return None
    reviewed_at = to_ms(seen.reviewed_at)
    return reviewed_at if reviewed_at is not None and reviewed_at > (state.reviewed_at or 0) else None


def _request_seen_event(seen: AccessRequest, asked_at: int, attempt: int, after: int | None) -> e.RequestSeen:
    return e.RequestSeen(
        person="",
        status=seen.status,
        asked_at=asked_at,
        attempt=attempt,
        hub_request=seen.request_id,
        reviewed_at=to_ms(seen.reviewed_at),
        after=after,
    )
