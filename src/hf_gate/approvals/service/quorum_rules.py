"""Reads how many people must approve acceptances. Policies are compiled only if one of them can ask for two people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from hf_gate.base.ids import Repo
from hf_gate.base.private_files import read_regular_file
from hf_gate.core.people.approvals import ONE_PERSON, Quorum
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import HfGateError
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.rows.policy_authors import read_promoted_policies

if TYPE_CHECKING:
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

BundleReader: TypeAlias = "Callable[[], PolicyBundle | None]"
_SIGNS: Final = (b"reviewers", b"\\u", b"\\U", b"\\x", b"\\\n", b"\\\r", b"\x00")
"""The key of a rule, or what could spell it otherwise."""
_EVERY_REPO: Final = ("*/*", "datasets/*/*")


class QuorumRules(Protocol):
    """Computes how many people must approve requests."""

    @property
    def digest(self) -> str: ...
    def is_two_person_repo(self, repo: Repo) -> bool: ...
    def compute(self, repo: Repo, rows: Sequence[RequestRow], now: datetime) -> dict[int, Quorum]: ...
    def strictest(self, repo: Repo) -> Quorum: ...


class SinglePersonRules:
    """One person may accept every request, because no policy asks for two people."""

    digest = ""

    def is_two_person_repo(self, repo: Repo) -> bool:  # noqa: ARG002 - the signature of QuorumRules
        return False

    def compute(self, repo: Repo, rows: Sequence[RequestRow], now: datetime) -> dict[int, Quorum]:  # noqa: ARG002
        return {}

    def strictest(self, repo: Repo) -> Quorum:  # noqa: ARG002 - the signature of QuorumRules
        return ONE_PERSON


def read_quorum_rules(workspace: Workspace, read_bundle: BundleReader | None = None) -> QuorumRules:
    """Read the policies as they are now. `read_bundle` returns policies that are already compiled.

    Nothing is accepted where the promoted policies or these ask for two people, while the policies cannot be read,
    while they are not the versions that were promoted last, or while the loop that leads uses other files.
    """
    folder = workspace.location.folder
    promoted = read_promoted_policies(workspace.store)
    known = {glob for one in promoted.values() if one.is_double for glob in one.repos}
    if not known and (folder is None or not _may_ask_for_two(folder, workspace.location.config.policies)):
        return SinglePersonRules()
    from hf_gate.verdicts.service.policy_bundle import load_policies
    from hf_gate.verdicts.service.policy_watcher import describe_other_files

    from .policy_quorums import PolicyQuorumRules

    try:
        bundle = (read_bundle() if read_bundle is not None else None) or load_policies(workspace)
    except HfGateError as problem:
        why = f"the policies cannot be read: {problem}"
        return PolicyQuorumRules(workspace, problem=why, blocked=tuple(sorted(known)) or _EVERY_REPO)
    asking = {glob for policy in bundle.policies if policy.has_two_person_rule for glob in policy.applies_to}
    if not asking and not known:
        return SinglePersonRules()
    other = None if workspace.store.is_leader else describe_other_files(workspace.store, bundle)
    if other is not None:
        why, blocked = f"{other} Give all machines the same files", tuple(sorted(known | asking))
        return PolicyQuorumRules(workspace, bundle, why, blocked)
    return PolicyQuorumRules(workspace, bundle, promoted=promoted)


def _may_ask_for_two(folder: Path, globs: Iterable[str]) -> bool:
    """Tell whether the text of a policy file can ask for two people; also True if a file cannot be read."""
    for file in (file for glob in globs for file in folder.glob(glob)):
        try:
            content = read_regular_file(file)
        except IsADirectoryError:
            continue
        except OSError:
            return True
        if any(sign in content for sign in _SIGNS) and any(sign in _without_comments(content) for sign in _SIGNS):
            return True
    return False


def _without_comments(content: bytes) -> bytes:
    """Return a file without lines that begin with `#` and have no quote. No such line is part of a key.

    With a quote, the line may end a text of several lines, and a key may follow. Text has at least the line ends of
    YAML, so a line that YAML reads is never taken for the rest of a comment.
    """
    lines = content.decode("utf-8", "replace").splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#") or '"' in line or "'" in line).encode()
