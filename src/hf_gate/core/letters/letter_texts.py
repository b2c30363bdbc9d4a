"""The letters that come with hf-gate. The first line of each is its subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .letters import LetterKind

LETTER_TEXTS: Final[Mapping[LetterKind, str]] = {
    LetterKind.RECEIVED: (
        "We have received your request for {repo}\n\nHello {name},\n\nWe have received your request for "
        "access to {repo}. The team will review it; please do not ask again.\n\n{link}"
    ),
    LetterKind.NEEDED: (
        "Something is missing for your access to {repo}\n\nHello {name},\n\nWe cannot decide your request for"
        " {repo} yet. This is still needed:\n\n{needed}\n\nYour request stays open; please do not ask "
        "again.\n\n{link}"
    ),
    LetterKind.ENDS: (
        "Your access to {repo} ends on {date}\n\nHello {name},\n\nYour access to {repo} ends on {date}. If "
        "you still need it after that, write to the team before that day.\n\n{link}"
    ),
    LetterKind.ENDED: (
        "Your access to {repo} has ended\n\nHello {name},\n\nYour access to {repo} has ended. You may ask "
        "again at any time:\n\n{link}"
    ),
}
