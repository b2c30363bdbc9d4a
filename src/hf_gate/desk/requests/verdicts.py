"""The verdicts on the requests of a page: evaluated where they changed, else as last stored, with a short reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from hf_gate.base.ids import Repo, group_by_repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.desk.app_state import AppState
from hf_gate.desk.policies.verdict_cache import VerdictSummary
from hf_gate.errors import HfGateError
from hf_gate.policies.expressions.expressions import BoundFacts
from hf_gate.policies.words.explanations import Explanation, explain_verdict, trace_named_rules
from hf_gate.verdicts.service.current_verdicts import CurrentVerdicts
from hf_gate.verdicts.service.evaluation import RepoPolicies, build_inputs, find_rows_of_terms, open_fact_sources
from hf_gate.verdicts.service.evaluation_times import EvaluationTimes

from .redaction import redact_rule

_MAX_SINGLE_READS: Final = 4  # repos; for this many or more, all repos are read at once


def read_repos_of_requests(app_state: AppState, rows: Iterable[RequestRow]) -> dict[Repo, RepoRow]:
    """Return the stored repos of these requests."""
    wanted = {row.repo for row in rows}
    found = (
        map(app_state.workspace.store.repo, wanted)
        if len(wanted) < _MAX_SINGLE_READS
        else app_state.workspace.store.repos()
    )
    return {row.repo: row for row in found if row is not None and row.repo in wanted}


def read_verdicts(
    app_state: AppState,
    rows: Sequence[RequestRow],
    now: datetime,
    repos: Mapping[Repo, RepoRow] | None = None,
    *,
    hides: bool = False,
) -> dict[int, VerdictSummary]:
    """Return verdicts by request number: evaluated now if possible, else as last stored.

    `hides`: hide what rules read of other repos.
    """
    repos = read_repos_of_requests(app_state, rows) if repos is None else repos
    verdicts: dict[int, VerdictSummary] = {}
    standing = app_state.policies.current_verdicts
    for repo, group in group_by_repo(rows).items():
        policy_set = _policy_set(app_state, repos.get(repo))
        if policy_set is not None:
            judged = [row for row in group if row.state.status in policy_set.statuses]
            verdicts |= _read_current(app_state, policy_set, repos[repo], judged, now, hides=hides)
        verdicts |= {
            row.id: said for row in group if row.id not in verdicts and (said := _stored_verdict(row, standing))
        }
    return verdicts


def _policy_set(app_state: AppState, repo: RepoRow | None) -> RepoPolicies | None:
    try:
        return None if repo is None else app_state.policies.for_repo(repo)
    except HfGateError:
        return None


def _read_current(
    app_state: AppState,
    policy_set: RepoPolicies,
    repo: RepoRow,
    rows: Sequence[RequestRow],
    now: datetime,
    *,
    hides: bool,
) -> dict[int, VerdictSummary]:
    """Return the verdicts of the current policies, evaluated again where they do not hold any more."""
    if app_state.policies.current is None or not rows:
        return {}
    store = app_state.workspace.store
    at = to_ms(now)
    basis = (policy_set, repo.full_at, *(tuple(store.bindings(name).items()) for name in policy_set.tables))
    found = {}
    for row in rows:
        if (kept := app_state.verdicts.find(row, basis, at, hides=hides)) is not None:
            found[row.id] = kept
    missing = [row for row in rows if row.id not in found]
    return found | _evaluate(app_state, policy_set, basis, missing, now, hides=hides)


def _evaluate(
    app_state: AppState,
    policy_set: RepoPolicies,
    basis: tuple[object, ...],
    rows: Sequence[RequestRow],
    now: datetime,
    *,
    hides: bool,
) -> dict[int, VerdictSummary]:
    found = {}
    workspace = app_state.workspace
    times = EvaluationTimes(policy_set, now)
    for case in build_inputs(workspace.store, policy_set, open_fact_sources(workspace), rows, now):
        bound: dict[str, BoundFacts] = {}
        status = case.row.state.status
        verdict = policy_set.evaluator.evaluate(case.facts, now=now, status=status, bound=bound)
        if verdict is not None:
            redact = redact_rule if hides else None
            verdict = trace_named_rules(policy_set.evaluator, verdict, case.facts, bound, redact)
            summary = _summarize(explain_verdict(verdict, now, workspace.zone, status), status)
            if summary.terms is not None:
                rests_on = find_rows_of_terms(summary.terms.end.terms, case)
                summary = replace(summary, terms=summary.terms.with_end(rests_on=rests_on))
            end = times.next_evaluation(case.facts)
            app_state.verdicts.keep(case.row, basis, to_ms(now), end, summary, hides=hides)
            found[case.row.id] = summary
    return found


def _stored_verdict(row: RequestRow, standing: CurrentVerdicts) -> VerdictSummary | None:
    verdict = standing.verdict_of(row)
    if verdict is None:
        return None
    action, policy, rule, _ = verdict
    shadow = next(((act, policy, rule) for policy, rule, act in row.state.shadow), None)
    return VerdictSummary(action, rule, policy, shadow=shadow)


def _summarize(explanation: Explanation, status: str) -> VerdictSummary:
    """Return a verdict with its sentence, and the first policy in shadow mode with its own."""
    verdict = explanation.verdict
    shadow, shadow_why = next(iter(explanation.shadow), (None, None))
    return VerdictSummary(
        str(verdict.action),
        verdict.rule,
        verdict.policy,
        explanation.sentence,
        None if shadow is None else (str(shadow.action), shadow.policy, shadow.rule),
        shadow_why,
        verdict.reason or (None if shadow is None else shadow.reason),
        verdict.by_hand if status == Status.PENDING else None,
    )
