"""Finds people whose names are written almost as in a row of a list: `iain.abbott` for `IainAbbott`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from hf_gate.base.normalization import normalize

T = TypeVar("T")
_MIN_LENGTH: Final = 4  # shorter names are near too many others
_MAX_LENGTH: Final = 60


def fold_name(text: str) -> str:
    """Return the letters and digits of a name, in lower case and without accents."""
    plain = normalize("NFKD", text[:_MAX_LENGTH]).casefold()  # one sign can become many
    return "".join(sign for sign in plain if sign.isalnum())[:_MAX_LENGTH]


def find_near_names(wanted: Mapping[int, Sequence[str]], people: Iterable[tuple[T, Sequence[str]]]) -> dict[int, T]:
    """Return by row the first person who is near it.

    `wanted` are the names in each row, `people` each person with all spellings of their name. Two names are near
    if they are equal when folded, or differ by a letter. Their digits are the same: student-1 is not near student-2.
    """
    rows: dict[str, list[int]] = {}
    for row, names in wanted.items():
        for form in {form for name in names for form in _list_forms(name)}:
            rows.setdefault(form, []).append(row)
    found: dict[int, T] = {}
    for person, spellings in people:
        for form in {form for spelling in spellings for form in _list_forms(spelling)} if rows else ():
            for row in rows.pop(form, ()):  # so that many rows and people with one name cost no more
                found.setdefault(row, person)
    return found


def _list_forms(name: str) -> Iterator[str]:
    """Yield the letters of a folded name and those without each of them, all with its digits."""
    folded = fold_name(name)
    digits = "".join(filter(str.isdigit, folded))
    letters = "".join(sign for sign in folded if not sign.isdigit())
    if len(letters) >= _MIN_LENGTH:
        yield f"{letters} {digits}"
        yield from (f"{letters[:place]}{letters[place + 1 :]} {digits}" for place in range(len(letters)))
