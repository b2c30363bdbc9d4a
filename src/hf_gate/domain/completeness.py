"""How sure a listing is that it is whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Completeness:
    """`proved` is True only when every reason to doubt is excluded; else `why` says in a sentence what is in doubt."""

    proved: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.proved


NOT_READ = Completeness(False, "not read to the end")
PROVED = Completeness(True)
