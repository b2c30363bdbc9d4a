"""Proves the ledger: every chain unbroken, no checkpoint contradicted, each private part the one that was sealed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec

from ..domain import events as e
from ..domain.ledger import WORKSPACE_CHAIN, ChainBreak, Checkpoint, LedgerLink, verify_chain, verify_checkpoint
from ..domain.lifecycle import STATUSES, WITHDRAWN
from ..domain.members import Member
from ..domain.request_state import RequestState, apply_event
from ..domain.rows import RequestRow
from ..store.member_rows import read_seals
from ..store.promotions import read_promotions
from ..store.store import Store
from .derived_columns import NOT_COMPARED, LastReasons, find_differing_columns

_LOOKS: Final = 3  # so often a row is compared with its events before it is said to differ


class SealedEntry(NamedTuple):
    """One entry with its private part and the salt that seals it; both None once they were erased, or not exported."""

    link: LedgerLink
    salt: bytes | None = None
    private: bytes | None = None


@dataclass(slots=True)
class LedgerReport:
    """What a proof found. `broken` in the order in which it was met; `private` counts the seals that were checked."""

    entries: int = 0
    private: int = 0
    chains: dict[str, int] = field(default_factory=dict)
    broken: list[ChainBreak] = field(default_factory=list)
    not_proved: tuple[str, ...] = ()  # what a comparison with the ledger (`fold`) leaves out

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.broken


class LedgerVerifier:
    """Walks chains one after the other and holds them against checkpoints."""

    def __init__(self, checkpoints: Sequence[Checkpoint] = (), reasons: LastReasons | None = None) -> None:
        self.result = LedgerReport()
        self._reasons = reasons
        self.checkpoints = checkpoints
        self._wanted: dict[str, set[int]] = {}
        for checkpoint in checkpoints:
            for chain, (length, _) in checkpoint.heads.items():
                self._wanted.setdefault(chain, set()).add(length)
        self._found: dict[tuple[str, int], bytes] = {}

    def add_chain(self, chain: str, entries: Iterable[SealedEntry], head: tuple[int, bytes] | None = None) -> None:
        """One chain from its beginning; `head` is how long it should be, and its last hash."""
        last: LedgerLink | None = None
        for found in verify_chain(self._looked_at(chain, entries)):
            if isinstance(found, ChainBreak):
                self.result.broken.append(found)
            else:
                last = found
        length = 0 if last is None else last.seq
        self.result.chains[chain] = length
        if head is not None and head != (length, b"" if last is None else last.hash):
            what = f"its head is entry {head[0]}, and the last one that is there is entry {length}"
            self.result.broken.append(ChainBreak(chain, length + 1, what))

    def finish(self) -> LedgerReport:
        """What was found, once all chains were walked."""
        for checkpoint in self.checkpoints:
            heads = {
                chain: [self._found[chain, length]]
                for chain, (length, _) in checkpoint.heads.items()
                if (chain, length) in self._found
            }
            self.result.broken += verify_checkpoint(checkpoint, heads, self.result.chains)
        return self.result

    def _looked_at(self, chain: str, entries: Iterable[SealedEntry]) -> Iterator[LedgerLink]:
        """Each link on its way to the proof of the chain; what a chain does not cover is looked at here."""
        wanted = self._wanted.get(chain, frozenset[int]())
        for entry in entries:
            link = entry.link
            self.result.entries += 1
            # Names of kinds are in no other place of a body: quotes within its texts are written as \".
            if f'"type":"{link.kind}"'.encode() not in link.body:
                self._say(link, f"its body is none of a {link.kind}")
            if entry.private is not None:  # else it was erased, or kept back: the rest can still be proved
                self._check_seal(link, entry.private, entry.salt)
            elif entry.salt is not None and link.commitment is not None:  # erasing takes both
                self._say(link, "its private part is gone, and its person was not erased")
            if self._reasons is not None:
                self._reasons.add(link.request, link.kind, link.body, entry.private)
            if link.seq in wanted:
                self._found[chain, link.seq] = link.hash
            yield link

    def _check_seal(self, link: LedgerLink, private: bytes, salt: bytes | None) -> None:
        self.result.private += 1
        if salt is None or e.commitment_of(salt, private) != link.commitment:
            self._say(link, "its private part is not the one that was sealed")

    def _say(self, link: LedgerLink, what: str) -> None:
        self.result.broken.append(ChainBreak(link.chain, link.seq, what))


def verify_ledger(store: Store, checkpoints: Sequence[Checkpoint] = (), *, with_tables: bool = False) -> LedgerReport:
    """Every chain of the store, its seals, and the checkpoints that it keeps besides those that are handed in.

    With `fold` also what lies beside the ledger and follows from it: where each request stands, its mail domain and last
    reason, the runs that entries are found by, promoted policies, members, and the triggers that guard the ledger.
    `not_proved` names the rest. That takes memory for every request.
    """
    reasons = LastReasons() if with_tables else None
    proof = LedgerVerifier([*store.checkpoints(), *checkpoints], reasons)
    heads = sorted(store.chains().items())
    for chain, head in heads:
        entries = map(SealedEntry._make, store.links_with_private_parts(chain))
        proof.add_chain(chain, takewhile(partial(_is_within, head[0]), entries), head)
    proof.result.broken += _beyond(store, heads)
    result = proof.finish()
    if reasons is not None:
        result.broken += _compare_with_events(store, sorted(result.chains), reasons)
        result.not_proved = NOT_COMPARED
    return result


def _is_within(length: int, entry: SealedEntry) -> bool:
    """Whether it was there when the head was read: somebody may be writing meanwhile."""
    return entry.link.seq <= length


def _beyond(store: Store, heads: Iterable[tuple[str, tuple[int, bytes]]]) -> Iterator[ChainBreak]:
    """Entries behind what a head says, unless the head has moved with them since."""
    last = {chain: max((link.seq for link in store.links(chain, head[0] + 1)), default=0) for chain, head in heads}
    now = store.chains()
    for chain, seq in last.items():
        length = now.get(chain, (0, b""))[0]
        if seq > length:
            yield ChainBreak(
                chain, length + 1, f"its head is entry {length}, and the last one that is there is entry {seq}"
            )


def _compare_with_events(store: Store, chains: Sequence[str], reasons: LastReasons) -> Iterator[ChainBreak]:
    """Where something beside the ledger says something else than its events do."""
    acting = read_promotions(store)  # first: what is promoted meanwhile is entered as well
    told, promoted = set[int](), set[tuple[str, str]]()
    for chain in sorted({*chains, WORKSPACE_CHAIN}):  # a row needs no entry to be there
        fold = _Fold(store, chain)
        yield from _differing(fold, told)
        yield from find_differing_columns(store, chain, sorted(fold.states), reasons)
        yield from fold.broken
        promoted |= fold.promoted
        if chain == WORKSPACE_CHAIN:
            yield from _differing_members(store, fold)
    yield from _untold(store, told)
    yield from (ChainBreak(WORKSPACE_CHAIN, 0, fault) for fault in store.find_trigger_faults())
    for policy, digest in sorted(acting.items()):
        if (policy, digest) not in promoted:
            yield ChainBreak(
                WORKSPACE_CHAIN, 0, f"policy {policy} may act as {digest[:8]}, and no entry tells who promoted that"
            )


def _differing_members(store: Store, fold: _Fold) -> list[ChainBreak]:
    """Where the table of members says something else than the events do."""
    found: list[ChainBreak] = []
    for _ in range(_LOOKS):  # somebody may have been invited since the events were read
        rows, seals = store.members(), read_seals(store.reads)
        fold.go_on()
        found = list(_other_members(rows, seals, fold.members))
        if not found:
            break
    return found


def _other_members(rows: Sequence[Member], seals: Mapping[str, str], told: Mapping[str, _Told]) -> Iterator[ChainBreak]:
    """Members whose row differs from their events."""
    for row in rows:
        entered = told.get(row.id)
        if entered is None:
            yield ChainBreak(
                WORKSPACE_CHAIN, 0, f"member {row.name} ({row.id}) is there, and no entry tells who invited them"
            )
            continue
        is_in = row.has_link
        if (row.role, row.repos, is_in) != (entered.role, entered.repos, entered.is_in):
            yield ChainBreak(
                WORKSPACE_CHAIN,
                0,
                f"member {row.name} ({row.id}) has another role, other repos or another link than entered",
            )
        elif is_in and row.proven_account != entered.account:
            yield ChainBreak(
                WORKSPACE_CHAIN, 0, f"member {row.name} ({row.id}) has a proven account that no entry tells of"
            )
        elif is_in and seals.get(row.id) != entered.seal:
            yield ChainBreak(
                WORKSPACE_CHAIN, 0, f"member {row.name} ({row.id}) has another name, Hub account or link than entered"
            )
    for ident in {ident for ident, one in told.items() if one.is_in} - {row.id for row in rows}:
        yield ChainBreak(WORKSPACE_CHAIN, 0, f"member {ident} was invited, and is not there")


@dataclass(frozen=True, slots=True)
class _Told:
    """A member as the events leave them. `account`: the proven one. `seal`: digest of name, account and link."""

    role: str
    repos: tuple[str, ...] | None
    is_in: bool = True
    account: str | None = None
    seal: str | None = None


def _member_after(known: _Told | None, event: e.AnyEvent) -> _Told | None:
    match event:
        case e.MemberInvited():
            return _Told(event.role, event.repos, seal=event.seal)
        case e.MemberRevoked() if known is not None:
            return replace(known, is_in=False, account=None)
        case e.AccountProven() if known is not None:
            return replace(known, account=event.account, seal=event.seal)
        case _:
            return known


def _untold(store: Store, told: set[int]) -> Iterator[ChainBreak]:
    """Rows of requests that the ledger has never heard of."""
    for row in store.repos():
        chain = f"{row.repo.type.value}s/{row.repo.id}"
        for status in (*STATUSES, WITHDRAWN):
            for request in store.iterate_requests(row.repo, status, with_record=False):
                if request.id not in told and not store.entries(request=request.id, limit=1):
                    yield ChainBreak(chain, 0, f"request {request.id} is there, and no entry tells of it")


class _Fold:
    """Where the events of one chain leave its requests; goes on from what was folded before."""

    def __init__(self, store: Store, chain: str) -> None:
        self.states: dict[int, RequestState] = {}
        self.promoted: set[tuple[str, str]] = set()  # policies, and digests of their versions
        self.members: dict[str, _Told] = {}
        self.broken: list[ChainBreak] = []
        self.chain = chain
        self._store, self._next = store, 1

    def go_on(self) -> None:
        """Takes in what was written since."""
        for link, run in self._store.links_with_runs(self.chain, self._next):
            self._next = link.seq + 1
            try:
                event = e.decode_event(link.body)
            except msgspec.DecodeError:  # what it was is not to be had any more; its hash says so
                continue
            if run != getattr(event, "run", None):
                self.broken.append(
                    ChainBreak(self.chain, link.seq, f"it is found by run {run}, which its body does not name")
                )
            if isinstance(event, e.PolicyPromoted):
                self.promoted.add((event.policy, event.digest))
            if isinstance(event, e.MemberInvited | e.MemberRevoked | e.AccountProven):
                told = _member_after(self.members.get(event.member), event)
                if told is not None:
                    self.members[event.member] = told
            if (
                link.request is not None
                and (state := apply_event(self.states.get(link.request), event, link.at)) is not None
            ):
                self.states[link.request] = state

    def differing(self, numbers: Sequence[int]) -> Iterator[tuple[int, RequestRow | None]]:
        """Those whose row says something else."""
        for start in range(0, len(numbers), 1000):
            some = numbers[start : start + 1000]
            rows = self._store.requests(some)
            for number in some:
                row = rows.get(number)
                if row is None or row.state != self.states[number]:
                    yield number, row


def _differing(fold: _Fold, told: set[int]) -> Iterator[ChainBreak]:
    """Where the table of requests says something else than the events do; `told` hears of whom there are any."""
    fold.go_on()
    doubted = sorted(fold.states)
    told.update(doubted)
    differing: dict[int, RequestRow | None] = {}
    for _ in range(_LOOKS):  # a row may have moved since its events were read
        differing = dict(fold.differing(doubted))
        doubted = list(differing)
        if not doubted:
            return
        fold.go_on()
    for number, row in differing.items():
        state = fold.states[number]
        where = "is not there" if row is None else f"says {row.state.status}, version {row.state.version}"
        yield ChainBreak(
            fold.chain, 0, f"request {number} {where}; its events say {state.status}, version {state.version}"
        )
