"""The completeness of listings: whether a listing is proved to be complete, and if not, why not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Completeness:
    """The completeness of a listing. `proved` is True only if nothing is in doubt; otherwise `why` is a sentence.

    On a Hub without the status reset, the list of reset requests is proved to be empty: `NO_RESET_LIST`.
    """

    proved: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.proved


NOT_READ = Completeness(False, "not read to the end")
PROVED = Completeness(True)
NO_RESET_LIST = Completeness(True, "this Hub has no list of reset requests: it does not have this status yet")
