"""Conditions that last are told when they begin, once a day, and when they are over."""

from __future__ import annotations

from hf_gate.domain.notices import (
    Condition,
    MessageState,
    NoticeEvent,
    NoticeItem,
)
from hf_gate.store import outbox
from hf_gate.store.store import Store

from .notice_kit import T0, turn_on
from .store_kit import EEG as REPO
from .store_kit import place, store

__all__ = ["place", "store"]


_STUCK = Condition("table x", NoticeItem(event=NoticeEvent.STUCK, facts={"text": "Table x is refused."}))


def compare(store: Store, at: int, *conditions: Condition) -> list[str]:
    """The texts that a comparison queues."""
    known = {row.id for row in outbox.read_messages(store, list(MessageState), 1000)}
    events = (NoticeEvent.STUCK, NoticeEvent.AGEING)
    with store.writing() as write:
        outbox.compare_conditions(write, events, conditions, at)
    rows = [row for row in outbox.read_messages(store, list(MessageState), 1000) if row.id not in known]
    return [f"{item.facts.get('text', item.count)}{item.facts.get('state', '')}" for row in rows for item in row.items]


def test_a_condition_is_told_when_it_begins_once_a_day_and_when_it_is_over(store: Store) -> None:
    hour = 3_600_000
    turn_on(store)
    assert compare(store, T0 + 1) == []
    assert compare(store, T0 + hour, _STUCK) == ["Table x is refused."]
    assert compare(store, T0 + 2 * hour, _STUCK) == []
    assert compare(store, T0 + 25 * hour, _STUCK) == ["Table x is refused."]
    assert compare(store, T0 + 26 * hour) == ["Table x is refused.over"]
    assert compare(store, T0 + 27 * hour) == []


def test_a_condition_from_before_the_destination_is_never_told_to_it(store: Store) -> None:
    day = 24 * 3_600_000
    assert compare(store, T0, _STUCK) == []
    turn_on(store, at=T0 + 1)
    assert compare(store, T0 + 2, _STUCK) == []
    assert compare(store, T0 + 2 * day, _STUCK) == []
    assert compare(store, T0 + 3 * day) == []


def test_what_was_there_when_the_first_destination_was_turned_on_is_not_news(store: Store) -> None:
    turn_on(store)
    assert compare(store, T0 + 1, _STUCK) == []


def test_a_count_that_grows_is_told_again_after_an_hour(store: Store) -> None:
    def old(count: int) -> Condition:
        return Condition("r", NoticeItem(event=NoticeEvent.AGEING, repo=str(REPO), count=count))

    turn_on(store)
    assert compare(store, T0 + 1) == []
    assert compare(store, T0 + 2, old(1)) == ["1"]
    assert compare(store, T0 + 3, old(2)) == []
    assert compare(store, T0 + 3_600_003, old(3)) == ["3"]
    assert compare(store, T0 + 7_300_000, old(2)) == []
    assert compare(store, T0 + 7_400_000) == [], "only alarms are told when they are over"
