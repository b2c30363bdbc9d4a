"""The completeness of listings: whether a listing is proved to be complete, and if not, why not.

The end of a list does not show that the list is complete, because lists change and pages can be cut short. A listing
collects reasons for doubt while it is read (`hub/protocol/flows/listing.py`). It is proved only if it was read to its
end without any.

1. A reason for doubt is never taken back by what is read later.
2. A request that appears twice is emitted once. Unless two pages overlap there, it is a doubt.
3. A record that cannot be read is set aside, reported, and a doubt. The other records of its page are emitted.
4. A next link is not followed to another origin, to another list or in a circle.
5. A full page without a next link is not taken as the end. Older requests are asked for. If there are any, or if the
   page had the requested size, the Hub's report must agree on the number.
6. A page that fails is an error, never the end of a shorter list. A list without end is stopped, with a doubt.
7. A refused list is empty only if it is that of reset requests and the Hub does not refuse others.
8. A request is treated as gone only if all lists of its repo are proved. If many are missing, the
   Hub's report must agree.
"""

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
