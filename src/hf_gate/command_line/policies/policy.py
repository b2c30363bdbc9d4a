"""policy check, test, show and new: find problems in policies, run their tests, describe and create them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import make_visible, name_first, pluralize
from hf_gate.base.ids import Repo, RepoType
from hf_gate.base.private_files import write_private_file
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command, repo_type_option
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.core.forms.roles import Role
from hf_gate.decisions.records import policy_record, problem_record
from hf_gate.errors import UsageError
from hf_gate.verdicts.records import (
    AppliedPolicyRecord,
    GivenVerdictRecord,
    NewPolicyRecord,
    PolicyCheckRecord,
    PolicyTestRecord,
    PolicyTestsRecord,
    RepoRulesRecord,
    WantedVerdictRecord,
)
from hf_gate.verdicts.service.example_policies import EXAMPLES, fit_example, list_policy_tables

from .policy_files import Policies, print_errors, print_problems, read_policies, summarize
from .policy_tables import accept_named_table, relative_name

if TYPE_CHECKING:
    from hf_gate.core.policy_model import Policy
    from hf_gate.policies.checks.accept_requirements import AcceptRequirement
    from hf_gate.policies.checks.policy_checker import CheckedPolicy
    from hf_gate.settings.workspace_config import WorkspaceConfig
    from hf_gate.verdicts.policy_tests import PolicyTestResult

policy = LazyGroup(
    "policy",
    {
        "check": CommandEntry(
            "hf_gate.command_line.policies.policy:policy_check", "Find errors, and show what each accept rule requires."
        ),
        "test": CommandEntry("hf_gate.command_line.policies.policy:policy_test", "Run the tests in the policy files."),
        "show": CommandEntry(
            "hf_gate.command_line.policies.policy:policy_show", "Show the rules of a repo as numbered sentences."
        ),
        "new": CommandEntry(
            "hf_gate.command_line.policies.policy:policy_new", "Create a policy from a shipped example."
        ),
        "promote": CommandEntry(
            "hf_gate.command_line.policies.policy_versions:policy_promote",
            "Allow a version of a policy to act unattended.",
            has_effect=True,
        ),
    },
    help="Policies: create, check, test and describe the policies of the workspace.",
)

_MAX_NAMED: Final = 5  # the most failing tests that are named
_FILES: Final = click.argument("files", nargs=-1, metavar="[FILE]...")


# ---- check -----------------------------------------------------------------------------------------------------------


@command("check", examples=("hf-gate policy check", "hf-gate policy check policies/eeg.yaml --json"))
@_FILES
@click.option(
    "--accept-table", "accepted", metavar="NAME", help="Accept this table as it is, although it has lost rows."
)
def policy_check(context: CommandContext, *, files: tuple[str, ...], accepted: str | None) -> int:
    """Check the policies of the workspace, or the FILEs, and everything they refer to: facts, values, tables, form
    labels.

    Warns about what is valid but probably a mistake, such as a rule that never matches or a reject based on claims.
    Shows the minimum that an applicant must control to match each accept rule, the tests that fail, and how many
    pending requests each table lists. Exits with 2 if there are errors.

    A table that is empty, or has lost more than a quarter of its rows since it was last read, is refused. Its values
    are unknown to every rule until you accept the table with --accept-table.
    """
    if accepted is not None:
        context.out.say(f"table {accepted}: accepted with {pluralize(accept_named_table(context, accepted), 'row')}")
    policies = read_policies(context, files, counts_matches=True)
    counts = policies.counts()
    record = PolicyCheckRecord(
        ok=not policies.has_errors,
        errors=counts["error"],
        warnings=counts["warning"],
        problems=[problem_record(problem) for problem in policies.problems],
        policies=[
            policy_record(
                file,
                policy.name,
                checked,
                policy.applies_to,
                _accept_requirements(checked, policy),
                _failing_tests(checked),
            )
            for file, checked, policy in policies.without_errors()
        ],
        tables=[table.record() for table in policies.tables],
        forms=list(policies.forms),
    )
    if context.out.is_human:
        print_problems(context, policies, policies.problems)
    positions = (f"{one.source}:{one.position.line}:{one.position.column}" for one in policies.problems)
    context.out.document(record, lambda: _check_lines(policies), quiet=positions)
    return 2 if policies.has_errors else 0


def _accept_requirements(checked: CheckedPolicy, policy: Policy) -> tuple[AcceptRequirement, ...]:
    from hf_gate.policies.checks.accept_requirements import accept_requirements

    return accept_requirements(policy, checked.conditions)


def _failing_tests(checked: CheckedPolicy) -> list[PolicyTestResult]:
    from hf_gate.verdicts.policy_tests import run_policy_tests

    return [result for result in run_policy_tests(checked) if not result.has_passed]


def _check_lines(policies: Policies) -> Iterator[str]:
    for name, checked, policy in policies.without_errors():
        size = f"{pluralize(len(policy.rules), 'rule')}, {pluralize(len(policy.tests), 'test')}"
        yield f"{name}: policy {policy.name}, {policy.mode}, {size}, digest {policy.digest[:8]}"
        if failing := _failing_tests(checked):
            names = name_first([make_visible(each.test.name, one_line=True) for each in failing], _MAX_NAMED)
            fail = "fails" if len(failing) == 1 else "fail"
            yield f"  {pluralize(len(failing), 'test')} {fail}: {names}. Why: hf-gate policy test"
        for requirement in _accept_requirements(checked, policy):
            yield f"  {requirement.rule} accepts; at minimum: {requirement}"
    yield from (table.describe() for table in policies.tables)
    if policies.folder is not None and policies.config is None:
        yield f"hf-gate.yaml: {summarize(policies.counts())}; the policies were not read."
        return
    checked_forms = f"; with the forms of {', '.join(policies.forms)}" if policies.forms else ""
    counted = pluralize(len(policies.checked), "policy", "policies")
    yield f"{counted}: {summarize(policies.counts())}{checked_forms}."


# ---- test ------------------------------------------------------------------------------------------------------------


@command("test", examples=("hf-gate policy test", "hf-gate policy test policies/eeg.yaml --json"))
@_FILES
def policy_test(context: CommandContext, *, files: tuple[str, ...]) -> int:
    """Run the tests in the policy files. If a test fails, shows the result and the reason, and exits with 1."""
    from hf_gate.verdicts.policy_tests import run_policy_tests

    policies = read_policies(context, files)
    if policies.has_errors:
        return print_errors(context, policies)
    results = [(name, policy, run_policy_tests(checked)) for name, checked, policy in policies.without_errors()]
    failed = [each for _, _, some in results for each in some if not each.has_passed]
    record = PolicyTestsRecord(
        ok=not failed,
        passed=sum(len(some) for _, _, some in results) - len(failed),
        failed=len(failed),
        tests=[_policy_test_record(name, policy, each) for name, policy, some in results for each in some],
    )
    context.out.document(record, lambda: _test_lines(results, len(failed)), quiet=[each.test.name for each in failed])
    return 1 if failed else 0


def _policy_test_record(name: str, policy: Policy, result: PolicyTestResult) -> PolicyTestRecord:
    test = result.test
    return PolicyTestRecord(
        policy=policy.name,
        file=name,
        line=test.position.line,
        name=test.name,
        passed=result.has_passed,
        want=WantedVerdictRecord(then=test.then, rule=test.rule),
        got=GivenVerdictRecord(then=result.verdict.action, rule=result.verdict.rule),
        why=list(result.why),
    )


def _test_lines(results: Sequence[tuple[str, Policy, tuple[PolicyTestResult, ...]]], failed: int) -> Iterator[str]:
    total = 0
    for name, policy, some in results:
        total += len(some)
        if not some:
            yield f"{name}: policy {policy.name} has no tests"
        for result in some:
            if result.has_passed:
                yield f"\u2713 {policy.name}: {result.test.name}"
            else:
                yield f"\u2717 {policy.name}: {result.test.name} ({name}:{result.test.position.line})"
                yield f"    {result.message}"
                yield from (f"    {line}" for line in result.why)
    yield f"{pluralize(total, 'test')}: {total - failed} passed, {failed} failed."


# ---- show ------------------------------------------------------------------------------------------------------------


@command("show", examples=("hf-gate policy show datasets/acme/eeg", "hf-gate policy show acme/med-7b --json"))
@click.argument("repo", metavar="[REPO]", required=False)
@repo_type_option
def policy_show(context: CommandContext, *, repo: str | None, repo_type: str | None) -> int:
    """Print the rules of all policies of a repo as one numbered list of sentences, in the order in which they are
    tried.
    """
    from hf_gate.core.parsing.literals import matches_any
    from hf_gate.policies.words.descriptions import describe_policies

    policies = read_policies(context, needs_workspace=True)
    found = next((policy for _, _, policy in policies.without_errors() if policy.name == repo), None)
    if found is not None:
        raise UsageError(
            f"{repo} is a policy; `policy show` takes a repo. It applies to {', '.join(found.applies_to)}.",
            hint="Its rules, by repo: hf-gate policy show REPO",
        )
    where = parse_repo_argument(context, repo, repo_type)
    if policies.has_errors:
        return print_errors(context, policies)
    _check_repo_included(policies, where)
    mine = [(name, policy) for name, _, policy in policies.without_errors() if matches_any(policy.applies_to, where)]
    sentences = (
        list(describe_policies(policy for _, policy in mine))
        if mine
        else ["No policy applies to this repo: a person decides each request."]
    )
    record = RepoRulesRecord(
        repo=where.id,
        repo_type=where.type,
        policies=[
            AppliedPolicyRecord(policy=policy.name, file=name, mode=policy.mode.value, digest=policy.digest)
            for name, policy in mine
        ],
        sentences=sentences,
    )
    context.out.document(record, lambda: _number_lines(sentences), quiet=[policy.name for _, policy in mine])
    return 0


def _number_lines(sentences: Sequence[str]) -> Iterable[str]:
    width = len(str(len(sentences)))
    return (f"{number:>{width}}. {line}" for number, line in enumerate(sentences, 1))


def _check_repo_included(policies: Policies, where: Repo) -> None:
    """Raise UsageError for a repo outside the workspace: no policy applies there, whatever the files contain."""
    config = policies.config
    if config is None or config.includes(where):
        return
    other = Repo(RepoType.MODEL if where.type is RepoType.DATASET else RepoType.DATASET, where.namespace, where.name)
    hint = (
        f"Did you mean {other}?"
        if config.includes(other)
        else f"Repos of the workspace: {', '.join(config.repos[:5]) or 'none'}."
    )
    raise UsageError(f"{where} is not a repo of this workspace.", hint=hint)


# ---- new -------------------------------------------------------------------------------------------------------------


@command("new", examples=("hf-gate policy new eeg --like academic", "hf-gate policy new course --like class --dry-run"))
@click.argument("name")
@click.option("--like", type=click.Choice(EXAMPLES), required=True, help="The example to copy.")
@click.option("--dry-run", is_flag=True, help="Print the policy; write nothing.")
def policy_new(context: CommandContext, *, name: str, like: str, dry_run: bool) -> int:
    """Create a policy in the workspace from a shipped example, in shadow mode, for the workspace's repos.

    consumer accepts everybody who states a purpose, for an open model. academic accepts university e-mail addresses.
    medical needs a signed agreement, and class a roster. deny rejects the people on a list. Each example contains
    tests.
    """
    policies = read_policies(context, needs_workspace=True)
    if policies.folder is None or policies.config is None:
        return print_errors(context, policies)
    if not re.fullmatch(r"[a-z0-9-]{1,64}", name):
        raise UsageError(f"{name!r} is not a policy name.", hint="Use lower-case letters, digits and -.")
    if any(policy.name == name for _, _, policy in policies.without_errors()):
        raise UsageError(f"there is already a policy {name}.", hint="Choose another name.")
    text = fit_example(like, name, policies.config.repos, set(Role))
    if dry_run:
        sys.stdout.write(text)
    tables = list_policy_tables(text)
    own = {table.name for table in policies.config.tables}
    if taken := sorted(table.name for table in tables if table.name in own):
        raise UsageError(
            f"hf-gate.yaml also defines table `{taken[0]}`, and names must be unique; nothing was written.",
            hint="Use --dry-run to print the policy, and remove its table if yours has the same meaning.",
        )
    path = _new_path(policies.folder, policies.config, name)
    if os.path.lexists(path):
        raise UsageError(f"{path} already exists; nothing was written.", hint="Choose another name.")
    if dry_run:
        return 0
    write_private_file(path, text.encode())
    written = relative_name(policies.folder, str(path.relative_to(policies.folder)))
    missing = [table.file for table in tables if table.file and not (policies.folder / table.file).exists()]
    record = NewPolicyRecord(policy=name, like=like, file=written, missing=missing)
    context.out.document(record, lambda: _lines(written, missing), quiet=[written])
    return 0


def _lines(path: str, missing: list[str]) -> Iterator[str]:
    yield f"Wrote {path} in shadow mode: it changes nothing."
    yield from map(describe_missing_table, missing)
    yield "Next: review the file, then hf-gate policy check"


def describe_missing_table(file: str) -> str:
    """Return a sentence about a table of a new policy whose file does not exist."""
    return (
        f"The policy uses a table that does not exist yet: {file}. Fill it: hf-gate table import {Path(file).stem} FILE"
    )


def _new_path(folder: Path, config: WorkspaceConfig, name: str) -> Path:
    """Return the path of a new file that the workspace's `policies` globs match."""
    for glob in config.policies:
        base, _, last = glob.rpartition("/")
        if "*" not in base and last in ("*.yaml", "*.yml", "*"):
            return folder / base / f"{name}{'.yml' if last == '*.yml' else '.yaml'}"
    raise UsageError(
        f"the workspace reads only {', '.join(config.policies)}, which matches no new file.",
        hint="Use --dry-run to print the policy instead.",
    )
