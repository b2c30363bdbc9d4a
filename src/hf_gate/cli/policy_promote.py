"""policy promote: allows a version of a policy to act unattended, after showing what it would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ..domain.display_text import pluralize
from ..domain.members import RunAuthor
from ..domain.rows import count_pending
from ..domain.timestamps import to_ms
from ..errors import Guarded, UsageError
from .framework import Run, command
from .policy_compare import compare
from .policy_files import print_errors, read_policies
from .workspace import actor_of, open_with_policies

if TYPE_CHECKING:
    from ..application.policy_bundle import PolicyBundle
    from ..application.policy_comparison import PolicyComparison
    from ..application.policy_saves import PolicyHold
    from ..application.workspace import Workspace
    from ..plan.model import Change
    from ..policy.model import Policy


@command("promote", examples=("hf-gate policy promote eeg", "hf-gate policy promote eeg --yes --max-changes 611"))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of changes in the first turn.")
def policy_promote(run: Run, *, name: str, yes: bool, max_changes: int | None) -> int:
    """Allow this version of a policy to act unattended in `hf-gate run`, even if its first turn is large.

    First shows how it agrees with the last decisions by people, and what that turn would change. The promotion is recorded in the audit log and applies only to this version:
    a policy whose meaning changes needs a new promotion. After a promotion, a version whose run was paused or stopped
    can continue, and a version that was saved from the desk can act, whatever the number of changes.
    """
    found = read_policies(run, needs_workspace=True, prints_workspace=False)
    if found.has_errors:
        return print_errors(run, found)
    from ..application.policy_saves import read_active_holds
    from ..application.turn_permissions import is_promoted, promote

    workspace, bundle = open_with_policies(run)
    hold = next((one for one in read_active_holds(workspace.store, bundle.policies) if one.policy == name), None)
    policy = _find_policy(bundle, name, hold)
    is_known = is_promoted(workspace.store, policy)
    comparison = None if is_known else compare(workspace, policy, bundle.tables)
    if comparison is not None:
        _print_agreement(run, comparison)
    changes = [] if is_known else _first_turn(workspace, bundle, policy, hold)
    if hold is not None:
        run.out.say(hold.note)
    if not is_known:
        _confirm(run, workspace, policy, changes, yes=yes, max_changes=max_changes)
        account = run.connection.read_account()
        author = RunAuthor(account=account.id if account else None)
        promote(workspace.store, policy, actor_of(run), to_ms(workspace.clock.now()), author)
    doc = {
        "schema_version": 1,
        "policy": policy.name,
        "digest": policy.digest,
        "promoted": not is_known,
        "agreement": None if comparison is None else _agreement(comparison),
        "changes": dict(Counter(change.verb for change in changes)),
        "repos": _by_repo(changes),
    }
    run.out.document(doc, lambda: _promotion_lines(policy, is_known=is_known), quiet=[policy.digest])
    return 0


def _print_agreement(run: Run, comparison: PolicyComparison) -> None:
    compared, unknown = len(comparison.compared), len(comparison.unknown)
    rest = f" {unknown:,} cannot be compared, because facts of that time are not kept." if unknown else ""
    run.out.say(f"Compared with {pluralize(compared, 'decision')} by people. {comparison.describe()}{rest}")
    if comparison.disagreements:
        name = comparison.policy.name
        count = pluralize(len(comparison.disagreements), "decision")
        run.out.hint(f"`hf-gate policy compare {name}` lists {count} where the policy says otherwise.")


def _agreement(comparison: PolicyComparison) -> dict[str, int]:
    return {
        "compared": len(comparison.compared),
        "decided": comparison.decided_count,
        "agreed": comparison.agreed_count,
        "unknown": len(comparison.unknown),
    }


def _find_policy(bundle: PolicyBundle, name: str, hold: PolicyHold | None) -> Policy:
    """Return the policy to promote. A policy in shadow mode can only end the hold of its save."""
    from ..policy.model import PolicyMode
    from ..policy.strict_yaml import suggest

    policy = next((each for each in bundle.policies if each.name == name), None)
    if policy is None:
        names = [each.name for each in bundle.policies]
        near = suggest(name, names)
        known = f"The policies are: {', '.join(names)}." if names else "This workspace has no policies."
        raise UsageError(f"there is no policy {name!r}.", hint=f"Did you mean {near}?" if near else known)
    if policy.mode is PolicyMode.SHADOW and hold is None:
        raise UsageError(
            f"policy {name} is in shadow mode, so it changes nothing and cannot be promoted.",
            hint=f"Write `mode: enforce` in {policy.source} first.",
        )
    return policy


def _first_turn(workspace: Workspace, bundle: PolicyBundle, policy: Policy, hold: PolicyHold | None) -> list[Change]:
    """Return the changes of this policy in the next turn of `run`, disregarding the limits of guards.

    If the policy was saved from the desk, the changes of all policies at its repos wait, so those are included.
    """
    from ..application.evaluation_pool import EvaluationPool
    from ..application.planning import make_plan

    with EvaluationPool(workspace, bundle) as pool:
        plan = make_plan(workspace, bundle, pool.evaluate, profile_budget=0).plan
    return [
        change
        for change in plan.changes
        if change.policy_digest == policy.digest
        or (hold is not None and change.policy_digest is not None and hold.covers(change.repo_ref))
    ]


def _confirm(
    run: Run, workspace: Workspace, policy: Policy, changes: Sequence[Change], *, yes: bool, max_changes: int | None
) -> None:
    """Ask for confirmation as for a plan, but also for none or one change, because the policy will act unattended."""
    from ..plan.guards import Confirmation, plan_confirmation
    from .confirmation import confirm_plan

    for line in _describe_changes(policy, changes):
        run.out.say(line)
    waiting = count_pending(workspace.store.repos())
    if plan_confirmation(changes, waiting) is not Confirmation.NONE:
        confirm_plan(run, workspace, changes, yes=yes, max_changes=max_changes)
        return
    if yes or (run.may_ask and click.confirm("Promote?", err=True)):
        return
    raise Guarded("not confirmed; nothing was done.", hint="Add --yes.")


def _describe_changes(policy: Policy, changes: Sequence[Change]) -> Iterator[str]:
    from ..plan.render import summarize_changes

    lead = f"Policy {policy.name}@{policy.digest[:8]} will act unattended."
    if any(rule.reviewers > 1 for rule in policy.rules):
        yield "Some of its rules ask for two reviewers. You will not count as one of them for this version."
    if not changes:
        yield f"{lead} Its first turn would change nothing, as of the last sync."
        return
    yield f"{lead} Its first turn would change {pluralize(len(changes), 'request')}: {summarize_changes(changes)}."
    for row in _by_repo(changes):
        yield f"  {row['where']}: {row['count']:,}"


def _by_repo(changes: Sequence[Change]) -> list[dict[str, object]]:
    count = Counter((change.repo_ref, change.repo, change.repo_type) for change in changes)
    return [
        {"where": str(where), "repo": repo, "repo_type": kind, "count": number}
        for (where, repo, kind), number in sorted(count.items())
    ]


def _promotion_lines(policy: Policy, *, is_known: bool) -> list[str]:
    from ..policy.model import PolicyMode

    version = f"{policy.name}@{policy.digest[:8]}"
    if is_known:
        return [f"{version} can already act unattended; nothing was done."]
    if policy.mode is PolicyMode.SHADOW:
        return [f"{version} is in shadow mode and changes nothing. The other policies at its repos act again."]
    return [f"{version} can act unattended from now on, within the guards of the workspace. Recorded in the audit log."]
