"""The content of hf-gate.yaml as values. `config_parser` reads them, and is not loaded where there is no workspace."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.letters.letters import LetterConfig
from hf_gate.core.letters.notices import Destination
from hf_gate.core.parsing.literals import Rate, matches_any
from hf_gate.core.people.sign_in import RoleMap
from hf_gate.core.policy_model import SourcePosition, TableSpec

RATES = ("accept", "reset", "reject", "remove", "end")
_ACCEPT = Rate(20_000, 3600)
_RESET = Rate(200, 3600)
_REJECT = Rate(50, 3600)
_REMOVE = Rate(25, 86_400)
_END = Rate(20, 86_400)


class SignInConfig(Struct, frozen=True):
    """How people sign in with the Hub. `client_id` and `client_secret` are references: `env:NAME` or `file:PATH`."""

    client_id: str | None = None
    client_secret: str | None = None
    roles: RoleMap = msgspec.field(default_factory=dict)


class RunGuards(Struct, frozen=True):
    """The rate limits of `run` and of keys, and the usernames that they never remove.

    `end` limits ends by a false condition, and by a date that moved to an earlier time in the last 7 days. Other ends
    have no limit, and no end counts towards `remove`.
    """

    accept: Rate = _ACCEPT
    reset: Rate = _RESET
    reject: Rate = _REJECT
    remove: Rate = _REMOVE
    end: Rate = _END
    protected: tuple[str, ...] = ()

    @property
    def budgets(self) -> Map[str, Rate]:
        """The rate limits by verb."""
        return {verb: getattr(self, verb) for verb in RATES}


@dataclass(frozen=True, slots=True)
class WorkspaceConfig:
    """The content of hf-gate.yaml. `policies` are file globs relative to that file; `templates` are named reasons."""

    repos: tuple[str, ...] = ()
    store: str = "sqlite:///desk.db"
    policies: tuple[str, ...] = ("policies/*.yaml",)
    tables: tuple[TableSpec, ...] = ()
    timezone: str = "UTC"
    guards: RunGuards = field(default_factory=RunGuards)
    templates: Map[str, str] = field(default_factory=dict)
    may_write_tables: bool = False  # whether admins may change tables from the desk
    shared: bool = False  # whether all machines have the same folder, so that a desk may save where several run
    heartbeat_url: str | None = None  # a reference to a secret: `env:NAME` or `file:PATH`
    retention: Map[str, int] = field(default_factory=dict)  # days after which personal data is deleted, by status
    notify: tuple[Destination, ...] = ()  # where notices to the staff go
    sign_in: SignInConfig = field(default_factory=SignInConfig)
    letters: LetterConfig = field(default_factory=LetterConfig)  # mail to applicants; off without kinds
    need_positions: Map[str, SourcePosition] = field(default_factory=dict, compare=False, repr=False)
    source: str = "hf-gate.yaml"

    def includes(self, repo: Repo) -> bool:
        """Tell whether the workspace covers a repo."""
        return matches_any(self.repos, repo)
