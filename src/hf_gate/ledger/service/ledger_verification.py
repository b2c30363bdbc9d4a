"""Verifies the ledger: chains, checkpoints, seals of private parts, and the tables derived from the events."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, takewhile
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from hf_gate.approvals.rows.approvals import list_approvals
from hf_gate.base.batches import split_into_batches
from hf_gate.base.display_text import pluralize
from hf_gate.core.events import events as e
from hf_gate.core.events.ledger import (
    WORKSPACE_CHAIN,
    ChainBreak,
    Checkpoint,
    LedgerLink,
    SealedEntry,
    chain_of,
    verify_chain,
    verify_checkpoint,
)
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.lifecycle import STATUSES, WITHDRAWN
from hf_gate.core.people.approvals import PolicyAuthor
from hf_gate.core.people.members import Member
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.rows import read_promotions
from hf_gate.grants.rows import find_terms_faults
from hf_gate.members.rows.api_keys import list_api_keys
from hf_gate.store.database.schema_check import find_trigger_faults
from hf_gate.store.rows.ledger import iterate_chain_with_runs
from hf_gate.store.rows.member_rows import read_seals
from hf_gate.store.store import Store
from hf_gate.store.writing.gate_texts import find_text_faults
from hf_gate.verdicts.rows.policy_authors import read_policy_authors
from hf_gate.verdicts.rows.table_rows import list_row_commitments

_COMPARISONS: Final = 3  # how often a row is compared with its events before it counts as different
_NOT_COMPARED: Final = (
    "the country of a request, which is derived from an answer by lists that differ between versions",
    "quality of the purpose, kind of e-mail address and fingerprint of the text, which depend on the version's rules",
    "names, e-mail addresses and their domains, and last reasons, as last read",
    "counts, histories and search texts",
    "the account id of a person whose stored records name none",
    "how a member was admitted",
    "letters that were sent, and those that were not",
    "plans, runs and their changes, including what one person sent within a day and who approved a plan",
    "settings, first turns and halts of policies, and unsent decisions",
)
"""Data outside the ledger that is not compared with the ledger."""

_RecordedMember: TypeAlias = tuple[str, tuple[str, ...] | None, str | None]
"""Role, repos and seal (the digest of name and account) of a member; a removed one has no seal."""


class LedgerReport(Struct):
    """The result of a verification.

    `broken` lists breaks in the order of discovery; `private` counts the checked seals.
    """

    entries: int = 0
    private: int = 0
    chains: dict[str, int] = field(default_factory=dict)
    broken: list[ChainBreak] = field(default_factory=list)
    not_proved: tuple[str, ...] = ()  # data that the comparison of the tables does not cover

    @property
    def ok(self) -> bool:
        """Whether no break was found."""
        return not self.broken


class ChainGaps:
    """The entries of a chain whose private part is missing, and those whose deletion a later entry records."""

    def __init__(self) -> None:
        self._missing: list[int] = []  # the numbers of entries, ascending unless the chain is broken
        self._present: list[int] = []
        self._named: list[tuple[int, int]] = []
        self._broken: list[tuple[int, str]] = []
        self._firsts = list[int]()
        self._lasts = list[int]()

    def add(self, link: LedgerLink, *, has_private: bool) -> None:
        """Add the next entry of the chain."""
        if link.commitment is not None:
            (self._present if has_private else self._missing).append(link.seq)
        if link.kind == e.kind_of(e.PrivatePartsDeleted):
            self._add_ranges(link)

    def _add_ranges(self, link: LedgerLink) -> None:
        try:
            event = e.decode_event(link.body)
        except msgspec.DecodeError:  # the body is unreadable; the check of hashes reports this
            return
        if isinstance(event, e.PrivatePartsDeleted):
            self._named += event.entries
            if any(last >= link.seq or first > last for first, last in event.entries):
                self._broken.append((link.seq, "it names entries that are not before it"))

    def find_breaks(self, chain: str, later: Callable[[], Iterable[LedgerLink]]) -> list[ChainBreak]:
        """Return the gaps that no entry names. Entries after the head are read only if there are any."""
        broken = [ChainBreak(chain, seq, what) for seq, what in self._broken]
        if self._find_unnamed():
            for link in later():
                if link.kind == e.kind_of(e.PrivatePartsDeleted):
                    self._add_ranges(link)
        what = "its private part is missing, but no entry records the deletion"
        broken += [ChainBreak(chain, seq, what) for seq in self._find_unnamed()]
        what = "its private part exists, but an entry records the deletion"
        present = self._present if self._named else ()  # usually nothing was deleted
        return broken + [ChainBreak(chain, seq, what) for seq in present if self._is_named(seq)]

    def _find_unnamed(self) -> list[int]:
        self._named.sort()
        self._firsts = [first for first, _ in self._named]
        self._lasts = list(accumulate((last for _, last in self._named), max))
        return [seq for seq in self._missing if not self._is_named(seq)]

    def _is_named(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and self._lasts[at] >= seq


class LedgerVerifier:
    """Verifies chains one after the other and compares them with checkpoints."""

    def __init__(self, checkpoints: Sequence[Checkpoint] = (), *, has_private: bool = True) -> None:
        self.result = LedgerReport()
        self._has_private = has_private  # an export without personal data has no private part at all
        self.checkpoints = checkpoints
        self._wanted: dict[str, set[int]] = {}
        for checkpoint in checkpoints:
            for chain, (length, _) in checkpoint.heads.items():
                self._wanted.setdefault(chain, set()).add(length)
        self._found: dict[tuple[str, int], bytes] = {}

    def add_chain(
        self,
        chain: str,
        entries: Iterable[SealedEntry],
        head: tuple[int, bytes] | None = None,
        later: Callable[[], Iterable[LedgerLink]] = tuple,
        known: int = 0,
    ) -> None:
        """Verify one chain from its first entry, or from number `known`, up to which it was verified before.

        `head` is its expected length and last hash. `later` reads the entries after these, because they may name gaps
        that appeared meanwhile.
        """
        last: LedgerLink | None = None
        gaps = ChainGaps()
        checked = self._check_entries(chain, entries, gaps)
        for found in verify_chain(checked, known=known):
            if isinstance(found, ChainBreak):
                self.result.broken.append(found)
            else:
                last = found
        end = (0, b"") if last is None else (last.seq, last.hash)
        if known and last is None and head is not None:  # it was cut off, which the comparison of checkpoints reports
            end = head
        self.result.chains[chain] = end[0]
        if self._has_private:
            self.result.broken += gaps.find_breaks(chain, later)
        if head is not None and head != end:
            what = f"its head is entry {head[0]}, but its last entry is {end[0]}"
            self.result.broken.append(ChainBreak(chain, end[0] + 1, what))

    def finish(self) -> LedgerReport:
        """After all chains have been added, compare the checkpoints and return the report."""
        for checkpoint in self.checkpoints:
            self.result.broken += verify_checkpoint(checkpoint, self.find_heads(checkpoint), self.result.chains)
        return self.result

    def find_heads(self, checkpoint: Checkpoint) -> dict[str, list[bytes]]:
        """Return the hashes of the verified entries that a checkpoint names, by chain."""
        ends = ((chain, length) for chain, (length, _) in checkpoint.heads.items())
        return {end[0]: [self._found[end]] for end in ends if end in self._found}

    def _check_entries(self, chain: str, entries: Iterable[SealedEntry], gaps: ChainGaps) -> Iterator[LedgerLink]:
        """Yield the links of a chain, and check what the hashes do not cover: kind and seal."""
        wanted = self._wanted.get(chain, frozenset[int]())
        marks = dict[str, bytes]()
        for entry in entries:
            link = entry.link
            self.result.entries += 1
            mark = marks.get(link.kind)
            if mark is None:
                # This text occurs nowhere else in a body, because quotes inside texts are escaped.
                mark = marks[link.kind] = f'"type":"{link.kind}"'.encode()
            if mark not in link.body:
                self._add_break(link, f"its body does not belong to the kind {link.kind}")
            if entry.private is not None:  # otherwise the private part was erased or not exported
                self._check_seal(link, entry.private, entry.salt)
            gaps.add(link, has_private=entry.private is not None)
            if link.seq in wanted:
                self._found[chain, link.seq] = link.hash
            yield link

    def _check_seal(self, link: LedgerLink, private: bytes, salt: bytes | None) -> None:
        self.result.private += 1
        if salt is None or e.commitment_of(salt, private) != link.commitment:
            self._add_break(link, "its private part does not match its seal")

    def _add_break(self, link: LedgerLink, what: str) -> None:
        self.result.broken.append(ChainBreak(link.chain, link.seq, what))


def verify_ledger(
    store: Store, checkpoints: Sequence[Checkpoint] = (), *, since: Checkpoint | None = None, with_tables: bool = False
) -> LedgerReport:
    """Verify every chain of a store, its seals, and the given and stored checkpoints; with `since`, only that
    checkpoint and the entries after it.

    `with_tables` also compares the tables that follow from the ledger: the state of each request, the run of each
    entry, promoted policies, members, and the triggers that protect the ledger. The result lists all
    other data in `not_proved`. The comparison needs memory for every request.
    """
    proof = LedgerVerifier([*store.checkpoints(), *checkpoints] if since is None else [since])
    heads = sorted(store.chains().items())
    for chain, head in heads:
        known, _ = (0, "") if since is None else since.heads.get(chain, (0, ""))
        entries = store.links_with_private_parts(chain, max(known, 1))
        later = partial(store.links, chain, head[0] + 1)
        proof.add_chain(chain, takewhile(partial(_is_within, head[0]), entries), head, later, known)
    proof.result.broken += _find_entries_after_head(store, heads)
    result = proof.finish()
    if with_tables:
        result.broken += _compare_with_events(store, sorted(result.chains))
        result.not_proved = _NOT_COMPARED
    return result


def _is_within(length: int, entry: SealedEntry) -> bool:
    """Tell whether an entry was stored before the head was read. Another process may be writing."""
    return entry.link.seq <= length


def _find_entries_after_head(store: Store, heads: Iterable[tuple[str, tuple[int, bytes]]]) -> Iterator[ChainBreak]:
    """Yield chains with entries after their head, unless the head has moved since."""
    last = {chain: max((link.seq for link in store.links(chain, head[0] + 1)), default=0) for chain, head in heads}
    current = store.chains()
    for chain, seq in last.items():
        length = current.get(chain, (0, b""))[0]
        if seq > length:
            yield ChainBreak(chain, length + 1, f"its head is entry {length}, but its last entry is {seq}")


def _compare_with_events(store: Store, chains: Sequence[str]) -> Iterator[ChainBreak]:
    """Yield the differences between the tables and the events."""
    approvals = set(list_approvals(store))  # read before the events, because a later row also has a later entry
    replay = _Replay(store)
    for chain in (*sorted({*chains} - {WORKSPACE_CHAIN}), WORKSPACE_CHAIN):  # a row may exist without any entry
        replay.begin(chain)
        yield from _compare_requests(replay)
    yield from replay.broken
    yield from _find_unrecorded_requests(store, replay.recorded)
    for fault in (
        *_compare_workspace(store, replay),
        *find_trigger_faults(store),
        *find_text_faults(store),
        *(
            f"request {request} has an approval of account {account} ({need[:8]}) that no entry records"
            for request, account, need in sorted(approvals - replay.approvals)
        ),
        *(f"the terms of grants {terms[:8]} are missing or were changed" for terms in find_terms_faults(store)),
    ):
        yield ChainBreak(WORKSPACE_CHAIN, 0, fault)


def _compare_workspace(store: Store, replay: _Replay) -> list[str]:
    """Return how members, keys, rows of tables and promotions differ from the events of the workspace's chain."""
    faults: list[str] = []
    for _ in range(_COMPARISONS):  # a row may have changed since the events were read
        members = store.members()
        seals = read_seals(store)
        keys = list_api_keys(store)
        rows = list_row_commitments(store)
        promotions = read_promotions(store)
        replay.read_new_events()
        unknown = Counter(table for table, commitment in rows if (table, commitment) not in replay.table_rows)
        authors = replay.authors - {*read_policy_authors(store, {one.digest for one in replay.authors})}
        faults = [
            *_compare_members(members, seals, replay.members),
            *(
                f"key {key.name} has other verbs, repos or another secret than recorded"
                for key in keys
                if (key.digest, key.name, key.verbs, key.repos) not in replay.keys
            ),
            *(
                f"table {table} has {pluralize(count, 'row')} that no entry records"  # erased rows are gone
                for table, count in unknown.items()
            ),
            *(
                f"{author.actor} promoted version {author.digest[:8]} of a policy, but is not stored as its author"
                for author in authors
            ),
            *(
                f"policy {policy} may act as {digest[:8]}, but no entry records its promotion"
                for policy, digest in sorted(promotions.items() - replay.promoted)
            ),
        ]
        if not faults:
            break
    return faults


def _compare_members(
    rows: Sequence[Member], seals: Mapping[str, str], recorded: Mapping[str, _RecordedMember]
) -> Iterator[str]:
    """Yield how the table of members differs from the events."""
    for row in rows:
        member = (row.role, row.repos, seals.get(row.id) if row.is_active else None)
        if row.id not in recorded:
            yield f"member {row.name} ({row.id}) exists, but no entry records it"
        elif member != recorded[row.id]:
            yield f"member {row.name} ({row.id}) has another role, repos, state, name or Hub account than recorded"
    for ident in {ident for ident, (_, _, seal) in recorded.items() if seal is not None} - {row.id for row in rows}:
        yield f"member {ident} was added but does not exist"


def _find_unrecorded_requests(store: Store, recorded: set[int]) -> Iterator[ChainBreak]:
    """Yield the stored requests without any entry in the ledger."""
    for row in store.repos():
        chain = chain_of(row.repo)
        for status in (*STATUSES, WITHDRAWN):
            for request in store.iterate_requests(row.repo, status, with_record=False):
                if request.id not in recorded and not store.entries(request=request.id, limit=1):
                    yield ChainBreak(chain, 0, f"request {request.id} exists, but no entry records it")


class _Replay:
    """What the events say: the states of requests of one chain, and the members, promotions and approvals of all.

    Later events of the current chain can be added.
    """

    def __init__(self, store: Store) -> None:
        self.recorded: set[int] = set()  # requests with events
        self.promoted: set[tuple[str, str]] = set()  # promoted policies and the digests of their versions
        self.members: dict[str, _RecordedMember] = {}
        self.approvals: set[tuple[int, str, str]] = set()  # request, account and need of each approval
        self.authors: set[PolicyAuthor] = set()  # who promoted a version of a policy
        self.keys: set[tuple[str, str, tuple[str, ...], tuple[str, ...] | None]] = set()  # of other systems
        self.table_rows: set[tuple[str, str]] = set()  # the tables and commitments of rows in the store
        self.broken: list[ChainBreak] = []
        self._store = store

    def begin(self, chain: str) -> None:
        """Begin with the next chain."""
        self.chain = chain
        self.states: dict[int, RequestState] = {}
        self._next = 1

    def read_new_events(self) -> None:
        """Read the events of the chain since the last call."""
        for link, run in iterate_chain_with_runs(self._store, self.chain, self._next):
            self._next = link.seq + 1
            try:
                event = e.decode_event(link.body)
            except msgspec.DecodeError:  # the body is unreadable; the check of hashes reports this
                continue
            if run != getattr(event, "run", None):
                what = f"its index column names run {run}, but its body does not"
                self.broken.append(ChainBreak(self.chain, link.seq, what))
            self._add_event(event, link)

    def _add_event(self, event: e.AnyEvent, link: LedgerLink) -> None:
        match event:
            case e.PolicyPromoted():
                self.promoted.add((event.policy, event.digest))
                self.authors.add(PolicyAuthor(event.digest, link.actor, event.member, event.account))
            case e.MemberAdded():
                self.members[event.member] = (event.role, event.repos, event.seal)
            case e.MemberConfirmed() if event.member in self.members:
                self.members[event.member] = (*self.members[event.member][:2], event.seal)
            case e.MemberRemoved() if event.member in self.members:
                self.members[event.member] = (*self.members[event.member][:2], None)
            case e.KeyMade():
                self.keys.add((event.digest, event.key, event.verbs, event.repos))
            case e.KeyRevoked():
                self.keys = {key for key in self.keys if key[1] != event.key}
            case e.TableRowChanged():
                self.table_rows.discard((event.table, event.before or ""))
                self.table_rows.add((event.table, event.after or ""))
            case _ if link.request is not None:
                self._add_event_of_request(event, link, link.request)
            case _:
                pass

    def _add_event_of_request(self, event: e.AnyEvent, link: LedgerLink, request: int) -> None:
        if isinstance(event, e.ApprovalGiven):
            self.approvals.add((request, event.account, event.need))
        state = apply_event(self.states.get(request), event, link.at)
        if state is not None:
            self.states[request] = state

    def find_differing(self, numbers: Sequence[int]) -> Iterator[tuple[int, RequestRow | None]]:
        """Yield the requests whose rows differ from their events, with the row or None."""
        for batch in split_into_batches(numbers, 1000):
            rows = self._store.requests(batch)
            for number in batch:
                row = rows.get(number)
                if row is None or row.state != self.states[number] or _is_of_another_account(row):
                    yield number, row


def _is_of_another_account(row: RequestRow) -> bool:
    """Tell whether the sealed record names another account than the row of its person. Either may name none."""
    said = row.request.person.id if row.request is not None else None
    known = row.person.identity.user_id
    return said is not None and known is not None and said.lower() != known


def _compare_requests(replay: _Replay) -> Iterator[ChainBreak]:
    """Yield the differences between the table of requests and the events of the chain."""
    replay.read_new_events()
    doubtful = sorted(replay.states)
    replay.recorded.update(doubtful)
    differing: dict[int, RequestRow | None] = {}
    for _ in range(_COMPARISONS):  # a row may have changed since its events were read
        differing = dict(replay.find_differing(doubtful))
        doubtful = list(differing)
        if not doubtful:
            return
        replay.read_new_events()
    for number, row in differing.items():
        state = replay.states[number]
        stored = "does not exist" if row is None else f"says {row.state.status}, version {row.state.version}"
        what = f"request {number} {stored}; its events say {state.status}, version {state.version}"
        if row is not None and row.state == state:
            what = f"request {number} belongs to another Hub account than its record says"
        yield ChainBreak(replay.chain, 0, what)
