"""Compares what an applicant claims with the rows of tables that list the person: institution, dates, version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from hf_gate.core.forms.case_folding import fold_for_search
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.core.people.grants import last_day
from hf_gate.core.policy_model import Facts
from hf_gate.policies.facts.facts import RequestFacts
from hf_gate.policies.facts.tables import TableRow

from .request_lines import RequestLine

MAX_ENTRIES: Final = 4  # tables
MAX_CELLS: Final = 12  # of one row
_ROLES: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.NAME, Role.EMAIL, Role.JOB})
"""What a column can hold that a form asks too, however the two call it."""
_FIRST_DAY: Final = re.compile(r"\b(from|start|starts|begin|begins|since|first day)\b")
_LAST_DAY: Final = re.compile(r"\b(until|end|ends|expire|expires|expiry|last day)\b")
_VERSION: Final = re.compile(r"\bversion\b")
_DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")


class ComparedCell(NamedTuple):
    """One thing that the applicant claims and the list says. Without a claim, `claimed` is empty."""

    name: str
    claimed: str
    listed: str

    @property
    def word(self) -> str:
        """Whether the two say the same; empty if nothing was claimed."""
        if not self.claimed:
            return ""
        return "same" if _fold(self.claimed) == _fold(self.listed) else "differs"


class ListedEntry(NamedTuple):
    """The row of a table that lists the person. `state`: valid or expired. `who`: a text that finds the row."""

    table: str
    who: str
    state: str
    cells: Sequence[ComparedCell]


def compare_entries(facts: Facts, line: RequestLine, zone: tzinfo) -> list[ListedEntry]:
    """Return the rows that list a person, of the tables that these facts read, beside what the person claims."""
    if not isinstance(facts, RequestFacts):
        return []
    rows = [(name, hit.state, hit.listed_by) for name, hit in sorted(facts.inputs.tables.items())]
    found = [
        ListedEntry(name, row.username or row.email or "", state, [*_compare_row(row, line, zone)][:MAX_CELLS])
        for name, state, row in rows
        if isinstance(row, TableRow)
    ]
    return [entry for entry in found if entry.cells][:MAX_ENTRIES]


def _compare_row(row: TableRow, line: RequestLine, zone: tzinfo) -> Iterator[ComparedCell]:
    """Yield what the row says of the institution, its version and dates, and what the form asks too."""
    claims = _read_claims(line)
    for column, cell in row.columns.items():
        role = role_of(column)
        words = _VERSION if _VERSION.search(_fold(column)) else None
        if role in _ROLES:
            claimed = claims.get(role, "")
        else:
            claimed = _find_answer(line, words) if words else claims.get(_fold(column), "")
        if cell and (claimed or role is Role.AFFILIATION or words):
            yield ComparedCell(column, claimed, cell)
    if row.starts is not None:
        yield ComparedCell("first day", _find_date(line, _FIRST_DAY), row.starts.astimezone(zone).date().isoformat())
    if row.expires is not None:
        yield ComparedCell("last day", _find_date(line, _LAST_DAY), last_day(row.expires, zone).isoformat())


def _read_claims(line: RequestLine) -> Mapping[str, str]:
    """Return the answers by role and by folded label. The name is that of the account, because a field can ask for a
    part of it; the address too if no field asks.
    """
    identity = line.row.person.identity
    claims = {Role.NAME.value: identity.fullname or "", Role.EMAIL.value: identity.email or ""}
    for answer in line.answers:
        if not answer.is_tick and answer.text:
            claims[_fold(answer.label)] = answer.text
            if answer.role is not Role.NAME or not identity.fullname:
                claims[answer.role.value] = answer.text
    return claims


def _find_answer(line: RequestLine, words: re.Pattern[str]) -> str:
    """Return the first answer to a question with one of these words."""
    texts = (answer.text for answer in line.answers if not answer.is_tick and words.search(_fold(answer.label)))
    return next(texts, "")


def _find_date(line: RequestLine, words: re.Pattern[str]) -> str:
    """Return the date in the answer to a question with one of these words, else the answer."""
    text = _find_answer(line, words)
    match = _DATE.search(text)
    return text if match is None else match[0]


def _fold(text: str) -> str:
    return " ".join(fold_for_search(text).split())
