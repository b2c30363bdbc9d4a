"""Describes the person behind a request: address, account age and earlier decisions, and who controls each fact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..domain.display_text import join_words
from ..domain.rows import HistoryRow, RequestRow
from ..policy.number_phrases import describe_age
from .request_context import RequestContext


class RequesterFact(NamedTuple):
    """A fact on a person. `trust`: who controls it."""

    name: str
    value: str
    trust: str
    source: str


@dataclass(frozen=True, slots=True)
class RequesterSummary:
    """What is known of a person: `address`, `account` and `earlier` are one line together. Empty for viewers."""

    address: str | None
    account: str
    earlier: str
    facts: Sequence[RequesterFact]


def summarize_requester(context: RequestContext, row: RequestRow) -> RequesterSummary | None:
    """Return what is known of the person; None for viewers."""
    if context.is_masked:
        return None
    who = row.person.identity
    created = row.request.person.created_at if row.request else None
    age = None if created is None else describe_age(max(0, (context.now - created).days))
    account = "account age unknown" if age is None else f"account {age} old"
    past = context.workspace.store.history(row.repo, [row.person.id], within=context.repo_ids)[row.person.id]
    earlier = describe_decisions(past)
    ledger = "this desk's audit log"
    facts = (
        RequesterFact("E-mail", who.email or "not shared", "account", "the request"),
        RequesterFact("Account", "hidden" if age is None else f"{age} old", "account", "its id on the Hub"),
        RequesterFact("Full name", who.fullname or "not given", "claimed", "the request"),
        RequesterFact("Earlier decisions", earlier, "yours", ledger),
    )
    return RequesterSummary(who.email, account, earlier, facts)


def describe_decisions(past: HistoryRow) -> str:
    """Return the earlier decisions: `rejected once and sent back twice here; accepted at 2 other repos`."""
    here = [
        f"{word} {_times(number)}"
        for word, number in (("accepted", past.accepted), ("rejected", past.rejected), ("sent back", past.resets))
        if number
    ]
    found = [join_words(here, "and") + " here"] if here else []
    if past.elsewhere:
        found.append(f"accepted at {past.elsewhere:,} other {'repo' if past.elsewhere == 1 else 'repos'}")
    return "; ".join(found) or "no earlier decisions"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
