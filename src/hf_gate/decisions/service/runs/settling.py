"""Settles changes of a run: matches outcomes and reads with changes, and makes the ledger entries.

`core/runs.py` says what may happen to a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.ids import Person, Repo
from hf_gate.base.timestamps import from_ms, to_iso, to_ms
from hf_gate.core.changes import Change
from hf_gate.core.end_rows import list_table_versions
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import RecordUpdate, diff_record, is_renewed_outside
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import ErrorScope, Outcome, OutcomeKind, classify_error
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.people.grants import GrantTerms, fix_terms, parse_grant_end
from hf_gate.core.request_version import RequestVersion
from hf_gate.core.requests import AccessRequest, Target, version_of_record
from hf_gate.core.runs import ChangeOrigin
from hf_gate.core.stored_rows import RequestRow, RunRow, entry_about
from hf_gate.errors import HfGateError, OutcomeUnknown
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.run_items import RunItem, SettledItem

NOT_FOUND: Final = "it was not found, and the lists could not be read completely"


def settle_without_sending(item: RunItem, current: AccessRequest | None, *, complete: bool) -> SettledItem | None:
    """Return the outcome of a planned change that must not be sent; None if it must be sent."""
    change = item.change
    if item.row is None:
        return _settle_without_row(item, current, complete=complete)
    if current is None:
        if complete:
            return SettledItem(item, OutcomeKind.GONE, "it is no longer in any list")
        return SettledItem(item, OutcomeKind.DEFERRED, NOT_FOUND, is_unsent=True)
    if is_other_attempt(item, current):
        return SettledItem(item, OutcomeKind.STALE, "there is a new attempt")
    if current.status == change.after:
        return SettledItem(
            item, OutcomeKind.ALREADY, f"already {change.after}", "read", hub_at=to_ms(current.reviewed_at)
        )
    if change.is_end and is_renewed_outside(item.row.state, to_ms(current.reviewed_at)):
        return SettledItem(item, OutcomeKind.STALE, "it was accepted again on the Hub")
    seen = version_of_record(current, item.row.state.last_moved_at)
    moved = planned_version(change).difference(seen, with_identity=change.identity_digest is not None)
    return SettledItem(item, OutcomeKind.STALE, moved) if moved else None


def _settle_without_row(item: RunItem, current: AccessRequest | None, *, complete: bool) -> SettledItem | None:
    change = item.change
    if _has_planned_status(current, change):
        return SettledItem(item, OutcomeKind.ALREADY, f"already {change.after}", "read")
    if change.rule != ChangeOrigin.GRANT:
        return None
    if current is not None:
        return SettledItem(item, OutcomeKind.STALE, f"there is a request now, which is {current.status}", "read")
    if not complete:  # a grant would overrule a rejection that was not read
        return SettledItem(item, OutcomeKind.DEFERRED, NOT_FOUND, is_unsent=True)
    return None


def planned_version(change: Change) -> RequestVersion:
    """Return the version of the request for which a change was planned."""
    answers = bytes.fromhex(change.answers_digest)
    identity = bytes.fromhex(change.identity_digest or "")
    asked_at = to_ms(datetime.fromisoformat(change.asked_at))
    return RequestVersion(change.before, asked_at, change.last_moved_at, answers, identity)


def is_other_attempt(item: RunItem, current: AccessRequest) -> bool:
    """Tell whether the person withdrew the planned request and asked again. A decision applies to one attempt only."""
    if item.row is None:
        return False
    planned = item.row.state.hub_request
    if planned and current.request_id:
        return planned != current.request_id
    return to_iso(current.asked_at) != item.change.asked_at


def _has_planned_status(current: AccessRequest | None, change: Change) -> bool:
    return current is not None and current.status == change.after


def settle_by_read(item: RunItem, current: AccessRequest | None, *, complete: bool) -> SettledItem | None:
    """Return the outcome of a started change from a read; None if the read does not show the outcome.

    The change then stays open.
    """
    change = item.change
    if current is None and item.row is not None:
        return SettledItem(item, OutcomeKind.GONE, "it is no longer in any list", "read") if complete else None
    if current is not None and is_other_attempt(item, current):
        return SettledItem(item, OutcomeKind.STALE, "there is a new attempt", "read") if complete else None
    if _has_planned_status(current, change):
        since = None if current is None else to_ms(current.reviewed_at)
        return SettledItem(item, OutcomeKind.DONE, "its answer was lost; read back", "read", hub_at=since)
    unsent = SettledItem(item, OutcomeKind.DEFERRED, "it had not reached the Hub", "read", is_unsent=True)
    if item.row is None or current is None:
        return unsent if complete else None
    if current.status == change.before and to_iso(current.asked_at) == change.asked_at:
        if _has_later_review(item.row, current):
            return SettledItem(
                item, OutcomeKind.STALE, f"it was reviewed meanwhile and is {current.status} again", "read"
            )
        return unsent
    return SettledItem(item, OutcomeKind.STALE, f"it was changed elsewhere and is {current.status} now", "read")


def _has_later_review(row: RequestRow, current: AccessRequest) -> bool:
    """Tell whether a record has a later review than the stored one. Our change may have arrived before that review.

    The stored time of our own decision may be up to a second early. In that case nothing is sent, which is the safer
    error.
    """
    stored = row.state.reviewed_at
    seen = to_ms(current.reviewed_at)
    return stored is not None and seen is not None and seen > stored


def settle_by_outcome(item: RunItem, outcome: Outcome) -> SettledItem:
    """Return the outcome that the client reported for a change. A listed request that is now missing is gone."""
    error = outcome.error
    if outcome.kind is OutcomeKind.OPEN and error is not None and not isinstance(error, OutcomeUnknown):
        return SettledItem(item, OutcomeKind.DEFERRED, outcome.why, is_unsent=True)
    kind = outcome.kind
    why = outcome.why
    if kind is OutcomeKind.REFUSED and isinstance(error, HfGateError):
        kind = classify_error(error, is_listed=item.row is not None).kind
    # A done change has a reason only if the answer was lost and the request was read back.
    source = "read" if kind is OutcomeKind.DONE and why else "told"
    return SettledItem(item, kind, why, source, outcome.hub_request_id)


def make_intent_entry(item: RunItem, run: RunRow, at: int) -> e.LedgerEntry:
    """Return the ledger entry that is stored before the change is sent."""
    change = item.change
    private = {"reason": change.reason} if change.reason else None
    event = e.ChangeStarted(
        run=run.id,
        before=change.before or None,
        after=change.after,
        rule=change.rule,
        digest=change.policy_digest,
        plan=run.plan,
        has_reason=change.reason is not None,
    )
    return _make_entry(item, event, at, actor_of_change(change, run), private)


def make_outcome_entries(settled: SettledItem, run: RunRow, at: int, zone: tzinfo, skew: float) -> list[e.LedgerEntry]:
    """Return the ledger entries of an outcome: the settled change, and the end of the grant if it has one.

    `skew` is how many seconds the Hub's clock is ahead of the clock that gave `at`.
    """
    change = settled.item.change
    row = settled.item.row
    actor = actor_of_change(change, run)
    hub_at = at + round(skew * 1000) if settled.hub_at is None else settled.hub_at
    event = e.ChangeSettled(
        run=run.id,
        kind=settled.kind.value,
        after=change.after,
        how=settled.source,
        hub_reply=settled.hub_reply,
        reviewed_at=_reviewed_at(settled, hub_at),
        hub_at=None if hub_at == at else hub_at,
        is_end=change.is_end,
        is_sudden=change.is_sudden,
        had_access=settled.kind is OutcomeKind.ALREADY
        and row is not None
        and row.state.status == change.after == Status.ACCEPTED,
    )
    entries = [_make_entry(settled.item, event, at, actor, {"why": settled.why} if settled.why else None)]
    end = find_given_end(settled)
    if end is not None:
        accepted_at = _accepted_at(settled, at)
        terms = terms_to_store(settled, at, zone)
        rule, _, version = end.rule.partition("@")
        dated = e.GrantDated(
            until=to_ms(parse_grant_end(end.written, accepted_at, zone)) if end.written else None,
            at_end=end.at_end,
            rule=rule,
            version=version or None,
            written=end.written,
            terms=terms.digest if terms else None,
            lists=list_table_versions(end.rests_on),
            cause="chosen" if end.is_chosen else "approved" if end.approved_by else None,
        )
        private: dict[str, object] = {"rows": end.rests_on} if end.rests_on else {}
        private |= {"approved_by": end.approved_by} if end.approved_by else {}
        entries.append(_make_entry(settled.item, dated, at, actor, private or None))
    return entries


def find_given_end(settled: SettledItem) -> AccessEnd | None:
    """Return the end of the access that an outcome gave; None if it gave none, or access without an end."""
    change = settled.item.change
    is_accepted = settled.kind is OutcomeKind.DONE and change.after == Status.ACCEPTED
    return change.end if is_accepted and change.end is not None and not change.end.gives_none else None


def terms_to_store(settled: SettledItem, at: int, zone: tzinfo) -> GrantTerms | None:
    """Return the terms of the access that an outcome gave; None if nothing can move its end."""
    end = find_given_end(settled)
    return None if end is None or end.terms is None else fix_terms(end.terms, _accepted_at(settled, at), zone)


def _accepted_at(settled: SettledItem, at: int) -> datetime:
    return from_ms(at if settled.hub_at is None else settled.hub_at)


def _reviewed_at(settled: SettledItem, hub_at: int) -> int | None:
    """Return when a request was reviewed (ms by the Hub's clock): 0 if it is pending again, None if it
    was not decided.
    """
    if settled.kind not in (OutcomeKind.DONE, OutcomeKind.ALREADY):
        return None
    if settled.item.change.after == Status.PENDING:
        return 0
    return hub_at


def actor_of_change(change: Change, run: RunRow) -> str:
    """Return the actor of a change: the policy with its version, or else the actor of the run."""
    return e.policy_actor(change.policy, change.policy_digest) if change.policy else run.actor


def _make_entry(item: RunItem, event: e.AnyEvent, at: int, actor: str, private: e.Private | None) -> e.LedgerEntry:
    row = item.row
    if row is None:  # without a stored person, there is no salt to seal a private part
        return e.LedgerEntry(event=event, at=at, actor=actor)
    return entry_about(row, event, actor, at, private)


class InFlightBatch:
    """The changes passed to the Hub client. Each outcome is matched with its change."""

    def __init__(self, items: Mapping[int, RunItem]) -> None:
        self.items = items
        self.settled: list[SettledItem] = []
        self._by_key: dict[str, RunItem] = {}

    def add(self, items: Iterable[RunItem]) -> None:
        for item in items:
            target = item.target
            for key in match_keys(item.repo, target.request_id, Person(target.user_id, target.username)):
                self._by_key.setdefault(key, item)

    def settle(self, outcome: Outcome) -> SettledItem | None:
        keys = match_keys(outcome.repo, outcome.request_id, outcome.person)
        item = next((self._by_key[key] for key in keys if key in self._by_key), None)
        return None if item is None else settle_by_outcome(item, outcome)


def match_keys(repo: Repo, request_id: str | None, person: Person) -> list[str]:
    """Return the keys by which an outcome is matched with its decision or change."""
    named = (("r", request_id), ("i", person.id), ("u", person.username))
    return [f"{repo} {kind}:{value.lower()}" for kind, value in named if value]


def send_alone(repo: Repo, target: Target, call: Callable[..., Outcome]) -> Iterator[Outcome]:
    """Send one decision in a separate call.

    An error becomes an outcome; it is raised if it ends more than this decision.
    """
    person = Person(target.user_id, target.username)
    try:
        if target.user_id or target.username:
            yield replace(call(repo, person), request_id=target.request_id)
        else:
            yield call(repo, request_id=target.request_id)
    except HfGateError as problem:
        rule = classify_error(problem, is_listed=False)
        yield Outcome(rule.kind, repo, person, target.request_id, str(problem), error=problem)
        if rule.scope is not ErrorScope.ONE:
            raise


def store_records(store: Store, repo: Repo, records: Sequence[AccessRequest], at: int, skew: float) -> list[int]:
    """Store what is new in these records from the Hub; return the row ids of their requests in the same order.

    `skew` is how many seconds the Hub's clock is ahead of ours.
    """
    idents: list[int] = []
    new: dict[int, RecordUpdate] = {}
    for index, (known, request) in enumerate(store.match_records(repo, records)):
        if (seen := diff_record(known, request, skew)) is not None:
            new[index] = seen
        idents.append(known.id if known is not None else 0)
    if new:
        with store.writing() as write:
            numbers = write.observe(repo, list(new.values()), at)
        for index, number in zip(new, numbers, strict=True):
            idents[index] = number
    return idents
