"""Expands repo globs: ids are kept, and patterns are matched with the gated repos of their owners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.parsing.literals import glob_matches
from hf_gate.core.ports import HubPort


def expand_repo_globs(globs: Iterable[str], hub: HubPort, owners: Sequence[str]) -> list[Repo]:
    """Return each repo once, in the order of the globs. A pattern in the owner part matches only `owners`."""
    found: dict[Repo, None] = {}
    gated: dict[str, list[Repo]] = {}
    for glob in globs:
        if not _has_wildcard(glob):
            found[parse_repo(glob)] = None
            continue
        namespace = glob.removeprefix("datasets/").partition("/")[0]
        for owner in owners if _has_wildcard(namespace) else (namespace,):
            if owner not in gated:
                gated[owner] = [gate.repo for gate in hub.gated_repos(owner)]
            found |= dict.fromkeys(repo for repo in gated[owner] if glob_matches(glob, repo))
    return list(found)


def _has_wildcard(glob: str) -> bool:
    return "*" in glob or "?" in glob
