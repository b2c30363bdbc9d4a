"""Imports a file into a table: reads it, matches its rows to people, and drafts the new version of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from ..errors import UsageError
from ..sources.table_edits import Cells
from ..sources.table_text import decode, has_key_column, parse_csv, parse_json_lines, spread_key
from .own_tables import OwnTable, TableDraft, columns_of, draft_import, row_of_cells
from .table_matches import ImportMatches, confirm_rows, match_rows
from .workspace import Workspace


class TableImport(Struct, frozen=True):
    """A drafted import, and whom its rows mean. `bound` are usernames with the accounts that a person confirmed."""

    draft: TableDraft
    matches: ImportMatches
    confirmed: int = 0
    bound: Mapping[str, str] = field(default_factory=dict)


def prepare_import(
    workspace: Workspace,
    own: OwnTable,
    content: bytes,
    *,
    is_json: bool,
    replaces: bool,
    confirmations: Sequence[str] = (),
) -> TableImport:
    """Read a file and draft its import; nothing is written. Raises UsageError with the place of a mistake."""
    records = _read_records(own, content, is_json=is_json)
    bound = confirm_rows(workspace, own, records, confirmations, columns_of(own)) if confirmations else {}
    draft = draft_import(own, records, replaces=replaces)
    rows = {line: row_of_cells(own, cells) for line, cells in records.items()}
    return TableImport(draft, match_rows(workspace, own, rows), len(confirmations), bound)


def _read_records(own: OwnTable, content: bytes, *, is_json: bool) -> dict[int, Cells]:
    """Return the records of a file by line. Raises UsageError with the place if any of them cannot be used."""
    read = own.parse(content, is_json=is_json)
    wrong = next((each for each in read.problems if each.is_error and each.line), None)
    if read.refusal or wrong is not None:
        message = read.refusal.partition(": ")[2] if wrong is None else f"line {wrong.line}: {wrong.message[:-1]}"
        raise UsageError(f"the file cannot be used: {message}.", hint="Correct it. Nothing was written.")
    text = decode(content)
    parsed = parse_json_lines(text) if is_json else parse_csv(text, own.spec.key)
    if not parsed.records:
        raise UsageError("the file has no rows.", hint="Nothing was written.")
    has_key = has_key_column(parsed.header, own.spec.key)
    return {line: spread_key(cells) if has_key else cells for line, cells in parsed.records}
