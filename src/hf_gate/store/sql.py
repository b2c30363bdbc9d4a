"""Connections to SQLite and PostgreSQL with one dialect: `?` for values, and errors that say what to do."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, Self, TypeAlias, TypeVar

import msgspec

from hf_gate.base.decoding import convert_value, decode_json
from hf_gate.errors import StoreBusy, StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T", bound=msgspec.Struct)
D = TypeVar("D")
Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Sequence[object]
Frequent: TypeAlias = tuple[tuple[str, ...], int]
"""Trigrams that more requests have than this number, so that a search for them need not read their lists again."""

BUSY_MS: Final = 5000
_LAST: Final = 1 << 62
_COPY_FROM: Final = 50  # rows
_FETCH: Final = 1000  # rows read at once by `stream`
_INSERT: Final = re.compile(r"INSERT INTO (\w+ \([^)]+\)) VALUES \([?, ]+\)\Z")
_CACHE_KIB: Final = 65_536
_WAL_PAGES: Final = 32_000  # 128 MB, so that a page that many transactions change is copied to the file only once


class Reader(Protocol):
    """What can be read: an open store, a transaction, which sees what it wrote, or a connection."""

    @property
    def reads(self) -> Database: ...


class DatabaseConnection(ABC):
    """What the connections to both databases have in common."""

    @abstractmethod
    def rows(self, sql: str, values: Values = ()) -> list[Row]: ...

    @abstractmethod
    def run(self, sql: str, values: Values = ()) -> int: ...

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def commit(self) -> None: ...

    @abstractmethod
    def rollback(self) -> None: ...

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or roll all of it back after an error."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise

    @property
    def reads(self) -> Self:
        """Itself, as a `Reader`."""
        return self

    def reconnect_if_lost(self) -> bool:
        """Connect again if the server ended the connection; return whether it did. Files end no connection."""
        return False

    def row(self, sql: str, values: Values = ()) -> Row | None:
        found = self.rows(sql, values)
        return found[0] if found else None

    def count(self, sql: str, values: Values = ()) -> int:
        """Return the number in the first row; 0 without a row, and for null."""
        found = self.row(sql, values)
        return int(found[0] or 0) if found else 0

    def setting(self, key: str) -> str | None:
        """Return a setting of the store, or None."""
        found = self.row("SELECT value FROM settings WHERE key = ?", (key,))
        return None if found is None else str(found[0])

    def write_setting(self, key: str, value: str | None) -> None:
        """Store a setting; None deletes it."""
        self.run("DELETE FROM settings WHERE key = ?", (key,))
        if value is not None:
            self.run("INSERT INTO settings (key, value) VALUES (?, ?)", (key, value))


class Sqlite(DatabaseConnection):
    """A connection to a file. `at` names the file in errors. `error` is the base class of the database's exceptions.

    Another thread may close it at any time: `close` waits for the statement in progress, because `sqlite3` crashes the
    process if a connection is closed under a running statement.
    """

    is_sqlite = True
    error: type[Exception] = sqlite3.Error

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.at = str(path)
        self.frequent = set[Frequent]()
        self._in_use = threading.RLock()
        with _translate_errors(self.at):
            self.raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=400)
            try:
                self._configure(writes=writes)
            except BaseException:
                self.raw.close()
                raise

    def _configure(self, *, writes: bool) -> None:
        # secure_delete = ON would write each page that an index merge frees once more
        words = [f"busy_timeout = {BUSY_MS}", "foreign_keys = ON", "secure_delete = FAST", "temp_store = MEMORY"]
        words.append(f"cache_size = -{_CACHE_KIB if writes else _CACHE_KIB // 4}")
        words += ["synchronous = FULL", f"wal_autocheckpoint = {_WAL_PAGES}"] if writes else ["query_only = ON"]
        for word in words:
            self.raw.execute(f"PRAGMA {word}")

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        try:
            with self._in_use:
                return self.raw.execute(sql, values).fetchall()
        except sqlite3.Error as problem:
            raise_sqlite_error(problem, self.at)

    def stream(self, sql: str) -> Iterator[dict[str, Any]]:
        """Iterate over rows as dicts by column name, never all in memory."""
        with self._in_use, _translate_errors(self.at):
            cursor = self.raw.execute(sql)
            names = [about[0] for about in cursor.description]
        while rows := self._fetch(cursor):
            yield from (dict(zip(names, row, strict=True)) for row in rows)

    def _fetch(self, cursor: sqlite3.Cursor) -> list[Row]:
        with self._in_use, _translate_errors(self.at):
            return cursor.fetchmany(_FETCH)

    def run(self, sql: str, values: Values = ()) -> int:
        try:
            with self._in_use:
                return self.raw.execute(sql, values).rowcount
        except sqlite3.Error as problem:
            raise_sqlite_error(problem, self.at)

    def read_version(self) -> int | None:
        """Return a number that changes when another connection has written."""
        found = self.row("PRAGMA data_version")
        return None if found is None else int(found[0])

    def run_many(self, sql: str, rows: Iterable[Values]) -> int:
        with self._in_use, _translate_errors(self.at):
            return self.raw.executemany(sql, rows).rowcount

    insert_many = run_many

    def reserve_ids(self, table: str, size: int) -> range:  # noqa: ARG002 - as the other one
        """Return numbers for new rows of a table.

        They are valid until the transaction ends, because there is no other writer.
        """
        return range(self.count(f"SELECT max(id) FROM {table}") + 1, _LAST)

    def in_clause(self, values: Collection[object]) -> tuple[str, object]:
        """Return the SQL to append to a column that must be one of these values, and the one bound value."""
        return "IN (SELECT value FROM json_each(?))", json.dumps(list(values))

    def read_until_interrupted(self, sql: str) -> str | None:
        """Return the single value that a statement returns; None if it was interrupted."""
        try:
            with self._in_use:
                return str(self.raw.execute(sql).fetchone()[0])
        except sqlite3.Error as problem:
            if getattr(problem, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
                return None
            raise_sqlite_error(problem, self.at)

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE")

    def begin_snapshot(self) -> None:
        """Begin to read everything as it is now."""
        self.run("BEGIN")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        """End the transaction, if one is open. A closed connection has none."""
        with self._in_use, suppress(sqlite3.ProgrammingError):
            if self.raw.in_transaction:
                self.run("ROLLBACK")

    def close(self) -> None:
        with self._in_use:
            self.raw.close()

    def raise_error(self, problem: Exception) -> NoReturn:
        """Raise the hf-gate error that matches a database error."""
        assert isinstance(problem, sqlite3.Error)
        raise_sqlite_error(problem, self.at)


class Postgres(DatabaseConnection):
    """A connection to a server, or to a transaction pooler: it relies on nothing that a session has."""

    is_sqlite = False

    def __init__(self, url: str, *, writes: bool, name: str) -> None:
        import psycopg

        self.error: type[Exception] = psycopg.Error
        self._data_error: type[Exception] = psycopg.DataError
        self._idle = psycopg.pq.TransactionStatus.IDLE
        self.at = without_password(url)
        self.frequent = set[Frequent]()
        self._url = url
        self._name = name
        self._writes = writes
        self.raw = self._connect()

    def _connect(self) -> psycopg.Connection[Row]:
        import psycopg

        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                application_name=self._name,
                connect_timeout=10,
                keepalives_idle=5,  # with the next three, a statement fails after about 10 s without a server
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=10_000,
            )
        except psycopg.Error as problem:
            self.raise_error(problem)

    def reconnect_if_lost(self) -> bool:
        """Connect again if the server ended the connection, for example because it restarted; return whether it did.

        Within a transaction, only after a statement of it failed.
        """
        with suppress(self.error):
            if self.raw.pgconn.transaction_status == self._idle:
                for _ in range(2):  # the first reads why the connection ended, and the second that it did
                    self.raw.pgconn.consume_input()
        is_lost = self.raw.broken
        if is_lost:
            self.raw = self._connect()
        return is_lost

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        try:
            return self.raw.execute(_convert_placeholders(sql), values).fetchall()
        except self.error as problem:
            self.raise_error(problem)

    def stream(self, sql: str) -> Iterator[dict[str, Any]]:
        """Iterate over rows as dicts by column name, never all in memory. This needs a transaction."""
        try:
            with self.raw.cursor(name="hf_gate_stream") as cursor:
                cursor.itersize = _FETCH
                cursor.execute(_convert_placeholders(sql))
                names = [about.name for about in cursor.description or ()]
                for row in cursor:
                    yield dict(zip(names, row, strict=True))
        except self.error as problem:
            self.raise_error(problem)

    def run(self, sql: str, values: Values = ()) -> int:
        if not self._writes and sql != "COMMIT":
            raise StoreUnavailable(f"{self.at} is open for reading only.", hint="")
        try:
            return self.raw.execute(_convert_placeholders(sql), values).rowcount
        except self.error as problem:
            self.raise_error(problem)

    def run_script(self, *statements: str, values: Values = ()) -> list[list[Row]]:
        """Run statements in one exchange, with the values of all of them; return the rows of each that has some."""
        import psycopg

        found = list[list[Row]]()
        try:
            cursor = psycopg.ClientCursor(self.raw)  # the server takes no values for several statements
            cursor.execute(_convert_placeholders("; ".join(statements)), values)
            while True:
                if cursor.description is not None:
                    found.append(cursor.fetchall())
                if not cursor.nextset():
                    return found
        except self.error as problem:
            self.rollback()
            self.raise_error(problem)

    def read_version(self) -> None:
        """Return None: the server does not tell cheaply whether something was written."""

    def run_many(self, sql: str, rows: Iterable[Values]) -> int:
        try:
            with self.raw.cursor() as cursor:
                if many := list(rows):
                    cursor.executemany(_convert_placeholders(sql), many)
                return cursor.rowcount
        except self.error as problem:
            self.raise_error(problem)

    def insert_many(self, sql: str, rows: Iterable[Values]) -> None:
        """Insert rows by `INSERT INTO table (columns) VALUES ...`.

        50 or more are written with COPY, which is much faster.
        """
        many = list(rows)
        found = _INSERT.match(sql)
        if found is None or len(many) < _COPY_FROM:
            self.run_many(sql, many)
            return
        try:
            with self.raw.cursor() as cursor, cursor.copy(f"COPY {found[1]} FROM STDIN".encode()) as copy:
                for row in many:
                    copy.write_row(row)
        except self.error as problem:
            self.raise_error(problem)

    def reserve_ids(self, table: str, size: int) -> range:
        """Return `size` numbers for new rows of a table from its identity.

        They are never given out again, even if unused.
        """
        sequence = "pg_get_serial_sequence(?, 'id')"
        last = self.count(f"SELECT setval({sequence}, nextval({sequence}) + ? - 1)", (table, table, size))
        return range(last - size + 1, last + 1)

    def in_clause(self, values: Collection[object]) -> tuple[str, object]:
        """Return the SQL to append to a column that must be one of these values, and the one bound value."""
        return "= ANY(?)", list(values)

    def begin(self) -> None:
        self.run_script("BEGIN" if self._writes else "BEGIN READ ONLY", f"SET LOCAL lock_timeout = {BUSY_MS}")

    def begin_snapshot(self) -> None:
        """Begin to read everything as it is now."""
        self.run_script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        with suppress(self.error):  # a lost connection has no transaction
            if not self.raw.closed:
                self.raw.execute("ROLLBACK")

    def close(self) -> None:
        self.raw.close()

    def raise_error(self, problem: Exception) -> NoReturn:
        """Raise the hf-gate error that matches a database error."""
        state = getattr(problem, "sqlstate", None) or ""
        words = str(problem).strip().partition("\n")[0] or type(problem).__name__
        if state == "53100":
            raise StoreUnavailable(f"the disk of {self.at} is full; nothing was written.", hint=_FULL_HINT) from problem
        if state in {"55P03", "40001", "40P01"}:
            raise StoreBusy(f"{self.at} is locked by another session: {words}") from problem
        if isinstance(problem, self._data_error) or state.startswith("54"):  # such as NUL, or too long for an index
            raise ValueError(f"{self.at} cannot store a value: {words}") from problem
        if state == "42P01":
            raise StoreDamaged(f"{self.at} is no complete store: {words}") from problem
        if state.startswith("XX"):
            raise StoreDamaged(f"{self.at} is damaged: {words}") from problem
        if not state or state.startswith(("08", "25P03", "28", "3D", "53", "57")):  # 25P03: it did nothing for too long
            hint = "Check that the server runs and accepts the user, then run the same command again."
            raise StoreUnavailable(f"{self.at} cannot be reached: {words}", hint=hint) from problem
        raise problem


Database: TypeAlias = Sqlite | Postgres


@contextmanager
def _translate_errors(at: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        raise_sqlite_error(problem, at)


_FULL_HINT: Final = "Free disk space and repeat the command; the store is undamaged."
_UNAVAILABLE: Final = {
    "SQLITE_FULL": "the disk of {at} is full; nothing was written.",
    "SQLITE_IOERR": "{at} could not be read or written: {words}.",
    "SQLITE_CANTOPEN": "{at} cannot be opened.",
    "SQLITE_READONLY": "you do not have permission to write {at}.",
    "SQLITE_PERM": "you do not have permission to open {at}.",
    "SQLITE_AUTH": "you do not have permission to open {at}.",
}


def raise_sqlite_error(problem: sqlite3.Error, at: str) -> NoReturn:
    """Raise the hf-gate error that matches a database error. Errors that only a bug can cause are raised unchanged."""
    name = getattr(problem, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise StoreDamaged(f"{at} is damaged: {problem}.") from problem
    if isinstance(problem, sqlite3.ProgrammingError) and "closed database" in str(problem):
        raise StoreUnavailable("the store is closed.", hint="") from problem
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise StoreBusy(f"{at} is locked by another program.") from problem
    for prefix, words in _UNAVAILABLE.items():
        if name.startswith(prefix):
            hint = _FULL_HINT if prefix in {"SQLITE_FULL", "SQLITE_IOERR"} else None
            raise StoreUnavailable(words.format(at=at, words=problem), hint=hint) from problem
    raise problem


def decode_stored(document: str | bytes, kind: type[D]) -> D:
    """Decode a stored JSON document, such as a setting. Raise StoreDamaged if it is no value of the type."""
    try:
        return decode_json(document, kind)
    except ValueError as problem:  # only an edited store has such values; they may be personal data
        raise StoreDamaged("the store has a value that cannot be read.") from problem


def decode_row(row: Sequence[Any], kind: type[T], **parsers: Callable[[Any], object]) -> T:
    """Return a struct with the values of a row in the order of its fields; a parser decodes the value of its field."""
    values = dict(zip(kind.__struct_fields__, row, strict=True))
    try:
        return convert_value(values | {name: parse(values[name]) for name, parse in parsers.items()}, kind)
    except (ValueError, TypeError) as problem:  # only an edited store has such values; they may be personal data
        raise StoreDamaged(f"the store has a {kind.__name__} that cannot be read.") from problem


@lru_cache(maxsize=512)
def _convert_placeholders(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def without_password(url: str) -> str:
    """Return the address of a server without the password and parameters."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    return f"{scheme}://{who.partition(':')[0]}{at}{where.partition('?')[0]}"
