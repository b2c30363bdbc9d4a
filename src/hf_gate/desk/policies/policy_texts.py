"""Reads and checks the policies that a member may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.parsing.strict_yaml import SourceText
from hf_gate.core.policy_model import Policy, PolicyProblem, TableSpec
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.requests.redaction import names_other_repos
from hf_gate.errors import HfGateError, UsageError
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder, read_folder
from hf_gate.policies.parsing.policy_parser import ParsedPolicy
from hf_gate.verdicts.service.policy_watcher import problem_for_member


class MarkedProblem(Struct, frozen=True):
    """A problem with its line of text, split around the marked place."""

    problem: PolicyProblem
    before: str
    marked: str
    after: str


class PolicyText(Struct, frozen=True):
    """The text of a policy with its problems. `policy` is set even if it has errors."""

    file: str
    source: SourceText
    policy: Policy | None
    checked: CheckedPolicy

    @property
    def problems(self) -> list[MarkedProblem]:
        return [_mark_problem(self.source, problem) for problem in self.checked.problems]

    @property
    def errors(self) -> int:
        return sum(problem.is_error for problem in self.checked.problems)

    @property
    def name(self) -> str:
        """The name in its address: the policy's own name, else the file's."""
        return self.policy.name if self.policy is not None else PurePath(self.file).stem


def _mark_problem(source: SourceText, problem: PolicyProblem) -> MarkedProblem:
    line = source.line(problem.position.line)
    start = problem.position.column - 1
    end = start + max(1, problem.length)
    return MarkedProblem(problem, line[:start][-160:], line[start:end][:160], line[end:][:160])


def read_workspace_folder(context: HttpContext) -> WorkspaceFolder:
    """Read the workspace's files. Raises UsageError without a workspace, or if hf-gate.yaml is wrong."""
    place = context.workspace.location
    if place.folder is None:
        raise UsageError("There is no workspace here, so there are no policies.", hint="Make one: hf-gate init")
    try:
        return read_folder(place.folder)
    except HfGateError as problem:
        raise problem_for_member(context.member, problem) from None


def list_policy_texts(context: HttpContext, folder: WorkspaceFolder) -> list[PolicyText]:
    """Return every policy file that the visitor may see."""
    forms = _visible_forms(context)
    found = [_check_file_text(file, parsed, folder, forms) for file, parsed in folder.files.items()]
    return [text for text in found if can_see_policy(context, text.policy)]


def can_see_policy(context: HttpContext, policy: Policy | None) -> bool:
    """Whether the visitor may see a policy: it applies to one of their repos.

    Only members of all repos see an unreadable one.
    """
    if context.member.repos is None:
        return True
    return policy is not None and bool(visible_policy_repos(context, policy))


def can_read_policy(context: HttpContext, policy: Policy) -> bool:
    """Return whether the member can read the text of a policy: it names only repos that they can see."""
    if context.member.repos is None:
        return True
    seen = visible_policy_repos(context, policy)
    return bool(seen) and not names_other_repos(policy, seen)


def visible_policy_repos(context: HttpContext, policy: Policy) -> list[Repo]:
    """Return the repos that the policy applies to and the visitor may see."""
    rows = context.list_visible_repos().rows
    return [row.repo for row in rows if matches_any(policy.applies_to, row.repo)]


def visible_targets(context: HttpContext, policy: Policy) -> list[str]:
    """Return the `applies_to` of a policy; for a member of some repos, the names of their repos that it matches."""
    if context.member.repos is None:
        return list(policy.applies_to)
    return [str(repo) for repo in visible_policy_repos(context, policy)]


def _check_file_text(
    file: str, parsed: ParsedPolicy, folder: WorkspaceFolder, forms: Mapping[str, GateForm]
) -> PolicyText:
    return PolicyText(
        file, parsed.document.source, parsed.policy, check_policy(parsed, config=folder.config, forms=forms)
    )


def _visible_forms(context: HttpContext) -> dict[str, GateForm]:
    """Return the forms of the repos that the visitor sees, to find misspelt labels."""
    return {str(row.repo): form_from_json(row.form_card) for row in context.list_visible_repos().rows if row.form_card}


def visible_tables(context: HttpContext, folder: WorkspaceFolder) -> dict[str, TableSpec]:
    """Return the tables that the visitor may see: those of hf-gate.yaml and of the policies that they see.

    A viewer of some repos sees only those of hf-gate.yaml that the rules of their repos read.
    """
    shared: Sequence[TableSpec] = folder.config.tables
    if context.member.repos is not None and not context.can_decide:
        sets = map(context.app_state.policies.for_repo, context.list_visible_repos().rows)
        used = {name for each in sets if each is not None for name in each.tables}
        shared = [spec for spec in shared if spec.name in used]
    seen = [parsed.policy for parsed in folder.files.values() if can_see_policy(context, parsed.policy)]
    specs = (*shared, *(spec for policy in seen if policy is not None for spec in policy.tables))
    return {spec.name: spec for spec in specs}
