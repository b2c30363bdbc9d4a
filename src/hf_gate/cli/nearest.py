"""Whom somebody may have meant who misspelt a username: the nearest among those who asked at that repo."""

from __future__ import annotations

import difflib
import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..domain.lifecycle import STATUSES
from ..errors import HfGateError

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..hub.client import Hub

_READ: Final = 1000  # rows of each list: what the Hub gives in one call
_PASTED: Final = re.compile(r"[\w.-]{1,96}\Z", re.ASCII)  # a name that is harmless in a shell


def did_you_mean(hub: Hub, repo: Repo, name: str | None) -> str:
    """`Did you mean ada-l or ada-k? `, or nothing; costs at most one call for each list, and raises nothing of the Hub's."""
    near = _near(hub, repo, name) if name else []
    return f"Did you mean {' or '.join(near)}? " if near else ""


def _near(hub: Hub, repo: Repo, name: str) -> list[str]:
    names: dict[str, str] = {}
    for status in STATUSES:
        listing = hub.list(repo, status)
        try:
            for request in islice(listing, _READ):
                if request.username and _PASTED.match(request.username):
                    names[request.username.lower()] = request.username
        except HfGateError:
            continue  # an old Hub has no such list; and advice that fails is no advice
        finally:
            listing.close()
    names.pop(name.lower(), None)
    return [names[found] for found in difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.7)]
