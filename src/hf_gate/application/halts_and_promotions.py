"""What may be executed: plans made here, promoted policy versions, and what a halt or a refusal keeps back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from ..domain import events as e
from ..domain.ids import Repo
from ..domain.rows import RepoRow, RunRow
from ..domain.runs import ChangeOrigin, RunState
from ..domain.timestamps import to_ms
from ..errors import Guarded
from ..plan.guards import FirstTurnHold, PolicyStart
from ..plan.model import Change, Plan
from ..policy.model import Policy
from ..store.promotions import (
    GrantEnd,
    Halt,
    VersionAtRepo,
    delete_halts_of,
    read_first_turns,
    read_halts,
    read_held_changes,
    read_promotions,
    write_halt,
    write_held_changes,
    write_promotion,
)
from ..store.store import Store
from ..store.writer import Writer

REFUSAL_PAUSE: Final = 3_600_000  # ms before a turn tries decisions again at a repo that refused them all


def is_halted_change(halt: Halt, change: Change) -> bool:
    """Return whether a change is one that waits for the person who halted a run."""
    return _end(change) in halt.ends if change.policy_digest is None else _version(change) in halt.versions


def _version(change: Change) -> VersionAtRepo:
    return change.policy_digest or "", change.repo_ref


def _end(change: Change) -> GrantEnd:
    return change.row, next((one.facts["until"] for one in change.because if "until" in one.facts), 0)


def store_halt(store: Store, write: Writer, run: RunRow, *, is_requested: bool) -> None:
    """Remembers what a run was about that ends by somebody's word (`is_meant`); else forgets that it was ever halted."""
    changes = (msgspec.json.decode(row.change, type=Change) for row in store.changes(run.id)) if is_requested else ()
    write_halt(write, run.id, _halt_of(changes))


def _halt_of(changes: Iterable[Change]) -> Halt | None:
    """None of what no policy planned: a person's own decisions come from nowhere a second time."""
    versions, ends = set[VersionAtRepo](), set[GrantEnd]()
    for change in changes:
        if change.policy_digest is not None:
            versions.add(_version(change))
        elif change.rule == ChangeOrigin.UNTIL:
            ends.add(_end(change))
    return Halt(frozenset(versions), frozenset(ends)) if versions or ends else None


def is_promoted(store: Store, policy: Policy) -> bool:
    """Whether a version of a policy acts on its own, and nobody said otherwise since."""
    return read_promotions(store).get(policy.name) == policy.digest and not is_halted(store, policy.digest)


def promote(store: Store, policy: Policy, actor: str, at: int) -> None:
    """Lets a version of a policy act on its own, also where a run of it was halted, and enters whose word that was."""
    event = e.PolicyPromoted(policy=policy.name, digest=policy.digest)
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=event, at=at, actor=actor)])
        write_promotion(write, policy.name, policy.digest)
        delete_halts_of(write, policy.digest)


def store_held_counts(store: Store, held: Mapping[PolicyStart, int]) -> None:
    """Keeps what a turn held back, so that whoever asks how things stand is told."""
    counts: dict[str, tuple[str, int]] = {}
    for (policy, digest, _), count in held.items():
        counts[policy] = (digest, counts.get(policy, (digest, 0))[1] + count)
    if counts != read_held_changes(store):
        with store.writing() as write:
            write_held_changes(write, counts)


def read_held_counts(store: Store) -> dict[str, int]:
    """How many changes of each policy wait since the last turn for somebody to let it act."""
    promoted = read_promotions(store)
    return {
        policy: count for policy, (digest, count) in read_held_changes(store).items() if promoted.get(policy) != digest
    }


def is_halted(store: Store, digest: str) -> bool:
    """Whether a version of a policy waits anywhere for somebody's word."""
    return any(digest == version for halt in read_halts(store).values() for version, _ in halt.versions)


# ---- in a turn ---------------------------------------------------------------------------------------------------------


class Refusal(msgspec.Struct, frozen=True):
    """That the Hub takes no decisions at a repo: `at` when it was said (ms), `why` in its words."""

    at: int
    why: str


def store_refusals(store: Store, repos: Collection[Repo], why: str, at: int) -> None:
    """Remembers where decisions were refused, so that not every turn begins them anew."""
    with store.writing() as write:
        for repo in repos:
            write.update_repo(repo, {"refused_at": at, "refused_why": why})


def recent_refusals(rows: Iterable[RepoRow], now: int) -> dict[Repo, Refusal]:
    """Where they were refused less than `REST` ago."""
    return {
        row.repo: Refusal(row.refused_at, row.refused_why or "")
        for row in rows
        if row.refused_at is not None and 0 <= now - row.refused_at < REFUSAL_PAUSE
    }


@dataclass(slots=True)
class HaltedChanges:
    """What waits on account of a run that was halted."""

    run: RunRow
    count: int = 0
    policies: set[str] = field(default_factory=set)


class TurnFilter:
    """The `Doors` of a turn that nobody looks at: nothing that somebody halted, and no first cycle that is large.

    Nothing either at repos that are `away`: what could not be read could not be decided, and would be begun each turn.
    """

    def __init__(self, store: Store, unreadable: Collection[Repo] = ()) -> None:
        self._away = frozenset(map(str, unreadable))
        self.unreadable_counts: Counter[str] = Counter()  # by repo that is away
        self.skipped_versions: set[tuple[str, str]] = (
            set()
        )  # versions whose changes at a repo were not even counted as a first cycle
        self._halts = [
            (run, halt)
            for ident, halt in read_halts(store).items()
            if (run := store.run(ident)) is not None and run.state in (RunState.PAUSED, RunState.STOPPED)
        ]
        self._promoted = read_promotions(store)
        self._begun = {(digest, str(repo)) for digest, repo in read_first_turns(store)}
        self._first = FirstTurnHold(self._may_act)
        self.halted: dict[str, HaltedChanges] = {}

    @property
    def held_counts(self) -> Mapping[PolicyStart, int]:
        """How many changes each version that may not act yet would begin with, by where."""
        return self._first.held

    def allows(self, change: Change) -> bool:
        """Whether it may be done in this turn."""
        away = str(change.repo_ref) if self._away and str(change.repo_ref) in self._away else None
        run = next((run for run, halt in self._halts if is_halted_change(halt, change)), None)
        if away is None and run is None:
            return self._first.allows(change)
        self.skipped_versions.add((change.policy_digest or "", str(change.repo_ref)))
        if run is None:
            self.unreadable_counts[str(away)] += 1
            return False
        waiting = self.halted.setdefault(run.id, HaltedChanges(run))
        waiting.count += 1
        if change.policy is not None:
            waiting.policies.add(change.policy)
        return False

    def small_starts(self) -> Iterator[Change]:
        """First cycles that are small."""
        return self._first.small_starts()

    def _may_act(self, start: PolicyStart) -> bool:
        """Whether a version was promoted, or its first turn at this repo is over."""
        policy, digest, repo = start
        return self._promoted.get(policy) == digest or (digest, repo) in self._begun


def register_plan(store: Store, plan: Plan, now: datetime) -> Plan:
    """The same plan, known to the store as long as it may be applied."""
    if plan.changes:
        with store.writing() as write:
            write.register_plan(plan.digest, to_ms(plan.expires_at), to_ms(now))
    return plan


def check_registered(store: Store, plan: Plan) -> None:
    """Refuses a plan that this workspace did not make; one that lies whole in the store was made by it, or begun."""
    if not store.is_plan_made(plan.digest) and store.plan(plan.digest) is None:
        raise Guarded(
            "this plan was not made at this workspace, or its time is long over; nothing was sent.",
            hint="Make it here: hf-gate plan --out plan.json",
        )
