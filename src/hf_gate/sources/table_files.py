"""Reads table files (CSV and JSON lines) and reports each problem with its line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from urllib.parse import urlsplit

from ..domain.grants import end_of_day
from ..domain.ids import is_id
from ..policy.email_addresses import parse_address, parse_domain
from ..policy.fact_values import clean_text
from ..policy.tables import KEYS, Table, TableProblem, TableRow, build_table

MAX_BYTES = 64 << 20
MAX_ROWS = 1_000_000
SHRINK_LIMIT = 0.25
"""The share of rows that a table may lose between two reads. If it loses more, the file counts as incomplete until accepted."""

_USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_KNOWN_COLUMNS = {*KEYS, "expires"}
_COLUMN_ALIASES = {
    "e_mail": "email",
    "mail": "email",
    "userid": "user_id",
    "user_name": "username",
    "expires_at": "expires",
}


@dataclass(frozen=True, slots=True)
class _ParsedFile:
    """The header, the records with their line numbers, and the problems of a file."""

    header: tuple[str, ...] = ()
    records: tuple[tuple[int, Mapping[str, str]], ...] = ()
    problems: tuple[TableProblem, ...] = ()
    skipped: tuple[int, ...] = ()
    refused: str = ""


def load_table(
    path: Path, name: str, key: Sequence[str], *, zone: tzinfo = UTC, previous_rows: int | None = None, now: datetime | None = None
) -> Table:  # fmt: skip
    """Load a table file: JSON lines for .jsonl and .ndjson, otherwise CSV. Never raises because of the content.

    A file that cannot be used gives a table with a `refusal`: the result of every lookup is unknown, never "missing".
    """
    try:
        if not is_own_file(path):
            return _refused_table(
                name, key, f"{path.name} is not a regular file, or links to a file of another type", now
            )
        if path.stat().st_size > MAX_BYTES:
            return _refused_table(name, key, f"{path.name} is larger than {MAX_BYTES >> 20} MiB", now)
        content = path.read_bytes()
    except OSError as problem:
        return _refused_table(name, key, f"{path.name} cannot be read: {problem.strerror}", now)
    is_json = path.suffix.lower() in {".jsonl", ".ndjson"}
    return parse_table(content, name, key, is_json=is_json, zone=zone, previous_rows=previous_rows, now=now)


def is_own_file(path: Path) -> bool:
    """Return whether a path is a regular file, or a link to a file with the same extension.

    Error messages quote the file, so a link in a proposed policy could otherwise expose any file on the machine. Raises
    OSError if there is no file.
    """
    return stat.S_ISREG(path.stat().st_mode) and path.resolve().suffix.lower() == path.suffix.lower()


def parse_table(
    content: bytes, name: str, key: Sequence[str], *, is_json: bool = False, zone: tzinfo = UTC,
    previous_rows: int | None = None, now: datetime | None = None,
) -> Table:  # fmt: skip
    """Parse the content of a table file. A date expires at the end of its day in `zone`.

    `previous_rows` is the number of rows at the last read. 0 means that an empty table was accepted.
    """
    text = _decode(content)
    if text is None:
        return _refused_table(name, key, "the file is not UTF-8; save it as CSV UTF-8", now)
    read = _parse_json_lines(text) if is_json else _parse_csv(text, key)
    if not read.refused and read.header and not any(each in read.header for each in key):
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
    skipped = [each.line for each in problems if each.is_error]
    return build_table(name, KEYS, built, _compute_digest(KEYS, built), problems, skipped=skipped, as_of=now)


def _refused_table(
    name: str, key: Sequence[str], why: str, now: datetime | None, problems: Iterable[TableProblem] = ()
) -> Table:
    found = (*problems, TableProblem(0, "table_refused", f"{why}."))
    return Table(name, tuple(key), problems=found, refusal=f"table {name}: {why}", as_of=now)


def _make_table(
    read: _ParsedFile, name: str, key: Sequence[str], zone: tzinfo, previous_rows: int | None, now: datetime | None
) -> Table:
    problems = list(read.problems)
    skipped = list(read.skipped)
    problems += [
        TableProblem(1, "key_missing", f"No column {each}.", is_error=False)
        for each in key
        if read.header and each not in read.header
    ]
    rows: list[TableRow] = []
    for line, cells in read.records:
        row = _TableRecord(cells, line, zone, problems).to_row(key)
        if row is None:
            skipped.append(line)
        else:
            rows.append(row)
    if not rows and (skipped or previous_rows != 0):
        hint = "" if skipped else f" ({_acceptance_hint(name)})"
        return _refused_table(name, key, f"the file has no valid row{hint}", now, problems)
    if previous_rows and len(rows) < previous_rows * (1 - SHRINK_LIMIT):
        why = f"{len(rows)} row{'s' * (len(rows) != 1)} instead of {previous_rows}; the file may be incomplete ({_acceptance_hint(name)})"
        return _refused_table(name, key, why, now, problems)
    problems += _find_duplicates(rows, key)
    problems.sort(key=lambda each: each.line)
    return build_table(name, key, rows, _compute_digest(key, rows), problems, skipped=sorted(skipped), as_of=now)


def _acceptance_hint(name: str) -> str:
    return f"to accept it: hf-gate policy check --accept-table {name}"


def _compute_digest(key: Sequence[str], rows: Iterable[TableRow]) -> str:
    """Return the digest of the rows; their order and lines do not matter."""
    lines = sorted(
        json.dumps(
            [row.user_id, row.email, row.username, row.domain, row.expires and row.expires.astimezone(UTC).isoformat(),
             row.date_problem, sorted(row.columns.items())],
            ensure_ascii=True, separators=(",", ":"),
        )
        for row in rows
    )  # fmt: skip
    return hashlib.sha256("\n".join([",".join(key), *lines]).encode()).hexdigest()


def _find_duplicates(rows: Iterable[TableRow], key: Sequence[str]) -> Iterator[TableProblem]:
    seen: dict[tuple[str, str], TableRow] = {}
    for row in rows:
        for each in (*key, "domain"):
            value = row.value_of_key(each)
            first = seen.setdefault((each, value), row) if value else row
            if first is row:
                continue
            differs = first.expires != row.expires
            words = "with another date; the later one applies" if differs else "is repeated"
            yield TableProblem(row.line, "duplicate_row", f"{each} of line {first.line} {words}.", is_error=False)
            break


# ---- parsing ---------------------------------------------------------------------------------------------------------


def _decode(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _column_name(name: str) -> str:
    """Return the canonical name of a known column; other names stay unchanged."""
    plain = "_".join(re.split(r"[\s_-]+", name.strip().lower()))
    plain = _COLUMN_ALIASES.get(plain, plain)
    return plain if plain in _KNOWN_COLUMNS else name.strip()


def _parse_csv(text: str, key: Sequence[str]) -> _ParsedFile:
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return _ParsedFile(refused="the file is empty")
    delimiter = max(",;\t", key=lambda sign: (_count_known_columns(first, sign, key), first.count(sign)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] = ()
    records: list[tuple[int, Mapping[str, str]]] = []
    problems: list[TableProblem] = []
    line = 1
    try:
        for cells in reader:
            at, line = line, reader.line_num + 1
            if not any(map(str.strip, cells)):
                continue
            if not header:
                header = tuple(map(_column_name, cells))
            elif len(cells) != len(header):
                words = f"{len(cells)} cells where the header has {len(header)}."
                problems.append(TableProblem(at, "cells_differ", words))
            elif len(records) >= MAX_ROWS:
                return _ParsedFile(header, refused=f"more than {MAX_ROWS:,} rows")
            else:
                records.append((at, dict(zip(header, cells, strict=True))))
    except csv.Error as problem:
        return _ParsedFile(header, refused=f"line {line}: {problem}; the file may be incomplete")
    return _check_ending(
        _ParsedFile(header, tuple(records), tuple(problems), tuple(each.line for each in problems)), header
    )


def _check_ending(read: _ParsedFile, header: tuple[str, ...]) -> _ParsedFile:
    """Reject a file with an incomplete last record or a duplicate column."""
    last = read.records[-1][0] if read.records else 0
    if read.skipped and read.skipped[-1] > last:
        return replace(read, refused=f"the last line, {read.skipped[-1]}, is incomplete; the file may be cut off")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    return replace(read, refused=f"duplicate column {twice}") if twice else read


def _count_known_columns(line: str, sign: str, key: Sequence[str]) -> int:
    names = {_column_name(cell.strip('"')) for cell in line.split(sign)}
    return sum(each in names for each in key)


def _parse_json_lines(text: str) -> _ParsedFile:
    header: dict[str, None] = {}
    records: list[tuple[int, Mapping[str, str]]] = []
    problems: list[TableProblem] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        cells = _parse_object(line)
        if isinstance(cells, str):
            problems.append(TableProblem(number, "no_json", cells))
        elif len(records) >= MAX_ROWS:
            return _ParsedFile(refused=f"more than {MAX_ROWS:,} rows")
        else:
            header.update(dict.fromkeys(cells))
            records.append((number, cells))
    return _check_ending(
        _ParsedFile(tuple(header), tuple(records), tuple(problems), tuple(each.line for each in problems)), ()
    )


def _parse_object(line: str) -> dict[str, str] | str:
    """Parse one JSON line as cells; return a message if it is invalid."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "Not JSON: write one object for each line."
    if not isinstance(value, dict):
        return "Not an object: write `{...}`."
    cells: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, (dict, list)):
            return f"{name[:60]} is a list or an object; write a text."
        text = "" if item is None else item if isinstance(item, str) else json.dumps(item)
        cells[_column_name(name)] = text
    return cells


# ---- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _TableRecord:
    """Converts one record to a row, and adds its problems to `problems`."""

    cells: Mapping[str, str]
    line: int
    zone: tzinfo
    problems: list[TableProblem]

    def to_row(self, key: Sequence[str]) -> TableRow | None:
        """Return the row; None if it has no valid key."""
        before = len(self.problems)
        user_id, username = self._read_user_id(), self._read_username()
        email, domain = self._read_email()
        expires, flaw = self._read_expires()
        columns = {
            clean_text(name): clean_text(cell)
            for name, cell in self.cells.items()
            if name and name not in _KNOWN_COLUMNS
        }
        row = TableRow(self.line, user_id, email, username, domain, expires, columns, flaw)
        if any(row.value_of_key(each) for each in key) or (domain and "email" in key):
            return row
        if not any(each.is_error for each in self.problems[before:]):
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

    def _read_expires(self) -> tuple[datetime | None, str]:
        """Return when the row expires, and the problem if the date is invalid. A row with an invalid date is unknown."""
        text = self._cell("expires")
        if not text:
            return None, ""
        try:
            return _parse_expiry(text, self.zone), ""
        except (ValueError, OverflowError):
            flaw = f"expires {text[:40]!r} is not a date; write it as 2027-06-30"
            self._add_problem("no_date", f"{flaw[0].upper()}{flaw[1:]}.")
            return None, flaw


def _parse_expiry(text: str, zone: tzinfo) -> datetime:
    """Parse an expiry: the end of a date, or a point in time. `zone` applies unless the text has a zone."""
    if _DATE.match(text):
        return end_of_day(date.fromisoformat(text), zone)
    if ":" not in text:  # reject 20270630 and 2027-W26, which fromisoformat accepts
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _strip_username(text: str) -> str:
    """Return the username in pasted text: `@name`, the page of an account, surrounding spaces."""
    if "://" in text or text.lower().startswith(("huggingface.co/", "hf.co/")):
        try:
            path = urlsplit(text if "://" in text else f"https://{text}").path.strip("/")
        except ValueError:
            return text
        return path.split("/")[0]
    return text.removeprefix("@").strip()
