"""Who has access, or had it at an earlier moment, from the ledger, with what the syncs of that time prove."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from hf_gate.base.decoding import convert_value
from hf_gate.base.display_text import clip_line, pluralize
from hf_gate.base.ids import Person, Repo
from hf_gate.base.timestamps import format_minute, from_ms, ms_to_iso, to_ms
from hf_gate.core.events.event_descriptions import describe_rows
from hf_gate.core.events.events import OUTSIDE, POLICY_ACTOR, ApprovalGiven, Private
from hf_gate.core.events.grant_origin import EndedAccess
from hf_gate.core.events.ledger import chain_of
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import end_of_day
from hf_gate.core.people.members import KEY_ACTOR
from hf_gate.core.ports import HubPort
from hf_gate.core.records import Count, RepoReference, Time, keys_of
from hf_gate.core.stored_rows import LedgerMoment, PastRequest, SyncMark
from hf_gate.errors import HfGateError, UsageError
from hf_gate.requests.rows.past_requests import (
    approvals_of,
    find_moment,
    granter_of,
    iterate_found_later,
    iterate_past_pages,
    iterate_sync_marks,
    name_granter,
    read_first_time,
    read_private_parts,
    rows_of_last_end,
)
from hf_gate.requests.service.sync import RowIdSet
from hf_gate.store.rows.ledger import MAX_LOOK_BACK
from hf_gate.store.store import Store

MAX_MEMBERS: Final = 10_000  # members of one organisation that are listed
_HINT: Final = "Write a date such as 2026-05-01, or a time such as 2026-05-01T14:30Z."


def parse_moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment that a date (its end, in the time zone) or a timestamp means. Today means now."""
    written = text.strip()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        shown = clip_line(written, 40)
        raise UsageError(f"{shown!r} is neither a date nor a time.", hint=_HINT) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    if not any(sign in written for sign in "T :"):
        if moment.date() == now.astimezone(zone).date():
            return now
        moment = end_of_day(moment.date(), zone) - timedelta(milliseconds=1)
    if moment > now:
        raise UsageError(f"{written} is in the future.", hint="Give a date up to today.")
    return moment


def parse_period(first: str | None, last: str | None, now: datetime, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Return the first moment of a date, or time, and the end of another, which is today by default.

    A month such as 2027-03 stands for both. Returns None if nothing is given.
    """
    if first is None and last is None:
        return None
    if first is None:
        raise UsageError("--until needs --from.", hint="For example: --from 2027-01-01 --until 2027-03-31")
    if first == last and is_month(first):
        year, month = map(int, first.split("-"))
        start = datetime(year, month, 1, tzinfo=zone)
        following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
        last_moment = min(following - timedelta(milliseconds=1), now)
    else:
        start = parse_moment(first, now, zone).astimezone(zone)
        if not any(sign in first.strip() for sign in "T :"):
            start = datetime.combine(start, time(), tzinfo=zone)
        last_moment = now if last is None else parse_moment(last, now, zone)
    if start > last_moment:
        raise UsageError("the period begins after its end.", hint="Give a period up to today.")
    return start, last_moment


def is_month(text: str) -> bool:
    """Return whether a text is a month such as 2027-03."""
    return re.fullmatch(r"[1-9]\d{3}-(?:0[1-9]|1[0-2])", text) is not None


# ---- what the syncs prove --------------------------------------------------------------------------------------------


class SyncCertainty(Struct, frozen=True):
    """How certain the state of a repo at a moment is. Times are in ms.

    `proved_at` is the last full sync up to the moment that was proved complete; `confirmed_at` is the first one after
    it. `found_later` holds the requests whose status had changed on the Hub before the moment, as a later sync showed.
    `gates` are the syncs that read another form or prompt than the sync before.
    """

    moment: LedgerMoment
    proved_at: int | None
    is_last_complete: bool
    confirmed_at: int | None
    found_later: RowIdSet
    gates: Sequence[SyncMark]

    def gate_of(self, seq: int) -> tuple[str | None, str | None]:
        """Return the fingerprints of form and prompt when a request was first seen; None if there was none, or it is
        not known.
        """
        before = [mark for mark in self.gates if mark.seq < seq]
        for mark in before[-1:] or self.gates[:1]:
            return mark.event.form or None, mark.event.prompt or None
        return None, None

    def describe(self, zone: tzinfo | None) -> Iterator[str]:
        """Yield sentences for people, with times in this zone."""
        repo = self.moment.repo
        if self.proved_at is None:
            yield f"{repo}: no full sync up to then was proved complete, so requests may be missing."
        else:
            proved = format_minute(from_ms(self.proved_at), zone)
            yield f"{repo}: the last full sync that was proved complete ended {proved}."
        if not self.is_last_complete and self.proved_at is not None:
            yield f"{repo}: a later full sync was not proved complete."
        if self.confirmed_at is None:
            yield f"{repo}: no complete full sync followed yet. Changes on the Hub since the last one may be unknown."
        elif not self.found_later:
            yield (
                f"{repo}: the next complete full sync ({format_minute(from_ms(self.confirmed_at), zone)}) found no "
                "earlier change."
            )
        else:
            count = pluralize(len(self.found_later), "request")
            yield f"{repo}: {count} had changed on the Hub before this moment, as a later sync showed."


def _read_certainty(store: Store, moment: LedgerMoment) -> SyncCertainty:
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
        gate = mark.event.form, mark.event.prompt
        if mark.event.form is not None and (not gates or gate != (gates[-1].event.form, gates[-1].event.prompt)):
            gates.append(mark)
    return SyncCertainty(
        moment=moment,
        proved_at=None if proved is None else proved.at,
        is_last_complete=bool(marks) and marks[0].event.complete,
        confirmed_at=None if confirmed is None else confirmed.at,
        found_later=later,
        gates=gates,
    )


# ---- accounts with access --------------------------------------------------------------------------------------------


class AccessRecord(RepoReference, frozen=True, kw_only=True):
    """One account that has access to a repo, or had it at an earlier moment."""

    through: Annotated[
        Literal["request", "member", "owner"], Meta(description="members of the organisation bypass the gate")
    ]
    user: str | None
    user_id: str | None
    fullname: str | None
    email: str | None
    person: Annotated[str | None, Meta(description="the pseudonym that the audit log uses")]
    request_id: str | None
    asked_at: Time | None
    since: Annotated[Time | None, Meta(description="null: no access, or it began before the first sync")]
    by: Annotated[str | None, Meta(description="an account, or policy:NAME@version; null: the Hub did not say")]
    approvers: Annotated[list[str], Meta(description="the people who approved in hf-gate; two if a rule asks for two")]
    new_members: Annotated[
        dict[str, str], Meta(description="approvers who were members for less than 7 days, and who added them")
    ]
    is_outside: Annotated[bool, Meta(description="accepted outside hf-gate, or before the first sync")]
    missing_approvals: Annotated[Count, Meta(description="how many approvals an acceptance outside hf-gate lacked")]
    policy: str | None
    rule: Annotated[str | None, Meta(description="the rule that accepted, or asked for two people; null: none did")]
    form: Annotated[str | None, Meta(description="fingerprint of the gate form when the request was first seen")]
    prompt: Annotated[str | None, Meta(description="fingerprint of the prompt at that time; null: none, or not known")]
    until: Time | None
    at_end: str | None
    until_rule: Annotated[str | None, Meta(description="the rule of the end; direct: a person gave it without a rule")]
    until_row: Annotated[
        str | None, Meta(description="the rows on which the end rests, with the versions of their tables")
    ]
    as_of: Time
    proved_at: Annotated[Time | None, Meta(description="the last full sync up to then that was proved complete")]
    found_later: Annotated[bool, Meta(description="its status had changed on the Hub by then, but was read later")]
    note: Annotated[str | None, Meta(description="what is not known about it")]
    ended_at: Annotated[Time | None, Meta(description="of a period: when the access ended; null: it goes on")]
    ended_by: Annotated[str | None, Meta(description="an account, or policy:NAME@version; null: the Hub did not say")]
    ended_as: Annotated[str | None, Meta(description="the status of the request after the access")]
    reason: Annotated[str | None, Meta(description="the reason that was sent when the access ended")]


def name_deciders(access: AccessRecord) -> str:
    """Return who gave an access: an account or policy, and the people who approved."""
    is_named = access.by is None or (access.by in access.approvers and not access.is_outside)
    new = access.new_members
    approvers = [f"{name} ({new[name]})" if name in new else name for name in access.approvers]
    return ", ".join([*([] if is_named else [str(access.by)]), *approvers])


def describe_outside(access: AccessRecord) -> str:
    """Return the mark of an access that was given outside hf-gate; "" for the others."""
    if not access.is_outside:
        return ""
    lacking = pluralize(access.missing_approvals, "approval")
    return f"accepted outside hf-gate{f', {lacking} missing' if access.missing_approvals else ''}"


def name_rule(access: AccessRecord) -> str | None:
    """Return the rule that gave an access, or else the rule that set its end; None if people decided both."""
    end_rule = access.until_rule if "/" in (access.until_rule or "") else None
    return access.rule or end_rule


def _make_record(certainty: SyncCertainty, past: PastRequest, private: Mapping[int, Private]) -> AccessRecord:
    """Return the record of an access that a request gave.

    `private` has the private parts of the entries that it names.
    """
    row = past.row
    identity = row.person.identity
    state = row.state
    grant = past.then.grant
    missing = past.then.missing
    by = None
    approvers = list[str]()
    new_members = dict[str, str]()
    if grant is not None:
        by = granter_of(row, grant, private)
        approvals = approvals_of(grant, private)
        approvers = [given.actor for given in approvals]
        new_members = {
            given.actor: given.event.new_member.describe(given.at)
            for given in approvals
            if isinstance(given.event, ApprovalGiven) and given.event.new_member is not None
        }
        is_of_person = not (grant.is_outside or grant.actor.startswith((POLICY_ACTOR, KEY_ACTOR)))
        approvers = [by] if by is not None and by not in approvers and is_of_person else approvers
    form, prompt = certainty.gate_of(past.then.seq)
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
        by=by,
        approvers=approvers,
        new_members=new_members,
        is_outside=grant is not None and (grant.is_outside or missing is not None),
        missing_approvals=0 if missing is None else missing.needed - missing.given,
        policy=None if grant is None else grant.policy,
        rule=None if grant is None else grant.rule,
        form=form,
        prompt=prompt,
        until=ms_to_iso(state.ends_at),
        at_end=state.at_end,
        until_rule=None if state.ends_at is None else state.until_rule,
        until_row=describe_rows(rows_of_last_end(past.then, private)) or None,
        as_of=ms_to_iso(certainty.moment.at),
        proved_at=ms_to_iso(certainty.proved_at),
        found_later=row.id in certainty.found_later,
        note=None,
        ended_at=None,
        ended_by=None,
        ended_as=None,
        reason=None,
    )


class AccessView(Struct, frozen=True):
    """Who had access to some repos at one moment. `unknown` are the repos whose ledger begins later."""

    store: Store
    at: datetime
    certainties: Sequence[SyncCertainty]
    unknown: Sequence[Repo]
    is_period: ClassVar = False

    def records(self) -> Iterator[AccessRecord]:
        """Yield the people who had access by an accepted request, the newest request of each repo first."""
        for certainty in self.certainties:
            for _, record in self._pairs(certainty):
                yield record

    def read_page(self, limit: int, before: int | None) -> tuple[list[tuple[PastRequest, AccessRecord]], int | None]:
        """Return a page of the first repo, and the cursor of the next page, which is `before` then.

        A page searches a bounded part of the chain, so it can have fewer rows.
        """
        (certainty, *_) = self.certainties
        top = min(before or certainty.moment.seq + 1, certainty.moment.seq + 1)
        floor = max(top - MAX_LOOK_BACK, 0)
        rows = list(islice(self._pairs(certainty, top, floor, 2 * limit), limit + 1))
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1][0].then.seq
        return rows, floor if floor > 1 else None

    def _pairs(self, certainty: SyncCertainty, *where: int) -> Iterator[tuple[PastRequest, AccessRecord]]:
        for page in iterate_past_pages(self.store, certainty.moment, *where):
            accepted = [past for past in page if past.row.state.status == Status.ACCEPTED]
            private = read_private_parts(self.store, (entry for past in accepted for entry in past.then.named_entries))
            for past in accepted:
                yield past, _make_record(certainty, past, private)

    def describe(self) -> Iterator[str]:
        """Yield sentences on the certainty of all repos."""
        yield f"As of {self.at:%Y-%m-%d %H:%M:%S %Z}, from the audit log."
        for certainty in self.certainties:
            yield from certainty.describe(self.at.tzinfo)
        for repo in self.unknown:
            yield f"{repo}: nothing is known about that time, because its audit log begins later."


class PeriodView(Struct, frozen=True):
    """Who had access to some repos in a period, as far as is known now.

    `begins` has the time (ms) of the first entry about each repo. `earlier` counts, while records are read, the people
    who had access in the part of the period before it.
    """

    store: Store
    first: datetime
    last: datetime
    certainties: Sequence[SyncCertainty]
    begins: Mapping[Repo, int]
    earlier: Counter[Repo]
    unknown: Sequence[Repo]
    is_period: ClassVar = True

    def records(self) -> Iterator[AccessRecord]:
        """Yield each access in the period, the newest request of each repo first."""
        for certainty in self.certainties:
            for page in iterate_past_pages(self.store, certainty.moment, with_superseded=True):
                found = [pair for past in page for pair in _list_accesses(past) if self._includes(*pair)]
                private = read_private_parts(self.store, (entry for pair in found for entry in _entries_of(*pair)))
                for past, ended in found:
                    record = _make_record(certainty, past, private)
                    yield record if ended is None else _add_end(record, ended, private)

    def _includes(self, past: PastRequest, ended: EndedAccess | None) -> bool:
        """Whether an access was in the period; counts it if it is known to have been before the first entry."""
        grant = past.then.grant
        begin = self.begins[past.row.repo]
        since = begin if grant is None or grant.since is None else grant.since
        is_in = since <= to_ms(self.last) and (ended is None or ended.at >= to_ms(self.first))
        if is_in and since < begin:
            self.earlier[past.row.repo] += 1
        return is_in

    def describe(self) -> Iterator[str]:
        """Yield sentences on what is known about the period."""
        zone = self.first.tzinfo
        yield f"From {format_minute(self.first, zone)} to {format_minute(self.last, zone)}, from the audit log."
        for certainty in self.certainties:
            repo = certainty.moment.repo
            if certainty.proved_at is None:
                yield f"{repo}: no full sync was proved complete, so requests may be missing."
            begin = self.begins[repo]
            if begin > to_ms(self.first):
                count = self.earlier[repo]
                known = f"at least {pluralize(count, 'person', 'people')} had access" if count else "nothing is known"
                yield f"{repo}: the audit log begins {format_minute(from_ms(begin), zone)}. Before it, {known}."


def _list_accesses(past: PastRequest) -> Iterator[tuple[PastRequest, EndedAccess | None]]:
    """Yield each access that a request gave, as it was at its end, with what ended it."""
    for ended in past.then.ended:
        assert ended.before.state is not None  # noqa: S101 - for the type checker
        yield replace(past, row=replace(past.row, state=ended.before.state), then=ended.before), ended
    if past.then.grant is not None:
        yield past, None


def _entries_of(past: PastRequest, ended: EndedAccess | None) -> Iterator[int | None]:
    """Yield the entries whose private parts describe an access and its end."""
    yield from past.then.named_entries
    if ended is not None:
        yield from (ended.event.entry, ended.reason_entry)


def _add_end(record: AccessRecord, ended: EndedAccess, private: Mapping[int, Private]) -> AccessRecord:
    """Return the record of an access with its end."""
    named = name_granter(private.get(ended.event.entry, {}))
    reason = private.get(ended.reason_entry or 0, {}).get("reason")
    return replace(
        record,
        ended_at=ms_to_iso(ended.at),
        ended_by=named if ended.event.actor == OUTSIDE else ended.event.actor,
        ended_as=ended.status,
        reason=reason if isinstance(reason, str) else None,
    )


def read_period(store: Store, repos: Iterable[Repo], period: tuple[datetime, datetime], now: datetime) -> PeriodView:
    """Read who had access in a period from all entries until now. Raises UsageError without entries."""
    view = read_access(store, repos, now)
    begins = {each.moment.repo: read_first_time(store, each.moment.repo) or 0 for each in view.certainties}
    return PeriodView(store, *period, view.certainties, begins, Counter(), view.unknown)


def read_access(store: Store, repos: Iterable[Repo], at: datetime) -> AccessView:
    """Find a moment in the chains of these repos. Raises UsageError if all of them begin later."""
    moments = {repo: find_moment(store, repo, to_ms(at)) for repo in repos}
    certainties = [_read_certainty(store, moment) for moment in moments.values() if moment is not None]
    if not certainties:
        firsts = [first for repo in moments if (first := read_first_time(store, repo)) is not None]
        begins = (
            f"the audit log begins {format_minute(from_ms(min(firsts)), at.tzinfo)}"
            if firsts
            else "the audit log has no entry about these repos"
        )
        hint = "Give a later date." if firsts else "Read the repos first: hf-gate sync REPO"
        raise UsageError(f"nothing is known about {format_minute(at, at.tzinfo)}: {begins}.", hint=hint)
    return AccessView(store, at, certainties, [repo for repo, moment in moments.items() if moment is None])


# ---- people who bypass the gate --------------------------------------------------------------------------------------

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
    members: dict[str, list[tuple[Person, str]]] = {}
    for certainty in certainties:
        namespace = certainty.moment.repo.namespace
        if namespace in owners:
            yield _bypass_record(certainty, "owner", Person(None, namespace), None)
            continue
        if namespace not in members:
            members[namespace] = list(_read_members(hub, namespace))
        for person, note in members[namespace]:
            yield _bypass_record(certainty, "member", person, note)


def _read_members(hub: HubPort, namespace: str) -> Iterator[tuple[Person, str]]:
    """Yield the members of an organisation, each with a note. A note without a person says what could not be read."""
    try:
        people = list(islice(hub.org_members(namespace), MAX_MEMBERS + 1))
    except HfGateError as problem:
        yield Person(), f"the members of {namespace} bypass the gate and could not be read: {problem}"
        return
    for person in people[:MAX_MEMBERS]:
        yield person, _NOW_ONLY
    if len(people) > MAX_MEMBERS:
        yield Person(), f"only the first {MAX_MEMBERS:,} members are listed"


def _bypass_record(
    certainty: SyncCertainty, through: Literal["member", "owner"], person: Person, note: str | None
) -> AccessRecord:
    known: dict[str, object] = {
        "repo": certainty.moment.repo.id,
        "repo_type": certainty.moment.repo.type,
        "through": through,
        "user": person.username,
        "user_id": person.id,
        "fullname": person.fullname,
        "as_of": ms_to_iso(certainty.moment.at),
        "found_later": False,
        "approvers": [],
        "new_members": {},
        "is_outside": False,
        "missing_approvals": 0,
        "note": note,
    }
    return convert_value(dict.fromkeys(keys_of(AccessRecord)) | known, AccessRecord)
