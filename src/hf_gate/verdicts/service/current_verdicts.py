"""Selects the recorded verdicts that still apply, without compiling policies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hf_gate.base.ids import Repo
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.policy_model import Policy, PolicyMode
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import HfGateError
from hf_gate.policies.drivers.workspace_folder import read_folder


class CurrentVerdicts:
    """Selects the recorded verdicts that still apply: the verdicts of policies that still evaluate the request.

    If `policies` is None, the policies cannot be read now, and every recorded verdict applies.
    """

    def __init__(self, policies: Iterable[Policy] | None) -> None:
        self._policies = None if policies is None else tuple(policies)
        self._modes: dict[tuple[Repo, str], dict[str, PolicyMode]] = {}

    def verdict_of(self, row: RequestRow) -> tuple[str, str | None, str, str | None] | None:
        """Return action, policy, rule and digest; None if no policy evaluates the request now."""
        verdict = row.state.verdict
        if verdict is None or self._policies is None:
            return verdict
        key = (row.repo, row.state.status)
        modes = self._modes.get(key)
        if modes is None:
            modes = self._modes[key] = self._modes_at(*key)
        name = verdict[1]  # None: no enforced policy had an opinion
        return verdict if modes and (name is None or modes.get(name) is PolicyMode.ENFORCE) else None

    def _modes_at(self, repo: Repo, status: str) -> dict[str, PolicyMode]:
        """Return the modes of the policies that evaluate requests of a status at a repo, by policy name."""
        here = [each for each in self._policies or () if matches_any(each.applies_to, repo)]
        return {policy.name: policy.mode for policy in here if status in policy.judges}


def read_current_verdicts(folder: Path | None) -> CurrentVerdicts:
    """Return the recorded verdicts that still apply under the policy files of a folder, without compiling them.

    If a file cannot be read, every recorded verdict applies.
    """
    try:
        parsed = [] if folder is None else [file.policy for file in read_folder(folder).files.values()]
    except HfGateError:
        return CurrentVerdicts(None)
    is_readable = folder is not None and None not in parsed
    return CurrentVerdicts([policy for policy in parsed if policy is not None] if is_readable else None)
