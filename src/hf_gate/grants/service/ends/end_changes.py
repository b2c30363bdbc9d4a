"""Ends of access that a person changes: renewed, removed, or given to people who have none.

Guarantees:
1. The rule, its conditions of `keep_while` and its notices stay, except when the end is removed.
2. One person can shorten access. Longer access needs the approvals that the acceptance needs (`approved_ends`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.end_rows import EndRows, list_table_versions
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import current_end
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import AccessEnd, HandTerms, TermsKind
from hf_gate.core.people.grants import GrantTerms, fix_terms, last_day, parse_grant_end, with_chosen_end
from hf_gate.core.runs import ChangeOrigin
from hf_gate.core.stored_rows import RequestRow, entry_about
from hf_gate.errors import UsageError
from hf_gate.grants.rows import read_terms_of, write_terms
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

from .terms_reader import describe_terms_problem

_SOONEST: Final = timedelta(days=7)  # ahead, for ends that many people get in one go
ONLY_SHORTER: Final = "Here, one person can only shorten access. Longer access needs two people, as an acceptance does."


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

    def format_day(self, zone: tzinfo) -> str | None:
        """Return the last day of the access. A person approves this day, and not a length that begins later."""
        return None if self.end is None else last_day(from_ms(self.end), zone).isoformat()

    def make_entry(self, actor: str, at: int) -> e.LedgerEntry:
        """Return the entry of the change, whose private part has the rows on which the end rests."""
        return entry_about(self.row, self.event, actor, at, {"rows": self.rows} if self.rows else None)

    @property
    def is_known(self) -> bool:
        """Whether the access has this end already, chosen as this change chooses it."""
        known = current_end(self.row.state)
        event = self.event
        if event.until is None and event.terms is None:
            return known.until is None and known.terms is None
        return (known.until, known.terms, known.rule, known.is_chosen) == (
            event.until,
            event.terms,
            event.rule,
            event.is_chosen,
        )

    @property
    def is_longer(self) -> bool:
        """Whether the person has access for longer than before."""
        before = self.row.state.present_end
        return before is not None and (self.end is None or self.end > before)

    @property
    def is_shorter(self) -> bool:
        """Whether the access ends earlier than before."""
        before = self.row.state.present_end
        return before is not None and self.end is not None and self.end < before

    @property
    def takes_access(self) -> bool:
        """Whether the access ends earlier than before, or had no end."""
        return self.is_shorter or (self.row.state.until is None and self.end is not None)

    def gives_more(self, old: GrantTerms | None) -> bool:
        """Whether the date is later, or a condition of the old terms is gone or begins again."""
        state = self.row.state
        event = self.event
        kept = () if self.terms is None else self.terms.keep_while
        is_kept = old is None or all(one in kept for one in old.keep_while)
        is_later = state.until is not None and (event.until is None or event.until > state.until)
        return is_later or not is_kept or (state.lapses_at is not None and event.lapses != state.lapses)


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


def count_from(row: RequestRow, now: datetime) -> datetime:
    """Return from when more access counts: from the present end, or from now if there is none."""
    end = row.state.present_end
    return now if end is None else max(from_ms(end), now)


def change_end_by_hand(store: Store, row: RequestRow, written: str | None, since: datetime, zone: tzinfo) -> EndChange:
    """Return the change to an end as written in rules (`1y` after `since`, `2027-06-30`); None removes the end."""
    if written is None:
        return EndChange(row, e.GrantDated(until=None, rule=ChangeOrigin.DIRECT, cause="drop"))
    state = row.state
    until = to_ms(parse_grant_end(written, since, zone))
    terms = with_chosen_end(
        read_terms_of(store, state.terms), written, is_within=state.until is None or until <= state.until
    )
    terms = None if terms is None else fix_terms(terms, since, zone)
    event = e.GrantDated(
        until=until,
        at_end=state.end_action,
        rule=state.until_rule or ChangeOrigin.DIRECT,
        written=written,
        terms=None if terms is None else terms.digest,
        lapses=state.lapses if terms is not None and terms.keep_while else (),
        cause="renew",
    )
    return EndChange(row, event, terms)


def renew_by_rules(row: RequestRow, hand_terms: HandTerms, now: datetime, zone: tzinfo) -> EndChange:
    """Return the change to the end that the policies give today. Raises UsageError if they give none."""
    if hand_terms.kind is not TermsKind.END:
        why = describe_terms_problem(hand_terms) or "not set by any rule that accepts this person"
        raise UsageError(
            f"The end of access of {row.person.identity.username or 'this person'} is {why}; nothing was changed.",
            hint="Give an end: --until 1y, or --until 2028-11-30.",
        )
    return change_by_rules(row, hand_terms.end, now, now, zone, "adopt")


def change_by_rules(
    row: RequestRow, end: AccessEnd, since: datetime, now: datetime, zone: tzinfo, cause: str
) -> EndChange:
    """Return the end by rules, counted from `since`. An end that has passed becomes one in 7 days."""
    terms = None if end.terms is None else fix_terms(end.terms, since, zone)
    until = None
    if end.written is not None:
        until = max(to_ms(parse_grant_end(end.written, since, zone)), to_ms(now + _SOONEST))
    event = e.GrantDated(
        until=until,
        at_end=end.at_end,
        rule=end.rule,
        written=end.written,
        terms=None if terms is None else terms.digest,
        cause=cause,
        lists=list_table_versions(end.rests_on),
    )
    return EndChange(row, event, terms, end.rests_on)


def write_end_changes(write: Writer, changes: Sequence[EndChange], actor: str, at: int) -> None:
    """Write new ends with their terms."""
    write_terms(write, (change.terms for change in changes if change.terms is not None))
    write.append_to_chains((change.row.repo, change.make_entry(actor, at)) for change in changes)
