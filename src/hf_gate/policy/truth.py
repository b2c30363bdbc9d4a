"""True, false, or unknown with what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TruthValue:
    """What came out. `value` None: unknown, for want of the facts `missing`, or for the `error`, or for both."""

    value: bool | None
    missing: frozenset[str] = frozenset()
    error: str | None = None


def combine_unknowns(truths: Iterable[TruthValue]) -> TruthValue:
    """Unknown, for all that is missing in those that are unknown, and the first of their errors."""
    unknown = [truth for truth in truths if truth.value is None]
    missing = frozenset[str]().union(*(truth.missing for truth in unknown))
    return TruthValue(None, missing, next((truth.error for truth in unknown if truth.error), None))
