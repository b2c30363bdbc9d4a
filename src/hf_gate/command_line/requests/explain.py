"""explain: shows the verdict of one request: each rule tried, each value, and what would change the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from hf_gate.base.display_text import make_visible
from hf_gate.base.ids import Repo, is_id
from hf_gate.base.timestamps import format_age, format_minute, from_ms
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.grants.hand_ends import describe_end
from hf_gate.command_line.output import style_mark
from hf_gate.command_line.policies.policy_files import Policies, print_errors, read_policies
from hf_gate.command_line.targets import find_latest_request, read_targets
from hf_gate.command_line.workspace_opening import open_workspace
from hf_gate.core.events.event_descriptions import ORIGIN_PHRASES
from hf_gate.core.lifecycle import Status, label_action
from hf_gate.core.people.access_end import NO_HAND_TERMS, HandTerms
from hf_gate.core.stored_rows import unstored_row
from hf_gate.errors import RequestNotFound, UsageError
from hf_gate.policies.words.rule_phrases import describe_rule_of
from hf_gate.requests.service.targets import RequestTarget
from hf_gate.verdicts.rows.table_rows import read_table_rows

from .show import describe_approvals, find_listed_request

if TYPE_CHECKING:
    from hf_gate.core.policy_model import Verdict
    from hf_gate.core.stored_rows import RepoRow, RequestRow
    from hf_gate.policies.words.explanations import Explanation
    from hf_gate.requests.service.request_history import LastTransition
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.evaluation import Evaluation, RepoPolicies
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle


@command(
    "explain",
    examples=(
        "hf-gate explain ada-l@datasets/acme/eeg",
        "hf-gate explain datasets/acme/eeg ada-l --policy drafts/eeg.yaml",
        "hf-gate explain 0123456789abcdef01234567 --json",
    ),
)
@click.argument("target", nargs=-1, metavar="TARGET", required=True)
@click.option("--repo", metavar="REPO", help="The repo, if TARGET is a request id that is not in the store.")
@click.option(
    "--policy",
    "file",
    metavar="FILE",
    help="Use only this policy file, as if it were enforced, instead of the workspace's policies.",
)
@repo_type_option
def explain(
    context: CommandContext, *, target: tuple[str, ...], repo: str | None, file: str | None, repo_type: str | None
) -> int:
    """Explain a verdict: every rule tried, each expression with its value, and what would change the result.

    Each fact is shown with its source, its age and who controls it. Changes nothing.
    """
    from hf_gate.requests.service.request_history import last_transition
    from hf_gate.verdicts.service.explanation_records import explain_evaluation, explanation_record
    from hf_gate.verdicts.service.policy_bundle import load_policies

    policies = read_policies(context, (file,) if file else (), needs_workspace=True, prints_workspace=False)
    if policies.has_errors:
        return print_errors(context, policies)
    workspace = open_workspace(context, needs_folder=True)
    bundle = load_policies(workspace)
    row = _find_row(context, workspace, _find_target(context, workspace, target, repo, repo_type))
    evaluation = _evaluate_with_drafts(workspace, bundle, row, policies if file else None)
    if not evaluation.is_stored:
        sync = context.command_line("sync")
        context.out.say(
            f"Not in the store yet: evaluated from the Hub's current data, without history. `{sync}` reads it."
        )
    transition = last_transition(workspace.store, evaluation.row)
    says = _describe_rule(policies, evaluation.verdict)
    explanation = explain_evaluation(evaluation, workspace.clock.now(), workspace.zone)
    approvals = list[str]()
    by_hand = explanation.verdict.by_hand
    if not file and evaluation.is_stored:
        approvals, by_hand = _read_approvals(workspace, bundle, row)
    context.out.document(
        explanation_record(evaluation, explanation, transition, says),
        lambda: map(style_mark, _lines(evaluation, explanation, transition, says, approvals, by_hand)),
        quiet=[str(evaluation.verdict.action)],
    )
    return 0


# ---- the request -----------------------------------------------------------------------------------------------------


def _find_target(
    context: CommandContext, workspace: Workspace, words: tuple[str, ...], repo: str | None, repo_type: str | None
) -> RequestTarget | RequestRow:
    from hf_gate.verdicts.service.evaluation import latest_request

    if len(words) == 1 and repo is None and is_id(words[0]):
        row = latest_request(workspace.store.find_by_identity(None, words[0]))
        if row is None:
            raise RequestNotFound(f"there is no request {words[0]} in the store.", hint="Name the repo: --repo REPO.")
        return row
    targets = read_targets(context, words, None, repo, repo_type)
    if len(targets) != 1:
        raise click.UsageError(f"{len(targets)} targets given; explain takes one.")
    return targets[0]


def _find_row(context: CommandContext, workspace: Workspace, target: RequestTarget | RequestRow) -> RequestRow:
    """Return the stored request, else the request on the Hub."""
    if not isinstance(target, RequestTarget):
        return target
    config = workspace.location.config
    if not config.includes(target.repo):
        raise UsageError(
            f"{target.repo} is not a repo of this workspace, so no policy of the workspace applies to it.",
            hint=f"Repos of the workspace: {', '.join(config.repos[:5]) or 'none'}.",
        )
    return find_latest_request(workspace, target) or unstored_row(find_listed_request(context, target))


# ---- the verdict -----------------------------------------------------------------------------------------------------


def _evaluate_with_drafts(
    workspace: Workspace, bundle: PolicyBundle, row: RequestRow, drafts: Policies | None
) -> Evaluation:
    from hf_gate.verdicts.service.evaluation import evaluate_request, open_fact_sources

    if drafts is None:
        policy_set = bundle.for_repo(_repo_row(workspace, row.repo), open_fact_sources(workspace))
    else:
        policy_set = _draft_policies(workspace, row.repo, drafts)
    try:
        return evaluate_request(workspace.store, policy_set, open_fact_sources(workspace), row, workspace.clock.now())
    except LookupError:
        raise RequestNotFound(
            f"the answers of this person at {row.repo} are no longer in the store.",
            hint="Read the answers again: hf-gate sync --full",
        ) from None


def _draft_policies(workspace: Workspace, repo: Repo, drafts: Policies) -> RepoPolicies:
    """Compile the given files as if they were enforced, with the workspace's tables and templates."""
    from hf_gate.core.policy_model import PolicyMode
    from hf_gate.policies.drivers.workspace_folder import read_all_tables, read_folder
    from hf_gate.verdicts.service.evaluation import (
        compile_policies,
        fill_templates,
        open_fact_sources,
        policies_of_repo,
    )

    if drafts.folder is None or drafts.config is None:
        raise AssertionError("explain needs a workspace")
    texts = drafts.config.templates
    policies = [
        replace(fill_templates(policy, texts), mode=PolicyMode.ENFORCE, judges=("pending",))
        for _, _, policy in drafts.without_errors()
    ]
    tables = read_all_tables(
        read_folder(drafts.folder),
        policies,
        now=workspace.clock.now(),
        previous={},
        read_rows=lambda name: read_table_rows(workspace.store, name),
    )
    row = _repo_row(workspace, repo)
    policy_set = policies_of_repo(
        row,
        compile_policies(policies, tables),
        tables,
        open_fact_sources(workspace),
        zone=workspace.zone,
    )
    if policy_set is None:
        globs = ", ".join(glob for policy in policies for glob in policy.applies_to)
        raise UsageError(f"that policy does not apply to {repo}.", hint=f"Its applies_to is {globs}.")
    return policy_set


def _read_approvals(workspace: Workspace, bundle: PolicyBundle, row: RequestRow) -> tuple[list[str], HandTerms]:
    """Return why nobody is accepted, or who approved, as lines; and the end that an acceptance by hand would get."""
    from hf_gate.approvals.service.approval_status import read_approvals_record
    from hf_gate.approvals.service.approvals import ApprovalCheck
    from hf_gate.grants.service.ends.terms_reader import load_terms_reader

    now = workspace.now()
    if problem := ApprovalCheck(workspace, lambda: bundle).find_problem(row.repo):
        return [f"Nobody is accepted at {row.repo}: {problem}."], NO_HAND_TERMS
    found = read_approvals_record(workspace, row)
    terms = load_terms_reader(workspace, lambda: bundle).read_terms([row], now)[row.id]
    return [] if found is None else [f"Approvals: {describe_approvals(found, now)}."], terms


def _repo_row(workspace: Workspace, repo: Repo) -> RepoRow:
    """Return the stored repo. For a repo that has never been synced, read the form from the Hub."""
    from hf_gate.core.forms.forms import form_to_json
    from hf_gate.core.stored_rows import RepoRow

    known = workspace.store.repo(repo)
    if known is not None:
        return known
    return RepoRow(id=0, repo=repo, form_card=json.dumps(form_to_json(workspace.hub.gate_form(repo))))


# ---- output ----------------------------------------------------------------------------------------------------------


def _lines(
    evaluation: Evaluation,
    explanation: Explanation,
    transition: LastTransition | None,
    says: str,
    approvals: Sequence[str],
    by_hand: HandTerms,
) -> Iterator[str]:
    from hf_gate.grants.service.grant_records import describe_access_end
    from hf_gate.policies.words.explanation_lines import render_explanation

    row = evaluation.row
    now = explanation.now
    verdict = explanation.verdict
    asked = from_ms(row.state.asked_at)
    yield (
        f"{row.person_name} at {row.repo}: {row.state.status}, asked {format_age(asked, now)} ago, attempt "
        f"{row.state.attempt}"
    )
    if transition is not None and row.state.status != Status.PENDING:
        yield f"{row.state.status} {_describe_transition(transition)}"
    if row.state.status == Status.ACCEPTED:
        end = describe_access_end(row, now, explanation.zone)
        yield f"{end[0].upper()}{end[1:]}."
    if not evaluation.is_judged:
        yield f"No policy evaluates {row.state.status} requests. If this request were pending:"
    yield str(explanation.sentence)
    if explanation.wait:
        yield explanation.wait
    for opinion, sentence in explanation.shadow:
        yield f"In shadow mode, `{opinion.policy}`: {sentence}"
    summary, *lines = render_explanation(explanation)
    yield str(summary)
    if says:
        yield f"  the rule in words: {make_visible(says, one_line=True)}"
    yield from map(str, lines)
    yield from approvals
    if by_hand != NO_HAND_TERMS and row.state.status != Status.ACCEPTED:
        yield f"If accepted by hand: {describe_end(by_hand, now, explanation.zone)}."
    recorded = row.state.verdict
    if recorded is not None and recorded[:3] != (str(verdict.action), verdict.policy, verdict.rule):
        action, policy, rule, digest = recorded
        by = f"rule `{rule}` of policy `{policy}`@{(digest or '')[:8]}" if policy else "no rule matched"
        yield f"The last recorded verdict was {label_action(action)}: {by}."


def _describe_rule(found: Policies, verdict: Verdict) -> str:
    """Return the rule that decides as a sentence; empty if no rule does."""
    policies = [each.policy for each in found.checked.values() if each.policy is not None]
    return describe_rule_of(policies, verdict.policy, verdict.digest, verdict.rule)


def _describe_transition(transition: LastTransition) -> str:
    """Return when the status changed, by whom, and by which rule or command."""
    when = format_minute(from_ms(transition.at))
    if transition.is_first:
        return f"since before it was first synced, {when}"
    if transition.run_id is None:
        return f"on the Hub by {transition.hub_user or 'an unknown account'}, seen {when}"
    return (
        f"{when} by {transition.actor}, {ORIGIN_PHRASES.get(transition.rule, f'by rule `{transition.rule}`')}, in "
        f"run {transition.run_id}"
    )
