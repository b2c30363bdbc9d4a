"""Adds the ends of expired grants to a plan, as many as the guards have room for, and counts the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from ..domain.batches import split_into_batches
from ..domain.ids import Repo
from ..domain.rows import RequestRow
from ..domain.runs import ChangeOrigin
from ..domain.timestamps import to_ms
from ..plan.changes import PlanSubject, change_for_end
from ..plan.guards import END_GUARD
from ..plan.model import Change
from ..policy.model import Policy
from ..store.grant_terms import count_ended
from ..store.store import Store
from .evaluated_parts import PlanBuffer
from .policy_saves import read_holds

_CHUNK: Final = 500  # requests of which is asked together whether a verdict removes their access


def plan_ends(
    store: Store,
    buffer: PlanBuffer,
    find_removed: Callable[[Sequence[int]], set[int]],
    governs: Callable[[Repo], bool],
    policies: Collection[Policy],
    now: datetime,
    undecided: Collection[int] = (),
) -> Counter[str]:
    """Offer the ends of expired grants at governed repos, those that ended first at the top, and count them.

    Also count grants with `at_end: human`; these people keep access until a person decides. Grants in `undecided` (row
    ids) end by a condition that is unknown now, so they wait. Requests that lose access by a verdict get no second change.
    What the guards have no room for is counted, not built.
    """
    ended = {
        key: count
        for key, count in count_ended(store.reads, to_ms(now), with_undecided=not undecided).items()
        if governs(key[0])
    }
    counts = Counter(end_human=sum(count for (_, is_human), count in ended.items() if is_human))
    left = sum(count for (_, is_human), count in ended.items() if not is_human)
    reasons = _read_reasons(store, policies)
    rows = (row for row in store.iterate_due(to_ms(now), is_endable=True) if governs(row.repo))
    for row, is_removed in _pair_with_removed(rows if buffer.has_room(END_GUARD) else (), find_removed):
        if not buffer.has_room(END_GUARD):
            break
        if row.id in undecided:
            continue
        left -= 1
        change = None if is_removed else _make_end(row, now, reasons)
        if change is not None:
            counts["end"] += 1
            buffer.offer(change)
    if END_GUARD in buffer.room and left > 0:
        counts["end"] += left
        buffer.left_out[END_GUARD] += left
    return counts


def _pair_with_removed(
    rows: Iterable[RequestRow], find_removed: Callable[[Sequence[int]], set[int]]
) -> Iterator[tuple[RequestRow, bool]]:
    """Yield each request with whether it loses access by a verdict."""
    for chunk in split_into_batches(rows, _CHUNK):
        removed = find_removed([row.id for row in chunk])
        yield from ((row, row.id in removed) for row in chunk)


def _read_reasons(store: Store, policies: Collection[Policy]) -> Mapping[str, str | None]:
    """Return the `end_reason` of each rule. A text that was saved from the desk is sent after its promotion."""
    holds = read_holds(store)
    promoted = [one for one in policies if one.name not in holds or holds[one.name].before == one.digest]
    return {f"{policy.name}/{rule.id}": rule.end_reason for policy in promoted for rule in policy.rules}


def _make_end(row: RequestRow, now: datetime, reasons: Mapping[str, str | None]) -> Change | None:
    if row.request is None:
        return None
    subject = PlanSubject(row.request, row.state, row.id)
    end_reason = reasons.get(row.state.until_rule or "")
    return change_for_end(subject, now, end_reason=end_reason, rule=ChangeOrigin.UNTIL)
