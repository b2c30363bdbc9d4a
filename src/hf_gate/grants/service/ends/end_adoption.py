"""Gives ends of access to people who got access before the rules set one, and moves ends after a policy changed.

Ends that a person chose stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import Final

from msgspec import Struct, field

from hf_gate.base.batches import iterate_cursor_pages, split_into_batches
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.query import NO_END, Query, one_of
from hf_gate.core.people.access_end import HandTerms, TermsKind
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.stored_rows import RequestRow
from hf_gate.grants.rows import count_endless, read_set_ends, read_terms
from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.setting_keys import FOLLOWED_POLICIES
from hf_gate.store.store import Store
from hf_gate.verdicts.service.policy_bundle import PolicyBundle

from .end_changes import EndChange, change_by_rules
from .terms_reader import TermsReader, load_terms_reader

ADOPT_ALL: Final = "hf-gate ends set --all"
ADOPT_COMMAND: Final = f"{ADOPT_ALL} --with-end"
CHOSEN: Final = "a person chose the end"
_PAGE: Final = 1000
_EXAMPLES: Final = 3  # people named for each reason
_WHY_LEFT: Final = {
    TermsKind.UNKNOWN: "the end is not known",
    TermsKind.PAST: "the end has passed",
    TermsKind.FALSE: "a condition of the rule is false or unknown",
}


class Adoption(Struct):
    """The new ends, how many people stay as they are, by reason, the first of them, and those whose end a person
    chose.
    """

    changes: list[EndChange] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    chosen: list[RequestRow] = field(default_factory=list)

    def leave(self, row: RequestRow, why: str) -> None:
        """Count a person whose end stays as it is."""
        self.left[why] += 1
        names = self.examples.setdefault(why, [])
        if len(names) < _EXAMPLES:
            names.append(row.person_name)

    def describe_left(self) -> Iterator[str]:
        """Yield a sentence for each reason: `2 people not changed: the end is not known (ada, bo).`"""
        for why, number in self.left.items():
            names = self.examples[why]
            more = f" and {number - len(names):,} more" if number > len(names) else ""
            yield f"{pluralize(number, 'person', 'people')} not changed: {why} ({', '.join(names)}{more})."


def plan_adoption(
    store: Store, rows: Iterable[RequestRow], reader: TermsReader, now: datetime, zone: tzinfo, *, from_acceptance: bool
) -> Adoption:
    """Return the ends that the policies give to people who have access. Nothing is written.

    Durations count from now, or `from_acceptance`. Nobody's access ends sooner than in 7 days. An end stays if a person
    chose it, and if the rules set the same as when it was set.
    """
    found = Adoption()
    for batch in split_into_batches(rows, _PAGE):
        set_ends = read_set_ends(store, [row.id for row in batch if _has_end(row)])
        open_rows = []
        for row in batch:
            one = set_ends.get(row.id)
            if one is not None and one.event.is_chosen:
                found.leave(row, CHOSEN)
                found.chosen.append(row)
            else:
                open_rows.append(row)
        terms = reader.read_terms(open_rows, now)
        old = read_terms(store, {row.state.terms or "" for row in open_rows})
        for row in open_rows:
            hand_terms = terms.get(row.id, HandTerms())
            is_same = row.id in set_ends and _sets_same_end(
                set_ends[row.id].event, old.get(row.state.terms or ""), hand_terms
            )
            since = from_ms(row.state.reviewed_at) if from_acceptance and row.state.reviewed_at is not None else now
            _adopt(found, row, hand_terms, since, now, zone, is_same=is_same)
    return found


def _has_end(row: RequestRow) -> bool:
    return row.state.until is not None or row.state.terms is not None


def _sets_same_end(known: e.GrantDated, old: GrantTerms | None, hand_terms: HandTerms) -> bool:
    """Tell whether the rules set the end, the conditions and the notices that they set before,
    whatever the dates are.
    """
    shapes = [None if one is None else one.shape for one in (old, hand_terms.end.terms)]
    return shapes[0] == shapes[1] and _fixed_parts(known.written) == _fixed_parts(hand_terms.end.written)


def _fixed_parts(written: str | None) -> list[str]:
    """Return the durations and dates of an end as written; values of facts are moments."""
    return sorted(part for part in (written or "").split(",") if part and "T" not in part)


def _adopt(
    adoption: Adoption,
    row: RequestRow,
    hand_terms: HandTerms,
    since: datetime,
    now: datetime,
    zone: tzinfo,
    *,
    is_same: bool,
) -> None:
    if hand_terms.kind is not TermsKind.END:
        adoption.leave(row, _WHY_LEFT.get(hand_terms.kind, "no rule sets an end"))
        return
    change = change_by_rules(row, hand_terms.end, since, now, zone, "adopt")
    if is_same or change.is_known:
        adoption.leave(row, "the same end as now")
    else:
        adoption.changes.append(change)


def count_outdated_ends(workspace: Workspace, bundle: PolicyBundle, now: datetime) -> int:
    """Return how many ends the command would move, because the policies set other ends than when they were set.

    If there are none, the policies are stored, and nothing is evaluated again until they change.
    """
    store = workspace.store
    if store.setting(FOLLOWED_POLICIES) == bundle.digest:
        return 0
    rows = (
        row for row in iterate_accepted(store, None, with_end=True) if _has_end(row) and bundle.is_governed(row.repo)
    )
    reader = load_terms_reader(workspace, lambda: bundle)
    count = len(plan_adoption(store, rows, reader, now, bundle.zone, from_acceptance=False).changes)
    if not count:
        with store.writing() as write:
            write.write_setting(FOLLOWED_POLICIES, bundle.digest)
    return count


def outdated_ends_note(count: int) -> str:
    """Return how many ends the policies would set otherwise, and what to do; "" for none."""
    if not count:
        return ""
    return (
        f"The policies now set other end dates: {count:,} grants keep their present date."
        f" To see and move them: {ADOPT_COMMAND} --dry-run"
    )


def describe_kept_access(workspace: Workspace, bundle: PolicyBundle) -> str:
    """Return how many people keep the access without an end that they have, and what to do; "" for none."""
    endless = count_endless(workspace.store)
    count = sum(endless.get(row.id, 0) for row in workspace.store.repos() if bundle.is_governed(row.repo))
    if not count:
        return ""
    kept = f"{pluralize(count, 'person has', 'people have')} access already and keep{'s' * (count == 1)} it"
    has_ends = any(rule.until or rule.keep_while for policy in bundle.policies for rule in policy.rules)
    return f"{kept}, without an end. To give them one: {ADOPT_ALL}" if has_ends else f"{kept}."


def iterate_accepted(store: Store, repos: Iterable[Repo] | None, *, with_end: bool) -> Iterator[RequestRow]:
    """Iterate over people who have access: those without an end, or all of them."""
    terms = [one_of("status", Status.ACCEPTED)]
    if not with_end:
        terms.append(one_of("ends", NO_END))
    if repos is not None:
        terms.append(one_of("repo", *(repo.web_path for repo in repos)))
    query = Query(tuple(terms))
    for page in iterate_cursor_pages(lambda cursor: store.query(query, now=0, limit=_PAGE, cursor=cursor)):
        yield from (row for row in page.rows if row.state.open_after is None)
