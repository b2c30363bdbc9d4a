"""What the policies say of the requests of a page, in the few words of a row: heard now where they can be, else as entered last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ..application.evaluation import CurrentVerdicts, RepoPolicies, build_inputs
from ..domain.ids import Repo
from ..domain.rows import RepoRow, RequestRow
from ..errors import HfGateError
from ..policy.evaluator import Evaluator
from ..policy.model import Action, ConditionTrace, Facts, Opinion, RuleTrace, Verdict
from . import formatting
from .app_state import AppState
from .redaction import redact_rule

_MAX_SINGLE_READS: Final = 4  # repos; of more, all are read at once


@dataclass(frozen=True, slots=True)
class VerdictSummary:
    """What the policies make of a request. `shadow`: what one that only watches would do, as (action, policy, rule)."""

    action: str
    rule: str
    policy: str | None = None
    why: str = ""
    shadow: tuple[str, str, str] | None = None
    shadow_why: str = ""
    reason: str | None = None  # what the person would be told


def read_repos(app_state: AppState, rows: Iterable[RequestRow]) -> dict[Repo, RepoRow]:
    """The repos of some requests as the store has them, read once."""
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
    """By the number of the request: as the policies say now where they can be heard, else as was entered last.

    `hides`: without what rules saw of other repos.
    """
    repos = read_repos(app_state, rows) if repos is None else repos
    groups: dict[Repo, list[RequestRow]] = {}
    for row in rows:
        groups.setdefault(row.repo, []).append(row)
    found: dict[int, VerdictSummary] = {}
    standing = app_state.policies.current_verdicts
    for repo, group in groups.items():
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
        verdict = policy_set.evaluator.evaluate(case.facts, now=now, status=case.row.state.status)
        if verdict is not None:
            found[case.row.id] = summarize_verdict(verdict, _LazyRuleTraces(policy_set.evaluator, case.facts, hides))
    return found


@dataclass(frozen=True, slots=True)
class _LazyRuleTraces:
    """Tries those rules alone whose words stand in a row: to try all of them for fifty rows takes longer than the rest of a page."""

    judge: Evaluator
    facts: Facts
    hides: bool = False

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None:
        found = next(self.judge.trace_rules(self.facts, opinion.policy, lambda rule: rule.id == opinion.rule), None)
        return redact_rule(found) if found is not None and self.hides else found

    def accepting(self, opinion: Opinion) -> Iterator[RuleTrace]:
        found = self.judge.trace_rules(self.facts, opinion.policy, lambda rule: rule.then is Action.ACCEPT)
        return map(redact_rule, found) if self.hides else found


def _stored_verdict(row: RequestRow, standing: CurrentVerdicts) -> VerdictSummary | None:
    verdict = standing.verdict_of(row)
    if verdict is None:
        return None
    action, policy, rule, _ = verdict
    shadow = next(((act, policy, rule) for policy, rule, act in row.state.shadow), None)
    return VerdictSummary(action, rule, policy, shadow=shadow)


class RuleTraces(Protocol):
    """How single rules came out: the one that decided, and those that would have let somebody in."""

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None: ...
    def accepting(self, opinion: Opinion) -> Iterator[RuleTrace]: ...


class _StoredRuleTraces:
    """Of a verdict that has every rule that was tried."""

    def deciding_rule(self, opinion: Opinion) -> RuleTrace | None:
        return next((one for one in opinion.rule_traces if one.rule == opinion.rule), None)

    def accepting(self, opinion: Opinion) -> Iterator[RuleTrace]:
        return (one for one in opinion.rule_traces if one.then is Action.ACCEPT)


def summarize_verdict(verdict: Verdict, trials: RuleTraces | None = None) -> VerdictSummary:
    """A verdict in a few words. `trials`: of a verdict that does not say itself how its rules came out."""
    trials = trials or _StoredRuleTraces()
    own = next((one for one in verdict.opinions if one.policy == verdict.policy), None)
    shadow = verdict.shadow[0] if verdict.shadow else None
    return VerdictSummary(
        str(verdict.action),
        verdict.rule,
        verdict.policy,
        _why(verdict, own, trials),
        None if shadow is None else (str(shadow.action), shadow.policy, shadow.rule),
        "" if shadow is None else _describe_opinion(shadow, trials),
        verdict.reason or (shadow.reason if shadow is not None else None),
    )


def _why(verdict: Verdict, own: Opinion | None, trials: RuleTraces) -> str:
    if verdict.missing:
        return f"not known: {', '.join(verdict.missing[:2])}"
    if verdict.needs:
        return f"not read yet: {', '.join(verdict.needs[:2])}"
    return "" if own is None else _describe_opinion(own, trials)


def _describe_opinion(opinion: Opinion, trials: RuleTraces) -> str:
    """What the rule looked at; of one that always matches, the one thing that would have let them in."""
    tried = trials.deciding_rule(opinion)
    leaves = [leaf for because in (tried.conditions if tried else ()) for leaf in _leaves(because) if leaf.value]
    told = ", ".join(filter(None, (formatting.describe_facts(leaf.facts) for leaf in leaves[:3])))
    return told or next(
        (_describe_near_match(one) for one in trials.accepting(opinion) if len(one.ways_to_match) == 1), ""
    )


def _describe_near_match(tried: RuleTrace) -> str:
    if len(tried.ways_to_match[0]) != 1:
        return ""
    flip = tried.ways_to_match[0][0]
    return f"accept if {'' if flip.value else 'not '}{flip.expr}"


def _leaves(because: ConditionTrace) -> list[ConditionTrace]:
    if because.facts or not because.parts:
        return [because]
    return [leaf for part in because.parts for leaf in _leaves(part)]
