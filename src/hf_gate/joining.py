"""A workspace joined: policies, tables, lists, store and Hub in one hand, and as many processes judging as the work is worth."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from . import bootstrap
from .application import keys
from .application.judging import Court, compiled, court_of, with_texts
from .application.planning import Desk
from .application.propose import Heard, Room, hear, policies_digest
from .config import Settings
from .domain.forms import form_of_json
from .domain.rows import Part, RepoRow
from .errors import Guarded, HfGateError, UsageError
from .hub.client import Hub
from .policy.evaluate import CompiledPolicy
from .policy.facts import QualityCache
from .policy.literals import Rate
from .policy.model import Policy
from .policy.tables import Table
from .sources.fact_sources import FactSources
from .sources.workspace_folder import WorkspaceFolder, format_problem, read_folder, read_tables
from .store.reading import Store

WORTH: Final = 20_000  # requests in one list: below, another process costs more than it brings
PART: Final = 5_000  # requests that a process judges before it tells what came out
_AHEAD: Final = 2  # parts in flight for each process, so that no memory fills with what is not entered yet
_MOST: Final = 8


@dataclass(slots=True)
class Bench:
    """What judges: everything that was read from the folder of a workspace at one moment."""

    folder: WorkspaceFolder
    policies: tuple[Policy, ...]
    compiled: Mapping[str, CompiledPolicy]
    tables: Mapping[str, Table]
    sources: FactSources
    memo: QualityCache
    store: Store

    def courts(self) -> list[Court]:
        """Of each repo of the workspace that any policy is for, in the order of their names."""
        rows = sorted(
            (row for row in self.store.repos() if self.folder.config.includes(row.repo)), key=lambda row: row.repo
        )
        return [court for court in map(self.court, rows) if court is not None]

    def court(self, row: RepoRow) -> Court | None:
        """Who judges at one repo; None when no policy is for it."""
        zone, memo = self.folder.zone, self.memo
        return court_of(row, self.compiled, self.tables, self.sources, zone=zone, memo=memo)


def read_bench(place: bootstrap.WorkspaceLocation, store: Store, hub: Hub | None, now: datetime) -> Bench:
    """Reads policies and tables; any error in a policy file ends it here."""
    if place.folder is None:
        raise UsageError("there is no workspace here.", hint="Make one: hf-gate init, or name it: --workspace DIR.")
    folder = read_folder(place.folder)
    forms = {str(row.repo): form_of_json(row.form_card) for row in store.repos() if row.form_card}
    policies, problems = folder.check(forms)
    if wrong := [format_problem(each) for each in problems if each.is_error]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UsageError(f"{wrong[0]}{more}", hint="`hf-gate policy check` shows each in its place.")
    policies = tuple(with_texts(policy, folder.config.templates) for policy in policies)
    tables = tables_of(folder, policies, store, now)
    return Bench(folder, policies, compiled(policies, tables), tables, FactSources(hub), QualityCache(), store)


def tables_of(folder: WorkspaceFolder, policies: Iterable[Policy], store: Store, now: datetime) -> dict[str, Table]:
    """Every table of the workspace; one that lost many rows since the store knows it is refused."""
    several = tuple(policies)
    specs = (*folder.config.tables, *(spec for policy in several for spec in policy.tables))
    previous = {spec.name: int(rows) for spec in specs if (rows := store.setting(keys.rows(spec.name)))}
    return read_tables(folder, several, now=now, previous=previous)


def refused_tables(place: bootstrap.WorkspaceLocation, store: Store, now: datetime) -> list[Table]:
    """The tables of a workspace that cannot be used now; none where its files cannot be read at all, which is told elsewhere."""
    if place.folder is None:
        return []
    try:
        folder = read_folder(place.folder)
        policies = [parsed.policy for parsed in folder.files.values() if parsed.policy is not None]
        tables = tables_of(folder, policies, store, now)
    except HfGateError:
        return []
    return [table for _, table in sorted(tables.items()) if table.refusal]


def join_desk(settings: Settings, place: bootstrap.WorkspaceLocation, hub: Hub, store: Store, *, actor: str) -> Desk:
    """A workspace ready for the application."""
    clock = bootstrap.HubClock(hub)
    bench = read_bench(place, store, hub, clock.now())
    guards = bench.folder.config.guards
    budgets: dict[str, Rate] = {verb: getattr(guards, verb) for verb in ("accept", "reset", "reject", "remove")}
    return Desk(
        store=store,
        hub=hub,
        clock=clock,
        sources=bench.sources,
        actor=actor,
        policies=bench.policies,
        courts=bench.courts,
        hearing=Hall(settings, bench).hear,
        governs=bench.folder.config.includes,
        budgets=budgets,
        protected=guards.protected,
        tables=bench.tables,
        zone=bench.folder.zone,
    )


def bare_desk(place: bootstrap.WorkspaceLocation, hub: Hub, store: Store, *, actor: str) -> Desk:
    """A workspace that asks no policies: what people decided is carried and taken back also where those are broken, or none."""
    return Desk(
        store=store,
        hub=hub,
        clock=bootstrap.HubClock(hub),
        sources=FactSources(hub),
        actor=actor,
        policies=(),
        courts=list,
        hearing=lambda court, status, now, room: iter(()),  # noqa: ARG005 - nobody is judged
        budgets={},
        zone=ZoneInfo(place.config.timezone),
    )


# ---- many processes ----------------------------------------------------------------------------------------------------


class Hall:
    """Judges a list here, or, when it is long, in as many processes as there are cores: the same in the same order."""

    def __init__(
        self, settings: Settings, bench: Bench, *, processes: int | None = None, worth: int = WORTH, part: int = PART
    ) -> None:
        """`processes`: as many as there are cores, unless said; a list of fewer than `worth` is judged here, by nobody else."""
        self._bench, self._work = bench, _Work(settings, policies_digest(bench.policies))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._count = min(_MOST, processes or cores or 1)
        self._worth, self._part = worth, part
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """Lets go of the processes; without it they end with this one."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def hear(self, court: Court, status: str, now: datetime, room: Room) -> Iterator[Heard]:
        """Part by part, from the oldest on."""
        bench = self._bench
        row = bench.store.repo(court.repo)
        if self._count < 2 or row is None or row.counts.get(status, 0) < self._worth:
            yield from hear(bench.store, court, bench.sources, status, now, room=room)
            return
        cuts = bench.store.cuts(court.repo, status, self._part)
        parts: Iterable[Part] = zip((None, *cuts), (*cuts, None), strict=True)
        yield from self._in_order(_Ask(str(court.repo), status, now, part, room.last, room.enters) for part in parts)

    def _in_order(self, asks: Iterable[_Ask]) -> Iterator[Heard]:
        if self._pool is None:  # kept for the next list; it ends with this process
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, context, _begin, (self._work,))
        waiting: deque[Future[bytes]] = deque()
        for ask in asks:
            waiting.append(self._pool.submit(_judge_part, ask))
            if len(waiting) > self._count * _AHEAD:
                yield from _unpack(waiting.popleft().result())
        while waiting:
            yield from _unpack(waiting.popleft().result())


@dataclass(frozen=True, slots=True)
class _Work:
    """What another process must know to judge alike; the token in it travels through a pipe of ours."""

    settings: Settings
    digest: str


@dataclass(frozen=True, slots=True)
class _Ask:
    """A part of a list that is to be judged, as if it were that moment."""

    repo: str
    status: str
    now: datetime
    part: Part
    last: int | None  # of those who asked later than this there is no room in the plan
    enters: bool  # whether verdicts that are news become entries


class _Here:
    """What another process judges with; forms are read anew for each moment, since a reading may have changed them."""

    def __init__(self, work: _Work) -> None:
        place = bootstrap.read_location(work.settings)
        self._store = bootstrap.open_store(work.settings, place, read_only=True)
        self._bench = read_bench(place, self._store, None, datetime.now(UTC))  # noqa: TID251 - only dates its tables
        self._is_same = policies_digest(self._bench.policies) == work.digest
        self._courts: dict[str, Court] = {}
        self._now: datetime | None = None

    def judge(self, ask: _Ask) -> list[Heard]:
        if not self._is_same:
            raise Guarded("the policies changed while they were judged; nothing was planned.", hint="Run it again.")
        if self._now != ask.now:
            self._courts, self._now = {str(court.repo): court for court in self._bench.courts()}, ask.now
        court, room = self._courts[ask.repo], Room(last=ask.last, enters=ask.enters)
        return list(hear(self._store, court, self._bench.sources, ask.status, ask.now, ask.part, room))


_here: list[_Here] = []  # of this process, made once when it begins


def _begin(work: _Work) -> None:
    gc.set_threshold(100_000, *gc.get_threshold()[1:])  # nothing that is judged holds on to itself in circles
    _here.append(_Here(work))


def _judge_part(ask: _Ask) -> bytes:
    return _pack(_here[0].judge(ask))


_pack = msgspec.msgpack.Encoder().encode  # to pickle so many values takes a third of the time that judging them does
_unpack = msgspec.msgpack.Decoder(list[Heard]).decode
