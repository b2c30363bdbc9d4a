"""Requests and access as they were at an earlier moment, from the ledger, with how certain the syncs of that time make them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Final, Literal

from msgspec import Struct, field

from ..decoding import convert_value
from ..domain.display_text import clip_line, pluralize
from ..domain.event_descriptions import describe_agreements
from ..domain.events import OUTSIDE, POLICY_ACTOR
from ..domain.grant_origin import GrantOrigin
from ..domain.grants import end_of_day
from ..domain.ids import Person, Repo
from ..domain.ledger import chain_of
from ..domain.lifecycle import Status
from ..domain.rows import LedgerMoment, PastRequest, SyncMark
from ..domain.timestamps import from_ms, ms_to_iso, to_ms
from ..errors import HfGateError, UsageError
from ..store.grant_terms import read_terms
from ..store.past_requests import (
    find_moment,
    iterate_found_later,
    iterate_past_requests,
    iterate_sync_marks,
    read_agreements,
    read_approvers,
    read_end_rows,
    read_first_time,
    read_granter,
    read_past_page,
    read_past_requests,
)
from ..store.store import Store
from .approvals import read_member_names
from .current_verdicts import CurrentVerdicts
from .grant_records import build_grant_record
from .ledger_entries import history_records
from .past_records import AccessRecord, PastRequestRecord, ShownPastRequest
from .ports import HubPort
from .records import extend_record, keys_of
from .request_record_builders import RowDetails, stored_attempt
from .sync import RowIdSet

MAX_MEMBERS: Final = 10_000  # members of one organisation that are listed
_ANY_VERDICT: Final = CurrentVerdicts(None)
_HINT: Final = "Write a date such as 2026-05-01, or a time such as 2026-05-01T14:30Z."


def parse_moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that a date (its end, in the time zone) or a timestamp means. Today means now."""
    written = text.strip()
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        shown = clip_line(written, 40)
        raise UsageError(f"{shown!r} is neither a date nor a time.", hint=_HINT) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    if not any(sign in written for sign in "T :"):
        if found.date() == now.astimezone(zone).date():
            return now
        found = end_of_day(found.date(), zone) - timedelta(milliseconds=1)
    if found > now:
        raise UsageError(f"{written} is in the future.", hint="Give a date up to today.")
    return found


# ---- certainty -------------------------------------------------------------------------------------------------------


class SyncCertainty(Struct, frozen=True):
    """How certain the state of a repo at a moment is. Times are in ms.

    `proved_at` is the last full sync up to the moment that was proved complete; `confirmed_at` is the first one after it.
    `found_later` holds the requests whose status had changed on the Hub before the moment, as a later sync showed.
    """

    moment: LedgerMoment
    proved_at: int | None
    is_last_complete: bool
    confirmed_at: int | None
    found_later: RowIdSet
    gates: tuple[SyncMark, ...] = field(default=())  # the syncs that read another form or prompt than the sync before

    def gate_of(self, seq: int) -> tuple[str | None, str | None]:
        """Return the fingerprints of form and prompt when a request was first seen; None if there was none, or it is not known."""
        before = [mark for mark in self.gates if mark.seq < seq]
        mark = before[-1] if before else next(iter(self.gates), None)
        return (None, None) if mark is None else (mark.event.form or None, mark.event.prompt or None)

    def describe(self, zone: tzinfo | None) -> Iterator[str]:
        """Yield sentences for people, with times in this zone."""
        repo = self.moment.repo
        if self.proved_at is None:
            yield f"{repo}: no full sync up to then was proved complete, so requests may be missing."
        else:
            yield f"{repo}: the last full sync that was proved complete ended {_format_moment(self.proved_at, zone)}."
        if not self.is_last_complete and self.proved_at is not None:
            yield f"{repo}: a later full sync was not proved complete."
        if self.confirmed_at is None:
            yield f"{repo}: no complete full sync followed yet. Changes on the Hub since the last one may be unknown."
        elif not self.found_later:
            yield f"{repo}: the next complete full sync ({_format_moment(self.confirmed_at, zone)}) found no earlier change."
        else:
            count = pluralize(len(self.found_later), "request")
            yield f"{repo}: {count} had changed on the Hub before this moment, as a later sync showed."


def _format_moment(at: int, zone: tzinfo | None) -> str:
    return f"{from_ms(at).astimezone(zone or UTC):%Y-%m-%d %H:%M %Z}"


def read_certainty(store: Store, moment: LedgerMoment) -> SyncCertainty:
    """Read the full syncs around a moment."""
    marks = list(iterate_sync_marks(store, moment))
    proved = next((mark for mark in marks if mark.event.complete), None)
    confirmed = next((mark for mark in iterate_sync_marks(store, moment, later=True) if mark.event.complete), None)
    later = RowIdSet()
    last = store.chains().get(chain_of(moment.repo), (moment.seq, b""))[0]
    for request in iterate_found_later(store, moment, last if confirmed is None else confirmed.seq):
        later.add(request)
    gates = list[SyncMark]()
    for mark in reversed(marks):
        if mark.event.form is not None and (not gates or _gate_of(mark) != _gate_of(gates[-1])):
            gates.append(mark)
    return SyncCertainty(
        moment=moment,
        proved_at=None if proved is None else proved.at,
        is_last_complete=bool(marks) and marks[0].event.complete,
        confirmed_at=None if confirmed is None else confirmed.at,
        found_later=later,
        gates=tuple(gates),
    )


def _gate_of(mark: SyncMark) -> tuple[str | None, str | None]:
    return mark.event.form, mark.event.prompt


# ---- records ---------------------------------------------------------------------------------------------------------


class PastView(Struct, frozen=True):
    """The repos of a report at one moment. `unknown` are the repos whose ledger begins later."""

    store: Store
    at: datetime
    certainties: Sequence[SyncCertainty]
    unknown: Sequence[Repo]

    def requests(
        self, statuses: Collection[str] | None, *, oldest_first: bool = False
    ) -> Iterator[tuple[SyncCertainty, PastRequest]]:
        """Yield the latest attempts of all repos with one of these statuses (None: any)."""
        for certainty in self.certainties:
            for past in iterate_past_requests(self.store, certainty.moment, statuses, oldest_first=oldest_first):
                yield certainty, past

    def records(self, statuses: Collection[str] | None, *, oldest_first: bool = False) -> Iterator[PastRequestRecord]:
        """Yield the same requests as records."""
        for certainty, past in self.requests(statuses, oldest_first=oldest_first):
            yield past_request_record(self.store, certainty, past)

    def access(self) -> Iterator[AccessRecord]:
        """Yield the people who had access by an accepted request."""
        for certainty, past in self.requests((Status.ACCEPTED,)):
            yield access_record(self.store, certainty, past)

    def describe(self) -> Iterator[str]:
        """Yield sentences on the certainty of all repos."""
        yield f"As of {self.at:%Y-%m-%d %H:%M:%S %Z}, from the audit log."
        for certainty in self.certainties:
            yield from certainty.describe(self.at.tzinfo)
        for repo in self.unknown:
            yield f"{repo}: nothing is known about that time, because its audit log begins later."


def read_access_page(
    store: Store, certainty: SyncCertainty, *, limit: int, before: int | None
) -> tuple[list[tuple[AccessRecord, PastRequest]], int | None]:
    """Return the people who had access by a request, the newest request first, and the cursor of the next page."""
    found, cursor = read_past_page(store, certainty.moment, Status.ACCEPTED, limit=limit, before=before)
    return [(access_record(store, certainty, past), past) for past in found], cursor


def read_past_view(store: Store, repos: Iterable[Repo], at: datetime) -> PastView:
    """Find a moment in the chains of these repos. Raises UsageError if all of them begin later."""
    wanted, found, unknown = list(repos), [], []
    for repo in wanted:
        moment = find_moment(store, repo, to_ms(at))
        if moment is None:
            unknown.append(repo)
        else:
            found.append(read_certainty(store, moment))
    if not found:
        firsts = [first for repo in wanted if (first := read_first_time(store, repo)) is not None]
        begins = (
            f"the audit log begins {_format_moment(min(firsts), at.tzinfo)}"
            if firsts
            else "the audit log has no entry about these repos"
        )
        hint = "Give a later date." if firsts else "Read the repos first: hf-gate sync REPO"
        raise UsageError(f"nothing is known about {at:%Y-%m-%d %H:%M %Z}: {begins}.", hint=hint)
    return PastView(store, at, found, unknown)


# ---- people who bypass the gate ----------------------------------------------------------------------------------------

_NOW_ONLY: Final = (
    "bypasses the gate unless the repo gates its members; read now, because the Hub keeps no earlier members"
)


def read_bypassing_accounts(
    hub: HubPort, certainties: Sequence[SyncCertainty], owners: Collection[str]
) -> Iterator[AccessRecord]:
    """Yield the owner, or the members of the organisation, for each repo.

    `owners` are the names of people among the namespaces, as far as the caller knows. If members cannot be read, one
    record without a user says so.
    """
    people: dict[str, Sequence[Person] | HfGateError] = {}
    for certainty in certainties:
        namespace = certainty.moment.repo.namespace
        if namespace in owners:
            yield _bypass_record(certainty, "owner", Person(None, namespace), None)
            continue
        if namespace not in people:
            try:
                people[namespace] = list(islice(hub.org_members(namespace), MAX_MEMBERS + 1))
            except HfGateError as problem:
                people[namespace] = problem
        found = people[namespace]
        if isinstance(found, HfGateError):
            note = f"the members of {namespace} bypass the gate and could not be read: {found}"
            yield _bypass_record(certainty, "member", Person(), note)
            continue
        for person in found[:MAX_MEMBERS]:
            yield _bypass_record(certainty, "member", person, _NOW_ONLY)
        if len(found) > MAX_MEMBERS:
            yield _bypass_record(certainty, "member", Person(), f"only the first {MAX_MEMBERS:,} members are listed")


def _bypass_record(
    certainty: SyncCertainty, through: Literal["member", "owner"], person: Person, note: str | None
) -> AccessRecord:
    repo, unknown = certainty.moment.repo, dict.fromkeys(keys_of(AccessRecord))
    known: dict[str, object] = {
        "repo": repo.id,
        "repo_type": repo.type,
        "through": through,
        "user": person.username,
        "user_id": person.id,
        "fullname": person.fullname,
        "as_of": ms_to_iso(certainty.moment.at),
        "found_later": False,
        "approvers": [],
        "is_outside": False,
        "missing_approvals": 0,
        "note": note,
    }
    return convert_value(unknown | known, AccessRecord)


def find_past_attempts(store: Store, certainty: SyncCertainty, idents: Sequence[int]) -> list[PastRequest]:
    """Return these requests of one repo as they were, the oldest attempt first."""
    found = read_past_requests(store, certainty.moment, idents).values()
    return sorted(found, key=lambda past: (past.row.state.asked_at, past.row.id))


def past_request_record(store: Store, certainty: SyncCertainty, past: PastRequest) -> PastRequestRecord:
    """Return the record of a request as it was, without the member it was assigned to."""
    state, origin = past.row.state, past.grant
    terms = {} if state.terms is None else read_terms(store, [state.terms])
    grant = build_grant_record(state, terms, {} if origin is None else read_agreements(store, past))
    return extend_record(
        stored_attempt(past.row, _ANY_VERDICT, RowDetails(grant)),
        PastRequestRecord,
        as_of=ms_to_iso(certainty.moment.at),
        proved_at=ms_to_iso(certainty.proved_at),
        found_later=past.row.id in certainty.found_later,
    )


_SHARED: Final = frozenset(keys_of(AccessRecord)) & (
    frozenset(keys_of(ShownPastRequest)) - set(keys_of(PastRequestRecord))
)


def shown_past_request(store: Store, certainty: SyncCertainty, attempts: Sequence[PastRequest]) -> ShownPastRequest:
    """Return the record of the last of these attempts, with the history of all."""
    past, access = attempts[-1], access_record(store, certainty, attempts[-1])
    return extend_record(
        past_request_record(store, certainty, past),
        ShownPastRequest,
        **{name: getattr(access, name) for name in _SHARED},
        history=history_records(
            store, [each.row for each in attempts], certainty.moment.entry + 1, read_member_names(store)
        ),
    )


def access_record(store: Store, certainty: SyncCertainty, past: PastRequest) -> AccessRecord:
    """Return the record of an access that a request gave."""
    row, grant = past.row, past.grant
    identity, state = row.person.identity, row.state
    form, prompt = certainty.gate_of(past.seq)
    return AccessRecord(
        repo=row.repo.id,
        repo_type=row.repo.type,
        through="request",
        user=identity.username,
        user_id=identity.user_id,
        fullname=identity.fullname,
        email=identity.email,
        person=state.person,
        request_id=state.hub_request,
        asked_at=ms_to_iso(state.asked_at),
        since=None if grant is None else ms_to_iso(grant.since),
        by=(granter := _name_granter(store, past)),
        approvers=[] if grant is None else _name_approvers(store, grant, granter),
        is_outside=grant is not None and (grant.is_outside or past.missing is not None),
        missing_approvals=0 if past.missing is None else past.missing.needed - past.missing.given,
        policy=None if grant is None else grant.policy,
        rule=None if grant is None else grant.rule,
        agreement=describe_agreements(read_agreements(store, past)) or None,
        form=form,
        prompt=prompt,
        until=ms_to_iso(state.ends_at),
        at_end=state.at_end,
        until_rule=None if state.ends_at is None else state.until_rule,
        until_row=None if past.dated is None else describe_agreements(read_end_rows(store, past.dated)) or None,
        as_of=ms_to_iso(certainty.moment.at),
        proved_at=ms_to_iso(certainty.proved_at),
        found_later=row.id in certainty.found_later,
        note=None,
    )


def _name_approvers(store: Store, grant: GrantOrigin, granter: str | None) -> list[str]:
    """Return the people who approved in hf-gate, each once: those whose approvals counted, and who accepted."""
    given = read_approvers(store, grant)
    if grant.is_outside or grant.actor.startswith(POLICY_ACTOR):
        return given
    return given if granter in given else [granter] if granter is not None else []


def _name_granter(store: Store, past: PastRequest) -> str | None:
    """Return who gave the access: an account, a policy, or None if the Hub did not say."""
    grant = past.grant
    if grant is None:
        return None
    if grant.actor != OUTSIDE:
        return grant.actor
    named = read_granter(store, grant.entry)
    if named is None and past.row.request is not None and past.row.request.granted_by is not None:
        return past.row.request.granted_by.username
    return named
