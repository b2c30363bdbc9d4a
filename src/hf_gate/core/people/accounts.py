"""Gates, public profiles, accounts, and the rights of a token, as the Hub reports them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from hf_gate.base.ids import Person, Repo, RepoType

READ_PERMISSION: Final = "repo.access.read"  # lists requests
DECIDE_PERMISSION: Final = "repo.write"  # decides and lists requests; also pushes files
UNCERTAIN_PERMISSION: Final = "repo.access.write"  # named in newer Hub documents; it may not be enough to decide

GateMode = Literal[False, "auto", "manual"]


@dataclass(frozen=True, slots=True)
class Gate:
    """How a repo is gated. The Hub does not report who is notified, or whether members are gated.

    `hub_id` is the id of the repo at the Hub, which stays when the repo is renamed or moved; None if not reported.
    Two gates are equal without regard to it.
    """

    repo: Repo
    mode: GateMode | str
    hub_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """A public profile. A count is None if the Hub does not send it."""

    person: Person
    created_at: datetime | None = None
    is_pro: bool = False
    orgs: tuple[str, ...] = ()
    models: int | None = None
    datasets: int | None = None
    followers: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


class TokenScope(Struct, frozen=True):
    """The permissions of a fine-grained token for one entity.

    `kind` is the Hub's word: user, org, model, dataset, ...
    """

    kind: str
    name: str | None
    permissions: frozenset[str]

    def covers(self, repo: Repo) -> bool | None:
        """Tell whether the entity is this repo or contains the repo; None if the Hub does not say."""
        if self.kind in ("space", "bucket", "kernel", "collection", "oauth-app"):
            return False
        name = (self.name or "").lower()
        if self.kind in ("user", "org") and name:
            return name == repo.namespace.lower()
        if self.kind in ("model", "dataset") and "/" in name:
            return self.kind == repo.type and name == repo.id.lower()
        return None


@dataclass(frozen=True, slots=True)
class TokenRights:
    """The rights of a token as the Hub reports them. A token never has more rights than its account.

    `role` is the Hub's word: read, write, fineGrained. `scopes` is None if the Hub did not send them.
    """

    role: str | None = None
    scopes: tuple[TokenScope, ...] | None = None

    def can_decide(self, repo: Repo) -> bool | None:
        """Tell whether the token can accept, send back, reject and grant; None if this is unknown."""
        if self.role in ("write", "read"):
            return self.role == "write"
        if self.role != "fineGrained" or self.scopes is None:
            return None
        held = set[str]()
        maybe = set[str]()
        for scope in self.scopes:
            covers = scope.covers(repo)
            held |= scope.permissions if covers else set()
            maybe |= scope.permissions if covers is None else set()
        if DECIDE_PERMISSION in held:
            return True
        return None if UNCERTAIN_PERMISSION in held or maybe & {DECIDE_PERMISSION, UNCERTAIN_PERMISSION} else False

    def describe_excess_reach(self, is_named: Callable[[Repo], bool]) -> tuple[str, ...]:
        """Return the places outside the named repos where the token can list or decide; empty if none are known."""
        if self.role == "write":
            return ("all repos of its account and organisations",)
        reach = [
            s for s in self.scopes or () if s.permissions & {READ_PERMISSION, DECIDE_PERMISSION, UNCERTAIN_PERMISSION}
        ]
        return tuple(dict.fromkeys(place for scope in reach if (place := _describe_excess(scope, is_named))))


def _describe_excess(scope: TokenScope, is_named: Callable[[Repo], bool]) -> str | None:
    name = scope.name or ""
    if scope.kind in ("user", "org"):
        anywhere = [Repo(of, name, "a-name-that-only-a-wildcard-matches") for of in RepoType]
        return None if name and all(map(is_named, anywhere)) else f"every repo of {name or 'an owner'}"
    if scope.kind in ("model", "dataset") and "/" in name:
        repo = Repo(RepoType(scope.kind), *name.split("/", 1))
        return None if is_named(repo) else str(repo)
    return f"a {scope.kind}" if scope.covers(Repo(RepoType.MODEL, "-", "-")) is None else None


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a token belongs to, and the organisations in which it has a role."""

    name: str
    id: str | None = None
    orgs: tuple[str, ...] = ()
    token_role: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    rights: TokenRights = field(default_factory=TokenRights)
