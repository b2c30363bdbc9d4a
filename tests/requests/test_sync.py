"""A reading enters what the Hub shows and nothing else; only complete lists and a second look say that somebody is gone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hf_gate import Decision, NotAllowed
from hf_gate.base.timestamps import to_ms
from hf_gate.core.completeness import PROVED, Completeness
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.requests import AccessRequest
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.hub.protocol.codec import read_request_page
from hf_gate.hub.protocol.flows.lookup import Found
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.service.sync import LONG_RECORD, MAX_MISSING_UNCHECKED, MAX_SET_ASIDE, RowIdSet, count_by_report
from tests.kits.synced_stores import SyncedStore, open_synced_store

MIB = 1 << 20
PEOPLE = ("ada", "bob", "cem", "dora", "eve")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SyncedStore]:
    with open_synced_store(tmp_path) as made:
        yield made


def test_a_full_reading_enters_everybody_once_and_says_that_it_is_whole(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE, Purpose="to listen")
    desk.hub.accept(desk.repo, "ada")
    synced = desk.full()
    assert (synced.new, synced.read, synced.complete) == (5, 5, True)
    assert desk.status("ada") == "accepted"
    assert dict(synced.counts) == {"accepted": 1, "pending": 4}
    row = desk.store.repo(desk.repo)
    assert row is not None
    assert row.is_complete
    assert row.gated == "manual"
    assert row.form_card is not None


def test_what_was_read_before_brings_nothing_and_enters_nothing(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    before = desk.kinds()
    assert desk.full().change_count == desk.quick().change_count == 0
    assert desk.kinds() == before


def test_a_decision_on_the_page_of_the_hub_is_entered_as_made_outside_with_who_granted(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    desk.hub.accept(desk.repo, "ada")
    assert desk.full().moved == 1
    moved = next(event for event in desk.events() if isinstance(event, e.StatusMoved))
    assert (moved.before, moved.after, moved.cause, moved.has_granter) == ("pending", "accepted", "outside", True)
    (entry, *_) = [one for one in desk.store.entries(request=desk.row("ada").id) if one.link.kind == "StatusMoved"]
    assert entry.link.actor == "outside"
    assert entry.private is not None
    assert desk.hub.whoami().name in str(entry.private["granted_by"])
    assert desk.hub.whoami().name.encode() not in entry.link.body


def test_who_asks_again_after_a_reset_is_a_second_attempt_linked_to_the_first(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    first = desk.row("ada").id
    desk.hub.reset(desk.repo, "ada")
    desk.full()
    desk.ask("ada")
    assert desk.quick().again == 1
    second = desk.row("ada")
    assert (second.state.attempt, second.state.after) == (2, first)
    attempts = desk.store.attempts(desk.repo, second.person.id)
    assert sorted(row.state.status for row in attempts) == ["pending", "reset"]


def test_a_name_that_was_changed_is_the_same_person(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    person = desk.row("ada").person.id
    desk.local.control("POST", "rename", {"user": "ada", "to": "ada-l"})
    assert desk.full().changed == 1
    assert desk.row("ada-l").person.id == person


# ---- who is gone --------------------------------------------------------------------------------------------------------


def test_a_withdrawn_request_is_told_by_a_full_reading_and_never_by_a_quick_one(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    desk.withdraw("bob")
    assert desk.quick().withdrawn == 0
    assert desk.status("bob") == "pending"
    assert desk.full().withdrawn == 1
    assert desk.status("bob") == "withdrawn"
    assert desk.full().withdrawn == 0
    assert desk.kinds().count("RequestWithdrawn") == 1


def test_who_withdrew_and_asks_again_is_there_again(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    desk.withdraw("ada")
    desk.full()
    desk.ask("ada")
    assert desk.quick().again == 1
    assert desk.status("ada") == "pending"


def test_nobody_is_gone_from_lists_that_are_not_proved_whole(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    desk.withdraw("bob")
    desk.local.set_faults(["bad_record:on=list:p=1"])
    synced = desk.full()
    assert synced.complete is False
    assert synced.withdrawn == 0
    assert synced.doubts
    assert desk.status("bob") == "pending"
    row = desk.store.repo(desk.repo)
    assert row is not None
    assert not row.is_complete
    assert row.problem


def test_many_who_are_missing_at_once_are_not_believed_against_the_report(desk: SyncedStore) -> None:
    names = [f"person{n}" for n in range(MAX_MISSING_UNCHECKED + 1)]
    desk.ask(*names)
    desk.full()
    synced = desk.full(hub=Emptied(desk))
    assert synced.withdrawn == 0
    assert "report counts" in synced.doubts[0]
    assert {row.person.identity.username for row in desk.rows("pending")} == set(names)


def test_many_who_are_gone_indeed_are_told(desk: SyncedStore) -> None:
    names = [f"person{n}" for n in range(MAX_MISSING_UNCHECKED + 1)]
    desk.ask(*names, "eve")
    desk.full()
    for name in names:
        desk.withdraw(name)
    assert desk.full().withdrawn == MAX_MISSING_UNCHECKED + 1
    assert [row.person.identity.username for row in desk.rows("pending")] == ["eve"]


class Emptied:
    """The Hub on a bad day: its lists are empty, and look whole."""

    def __init__(self, desk: SyncedStore) -> None:
        self.desk = desk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk.hub, name)

    def list(self, _repo: Any, _status: str) -> Any:
        return self

    completeness = PROVED

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Meddled:
    """The Hub, on which one of the lists is shown otherwise: something happens after it, it shows more, or is in doubt."""

    def __init__(self, desk: SyncedStore, status: str, act: Any = None, more: Any = (), doubt: str = "") -> None:
        self.desk, self.status, self.act, self.more, self.doubt = desk, status, act, more, doubt
        self.rows: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk.hub, name)

    def list(self, repo: Any, status: str) -> Any:
        rows = self.desk.hub.list(repo, status)
        if status != self.status:
            return rows
        self.rows = rows
        return self

    @property
    def completeness(self) -> Completeness:
        return Completeness(False, self.doubt) if self.doubt else self.rows.completeness

    def __iter__(self) -> Iterator[Any]:
        yield from self.rows
        yield from self.more
        if self.act is not None:
            self.act()


def test_who_moves_while_the_lists_are_read_is_met_twice_and_stands_where_the_later_one_has_them(
    desk: SyncedStore,
) -> None:
    desk.ask(*PEOPLE)
    synced = desk.full(hub=Meddled(desk, "pending", lambda: desk.hub.accept(desk.repo, "cem")))
    assert (synced.new, synced.moved, synced.withdrawn) == (5, 1, 0)
    assert desk.status("cem") == "accepted"


def test_who_moves_into_a_list_that_was_read_already_is_found_by_the_second_look(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.hub.accept(desk.repo, "cem")
    desk.full()
    synced = desk.full(hub=Meddled(desk, "pending", lambda: desk.hub.cancel(desk.repo, "cem")))
    assert (synced.moved, synced.withdrawn, synced.complete) == (1, 0, True)
    assert desk.status("cem") == "pending"


def test_who_is_met_twice_with_two_reviews_stands_where_the_newer_one_has_them(desk: SyncedStore) -> None:
    desk.ask("ada", "bob")
    desk.hub.reject(desk.repo, "ada", reason="no")
    (old,) = desk.hub.list_rejected(desk.repo)
    desk.hub.accept(desk.repo, "ada")
    desk.full(hub=Meddled(desk, "rejected", more=[old]))
    assert desk.status("ada") == "accepted"
    assert desk.full().change_count == 0


def test_an_earlier_attempt_that_is_shown_late_changes_nothing(desk: SyncedStore) -> None:
    desk.ask("ada", "bob")
    desk.hub.reset(desk.repo, "ada")
    (old,) = desk.hub.list_reset(desk.repo)
    desk.ask("ada")
    desk.full(hub=Meddled(desk, "reset", more=[old]))
    assert desk.status("ada") == "pending"
    before = desk.kinds()
    assert desk.full(hub=Meddled(desk, "reset", more=[old])).change_count == 0
    assert desk.kinds() == before
    desk.withdraw("ada")
    assert desk.full(hub=Meddled(desk, "reset", more=[old])).withdrawn == 1


def test_nobody_is_looked_for_a_second_time_when_one_of_the_lists_is_in_doubt(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    desk.withdraw("bob")
    synced = desk.full(hub=Meddled(desk, "reset", doubt="the Hub repeated itself"))
    assert synced.withdrawn == 0
    assert synced.doubts == ("the list of reset: the Hub repeated itself",)
    assert desk.status("bob") == "pending"


def test_the_second_look_says_so_when_it_cannot_be_completed(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    desk.withdraw("bob")
    desk.withdraw("eve")
    fail = lambda: desk.local.set_faults(["bad_record:on=list:p=1"])  # noqa: E731 - what happens meanwhile
    synced = desk.full(hub=Meddled(desk, "reset", fail))
    assert synced.withdrawn == 0
    assert synced.complete is False
    assert desk.status("bob") == "pending"


class OneAccount:
    """The Hub on a bad day: every request that it lists has the same account id."""

    def __init__(self, desk: SyncedStore, account: str) -> None:
        self.desk, self.account = desk, account
        self.rows: list[AccessRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk.hub, name)

    def _rename(self, request: AccessRequest) -> AccessRequest:
        record = json.loads(request.raw_json)
        record["user"]["_id"] = self.account
        return read_request_page(json.dumps([record]).encode(), self.desk.repo, request.read_at).rows[0]

    def list(self, repo: Any, status: str) -> Any:
        self.rows = [self._rename(request) for request in self.desk.hub.list(repo, status)]
        return self

    completeness = PROVED

    def __iter__(self) -> Iterator[AccessRequest]:
        return iter(self.rows)

    def find_many(self, repo: Any, targets: Any) -> Found:
        found = self.desk.hub.find_many(repo, targets)
        return Found({index: self._rename(one) for index, one in found.requests.items()}, found.complete)


def _pending_people(desk: SyncedStore) -> set[str | None]:
    return {row.person.identity.username for row in desk.rows("pending")}


@pytest.mark.parametrize("name", ["a stranger", *PEOPLE])
def test_a_request_of_another_person_ends_the_row_that_a_wrong_account_id_left(desk: SyncedStore, name: str) -> None:
    for person in PEOPLE:
        desk.ask(person)
        desk.local.clock.advance("1m")
    ids = {one.person.username: one.person.id for one in desk.hub.list_pending(desk.repo)}
    desk.full(hub=OneAccount(desk, ids.get(name) or "5f" * 12))
    assert len(desk.rows("pending")) == 1, "one account has one request at a repo"
    synced = desk.full()
    assert synced.complete, synced.doubts
    assert _pending_people(desk) == set(PEOPLE)
    assert count_by_report(desk.hub, desk.repo) == {k: n for k, n in synced.counts.items() if k != "withdrawn" and n}
    assert {row.person.identity.user_id for row in desk.rows("pending")} == set(ids.values())
    assert desk.full().change_count == 0
    result = verify_ledger(desk.store, with_tables=True)
    assert result.ok, result.broken


def test_lists_that_give_one_account_to_different_requests_end_nobodys_access(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    for person in PEOPLE:
        desk.hub.accept(desk.repo, person)
    desk.full()
    (ada,) = [row.person.identity.user_id for row in desk.rows("accepted") if row.person.identity.username == "ada"]
    synced = desk.full(hub=OneAccount(desk, str(ada)))
    assert (synced.complete, synced.withdrawn) == (False, 0)
    assert "one account" in synced.doubts[0]
    assert {row.person.identity.username for row in desk.rows("accepted")} >= set(PEOPLE) - {"ada"}


# ---- quick --------------------------------------------------------------------------------------------------------------


def test_a_quick_reading_is_four_calls_and_proves_nothing(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    before = desk.calls()
    desk.ask("fay")
    synced = desk.quick()
    assert desk.calls() - before == len(STATUSES)
    assert (synced.new, synced.complete, synced.read_on) == (1, None, False)


def test_a_head_full_of_new_ones_is_read_on_to_the_first_who_is_known(tmp_path: Path) -> None:
    with open_synced_store(tmp_path, page_size=10) as desk:
        desk.ask(*PEOPLE, *(f"early{n}" for n in range(60)))
        desk.full()
        names = [f"late{n}" for n in range(25)]
        desk.ask(*names)
        before = desk.calls()
        synced = desk.quick(transaction_size=10)
        assert (synced.new, synced.read_on) == (25, True)
        assert desk.calls() - before <= 4 + 5  # the heads, three pages of new ones, and what was fetched ahead
        before = desk.calls()
        desk.hub.accept(desk.repo, "late3")
        assert desk.calls() == before  # no list was left open, to be read to its end before a decision
        assert {row.person.identity.username for row in desk.rows("pending")} >= set(names)


def test_a_head_on_which_somebody_is_known_is_not_read_on(tmp_path: Path) -> None:
    with open_synced_store(tmp_path, page_size=10) as desk:
        desk.ask(*(f"early{n}" for n in range(15)))
        desk.full()
        desk.ask("late")
        before = desk.calls()
        synced = desk.quick()
        assert (synced.new, synced.read_on) == (1, False)
        assert desk.calls() - before == 4


# ---- ours, and what breaks ----------------------------------------------------------------------------------------------


def enter(desk: SyncedStore, name: str, event: e.AnyEvent, ago_s: int = 0) -> None:
    """An entry of ours about somebody's request."""
    row, at = desk.row(name), to_ms(HubClock(desk.hub.endpoint, lambda: desk.hub).now()) - ago_s * 1000
    with desk.store.writing() as write:
        write.append(desk.repo, [e.LedgerEntry(event=event, at=at, actor="lena", request=row.id, person=row.person.id)])


STARTED = e.ChangeStarted(run="r_1", before="pending", after="accepted")
DONE = e.ChangeSettled(run="r_1", kind="done", after="accepted")


def test_a_change_of_ours_under_way_is_left_to_its_settling(desk: SyncedStore) -> None:
    desk.ask("ada", "bob", "cem")
    desk.full()
    enter(desk, "ada", STARTED)
    enter(desk, "bob", STARTED)
    desk.hub.accept(desk.repo, "ada")
    desk.withdraw("bob")
    desk.withdraw("cem")
    synced = desk.full()
    assert (synced.moved, synced.withdrawn) == (0, 1)
    assert desk.row("ada").state.open_run == desk.row("bob").state.open_run == "r_1"
    for name in ("ada", "bob"):
        enter(desk, name, e.ChangeSettled(run="r_1", kind="refused", after="accepted"))
    synced = desk.full()
    assert (synced.moved, synced.withdrawn) == (1, 1)
    assert desk.status("ada") == "accepted"


def test_a_list_that_shows_the_status_before_our_change_is_no_news_at_first_and_is_later(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    enter(desk, "ada", STARTED)
    enter(desk, "ada", DONE)
    before = desk.calls()
    assert desk.full().change_count == 0
    assert desk.calls() - before == 4  # who stands where they stood is not looked for again
    assert desk.status("ada") == "accepted"


def test_a_record_that_reads_as_before_our_change_is_news_once_the_list_cannot_lag_any_more(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    enter(desk, "ada", STARTED, ago_s=60)
    enter(desk, "ada", DONE, ago_s=60)
    assert desk.full().moved == 1  # somebody put her back, and her record is the same to the byte
    assert desk.status("ada") == "pending"
    assert desk.events()[-1] == e.StatusMoved(before="accepted", after="pending", cause="superseded")


def test_a_reading_that_is_ended_early_keeps_its_pages_and_the_next_one_does_the_rest(tmp_path: Path) -> None:
    with open_synced_store(tmp_path, requests=2500) as desk:

        def break_off(_count: int) -> None:
            if len(desk.rows("pending")) >= 1000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            desk.full(on_read=break_off, transaction_size=1000)
        assert len(desk.rows("pending")) == 1000
        row = desk.store.repo(desk.repo)
        assert row is None or row.full_at is None
        synced = desk.full()
        assert synced.complete
        assert sum(synced.counts.values()) == 2500
        assert verify_ledger(desk.store, with_tables=True).ok


def test_the_end_of_a_reading_is_all_there_or_not_at_all(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    refuse = "BEFORE INSERT ON ledger WHEN NEW.kind = 'SyncEnded' BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
    with closing(sqlite3.connect(desk.file)) as db:
        db.execute(f"CREATE TRIGGER no_end {refuse}")
        with pytest.raises(sqlite3.IntegrityError, match="the disk is gone"):
            desk.full()
        db.execute("DROP TRIGGER no_end")
    row = desk.store.repo(desk.repo)
    assert row is not None
    assert (row.full_at, row.quick_at, row.is_complete, row.gated) == (None, None, False, None)
    assert row.tried_at is None
    assert desk.full().complete
    assert desk.kinds() == ["RequestSeen"] * 5 + ["SyncEnded"]


def test_what_ends_a_reading_is_noted_beside_the_repo(desk: SyncedStore) -> None:
    desk.ask("ada")
    desk.full()
    desk.local.set_faults(["revoke_token:token=owner"])
    with pytest.raises(NotAllowed):
        desk.quick()
    row = desk.store.repo(desk.repo)
    assert row is not None
    assert row.problem
    desk.local.set_faults([])


@pytest.mark.parametrize("made", [{"protocol": "2026-08"}, {"page_size": 10}, {"preset": "medical"}])
def test_every_kind_of_hub_is_read_whole_and_agrees_with_its_report(tmp_path: Path, made: dict[str, Any]) -> None:
    with open_synced_store(tmp_path, requests=120, **made) as desk:
        synced = desk.full()
        assert synced.complete, synced.doubts
        assert count_by_report(desk.hub, desk.repo) == dict(synced.counts)
        assert desk.full().change_count == 0


def test_hidden_names_keep_their_requests_apart_and_withdrawals_are_seen(desk: SyncedStore) -> None:
    line = {"repo": desk.repo.id, "repo_type": desk.repo.type.value}
    desk.local.control("POST", "settings", {**line, "hide_usernames": True, "hide_emails": True})
    desk.ask(*PEOPLE)
    assert desk.full().new == 5
    assert all(row.person.identity.username is None for row in desk.rows("pending"))
    desk.withdraw("bob")
    assert desk.full().withdrawn == 1
    assert len(desk.rows("pending")) == 4


def test_names_that_are_hidden_after_they_were_read_double_nobody(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    line = {"repo": desk.repo.id, "repo_type": desk.repo.type.value}
    desk.local.control("POST", "settings", {**line, "hide_usernames": True, "hide_emails": True})
    desk.hub.accept(desk.repo, "bob")
    synced = desk.full()
    assert (synced.new, synced.withdrawn, synced.moved) == (0, 0, 1)
    assert count_by_report(desk.hub, desk.repo) == dict(synced.counts)
    assert desk.status("bob") == "accepted"


def test_a_run_of_decisions_from_another_tool_is_seen_and_the_ledger_holds(desk: SyncedStore) -> None:
    desk.ask(*PEOPLE)
    desk.full()
    list(desk.hub.decide_many(desk.repo, [Decision.reject(name, reason="no") for name in PEOPLE[:3]]))
    assert desk.full().moved == 3
    result = verify_ledger(desk.store, with_tables=True)
    assert result.ok, result.broken
    assert result.private > 0


def test_a_set_of_numbers_is_a_set() -> None:
    numbers, wanted = RowIdSet(), {0, 1, 7, 8, 9, 4096, 1_000_003}
    for number in [*wanted, 7, 8]:
        numbers.add(number)
    assert set(numbers) == wanted
    assert len(numbers) == len(wanted)
    assert 2 not in numbers
    assert -1 not in numbers
    assert 10**9 not in numbers


# ---- records that cannot be read or stored -----------------------------------------------------------------------------


def test_a_record_of_more_than_a_mebibyte_is_set_aside_and_the_others_are_stored(desk: SyncedStore) -> None:
    desk.ask("ada", Purpose="to listen")
    desk.ask("mallory", Purpose="x" * MIB)
    synced = desk.full()
    assert [row.person.identity.username for row in desk.rows("pending")] == ["ada"]
    assert synced.complete is False
    assert "1 record of a page could not be read" in synced.doubts[0]
    listing = desk.hub.list_pending(desk.repo)
    assert [request.username for request in listing] == ["ada"]
    assert "larger than 1 MiB" in listing.quarantined[0].reason


def test_a_request_has_its_first_two_hundred_answers(desk: SyncedStore) -> None:
    desk.ask("ada", **{f"Question {n}": "yes" for n in range(1_000)})
    desk.full()
    request = desk.row("ada").request
    assert request is not None
    assert list(request.answers) == [f"Question {n}" for n in range(200)]


def test_the_answers_of_a_long_record_are_found(desk: SyncedStore) -> None:
    desk.ask("ada", Purpose="Schlaf " + "a\u0301\u0323" * LONG_RECORD, Name="Ada")
    desk.full()
    for text in ("schlaf", "ada", 'form."Purpose":schlaf*'):
        page = desk.store.query(parse_query(text), now=0)
        assert [row.person.identity.username for row in page.rows] == ["ada"], text


def test_a_record_that_cannot_be_stored_is_set_aside_and_the_others_are_stored(tmp_path: Path) -> None:
    with open_synced_store(tmp_path, country_of=_fail_for_mallory) as desk:
        desk.ask("ada", "bob", "mallory", "cem", "dora", Purpose="to listen")
        for synced in (desk.full(), desk.full()):
            assert {row.person.identity.username for row in desk.rows("pending")} == {"ada", "bob", "cem", "dora"}
            assert synced.complete is False
            assert "could not be stored (ValueError)" in synced.doubts[0]
            assert "mallory" not in synced.doubts[0]
        assert (synced.new, synced.read) == (0, 4)


def test_a_sync_that_can_store_no_record_fails_soon(tmp_path: Path) -> None:
    with open_synced_store(tmp_path, country_of=_fail_for_mallory) as desk:
        desk.ask(*(f"mallory-{n}" for n in range(MAX_SET_ASIDE + 1)))
        with pytest.raises(ValueError, match="no country"):
            desk.full()


def _fail_for_mallory(request: AccessRequest) -> str | None:
    if "mallory" in (request.username or ""):
        raise ValueError("no country")
    return None
