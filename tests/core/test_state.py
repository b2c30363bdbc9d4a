"""What follows from events, and what a reading adds: the same whatever is read twice, late or in another order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import (
    LIST_LAG,
    KnownRequest,
    RequestState,
    apply_event,
    detect_events,
    diff_record,
    raw_digest,
)
from hf_gate.core.lifecycle import WITHDRAWN
from hf_gate.core.requests import AccessRequest, content_digest

REPO = Repo(RepoType.MODEL, "acme", "m")
STATUSES = ("pending", "accepted", "rejected", "reset")
T0 = 1_790_000_000_000


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def record(status: str = "pending", asked: int = 0, **more: Any) -> AccessRequest:
    """What the Hub tells of one person; `asked` in minutes."""
    reviewed = None if status == "pending" else at(T0 + asked * 60_000 + 30_000)
    told: dict[str, Any] = {
        "person": Person("a" * 24, "ada", "Ada"),
        "request_id": f"{asked:024x}",
        "reviewed_at": reviewed,
    } | more
    plain = AccessRequest(repo=REPO, status=status, asked_at=at(T0 + asked * 60_000), **told)
    return msgspec.structs.replace(plain, raw_json=repr(plain).encode())


def known(state: RequestState, last: AccessRequest, ident: int = 1) -> KnownRequest:
    return KnownRequest(ident, 7, "p_1", state, raw_digest(last), content_digest(last))


class Desk:
    """One person at one repo as a store would keep it: the newest attempt, and how it was read last."""

    def __init__(self) -> None:
        self.known: KnownRequest | None = None
        self.events: list[e.AnyEvent] = []
        self.attempts = 0

    def read(self, seen: AccessRequest) -> tuple[e.AnyEvent, ...]:
        found = detect_events(self.known, seen)
        for event in found:
            self.tell(event, seen)
        return found

    def tell(self, event: e.AnyEvent, seen: AccessRequest, moment: int = T0) -> None:
        self.attempts += isinstance(event, e.RequestSeen)
        state = apply_event(self.known.state if self.known else None, event, moment)
        assert state is not None
        self.known = known(state, seen, self.attempts)
        self.events.append(event)

    @property
    def state(self) -> RequestState:
        assert self.known is not None
        return self.known.state


RECORDS = st.builds(record, st.sampled_from(STATUSES), st.integers(0, 4))
READINGS = st.lists(RECORDS, min_size=1, max_size=12)


@given(READINGS)
def test_what_was_read_brings_no_news_when_it_is_read_again(readings: list[AccessRequest]) -> None:
    desk = Desk()
    for seen in readings:
        desk.read(seen)
        assert desk.read(seen) == ()


@given(READINGS, st.randoms(use_true_random=False))
def test_in_any_order_of_readings_the_newest_attempt_is_the_one_that_stands(
    readings: list[AccessRequest], random: Any
) -> None:
    straight, shuffled = Desk(), Desk()
    for seen in readings:
        straight.read(seen)
    other = list(readings)
    random.shuffle(other)
    for seen in other:
        shuffled.read(seen)
    assert straight.state.asked_at == shuffled.state.asked_at
    assert straight.state.hub_request == shuffled.state.hub_request


@given(READINGS)
def test_the_status_is_that_of_the_last_reading_of_the_newest_attempt(readings: list[AccessRequest]) -> None:
    desk = Desk()
    newest = None
    for seen in readings:
        desk.read(seen)
        newest = seen if newest is None or seen.asked_at >= newest.asked_at else newest
        assert desk.state.status == newest.status


@given(READINGS)
def test_the_state_is_nothing_but_the_fold_of_the_events(readings: list[AccessRequest]) -> None:
    desk = Desk()
    for seen in readings:
        desk.read(seen)
    state = None
    for event in desk.events:
        state = apply_event(state, e.decode_event(e.encode_event(event)), T0)
    assert state == desk.state


def test_a_renamed_person_is_a_change_and_no_move() -> None:
    desk = Desk()
    desk.read(record())
    (event,) = desk.read(record(person=Person("a" * 24, "ada-l", "Ada")))
    assert isinstance(event, e.RequestChanged)


def test_a_hub_that_starts_to_give_request_ids_changes_a_request_once() -> None:
    desk = Desk()
    desk.read(record(request_id=None))
    (event,) = desk.read(record())
    assert event == e.RequestChanged(what=("record",), hub_request="0" * 24)
    assert desk.state.hub_request == "0" * 24


def test_a_withdrawn_request_that_is_listed_after_all_is_told_as_moved() -> None:
    desk = Desk()
    desk.read(record())
    desk.tell(e.RequestWithdrawn(before="pending"), record())
    assert desk.state.status == WITHDRAWN
    (event,) = desk.read(record())
    assert isinstance(event, e.StatusMoved)
    assert (event.before, event.after) == (WITHDRAWN, "pending")


# ---- our own changes ----------------------------------------------------------------------------------------------------

START = e.ChangeStarted(run="r1", before="pending", after="accepted")


@pytest.mark.parametrize("status", STATUSES)
def test_while_a_change_of_ours_is_under_way_a_reading_moves_nothing(status: str) -> None:
    desk = Desk()
    desk.read(record())
    desk.tell(START, record())
    assert desk.read(record(status)) == ()


@pytest.mark.parametrize("kind", ["stale", "gone", "refused", "deferred"])
def test_a_change_that_did_not_happen_leaves_the_request_where_it_was(kind: str) -> None:
    desk = Desk()
    desk.read(record())
    desk.tell(START, record())
    desk.tell(e.ChangeSettled(run="r1", kind=kind, after="accepted"), record())
    assert desk.state.status == "pending"
    assert not desk.state.open_run


def test_an_open_change_stays_open_until_it_is_settled_once_more() -> None:
    desk = Desk()
    desk.read(record())
    desk.tell(START, record())
    desk.tell(e.ChangeSettled(run="r1", kind="open", after="accepted"), record())
    assert desk.state.open_run == "r1"
    desk.tell(e.ChangeSettled(run="r1", kind="done", after="accepted", how="read"), record())
    assert desk.state.status == "accepted"
    assert not desk.state.open_run


REVIEWED = T0 + 30_000


def accepted_by_us(reviewed_at: int | None = REVIEWED) -> Desk:
    desk = Desk()
    desk.read(record())
    desk.tell(START, record())
    desk.tell(e.ChangeSettled(run="r1", kind="done", after="accepted", reviewed_at=reviewed_at), record(), T0)
    return desk


def test_our_own_decision_is_no_news_when_the_hub_shows_it() -> None:
    assert accepted_by_us().read(record("accepted")) == ()


def test_a_decision_of_ours_is_reviewed_at_our_own_time_until_the_hub_tells_a_later_one() -> None:
    desk = accepted_by_us()
    assert desk.state.reviewed_at == REVIEWED
    assert desk.read(record("accepted", reviewed_at=None)) == ()
    assert desk.read(record("accepted", reviewed_at=at(REVIEWED - 1))) == ()
    (event,) = desk.read(record("accepted", reviewed_at=at(REVIEWED + 1)))
    assert event == e.RequestChanged(what=("review",), reviewed_at=REVIEWED + 1)
    assert desk.state.reviewed_at == REVIEWED + 1
    assert desk.read(record("accepted", reviewed_at=at(REVIEWED + 1))) == ()


def test_somebody_elses_decision_without_a_time_does_not_get_the_time_of_ours() -> None:
    desk = accepted_by_us()
    desk.read(record("rejected", reviewed_at=None))
    assert (desk.state.status, desk.state.reviewed_at) == ("rejected", None)
    desk = accepted_by_us()
    desk.read(record("rejected", reviewed_at=at(REVIEWED - 1)))
    assert desk.state.reviewed_at == REVIEWED - 1


def test_a_decision_without_a_time_gets_the_one_of_the_hub_also_when_its_record_was_read_before() -> None:
    desk = accepted_by_us(None)  # settled by a version that noted no time
    assert desk.state.reviewed_at is None
    shown = record("accepted", reviewed_at=at(REVIEWED))
    seen = diff_record(known(desk.state, shown), shown)
    assert seen is not None
    assert seen.events == (e.RequestChanged(what=("review",), reviewed_at=REVIEWED),)


def test_a_list_that_lags_behind_our_change_moves_nothing_and_one_that_does_not_does() -> None:
    desk = accepted_by_us()
    assert desk.read(record("pending", read_at=(T0 + LIST_LAG - 1) / 1000)) == ()
    (event,) = desk.read(record("pending", read_at=(T0 + LIST_LAG) / 1000))
    assert isinstance(event, e.StatusMoved)
    assert event.cause == "superseded"


def test_how_soon_a_list_was_read_after_our_change_is_told_by_the_clock_of_the_hub() -> None:
    """Ours was right when we decided, was set back by two hours since, and shows that moment again."""
    desk = accepted_by_us()
    read_then = record("rejected", read_at=T0 / 1000)
    assert detect_events(desk.known, read_then) == ()
    (event,) = detect_events(desk.known, read_then, skew=7200.0)
    assert isinstance(event, e.StatusMoved)


def test_the_moment_of_our_change_is_the_one_of_the_hub_where_that_is_known() -> None:
    desk = accepted_by_us()
    desk.tell(e.ChangeSettled(run="r2", kind="done", after="reset", hub_at=T0 + 7_200_000), record(), T0)
    assert desk.state.moved_at == T0 + 7_200_000


@pytest.mark.parametrize(("asked", "is_ours"), [(-1, True), (1, False)])
def test_the_end_of_a_grant_goes_along_to_a_newer_request_that_our_acceptance_let_in(
    asked: int, *, is_ours: bool
) -> None:
    """It was asked before our decision was made, so that was about it; a later one somebody else let in."""
    desk = Desk()
    desk.read(record(asked=-5))
    desk.tell(e.ChangeSettled(run="r1", kind="done", after="accepted"), record(asked=-5), T0)
    desk.tell(e.GrantDated(until=T0 + 1, rule="p/r"), record(asked=-5), T0)
    seen, *dated = detect_events(desk.known, record("accepted", asked=asked))
    assert isinstance(seen, e.RequestSeen)
    assert dated == ([e.GrantDated(until=T0 + 1, rule="p/r")] if is_ours else [])


# ---- events as text -----------------------------------------------------------------------------------------------------


def _kinds() -> Iterable[type]:
    return get_args(e.AnyEvent)


@given(st.data())
def test_every_event_is_read_back_from_its_body_as_it_was(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(_kinds(), key=lambda each: each.__name__)))
    text = st.text('a\x00\u00e9\u202e\U0001f600"', max_size=8)
    event = data.draw(st.builds(kind, **{f.name: text for f in msgspec.structs.fields(kind) if f.type is str}))
    assert e.decode_event(e.encode_event(event)) == event
    assert e.kind_of(type(event)) == msgspec.json.decode(e.encode_event(event))["type"]


def test_a_body_that_no_version_of_ours_wrote_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        e.decode_event(b'{"type":"RequestForged"}')


def test_the_public_part_of_an_event_has_no_place_for_a_name_or_an_answer() -> None:
    private = {"username", "fullname", "email", "answer", "reason", "note", "record", "granted_by", "user"}
    for kind in _kinds():
        assert private.isdisjoint(f.name for f in msgspec.structs.fields(kind)), kind


# ---- accepted again on the Hub ---------------------------------------------------------------------------------------------


def _until(desk: Desk) -> int | None:
    return desk.state.until


@given(st.integers(0, 10**10), st.integers(0, 10**6))
def test_a_later_review_of_a_grant_takes_its_end_away_unless_it_is_our_own(later: int, end: int) -> None:
    desk = accepted_by_us()
    desk.tell(e.GrantDated(until=T0 + end), record("accepted"))
    found = desk.read(record("accepted", reviewed_at=at(REVIEWED + later)))
    is_renewed = later > LIST_LAG
    assert [event.cause for event in found if isinstance(event, e.GrantDated)] == (["outside"] if is_renewed else [])
    assert _until(desk) == (None if is_renewed else T0 + end)
