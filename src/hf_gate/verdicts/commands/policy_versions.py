"""policy compare and promote: compares a policy with decisions by people, and allows a version to act unattended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import clip, limit_lines, pluralize, to_one_line
from hf_gate.base.timestamps import to_ms
from hf_gate.cli.framework import CommandContext, command
from hf_gate.cli.workspace import find_actor, open_with_policies, open_workspace
from hf_gate.core.people.grants import read_duration
from hf_gate.core.people.members import RunAuthor
from hf_gate.core.records import keys_of
from hf_gate.core.stored_rows import count_pending
from hf_gate.errors import Guarded, NotAllowed, UsageError
from hf_gate.requests.query_parser import parse_query
from hf_gate.verdicts.records import (
    AgreementRecord,
    ComparedDecision,
    ComparisonRecord,
    PromotionRecord,
    RepoChangesRecord,
)

from .policy_files import print_errors, read_policies

if TYPE_CHECKING:
    from hf_gate.core.changes import Change
    from hf_gate.core.policy_model import Policy
    from hf_gate.policies.facts.tables import Table
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle
    from hf_gate.verdicts.service.policy_comparison import DecisionSelection
    from hf_gate.verdicts.service.policy_saves import PolicyHold

    from .policy_files import Policies


LAST: Final = 1000  # decisions that are compared if nothing else is asked for
_MAX: Final = 20_000
_LONGEST: Final = 36_500  # days
_SHOWN: Final = 20  # disagreements and unknown decisions that text names
_REST: Final = "  and {:,} more: --json"


@command(
    "compare",
    examples=(
        "hf-gate policy compare eeg",
        "hf-gate policy compare policies/eeg.yaml --since 90d",
        "hf-gate policy compare eeg --query 'domain:*.edu' --json",
    ),
)
@click.argument("policy", metavar="POLICY")
@click.option("--last", type=click.IntRange(1, _MAX), help=f"Compare the last decisions by people; default {LAST:,}.")
@click.option("--since", metavar="SPAN", help="Compare the decisions since then: a span (90d, 12w, 6mo) or a date.")
@click.option("--query", "-Q", metavar="QUERY", help="Compare the decisions about the requests that match now.")
def policy_compare(
    context: CommandContext, *, policy: str, last: int | None, since: str | None, query: str | None
) -> int:
    """Compare decisions by people with what POLICY (a name, or a file) says, based on the facts of that time.

    Records, answers, history and account age are those at the time of the decision. A table counts only if the last
    verdict before the decision read the same rows. What was not kept is unknown; such decisions are listed separately.
    The rate counts the decisions that the policy would make by itself. Changes by policies and ends of access are not
    decisions by people.
    """
    if sum(option is not None for option in (last, since, query)) > 1:
        raise UsageError("more than one of --last, --since and --query.", hint="Give only one of them.")
    is_file = policy.endswith((".yaml", ".yml")) or Path(policy).is_file()
    policies = read_policies(context, (policy,) if is_file else (), needs_workspace=True, prints_workspace=False)
    if policies.has_errors:
        return print_errors(context, policies)
    workspace = open_workspace(context, needs_folder=True)
    chosen, tables = _choose_policy(workspace, policies, None if is_file else policy)
    record = compare(workspace, chosen, tables, _parse_selection(workspace, last, since, query))
    quiet = [disagreement.entry for disagreement in record.disagreements]
    context.out.document(record, lambda: _format_lines(record), quiet=quiet)
    return 0


def compare(
    workspace: Workspace, policy: Policy, tables: Mapping[str, Table], selection: DecisionSelection | None = None
) -> ComparisonRecord:
    """Compare a policy with the selected decisions, by default the last ones."""
    from hf_gate.verdicts.service.policy_comparison import DecisionSelection, compare_policy

    return compare_policy(workspace, policy, tables, selection or DecisionSelection(LAST))


def _choose_policy(workspace: Workspace, found: Policies, name: str | None) -> tuple[Policy, Mapping[str, Table]]:
    """Return the policy with this name, or the only one, and the tables of the workspace and of the policy."""
    from hf_gate.policies.drivers.workspace_folder import read_all_tables, read_folder
    from hf_gate.verdicts.service.evaluation import fill_templates

    if found.folder is None or found.config is None:
        raise AssertionError("compare needs a workspace")
    policies = [each for _, _, each in found.without_errors() if name is None or each.name == name]
    if not policies:
        raise _make_unknown_policy_error(name or "", [each.name for _, _, each in found.without_errors()])
    policy = fill_templates(policies[0], found.config.templates)
    return policy, read_all_tables(read_folder(found.folder), [policy], now=workspace.now(), previous={})


def _parse_selection(workspace: Workspace, last: int | None, since: str | None, query: str | None) -> DecisionSelection:
    from hf_gate.approvals.service.approval_status import resolve_approvals
    from hf_gate.verdicts.service.policy_comparison import DecisionSelection

    if query is not None:
        asked = resolve_approvals(workspace, parse_query(query))
        page = workspace.store.query(
            asked, now=to_ms(workspace.now()), zone=workspace.zone, limit=_MAX, with_record=False
        )
        return DecisionSelection(_MAX, requests=[row.id for row in page.rows])
    if since is not None:
        return DecisionSelection(_MAX, since=to_ms(_parse_since(workspace, since)))
    return DecisionSelection(last or LAST)


def _parse_since(workspace: Workspace, text: str) -> datetime:
    from hf_gate.ledger.service.access_report import parse_moment

    duration = read_duration(text.strip())
    if duration is None:
        return parse_moment(text, workspace.now(), workspace.zone)
    return workspace.now() - timedelta(days=min(duration.days + 30 * duration.months, _LONGEST))


# ---- text ------------------------------------------------------------------------------------------------------------


def _format_lines(record: ComparisonRecord) -> Iterator[str]:
    yield (
        f"{record.policy}@{record.digest[:8]}, {pluralize(record.compared, 'decision')} by people. {record.describe()}"
    )
    if record.compared:
        yield from _format_matrix(record)
    if record.erased:
        yield f"{pluralize(record.erased, 'decision')} left out, because the personal data was deleted."
    if record.disagreements:
        yield ""
        yield f"{pluralize(len(record.disagreements), 'decision')} that the policy would make differently:"
        yield from limit_lines(record.disagreements, _SHOWN, _format_decision, _REST)
    if record.unknowns:
        yield ""
        yield f"{pluralize(len(record.unknowns), 'decision')} with unknown facts that would change the verdict:"
        yield from limit_lines(record.unknowns, _SHOWN, _format_decision, _REST)


def _format_matrix(record: ComparisonRecord) -> Iterator[str]:
    yield f"{'PEOPLE':<10}" + "".join(f"{each.upper():>10}" for each in record.policy_says)
    for people in record.people_said:
        yield f"{people:<10}" + "".join(f"{record.count(people, each):>10,}" for each in record.policy_says)


def _format_decision(row: ComparedDecision) -> str:
    who = row.user or row.request_id or "(hidden)"
    says = f"unknown: {', '.join(row.missing)}" if row.policy == "unknown" else f"{row.policy}, {row.rule}"
    sentence = f": {clip(row.says, 100)}" if row.says and row.policy != "unknown" else ""
    return to_one_line(
        f"  {row.decided_at[:10]}  {who}  {row.people} by {row.by or 'unknown'}; policy {says}{sentence}  {row.entry}"
    )


@command("promote", examples=("hf-gate policy promote eeg", "hf-gate policy promote eeg --yes --max-changes 611"))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of changes in its first turn.")
def policy_promote(context: CommandContext, *, name: str, yes: bool, max_changes: int | None) -> int:
    """Allow this version of a policy to act unattended in `hf-gate run`, even if its first turn is large.

    First shows how it agrees with the last decisions by people, and what that turn would change. The promotion is
    recorded in the audit log and applies only to this version: a policy whose meaning changes needs a new promotion.
    After a promotion, a version whose run was paused or stopped can continue, and a version that was saved from the
    desk can act, whatever the number of changes.
    """
    policies = read_policies(context, needs_workspace=True, prints_workspace=False)
    if policies.has_errors:
        return print_errors(context, policies)
    from hf_gate.automation.service.turn_permissions import is_promoted, promote
    from hf_gate.verdicts.service.policy_saves import read_active_holds

    workspace, bundle = open_with_policies(context)
    hold = next((one for one in read_active_holds(workspace.store, bundle.policies) if one.policy == name), None)
    policy = _find_policy(bundle, name, hold)
    account = context.connection.read_account()
    if account is None and (policy.has_two_person_rule or hold is not None):
        raise NotAllowed(
            (
                f"policy {name} asks for two people or was saved from the desk, and this shell has no Hub "
                "account; nothing was done."
            ),
            hint="Set HF_TOKEN to a token of your account. Who promotes a version is not one of its two approvers.",
        )
    is_known = is_promoted(workspace.store, policy)
    comparison = None if is_known else compare(workspace, policy, bundle.tables)
    if comparison is not None:
        _print_agreement(context, comparison)
    changes = [] if is_known else _first_turn(workspace, bundle, policy, hold)
    if hold is not None:
        context.out.say(hold.note)
    if not is_known:
        _confirm(context, workspace, policy, changes, yes=yes, max_changes=max_changes)
        author = RunAuthor(account=account.id if account else None)
        promote(workspace.store, policy, find_actor(context), to_ms(workspace.clock.now()), author)
    record = PromotionRecord(
        policy=policy.name,
        digest=policy.digest,
        promoted=not is_known,
        agreement=None
        if comparison is None
        else AgreementRecord(**{name: getattr(comparison, name) for name in keys_of(AgreementRecord)}),
        changes=dict(Counter(change.verb for change in changes)),
        repos=_by_repo(changes),
    )
    context.out.document(record, lambda: _promotion_lines(policy, is_known=is_known), quiet=[policy.digest])
    return 0


def _print_agreement(context: CommandContext, comparison: ComparisonRecord) -> None:
    unknown = comparison.unknown
    rest = f" {unknown:,} cannot be compared, because facts of that time are not kept." if unknown else ""
    context.out.say(
        f"Compared with {pluralize(comparison.compared, 'decision')} by people. {comparison.describe()}{rest}"
    )
    if comparison.disagreements:
        name = comparison.policy
        count = pluralize(len(comparison.disagreements), "decision")
        context.out.hint(f"`hf-gate policy compare {name}` lists {count} that the policy would make differently.")


def _make_unknown_policy_error(name: str, names: Sequence[str]) -> UsageError:
    from hf_gate.core.parsing.strict_yaml import suggest

    near = suggest(name, names)
    known = f"The policies are: {', '.join(names)}." if names else "This workspace has no policies."
    return UsageError(f"there is no policy {name!r}.", hint=f"Did you mean {near}?" if near else known)


def _find_policy(bundle: PolicyBundle, name: str, hold: PolicyHold | None) -> Policy:
    """Return the policy to promote. A policy in shadow mode can only end the hold of its save."""
    from hf_gate.core.policy_model import PolicyMode

    policy = next((each for each in bundle.policies if each.name == name), None)
    if policy is None:
        raise _make_unknown_policy_error(name, [each.name for each in bundle.policies])
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
    from hf_gate.decisions.service.plans.planning import make_plan
    from hf_gate.verdicts.service.evaluation_pool import EvaluationPool

    with EvaluationPool(workspace, bundle) as pool:
        plan = make_plan(workspace, bundle, pool.evaluate, profile_budget=0).plan
    return [
        change
        for change in plan.changes
        if change.policy_digest == policy.digest
        or (hold is not None and change.policy_digest is not None and hold.covers(change.repo_ref))
    ]


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
    from hf_gate.decisions.commands.confirmation import confirm_plan
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

    lead = f"Policy {policy.name}@{policy.digest[:8]} will act unattended."
    if any(rule.reviewers > 1 for rule in policy.rules):
        yield "Some of its rules ask for two reviewers. You will not count as one of them for this version."
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


def _promotion_lines(policy: Policy, *, is_known: bool) -> list[str]:
    from hf_gate.core.policy_model import PolicyMode

    version = f"{policy.name}@{policy.digest[:8]}"
    if is_known:
        return [f"{version} can already act unattended; nothing was done."]
    if policy.mode is PolicyMode.SHADOW:
        return [f"{version} is in shadow mode and changes nothing. The other policies at its repos act again."]
    return [f"{version} can act unattended from now on, within the guards of the workspace. Recorded in the audit log."]
