"""Reads the Hub into the store: quickly the head of each list, or all four lists to their end, which alone shows who is gone.

Every few pages are one transaction, so a killed reading keeps all but the last of what it read. Whatever a quick reading
did not see, it did not see; a request is withdrawn only when four complete lists and a second look at it say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import msgspec

from ..domain import events as e
from ..domain.forms import form_to_json
from ..domain.ids import Repo
from ..domain.lifecycle import STATUSES, WITHDRAWN
from ..domain.request_state import KnownRequest, RecordUpdate, diff_record, is_same_attempt
from ..domain.requests import AccessRequest, Target
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from ..errors import HfGateError
from ..store.initial_load import defer_indexes
from ..store.store import Store
from ..store.writer import Writer
from .ports import ClockPort, HubPort
from .restore_checks import clear_restore_mark
from .sync_schedule import LastFullSync, SyncKind, read_last_full_sync

HUB_PAGE: Final = 1000  # requests: as many as the Hub puts on a page
TRANSACTION_SIZE: Final = (
    10 * HUB_PAGE
)  # requests of a full reading in one transaction: fewer pages of indexes are written twice
MAX_MISSING_UNCHECKED: Final = 50  # so many missing requests are not believed without the Hub's own report
LOOKUP_BATCH: Final = 10_000  # so many requests are looked for in one second reading
OUTSIDE: Final = "outside"

T = TypeVar("T")
Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one reading of one repo brought. `doubts` say why it may have missed something; a quick one proves nothing."""

    repo: Repo
    kind: SyncKind
    read: int = 0
    new: int = 0
    again: int = 0  # new attempts of people who had asked before
    changed: int = 0
    moved: int = 0
    withdrawn: int = 0
    read_on: bool = False  # a quick reading found a head full of new ones, and went on to the first that was known
    doubts: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # of the store, afterwards

    @property
    def complete(self) -> bool | None:
        """Whether all lists are proved whole; None where that was not asked."""
        return None if self.kind is SyncKind.QUICK else not self.doubts

    @property
    def change_count(self) -> int:
        """How much is different from before."""
        return self.new + self.again + self.changed + self.moved + self.withdrawn


def sync_repo(
    hub: HubPort,
    store: Store,
    clock: ClockPort,
    repo: Repo,
    kind: SyncKind,
    *,
    actor: str,
    on_read: Tick = lambda _: None,
    transaction_size: int = TRANSACTION_SIZE,
) -> SyncResult:
    """One reading of one repo. What ends it early is raised, after it was noted beside the repo; pages read are kept.

    `tick` hears how many requests were read; of a full reading `page` of them make one transaction.
    """
    reading = _Reading(hub, store, clock, repo, on_read, transaction_size)
    try:
        synced = reading.quick() if kind is SyncKind.QUICK else reading.full(actor)
    except HfGateError as problem:
        with store.writing() as write:
            write.update_repo(repo, {"problem": str(problem)})
        raise
    return synced


class RowIdSet(Collection[int]):
    """A set of numbers of the store, one bit each: a million people in 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, number: int) -> None:
        """Put a number in."""
        at, bit = number >> 3, 1 << (number & 7)
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits) + 4096))
        self._count += not self._bits[at] & bit
        self._bits[at] |= bit

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (number & 7)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return (n for n in range(len(self._bits) * 8) if n in self)


class _Reading:
    """One reading under way: who was seen, and what that brought."""

    def __init__(self, hub: HubPort, store: Store, clock: ClockPort, repo: Repo, tick: Tick, page: int) -> None:
        self.hub, self.store, self.clock, self.repo, self.tick, self.page = hub, store, clock, repo, tick, page
        self.seen = RowIdSet()
        self.tally: Counter[str] = Counter()
        self.lists: Counter[str] = Counter()  # rows by the list they were read in
        self.doubts: list[str] = []
        self.read_on = False

    # ---- quick -------------------------------------------------------------------------------------------------------

    def quick(self) -> SyncResult:
        """The head page of each list, one call each."""
        for status in STATUSES:
            head = self.hub.head(self.repo, status)
            if head.quarantined:
                self.doubts.append(f"{len(head.quarantined)} records of the list of {status} could not be read")
            met = self.take(head.requests)
            if head.requests and head.has_more and not met:
                self._read_on(status)
        return self._end(SyncKind.QUICK, {"quick_at": self._now()})

    def _read_on(self, status: str) -> None:
        """Nobody on the head page was known, so more may have come than it holds: on to the first who is."""
        self.read_on = True
        rows = self.hub.list(self.repo, status)
        try:
            for page in _pages(rows, min(self.page, HUB_PAGE)):
                if self.take(page):
                    break
        finally:
            rows.close()

    # ---- full --------------------------------------------------------------------------------------------------------

    def full(self, actor: str) -> SyncResult:
        """All four lists to their end, then those whom none of them holds."""
        # Pending first: most people move from there, so who moves meanwhile is met twice rather than missed.
        with defer_indexes(self.store):
            for status in STATUSES:
                rows = self.hub.list(self.repo, status)
                for page in _pages(rows, self.page):
                    self.take(page)
                    self.lists[status] += len(page)
                if not rows.completeness.proved:
                    self.doubts.append(f"the list of {status}: {rows.completeness.why}")
        if not self.doubts:
            self._miss()
        now = self._now()
        proved = {} if self.doubts else {"full_at": now}
        columns = {"is_complete": not self.doubts, "quick_at": now, **self._gate(), **proved}
        return self._end(SyncKind.FULL, columns, actor)

    def _gate(self) -> dict[str, object]:
        """The gate and its form as they stand, which policies need; not a reason for a reading to fail."""
        try:
            mode = self.hub.gate(self.repo).mode
            form = form_to_json(self.hub.gate_form(self.repo))
        except HfGateError:
            return {}
        return {"gated": str(mode) if mode else None, "form_card": e.canonical_json(form).decode()}

    # ---- a page ------------------------------------------------------------------------------------------------------

    def take(self, page: Sequence[AccessRequest]) -> int:
        """Enters what a page tells; how many on it were known before this reading began."""
        met, new = 0, list[RecordUpdate]()
        for known, request in zip(self.store.latest_attempts(self.repo, page), page, strict=True):
            is_again = known is not None and known.id in self.seen
            met += known is not None and not is_again
            if (one := diff_record(known, request, self.hub.skew or 0.0)) is None:
                if known is not None and is_same_attempt(known, request):
                    self.seen.add(known.id)
            elif known is None or not is_again or not _is_older(known, request):
                new.append(one)
        if new:
            with self.store.writing() as write:
                numbers = write.observe(self.repo, new, self._now())
            for number in numbers:
                self.seen.add(number)
            self.tally.update(_name_of(event) for one in new for event in one.events)
        self.tally["read"] += len(page)
        self.tick(len(page))
        return met

    # ---- who is gone -------------------------------------------------------------------------------------------------

    def _miss(self) -> None:
        """Looks a second time for those whom no list held, and enters who is withdrawn."""
        missing = [
            known.id
            for known in self.store.attempts_not_in(self.repo, self.seen)
            if known.state.open_after is None and known.state.status != WITHDRAWN
        ]
        if len(missing) > MAX_MISSING_UNCHECKED and not self._report_agrees():
            return
        for some in _pages(missing, LOOKUP_BATCH):
            self._look_again(list(self.store.requests(some).values()))

    def _report_agrees(self) -> bool:
        """Whether the Hub's own report has no more rows than the lists had: an empty answer in time of trouble is no proof."""
        counted = count_by_report(self.hub, self.repo)
        more = {status: n for status, n in counted.items() if n > self.lists[status]}
        if more:
            status, n = next(iter(more.items()))
            self.doubts.append(f"the list of {status} held {self.lists[status]:,}, the Hub's report counts {n:,}")
        return not more

    def _look_again(self, rows: Sequence[RequestRow]) -> None:
        gone: list[RequestRow] = []
        for some in self._looks(rows):
            found = self.hub.find_many(self.repo, [_target(row) for row in some])
            if found.requests:
                self.take(list(found.requests.values()))
            absent = [row for index, row in enumerate(some) if index not in found.requests]
            if found.complete:
                gone += absent
            elif absent:
                self.doubts.append("a second look at those who are in no list could not be completed")
                break
        for page in _pages(gone, HUB_PAGE):
            self._withdraw(page)

    def _looks(self, rows: Sequence[RequestRow]) -> Iterable[Sequence[RequestRow]]:
        """One by one, by name, where that costs fewer calls than reading the lists again."""
        calls = sum(1 + count // HUB_PAGE for count in self.lists.values())
        if 5 * len(rows) < calls and all(row.person.identity.username for row in rows):
            return [[row] for row in rows]
        return [rows]

    def _withdraw(self, rows: Sequence[RequestRow]) -> None:
        at = self._now()
        entries = [
            e.LedgerEntry(event=e.RequestWithdrawn(before=row.state.status), at=at, actor=OUTSIDE, request=row.id)
            for row in rows
        ]
        with self.store.writing() as write:
            write.append(self.repo, entries)
        self.tally["withdrawn"] += len(rows)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _end(self, kind: SyncKind, columns: Mapping[str, object], actor: str = "") -> SyncResult:
        """What the reading came to, in one transaction."""
        before = read_last_full_sync(self.store, self.repo)
        with self.store.writing() as write:
            write.update_repo(self.repo, {**columns, "problem": "; ".join(self.doubts) or None})
            tally = {name: self.tally[name] for name in ("read", "new", "again", "changed", "moved", "withdrawn")}
            counts = dict(write.find_or_create_repo(self.repo).counts)
            synced = SyncResult(
                self.repo, kind, **tally, read_on=self.read_on, doubts=tuple(self.doubts), counts=counts
            )
            if kind is SyncKind.FULL:
                self._enter(write, synced, before, actor)
        return synced

    def _enter(self, write: Writer, synced: SyncResult, before: LastFullSync | None, actor: str) -> None:
        """The end of a full reading stands in the ledger when it says something else than the last one did."""
        at, complete = self._now(), bool(synced.complete)
        counts = msgspec.json.encode(synced.counts).decode()
        write.update_repo(self.repo, {"tried_at": at, "tried_complete": complete, "tried_counts": counts})
        if complete:
            clear_restore_mark(self.store, write, self.repo)
        if before is None or (before.complete, before.counts) != (complete, synced.counts):
            ended = e.SyncEnded(complete=complete, counts=synced.counts)
            write.append(self.repo, [e.LedgerEntry(event=ended, at=at, actor=actor)])

    def _now(self) -> int:
        return to_ms(self.clock.now())


def count_by_report(hub: HubPort, repo: Repo) -> dict[str, int]:
    """How many rows of each status the Hub's own report has: one call, and one answer as long as the repo is large."""
    return dict(Counter(str(row.get("status")) for row in hub.access_report(repo)))


def _pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while page := list(islice(source, size)):
        yield page


def _name_of(event: e.AnyEvent) -> str:
    match event:
        case e.RequestSeen(attempt=attempt):
            return "new" if attempt == 1 else "again"
        case e.StatusMoved():
            return "moved"
        case _:
            return "changed"


def _is_older(known: KnownRequest, request: AccessRequest) -> bool:
    """Met twice in one reading, with two reviews of the Hub's: the newer one is true."""
    reviewed, before = to_ms(request.reviewed_at), known.state.reviewed_at
    if reviewed is None or before is None or before == known.state.moved_at:  # our own clock may be ahead of the Hub's
        return False
    return reviewed < before


def _target(row: RequestRow) -> Target:
    who = row.person.identity
    return Target(who.username, who.user_id, row.state.hub_request)
