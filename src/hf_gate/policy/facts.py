"""The facts about one request, computed from values alone: the table of what there is, and `facts_of`."""

from __future__ import annotations

from .fact_inputs import EmailFacts, History, ProfileFact, TableHit
from .fact_table import ANSWER_ROLES, FACTS, CelType, Declared, declarations, declared

__all__ = [
    "ANSWER_ROLES",
    "FACTS",
    "CelType",
    "Declared",
    "EmailFacts",
    "History",
    "ProfileFact",
    "TableHit",
    "declarations",
    "declared",
]
