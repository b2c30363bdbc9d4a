"""Imports a file into a table: reads it, matches its rows to people, proposes pairs to confirm, and drafts the new version."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct, field

from ..domain.answer_text import fold_words
from ..domain.display_text import make_visible
from ..domain.lifecycle import Status
from ..domain.rows import PersonRow, RequestRow
from ..errors import UsageError
from ..policy.tables import TableRow
from ..sources.table_edits import Cells
from ..sources.table_text import KEY_COLUMN, decode, has_key_column, parse_csv, parse_json_lines, spread_key
from .own_tables import OwnTable, TableDraft, columns_of, draft_import, row_of_cells
from .table_effects import iterate_concerned
from .workspace import Workspace

# ---- matching --------------------------------------------------------------------------------------------------------


MAX_PROPOSALS: Final = 3  # for one row
_MIN_TOKEN: Final = 3  # letters of a part of an address that may be a name
_CONFIRMATION: Final = re.compile(r"(\d{1,7})=(\S.{0,199})\Z")


class Proposal(NamedTuple):
    """Somebody whom a row may mean, and why."""

    person: PersonRow
    why: str


class ImportMatches(Struct):
    """The rows by line that mean somebody who asked, and those that mean nobody, with proposals.

    `without_row` are the people who wait and whom no row of the import means; `rows_of` has the lines proposed for them.
    """

    matched: dict[int, PersonRow] = field(default_factory=dict)
    unmatched: dict[int, tuple[TableRow, list[Proposal]]] = field(default_factory=dict)
    without_row: list[PersonRow] = field(default_factory=list)
    rows_of: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))


def match_rows(workspace: Workspace, own: OwnTable, rows: Mapping[int, TableRow]) -> ImportMatches:
    """Match rows to the people who wait or have access, by account id, e-mail address or username."""
    people = _People(workspace, iterate_concerned(workspace, own))
    found = ImportMatches()
    open_rows: dict[int, TableRow] = {}
    for line, row in rows.items():
        person = people.find(row)
        if person is not None:
            found.matched[line] = person
        elif row.domain is None:
            open_rows[line] = row
    taken = {person.id for person in found.matched.values()}
    found.without_row = [person for ident, person in people.waiting.items() if ident not in taken]
    for line, row in open_rows.items():
        proposals = [one for one in people.propose(row) if one.person.id not in taken][:MAX_PROPOSALS]
        found.unmatched[line] = (row, proposals)
        for one in proposals:
            found.rows_of[one.person.id].append((line, one.why))
    return found


class _People:
    """The people who asked at a table's repos, by everything that a row may say about them."""

    def __init__(self, workspace: Workspace, requests: Iterable[RequestRow]) -> None:
        self._sources = workspace.sources
        self.waiting: dict[int, PersonRow] = {}
        self._by_key: dict[tuple[str, str], PersonRow] = {}
        self._by_words: dict[str, dict[int, PersonRow]] = defaultdict(dict)
        self._by_mailbox: dict[str, dict[int, PersonRow]] = defaultdict(dict)  # by the address without a `+tag`
        self._domains: dict[int, str | None] = {}  # the registrable domain of the address
        for row in requests:
            self._add(row)

    def _add(self, row: RequestRow) -> None:
        person, identity = row.person, row.person.identity
        if row.state.status == Status.PENDING:
            self.waiting[person.id] = person
        email = self._sources.email(identity.email)
        if email is not None and email.address and email.domain:
            self._by_key["email", email.address] = person
            self._by_mailbox[_without_tag(email.address)][person.id] = person
            self._domains[person.id] = email.registrable
        if identity.user_id:
            self._by_key["user_id", identity.user_id.lower()] = person
        if identity.username:
            self._by_key["username", identity.username.lower()] = person
        for word in fold_words(identity.fullname or ""):
            self._by_words[word][person.id] = person

    def find(self, row: TableRow) -> PersonRow | None:
        for column in ("user_id", "email", "username"):
            value = row.value_of_key(column)
            if value and (person := self._by_key.get((column, value))) is not None:
                return person
        return None

    def propose(self, row: TableRow) -> list[Proposal]:
        """Return who may be meant, the likeliest first."""
        names = [fold_words(text) for column, text in row.columns.items() if "name" in column.casefold()]
        names = [words for words in names if words]
        email = self._sources.email(row.email)
        domain = email.registrable if email is not None and email.domain else None
        in_address = frozenset(
            part for part in re.split(r"[^a-z]+", (row.email or "").partition("@")[0]) if len(part) >= _MIN_TOKEN
        )
        near: dict[int, PersonRow] = {}
        for words in (*names, in_address):  # a proposed person has all of them, so also the rarest
            people = [self._by_words.get(word, {}) for word in words]
            rarest: dict[int, PersonRow] = min(people, key=len, default={})
            near |= rarest
        ranked = [
            (rank, person.id, Proposal(person, why))
            for person in near.values()
            for rank, why in self._reasons(person, names, in_address, domain)
        ]
        ranked += self._same_mailbox(row)
        best: dict[int, Proposal] = {}
        for _, ident, proposal in sorted(ranked, key=lambda one: one[:2]):
            best.setdefault(ident, proposal)
        return list(best.values())

    def _reasons(
        self, person: PersonRow, names: Sequence[frozenset[str]], in_address: frozenset[str], domain: str | None
    ) -> list[tuple[int, str]]:
        own = fold_words(person.identity.fullname or "")
        is_same_name = own in names
        is_same_domain = domain is not None and self._domains.get(person.id) == domain
        if is_same_domain and (is_same_name or (in_address and in_address <= own)):
            return [(0, "e-mail differs, same name and domain")]
        return [(2, "e-mail differs, same name")] if is_same_name and len(own) > 1 else []

    def _same_mailbox(self, row: TableRow) -> list[tuple[int, int, Proposal]]:
        """Propose people whose address differs only by a `+tag`."""
        if row.email is None:
            return []
        people = self._by_mailbox.get(_without_tag(row.email), {})
        return [(1, ident, Proposal(person, "same address except for a +tag")) for ident, person in people.items()]


def _without_tag(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{local.partition('+')[0]}@{domain}"


# ---- confirmations ---------------------------------------------------------------------------------------------------


def confirm_rows(
    workspace: Workspace, own: OwnTable, records: dict[int, Cells], confirmations: Sequence[str], columns: Sequence[str]
) -> dict[str, str]:
    """Write the accounts that a person confirmed (`ROW=USER`) into the records; return the usernames to bind.

    `columns` are those of the table's file.
    """
    bound: dict[str, str] = {}
    for text in confirmations:
        match = _CONFIRMATION.match(text.strip())
        line = int(match[1]) if match else -1
        if match is None or line not in records:
            raise UsageError(
                f"{make_visible(text, one_line=True)[:80]} is not LINE=USER with a line of the file.",
                hint="For example: --confirm 7=ada-l",
            )
        person = _find_person(workspace, match[2])
        records[line] = _name_account(own, records[line], person, columns, bound)
    return bound


def _find_person(workspace: Workspace, text: str) -> PersonRow:
    people = {row.person.id: row.person for row in workspace.store.find_by_identity(None, text)}
    if len(people) != 1 or next(iter(people.values())).identity.user_id is None:
        shown = make_visible(text, one_line=True)[:80]
        count = "nobody" if not people else f"{len(people)} people"
        raise UsageError(f"{shown} is {count} with an account in the store.", hint="Give the account id.")
    return next(iter(people.values()))


def _name_account(
    own: OwnTable, cells: Cells, person: PersonRow, columns: Sequence[str], bound: dict[str, str]
) -> dict[str, str]:
    """Return the cells with the account of a person, in the most reliable column that the file has."""
    identity = person.identity
    rest = {name: text for name, text in cells.items() if name not in ("user_id", "username", KEY_COLUMN)}
    if "user_id" in own.spec.key and {"user_id", KEY_COLUMN} & {*columns}:
        return {**rest, "user_id": identity.user_id or ""}
    if "username" in own.spec.key and "username" in columns and identity.username:
        bound[identity.username.lower()] = identity.user_id or ""
        return {**rest, "username": identity.username}
    if "email" in own.spec.key and "email" in columns and identity.email:
        return {**rest, "email": identity.email}
    raise UsageError(
        f"table {own.name} has no column that can name this account.",
        hint="Add a column user_id, and name it in `key`.",
    )


# ---- importing -------------------------------------------------------------------------------------------------------


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
