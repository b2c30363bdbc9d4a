"""Reads and checks the policies that a member may see, and their drafts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.parsing.strict_yaml import SourceText, apply_fix
from hf_gate.core.policy_model import Policy, PolicyProblem, TableSpec
from hf_gate.errors import HfGateError, UsageError
from hf_gate.policies.checks.accept_requirements import AcceptRequirement
from hf_gate.policies.checks.policy_checker import CheckedPolicy, check_policy
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder, read_folder
from hf_gate.policies.parsing.cards import Card, list_new_conditions
from hf_gate.policies.parsing.policy_parser import ParsedPolicy, parse_policy
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.verdicts.policy_tests import PolicyTestResult
from hf_gate.verdicts.service.policy_watcher import problem_for_member
from hf_gate.web.http_context import HttpContext

from .draft_report import DraftReport, make_report

# ---- the text of a policy --------------------------------------------------------------------------------------------


class MarkedProblem(Struct, frozen=True):
    """A problem with its line of text, split around the marked place."""

    problem: PolicyProblem
    before: str
    marked: str
    after: str

    @property
    def key(self) -> str:
        """The value of the fix button. It contains the position, so that a changed text is not fixed elsewhere."""
        place = self.problem.position
        return f"{place.line}:{place.column}:{self.problem.code}"


class PolicyText(Struct, frozen=True):
    """The text of a policy with its problems. `policy` is set even if it has errors.

    `report` holds the results of its tests and rules, if they were run.
    """

    file: str
    source: SourceText
    policy: Policy | None
    checked: CheckedPolicy
    report: DraftReport | None = None

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

    @property
    def lines(self) -> list[tuple[int, bool]]:
        """Line numbers, each with whether the line has an error."""
        wrong = {problem.position.line for problem in self.checked.problems if problem.is_error}
        return [(n, n in wrong) for n in range(1, self.source.lines + 1)]

    @property
    def requirements(self) -> Sequence[AcceptRequirement]:
        """The weakest requirement to pass each accept rule."""
        return () if self.report is None else self.report.requirements

    @property
    def tests(self) -> Sequence[PolicyTestResult]:
        """The results of the policy's tests."""
        return () if self.report is None else self.report.tests

    @property
    def cards(self) -> Sequence[Card]:
        """The rules as sentences; none if the text cannot be read, or is too long."""
        return () if self.report is None or self.report.read is None else self.report.read.cards

    @property
    def new_conditions(self) -> Mapping[str, str]:
        """The conditions that a new card offers, with their words."""
        return list_new_conditions(() if self.report is None or self.report.read is None else self.report.read.tables)

    @property
    def failing(self) -> list[PolicyTestResult]:
        """The results of the tests that fail."""
        return [result for result in self.tests if not result.has_passed]

    @property
    def doubts(self) -> list[str]:
        """Reasons to confirm before use, apart from failing tests: rules that accept on the applicant's word alone."""
        weak = [
            f"The rule {way.rule} accepts on {way}."
            for way in self.requirements
            if way.is_weak and way.trust is not None
        ]
        everybody = [f"The rule {way.rule} accepts everybody." for way in self.requirements if way.trust is None]
        return [*weak, *everybody]

    @property
    def needed_yes(self) -> str:
        """What a person must confirm before the text is used: a digest of the failing tests and doubts; empty if
        nothing.
        """
        doubts = [*(f"{result.test.name}: {result.message}" for result in self.failing), *self.doubts]
        return hashlib.sha256("\n".join(doubts).encode("utf-8", "replace")).hexdigest()[:16] if doubts else ""

    def apply_fix(self, key: str) -> str | None:
        """Return the text with one problem fixed; None if it no longer has that problem."""
        problem = next((marked.problem for marked in self.problems if marked.key == key), None)
        return None if problem is None else apply_fix(self.source.text, problem)


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


def visible_policy_repos(context: HttpContext, policy: Policy) -> list[Repo]:
    """Return the repos that the policy applies to and the visitor may see."""
    rows = context.list_visible_repos().rows
    return [row.repo for row in rows if matches_any(policy.applies_to, row.repo)]


def check_draft(context: HttpContext, text: str, file: str, folder: WorkspaceFolder) -> PolicyText:
    """Check a draft as if it were the file of that name, and run its tests."""
    config = _visible_config(context, folder)
    today = context.now.astimezone(folder.zone).date()
    parsed = parse_policy(text, file)
    checked = check_policy(parsed, config=config, forms=_visible_forms(context), today=today)
    report = make_report(text, file, checked, config, folder.zone)
    return PolicyText(file, SourceText(text, file), parsed.policy, checked, report)


def _visible_config(context: HttpContext, folder: WorkspaceFolder) -> WorkspaceConfig:
    """Return the config to check a draft against; for a member of some repos it names only those."""
    if context.member.repos is None:
        return folder.config
    return dataclasses.replace(folder.config, repos=tuple(str(row.repo) for row in context.list_visible_repos().rows))


def visible_targets(context: HttpContext, policy: Policy) -> list[str]:
    """Return the `applies_to` of a policy; for a member of some repos, the names of their repos that it matches."""
    if context.member.repos is None:
        return list(policy.applies_to)
    return [str(repo) for repo in visible_policy_repos(context, policy)]


def add_test_results(text: PolicyText, folder: WorkspaceFolder) -> PolicyText:
    """Return a policy of the workspace with its cards and the results of its tests."""
    report = make_report(text.source.text, text.file, text.checked, folder.config, folder.zone)
    return replace(text, report=report)


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
    """Return the tables that the visitor may see: those of hf-gate.yaml and of the policies that they see."""
    seen = [parsed.policy for parsed in folder.files.values() if can_see_policy(context, parsed.policy)]
    specs = (*folder.config.tables, *(spec for policy in seen if policy is not None for spec in policy.tables))
    return {spec.name: spec for spec in specs}
