"""Output records of assignments."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from hf_gate.core.records import Count, Record


class AssignmentRecord(Record, frozen=True, kw_only=True):
    """The numbers of requests that were assigned, and of those that already had this assignment."""

    assigned_to: Annotated[str | None, Meta(description="null: nobody")]
    assigned: Count
    already: Count
