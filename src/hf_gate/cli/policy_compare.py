"""policy compare: compares what people decided with what a policy says on the facts of that time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..application.past_records import ComparedDecision, ComparisonRecord
from ..domain.display_text import clip, pluralize, to_one_line
from ..domain.grants import read_duration
from ..domain.query_parser import parse_query
from ..domain.timestamps import to_ms
from ..errors import UsageError
from .framework import Run, command
from .policy_files import print_errors, read_policies
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..application.policy_comparison import DecisionSelection, PolicyComparison
    from ..application.workspace import Workspace
    from ..policy.model import Policy
    from ..policy.tables import Table
    from .policy_files import Policies

LAST: Final = 1000  # decisions that are compared if nothing else is asked for
_MAX: Final = 20_000
_LONGEST: Final = 36_500  # days
_SHOWN: Final = 20  # disagreements and unknown decisions that text names


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
def policy_compare(run: Run, *, policy: str, last: int | None, since: str | None, query: str | None) -> int:
    """Compare decisions by people with what POLICY (a name, or a file) says, based on the facts of that time.

    Records, answers, history and account age are those of the decision. A table counts only if the last verdict before
    the decision read the same rows. What was not kept is unknown; such decisions are listed separately. The rate counts the
    decisions that the policy would make by itself. Changes by policies and ends of access are not decisions by people.
    """
    if sum(option is not None for option in (last, since, query)) > 1:
        raise UsageError("more than one of --last, --since and --query.", hint="Give only one of them.")
    from ..application.policy_comparison import comparison_record

    is_file = policy.endswith((".yaml", ".yml")) or Path(policy).is_file()
    found = read_policies(run, (policy,) if is_file else (), needs_workspace=True, prints_workspace=False)
    if found.has_errors:
        return print_errors(run, found)
    workspace = open_workspace(run, needs_folder=True)
    chosen, tables = _choose_policy(workspace, found, None if is_file else policy)
    comparison = compare(workspace, chosen, tables, _parse_selection(workspace, last, since, query))
    record = comparison_record(workspace.store, comparison)
    quiet = [each.entry for each in record.disagreements]
    run.out.record(record, lambda: _format_lines(comparison, record), quiet=quiet)
    return 0


def compare(
    workspace: Workspace, policy: Policy, tables: Mapping[str, Table], selection: DecisionSelection | None = None
) -> PolicyComparison:
    """Compare a policy with the selected decisions, by default the last ones."""
    from ..application.policy_comparison import DecisionSelection, compare_policy

    return compare_policy(workspace, policy, tables, selection or DecisionSelection(LAST))


def _choose_policy(workspace: Workspace, found: Policies, name: str | None) -> tuple[Policy, Mapping[str, Table]]:
    """Return the policy with this name, or the only one, and the tables of the workspace and of the policy."""
    from ..application.evaluation import fill_templates
    from ..policy.strict_yaml import suggest
    from ..sources.workspace_folder import read_folder, read_tables

    if found.folder is None or found.config is None:
        raise AssertionError("compare needs a workspace")
    policies = [each for _, _, each in found.without_errors() if name is None or each.name == name]
    if not policies:
        names = [each.name for _, _, each in found.without_errors()]
        near = suggest(name or "", names)
        known = f"The policies are: {', '.join(names)}." if names else "This workspace has no policies."
        raise UsageError(f"there is no policy {name!r}.", hint=f"Did you mean {near}?" if near else known)
    policy = fill_templates(policies[0], found.config.templates)
    return policy, read_tables(read_folder(found.folder), [policy], now=workspace.now(), previous={})


def _parse_selection(workspace: Workspace, last: int | None, since: str | None, query: str | None) -> DecisionSelection:
    from ..application.approval_status import resolve_approvals
    from ..application.policy_comparison import DecisionSelection

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
    from ..application.as_of import parse_moment

    duration = read_duration(text.strip())
    if duration is None:
        return parse_moment(text, workspace.now(), workspace.zone)
    return workspace.now() - timedelta(days=min(duration.days + 30 * duration.months, _LONGEST))


# ---- text ------------------------------------------------------------------------------------------------------------


def _format_lines(comparison: PolicyComparison, record: ComparisonRecord) -> Iterator[str]:
    yield f"{record.policy}@{record.digest[:8]}, {pluralize(record.compared, 'decision')} by people. {comparison.describe()}"
    if record.compared:
        yield from _format_matrix(record)
    if record.erased:
        yield f"{pluralize(record.erased, 'decision')} left out, because the personal data was deleted."
    if record.disagreements:
        yield ""
        yield f"{pluralize(len(record.disagreements), 'decision')} where the policy says otherwise:"
        yield from map(_format_decision, record.disagreements[:_SHOWN])
        yield from _format_rest(len(record.disagreements))
    if record.unknowns:
        yield ""
        yield f"{pluralize(len(record.unknowns), 'decision')} with unknown facts that would change the verdict:"
        yield from map(_format_decision, record.unknowns[:_SHOWN])
        yield from _format_rest(len(record.unknowns))


def _format_matrix(record: ComparisonRecord) -> Iterator[str]:
    says = [
        each
        for each in ("accept", "reset", "reject", "wait", "human", "unknown")
        if _count_decisions(record, policy=each)
    ]
    yield f"{'PEOPLE':<10}" + "".join(f"{each.upper():>10}" for each in says)
    for people in ("accept", "reset", "reject"):
        if _count_decisions(record, people=people):
            yield f"{people:<10}" + "".join(f"{_count_decisions(record, people, each):>10,}" for each in says)


def _count_decisions(record: ComparisonRecord, people: str | None = None, policy: str | None = None) -> int:
    return sum(each.n for each in record.matrix if people in {None, each.people} and policy in {None, each.policy})


def _format_decision(row: ComparedDecision) -> str:
    who = row.user or row.request_id or "(hidden)"
    says = f"unknown: {', '.join(row.missing)}" if row.policy == "unknown" else f"{row.policy}, {row.rule}"
    sentence = f": {clip(row.says, 100)}" if row.says and row.policy != "unknown" else ""
    return to_one_line(
        f"  {row.decided_at[:10]}  {who}  {row.people} by {row.by or 'unknown'}; policy {says}{sentence}  {row.entry}"
    )


def _format_rest(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield f"  and {count - _SHOWN:,} more: --json"
