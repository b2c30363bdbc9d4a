"""The verdicts on the requests of a page: evaluated now if possible, else as last stored, with a short reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

from msgspec import Struct

from ..application.current_verdicts import CurrentVerdicts
from ..application.evaluation import RepoPolicies, build_inputs
from ..domain.hand_terms import HandTerms
from ..domain.ids import Repo, group_by_repo
from ..domain.lifecycle import Status
from ..domain.rows import RepoRow, RequestRow
from ..errors import HfGateError
from ..policy.model import Verdict
from ..policy.why import LazyTraces, TraceSource, WhySentence, explain_opinion_in_words, explain_verdict_in_words
from .app_state import AppState
from .redaction import RedactedTraces

_MAX_SINGLE_READS: Final = 4  # repos; for this many or more, all repos are read at once


class VerdictSummary(Struct, frozen=True):
    """The verdict on a request. `shadow`: action, policy and rule of a policy in shadow mode."""

    action: str
    rule: str
    policy: str | None = None
    why: WhySentence | None = None
    shadow: tuple[str, str, str] | None = None
    shadow_why: WhySentence | None = None
    reason: str | None = None  # the text that the person would get
    terms: HandTerms | None = None  # of an acceptance by hand; None if this was not evaluated now


def read_repos(app_state: AppState, rows: Iterable[RequestRow]) -> dict[Repo, RepoRow]:
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
    repos = read_repos(app_state, rows) if repos is None else repos
    found: dict[int, VerdictSummary] = {}
    standing = app_state.policies.current_verdicts
    for repo, group in group_by_repo(rows).items():
        policy_set = _policy_set(app_state, repos.get(repo))
        if policy_set is not None:
            found |= _evaluate(
                app_state,
                policy_set,
                [row for row in group if row.state.status in policy_set.statuses],
                now,
                hides=hides,
            )
        found |= {row.id: said for row in group if row.id not in found and (said := _stored_verdict(row, standing))}
    return found


def _policy_set(app_state: AppState, repo: RepoRow | None) -> RepoPolicies | None:
    try:
        return None if repo is None else app_state.policies.for_repo(repo)
    except HfGateError:
        return None


def _evaluate(
    app_state: AppState, policy_set: RepoPolicies, rows: Sequence[RequestRow], now: datetime, *, hides: bool
) -> dict[int, VerdictSummary]:  # fmt: skip
    bundle = app_state.policies.current
    if bundle is None or not rows:
        return {}
    found = {}
    for case in build_inputs(app_state.workspace.store, policy_set, app_state.workspace.sources, rows, now):
        traces = LazyTraces(policy_set.evaluator, case.facts)
        verdict = policy_set.evaluator.evaluate(case.facts, now=now, status=case.row.state.status, bound=traces.bound)
        if verdict is not None:
            source = RedactedTraces(traces) if hides else traces
            zone = app_state.workspace.zone
            found[case.row.id] = summarize_verdict(verdict, source, now, zone, case.row.state.status)
    return found


def _stored_verdict(row: RequestRow, standing: CurrentVerdicts) -> VerdictSummary | None:
    verdict = standing.verdict_of(row)
    if verdict is None:
        return None
    action, policy, rule, _ = verdict
    shadow = next(((act, policy, rule) for policy, rule, act in row.state.shadow), None)
    return VerdictSummary(action, rule, policy, shadow=shadow)


def summarize_verdict(
    verdict: Verdict, traces: TraceSource, now: datetime, zone: tzinfo, status: str
) -> VerdictSummary:
    """Return a verdict with its sentence, and the first policy in shadow mode with its own."""
    shadow = verdict.shadow[0] if verdict.shadow else None
    return VerdictSummary(
        str(verdict.action),
        verdict.rule,
        verdict.policy,
        explain_verdict_in_words(verdict, traces, now, zone, status),
        None if shadow is None else (str(shadow.action), shadow.policy, shadow.rule),
        None if shadow is None else explain_opinion_in_words(shadow, traces),
        verdict.reason or (shadow.reason if shadow is not None else None),
        verdict.by_hand if status == Status.PENDING else None,
    )
