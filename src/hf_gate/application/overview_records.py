"""Output records of the overview: weeks, rules, ends and repos whose lists are not proved."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ..domain.ids import RepoType
from .records import Count, Record

MaskedCount = Annotated[Count | None, Meta(description="null: fewer than 5, hidden from viewers")]


class WeekRecord(Record, frozen=True, kw_only=True):
    """What happened in one week."""

    starts: Annotated[str, Meta(description="the Monday (UTC)")]
    asked: MaskedCount
    answered: MaskedCount
    by_people: MaskedCount
    by_rules: MaskedCount
    outside: Annotated[Count | None, Meta(description="by another tool, or before the first sync")]


class RuleUseRecord(Record, frozen=True, kw_only=True):
    """How often a rule decided, and how often a person changed its decision."""

    policy: str
    rule: str
    decided: MaskedCount
    reversed: MaskedCount


class EndsRecord(Record, frozen=True, kw_only=True):
    """How many grants end in a week."""

    starts: Annotated[str, Meta(description="the Monday (UTC)")]
    ends: MaskedCount


class UnprovedRecord(Record, frozen=True, kw_only=True):
    """A repo whose lists are not proved to be complete."""

    repo: str
    repo_type: RepoType
    why: str


class OverviewRecord(Record, frozen=True, kw_only=True):
    """Numbers of the last weeks, without personal data."""

    as_of: Annotated[str, Meta(description="the day (UTC)")]
    repos: Count
    waiting: Count
    oldest: Annotated[str | None, Meta(description="the day (UTC) on which the oldest of them asked")]
    wait_median_s: Annotated[Count | None, Meta(description="of those who asked in these weeks; within 12 %")]
    wait_p95_s: Annotated[Count | None, Meta(description="as wait_median_s")]
    waits_ended: MaskedCount
    waits_open: Annotated[Count | None, Meta(description="how many of them still wait; their wait so far counts")]
    weeks: list[WeekRecord]
    rules: list[RuleUseRecord]
    ends: list[EndsRecord]
    unproved: list[UnprovedRecord]


class OverviewCell(Record, frozen=True, kw_only=True):
    """One value of the overview, for CSV."""

    part: Annotated[str, Meta(description="total, week, rule, end or unproved")]
    key: Annotated[str, Meta(description="the Monday, policy/rule, or repo; empty for totals")]
    name: str
    value: str | int | None
