"""Whom somebody may have meant who misspelt a username: the nearest among those who asked at that repo."""

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

_READ: Final = 1000  # rows of each list: what the Hub gives in one call
_SPARE: Final = 20  # calls that must be left before some are spent on advice
_PASTED: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)  # a name that is harmless in a shell


def did_you_mean(hub: Hub, repo: Repo, name: str | None) -> str:
    """`Did you mean ada-l or ada-k? `, or nothing; costs a call for each list at most, and raises nothing of the Hub's."""
    return _sentence(_nearest(name, _usernames_of(hub, repo))) if name else ""


def suggest_names(hub: Hub, repo: Repo, names: Sequence[str]) -> Iterator[str]:
    """The same for several people of one repo, who are looked up together."""
    listed = _usernames_of(hub, repo)
    for name in names:
        if near := _nearest(name, listed):
            yield f"{name}: {_sentence(near)}".strip()


def _sentence(names: Sequence[str]) -> str:
    return f"Did you mean {' or '.join(names)}? " if names else ""


def _nearest(name: str, listed: Mapping[str, str]) -> list[str]:
    others = [key for key in listed if key != name.lower()]
    return [listed[key] for key in difflib.get_close_matches(name.lower(), others, n=3, cutoff=0.7)]


def _usernames_of(hub: Hub, repo: Repo) -> dict[str, str]:
    """Who asked at a repo, by the name in small letters; nobody when the Hub is short of calls."""
    left = hub.outlook().remaining
    if left is not None and left < _SPARE:
        return {}
    names: dict[str, str] = {}
    for status in STATUSES:
        listing = hub.list(repo, status)
        try:
            for request in islice(listing, _READ):
                if request.username and _PASTED.match(request.username):
                    names[request.username.lower()] = request.username
        except HfGateError:
            continue  # advice that fails is no advice
        finally:
            listing.close()
    return names
