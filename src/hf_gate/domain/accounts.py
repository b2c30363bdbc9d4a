"""What the Hub tells about a gate, a profile and the account behind a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .ids import Person, Repo

GateMode = Literal[False, "auto", "manual"]


@dataclass(frozen=True, slots=True)
class Gate:
    """How a repo is gated. The Hub never tells who is notified, nor whether members are gated too: those are write-only."""

    repo: Repo
    mode: GateMode | str


@dataclass(frozen=True, slots=True)
class Profile:
    """A public profile. Counts are as the Hub tells them, None when it does not."""

    person: Person
    created_at: datetime | None = None
    is_pro: bool = False
    orgs: tuple[str, ...] = ()
    models: int | None = None
    datasets: int | None = None
    followers: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token this is, and the organisations in which that account has a role."""

    name: str
    id: str | None = None
    orgs: tuple[str, ...] = ()
    token_role: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
