"""The connections of an open store: one for reading in each thread, and one for writing with the write lock."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Self

from hf_gate.core.events.classification import RequestClassifier
from hf_gate.core.requests import AccessRequest
from hf_gate.core.stored_rows import ProcessRow
from hf_gate.errors import StoreTooNew, StoreUnavailable
from hf_gate.store.database.schema import check_program, read_about_schema
from hf_gate.store.writing.writer import Writer
from hf_gate.store.writing.writer_cache import WriterCache

from .leases import LeaseLock
from .sql import Database
from .write_lock import Lock, Work

_CLOSE_WAIT_S = 5.0


def _closed_error() -> StoreUnavailable:
    return StoreUnavailable("the store is closed.", hint="")


class StoreConnections:
    """Opens connections for reading, and runs one write transaction at a time.

    `connect` opens another connection for reading. A store that `lends` its write lock holds it only while it writes.
    """

    def __init__(
        self,
        connect: Callable[[], Database],
        writes: Database | None,
        lock: Lock | None,
        country_of: Callable[[AccessRequest], str | None],
        *,
        lends: bool = False,
        load_classifier: Callable[[], RequestClassifier] | None = None,
    ) -> None:
        self._connect = connect
        self._writes = writes
        self._lock = lock
        self._memory = WriterCache(writes, country_of, load_classifier) if writes is not None else None
        self._transaction_lock = threading.Lock()
        self._holders_lock = threading.Lock()
        self._holders = 0
        self._lends_lock = lends and lock is not None
        if lock is not None and self._lends_lock:
            lock.hand_back()
        self._thread_local = threading.local()
        self._readers: dict[threading.Thread, Database] = {}
        self._is_closed = False

    def close(self) -> None:
        """Close all connections and release the write lock.

        The transaction of another thread may end first, for at most 5 s. Later uses raise StoreUnavailable.
        """
        has_ended = self._transaction_lock.acquire(timeout=_CLOSE_WAIT_S)
        try:
            self._is_closed = True
            for db in (*self._readers.values(), *([self._writes] if self._writes else [])):
                db.close()
            self._readers = {}
            self._writes = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None
        finally:
            if has_ended:
                self._transaction_lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def reads(self) -> Database:
        """This thread's connection for reading."""
        db: Database | None = getattr(self._thread_local, "db", None)
        if db is None:
            db = self._thread_local.db = self._connect()
            self._close_unused_readers()
            self._readers[threading.current_thread()] = db
        db.reconnect_if_lost()
        if self._is_closed:  # perhaps while this connection was made
            db.close()
        return db

    def _close_unused_readers(self) -> None:
        """Close the connections of threads that have ended: a desk makes each plan in a thread of its own."""
        for thread in [thread for thread in list(self._readers) if not thread.is_alive()]:
            if (db := self._readers.pop(thread, None)) is not None:  # else another thread closes it
                db.close()

    @property
    def error(self) -> type[Exception]:
        """What the database raises where it has no error of hf-gate."""
        return self.reads.error

    def check_program(self) -> None:
        """Raise StoreTooNew if a newer hf-gate changed the store meanwhile so that this one cannot go on."""
        check_program(read_about_schema(self.reads), self.reads.at)

    def classification_version(self, form_card: str | None) -> str | None:
        """Return the version that classifications of requests with this form should have; None without a classifier."""
        return None if self._memory is None else self._memory.classifiers.version(form_card)

    @contextmanager
    def writing(self, *, is_short: bool = False, wait: float | None = None) -> Iterator[Writer]:
        """Run one transaction. It is durable when the block ends; an error rolls all of it back. Do not nest.

        One that `is_short` decides by what it reads itself. On PostgreSQL it passes beside the work of other processes;
        on SQLite it waits for them `wait` seconds, as every transaction does.
        """
        if self._memory is None:
            raise StoreUnavailable("the store is open for reading only.", hint="")
        with self._hold_for_transaction(wait, is_short=is_short), self._transaction_lock:
            db = self._restore_writer()
            writer = Writer(db, self._memory)
            try:
                if self._lock is None:
                    db.begin()
                elif self._lock.begin(db, is_holder=not self._lends_lock or self._depth > 0):
                    self._memory.clear()
                yield writer
                writer.finish()
                db.commit()
            except BaseException:
                self._memory.clear()
                db.rollback()
                raise

    @contextmanager
    def maintaining(self) -> Iterator[Database]:
        """Yield the connection for writing outside a transaction, for statements that cannot be part of one."""
        if self._memory is None:
            raise StoreUnavailable("the store is open for reading only.", hint="")
        with self.hold_write_lock(), self._transaction_lock:
            yield self._restore_writer()

    def _restore_writer(self) -> Database:
        """Return the connection for writing, which is made again if the server ended it."""
        db = self._writes
        if db is None or self._memory is None:
            raise _closed_error()
        if db.reconnect_if_lost():
            self._memory.clear()  # a server that restarted may have lost its last transactions
        if self._is_closed:
            db.close()
        return db

    @contextmanager
    def hold_write_lock(self, wait: float | None = None) -> Iterator[None]:
        """Keep other processes from writing within the block, also between transactions.

        A store that lends its lock acquires it again for the block. Raise StoreBusy if another process keeps it longer
        than `wait` seconds.
        """
        self._acquire_lock(wait)
        self._thread_local.depth = self._depth + 1
        try:
            yield
        finally:
            self._thread_local.depth -= 1
            with self._holders_lock:
                self._holders -= 1
                if self._lends_lock and not self._holders and self._lock is not None:
                    self._lock.hand_back()

    @property
    def _depth(self) -> int:
        """How many blocks of `hold_write_lock` this thread is in."""
        return getattr(self._thread_local, "depth", 0)

    def hold_for_result(self, wait: float) -> AbstractContextManager[None]:
        """Wait up to `wait` seconds until short transactions can be written; on PostgreSQL they always can."""
        return self._hold_for_transaction(wait, is_short=True)

    def _hold_for_transaction(self, wait: float | None, *, is_short: bool) -> AbstractContextManager[None]:
        is_beside = is_short and self._lock is not None and self._lock.is_shared
        return nullcontext() if is_beside else self.hold_write_lock(wait)

    def seconds_to_call(self) -> float:
        """Return for how many seconds a call may last that starts now and may change something; 0: none may start."""
        return math.inf if self._lock is None else self._lock.seconds_to_call()

    def announce(self, describe: Callable[[], ProcessRow]) -> None:
        """Let other processes see what this one runs with, on PostgreSQL."""
        if isinstance(self._lock, LeaseLock):
            self._lock.keeper.announce(describe)

    @property
    def is_shared(self) -> bool:
        """Whether processes of several machines may use the store."""
        return isinstance(self._lock, LeaseLock)

    @property
    def sharers(self) -> int:
        """How many processes share the limits of this one's token, itself included."""
        return self._lock.keeper.sharers if isinstance(self._lock, LeaseLock) else 1

    @property
    def is_leader(self) -> bool:
        """Whether this process is the loop that leads, as far as it knows."""
        return isinstance(self._lock, LeaseLock) and self._lock.keeper.holds(Work.LOOP)

    def _acquire_lock(self, wait: float | None) -> None:
        """Register one more holder.

        Waiting threads share one wait for the lock, so no thread waits longer than it would alone.
        """
        limit = -1.0 if not self._lends_lock or self._lock is None else self._lock.wait if wait is None else wait
        if not self._holders_lock.acquire(timeout=limit):
            raise _closed_error() if self._lock is None else self._lock.busy_error()
        try:
            if self._lends_lock and not self._holders:
                self._reacquire_lock(wait)
            self._holders += 1
        finally:
            self._holders_lock.release()

    def _reacquire_lock(self, wait: float | None) -> None:
        lock = self._lock
        db = self._writes
        memory = self._memory
        if lock is None or db is None or memory is None:
            raise _closed_error()
        if not lock.acquire(wait):
            return
        memory.clear()  # another process wrote meanwhile
        try:
            check_program(read_about_schema(db), db.at)
        except StoreTooNew:
            lock.hand_back()
            raise
