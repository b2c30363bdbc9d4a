"""Expands USER@GLOB to one target for each matching repo in the store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..domain.lifecycle import Status
from ..errors import InvalidTarget, RequestNotFound, UsageError
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..domain.rows import RequestRow
    from .framework import Run

_USER_AT_GLOB: Final = re.compile(r"([^@/:\s{]+)@(?!\S*://)(\S*[*?]\S*)\Z")
# The status that a request must have to match USER@GLOB. USER@REPO matches any status.
_STATUS_OF_VERB: Final = {
    "accept": Status.PENDING,
    "reject": Status.PENDING,
    "reset": Status.PENDING,
    "cancel": Status.ACCEPTED,
    "revoke": Status.ACCEPTED,
}


def expand_globs(run: Run, words: Sequence[str], verb: str, repo_type: str | None) -> list[str]:
    """Return the arguments with each USER@GLOB expanded."""
    found: list[str] = []
    for word in words:
        match = _USER_AT_GLOB.match(word)
        found += [word] if match is None else _expand_glob(run, match[1], parse_typed_glob(match[2], repo_type), verb)
    return found


def is_glob(word: str) -> bool:
    """Return whether a word is a pattern of repos."""
    return any(sign in word for sign in "*?") and "://" not in word


def parse_typed_glob(text: str, repo_type: str | None) -> str:
    """Return a pattern of repos, with the type for a bare ns/name."""
    from ..policy.literals import InvalidLiteralError, parse_glob

    bare = repo_type is not None and not re.match(r"(models?|datasets?)[:/]", text)
    try:
        return parse_glob(f"{repo_type}:{text}" if bare else text)
    except InvalidLiteralError as problem:
        hint = f"Did you mean {problem.fix}?" if problem.fix else None
        raise InvalidTarget(str(problem), hint=hint) from None


def _expand_glob(run: Run, user: str, glob: str, verb: str) -> list[str]:
    workspace = open_stored_workspace(run)
    if workspace is None:
        raise UsageError(f"{user}@{glob} needs the store, but there is none.", hint="Create the store: hf-gate sync")
    repos = (
        list(find_matching_repos(workspace, glob))
        if verb == "grant"
        else [row.repo for row in _matching_requests(workspace, user, glob, verb)]
    )
    if not repos:
        missing = (
            "repo in the store matches" if verb == "grant" else f"request of {user} there is {_STATUS_OF_VERB[verb]}"
        )
        raise RequestNotFound(f"{user}@{glob}: no {missing}.", hint="To read new requests: hf-gate sync")
    return [f"{user}@{_typed_id(repo)}" for repo in repos]


def find_matching_repos(workspace: Workspace, glob: str) -> Iterator[Repo]:
    """Iterate over the repos in the store that match a pattern and belong to the workspace."""
    from ..policy.literals import glob_matches

    has_folder = workspace.location.folder is not None
    for row in workspace.store.repos():
        if glob_matches(glob, row.repo) and (not has_folder or workspace.location.config.includes(row.repo)):
            yield row.repo


def _matching_requests(workspace: Workspace, user: str, glob: str, verb: str) -> Iterator[RequestRow]:
    repos = set(find_matching_repos(workspace, glob))
    for row in workspace.store.find_by_identity(None, user):
        name = row.person.identity.username or ""
        if row.repo in repos and name.lower() == user.lower() and row.state.status == _STATUS_OF_VERB[verb]:
            yield row


def _typed_id(repo: Repo) -> str:
    return f"{repo.type.value}:{repo.id}"
