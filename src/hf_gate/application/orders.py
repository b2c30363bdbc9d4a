"""What policies may do on their own: the words that people gave about it, and what a turn leaves out on their account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from ..domain import events as e
from ..domain.ids import Repo
from ..domain.rows import RunRow
from ..domain.runs import ChangeOrigin, RunState
from ..plan.guards import FirstTurnHold, PolicyStart
from ..plan.model import Change
from ..policy.model import Policy
from ..store.reading import Store
from ..store.writer import Writer
from . import keys

Pair: TypeAlias = tuple[str, str]
"""A version of a policy, by its digest, and a repo."""

End: TypeAlias = tuple[int, int]
"""The end of a grant: the store's number of the request, and when it was to be (ms). Another date makes it another end."""

REST: Final = 3_600_000  # ms before a turn tries decisions again at a repo that refused them all


class Halt(msgspec.Struct, frozen=True):
    """What a run was about that somebody paused or stopped: versions of policies at repos, and grants that were over."""

    pairs: frozenset[Pair]
    ends: frozenset[End]

    def holds(self, change: Change) -> bool:
        """Whether a change is one that waits for whoever gave the word."""
        return _end(change) in self.ends if change.policy_digest is None else _pair(change) in self.pairs


def _pair(change: Change) -> Pair:
    return change.policy_digest or "", str(change.repo_ref)


def _end(change: Change) -> End:
    return change.row, next((one.facts["until"] for one in change.because if "until" in one.facts), 0)


def halts(store: Store) -> dict[str, Halt]:
    """By the name of the run; those that go on, or ended, hold nothing any more."""
    text = store.setting(keys.HALTED)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Halt])


def keep_halt(store: Store, write: Writer, run: RunRow, *, is_meant: bool) -> None:
    """Remembers what a run was about that ends by somebody's word (`is_meant`); else forgets that it was ever halted."""
    known = halts(store)
    found = (
        _halt_of(msgspec.json.decode(row.change, type=Change) for row in store.changes(run.id)) if is_meant else None
    )
    if found is not None:
        _keep(write, {**known, run.id: found})
    elif run.id in known:
        _keep(write, {ident: halt for ident, halt in known.items() if ident != run.id})


def _halt_of(changes: Iterable[Change]) -> Halt | None:
    """None of what no policy planned: a person's own decisions come from nowhere a second time."""
    pairs, ends = set[Pair](), set[End]()
    for change in changes:
        if change.policy_digest is not None:
            pairs.add(_pair(change))
        elif change.rule == ChangeOrigin.UNTIL:
            ends.add(_end(change))
    return Halt(frozenset(pairs), frozenset(ends)) if pairs or ends else None


def lift(store: Store, write: Writer, digest: str) -> None:
    """That version of a policy may go on wherever a run of it was halted."""
    known = halts(store)
    rest = {
        ident: Halt(frozenset(pair for pair in halt.pairs if pair[0] != digest), halt.ends)
        for ident, halt in known.items()
    }
    if rest != known:
        _keep(write, {ident: halt for ident, halt in rest.items() if halt.pairs or halt.ends})


def is_promoted(store: Store, policy: Policy) -> bool:
    """Whether a version of a policy acts on its own, and nobody said otherwise since."""
    return store.setting(keys.promoted(policy.name)) == policy.digest and not is_halted(store, policy.digest)


def promote(store: Store, policy: Policy, actor: str, at: int) -> None:
    """Lets a version of a policy act on its own, and enters whose word that was."""
    event = e.PolicyPromoted(policy=policy.name, digest=policy.digest)
    with store.writing() as write:
        write.append(None, [e.Entry(event=event, at=at, actor=actor)])
        write.setting(keys.promoted(policy.name), policy.digest)
        lift(store, write, policy.digest)


def hold(store: Store, held: Mapping[PolicyStart, int]) -> None:
    """Keeps what a turn held back, so that whoever asks how things stand is told."""
    told: dict[str, tuple[str, int]] = {}
    for (policy, digest, _), count in held.items():
        told[policy] = (digest, told.get(policy, (digest, 0))[1] + count)
    text = msgspec.json.encode(told).decode() if told else None
    if text != store.setting(keys.HELD):
        with store.writing() as write:
            write.setting(keys.HELD, text)


def held_back(store: Store) -> dict[str, int]:
    """How many changes of each policy wait since the last turn for somebody to let it act."""
    text = store.setting(keys.HELD)
    told = {} if text is None else msgspec.json.decode(text, type=dict[str, tuple[str, int]])
    return {policy: count for policy, (digest, count) in told.items() if store.setting(keys.promoted(policy)) != digest}


def _keep(write: Writer, known: Mapping[str, Halt]) -> None:
    write.setting(keys.HALTED, msgspec.json.encode(known).decode() if known else None)


def is_halted(store: Store, digest: str) -> bool:
    """Whether a version of a policy waits anywhere for somebody's word."""
    return any(digest == pair[0] for halt in halts(store).values() for pair in halt.pairs)


# ---- in a turn ---------------------------------------------------------------------------------------------------------


class Refusal(msgspec.Struct, frozen=True):
    """That the Hub takes no decisions at a repo: `at` when it was said (ms), `why` in its words."""

    at: int
    why: str


def refuse(store: Store, repos: Collection[Repo], why: str, at: int) -> None:
    """Remembers where decisions were refused, so that not every turn begins them anew."""
    with store.writing() as write:
        for repo in repos:
            write.setting(keys.refused(repo), msgspec.json.encode(Refusal(at, why)).decode())


def refused(store: Store, repos: Collection[Repo], now: int) -> dict[Repo, Refusal]:
    """Where they were refused less than `REST` ago."""
    found = {repo: text for repo in repos if (text := store.setting(keys.refused(repo))) is not None}
    told = {repo: msgspec.json.decode(text, type=Refusal) for repo, text in found.items()}
    return {repo: refusal for repo, refusal in told.items() if 0 <= now - refusal.at < REST}


@dataclass(slots=True)
class Waiting:
    """What waits on account of a run that was halted."""

    run: RunRow
    count: int = 0
    policies: set[str] = field(default_factory=set)


class TurnFilter:
    """The `Doors` of a turn that nobody looks at: nothing that somebody halted, and no first cycle that is large.

    Nothing either at repos that are `away`: what could not be read could not be decided, and would be begun each turn.
    """

    def __init__(self, store: Store, away: Collection[Repo] = ()) -> None:
        self._store, self._away = store, frozenset(map(str, away))
        self.kept_back: Counter[str] = Counter()  # by repo that is away
        self.passed_over: set[Pair] = set()  # versions whose changes at a repo were not even counted as a first cycle
        self._halts = [
            (run, halt)
            for ident, halt in halts(store).items()
            if (run := store.run(ident)) is not None and run.state in (RunState.PAUSED, RunState.STOPPED)
        ]
        self._known: dict[PolicyStart, bool] = {}
        self._first = FirstTurnHold(self._may_act)
        self.waiting: dict[str, Waiting] = {}

    @property
    def held(self) -> Mapping[PolicyStart, int]:
        """How many changes each version that may not act yet would begin with, by where."""
        return self._first.held

    def allows(self, change: Change) -> bool:
        """Whether it may be done in this turn."""
        away = str(change.repo_ref) if self._away and str(change.repo_ref) in self._away else None
        run = next((run for run, halt in self._halts if halt.holds(change)), None)
        if away is None and run is None:
            return self._first.allows(change)
        self.passed_over.add(_pair(change))
        if run is None:
            self.kept_back[str(away)] += 1
            return False
        waiting = self.waiting.setdefault(run.id, Waiting(run))
        waiting.count += 1
        if change.policy is not None:
            waiting.policies.add(change.policy)
        return False

    def small_starts(self) -> Iterator[Change]:
        """First cycles that are small."""
        return self._first.small_starts()

    def _may_act(self, start: PolicyStart) -> bool:
        if start not in self._known:
            self._known[start] = may_act(self._store, start)
        return self._known[start]


def may_act(store: Store, start: PolicyStart) -> bool:
    """Whether a version was promoted, or its first cycle at this repo was small."""
    policy, digest, repo = start
    return store.setting(keys.promoted(policy)) == digest or store.setting(keys.acted(digest, repo)) is not None
