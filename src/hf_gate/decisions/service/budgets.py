"""Reads how much of each rate limit is used, by turns and by keys of other systems."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from hf_gate.base.timestamps import to_ms
from hf_gate.core.parsing.literals import Rate
from hf_gate.store.rows.ledger import count_unattended_changes
from hf_gate.store.store import Store


class BudgetUse(Struct, frozen=True):
    """A rate limit of unattended changes, with those made in the last period."""

    name: str
    rate: Rate
    used: int

    @property
    def is_used_up(self) -> bool:
        """Whether no more changes are made until earlier changes are older than the period."""
        return self.used >= self.rate.limit


def read_budgets(store: Store, rates: Mapping[str, Rate], now: datetime) -> list[BudgetUse]:
    """Return the rate limits with the changes that were made unattended in their last period."""
    at = to_ms(now)
    return [
        BudgetUse(name, rate, count_unattended_changes(store, name, at - rate.seconds * 1000))
        for name, rate in rates.items()
    ]
