"""Leases of a store on PostgreSQL: which process does a kind of work, until when, by the clock of the database.

Guarantees. One process at a time holds a lease. Its epoch grows whenever it changes hands, and each write transaction
of the holder checks the epochs of its leases under the lock of all write transactions; so nothing is written after
another process took over. A holder starts no call after its own deadline, which a clock of this machine measures from
before the lease was asked for; so no call starts after another process may have taken over. Nothing here needs a
session of the database: a transaction pooler may stand between.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate import __version__
from hf_gate.base.private_files import make_private_folder
from hf_gate.core.stored_rows import ProcessRow
from hf_gate.errors import HfGateError, StoreBusy, StoreDamaged, StoreUnavailable

from .database.schema import ABOUT_SCHEMA, check_program, list_revisions
from .rows.processes import DATABASE_NOW, delete_process, write_process
from .sql import Database, Postgres, Reader
from .store_path import is_on_server, parse_path
from .write_lock import DOING, QUIET_S, FileLock, Holder, OnWait, Work, ignore_wait

LEASE_S: Final = 10.0
RENEW_S: Final = 3.0
MIN_CALL_S: Final = 2.0
"""A call is only started if this much of the lease is left."""
_TRY_S: Final = 0.05  # seconds between two attempts to take a lease
_LOCK_MS: Final = 5_000  # for which a write transaction waits for another one
_TAKE_LOCK_MS: Final = 1_000
_IDLE_MS: Final = 15_000  # after which the database ends a write transaction of a process that does nothing
_NOW: Final = DATABASE_NOW
_LOCK: Final = "SELECT holder, epoch FROM leases WHERE name = 'transaction' FOR UPDATE"
_END_SILENT: Final = (
    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
    " WHERE l.relation = 'leases'::regclass AND l.granted AND a.pid <> pg_backend_pid() AND a.usename = current_user"
    " AND a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - interval '10 s'"
)
"""Ends write transactions whose client is silent for 10 s, also within a statement, where the server has no limit."""
_TAKE: Final = f"UPDATE leases SET holder = ?, about = ?, epoch = epoch + 1, expires_at = {_NOW} + ? WHERE name = ? AND"
_log = logging.getLogger("hf_gate.desk")


class _HeldLease(Struct):
    """A lease that this process holds until a time by its own clock, unless another process took it."""

    epoch: int
    until: float


class LeaseState(Struct, frozen=True):
    """A lease as others see it. `holder` is the id of a process, `about` its number, machine and command."""

    holder: str
    about: str
    epoch: int
    is_lapsed: bool


def read_lease(reader: Reader, work: Work) -> LeaseState | None:
    """Return a lease; None if nobody holds it, or on SQLite, which has locks of files."""
    if reader.reads.is_sqlite:
        return None
    row = reader.reads.row(
        f"SELECT holder, about, epoch, expires_at <= {_NOW} FROM leases WHERE name = ? AND holder <> ''", (work,)
    )
    return None if row is None else LeaseState(*row)


class LeaseKeeper:
    """Takes, renews and gives back the leases of one process, on a connection of its own."""

    def __init__(self, url: str, who: Holder) -> None:
        self.id = f"{who.host or 'process'}-{secrets.token_hex(3)}"
        self.who = who
        self._url = url
        self._db: Postgres | None = None
        self._held: dict[Work, _HeldLease] = {}
        self._mutex = threading.RLock()  # of the connection and of `_held`
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._describe: Callable[[], ProcessRow] | None = None
        self.sharers = 1  # living processes with the same token
        self._transactions = 0  # how many write transactions the store had when this process wrote last

    def announce(self, describe: Callable[[], ProcessRow]) -> None:
        """Store at each renewal that this process is alive, and what it runs with."""
        self._describe = describe
        self.renew()
        self._start()

    # ---- taking and giving back --------------------------------------------------------------------------------------

    def acquire(
        self, work: Work, wait: float, what: str, on_wait: OnWait = ignore_wait, *, poll: float = _TRY_S
    ) -> None:
        """Take a lease; raise StoreBusy if another process holds it for `wait` seconds. `what` is its sentence."""
        start = time.monotonic()
        is_told = False
        while not self.try_acquire(work):
            waited = time.monotonic() - start
            if waited >= wait:
                raise StoreBusy(f"{what} by {self._holder_of(work)}.")
            if waited >= min(QUIET_S, wait) and not is_told:
                is_told = True
                on_wait(self._holder_of(work), wait)
            self._stop.wait(min(poll, max(wait - waited, 0.001)))

    def try_acquire(self, work: Work) -> bool:
        """Take a lease that is free or has lapsed; return False if another process holds it."""
        with self._mutex, self._connect() as db:
            began = _read_clock()
            values = (self.id, str(self.who), round(LEASE_S * 1000), work)
            lease = self._held.get(work)
            # it may be ours: it could not be given back, or the answer that gave it did not arrive
            own = self.id if lease is None or lease.until == -math.inf else ""
            row = db.row(f"{_TAKE} holder IN ('', ?) RETURNING epoch", (*values, own))
            row = row or self._take_lapsed(db, work, values)
            if row is None:
                return False
            self._held[work] = _HeldLease(int(row[0]), began + LEASE_S)
        self._start()
        return True

    def _take_lapsed(self, db: Postgres, work: Work, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        """Take a lease that its holder did not renew, between two write transactions."""
        lapsed = f"name = ? AND expires_at <= {_NOW}"
        if db.row(f"SELECT 1 FROM leases WHERE {lapsed}", (work,)) is None:
            return None
        try:
            with db.transaction():
                db.run(f"SET LOCAL lock_timeout = {_TAKE_LOCK_MS}")
                db.row(_LOCK)
                return db.row(f"{_TAKE} expires_at <= {_NOW} RETURNING epoch", values)
        except StoreBusy:
            db.rows(_END_SILENT)
            return None

    def release(self, work: Work) -> None:
        """Give a lease back, if this process holds it."""
        with self._mutex:
            lease = self._held.pop(work, None)
            if lease is None:
                return
            with suppress(HfGateError), self._connect() as db:  # otherwise it lapses
                sql = "UPDATE leases SET holder = '', about = '' WHERE name = ? AND holder = ? AND epoch = ?"
                db.run(sql, (work, self.id, lease.epoch))

    def holds(self, work: Work) -> bool:
        """Whether this process holds a lease now, as far as it knows."""
        return self._seconds_left(work) > 0

    @contextmanager
    def hold(self, work: Work, wait: float = 0.0) -> Iterator[None]:
        """Keep other processes from this work within the block; raise StoreBusy if one does it for `wait` seconds."""
        self.acquire(work, wait, DOING[work])
        try:
            yield
        finally:
            self.release(work)

    def seconds_to_call(self) -> float:
        """Return for how many seconds a call may last that starts now; 0 if none may start."""
        works = {Work.STORE, *(work for work in (Work.LOOP,) if work in self._held)}
        left = min(self._seconds_left(work) for work in works)
        return left if left >= MIN_CALL_S else 0.0

    def _seconds_left(self, work: Work) -> float:
        lease = self._held.get(work)
        return 0.0 if lease is None else lease.until - _read_clock()

    def _holder_of(self, work: Work) -> str:
        with self._mutex, self._connect() as db:
            found = read_lease(db, work)
        return "another process" if found is None else found.about

    # ---- write transactions ------------------------------------------------------------------------------------------

    def begin(self, db: Postgres, writer: str, works: Collection[Work]) -> bool:
        """Begin a write transaction after all others, and return whether another one wrote meanwhile.

        `writer` names the connection. Raises StoreBusy if another process took over one of these leases, StoreTooNew if
        a newer program changed the store, and StoreDamaged if an older copy of it was restored.
        """
        held = {work: lease.epoch for work in works if (lease := self._held.get(work)) is not None}
        try:
            last, mine, about = db.run_script(
                "BEGIN",
                f"SET LOCAL lock_timeout = {_LOCK_MS}",
                f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}",
                _LOCK,
                "UPDATE leases SET holder = ?, epoch = epoch + 1 WHERE name = 'transaction'",
                "SELECT name, epoch FROM leases WHERE holder = ?",
                ABOUT_SCHEMA,
                values=(writer, self.id),
            )
        except StoreBusy:
            db.rows(_END_SILENT)
            raise
        check_program(dict(about), db.at)
        ((last_writer, transactions),) = last
        if transactions < self._transactions:
            raise StoreDamaged(
                f"{db.at} holds an older copy of the store than before; this process writes and sends nothing.",
                hint="If a backup was restored: hf-gate store disarm, then start this process again.",
            )
        self._transactions = transactions
        epochs: Mapping[str, int] = dict(mine)
        for work in works:
            if work in held and epochs.get(work) != held[work]:
                self._held[work].until = -math.inf
                raise StoreBusy(
                    f"this process did not answer for {LEASE_S:.0f} s, so {self._holder_of(work)} took over; "
                    "nothing was written or sent.",
                    hint="Nothing to do: the other process settles what was under way.",
                )
        return bool(last_writer != writer)

    # ---- renewing ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hf-gate-leases", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(RENEW_S):
            try:
                self.renew()
            except HfGateError:  # the next one tries again; without a renewal no call starts
                pass
            except Exception:  # noqa: BLE001 - without the thread nothing would be renewed
                _log.exception("leases were not renewed")

    def renew(self) -> None:
        """Renew all leases that this process holds; those that another process took are lost."""
        process = None if self._describe is None else self._describe()
        with self._mutex:
            if not self._held and process is None:
                return
            began = _read_clock()
            with self._connect() as db:
                rows = db.rows(
                    f"UPDATE leases SET expires_at = {_NOW} + ? WHERE holder = ? AND name = ANY(?)"
                    " RETURNING name, epoch",
                    (round(LEASE_S * 1000), self.id, list(self._held)),
                )
                if process is not None:
                    about = {"version": __version__, "revision": list_revisions()[-1]}
                    self.sharers = write_process(db, replace(process, id=self.id, host=self.who.host, **about))
            epochs: Mapping[str, int] = dict(rows)
            for work, lease in self._held.items():
                lease.until = began + LEASE_S if epochs.get(work) == lease.epoch else -math.inf

    @contextmanager
    def _connect(self) -> Iterator[Postgres]:
        """Yield the connection; a broken one is replaced at the next use."""
        if self._db is None:
            self._db = Postgres(self._url, writes=True, name=f"hf-gate leases {self.who}"[:63])
        self._db.reconnect_if_lost()
        try:
            yield self._db
        except StoreBusy:
            raise
        except StoreUnavailable:
            self._db.close()
            self._db = None
            raise

    def close(self) -> None:
        """Give all leases back and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
        for work in list(self._held):
            self.release(work)
        with self._mutex:
            if self._describe is not None:
                with suppress(HfGateError), self._connect() as db:
                    delete_process(db, self.id)
            if self._db is not None:
                self._db.close()
                self._db = None


class LeaseLock:
    """The lock of a store on PostgreSQL: the lease of its multi-step work. `keeper` may outlive the store."""

    is_shared = True

    def __init__(
        self, keeper: LeaseKeeper, at: str, *, wait: float, on_wait: OnWait = ignore_wait, is_own: bool = True
    ) -> None:
        self.keeper = keeper
        self.wait = wait
        self._on_wait = on_wait
        self._is_own = is_own
        self._what = f"{at} is being written"
        self._writer = secrets.token_hex(8)

    def busy_error(self) -> StoreBusy:
        return StoreBusy(f"{self._what} by another process.")

    def acquire(self, wait: float | None = None) -> bool:
        """Take the lease. Return False: each transaction finds out whether another process wrote."""
        self.keeper.acquire(Work.STORE, self.wait if wait is None else wait, self._what, self._on_wait)
        return False

    def hand_back(self) -> None:
        self.keeper.release(Work.STORE)

    def begin(self, db: Database, *, is_holder: bool) -> bool:
        """Begin a write transaction; return whether another process wrote since the last one of this store."""
        assert isinstance(db, Postgres)
        return self.keeper.begin(db, self._writer, (Work.STORE, Work.LOOP) if is_holder else ())

    def seconds_to_call(self) -> float:
        return self.keeper.seconds_to_call()

    def hold_work(self, work: Work) -> AbstractContextManager[None]:
        """Keep other processes from a kind of work within a block; raise StoreBusy if one is doing it."""
        return self.keeper.hold(work)

    def release(self) -> None:
        self.keeper.release(Work.STORE)
        if self._is_own:
            self.keeper.close()


@contextmanager
def hold_work_lock(place: str, who: Holder, work: Work, wait: float = 0.0) -> Iterator[None]:
    """Keep other processes from this work within the block; raise StoreBusy if one has done it for `wait` seconds.

    A process that lives keeps the lock. That of a process that died is free at once on SQLite, and on PostgreSQL when
    its lease has lapsed.
    """
    if is_on_server(place):
        keeper = LeaseKeeper(place, who)
        try:
            with keeper.hold(work, wait):
                yield
        finally:
            keeper.close()
        return
    path = parse_path(place)
    make_private_folder(path.parent)
    lock = FileLock(path.with_name(f"{path.name}.{work}"), who, wait=wait, what=DOING[work])
    try:
        yield
    finally:
        lock.release()


def _read_clock() -> float:
    """Return seconds of a clock that nobody sets, and that also counts while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # on Linux only
    return time.monotonic() if boot is None else float(getattr(time, "clock_gettime")(boot))  # noqa: B009 - for mypy
