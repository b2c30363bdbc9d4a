"""How sure a listing is that it is whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Completeness:
    """`proved` is True only when every reason to doubt is excluded; else `why` says in a sentence what is in doubt.

    A Hub without a list of reset requests makes that list proved, empty and explained: `NO_RESET_LIST`.
    """

    proved: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.proved


NOT_READ = Completeness(False, "not read to the end")
PROVED = Completeness(True)
NO_RESET_LIST = Completeness(True, "this Hub has no list of reset requests: it does not know that status yet")
