"""Suggests usernames similar to a misspelt one, among the requesters of a repo."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..domain.lifecycle import STATUSES
from ..errors import HfGateError

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..hub.client import Hub

_MAX_ROWS: Final = 1000  # rows read from each list: as many as the Hub returns in one call
_MIN_CALLS_LEFT: Final = 20  # minimum of calls left in the budget; with fewer, no suggestions are made
_SAFE_NAME: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)  # a name that is safe in a shell


def did_you_mean(hub: Hub, repo: Repo, name: str | None) -> str:
    """Return e.g. `Did you mean ada-l or ada-k? `, else ''.

    Takes at most one call per list; errors of the Hub are ignored.
    """
    return _format_suggestion(_similar_names(name, _read_usernames(hub, repo))) if name else ""


def suggest_names(hub: Hub, repo: Repo, names: Sequence[str]) -> Iterator[str]:
    """Return suggestions for several names of one repo; the lists are read once."""
    listed = _read_usernames(hub, repo)
    for name in names:
        if near := _similar_names(name, listed):
            yield f"{name}: {_format_suggestion(near)}".strip()


def _format_suggestion(names: Sequence[str]) -> str:
    return f"Did you mean {' or '.join(names)}? " if names else ""


def _similar_names(name: str, listed: Mapping[str, str]) -> list[str]:
    others = [key for key in listed if key != name.lower()]
    return [listed[key] for key in difflib.get_close_matches(name.lower(), others, n=3, cutoff=0.7)]


def _read_usernames(hub: Hub, repo: Repo) -> dict[str, str]:
    """Return the requesters of a repo by lower-case name; none if the call budget is low."""
    left = hub.outlook().remaining
    if left is not None and left < _MIN_CALLS_LEFT:
        return {}
    names: dict[str, str] = {}
    for status in STATUSES:
        listing = hub.list(repo, status)
        try:
            for request in islice(listing, _MAX_ROWS):
                if request.username and _SAFE_NAME.match(request.username):
                    names[request.username.lower()] = request.username
        except HfGateError:
            continue  # suggestions are optional
        finally:
            listing.close()
    return names
