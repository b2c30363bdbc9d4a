"""Output records of ends of access that people change or confirm."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hf_gate.core.records import Count, GrantEndRecord, Record


class ChangedEndsRecord(Record, frozen=True, kw_only=True):
    """Ends of access that a person set."""

    changed: Count
    planned: Count
    ends: list[GrantEndRecord]
    left: Annotated[dict[str, Count], Meta(description="people who were not changed, by the reason")]
    kept: Annotated[list[GrantEndRecord], Meta(description="people whose end a person chose")]
