"""Makes the plan of a workspace: binds names in tables, reads the profiles that matter, evaluates every request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from ..domain.events import Entry, TableAccepted
from ..domain.moments import to_ms
from ..errors import HfGateError
from ..plan.model import CLOCK_SKEW, VALIDITY, Plan, make_partial_plan
from ..policy.tables import Table, unbound_usernames
from ..protocol.skew import is_clock_off
from ..store.reading import Store
from . import keys
from .evaluation import read_profiles
from .policy_bundle import PolicyBundle
from .propose import AllowAll, ChangeFilter, EvaluateList, Proposal, propose
from .workspace import Workspace


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan, and how many profiles were read for it. `skew`: so many seconds the clock is off, and no grant is ended."""

    plan: Plan
    profiles: int = 0
    skew: float | None = None


def make_plan(
    workspace: Workspace,
    bundle: PolicyBundle,
    evaluate: EvaluateList,
    *,
    profiles: int,
    moment: datetime | None = None,
    valid: timedelta = VALIDITY,
    new_filter: Callable[[], ChangeFilter] = AllowAll,
) -> PlanResult:
    """Return a plan; if profiles can change verdicts, read at most `profiles` of them and plan once more.

    With another `moment` than now nothing is read, bound or entered. `doors`: what changes pass, each time anew.
    """
    store, sources = workspace.store, workspace.sources
    now, is_now = moment or workspace.clock.now(), moment is None
    if is_now:
        bind_tables(workspace, bundle, profiles)
    skew = _excessive_skew(workspace, now) if is_now else None

    def once() -> Proposal:
        return propose(
            store,
            bundle.for_repos(store, sources),
            evaluate,
            now=now,
            policies=bundle.policies,
            protected=bundle.config.guards.protected,
            governs=bundle.governs if skew is None else lambda _: False,
            valid=valid,
            enters=is_now,
            change_filter=new_filter(),
        )

    proposal, read = once(), 0
    if is_now and profiles and proposal.needs:
        read = read_profiles(store, sources, proposal.needs, now, profiles)
    plan = once().plan if read else proposal.plan
    return PlanResult(plan if skew is None else _with_skew(plan, skew), read, skew)


def _with_skew(plan: Plan, skew: float) -> Plan:
    """Write into a plan that it ends no grant, so that it says so wherever it is shown."""
    return make_partial_plan(replace(plan, summary={**plan.summary, CLOCK_SKEW: round(skew)}), plan.changes)


def _excessive_skew(workspace: Workspace, now: datetime) -> float | None:
    """Return how many seconds the Hub's clock is ahead, if that is too much to end a grant by ours; else None."""
    hub = workspace.hub
    if hub.skew is None and (due := next(iter(workspace.store.due(to_ms(now))), None)) is not None:
        with suppress(HfGateError):
            hub.gate(due.repo)  # nothing was asked yet, and any answer tells the time
    return hub.skew if is_clock_off(hub.skew) else None


def bind_tables(workspace: Workspace, bundle: PolicyBundle, budget: int) -> int:
    """Bind usernames of tables to the accounts that bear them now, one call each, so that a later bearer is not meant.

    Also remembers how many rows each table had, so that half a file is told from a short one.
    """
    store, tables = workspace.store, [table for table in bundle.tables.values() if not table.refusal]
    names = [(table, name) for table in tables for name in unbound_usernames([table], store.bindings(table.name))][
        :budget
    ]
    found = {name: workspace.sources.account(name) for name in dict.fromkeys(name for _, name in names)}
    with store.writing() as write:
        for table, name in names:
            ident = found[name]
            if ident is not None:
                write.bind(table.name, name, ident)
        for table in tables:
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
