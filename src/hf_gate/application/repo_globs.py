"""Which repos the globs of a workspace mean: those spelled out, and those of an owner that exist and match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..domain.ids import Repo, parse_repo
from ..policy.literals import glob_matches
from .ports import HubPort


def expand_globs(globs: Iterable[str], hub: HubPort, owners: Sequence[str]) -> list[Repo]:
    """Each repo once, in the order of the globs. A glob over owners looks among `owners`, the account and its organisations."""
    found: dict[Repo, None] = {}
    gated: dict[str, list[Repo]] = {}
    for glob in globs:
        if not _is_open(glob):
            found[parse_repo(glob)] = None
            continue
        namespace = glob.removeprefix("datasets/").partition("/")[0]
        for owner in owners if _is_open(namespace) else (namespace,):
            if owner not in gated:
                gated[owner] = [gate.repo for gate in hub.gated_repos(owner)]
            found |= dict.fromkeys(repo for repo in gated[owner] if glob_matches(glob, repo))
    return list(found)


def _is_open(glob: str) -> bool:
    return "*" in glob or "?" in glob
