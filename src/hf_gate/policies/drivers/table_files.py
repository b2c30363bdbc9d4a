"""Reads table files (CSV and JSON lines) and reports each problem with its line."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path, PurePath
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import is_id
from hf_gate.base.private_files import read_unchanged_file
from hf_gate.core.people.grants import FAR_END, end_of_day
from hf_gate.core.policy_model import TableSpec
from hf_gate.policies.facts.email_addresses import parse_address, parse_domain
from hf_gate.policies.facts.fact_values import clean_text
from hf_gate.policies.facts.tables import KEYS, Table, TableProblem, TableRow, build_table
from hf_gate.policies.parsing.table_text import KNOWN_COLUMNS, ParsedFile, has_key_column, parse_file, spread_key

MAX_BYTES = 64 << 20
SHRINK_LIMIT = 0.25
"""The share of rows that a table may lose between two reads.

If it loses more, the file counts as incomplete until accepted.
"""

_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


def load_table(
    path: Path,
    name: str,
    key: Sequence[str],
    *,
    zone: tzinfo = UTC,
    previous_rows: int | None = None,
    now: datetime | None = None,
) -> Table:
    """Load a table file: JSON lines for .jsonl and .ndjson, otherwise CSV. Never raises because of the content.

    A file that cannot be used gives a table with a `refusal`: the result of every lookup is unknown, never "missing".
    """
    try:
        if not is_own_file(path):
            return _refused_table(
                name, key, f"{path.name} is not a regular file, or links to a file of another type", now
            )
        content = read_unchanged_file(path, MAX_BYTES)
    except FileNotFoundError:
        return _refused_table(name, key, f"{path.name} does not exist; make it: hf-gate table import {name} FILE", now)
    except OSError as problem:
        return _refused_table(name, key, f"{path.name} cannot be read: {problem.strerror}", now)
    if content is None:
        return _refused_table(name, key, f"{path.name} changed while it was read; it will be read again", now)
    if len(content) > MAX_BYTES:
        return _refused_table(name, key, f"{path.name} is larger than {MAX_BYTES >> 20} MiB", now)
    return parse_table(content, name, key, is_json=is_json_lines(path), zone=zone, previous_rows=previous_rows, now=now)


def is_json_lines(path: PurePath) -> bool:
    """Return whether a table file holds JSON lines rather than CSV."""
    return path.suffix.lower() in {".jsonl", ".ndjson"}


def is_own_file(path: Path) -> bool:
    """Return whether a path is a regular file, or a link to a file with the same extension.

    Error messages quote the file, so a link in a proposed policy could otherwise expose any file on the machine. Raises
    OSError if there is no file.
    """
    return stat.S_ISREG(path.stat().st_mode) and path.resolve().suffix.lower() == path.suffix.lower()


def parse_table(
    content: bytes,
    name: str,
    key: Sequence[str],
    *,
    is_json: bool = False,
    zone: tzinfo = UTC,
    previous_rows: int | None = None,
    now: datetime | None = None,
) -> Table:
    """Parse the content of a table file. A date expires at the end of its day in `zone`.

    `previous_rows` is the number of rows at the last read. 0 means that an empty table was accepted.
    """
    read = parse_file(content, key, is_json=is_json)
    return build_table_of_file(read, name, key, zone, previous_rows=previous_rows, now=now)


def build_table_of_file(
    read: ParsedFile,
    name: str,
    key: Sequence[str],
    zone: tzinfo,
    *,
    previous_rows: int | None = None,
    now: datetime | None = None,
) -> Table:
    """Return the table of parsed records; one with a refusal if they cannot be used."""
    has_key = has_key_column(read.header, key) or any(each in read.header for each in key)
    if not read.refused and read.header and not has_key:
        wanted = " or ".join(key)
        read = replace(read, refused=f"no column {wanted}; its columns are {', '.join(read.header)[:200] or 'none'}")
    if read.refused:
        return _refused_table(name, key, read.refused, now, read.problems)
    return _make_table(read, name, key, zone, previous_rows, now)


def inline_table(name: str, rows: Iterable[str], now: datetime | None = None) -> Table:
    """Build a table from inline rows: usernames, addresses, `@domain` and `@*.domain`."""
    built: list[TableRow] = []
    problems: list[TableProblem] = []
    for number, text in enumerate(rows, 1):
        is_mail = "@" in text.strip().lstrip("@") or (text.strip().startswith("@") and "." in text)
        row = _TableRecord({"email" if is_mail else "username": text}, number, UTC, problems).to_row(KEYS)
        if row:
            built.append(row)
    skipped = [problem.line for problem in problems if problem.is_error]
    return build_table(name, KEYS, built, _compute_digest(KEYS, built), problems, skipped=skipped, as_of=now)


StoredRows: TypeAlias = Mapping[str, Mapping[str, str]]
"""The cells of rows by their keys: account ids, usernames, addresses and `@domain`."""


def make_stored_table(spec: TableSpec, rows: StoredRows, zone: tzinfo, now: datetime | None = None) -> Table:
    """Build a table from rows of the store."""
    records = tuple((line, {**cells, **_name_key(key)}) for line, (key, cells) in enumerate(rows.items(), 1))
    return _make_table(ParsedFile(KEYS, records), spec.name, spec.key, zone, 0, now)


def encode_stored_rows(rows: StoredRows) -> bytes:
    """Return rows of the store as JSON lines."""
    return b"".join(json.dumps({**cells, **_name_key(key)}).encode() + b"\n" for key, cells in rows.items())


def cells_beside_key(key: str, cells: Mapping[str, str]) -> dict[str, str]:
    """Return the cells of a row that are stored beside its key."""
    return {name: cell for name, cell in cells.items() if cell and name not in _name_key(key)}


def _name_key(key: str) -> dict[str, str]:
    """Return the key of a row under the name of its column."""
    return {"user_id" if is_id(key) else "email" if "@" in key else "username": key}


def _refused_table(
    name: str, key: Sequence[str], why: str, now: datetime | None, problems: Iterable[TableProblem] = ()
) -> Table:
    found = (*problems, TableProblem(0, "table_refused", f"{why}."))
    return Table(name, tuple(key), problems=found, refusal=f"table {name}: {why}", as_of=now)


def _make_table(
    read: ParsedFile, name: str, key: Sequence[str], zone: tzinfo, previous_rows: int | None, now: datetime | None
) -> Table:
    problems = list(read.problems)
    skipped = list(read.skipped)
    has_key = has_key_column(read.header, key)
    problems += [
        TableProblem(1, "key_missing", f"No column {each}.", is_error=False)
        for each in key
        if read.header and each not in read.header and not (has_key and each in {"user_id", "username"})
    ]
    rows: list[TableRow] = []
    for line, raw in read.records:
        cells = spread_key(raw) if has_key else raw
        row = _TableRecord(cells, line, zone, problems).to_row(key)
        if row is None:
            skipped.append(line)
        else:
            rows.append(row)
    if not rows and (skipped or previous_rows != 0):
        hint = "" if skipped else f" ({_acceptance_hint(name)})"
        return _refused_table(name, key, f"the file has no valid row{hint}", now, problems)
    if previous_rows and len(rows) < previous_rows * (1 - SHRINK_LIMIT):
        why = (
            f"{len(rows)} row{'s' * (len(rows) != 1)} instead of {previous_rows}; the file may be incomplete "
            f"({_acceptance_hint(name)})"
        )
        return _refused_table(name, key, why, now, problems)
    repeated = list(_find_duplicates(rows, key))
    problems = sorted([*problems, *repeated], key=lambda each: each.line)
    if doubled := next((each for each in repeated if each.is_error), None):
        why = f"line {doubled.line}: {doubled.message[:-1]}; keep one of the two rows"
        return _refused_table(name, key, why, now, problems)
    return build_table(name, key, rows, _compute_digest(key, rows), problems, skipped=sorted(skipped), as_of=now)


def _acceptance_hint(name: str) -> str:
    return f"to accept it: hf-gate policy check --accept-table {name}"


def _compute_digest(key: Sequence[str], rows: Iterable[TableRow]) -> str:
    """Return the digest of the rows; their order and lines do not matter."""
    lines = sorted(
        json.dumps(
            [row.user_id, row.email, row.username, row.domain, *row.terms], ensure_ascii=True, separators=(",", ":")
        )
        for row in rows
    )
    return hashlib.sha256("\n".join([",".join(key), *lines]).encode()).hexdigest()


def _find_duplicates(rows: Iterable[TableRow], key: Sequence[str]) -> Iterator[TableProblem]:
    """Yield a warning for each row that repeats another one, and an error if the two differ in what they say."""
    seen: dict[tuple[str, str], TableRow] = {}
    for row in rows:
        for each in (*key, "domain"):
            value = row.value_of_key(each)
            first = seen.setdefault((each, value), row) if value else row
            if first is row:
                continue
            differs = first.terms != row.terms
            words = "is repeated with other values" if differs else "is repeated"
            yield TableProblem(row.line, "duplicate_row", f"{each} of line {first.line} {words}.", is_error=differs)
            break


# ---- rows ------------------------------------------------------------------------------------------------------------


class _TableRecord(Struct, frozen=True):
    """Converts one record to a row, and adds its problems to `problems`."""

    cells: Mapping[str, str]
    line: int
    zone: tzinfo
    problems: list[TableProblem]

    def to_row(self, key: Sequence[str]) -> TableRow | None:
        """Return the row; None if it has no valid key."""
        before = len(self.problems)
        user_id = self._read_user_id()
        username = self._read_username()
        email, domain = self._read_email()
        starts, expires, flaw = self._read_period()
        columns = {
            clean_text(name): clean_text(cell)
            for name, cell in self.cells.items()
            if name and name not in KNOWN_COLUMNS
        }
        row = TableRow(self.line, user_id, email, username, domain, starts, expires, columns, flaw)
        if any(row.value_of_key(each) for each in key) or (domain and "email" in key):
            return row
        if not any(problem.is_error for problem in self.problems[before:]):
            self._add_problem("no_key", f"No value in {' or '.join(key)}; the line identifies nobody.")
        return None

    def _add_problem(self, code: str, message: str, *, is_error: bool = True) -> None:
        self.problems.append(TableProblem(self.line, code, message, is_error))

    def _cell(self, name: str) -> str:
        return self.cells.get(name, "").strip()

    def _read_user_id(self) -> str | None:
        text = self._cell("user_id")
        if text and not is_id(text):
            self._add_problem("no_user_id", f"{text[:60]!r} is not a Hub id (24 hex digits).")
        return text.lower() if is_id(text) else None

    def _read_username(self) -> str | None:
        text = self._cell("username")
        if not text:
            return None
        name = _strip_username(text)
        if not _USERNAME.match(name):
            self._add_problem("no_username", f"{text[:60]!r} is not a Hub username.")
            return None
        if name != text:
            self._add_problem("tidied", f"{text[:60]!r} was read as {name!r}.", is_error=False)
        return name.lower()

    def _read_email(self) -> tuple[str | None, str | None]:
        """Return an e-mail address, or the domain if the row covers a whole domain."""
        text = self._cell("email").removeprefix("mailto:")
        if not text:
            return None, None
        if text.startswith("@"):
            name = text[1:]
            plain = parse_domain(name.removeprefix("*."))
            if plain and "." in plain:
                return None, f"*.{plain}" if name.startswith("*.") else plain
            self._add_problem("no_domain", f"{text[:60]!r} is not a domain.")
            return None, None
        wrapped = re.fullmatch(r"[^<>]*<([^<>]+)>", text)
        address = parse_address(wrapped[1] if wrapped else text)
        if address is None:
            self._add_problem("no_email", f"{text[:60]!r} is not an e-mail address.")
            return None, None
        return str(address), None

    def _read_period(self) -> tuple[datetime | None, datetime | None, str]:
        """Return when the row begins and expires, and the problem if a date is invalid. Such a row is unknown."""
        starts, flaw = self._read_date("from", _parse_start)
        expires, other = self._read_date("expires", _parse_expiry)
        flaw = flaw or other
        if starts is not None and expires is not None and expires <= starts:
            flaw = "the row ends before it starts"
            self._add_problem("no_period", "The row ends before it starts; correct `from` or `expires`.")
        return starts, expires, flaw

    def _read_date(self, column: str, parse: Callable[[str, tzinfo], datetime]) -> tuple[datetime | None, str]:
        text = self._cell(column)
        if not text:
            return None, ""
        try:
            moment = parse(text, self.zone)
            return (FAR_END if moment.astimezone(UTC) > FAR_END else moment), ""
        except (ValueError, OverflowError):
            flaw = f"{column} {text[:40]!r} is not a date; write it as 2027-06-30"
            self._add_problem("no_date", f"{flaw[0].upper()}{flaw[1:]}.")
            return None, flaw


def _parse_start(text: str, zone: tzinfo) -> datetime:
    """Parse a start: the beginning of a date, or a point in time."""
    if _DATE.match(text):
        return datetime.combine(date.fromisoformat(text), time.min, zone)
    return _parse_expiry(text, zone)


def _parse_expiry(text: str, zone: tzinfo) -> datetime:
    """Parse an expiry: the end of a date, or a point in time. `zone` applies unless the text has a zone."""
    if _DATE.match(text):
        day = date.fromisoformat(text)
        return FAR_END if day == date.max else end_of_day(day, zone)
    if ":" not in text:  # reject 20270630 and 2027-W26, which fromisoformat accepts
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return FAR_END if moment.date() == date.max else moment.replace(tzinfo=zone)
    return moment


def _strip_username(text: str) -> str:
    """Return the username in pasted text: `@name`, the page of an account, surrounding spaces."""
    if "://" in text or text.lower().startswith(("huggingface.co/", "hf.co/")):
        try:
            path = urlsplit(text if "://" in text else f"https://{text}").path.strip("/")
        except ValueError:
            return text
        return path.split("/")[0]
    return text.removeprefix("@").strip()
