"""The overview: what is counted, from both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.events import (
    ChangeSettled,
    ChangeStarted,
    GrantDated,
    LedgerEntry,
    StatusMoved,
    VerdictReached,
)
from hf_gate.reports.service.overview import OverviewRecord, WeekRecord, read_overview
from hf_gate.store.store import Store
from tests.kits.stores import EEG, MED, ON_BOTH, record, store, store_records
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]

NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)  # a Wednesday; the records are of January 2026
DAY = timedelta(days=1)


def _decide(
    store: Store, idents: Sequence[int], before: str, after: str, actor: str = "lena", *, at: datetime = NOW
) -> None:
    started = ChangeStarted(run="r1", before=before, after=after)
    settled = ChangeSettled(run="r1", kind="done", after=after, reviewed_at=to_ms(at) if after != "pending" else 0)
    with store.writing() as write:
        for ident in idents:
            entries = [LedgerEntry(event=each, at=to_ms(at), actor=actor, request=ident) for each in (started, settled)]
            write.append(EEG, entries)


def _decide_by_rule(store: Store, idents: Sequence[int], after: str, *, at: datetime = NOW) -> None:
    verdict = VerdictReached(action="accept", policy="eeg", rule="academic", digest="d" * 64)
    with store.writing() as write:
        write.append(
            EEG,
            [LedgerEntry(event=verdict, at=to_ms(at), actor="policy:eeg@dddddddd", request=one) for one in idents],
        )
    _decide(store, idents, "pending", after, "policy:eeg@dddddddd", at=at)


def _week(overview: OverviewRecord, starts: str) -> WeekRecord:
    return next(week for week in overview.weeks if week.starts == starts)


def test_an_empty_store_has_26_empty_weeks_and_no_median(store: Store) -> None:
    overview = read_overview(store, NOW)
    assert len(overview.weeks) == 26
    assert overview.weeks[-1].starts == "2026-01-26"
    assert (overview.waiting, overview.oldest, overview.wait_median_s) == (0, None, None)


def test_requests_are_counted_in_the_week_of_asking_and_answers_in_their_own(store: Store) -> None:
    idents = store_records(store, EEG, [record(n, day=6) for n in range(1, 4)])
    _decide(store, idents[:1], "pending", "accepted")
    _decide_by_rule(store, idents[1:2], "accepted")
    overview = read_overview(store, NOW)
    assert _week(overview, "2026-01-05").asked == 3
    week = _week(overview, "2026-01-26")
    assert (week.asked, week.answered, week.by_people, week.by_rules, week.outside) == (0, 2, 1, 1, 0)
    assert (overview.waiting, overview.oldest) == (1, "2026-01-07")


def test_what_was_decided_elsewhere_is_counted_apart(store: Store) -> None:
    (one,) = store_records(store, EEG, [record(1, day=6)])
    moved = StatusMoved(before="pending", after="rejected", reviewed_at=to_ms(NOW))
    with store.writing() as write:
        write.append(EEG, [LedgerEntry(event=moved, at=to_ms(NOW), actor="outside", request=one)])
    week = _week(read_overview(store, NOW), "2026-01-26")
    assert (week.answered, week.outside) == (1, 1)


def test_a_decision_that_is_taken_back_waits_again(store: Store) -> None:
    idents = store_records(store, EEG, [record(1, day=6)])
    _decide(store, idents, "pending", "accepted")
    _decide(store, idents, "accepted", "pending")
    assert read_overview(store, NOW).waiting == 1


def test_the_wait_counts_those_who_still_wait_by_their_wait_so_far(store: Store) -> None:
    idents = store_records(store, EEG, [record(n, day=18) for n in range(1, 4)])
    asked = store.requests(idents)[idents[0]].state.asked_at
    _decide(store, idents[:1], "pending", "accepted", at=datetime.fromtimestamp(asked / 1000, UTC) + DAY)
    overview = read_overview(store, NOW)
    assert overview.wait_median_s is not None
    assert abs(overview.wait_median_s / (10 * 86_400) - 1) < 0.15, "two of three wait for ten days now"
    assert (overview.waits_ended, overview.waits_open) == (1, 2)


def test_grants_that_end_soon_are_counted_by_week(store: Store) -> None:
    idents = store_records(store, EEG, [record(n, day=6) for n in range(1, 4)])
    _decide(store, idents, "pending", "accepted")
    for ident, days in zip(idents, (3, 10, 400), strict=True):
        dated = GrantDated(until=to_ms(NOW + days * DAY))
        with store.writing() as write:
            write.append(EEG, [LedgerEntry(event=dated, at=to_ms(NOW), actor="lena", request=ident)])
    overview = read_overview(store, NOW)
    assert [(each.starts, each.ends) for each in overview.ends if each.ends] == [("2026-01-26", 1), ("2026-02-02", 1)]


@ON_BOTH
def test_only_the_repos_that_are_asked_for_are_counted(store: Store) -> None:
    store_records(store, EEG, [record(1, day=6)])
    store_records(store, MED, [record(2, day=6)])
    assert (read_overview(store, NOW).waiting, read_overview(store, NOW, {MED}).waiting) == (2, 1)
    assert read_overview(store, NOW, set()).waiting == 0
