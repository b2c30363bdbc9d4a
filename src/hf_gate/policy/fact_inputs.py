"""What facts are made of: values that the sources and the store hand in, each saying itself when it knows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..domain.accounts import Profile
from .model import UnknownReason


@dataclass(frozen=True, slots=True)
class EmailFacts:
    """An address as the lists see it. `domain` None: the text is no single address, and nothing else is known of it.

    `registrable` None: the domain is itself a public suffix. `lists` names the versions that were asked.
    """

    address: str
    domain: str | None = None
    registrable: str | None = None
    free: bool = False
    disposable: bool = False
    academic: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)  # `academic` to `2026-10`


@dataclass(frozen=True, slots=True)
class ProfileFact:
    """A profile with the moment it was read; without one, why not."""

    profile: Profile | None = None
    read_at: datetime | None = None
    why: UnknownReason = UnknownReason.NOT_YET
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableHit:
    """What a table says about one person. With `why` it says nothing at all: not even that they are missing."""

    state: str = "missing"  # valid, expired, missing
    expires: datetime | None = None
    row: Mapping[str, str] | None = None
    why: UnknownReason | None = None
    note: str = ""
    source: str = "table"  # table:NAME@digest8
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class DecisionHistory:
    """What the store has of one person. Unless `complete` (synced in full) only `attempt` counts."""

    attempt: int = 1
    accepted: int = 0
    rejected: int = 0
    resets: int = 0
    elsewhere: int = 0
    last_decision: str = "none"
    last_at: datetime | None = None
    is_complete: bool = True
    as_of: datetime | None = None
