"""A plan of a workspace: names of tables bound, profiles that matter read, everybody judged; and what a workspace is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from msgspec.structs import replace

from ..domain.events import Entry, TableAccepted
from ..domain.ids import Person, Repo
from ..domain.moments import ms
from ..domain.rows import PersonRow
from ..errors import HfGateError
from ..plan.model import CLOCK_SKEW, VALIDITY, Plan, make_partial_plan
from ..policy.literals import Rate
from ..policy.model import Policy
from ..policy.tables import Table, unbound_usernames
from ..protocol.skew import is_clock_off
from ..store.reading import Store
from . import keys
from .judging import Court, SourcesPort
from .ports import ClockPort, HubPort
from .propose import Doors, Hears, OpenDoors, Proposal, propose


@dataclass(frozen=True, slots=True)
class Desk:
    """What a turn works with; joined in `joining`."""

    store: Store
    hub: HubPort
    clock: ClockPort
    sources: SourcesPort
    actor: str
    policies: Sequence[Policy]
    courts: Callable[[], Sequence[Court]]
    hearing: Hears
    budgets: Mapping[str, Rate]
    protected: Collection[str] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    zone: tzinfo = UTC
    governs: Callable[[Repo], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and how many profiles were read for it. `skew`: so many seconds the clock is off, and no grant is ended."""

    plan: Plan
    profiles: int = 0
    skew: float | None = None


def planned(
    desk: Desk,
    *,
    profiles: int,
    moment: datetime | None = None,
    valid: timedelta = VALIDITY,
    doors: Callable[[], Doors] = OpenDoors,
) -> Planned:
    """A plan; when profiles can change verdicts so many are read at most, and it is made once more.

    With another `moment` than now nothing is read, bound or entered. `doors`: what changes pass, each time anew.
    """
    now, is_now = moment or desk.clock.now(), moment is None
    if is_now:
        bind_tables(desk, profiles)
    skew = _distrusted(desk, now) if is_now else None

    def once() -> Proposal:
        return propose(
            desk.store,
            desk.courts(),
            desk.hearing,
            now=now,
            policies=desk.policies,
            protected=desk.protected,
            governs=desk.governs if skew is None else lambda _: False,
            valid=valid,
            enters=is_now,
            doors=doors(),
        )

    proposal, read = once(), 0
    if is_now and profiles and proposal.needs:
        read = enrich(desk.store, desk.sources, proposal.needs, now, profiles)
    plan = once().plan if read else proposal.plan
    return Planned(plan if skew is None else _with_skew(plan, skew), read, skew)


def _with_skew(plan: Plan, skew: float) -> Plan:
    """Write into a plan that it ends no grant, so that it says so wherever it is shown."""
    return make_partial_plan(replace(plan, summary={**plan.summary, CLOCK_SKEW: round(skew)}), plan.changes)


def _distrusted(desk: Desk, now: datetime) -> float | None:
    """How many seconds the Hub's clock is ahead of ours, when that is too far to end anything by ours."""
    if desk.hub.skew is None and (due := next(iter(desk.store.due(ms(now))), None)) is not None:
        with suppress(HfGateError):
            desk.hub.gate(due.repo)  # nothing was asked yet, and any answer tells the time
    skew = desk.hub.skew
    return skew if is_clock_off(skew) else None


def enrich(store: Store, sources: SourcesPort, people: Sequence[PersonRow], now: datetime, budget: int) -> int:
    """Reads the profiles that can change a verdict and keeps them with their age; how many were read."""
    wanted = {row.id: Person(row.identity.user_id, row.identity.username, row.identity.fullname) for row in people}
    fetched = sources.fetch(wanted.values(), now, budget)
    with store.writing() as write:
        for ident, person in wanted.items():
            document = fetched.get(sources.key(person) or "")
            if document is not None:
                write.profile(ident, document, ms(now))
    return len(fetched)


def bind_tables(desk: Desk, budget: int) -> int:
    """Binds usernames of tables to the accounts that bear them now, one call each; whoever takes a name later is not meant.

    Also remembers how many rows each table had, so that half a file is told from a short one.
    """
    names = [
        (table, name)
        for table in desk.tables.values()
        if not table.refusal
        for name in unbound_usernames([table], desk.store.bindings(table.name))
    ][:budget]
    now = desk.clock.now()
    found = {name: desk.sources.account(name) for name in dict.fromkeys(name for _, name in names)}
    with desk.store.writing() as write:
        for table, name in names:
            ident = found[name]
            if ident is not None:
                write.bind(table.name, name, ident, "load", ms(now))
        for table in desk.tables.values():
            if not table.refusal:
                write.setting(keys.rows(table.name), str(len(table.rows)))
    return len(found)


def accept_rows(store: Store, table: Table, actor: str, at: int) -> None:
    """Use a table as it is although it lost rows, and record who accepted that."""
    known = store.setting(keys.rows(table.name))
    before, after = None if known is None else int(known), len(table.rows)
    if before == after:
        return
    event = TableAccepted(table=table.name, rows_before=before, rows_after=after)
    with store.writing() as write:
        write.append(None, [Entry(event=event, at=at, actor=actor)])
        write.setting(keys.rows(table.name), str(after))
