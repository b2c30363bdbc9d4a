"""The overview and its records: how many requests wait and how long, who answered, and what ends soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

from msgspec import Meta

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.events.activity import Activity, Answerer, wait_bucket, wait_quantile, week_of, week_start
from hf_gate.core.records import Count, Record
from hf_gate.core.stored_rows import WeeklyCount
from hf_gate.store.store import Store
from hf_gate.store.writing.weekly import read_weekly_counts

# ---- records ---------------------------------------------------------------------------------------------------------


class WeekRecord(Record, frozen=True, kw_only=True):
    """What happened in one week."""

    starts: Annotated[str, Meta(description="the Monday (UTC)")]
    asked: Count
    answered: Count
    by_people: Count
    by_rules: Count
    outside: Annotated[Count, Meta(description="by another tool, or before the first sync")]


class EndsRecord(Record, frozen=True, kw_only=True):
    """How many grants end in a week."""

    starts: Annotated[str, Meta(description="the Monday (UTC)")]
    ends: Count


class OverviewRecord(Record, frozen=True, kw_only=True):
    """Numbers of the last weeks, without personal data."""

    as_of: Annotated[str, Meta(description="the day (UTC)")]
    repos: Count
    waiting: Count
    oldest: Annotated[str | None, Meta(description="the day (UTC) on which the oldest of them asked")]
    wait_median_s: Annotated[Count | None, Meta(description="of those who asked in these weeks; within 12 %")]
    wait_p95_s: Annotated[Count | None, Meta(description="as wait_median_s")]
    waits_ended: Count
    waits_open: Annotated[Count, Meta(description="how many of them still wait; their wait so far counts")]
    weeks: list[WeekRecord]
    ends: list[EndsRecord]


# ---- reading ---------------------------------------------------------------------------------------------------------


WEEKS: Final = 26
ENDS_AHEAD: Final = timedelta(days=90)
_PAST: Final = (Activity.ASKED, Activity.ANSWERED, Activity.WAIT)
K = TypeVar("K")


def read_overview(store: Store, now: datetime, repos: Collection[Repo] | None = None) -> OverviewRecord:
    """Return the numbers of the last 26 weeks. `repos` limits them to these repos."""
    at = to_ms(now)
    first = week_of(at) - WEEKS + 1
    last = week_of(at)
    past = [count for count in read_weekly_counts(store, _PAST, repos, first) if count.week <= last]
    open_days = _sum_counts(
        read_weekly_counts(store, [Activity.OPEN], repos),
        Activity.OPEN,
        lambda each: week_start(each.week) + int(each.name) * DAY_MS,
    )
    ends = _sum_counts(read_weekly_counts(store, [Activity.END], repos, last), Activity.END, lambda each: each.week)
    rows = [row for row in store.repos() if repos is None or row.repo in repos]
    waits = _sum_counts(past, Activity.WAIT, lambda each: int(each.name))
    ended = sum(waits.values())
    still_open = Counter[int]()
    for day, n in open_days.items():
        if day >= week_start(first):
            still_open[wait_bucket(max(0, at - day - DAY_MS // 2))] += n
    waits += still_open
    return OverviewRecord(
        as_of=_day(at),
        repos=len(rows),
        waiting=sum(open_days.values()),
        oldest=_day(min(open_days)) if open_days else None,
        wait_median_s=_seconds(wait_quantile(waits, 0.5)),
        wait_p95_s=_seconds(wait_quantile(waits, 0.95)),
        waits_ended=ended,
        waits_open=sum(still_open.values()),
        weeks=_weeks(past, first, last),
        ends=[
            EndsRecord(starts=_day(week_start(week)), ends=ends[week])
            for week in range(last, week_of(to_ms(now + ENDS_AHEAD)) + 1)
        ],
    )


def _sum_counts(counts: Iterable[WeeklyCount], kind: Activity, key: Callable[[WeeklyCount], K]) -> Counter[K]:
    """Sum up the counts of one kind by a key."""
    found = Counter[K]()
    for count in counts:
        if count.kind is kind:
            found[key(count)] += count.n
    return found


def _weeks(past: Sequence[WeeklyCount], first: int, last: int) -> list[WeekRecord]:
    asked = _sum_counts(past, Activity.ASKED, lambda each: each.week)
    answered = _sum_counts(past, Activity.ANSWERED, lambda each: (each.week, each.name.partition(" ")[0]))
    return [
        WeekRecord(
            starts=_day(week_start(week)),
            asked=asked[week],
            answered=sum(answered[week, answerer] for answerer in Answerer),
            by_people=answered[week, Answerer.PERSON],
            by_rules=answered[week, Answerer.RULE],
            outside=answered[week, Answerer.OUTSIDE],
        )
        for week in range(first, last + 1)
    ]


def _day(at: int) -> str:
    return f"{from_ms(at):%Y-%m-%d}"


def _seconds(wait: int | None) -> int | None:
    return None if wait is None else wait // 1000
