"""Reads lists of people as offices and spreadsheets write them: any delimiter and encoding, titles above the names of
columns, and a username, an address, a profile or a domain in any of several columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.display_text import limit_lines, make_visible, pluralize
from hf_gate.base.ids import is_id
from hf_gate.errors import UsageError
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.tables import KEYS, TableProblem
from hf_gate.policies.parsing.table_text import (
    DATE_COLUMNS,
    KEY_COLUMN,
    KNOWN_COLUMNS,
    MAX_COLUMNS,
    ParsedFile,
    column_name,
    iterate_csv,
    parse_json_lines,
)

MAX_PEOPLE: Final = 100_000  # rows of a list; a table itself may have more
_MAX_TITLES: Final = 20  # lines that can stand above the names of the columns
_MAX_NAMED: Final = 5  # the most lines that a note names
_MAX_NOTES: Final = 20  # the most repeated lines with other cells that are noted
_MIN_KNOWN: Final = 3  # usernames that a column of usernames has, because first names can be usernames
_MAX_SAMPLED: Final = 20  # cells of a column that are looked up, to know what it holds
_DELIMITERS: Final = ",;\t"
_NOTHING: Final = frozenset({"", "-", "--", "–", "—", "?", "n/a", "na", "none", "null", "keine", "k.a.", "#n/a"})
_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "localhost", "127.0.0.1"})
_NOT_PEOPLE: Final = frozenset({"datasets", "spaces", "models", "docs", "settings", "papers", "collections"})
_BEHIND_NAME: Final = re.compile(r"[^<>]*<([^<>]+)>\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}\Z")
_PAGE: Final = re.compile(r"(?:https?://|www\.|huggingface\.co/|hf\.co/)", re.IGNORECASE)
_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("user", "login", "account", "handle", "profile", "hub_username"), "username"),
    **dict.fromkeys(("konto", "benutzerkonto", "benutzername", "benutzer", "nutzername", "profil"), "username"),
    **dict.fromkeys(("e_mail_address", "email_address", "e_mail_adresse", "mailadresse", "address"), "email"),
    **dict.fromkeys(("start", "start_date", "valid_from", "von", "beginn", "gültig_ab", "gueltig_ab"), "from"),
    **dict.fromkeys(("until", "end", "end_date", "valid_until", "expiry", "expiry_date", "expiration"), "expires"),
    **dict.fromkeys(("bis", "ende", "enddatum", "ablauf", "ablaufdatum", "gültig_bis", "gueltig_bis"), "expires"),
}
_HUB_WORDS: Final = re.compile(r"_(?:hugging_?face|hf)(?=_)")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DOTTED_DAY: Final = re.compile(r"([0-9]{1,2})\.\s?([0-9]{1,2})\.\s?([0-9]{4})")


class SheetLine(NamedTuple):
    """One record of a file: its first line and its cells."""

    line: int
    cells: list[str]


class PeopleFile(Struct, frozen=True):
    """The rows of a list. `columns` are those that were recognised, each with the column that it means.

    `notes` say what was read in another way than it is written. `unit` is what a place in the list is called: a line,
    or a row of a workbook.
    """

    read: ParsedFile
    columns: Mapping[str, str]
    notes: Sequence[str]
    unit: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify people."""
        return tuple(name for name in KEYS if name in self.read.header)


def _knows_nobody(_: str) -> bool:
    return False


def read_people_text(
    content: bytes,
    names: Mapping[str, str],
    is_known: Callable[[str], bool] = _knows_nobody,
) -> PeopleFile:
    """Read a list as text: CSV with comma, semicolon or tab, one name a line, or JSON lines, which begin with `{`.

    `names` are names of columns in the file, each with its column in the table. `is_known` says whether somebody with
    such a username asked. Raises UsageError if it is no list.
    """
    text, notes = _decode(content)
    if text.lstrip().startswith("{"):
        return _read_json(text, names, notes, is_known)
    return read_people_lines(_split_lines(text), names, is_known, notes)


def read_people_lines(
    lines: Sequence[SheetLine],
    names: Mapping[str, str],
    is_known: Callable[[str], bool],
    notes: Sequence[str] = (),
    *,
    unit: str = "line",
) -> PeopleFile:
    """Read a list from its lines, which may begin with titles."""
    if not lines:
        raise UsageError("the file is empty.", hint="Nothing was written.")
    place = _find_header(lines, names)
    if place is None:
        header = [""] * max(len(each.cells) for each in lines)
        header = [KEY_COLUMN] if len(header) == 1 else header
        rows: Sequence[SheetLine] = lines
    else:
        header = [cell.strip() for cell in lines[place].cells]
        rows = [each for each in lines[place + 1 :] if [cell.strip() for cell in each.cells] != header]
        if place:
            notes = [*notes, f"skipped {pluralize(place, unit)} above the column names"]
    if len(header) > MAX_COLUMNS:
        raise UsageError(f"the file has more than {MAX_COLUMNS} columns; keep those that the policies read.")
    return _make_file(header, rows, names, is_known, notes, unit)


# ---- text ------------------------------------------------------------------------------------------------------------


def _decode(content: bytes) -> tuple[str, list[str]]:
    """Return the text of a file, and a note if it is not UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError("the file is UTF-16, not UTF-8; save it as CSV UTF-8.", hint="Nothing was written.")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise UsageError(f"the file is not text: line {line} has a NUL byte.", hint="Save it as CSV UTF-8.")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        note = "Not UTF-8: read as Windows-1252. Check names with accents."
        return content.decode("cp1252", "replace"), [note]


def _split_lines(text: str) -> list[SheetLine]:
    delimiter = _find_delimiter(text)
    found: list[SheetLine] = []
    try:
        for record in iterate_csv(text, delimiter):
            found.append(SheetLine(record.line, record.cells))
            if len(found) > MAX_PEOPLE:
                raise UsageError(f"the file has more than {MAX_PEOPLE:,} rows.", hint="Nothing was written.")
    except csv.Error as problem:
        line = found[-1].line + 1 if found else 1
        raise UsageError(
            f"line {line}: {problem}; the file may be incomplete.", hint="Look for a quote that is not closed."
        ) from None
    _check_last_line(found, text)
    return found


def _check_last_line(lines: Sequence[SheetLine], text: str) -> None:
    """Raise UsageError if the text ends inside its last line, which has fewer cells than the lines before it."""
    if len(lines) > 1 and len(lines[-1].cells) < len(lines[-2].cells) and not text.endswith(("\n", "\r")):
        raise UsageError(
            f"the last line, {lines[-1].line}, is incomplete; the file may be cut off.", hint="Nothing was written."
        )


def _find_delimiter(text: str) -> str:
    """Return the delimiter that finds the most names of columns in a line, else the most frequent one."""
    lines = [line for line in text[: 1 << 16].splitlines() if line.strip()][: 2 * _MAX_TITLES]

    def rank(sign: str) -> tuple[int, int]:
        names = max((sum(bool(_mean(cell.strip('" '))) for cell in line.split(sign)) for line in lines), default=0)
        return names, sum(line.count(sign) for line in lines)

    return max(_DELIMITERS, key=rank)


def _read_json(
    text: str, names: Mapping[str, str], notes: Sequence[str], is_known: Callable[[str], bool]
) -> PeopleFile:
    read = parse_json_lines(text)
    if read.refused:
        raise UsageError(f"the file cannot be used: {read.refused}.", hint="Nothing was written.")
    header = list(read.header)
    rows = [SheetLine(line, [cells.get(name, "") for name in header]) for line, cells in read.records]
    found = _make_file(header, rows, names, is_known, notes, "line")
    problems = (*read.problems, *found.read.problems)
    return replace(found, read=replace(found.read, problems=problems))


# ---- columns ---------------------------------------------------------------------------------------------------------


def _mean(name: str) -> str:
    """Return the column of a table that a name of a column means; empty if it is not known."""
    words = "_".join(re.split(r"[\W_]+", f" {name.lower()} "))
    plain = _HUB_WORDS.sub("", words).strip("_")
    if len(plain) < len(words.strip("_")) and plain in {"", "name", "id"}:
        return "username"
    known = column_name(plain)
    return known if known in KNOWN_COLUMNS or known == KEY_COLUMN else _SYNONYMS.get(plain, "")


def find_near_columns(name: str) -> list[str]:
    """Return the known column that a misspelt name means; none for a known column."""
    return [] if name in KNOWN_COLUMNS else get_close_matches(name[:64], KNOWN_COLUMNS, n=1, cutoff=0.8)


def _find_header(lines: Sequence[SheetLine], names: Mapping[str, str]) -> int | None:
    """Return the place of the line with the names of the columns; None if the list has none."""
    top = lines[:_MAX_TITLES]
    for place, each in enumerate(top):
        cells = [cell.strip() for cell in each.cells]
        if any(name in cells for name in names) or any(_mean(cell) in {*KEYS, KEY_COLUMN} for cell in cells):
            return place
    if max(len(each.cells) for each in lines) == 1 or any("@" in cell for cell in lines[0].cells):
        return None
    usual = Counter(_count_filled(each) for each in lines).most_common(1)[0][0]
    return next((place for place, each in enumerate(top) if _count_filled(each) >= usual), 0)


def _count_filled(line: SheetLine) -> int:
    return sum(bool(cell.strip()) for cell in line.cells)


def _find_meanings(
    header: Sequence[str], rows: Sequence[SheetLine], names: Mapping[str, str], is_known: Callable[[str], bool]
) -> list[str]:
    """Return what each column means: by the names that were given, by its own name, or by what it holds."""
    absent = next((name for name in names if name not in header), None)
    if absent is not None:
        known = make_visible(", ".join(header), one_line=True)[:200]
        raise UsageError(
            f"the file has no column {make_visible(absent, one_line=True)[:60]}.", hint=f"It has: {known}."
        )
    given = {name: column_name(to) for name, to in names.items()}
    for to in given.values():
        if near := find_near_columns(to):
            raise UsageError(f"no column {make_visible(to, one_line=True)[:60]}; did you mean {near[0]}?")
    meanings = [given.get(name, "" if name in given else _mean(name)) for name in header]
    meanings = [
        "" if meaning in given.values() and name not in given else meaning
        for name, meaning in zip(header, meanings, strict=True)
    ]
    for kind in ("email", "username"):
        if kind in meanings or KEY_COLUMN in meanings:
            continue
        found = [place for place, each in enumerate(meanings) if not each and _guess(rows, place, is_known) == kind]
        if len(found) == 1:
            meanings[found[0]] = kind
        elif found and not {*KEYS} & {*meanings}:
            both = " and ".join(make_visible(header[place], one_line=True)[:40] for place in found[:2])
            raise UsageError(
                f"the file has two columns with people: {both}.", hint=f"Say which one counts: --column {kind}=NAME"
            )
    if not {*KEYS, KEY_COLUMN} & {*meanings}:
        known = make_visible(", ".join(filter(None, header)), one_line=True)[:200]
        raise UsageError(
            f"the file has no column with usernames or e-mail addresses; its columns are: {known or 'none'}.",
            hint="Rename a column, or say what one means: --column email=NAME. Nothing was written.",
        )
    return meanings


def _guess(rows: Iterable[SheetLine], place: int, is_known: Callable[[str], bool]) -> str:
    """Return what a column means by its cells; empty unless almost all can be keys, and many surely are."""
    texts = [each.cells[place].strip() for each in rows if place < len(each.cells)]
    filled = [text for text in texts if text.lower() not in _NOTHING]
    keys = [(kind, key) for kind, key in map(classify_key, filled) if kind]
    if not filled or len(keys) < 0.9 * len(filled):
        return ""
    addresses = sum(kind == "email" and parse_address(key) is not None for kind, key in keys)
    pages = sum(map(bool, map(_PAGE.match, filled)))
    if 4 * (addresses + pages) >= len(filled):
        return "email" if addresses > pages else "username"
    sample = keys[:_MAX_SAMPLED]
    known = sum(is_known(key) for _, key in sample)
    return "username" if known >= max(_MIN_KNOWN, len(sample) / 2) else ""


# ---- rows ------------------------------------------------------------------------------------------------------------


class MergedRows:
    """Collects rows, merges those of one person, and says what is wrong with others. `unit`: a line, or a row."""

    def __init__(self, unit: str) -> None:
        self.problems: list[TableProblem] = []
        self.dotted: set[int] = set()  # lines with a date such as 31.12.2027
        self._unit = unit
        self._rows: dict[int, dict[str, str]] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._merged: list[int] = []
        self._differing: list[str] = []

    def add(self, line: int, cells: Mapping[str, str]) -> None:
        """Add a row, or merge it into the row with the same key."""
        keys = [(name, cells[name].lower()) for name in KEYS if cells.get(name)]
        known = {self._lines[key] for key in keys if key in self._lines}
        if len(known) > 1:
            lines = " and ".join(map(str, sorted(known)))
            self.refuse(line, f"The keys belong to {self._unit}s {lines}.")
            return
        first = next(iter(known), line)
        before = self._rows.setdefault(first, {})
        differing = [name for name, text in cells.items() if text and before.get(name, text) != text]
        for name in differing:
            if name in KNOWN_COLUMNS and cells[name].lower() != before[name].lower():
                self.refuse(line, f"The row has a key of {self._unit} {first}, but another {name}.")
                return
        if known:
            self._merged.append(line)
        for name in differing:
            if name not in KNOWN_COLUMNS:
                kept, other, column = (_shorten(text) for text in (before[name], cells[name], name))
                self._differing.append(f"{self._unit} {line} repeats {first}: kept {column} {kept!r}, not {other!r}")
        before.update({name: text for name, text in cells.items() if text and not before.get(name)})
        self._lines.update(dict.fromkeys(keys, first))

    def refuse(self, line: int, words: str) -> None:
        """Note what is wrong with a line."""
        self.problems.append(TableProblem(line, "bad_line", words))

    def find_kinds(self) -> list[str]:
        """Return the columns of keys that some row fills in."""
        return [name for name in KEYS if any(row.get(name) for row in self._rows.values())]

    def list_records(self, columns: Sequence[str]) -> tuple[tuple[int, Mapping[str, str]], ...]:
        """Return the rows, which have at least these columns, by their first lines."""
        return tuple((line, {**dict.fromkeys(columns, ""), **row}) for line, row in self._rows.items())

    def describe(self) -> list[str]:
        """Return which lines were merged, and which of their cells were not taken."""
        words = "repeats a row and was merged", "repeat a row and were merged"
        order = "a date such as 31.12.2027, read as day, month, year"
        return [
            *name_lines(self._merged, self._unit, *words),
            *limit_lines(self._differing, _MAX_NOTES),
            *name_lines(sorted(self.dotted), self._unit, f"has {order}", f"have {order}"),
        ]


def _shorten(text: str) -> str:
    return make_visible(text, one_line=True)[:60]


def _make_file(
    header: Sequence[str],
    lines: Sequence[SheetLine],
    names: Mapping[str, str],
    is_known: Callable[[str], bool],
    notes: Sequence[str],
    unit: str,
) -> PeopleFile:
    lines = [each for each in lines if any(cell.strip() for cell in each.cells)]
    meanings = _find_meanings(header, lines, names, is_known)
    rows = MergedRows(unit)
    without_key: list[int] = []
    for line, cells in lines:
        if any(cell.strip() for cell in cells[len(header) :]):
            rows.refuse(line, f"{len(cells)} cells where the header has {len(header)}.")
            continue
        found = _read_row(rows, line, header, meanings, cells)
        if found is None:
            continue
        if any(found.get(name) for name in KEYS):
            rows.add(line, found)
        else:
            without_key.append(line)
    if len(without_key) > min(max(2, len(lines) // 20), len(lines) // 2):
        others = [name for name, meaning in zip(header, meanings, strict=True) if meaning not in {*KEYS, KEY_COLUMN}]
        unread = make_visible(", ".join(filter(None, others)), one_line=True)[:200]
        raise UsageError(
            f"{len(without_key):,} of {len(lines):,} {unit}s have {_NO_KEY};"
            f" columns that are not read as usernames or addresses: {unread or 'none'}. Nothing was written.",
            hint="Say what a column means, such as --column username=NAME, or delete them.",
        )
    others = [name for name in dict.fromkeys(map(_name_column, header, meanings)) if name and name not in KEYS]
    columns = (*rows.find_kinds(), *others)
    recognised = {
        name: meaning
        for name, meaning in zip(header, meanings, strict=True)
        if name and meaning and meaning != column_name(name) and name not in names
    }
    return PeopleFile(
        ParsedFile(columns, rows.list_records(columns), tuple(rows.problems)),
        recognised,
        [
            *notes,
            *rows.describe(),
            *_name_unread_dates(columns, rows),
            *name_lines(without_key, unit, f"has {_NO_KEY}", f"have {_NO_KEY}"),
        ],
        unit,
    )


def _name_unread_dates(columns: Sequence[str], rows: MergedRows) -> Iterator[str]:
    """Yield the columns that hold only dates, if none is known as the end of a row."""
    texts = [row for _, row in rows.list_records(columns)]
    for name in () if "expires" in columns else columns:
        filled = [row[name] for row in texts if row[name].lower() not in _NOTHING]
        if filled and name not in KNOWN_COLUMNS and all(map(_is_day, filled)):
            shown = _shorten(name)
            yield f"no access ends by {shown}, which has dates; if it is the end: --column expires={shown!r}"


_NO_KEY: Final = "no username or address that hf-gate recognised"


def _name_column(name: str, meaning: str) -> str:
    """Return the name of a column in the table; empty for a column with keys or without a name."""
    return "" if meaning in {*KEYS, KEY_COLUMN} else meaning or name


def name_lines(lines: Sequence[int], unit: str, one: str, many: str) -> list[str]:
    """Return a note with the places of some lines; none if there are no lines."""
    if not lines:
        return []
    named = ", ".join(limit_lines(lines, _MAX_NAMED, str))
    return [f"{pluralize(len(lines), unit)} {one if len(lines) == 1 else many}: {named}"]


def _read_row(
    rows: MergedRows, line: int, header: Sequence[str], meanings: Sequence[str], cells: Sequence[str]
) -> dict[str, str] | None:
    """Return the cells of a row by the columns of the table; None if its keys contradict each other."""
    found: dict[str, str] = {}
    for name, meaning, cell in zip(header, meanings, cells, strict=False):
        text = cell.strip()
        column = _name_column(name, meaning)
        if column in DATE_COLUMNS and (day := _read_dotted_day(text)):
            rows.dotted.add(line)
            text = day
        if column:
            if text and found.get(column) and column in DATE_COLUMNS and found[column] != text:
                rows.refuse(line, f"Two values of {column}: {found[column][:60]!r} and {text[:60]!r}.")
                return None
            found[column] = found.get(column) or text
            continue
        if meaning not in {*KEYS, KEY_COLUMN} or text.lower() in _NOTHING:
            continue
        kind, key = classify_key(text)
        if not kind:
            rows.refuse(
                line,
                f"{make_visible(text, one_line=True)[:60]!r} is not a username, e-mail address or profile on the Hub.",
            )
            return None
        if found.get(kind, key).lower() != key.lower():
            rows.refuse(line, f"Two values of {kind}: {found[kind][:60]!r} and {key[:60]!r}.")
            return None
        found[kind] = key
    return found


def _read_dotted_day(text: str) -> str:
    """Return a day such as 31.12.2027 as 2027-12-31; empty if the text is no such day of the calendar."""
    parts = _DOTTED_DAY.fullmatch(text)
    try:
        return date(int(parts[3]), int(parts[2]), int(parts[1])).isoformat() if parts else ""
    except ValueError:
        return ""


def _is_day(text: str) -> bool:
    return bool(_read_dotted_day(text)) or _DAY.fullmatch(text) is not None


def classify_key(text: str) -> tuple[str, str]:
    """Return the column of a key by its form, and the key; an empty column if it is none.

    An address, `@domain`, an account id, a profile on the Hub, or else a username.
    """
    if behind := _BEHIND_NAME.match(text.strip()):
        text = behind[1]
    text = text.strip().removeprefix("mailto:").strip()
    if _PAGE.match(text):
        return _read_profile(text)
    if text.startswith("@") and "@" not in text[1:] and "." not in text:
        text = text[1:]  # a username as people write it to each other
    if "@" in text:
        return "email", text
    if is_id(text):
        return "user_id", text
    return ("username" if _NAME.match(text) else ""), text


def _read_profile(text: str) -> tuple[str, str]:
    try:
        page = urlsplit(text if "://" in text else f"https://{text}")
        host, path = page.hostname or "", page.path.strip("/").split("/")
    except ValueError:
        return "", text
    is_profile = host in _HOSTS and len(path) == 1 and _NAME.match(path[0]) and path[0] not in _NOT_PEOPLE
    return ("username", path[0]) if is_profile else ("", text)


def format_people(people: PeopleFile) -> str:
    """Return the rows of a list as the CSV text that reads as the same rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(people.read.header)
    writer.writerows(cells.values() for _, cells in people.read.records)
    return text.getvalue()


# ---- lists without columns -------------------------------------------------------------------------------------------

MAX_ENTRIES: Final = 500
MAX_TEXT: Final = 100_000  # characters
_SEPARATORS: Final = re.compile(r"[,;|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ADDRESS_BEHIND_NAME: Final = re.compile(r"<\s*((?:mailto:)?[^<>\s@]+@[^<>\s@]+)\s*>")
_OUTER: Final = "\"'`<>()[]{}«»“”„‘’*•·:."


class ListEntry(NamedTuple):
    """One entry of a pasted list. `text` is as written, `key` in the spelling that is compared.

    `kind` is the column of the key: one of `KEYS`; empty if the entry is unreadable. An id can be that of a request.
    """

    text: str
    key: str
    kind: str


def parse_pasted_list(text: str) -> list[ListEntry]:
    """Return the entries of a list in their order, each once. Raises UsageError if there are none or too many."""
    if len(text) > MAX_TEXT:
        raise UsageError(
            f"The list has {len(text):,} characters; at most {MAX_TEXT:,} are read.", hint="Paste it in parts."
        )
    entries: dict[tuple[str, str], ListEntry] = {}
    for entry in _split_entries(text):
        entries.setdefault((entry.kind, entry.key), entry)
    if not entries:
        raise UsageError("The list is empty.", hint="Paste usernames, e-mail addresses or ids.")
    if len(entries) > MAX_ENTRIES:
        raise UsageError(
            f"The list has {len(entries):,} entries; at most {MAX_ENTRIES} are read.", hint="Paste it in parts."
        )
    return list(entries.values())


def _split_entries(text: str) -> Iterator[ListEntry]:
    for part in _SEPARATORS.split(text):
        rest = 0
        for match in _ADDRESS_BEHIND_NAME.finditer(part):  # the words before it are the person's name, not accounts
            yield _read_entry(part[rest : match.end()].strip(), match[1])
            rest = match.end()
        yield from (_read_entry(word, word) for word in part[rest:].split() if word.strip(_OUTER))


def _read_entry(text: str, word: str) -> ListEntry:
    kind, key = classify_key(word.strip(_OUTER))
    if kind == "email":
        address = parse_address(key)
        kind, key = ("", key) if address is None else (kind, str(address))
    return ListEntry(text, key.lower() if kind else key, kind)
