"""Compares what people decided with what a policy says on the facts of that time: a matrix, and where they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from msgspec.structs import replace

from ..domain.batches import split_into_batches
from ..domain.events import Private
from ..domain.lifecycle import VERB_FOR_STATUS, Status
from ..domain.rows import PersonDecision, RepoRow
from ..domain.timestamps import ms_to_iso
from ..policy.evaluator import Evaluator
from ..policy.model import Facts, Policy, PolicyMode, Verdict
from ..policy.rule_phrases import describe_rule
from ..policy.tables import Table
from ..store.past_requests import iterate_person_decisions, name_granter, read_person_decisions, read_private_parts
from ..store.store import Store
from .evaluation import RepoPolicies, compile_policies, policies_of_repo
from .past_facts import DecidedRequest, PastFactReader, without_form
from .policy_records import DECIDED, UNKNOWN, ComparedDecision, ComparisonCell, ComparisonRecord
from .workspace import Workspace

CHUNK: Final = 100  # requests that are evaluated together
_Z: Final = 1.959964  # the quantile of the normal distribution for 95 %


class PolicyAnswer(NamedTuple):
    """What a policy says on one request. `missing`: the unknown facts that would change the action."""

    action: str
    rule: str
    missing: tuple[str, ...] = ()
    is_open: bool = False  # whether unknown facts would change the action


EvaluateFacts = Callable[[Sequence[Facts], Sequence[datetime]], Sequence[PolicyAnswer]]
"""Evaluates a policy on the facts of requests, each at its own time."""


def agreement_interval(agreed: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share. It is not empty for 0 or all, as other intervals are."""
    if not total:
        return 0.0, 1.0
    share = agreed / total
    square = _Z * _Z
    middle = share + square / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + square / total)), min(1.0, (middle + spread) / (1 + square / total))


def compare_decisions(
    store: Store,
    policy: Policy,
    decided: Iterable[DecidedRequest],
    evaluate: EvaluateFacts,
    sentences: Mapping[str, str],
) -> ComparisonRecord:
    """Evaluate a policy on decided requests. `sentences` are its rules as sentences, by their ids."""
    rows: list[ComparedDecision] = []
    for chunk in split_into_batches(decided, CHUNK):
        answers = evaluate([each.facts for each in chunk], [each.at for each in chunk])
        private = read_private_parts(store, (each.decision.entry for each in chunk))
        rows += [
            _make_row(each, answer, private.get(each.decision.entry, {}), sentences)
            for each, answer in zip(chunk, answers, strict=True)
        ]
    matrix = Counter((row.people, row.policy) for row in rows)
    by_policy = sum(n for (_, action), n in matrix.items() if action in DECIDED)
    agreed = sum(n for (verb, action), n in matrix.items() if verb == action)
    unknowns = [row for row in rows if row.policy == UNKNOWN]
    low, high = agreement_interval(agreed, by_policy)
    return ComparisonRecord(
        policy=policy.name,
        digest=policy.digest,
        compared=len(rows),
        decided=by_policy,
        agreed=agreed,
        rate=round(agreed / by_policy, 4) if by_policy else None,
        rate_low=round(low, 4) if by_policy else None,
        rate_high=round(high, 4) if by_policy else None,
        left_to_people=len(rows) - by_policy - len(unknowns),
        unknown=len(unknowns),
        erased=0,
        matrix=[ComparisonCell(people=people, policy=says, n=n) for (people, says), n in sorted(matrix.items())],
        disagreements=[row for row in rows if row.policy in DECIDED and row.policy != row.people],
        unknowns=unknowns,
    )


def _make_row(
    decided: DecidedRequest, answer: PolicyAnswer, private: Private, sentences: Mapping[str, str]
) -> ComparedDecision:
    row = decided.past.row
    decision = decided.decision
    return ComparedDecision(
        repo=row.repo.id,
        repo_type=row.repo.type,
        request_id=row.state.hub_request,
        user_id=row.person.identity.user_id,
        user=row.person.identity.username,
        asked_at=ms_to_iso(row.state.asked_at),
        decided_at=ms_to_iso(decision.at),
        by=name_granter(private) if decision.is_outside else decision.actor,
        people=VERB_FOR_STATUS[decision.after],
        policy=UNKNOWN if answer.is_open else answer.action,
        rule=answer.rule,
        says=sentences.get(answer.rule),
        missing=list(answer.missing),
        entry=f"{row.repo}#{decision.seq}",
    )


def describe_rules(policy: Policy) -> Mapping[str, str]:
    """Return the sentence of each rule."""
    return {rule.id: describe_rule(rule, policy.let, is_first=n == 0) for n, rule in enumerate(policy.rules)}


# ---- one workspace ---------------------------------------------------------------------------------------------------


class DecisionSelection(NamedTuple):
    """Which decisions are compared: the last ones, those since a time (ms), or those about these requests."""

    last: int
    since: int | None = None
    requests: Sequence[int] | None = None


def compare_policy(
    workspace: Workspace, policy: Policy, tables: Mapping[str, Table], selection: DecisionSelection
) -> ComparisonRecord:
    """Compare a policy, alone and as if it were enforced, with decisions of people at the repos that it applies to."""
    store = workspace.store
    sources = workspace.sources
    enforced = replace(policy, mode=PolicyMode.ENFORCE, judges=(Status.PENDING.value,))
    compiled = compile_policies([enforced], tables)
    evaluator = Evaluator(list(compiled.values()), zone=workspace.zone)

    has_reminders = workspace.location.config.letters.has_reminders

    def policies_of(row: RepoRow) -> RepoPolicies | None:
        return policies_of_repo(row, compiled, tables, sources, zone=workspace.zone, has_reminders=has_reminders)

    rows = [row for row in store.repos() if workspace.location.config.includes(row.repo)]
    current = {row.id: found for row in rows if (found := policies_of(row)) is not None}
    older = {row.id: found for row in rows if (found := policies_of(without_form(row))) is not None}
    reader = PastFactReader(store, sources, current, older)
    decided = islice(reader.read_decided(select_decisions(store, current.keys(), selection)), selection.last)

    def evaluate(facts: Sequence[Facts], moments: Sequence[datetime]) -> list[PolicyAnswer]:
        return [answer_of(evaluator.evaluate(each, now=at)) for each, at in zip(facts, moments, strict=True)]

    comparison = compare_decisions(store, enforced, decided, evaluate, describe_rules(enforced))
    return replace(comparison, erased=reader.erased_count)


def select_decisions(
    store: Store, repos: Collection[int], selection: DecisionSelection, *, max_searched: int | None = None
) -> Iterable[PersonDecision]:
    """Return the selected decisions at these repos (ids), the newest first."""
    if selection.requests is None:
        return iterate_person_decisions(store, repos, since=selection.since, max_searched=max_searched)
    return [one for one in read_person_decisions(store, selection.requests) if one.repo_id in repos]


def answer_of(verdict: Verdict | None) -> PolicyAnswer:
    """Return what a policy says, from its verdict."""
    if verdict is None:
        raise AssertionError("a pending request always gets a verdict")
    return PolicyAnswer(
        verdict.action.value, verdict.rule, tuple(verdict.missing or verdict.needs), is_open=bool(verdict.possible)
    )
