"""USER@GLOB: one decision about a person at several repos, spelt out as one target for each request that the store knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..domain.lifecycle import Status
from ..errors import InvalidTarget, RequestNotFound, UsageError

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..domain.rows import RequestRow
    from .framework import Run

_SPREAD: Final = re.compile(r"([^@/:\s{]+)@(?!\S*://)(\S*[*?]\S*)\Z")
# Whose requests a glob means: who waits, and where somebody is put out, who is in. USER@REPO means them in any status.
_MEANT: Final = {
    "accept": Status.PENDING,
    "reject": Status.PENDING,
    "reset": Status.PENDING,
    "cancel": Status.ACCEPTED,
    "revoke": Status.ACCEPTED,
}


def expand_globs(run: Run, words: Sequence[str], verb: str, repo_type: str | None) -> list[str]:
    """The words with each USER@GLOB in full."""
    found: list[str] = []
    for word in words:
        match = _SPREAD.match(word)
        found += [word] if match is None else _spelt(run, match[1], _glob(match[2], repo_type), verb)
    return found


def _glob(text: str, repo_type: str | None) -> str:
    from ..policy.literals import InvalidLiteralError, parse_glob  # noqa: PLC0415 - only with a glob

    bare = repo_type is not None and not re.match(r"(models?|datasets?)[:/]", text)
    try:
        return parse_glob(f"{repo_type}:{text}" if bare else text)
    except InvalidLiteralError as problem:
        hint = f"Did you mean {problem.fix}?" if problem.fix else None
        raise InvalidTarget(str(problem), hint=hint) from None


def _spelt(run: Run, user: str, glob: str, verb: str) -> list[str]:
    from .workspace import open_stored_workspace  # noqa: PLC0415 - only with a glob

    workspace = open_stored_workspace(run)
    if workspace is None:
        raise UsageError(f"{user}@{glob}: no store knows where {user} asked.", hint="hf-gate sync reads it.")
    repos = (
        list(_repos(workspace, glob))
        if verb == "grant"
        else [row.repo for row in _requests(workspace, user, glob, verb)]
    )
    if not repos:
        what = "repo of this store is called so" if verb == "grant" else f"request of {user} there is {_MEANT[verb]}"
        raise RequestNotFound(f"{user}@{glob}: no {what}.", hint="hf-gate sync reads what is new.")
    return [f"{user}@{_address(repo)}" for repo in repos]


def _repos(workspace: Workspace, glob: str) -> Iterator[Repo]:
    from ..policy.literals import glob_matches  # noqa: PLC0415 - only with a glob

    has_folder = workspace.location.folder is not None
    for row in workspace.store.repos():
        if glob_matches(glob, row.repo) and (not has_folder or workspace.location.config.includes(row.repo)):
            yield row.repo


def _requests(workspace: Workspace, user: str, glob: str, verb: str) -> Iterator[RequestRow]:
    repos = set(_repos(workspace, glob))
    for row in workspace.store.find_by_identity(None, user):
        name = row.person.identity.username or ""
        if row.repo in repos and name.lower() == user.lower() and row.state.status == _MEANT[verb]:
            yield row


def _address(repo: Repo) -> str:
    return f"{repo.type.value}:{repo.id}"
