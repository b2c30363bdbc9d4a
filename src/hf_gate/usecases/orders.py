"""The words that people gave about policies acting on their own: whose run was paused or stopped, and waits since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from ..plan.model import Change
from .ports import RunRow, StorePort, WritePort
from .runs import PAUSED, STOPPED, UNTIL

Pair: TypeAlias = tuple[str, str]
"""A version of a policy, by its digest, and a repo."""

_HALTED: Final = "halted"


class Halt(msgspec.Struct, frozen=True):
    """What a run was about that somebody paused or stopped: versions of policies at repos, and grants that were over."""

    pairs: tuple[Pair, ...]
    ends: tuple[int, ...]  # the store's numbers of the requests

    def holds(self, change: Change) -> bool:
        """Whether a change is one that waits for whoever gave the word."""
        return change.row in self.ends if change.policy_digest is None else _pair(change) in self.pairs


def _pair(change: Change) -> Pair:
    return change.policy_digest or "", str(change.where)


def halts(store: StorePort) -> dict[str, Halt]:
    """By the name of the run; those that go on, or ended, hold nothing any more."""
    text = store.setting(_HALTED)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, Halt])


def keep_halt(store: StorePort, write: WritePort, run: RunRow, *, is_meant: bool) -> None:
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
    pairs, ends = set(), set()
    for change in changes:
        if change.policy_digest is not None:
            pairs.add(_pair(change))
        elif change.rule == UNTIL:
            ends.add(change.row)
    return Halt(tuple(sorted(pairs)), tuple(sorted(ends))) if pairs or ends else None


def lift(store: StorePort, write: WritePort, digest: str) -> None:
    """That version of a policy may go on wherever a run of it was halted."""
    known = halts(store)
    rest = {
        ident: Halt(tuple(pair for pair in halt.pairs if pair[0] != digest), halt.ends) for ident, halt in known.items()
    }
    if rest != known:
        _keep(write, {ident: halt for ident, halt in rest.items() if halt.pairs or halt.ends})


def _keep(write: WritePort, known: Mapping[str, Halt]) -> None:
    write.setting(_HALTED, msgspec.json.encode(known).decode() if known else None)


def is_halted(store: StorePort, digest: str) -> bool:
    """Whether a version of a policy waits anywhere for somebody's word."""
    return any(digest == pair[0] for halt in halts(store).values() for pair in halt.pairs)


def sorted_out(store: StorePort, changes: Sequence[Change]) -> tuple[list[Change], list[tuple[RunRow, list[Change]]]]:
    """(go, waiting): what a paused or stopped run was about waits, beside the run on whose account it does."""
    go, waiting = list(changes), []
    for ident, halt in halts(store).items():
        run = store.run(ident)
        held = [change for change in go if halt.holds(change)]
        if held and run is not None and run.state in (PAUSED, STOPPED):
            waiting.append((run, held))
            go = [change for change in go if not halt.holds(change)]
    return go, waiting
