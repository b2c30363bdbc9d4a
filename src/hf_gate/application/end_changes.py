"""Ends of access that a person changes: renewed, removed, or given to people who have none.

A person's end replaces the date. Conditions of `keep_while` and notices stay, except when the end is removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final

import msgspec
from msgspec import Struct, field

from ..domain import events as e
from ..domain.batches import split_into_batches
from ..domain.end_rows import EndRows, list_agreements, list_tables
from ..domain.grants import GrantTerms, fix_terms, parse_grant_end
from ..domain.hand_terms import HandTerms, TermsKind
from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.query import NO_END, Pattern, Query, Term
from ..domain.request_state import current_end
from ..domain.rows import RequestRow, entry_about
from ..domain.runs import ChangeOrigin
from ..domain.timestamps import from_ms, to_ms
from ..errors import UsageError
from ..store.grant_terms import read_terms_of, write_terms
from ..store.ledger import append_entries
from ..store.store import Store
from ..store.writer import Writer
from .end_moves import SHORTEN_AHEAD
from .terms_reader import describe_terms_problem

_PAGE = 1000
_WHY_LEFT: Final = {
    TermsKind.UNKNOWN: "the end is not known",
    TermsKind.PAST: "the end has passed",
    TermsKind.FALSE: "a condition of the rule is false or unknown",
}


class EndChange(Struct, frozen=True):
    """The new end of one person's access. `terms` must be stored with it."""

    row: RequestRow
    event: e.GrantDated
    terms: GrantTerms | None = None
    rows: EndRows = {}

    @property
    def end(self) -> int | None:
        """When the access ends (ms); None if no date is known."""
        return self.event.until

    def make_entry(self, actor: str, at: int) -> e.LedgerEntry:
        """Return the entry of the change, whose private part has the rows on which the end rests."""
        return entry_about(self.row, self.event, actor, at, {"rows": self.rows} if self.rows else None)

    @property
    def is_longer(self) -> bool:
        """Whether the person has access for longer than before."""
        before = self.row.state.ends_at
        return before is not None and (self.end is None or self.end > before)


def check_has_access(row: RequestRow) -> None:
    """Raise UsageError unless the person of this request has access, and no change of it is under way."""
    name = row.target_name
    if row.state.status != Status.ACCEPTED:
        raise UsageError(
            f"{name} has no access ({row.state.status}); nothing was changed.",
            hint="To give access again: hf-gate accept, or hf-gate grant.",
        )
    if row.state.open_after is not None:
        raise UsageError(f"a change of {name} is under way; nothing was changed.", hint="Try again in a minute.")


def renew_until(store: Store, row: RequestRow, written: str, now: datetime, zone: tzinfo) -> EndChange:
    """Return the change to an end as written in rules (`1y`, `2027-06-30`), counted from now."""
    old = read_terms_of(store, row.state.terms)
    terms = None if old is None else msgspec.structs.replace(old, until=())
    if terms is not None and not (terms.keep_while or terms.notice):
        terms = None
    event = e.GrantDated(
        until=to_ms(parse_grant_end(written, now, zone)),
        at_end=row.state.at_end or "reset",
        rule=ChangeOrigin.DIRECT,
        written=written,
        terms=None if terms is None else terms.digest,
        cause="renew",
    )
    return EndChange(row, event, terms)


def change_end_by_hand(store: Store, row: RequestRow, written: str | None, now: datetime, zone: tzinfo) -> EndChange:
    """Return the change to an end as written in rules; None removes the end."""
    return drop_end(row) if written is None else renew_until(store, row, written, now, zone)


def renew_by_rules(row: RequestRow, hand_terms: HandTerms, now: datetime, zone: tzinfo) -> EndChange:
    """Return the change to the end that the policies give today. Raises UsageError if they give none."""
    if hand_terms.kind is not TermsKind.END:
        why = describe_terms_problem(hand_terms) or "not set by any rule that accepts this person"
        raise UsageError(
            f"The end of access of {row.person.identity.username or 'this person'} is {why}; nothing was changed.",
            hint="Give an end: --until 1y, or --until 2028-11-30.",
        )
    change = _change_by_rules(row, hand_terms, now, now, zone, "renew")
    if row.state.is_final and change.is_longer:
        raise UsageError(
            f"The access of {row.person.identity.username or 'this person'} is marked as not to be renewed.",
            hint="Give an end (--until 1y), or remove the mark: hf-gate expire no-renew --undo WHO@REPO",
        )
    return change


def drop_end(row: RequestRow) -> EndChange:
    """Return the change that removes the end, with its conditions: the access lasts until a person ends it."""
    return EndChange(row, e.GrantDated(until=None, rule=ChangeOrigin.DIRECT, cause="drop"))


def _change_by_rules(
    row: RequestRow, hand_terms: HandTerms, since: datetime, now: datetime, zone: tzinfo, cause: str
) -> EndChange:
    """Return the end by rules, counted from `since`. An end that has passed becomes one in 7 days."""
    terms = None if hand_terms.document is None else fix_terms(hand_terms.document, since, zone)
    until = None
    if hand_terms.until is not None:
        until = max(to_ms(parse_grant_end(hand_terms.until, since, zone)), to_ms(now + SHORTEN_AHEAD))
    event = e.GrantDated(
        until=until,
        at_end=hand_terms.at_end or "reset",
        rule=hand_terms.rule,
        written=hand_terms.until,
        terms=None if terms is None else terms.digest,
        cause=cause,
        lists=list_tables(hand_terms.rests_on),
        agreements=list_agreements(hand_terms.rests_on),
    )
    return EndChange(row, event, terms, hand_terms.rests_on)


def record_end_changes(store: Store, changes: Sequence[EndChange], actor: str, at: int) -> None:
    """Record new ends in the ledger, in a transaction of their own."""
    if changes:
        with store.writing() as write:
            write_end_changes(write, changes, actor, at)


def write_end_changes(write: Writer, changes: Sequence[EndChange], actor: str, at: int) -> None:
    """Write new ends with their terms."""
    write_terms(write, (change.terms for change in changes if change.terms is not None))
    append_entries(write, ((one.row.repo, one.make_entry(actor, at)) for one in changes))


# ---- people from before ------------------------------------------------------------------------------------------------


class Adoption(Struct):
    """The ends for people from before, and how many people stay without one, by reason."""

    changes: list[EndChange] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


def plan_adoption(
    rows: Iterable[RequestRow],
    read_terms: Callable[[Sequence[RequestRow]], dict[int, HandTerms]],
    now: datetime,
    zone: tzinfo,
    *,
    from_acceptance: bool,
) -> Adoption:
    """Return the ends that the policies give to people who have access. Nothing is written.

    Durations count from now, or `from_acceptance`. Nobody's access ends sooner than in 7 days.
    """
    found = Adoption()
    for batch in split_into_batches(rows, _PAGE):
        _adopt(found, batch, read_terms(batch), now, zone, from_acceptance=from_acceptance)
    return found


def _adopt(
    found: Adoption,
    rows: Sequence[RequestRow],
    terms: dict[int, HandTerms],
    now: datetime,
    zone: tzinfo,
    *,
    from_acceptance: bool,
) -> None:
    for row in rows:
        hand_terms = terms.get(row.id, HandTerms())
        if hand_terms.kind is not TermsKind.END:
            found.left[_WHY_LEFT.get(hand_terms.kind, "no rule sets an end")] += 1
            continue
        since = from_ms(row.state.reviewed_at) if from_acceptance and row.state.reviewed_at is not None else now
        change = _change_by_rules(row, hand_terms, since, now, zone, "adopt")
        if _is_same_end(row, change):
            found.left["the same end as now"] += 1
        elif row.state.is_final and change.is_longer:
            found.left["marked as not to be renewed"] += 1
        else:
            found.changes.append(change)


def _is_same_end(row: RequestRow, change: EndChange) -> bool:
    known = current_end(row.state)
    return (known.until, known.terms, known.rule) == (change.event.until, change.event.terms, change.event.rule)


def iterate_accepted(store: Store, repos: Iterable[Repo] | None, *, with_end: bool) -> Iterator[RequestRow]:
    """Iterate over people who have access: those without an end, or all of them."""
    terms = [Term("status", (Pattern((Status.ACCEPTED.value,)),))]
    if not with_end:
        terms.append(Term("ends", (Pattern((NO_END,)),)))
    if repos is not None:
        terms.append(Term("repo", tuple(Pattern((repo.web_path,)) for repo in repos)))
    cursor = None
    while True:
        page = store.query(Query(tuple(terms)), now=0, limit=_PAGE, cursor=cursor)
        yield from (row for row in page.rows if row.state.open_after is None)
        cursor = page.next
        if cursor is None:
            return
