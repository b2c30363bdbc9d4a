"""Reads requests as they were at an earlier moment, page by page, from the entries of the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.event_descriptions import rows_of_end
from hf_gate.core.events.events import (
    GrantDated,
    Private,
    RequestSeen,
    StatusMoved,
    SyncEnded,
    decode_event,
    kind_of,
)
from hf_gate.core.events.grant_origin import DatedEvent, GrantOrigin, PastState, apply_dated_event
from hf_gate.core.stored_rows import (
    Identity,
    LedgerMoment,
    PastRequest,
    PersonRow,
    RequestRow,
    SyncMark,
)
from hf_gate.store.rows.requests import decode_single
from hf_gate.store.store import Store
from hf_gate.store.writing.compression import decode_private_part, unpack

_PAGE: Final = 1000  # requests that are folded together
_ENTRIES: Final = 5000  # entries that one statement returns
_FIRST_SEEN: Final = kind_of(RequestSeen)
_APPROVERS: Final = 2  # a rule asks for at most two people


# ---- moments ---------------------------------------------------------------------------------------------------------


def read_first_time(store: Store, repo: Repo) -> int | None:
    """Return the time (ms) of the first entry about a repo; None without entries."""
    sql = "SELECT at FROM ledger WHERE repo_id = ? ORDER BY seq LIMIT 1"
    found = store.reads.row(sql, (store.repo_id(repo),))
    return None if found is None else int(found[0])


def find_moment(store: Store, repo: Repo, at: int) -> LedgerMoment | None:
    """Return the place of a time (ms) in the chain of a repo; None if the chain begins later."""
    row = store.repo(repo)
    if row is None:
        return None
    sql = "SELECT seq, id FROM ledger WHERE repo_id = ? AND at <= ? ORDER BY seq DESC LIMIT 1"
    found = store.reads.row(sql, (row.id, at))
    return None if found is None else LedgerMoment(repo=repo, repo_id=row.id, at=at, seq=found[0], entry=found[1])


def iterate_sync_marks(store: Store, moment: LedgerMoment, *, later: bool = False) -> Iterator[SyncMark]:
    """Iterate over the full syncs up to a moment, the newest first; with `later`, over those after it, the oldest
    first.
    """
    sign, order = (">", "ASC") if later else ("<=", "DESC")
    sql = f"SELECT seq, at, body FROM ledger WHERE repo_id = ? AND seq {sign} ? AND kind = ? ORDER BY seq {order}"
    after = moment.seq
    while page := store.reads.rows(f"{sql} LIMIT 100", (moment.repo_id, after, kind_of(SyncEnded))):
        for seq, at, body in page:
            event = decode_event(body.encode())
            if isinstance(event, SyncEnded):
                yield SyncMark(seq=seq, at=at, event=event)
        after = page[-1][0] + (0 if later else -1)


def iterate_found_later(store: Store, moment: LedgerMoment, last_seq: int) -> Iterator[int]:
    """Iterate over the requests whose status changed on the Hub before a moment, but was read after it.

    `last_seq` is the place of the last entry that is read.
    """
    kinds = (_FIRST_SEEN, kind_of(StatusMoved))
    sql = (
        "SELECT seq, request_id, body FROM ledger WHERE repo_id = ? AND seq > ? AND seq <= ? AND kind IN (?, ?)"
        f" ORDER BY seq LIMIT {_ENTRIES}"
    )
    after = moment.seq
    while page := store.reads.rows(sql, (moment.repo_id, after, last_seq, *kinds)):
        for _, request, body in page:
            reviewed = getattr(decode_event(body.encode()), "reviewed_at", None)
            if reviewed is not None and reviewed <= moment.at:
                yield request
        after = page[-1][0]


# ---- requests --------------------------------------------------------------------------------------------------------


def iterate_past_pages(
    store: Store,
    moment: LedgerMoment,
    before: int | None = None,
    floor: int = 0,
    size: int = _PAGE,
    *,
    with_superseded: bool = False,
) -> Iterator[list[PastRequest]]:
    """Iterate over the latest attempts at a moment, the newest first, in pages that are folded together.

    With `with_superseded`, earlier attempts are included.

    Only entries of the chain from `floor` to before `before` are searched for the first entry of a request.
    """
    top = moment.seq + 1 if before is None else before
    sql = (
        "SELECT seq, request_id FROM ledger WHERE repo_id = ? AND seq < ? AND seq >= ? AND kind = ?"
        " ORDER BY seq DESC LIMIT ?"
    )
    while page := store.reads.rows(sql, (moment.repo_id, top, floor, _FIRST_SEEN, size)):
        past = read_past_requests(store, moment, [request for _, request in page])
        found = (past[request] for _, request in page if request in past)
        yield [one for one in found if with_superseded or one.row.is_current]
        top = page[-1][0]


def read_past_requests(store: Store, moment: LedgerMoment, idents: Sequence[int]) -> Mapping[int, PastRequest]:
    """Return these requests as they were at a moment, past attempts included. Requests that came later are left out."""
    folded = fold_entries(store, idents, moment.entry)
    known = {ident: then for ident, then in folded.items() if then.state is not None}
    superseded, people = _find_superseded(store, known, moment)
    records = read_private_parts(store, (then.record_entry for then in known.values()))
    return {
        ident: PastRequest(
            row=_build_row(
                moment.repo,
                ident,
                then,
                people.get(ident, 0),
                records.get(then.record_entry or 0),
                ident not in superseded,
            ),
            then=then,
        )
        for ident, then in known.items()
    }


def fold_entries(store: Store, idents: Sequence[int], last: int) -> dict[int, PastState]:
    """Return the state of each request after its entries up to number `last`."""
    among, value = store.reads.in_clause(list(idents))
    sql = (
        f"SELECT id, request_id, seq, at, actor, body FROM ledger WHERE request_id {among} AND id > ? AND id <= ?"
        f" ORDER BY id LIMIT {_ENTRIES}"
    )
    folded: dict[int, PastState] = {}
    after = -1
    while page := store.reads.rows(sql, (value, after, last)):
        for ident, request, seq, at, actor, body in page:
            past = folded.get(request) or PastState(seq=seq)
            folded[request] = apply_dated_event(past, DatedEvent(ident, at, actor, decode_event(body.encode())))
        if len(page) < _ENTRIES:
            break
        after = page[-1][0]
    return folded


def granter_of(row: RequestRow, grant: GrantOrigin, private: Mapping[int, Private]) -> str | None:
    """Return who gave an access: an account, a policy, or None if the Hub did not say.

    `private` has the private parts of the entries that a `PastState` names, by the number of the entry.
    """
    if not grant.is_outside:
        return grant.actor
    if (named := name_granter(private.get(grant.entry, {}))) is not None:
        return named
    return row.request.granted_by.username if row.request is not None and row.request.granted_by is not None else None


def name_granter(private: Private) -> str | None:
    """Return the Hub account that made a change outside hf-gate, from the private part of its entry; None if it is not
    named.
    """
    granter = private.get("granted_by")
    user = granter.get("user") if isinstance(granter, Mapping) else None
    return user if isinstance(user, str) else None


def approvals_of(grant: GrantOrigin, private: Mapping[int, Private]) -> list[DatedEvent]:
    """Return the approvals of a request before it was accepted that counted: at most two, the first one first.

    An approval of another version of the request did not count. The version is known until the personal data is
    deleted.
    """
    versions = [private.get(given.entry, {}).get("version") for given in grant.approvals]
    pairs = zip(grant.approvals, versions, strict=True)
    return [given for given, version in pairs if version == versions[-1]][-_APPROVERS:]


def rows_of_last_end(then: PastState, private: Mapping[int, Private]) -> Mapping[str, Mapping[str, str]]:
    """Return the tables on which an end rests, each with its version and, if there is one, the row of the person."""
    event = None if then.dated is None else then.dated.event
    if then.dated is None or not isinstance(event, GrantDated) or not event.lists:
        return {}
    rows = rows_of_end(private.get(then.dated.entry))
    versions = {name.partition(":")[2]: version for name, version in event.lists.items()}
    return {name: {**rows.get(name, {}), "table": version} for name, version in versions.items()}


def _find_superseded(store: Store, idents: Collection[int], moment: LedgerMoment) -> tuple[set[int], dict[int, int]]:
    """Return the requests that had a later attempt at a moment, and the person of each request."""
    db = store.reads
    among, value = db.in_clause(list(idents))
    people = {
        int(row[0]): int(row[1]) for row in db.rows(f"SELECT id, person_id FROM requests WHERE id {among}", (value,))
    }
    some, value = db.in_clause(list(set(people.values())))
    sql = f"SELECT id, after_id FROM requests WHERE person_id {some} AND repo_id = ? AND after_id IS NOT NULL"
    later = {int(row[0]): int(row[1]) for row in db.rows(sql, (value, moment.repo_id)) if row[1] in idents}
    some, value = db.in_clause(list(later))
    sql = f"SELECT request_id FROM ledger WHERE request_id {some} AND id <= ? AND kind = ?"
    return {later[row[0]] for row in db.rows(sql, (value, moment.entry, _FIRST_SEEN))}, people


def read_private_parts(store: Store, entries: Iterable[int | None]) -> dict[int, Private]:
    """Return the private parts of these entries that were not deleted, by the number of the entry."""
    known = list({entry for entry in entries if entry is not None})
    if not known:
        return {}
    among, value = store.reads.in_clause(known)
    rows = store.reads.rows(f"SELECT id, data FROM private WHERE id {among}", (value,))
    return {ident: decode_private_part(unpack(data)) for ident, data in rows}


def _build_row(
    repo: Repo, ident: int, past: PastState, person: int, private: Private | None, is_current: bool
) -> RequestRow:
    """Return the row of a request with the names and answers that it had."""
    state = past.state
    assert state is not None
    raw = None if private is None else private.get("record")
    request = decode_single(raw.encode("utf-8", "replace"), repo) if isinstance(raw, str) else None
    identity = Identity(None, None)
    if request is not None:
        identity = Identity(request.person.id, request.person.username, request.person.fullname, request.email)
        if request.status != state.status or to_ms(request.reviewed_at) != state.reviewed_at:
            moved = None if state.reviewed_at is None else from_ms(state.reviewed_at)
            request = msgspec.structs.replace(request, status=state.status, reviewed_at=moved)
    return RequestRow(
        id=ident,
        repo=repo,
        person=PersonRow(person, state.person, identity),
        state=state,
        is_current=is_current,
        first_seen_at=None,
        request=request,
    )
