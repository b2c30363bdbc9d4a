"""Assignments in SQLite and PostgreSQL: what is stored, found, freed and folded."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import parse_repo
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.people.members import OWNER_SETTING, Member, MemberRole
from hf_gate.members.rows.assignments import AssignmentResult, write_assignments
from hf_gate.members.rows.members import find_member_by_id, invite_member, revoke_member
from hf_gate.requests.query_parser import parse_query
from hf_gate.store.store import Store
from tests.kits import stores
from tests.kits.stores import record, store_records

place, store = stores.place, stores.store  # the fixtures: each test runs on both databases
REPO = parse_repo("acme/lantern")
NOW = 1_800_000_000_000


def _member(store: Store, name: str) -> Member:
    made = invite_member(store, Member(name=name, role=MemberRole.REVIEWER), f"{name} secret", "owner", 1)
    found = find_member_by_id(store, made.id)
    assert found is not None
    return found


def _found(store: Store, query: str) -> list[int]:
    return [row.id for row in store.query(parse_query(query), now=NOW).rows]


def test_assignments_are_stored_found_and_freed(store: Store) -> None:
    idents = store_records(store, REPO, [record(number, day=number) for number in range(1, 5)])
    mia, kim = _member(store, "mia"), _member(store, "kim")
    assert write_assignments(store, idents[:3], kim, by="kim", at=5) == AssignmentResult(3, 0)
    assert write_assignments(store, idents[:2], mia, by="kim", at=6) == AssignmentResult(2, 0)
    assert write_assignments(store, idents[:3], mia, by="kim", at=7) == AssignmentResult(1, 2)
    assert _found(store, "assigned:mia") == idents[:3]
    assert _found(store, "assigned:m*") == idents[:3]
    assert _found(store, "-assigned:mia") == _found(store, "assigned:none") == idents[3:]
    assert _found(store, "assigned:none,mia") == idents
    assert _found(store, "assigned:kim") == _found(store, "assigned:me") == []
    assert _found(store, str(parse_query("assigned:me").asked_by(mia.id))) == idents[:3]
    assert write_assignments(store, [idents[0], 999], None, by="kim", at=8) == AssignmentResult(1, 0)
    revoke_member(store, mia, "owner", 9)
    assert _found(store, "assigned:none") == idents
    assert write_assignments(store, idents[:1], mia, by="kim", at=10) is None, "removed meanwhile"
    last = store.request(idents[1])
    assert last is not None
    events = [e.decode_event(one.link.body) for one in store.entries(request=last.id, limit=10)]
    assert [one.member for one in events if isinstance(one, e.RequestAssigned)] == [None, mia.id, kim.id]


def test_an_owner_has_requests_too(store: Store) -> None:
    (ident,) = store_records(store, REPO, [record(1)])
    with store.writing() as write:
        write.write_setting(OWNER_SETTING, json.dumps({"name": "lena", "user_id": "id-lena"}))
    owner = Member(
        name="lena", role=MemberRole.ADMIN, has_link=True, id="owner:id-lena", user_id="id-lena", proven_at=0
    )
    assert write_assignments(store, [ident], owner, by="lena", at=5) == AssignmentResult(1, 0)
    assert _found(store, "assigned:lena") == [ident]


def test_a_decision_or_a_new_attempt_ends_an_assignment(store: Store) -> None:
    (ident,) = store_records(store, REPO, [record(1)])
    mia = _member(store, "mia")
    write_assignments(store, [ident], mia, by="mia", at=5)
    store_records(store, REPO, [record(1, "accepted", reviewedAt="2026-03-01T10:00:00.000Z")], at=6)
    row = store.request(ident)
    assert row is not None
    assert (row.state.status, row.state.assigned) == ("accepted", None)
    assert write_assignments(store, [ident], mia, by="mia", at=7) == AssignmentResult(0, 0)
    (again,) = store_records(store, REPO, [record(1, day=9, request=77)], at=8)
    assert _found(store, "assigned:none status:pending") == [again]


_EVENTS = st.one_of(
    st.builds(e.RequestAssigned, member=st.sampled_from([None, "m_1", "m_2"])),
    st.builds(e.StatusMoved, before=st.just("pending"), after=st.sampled_from(["pending", "accepted", "reset"])),
    st.builds(e.RequestWithdrawn, before=st.just("pending")),
    st.builds(e.ChangeStarted, run=st.just("r"), before=st.none(), after=st.just("accepted")),
    st.builds(
        e.ChangeSettled, run=st.just("r"), kind=st.sampled_from(["done", "open", "refused"]), after=st.just("rejected")
    ),
    st.just(e.NoteWritten()),
)


@given(st.lists(_EVENTS, max_size=12))
def test_only_a_pending_request_is_assigned(events: list[e.AnyEvent]) -> None:
    state: RequestState | None = RequestState("p_1", "pending", 1)
    wanted: str | None = None
    for at, event in enumerate(events):
        state = apply_event(state, event, at)
        assert state is not None
        wanted = event.member if isinstance(event, e.RequestAssigned) else wanted
        wanted = wanted if state.status == "pending" else None
        assert state.assigned == wanted
