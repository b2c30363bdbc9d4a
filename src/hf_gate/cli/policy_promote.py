"""policy promote: the word that lets a version of a policy act unattended, after it was said what it would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ..domain.rows import count_pending
from ..errors import Guarded, UsageError
from .framework import Run, command
from .output import count_of
from .policy_files import print_errors, read_policies

if TYPE_CHECKING:
    from ..application.policy_bundle import PolicyBundle
    from ..application.workspace import Workspace
    from ..plan.model import Change
    from ..policy.model import Policy


@command("promote", examples=("hf-gate policy promote eeg", "hf-gate policy promote eeg --yes --max-changes 611"))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: so many changes in the first turn at most.")
def policy_promote(run: Run, *, name: str, yes: bool, max_changes: int | None) -> int:
    """Let this version of a policy act in `hf-gate run` unattended, even if its first turn is large.

    Says first what that turn would change. The word stands in the ledger, and is for this version: a policy that
    means something else tomorrow needs it again. It also lets a version go on whose run was paused or stopped.
    """
    found = read_policies(run, needs_workspace=True, is_said=False)
    if found.has_errors:
        return print_errors(run, found)
    from ..application.halts_and_promotions import is_promoted, promote  # noqa: PLC0415 - as above
    from ..domain.timestamps import to_ms  # noqa: PLC0415 - help needs none of it
    from .workspace import actor_of, open_with_policies  # noqa: PLC0415 - as above

    workspace, bundle = open_with_policies(run)
    policy = _find_enforced(bundle, name)
    is_known = is_promoted(workspace.store, policy)
    changes = [] if is_known else _first_turn(workspace, bundle, policy)
    if not is_known:
        _confirm(run, workspace, policy, changes, yes=yes, max_changes=max_changes)
        promote(workspace.store, policy, actor_of(run), to_ms(workspace.clock.now()))
    doc = {
        "schema_version": 1,
        "policy": policy.name,
        "digest": policy.digest,
        "promoted": not is_known,
        "changes": dict(Counter(change.verb for change in changes)),
        "repos": _by_repo(changes),
    }
    run.out.document(doc, lambda: _promotion_lines(policy, is_known=is_known), quiet=[policy.digest])
    return 0


def _find_enforced(bundle: PolicyBundle, name: str) -> Policy:
    from ..policy.model import PolicyMode  # noqa: PLC0415 - as above
    from ..policy.strict_yaml import suggest  # noqa: PLC0415 - as above

    policy = next((each for each in bundle.policies if each.name == name), None)
    if policy is None:
        names = [each.name for each in bundle.policies]
        near = suggest(name, names)
        there = f"The policies here: {', '.join(names)}." if names else "This workspace has no policy."
        raise UsageError(f"there is no policy {name!r}.", hint=f"Did you mean {near}?" if near else there)
    if policy.mode is PolicyMode.SHADOW:
        raise UsageError(
            f"policy {name} is in shadow: it changes nothing, so there is nothing to let it do.",
            hint=f"Write `mode: enforce` into {policy.source} first.",
        )
    return policy


def _first_turn(workspace: Workspace, bundle: PolicyBundle, policy: Policy) -> list[Change]:
    """What the next turn of `run` would do by this policy, were it to act on all at once."""
    from ..application.evaluation_pool import EvaluationPool  # noqa: PLC0415 - as above
    from ..application.planning import make_plan  # noqa: PLC0415 - as above

    with EvaluationPool(workspace, bundle) as pool:
        plan = make_plan(workspace, bundle, pool.evaluate, profile_budget=0).plan
    return [change for change in plan.changes if change.policy_digest == policy.digest]


def _confirm(
    run: Run, workspace: Workspace, policy: Policy, changes: Sequence[Change], *, yes: bool, max_changes: int | None
) -> None:
    """The ladder of every change, with one difference: what acts on its own needs a yes even for nobody or one."""
    from ..plan.guards import Confirmation, plan_confirmation  # noqa: PLC0415 - as above
    from .confirmation import confirm_plan  # noqa: PLC0415 - as above

    for line in _describe_changes(policy, changes):
        run.out.say(line)
    waiting = count_pending(workspace.store.repos())
    if plan_confirmation(changes, waiting) is not Confirmation.NONE:
        confirm_plan(run, workspace, changes, yes=yes, max_changes=max_changes)
        return
    if yes or (run.may_ask and click.confirm("Go on?", err=True)):
        return
    raise Guarded("this needs a yes, and nobody gave one; nothing was done.", hint="Add --yes.")


def _describe_changes(policy: Policy, changes: Sequence[Change]) -> Iterator[str]:
    from ..plan.render import summarize_changes  # noqa: PLC0415 - as above

    lead = f"Policy {policy.name}@{policy.digest[:8]} would act unattended."
    if not changes:
        yield f"{lead} Its first turn would change nothing by what the store knows now."
        return
    yield f"{lead} Its first turn would change {count_of(len(changes), 'request')}: {summarize_changes(changes)}."
    for row in _by_repo(changes):
        yield f"  {row['where']}: {row['count']:,}"


def _by_repo(changes: Sequence[Change]) -> list[dict[str, object]]:
    count = Counter((change.repo_ref, change.repo, change.repo_type) for change in changes)
    return [
        {"where": str(where), "repo": repo, "repo_type": kind, "count": number}
        for (where, repo, kind), number in sorted(count.items())
    ]


def _promotion_lines(policy: Policy, *, is_known: bool) -> list[str]:
    version = f"{policy.name}@{policy.digest[:8]}"
    if is_known:
        return [f"{version} may act unattended already; nothing was done."]
    return [f"{version} may act unattended from now on, within the budgets of the workspace. It stands in the ledger."]
