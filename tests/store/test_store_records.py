"""What records become in the store: people, attempts, counts, history and the records themselves."""

from __future__ import annotations

import random

import pytest

from hf_gate.core.events.events import LedgerEntry, RequestWithdrawn
from hf_gate.core.events.ledger import LedgerLink, verify_chain
from hf_gate.requests.query_parser import parse_query
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import (
    EEG,
    ENDPOINT,
    MED,
    hub_id,
    list_updates,
    parse_records,
    place,
    record,
    store,
    store_records,
)

__all__ = ["place", "store"]


def test_a_walk_goes_from_the_oldest_to_the_newest_over_many_pages(store: Store) -> None:
    store_records(store, EEG, [record(n, day=n % 300) for n in range(2300)])
    found = [(row.state.asked_at, row.id) for row in store.iterate_requests(EEG, "pending", with_record=False)]
    assert found == sorted(found)
    assert len(found) == 2300
    assert sum(row.request is not None for row in store.iterate_requests(EEG, "pending")) == 2300
    assert list(store.iterate_requests(MED, "pending")) == []


def test_an_older_attempt_that_turns_up_later_is_no_news(store: Store) -> None:
    store_records(store, EEG, [record(1, day=40)])
    assert list_updates(store, EEG, parse_records(EEG, [record(1, "reset", day=1)])) == []


def test_who_stands_twice_on_a_page_is_entered_once_an_attempt(store: Store) -> None:
    idents = store_records(store, EEG, [record(1, "reset", day=1), record(1, day=1, status="reset"), record(1, day=9)])
    assert idents[0] == idents[1] != idents[2]
    assert [row.state.attempt for row in store.attempts(None, store.requests(idents)[idents[0]].person.id)] == [1, 2]


def test_one_person_in_two_repos_is_one_person_with_a_history(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1, "rejected", reviewedAt="2026-03-01T00:00:00.000Z")])
    (two,) = store_records(store, MED, [record(1, "accepted", request=9)])
    rows = store.requests([one, two])
    assert rows[one].person.id == rows[two].person.id
    history = store.history(EEG, [rows[one].person.id])[rows[one].person.id]
    assert (history.rejected, history.accepted, history.elsewhere, history.last_decision) == (1, 0, 1, "rejected")
    assert history.last_at == 1772323200000
    nobody = store.history(EEG, [999])[999]
    assert (nobody.accepted, nobody.last_decision, nobody.last_at) == (0, "none", None)


def test_what_a_repo_hides_erases_nothing_and_what_it_shows_later_is_taken_in(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1, fullname="Ada")])
    store_records(store, EEG, [record(1, fullname="", email=None)])
    who = store.requests([one])[one].person.identity
    assert (who.username, who.fullname, who.email) == ("user1", "Ada", "user1@example.org")


def test_a_repo_that_begins_to_hide_its_people_makes_nobody_anew(store: Store) -> None:
    idents = store_records(store, EEG, [record(n, name=f"p{n}") for n in (1, 2)])
    hidden = store_records(store, EEG, [record(1, "accepted", is_hidden=True), record(2, is_hidden=True)])
    assert hidden == idents
    row = store.requests(idents)[idents[0]]
    assert (row.state.status, row.person.identity.username) == ("accepted", "p1")
    assert dict(store.repo(EEG).counts) == {"accepted": 1, "pending": 1}  # type: ignore[union-attr]


def test_a_name_that_changed_hands_is_another_person(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1, name="ada")])
    (two,) = store_records(store, EEG, [record(2, name="ada")])
    assert one != two
    rows = store.requests([one, two])
    assert rows[one].person.id != rows[two].person.id


def test_a_person_is_found_by_every_name_that_is_theirs_alone(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1, name="Ada-1", fullname="Ada Lovelace")])
    store_records(store, EEG, [record(2, name="ada-11")])
    row = store.requests([one])[one]
    for text in ("ada-1", "ADA-1", "Ada-1@example.org", hub_id(1), hub_id(1001), row.person.pseudonym):
        assert [found.id for found in store.find_by_identity(None, text)] == [one], text
    assert [found.id for found in store.find_by_identity(EEG, "ada-1")] == [one]
    assert store.find_by_identity(MED, "ada-1") == []
    assert store.find_by_identity(None, "nobody") == []
    assert store.find_by_identity(None, "") == []


def test_unseen_are_those_that_a_complete_reading_did_not_show(store: Store) -> None:
    idents = store_records(store, EEG, [record(n, day=n) for n in range(1, 6)])
    store_records(store, MED, [record(1, request=500)])
    with store.writing() as write:
        write.append(
            EEG, [LedgerEntry(event=RequestWithdrawn(before="pending"), at=9, actor="outside", request=idents[4])]
        )
    assert [known.id for known in store.attempts_not_in(EEG, {idents[0], idents[2]})] == [idents[1], idents[3]]


def test_hostile_text_is_kept_as_it_can_be_kept(store: Store) -> None:
    told = record(1, name="a\x00b", fullname="\ud800 x", answers={"\x00": "nul \x00 and half \udfff", "': DROP": "%?"})
    (ident,) = store_records(store, EEG, [told])
    row = store.request(ident)
    assert row is not None
    assert row.person.identity.username == "a\ufffdb"
    assert row.request is not None
    assert row.request.answers["': DROP"] == "%?"


def test_an_error_within_a_transaction_undoes_it_whole(store: Store) -> None:
    store_records(store, EEG, [record(1)])
    before = (store.chains(), store.repo(EEG))

    def half() -> None:
        with store.writing() as write:
            write.observe(EEG, list_updates(store, EEG, parse_records(EEG, [record(2), record(3)])), 5)
            write.find_or_create_repo(MED)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        half()
    assert (store.chains(), store.repo(EEG), store.repo(MED)) == (*before, None)
    store_records(store, EEG, [record(2)])
    assert [one.seq for one in store.links("datasets/acme/eeg-1")] == [1, 2]


def test_what_was_written_is_there_after_opening_again(place: str) -> None:
    with open_store(place, endpoint=ENDPOINT) as store:
        idents = store_records(store, EEG, [record(n) for n in range(60)])
        before = store.requests(idents)
    with open_store(place, endpoint=ENDPOINT) as store:
        assert store.requests(idents) == before
        (more,) = store_records(store, EEG, [record(99)])
        assert more > max(idents)
        (head,) = verify_chain(store.links("datasets/acme/eeg-1"))
        assert isinstance(head, LedgerLink)
        assert store.chains()["datasets/acme/eeg-1"] == (61, head.hash)


def test_many_candidates_of_the_index_are_found_in_order_page_by_page(store: Store) -> None:
    chance = random.Random(5)
    purposes = ["We study robots.", "We study robot arms.", "Nothing of the kind."]
    records = [
        record(n, "pending", day=chance.randrange(60), answers={"Use": chance.choice(purposes)}) for n in range(1_300)
    ]
    store_records(store, EEG, records)
    for text, word in (('form."Use":*robot*', "robot"), ("robots", "robots")):
        query = parse_query(text)
        rows = [row for row in store.requests_after(0, 2_000) if word in str(row.request and row.request.answers)]
        wanted = [row.id for row in sorted(rows, key=lambda row: (row.state.asked_at, row.id))]
        assert len(wanted) > 300
        for is_reversed in (False, True):
            found, cursor, at_end = list[int](), None, False
            while not at_end:
                page = store.query(query, now=0, limit=400, newest_first=is_reversed, cursor=cursor)
                found += [row.id for row in page.rows]
                cursor, at_end = page.next, page.next is None
            assert found == (wanted[::-1] if is_reversed else wanted)
