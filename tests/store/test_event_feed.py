"""The event feed gives each entry of the ledger once, in its order, whoever writes it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import NamedTuple

from hf_gate.core.events.entry_records import event_record
from hf_gate.core.records import EventRecord
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.store.rows.event_feed import GENERATION, is_cursor, read_events
from hf_gate.store.store import Store
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import (
    EEG,
    ENDPOINT,
    MED,
    list_updates,
    parse_records,
    place,
    record,
    store,
    store_records,
)

__all__ = ["place", "store"]

ALL = TimelineFilter()


class _Page(NamedTuple):
    events: list[EventRecord]
    next: str
    has_more: bool


def _page(store: Store, after: str | None = None, limit: int = 100, wanted: TimelineFilter = ALL) -> _Page:
    page = read_events(store, after, limit, wanted)
    assert page is not None
    return _Page([event_record(*entry, UTC) for entry in page.entries], page.next, page.has_more)


def _follow(store: Store, limit: int, wanted: TimelineFilter = ALL) -> list[EventRecord]:
    """All events, page by page."""
    page = _page(store, None, limit, wanted)
    found = list(page.events)
    while page.has_more:
        page = _page(store, page.next, limit, wanted)
        found += page.events
    return found


def test_pages_join_without_a_gap_and_hold_only_ids_and_digests(store: Store) -> None:
    people = [record(n, answers={"Purpose": f"secret purpose {n}"}, fullname=f"Full Name {n}") for n in range(7)]
    store_records(store, EEG, people)
    store_records(store, MED, people[:2])
    whole = _follow(store, 500)
    assert [event.id for event in whole] == [
        *(f"datasets/{EEG.id}#{n}" for n in range(1, 8)),
        f"{MED.id}#1",
        f"{MED.id}#2",
    ]
    for limit in (1, 2, 3, 9):
        assert _follow(store, limit) == whole
    assert whole[0].hash == next(store.links(f"datasets/{EEG.id}")).hash.hex()
    assert not [word for word in ("secret", "Full Name", "user1", "@example.org") if word in str(whole)]
    assert [event.id for event in _follow(store, 1, TimelineFilter([MED], with_desk=False))] == [
        f"{MED.id}#1",
        f"{MED.id}#2",
    ]
    for n, event in enumerate(whole):  # the cursor of each event continues after it
        assert _page(store, event.cursor, 500).events == whole[n + 1 :]


def test_a_cursor_at_the_end_waits_for_what_comes(store: Store) -> None:
    first = _page(store)
    assert (first.events, first.has_more) == ([], False)
    store_records(store, EEG, [record(1)])
    page = _page(store, first.next)
    assert (len(page.events), page.has_more) == (1, False)
    assert _page(store, page.next) == _Page([], page.next, has_more=False)
    store_records(store, MED, [record(1)])
    elsewhere = TimelineFilter([EEG], with_desk=False)
    assert _page(store, page.next, wanted=elsewhere).events == []
    assert _page(store, _page(store, page.next, wanted=elsewhere).next).events == [], "others' entries are passed too"


def test_a_cursor_of_another_generation_or_history_is_refused(store: Store) -> None:
    store_records(store, EEG, [record(1), record(2)])
    first, second = _follow(store, 500)
    generation, number, mark = second.cursor.split("-")
    for cursor in (f"a1-{number}-{mark}", f"{generation}-{number}-{first.cursor[-16:]}", f"{generation}-9-{'0' * 16}"):
        assert is_cursor(cursor)
        assert read_events(store, cursor, 10, ALL) is None
    for text in ("", "0", "0-1", "0-x-", f"{second.cursor} ", "0-" + "9" * 40 + "-", "\u0660-1-"):
        assert not is_cursor(text)
    with store.writing() as write:
        write.write_setting(GENERATION, "a1")
    assert read_events(store, second.cursor, 10, ALL) is None
    assert [event.id for event in _follow(store, 1)] == [first.id, second.id]


@contextmanager
def _open_three(place: str) -> Iterator[tuple[Store, Store, Store]]:
    """Two stores that write and one that reads, as three processes have them."""
    with (
        open_store(place, endpoint=ENDPOINT, lends=True, wait=60) as one,
        open_store(place, endpoint=ENDPOINT, lends=True, wait=60) as other,
        open_store(place, endpoint=ENDPOINT, read_only=True) as reader,
    ):
        yield one, other, reader


def test_two_processes_that_write_in_turn_leave_no_gap_and_no_repetition(place: str) -> None:
    with _open_three(place) as (one, other, reader):
        page, seen = _page(reader), list[str]()
        for n in range(12):
            for store, first in ((one, 0), (other, 5000)):
                store_records(store, EEG if n % 2 else MED, [record(first + n), record(first + 100 + n)])
                if n % 5 == 0:  # this transaction takes numbers that nothing gets
                    again = list_updates(store, EEG, parse_records(EEG, [record(first + n, day=9)]))
                    with suppress(ZeroDivisionError), store.writing() as write:
                        write.observe(EEG, again, 1_000)
                        _ = 1 / 0
                page = _page(reader, page.next, 100)
                seen += [event.id for event in page.events]
        assert seen == [event.id for event in _follow(reader, 500)]
        assert len(seen) == len(set(seen)) == 48


def test_a_transaction_that_took_its_numbers_first_is_seen_first(place: str) -> None:
    """The second writer begins while the first one has numbers and has not committed."""
    with _open_three(place) as (one, other, reader):
        ready = list_updates(one, EEG, parse_records(EEG, [record(1), record(2)]))
        late = threading.Thread(target=store_records, args=(other, MED, [record(3), record(4)]))
        with one.writing() as write:
            write.observe(EEG, ready, 1_000)
            late.start()
            page = _page(reader)
            assert page.events == []
            late.join(0.2)
            page = _page(reader, page.next)
            assert page.events == [], "nothing that comes after is seen before"
        late.join()
        assert [event.id for event in _page(reader, page.next).events] == [
            f"datasets/{EEG.id}#1", f"datasets/{EEG.id}#2", f"{MED.id}#1", f"{MED.id}#2",
        ]  # fmt: skip
