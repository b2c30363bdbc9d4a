"""policy promote: allows a version of a policy to act unattended, after it showed what that would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import pluralize
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.workspace_opening import find_actor, open_with_policies
from hf_gate.core.people.members import RunAuthor
from hf_gate.core.policy_model import Policy, PolicyMode
from hf_gate.core.stored_rows import count_pending
from hf_gate.errors import Guarded, NotAllowed, UsageError
from hf_gate.verdicts.records import (
    PromotionRecord,
    RepoChangesRecord,
)
from hf_gate.verdicts.rows.policy_authors import read_policy_authors, read_promoted_policies

from .policy_files import print_errors, read_policies

if TYPE_CHECKING:
    from hf_gate.core.changes import Change
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle


@command("promote", examples=("hf-gate policy promote eeg", "hf-gate policy promote eeg --yes --max-changes 611"))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of changes in its first turn.")
def policy_promote(context: CommandContext, *, name: str, yes: bool, max_changes: int | None) -> int:
    """Allow this version of a policy to act unattended in `hf-gate run`, even if its first turn is large.

    First shows what that turn would change. The promotion is recorded in the audit log and applies only to this
    version: a policy whose meaning changes needs a new promotion. Where two people approve, two members must promote
    each change of the rules. Whoever promotes a version alone is not one of its two approvers.
    After a promotion, a version whose run was paused or stopped can continue.
    """
    policies = read_policies(context, needs_workspace=True, prints_workspace=False)
    if policies.has_errors:
        return print_errors(context, policies)
    from hf_gate.automation.service.turn_permissions import is_promoted, promote

    workspace, bundle = open_with_policies(context)
    last = read_promoted_policies(workspace.store).get(name)
    was_double = last is not None and last.is_double
    policy = _find_policy(bundle, name, can_end=was_double)
    account = context.connection.read_account()
    if account is None and (was_double or policy.has_two_person_rule):
        raise NotAllowed(
            f"policy {name} asks for two people, and no Hub account is signed in here; nothing was done.",
            hint="Set HF_TOKEN to a token of your account.",
        )
    authors = {one.account for one in read_policy_authors(workspace.store, [policy.digest])}
    is_active = is_promoted(workspace.store, policy)
    is_known = is_active and (not policy.has_two_person_rule or account is None or account.id in authors)
    changes = [] if is_active else _first_turn(workspace, bundle, policy)
    lack = ""
    if not is_known:
        _confirm(context, workspace, policy, changes, yes=yes, max_changes=max_changes)
        author = RunAuthor(account=account.id if account else None)
        lack = promote(workspace, bundle.policies, policy, find_actor(context), author)
    record = PromotionRecord(
        policy=policy.name,
        digest=policy.digest,
        promoted=not is_active and not lack,
        lacks=lack or None,
        changes=dict(Counter(change.verb for change in changes)),
        repos=_by_repo(changes),
    )
    context.out.document(
        record, lambda: _promotion_lines(policy, lack, is_known=is_known, is_active=is_active), quiet=[policy.digest]
    )
    return 0


def _make_unknown_policy_error(name: str, names: Sequence[str]) -> UsageError:
    from hf_gate.core.parsing.strict_yaml import suggest

    near = suggest(name, names)
    known = f"The policies are: {', '.join(names)}." if names else "This workspace has no policies."
    return UsageError(f"there is no policy {name!r}.", hint=f"Did you mean {near}?" if near else known)


def _find_policy(bundle: PolicyBundle, name: str, *, can_end: bool) -> Policy:
    """Return the policy to promote. One in shadow mode can be promoted only to end a rule for two people."""
    policy = next((each for each in bundle.policies if each.name == name), None)
    if policy is None:
        raise _make_unknown_policy_error(name, [each.name for each in bundle.policies])
    if policy.mode is PolicyMode.SHADOW and not can_end:
        raise UsageError(
            f"policy {name} is in shadow mode, so it changes nothing and cannot be promoted.",
            hint=f"Write `mode: enforce` in {policy.source} first.",
        )
    return policy


def _first_turn(workspace: Workspace, bundle: PolicyBundle, policy: Policy) -> list[Change]:
    """Return the changes of this policy in the next turn of `run`, disregarding the limits of guards."""
    from hf_gate.decisions.service.plans.planning import make_plan
    from hf_gate.verdicts.service.evaluation_pool import EvaluationPool

    with EvaluationPool(workspace, bundle) as pool:
        plan = make_plan(workspace, bundle, pool.evaluate, profile_budget=0).plan
    return [change for change in plan.changes if change.policy_digest == policy.digest]


def _confirm(
    context: CommandContext,
    workspace: Workspace,
    policy: Policy,
    changes: Sequence[Change],
    *,
    yes: bool,
    max_changes: int | None,
) -> None:
    """Ask for confirmation as for a plan, but also for none or one change, because the policy will act unattended."""
    from hf_gate.command_line.decisions.confirmation import confirm_plan
    from hf_gate.verdicts.plan.guards import Confirmation, plan_confirmation

    for line in _describe_changes(policy, changes):
        context.out.say(line)
    waiting = count_pending(workspace.store.repos())
    if plan_confirmation(changes, waiting) is not Confirmation.NONE:
        confirm_plan(context, workspace, changes, yes=yes, max_changes=max_changes)
        return
    if yes or (context.may_ask and click.confirm("Promote?", err=True)):
        return
    raise Guarded("not confirmed; nothing was done.", hint="Add --yes.")


def _describe_changes(policy: Policy, changes: Sequence[Change]) -> Iterator[str]:
    from hf_gate.verdicts.plan.render import summarize_changes

    version = f"{policy.name}@{policy.digest[:8]}"
    if policy.mode is PolicyMode.SHADOW:
        yield f"Policy {version} is in shadow mode: after two members promoted it, it asks for no second person."
        return
    lead = f"Policy {version} will act unattended."
    if any(rule.reviewers > 1 for rule in policy.rules):
        yield "Some of its rules ask for two reviewers. Whoever promotes it alone is not one of them."
    if not changes:
        yield f"{lead} It would change nothing in its first turn, as of the last sync."
        return
    count = pluralize(len(changes), "request")
    yield f"{lead} It would change {count} in its first turn: {summarize_changes(changes)}."
    for row in _by_repo(changes):
        yield f"  {row.where}: {row.count:,}"


def _by_repo(changes: Sequence[Change]) -> list[RepoChangesRecord]:
    count = Counter(change.repo_ref for change in changes)
    return [
        RepoChangesRecord(where=str(where), repo=where.id, repo_type=where.type, count=number)
        for where, number in sorted(count.items())
    ]


def _promotion_lines(policy: Policy, lack: str, *, is_known: bool, is_active: bool) -> list[str]:
    version = f"{policy.name}@{policy.digest[:8]}"
    if lack:
        return [f"Two people approve there, so {version} does not apply yet: {lack}."]
    if is_known:
        return [f"{version} can already act unattended; nothing was done."]
    if is_active:
        return [f"You promoted {version}, too. Recorded in the audit log."]
    if policy.mode is PolicyMode.SHADOW:
        return [f"{version} asks for no second person from now on. Recorded in the audit log."]
    return [f"{version} can act unattended from now on, within the guards of the workspace. Recorded in the audit log."]
