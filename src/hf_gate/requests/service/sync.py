"""Syncs a repo into the store: quickly (the first page of each list) or fully (all four lists to their end).

Every few pages are one transaction, so a killed sync loses only the last pages. Only a full sync finds withdrawn
requests: four complete lists must not contain the request, and a second lookup must not find it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Final

import msgspec
from msgspec import Struct, field

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.request_state import KnownRequest, RecordUpdate, diff_record, is_same_attempt
from hf_gate.core.forms.forms import (
    collapse_whitespace,
    digest_gate_text,
    form_from_json,
    form_to_json,
    list_gate_texts,
)
from hf_gate.core.forms.roles import role_of
from hf_gate.core.lifecycle import STATUSES, WITHDRAWN
from hf_gate.core.ports import ClockPort, HubPort
from hf_gate.core.requests import AccessRequest, Target
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.errors import HfGateError
from hf_gate.requests.rows.reclassification import reclassify_part
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.store import Store
from hf_gate.store.writing.gate_texts import write_gate_text
from hf_gate.store.writing.search_text import fold_answers
from hf_gate.store.writing.writer import Writer

from .restore_checks import clear_restore_mark

HUB_PAGE: Final = 1000  # requests on a page of the Hub
TRANSACTION_SIZE: Final = (
    10 * HUB_PAGE
)  # requests per transaction of a full sync; larger transactions rewrite fewer index pages
MAX_MISSING_UNCHECKED: Final = 50  # above this, missing requests are compared with the Hub's report
QUICK_SYNC_PARTS: Final = 20  # transactions of one quick sync that reclassify requests; they take less than a second
LONG_RECORD: Final = 16_384  # bytes; what is computed from a longer record is computed before the transaction
MAX_SET_ASIDE: Final = 20  # records that cannot be stored; if there are more, the sync fails
_RECORD_ERRORS: Final = (ValueError, TypeError, OverflowError, RecursionError)  # of a record that cannot be stored
LOOKUP_BATCH: Final = 10_000  # missing requests that are looked up together

_FORM_COLUMNS: Final = ("form_card", "hub_ids")
_SHARED_ACCOUNT: Final = "the lists contain different requests of one account"

OnRead = Callable[[int], None]


class SyncResult(Struct, frozen=True):
    """The result of one sync. `doubts` says why the sync may have missed requests; a quick sync proves nothing."""

    repo: Repo
    kind: SyncKind
    read: int = 0
    new: int = 0
    again: int = 0  # new attempts by people who had asked before
    changed: int = 0
    moved: int = 0
    withdrawn: int = 0
    read_on: bool = False  # a quick sync found only new requests on a first page, and read on to a known request
    doubts: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # counts by status in the store after the sync

    @property
    def complete(self) -> bool | None:
        """Whether all lists are proved complete; None for a quick sync."""
        return None if self.kind is SyncKind.QUICK else not self.doubts

    @property
    def change_count(self) -> int:
        """The number of new and changed requests."""
        return self.new + self.again + self.changed + self.moved + self.withdrawn


def sync_repo(
    hub: HubPort,
    store: Store,
    clock: ClockPort,
    repo: Repo,
    kind: SyncKind,
    *,
    actor: str,
    on_read: OnRead = lambda _: None,
    transaction_size: int = TRANSACTION_SIZE,
    adds_failed: bool = True,
) -> SyncResult:
    """Sync one repo. An error is stored with the repo, then raised; pages that were read before the error stay stored.

    Without `adds_failed`, an error does not add a repo that the store does not have, such as a misspelt one.

    `on_read` receives the number of requests in each stored batch. `transaction_size` is the number of requests in a
    transaction of a full sync.
    """
    repo_sync = _RepoSync(hub, store, clock, repo, on_read, transaction_size)
    try:
        synced = repo_sync.quick() if kind is SyncKind.QUICK else repo_sync.full(actor)
    except HfGateError as problem:
        if adds_failed or store.repo(repo) is not None:
            with store.writing() as write:
                write.update_repo(repo, {"problem": str(problem)})
        raise
    _update_classifications(store, kind)
    return synced


def _update_classifications(store: Store, kind: SyncKind) -> None:
    """Classify requests again where rules, lists or a form changed; a quick sync leaves the rest to the next sync."""
    for part in count():
        if (kind is SyncKind.QUICK and part >= QUICK_SYNC_PARTS) or not reclassify_part(store):
            return


class RowIdSet(Collection[int]):
    """A set of row ids with one bit each: a million rows take 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._count = 0

    def add(self, number: int) -> None:
        """Add a row id."""
        at = number >> 3
        bit = 1 << (number & 7)
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
        return (at << 3 | bit for at, byte in enumerate(self._bits) if byte for bit in range(8) if byte >> bit & 1)


class _RepoSync:
    """One sync in progress, with the requests seen so far."""

    def __init__(self, hub: HubPort, store: Store, clock: ClockPort, repo: Repo, on_read: OnRead, page: int) -> None:
        self.hub = hub
        self.store = store
        self.clock = clock
        self.repo = repo
        self.on_read = on_read
        self.page = page
        self.seen = RowIdSet()
        self.tally: Counter[str] = Counter()
        self.lists: Counter[str] = Counter()  # number of rows by list
        self.doubts: list[str] = []
        self.set_aside = 0  # records that could not be stored
        self.read_on = False
        self.gate: dict[str, object] | None = None
        self.gate_before = _read_fingerprints(store.repo(repo))

    # ---- quick sync --------------------------------------------------------------------------------------------------

    def quick(self) -> SyncResult:
        """Read the first page of each list, with one call each."""
        for status in STATUSES:
            head = self.hub.head(self.repo, status)
            if head.quarantined:
                self.doubts.append(f"{len(head.quarantined)} records of the list of {status} could not be read")
            known_count = self.store_page(head.requests)
            if head.requests and head.has_more and not known_count:
                self._read_on(status)
        return self._store_result(SyncKind.QUICK, {"quick_at": self._now()})

    def _read_on(self, status: str) -> None:
        """Read on to the first known request: if the first page has none, the next pages may contain more
        new requests.
        """
        self.read_on = True
        rows = self.hub.list(self.repo, status)
        try:
            for page in split_into_batches(rows, min(self.page, HUB_PAGE)):
                if self.store_page(page):
                    break
        finally:
            rows.close()

    # ---- full sync ---------------------------------------------------------------------------------------------------

    def full(self, actor: str) -> SyncResult:
        """Read all four lists to their end, then look up the requests that none of them contains."""
        # Pending first, because most requests leave that list. A request that moves meanwhile is then read twice, not
        # missed.
        for status in STATUSES:
            rows = self.hub.list(self.repo, status)
            for page in split_into_batches(rows, self.page):
                self._store_unknown_form()
                self.store_page(page)
                self.lists[status] += len(page)
            if not rows.completeness.proved:
                self.doubts.append(f"the list of {status}: {rows.completeness.why}")
        if not self.doubts:
            self._find_withdrawn()
        now = self._now()
        proved = {} if self.doubts else {"full_at": now}
        columns = {"is_complete": not self.doubts, "quick_at": now, **(self.gate or self._read_gate()), **proved}
        return self._store_result(SyncKind.FULL, columns, actor)

    def _store_unknown_form(self) -> None:
        """Store the form of a new repo before its requests, because the form decides how they are classified."""
        if self.gate is None and ((row := self.store.repo(self.repo)) is None or row.form_card is None):
            self.gate = self._read_gate()
            with self.store.writing() as write:
                write.update_repo(self.repo, {key: self.gate[key] for key in _FORM_COLUMNS if key in self.gate})

    def _read_gate(self) -> dict[str, object]:
        """Return the gate and its form, which policies need; not what cannot be read, so that the sync continues."""
        columns: dict[str, object] = {}
        with suppress(HfGateError):
            gate = self.hub.gate(self.repo)
            known = frozenset() if (row := self.store.repo(self.repo)) is None else row.hub_ids
            columns["gated"] = str(gate.mode) if gate.mode else None
            columns["hub_ids"] = " ".join(sorted(known | {gate.hub_id or ""})).strip()
            columns["form_card"] = e.canonical_json(form_to_json(self.hub.gate_form(self.repo))).decode()
        return columns

    # ---- pages -------------------------------------------------------------------------------------------------------

    def store_page(self, page: Sequence[AccessRequest]) -> int:
        """Store what is new on a page; return how many of its requests were known before this sync.

        A record that fails with others and then alone is set aside, so that it does not keep the others out for ever.
        """
        try:
            return self._store_page(page)
        except _RECORD_ERRORS as problem:
            if self.set_aside == MAX_SET_ASIDE:
                raise
            if len(page) == 1:
                self.set_aside += 1
                name = (page[0].request_id or "-")[:40]
                kind = type(problem).__name__  # its text may contain personal data
                self.doubts.append(f"the record of request {name} could not be stored ({kind})")
                return 0
        half = len(page) // 2
        return self.store_page(page[:half]) + self.store_page(page[half:])

    def _store_page(self, page: Sequence[AccessRequest]) -> int:
        known_count = 0
        new = list[RecordUpdate]()
        accounts: dict[str, str] = {}  # request ids by account id
        for known, request in self.store.match_records(self.repo, page):
            is_again = known is not None and known.id in self.seen
            before = known.state.hub_request if known is not None and is_again else None
            if _has_other_request(accounts, before, request) and _SHARED_ACCOUNT not in self.doubts:
                self.doubts.append(_SHARED_ACCOUNT)
            known_count += known is not None and not is_again
            if (update := diff_record(known, request, self.hub.skew or 0.0)) is None:
                if known is not None and is_same_attempt(known, request):
                    self.seen.add(known.id)
            elif known is None or not is_again or not _is_older(known, request):
                new.append(update if len(request.raw_json) <= LONG_RECORD else _prepare_long_record(update))
        if new:
            with self.store.writing() as write:
                numbers = write.observe(self.repo, new, self._now())
            for number in numbers:
                self.seen.add(number)
            self.tally.update(_name_of(event) for update in new for event in update.events)
        self.tally["read"] += len(page)
        self.on_read(len(page))
        return known_count

    # ---- withdrawn requests ------------------------------------------------------------------------------------------

    def _find_withdrawn(self) -> None:
        """Look up the requests that no list contained, and record the ones that are withdrawn."""
        missing = [
            known.id
            for known in self.store.attempts_not_in(self.repo, self.seen)
            if known.state.open_after is None and known.state.status != WITHDRAWN
        ]
        if len(missing) > MAX_MISSING_UNCHECKED and not self._report_agrees():
            return
        for batch in split_into_batches(missing, LOOKUP_BATCH):
            self._check_missing(list(self.store.requests(batch).values()))

    def _report_agrees(self) -> bool:
        """Tell whether the Hub's report has no more rows than the lists. (A failing Hub may return empty lists.)"""
        counted = count_by_report(self.hub, self.repo)
        more = {status: n for status, n in counted.items() if n > self.lists[status]}
        if more:
            status, n = next(iter(more.items()))
            listed = f"the list of {status} had {self.lists[status]:,} requests"
            self.doubts.append(f"{listed}, the Hub's report counts {n:,}")
        return not more

    def _check_missing(self, rows: Sequence[RequestRow]) -> None:
        gone: list[RequestRow] = []
        for some in self._split_for_lookup(rows):
            found = self.hub.find_many(self.repo, [row.target for row in some])
            if found.requests:
                self.store_page(list(found.requests.values()))
            self._end_replaced([row for i, row in enumerate(some) if _is_replaced(row, found.requests.get(i))])
            absent = [row for index, row in enumerate(some) if index not in found.requests]
            if found.complete:
                gone += absent
            elif absent:
                self.doubts.append("a second lookup of requests that are in no list could not be completed")
                break
        for page in split_into_batches(gone, HUB_PAGE):
            self._withdraw(page)

    def _end_replaced(self, rows: Sequence[RequestRow]) -> None:
        """End requests that the Hub does not list for these people, and look for the requests that they have."""
        if not rows:
            return
        self._withdraw(rows)
        people = [Target(row.person.identity.username, row.person.identity.user_id) for row in rows]
        found = self.hub.find_many(self.repo, people)
        self.store_page(list(found.requests.values()))
        if not found.complete:
            self.doubts.append("a lookup of people whose request id belongs to another person could not be completed")

    def _split_for_lookup(self, rows: Sequence[RequestRow]) -> Iterable[Sequence[RequestRow]]:
        """Split missing requests for the lookup: one by one if this takes fewer calls than reading the lists again."""
        calls = sum(1 + count // HUB_PAGE for count in self.lists.values())
        if 5 * len(rows) < calls and all(row.person.identity.username for row in rows):
            return [[row] for row in rows]
        return [rows]

    def _withdraw(self, rows: Sequence[RequestRow]) -> None:
        at = self._now()
        entries = [
            e.LedgerEntry(event=e.RequestWithdrawn(before=row.state.status), at=at, actor=e.OUTSIDE, request=row.id)
            for row in rows
        ]
        with self.store.writing() as write:
            write.append(self.repo, entries)
        self.tally["withdrawn"] += len(rows)

    # ---- result ------------------------------------------------------------------------------------------------------

    def _store_result(self, kind: SyncKind, columns: Mapping[str, object], actor: str = "") -> SyncResult:
        """Store the result of the sync in one transaction, and return it."""
        before = self.store.repo(self.repo)
        with self.store.writing() as write:
            write.update_repo(self.repo, {**columns, "problem": "; ".join(self.doubts) or None})
            tally = {name: self.tally[name] for name in ("read", "new", "again", "changed", "moved", "withdrawn")}
            counts = dict(write.find_or_create_repo(self.repo).counts)
            doubts = tuple(self.doubts)
            synced = SyncResult(self.repo, kind, **tally, read_on=self.read_on, doubts=doubts, counts=counts)
            if kind is SyncKind.FULL:
                self._record_full_sync(write, synced, before, actor)
        return synced

    def _record_full_sync(self, write: Writer, synced: SyncResult, before: RepoRow | None, actor: str) -> None:
        """Store the result of a full sync. Record it in the ledger if it is new, or the first of a day (UTC)."""
        at = self._now()
        complete = bool(synced.complete)
        counts = msgspec.json.encode(synced.counts).decode()
        write.update_repo(self.repo, {"tried_at": at, "tried_complete": complete, "tried_counts": counts})
        if complete:
            clear_restore_mark(self.store, write, self.repo)
        row = write.find_or_create_repo(self.repo)
        gate = _read_fingerprints(row)
        told = None
        if before is not None and before.tried_at is not None:
            told = (before.tried_complete, before.tried_counts, before.tried_at // DAY_MS, self.gate_before)
        if told != (complete, synced.counts, at // DAY_MS, gate):
            form, prompt = gate
            ended = e.SyncEnded(complete=complete, counts=synced.counts, form=form, prompt=prompt)
            write.append(self.repo, [e.LedgerEntry(event=ended, at=at, actor=actor)])
            for kind, text in list_gate_texts(form_from_json(row.form_card)) if row.form_card else ():
                write_gate_text(write, digest_gate_text(text), kind, text, at)

    def _now(self) -> int:
        return to_ms(self.clock.now())


def count_by_report(hub: HubPort, repo: Repo) -> dict[str, int]:
    """Count the rows of the Hub's report by status. It takes one call, but the answer grows with the repo."""
    return dict(Counter(str(row.get("status")) for row in hub.access_report(repo)))


def _read_fingerprints(row: RepoRow | None) -> tuple[str | None, str | None]:
    """Return the fingerprints of the stored form and prompt: "" without fields or prompt, None if no form is stored."""
    if row is None or row.form_card is None:
        return None, None
    form = form_from_json(row.form_card)
    return form.fingerprint or "", form.prompt_fingerprint or ""


def _name_of(event: e.AnyEvent) -> str:
    match event:
        case e.RequestSeen(attempt=attempt):
            return "new" if attempt == 1 else "again"
        case e.StatusMoved():
            return "moved"
        case _:
            return "changed"


def _prepare_long_record(update: RecordUpdate) -> RecordUpdate:
    """Compute what takes long with strangers' text before a transaction: the roles of labels are cached."""
    for label in update.request.answers:
        role_of(label)
        role_of(collapse_whitespace(label))
    return msgspec.structs.replace(update, folded_answers=fold_answers(update.request))


def _is_older(known: KnownRequest, request: AccessRequest) -> bool:
    """Tell whether a record that a sync read twice has an older review than the stored one, and must be ignored."""
    reviewed = to_ms(request.reviewed_at)
    before = known.state.reviewed_at
    is_our_time = before == known.state.moved_at  # our clock may be ahead of the Hub's
    return reviewed is not None and before is not None and not is_our_time and reviewed < before


def _has_other_request(accounts: dict[str, str], before: str | None, request: AccessRequest) -> bool:
    """Tell whether a sync has read another request of the same account: on this page, or as `before`.

    Add it to `accounts`.
    """
    if request.person.id is None or request.request_id is None:
        return False
    first = accounts.setdefault(request.person.id, before or request.request_id)
    return request.request_id != first


def _is_replaced(row: RequestRow, listed: AccessRequest | None) -> bool:
    """Tell whether the Hub lists the request under another account, or an older request of its account in its place."""
    account = row.person.identity.user_id
    if account is None or listed is None or listed.person.id is None:
        return False
    is_older = to_ms(listed.asked_at) < row.state.asked_at and listed.request_id != row.state.hub_request
    return listed.person.id.lower() != account or is_older
