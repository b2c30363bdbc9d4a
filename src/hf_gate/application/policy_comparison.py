"""Compares what people decided with what a policy says on the facts of that time: a matrix, and where they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from ..domain.batches import split_into_batches
from ..domain.lifecycle import VERB_FOR_STATUS, Status
from ..domain.rows import PersonDecision, RepoRow
from ..domain.timestamps import ms_to_iso
from ..policy.evaluator import Evaluator
from ..policy.model import Action, Facts, Policy, PolicyMode, Verdict
from ..policy.rule_phrases import describe_rule
from ..policy.tables import Table
from ..store.past_requests import iterate_person_decisions, name_granter, read_person_decisions, read_private_parts
from ..store.store import Store
from .evaluation import RepoPolicies, compile_policies, policies_of_repo
from .past_facts import DecidedRequest, PastFactReader, without_form
from .past_records import ComparedDecision, ComparisonCell, ComparisonRecord
from .workspace import Workspace

_DECIDES: Final = frozenset({Action.ACCEPT.value, Action.RESET.value, Action.REJECT.value})
UNKNOWN: Final = "unknown"
"""What a policy says if facts that are not known would change its verdict."""
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


class PolicyComparison(Struct):
    """What people decided beside what a policy says. `compared` has each decision with the policy's answer.

    `erased_count` decisions are left out, because personal data was deleted.
    """

    policy: Policy
    compared: list[tuple[DecidedRequest, PolicyAnswer]] = field(default_factory=list)
    erased_count: int = 0

    @property
    def matrix(self) -> Counter[tuple[str, str]]:
        """The number of decisions by what people did and what the policy says."""
        return Counter((verb_of(decided), action_of(answer)) for decided, answer in self.compared)

    @property
    def disagreements(self) -> list[tuple[DecidedRequest, PolicyAnswer]]:
        """The decisions that the policy would have made differently, the newest first."""
        return [(one, answer) for one, answer in self.compared if action_of(answer) in _DECIDES - {verb_of(one)}]

    @property
    def unknown(self) -> list[tuple[DecidedRequest, PolicyAnswer]]:
        """The decisions on which the policy says nothing, because facts of that time are not known."""
        return [(one, answer) for one, answer in self.compared if answer.is_open]

    @property
    def decided_count(self) -> int:
        """The number of decisions that the policy would have made itself."""
        return sum(n for (_, action), n in self.matrix.items() if action in _DECIDES)

    @property
    def agreed_count(self) -> int:
        """The number of decisions that the policy would have made in the same way."""
        return sum(n for (verb, action), n in self.matrix.items() if verb == action)

    @property
    def left_count(self) -> int:
        """The number of decisions that the policy leaves to people."""
        return len(self.compared) - self.decided_count - len(self.unknown)

    def describe(self) -> str:
        """Return a sentence on the agreement."""
        if not self.compared:
            return "There is nothing to compare yet."
        if not self.decided_count:
            return "The policy would have decided none of these requests by itself."
        low, high = agreement_interval(self.agreed_count, self.decided_count)
        return (
            f"Where it would decide by itself, it agrees with {self.agreed_count:,} of {self.decided_count:,}:"
            f" {self.agreed_count / self.decided_count * 100:.0f} % (95 % interval {low * 100:.0f} % to {high * 100:.0f} %)."
        )


def verb_of(decided: DecidedRequest) -> str:
    """Return what the person did: accept, reset or reject."""
    return VERB_FOR_STATUS[decided.decision.after]


def action_of(answer: PolicyAnswer) -> str:
    """Return what the policy says; `unknown` if it depends on facts that are not known."""
    return UNKNOWN if answer.is_open else answer.action


def agreement_interval(agreed: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share. It is not empty for 0 or all, as other intervals are."""
    if not total:
        return 0.0, 1.0
    share, square = agreed / total, _Z * _Z
    middle = share + square / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + square / total)), min(1.0, (middle + spread) / (1 + square / total))


def compare_decisions(policy: Policy, decided: Iterable[DecidedRequest], evaluate: EvaluateFacts) -> PolicyComparison:
    """Evaluate a policy on decided requests."""
    comparison = PolicyComparison(policy)
    for chunk in split_into_batches(decided, CHUNK):
        answers = evaluate([each.facts for each in chunk], [each.at for each in chunk])
        comparison.compared.extend(zip(chunk, answers, strict=True))
    return comparison


# ---- records ---------------------------------------------------------------------------------------------------------


def comparison_record(store: Store, comparison: PolicyComparison) -> ComparisonRecord:
    """Return the record of a comparison."""
    has_rate = comparison.decided_count > 0
    low, high = agreement_interval(comparison.agreed_count, comparison.decided_count)
    return ComparisonRecord(
        policy=comparison.policy.name,
        digest=comparison.policy.digest,
        compared=len(comparison.compared),
        decided=comparison.decided_count,
        agreed=comparison.agreed_count,
        rate=round(comparison.agreed_count / comparison.decided_count, 4) if has_rate else None,
        rate_low=round(low, 4) if has_rate else None,
        rate_high=round(high, 4) if has_rate else None,
        left_to_people=comparison.left_count,
        unknown=len(comparison.unknown),
        erased=comparison.erased_count,
        matrix=[
            ComparisonCell(people=people, policy=says, n=n) for (people, says), n in sorted(comparison.matrix.items())
        ],
        disagreements=list(_decision_records(store, comparison.policy, comparison.disagreements)),
        unknowns=list(_decision_records(store, comparison.policy, comparison.unknown)),
    )


def _decision_records(
    store: Store, policy: Policy, rows: Sequence[tuple[DecidedRequest, PolicyAnswer]]
) -> Iterator[ComparedDecision]:
    sentences = describe_rules(policy)
    for decided, answer in rows:
        row, decision = decided.past.row, decided.decision
        yield ComparedDecision(
            repo=row.repo.id,
            repo_type=row.repo.type,
            request_id=row.state.hub_request,
            user_id=row.person.identity.user_id,
            user=row.person.identity.username,
            asked_at=ms_to_iso(row.state.asked_at),
            decided_at=ms_to_iso(decision.at),
            by=name_decider(store, decided),
            people=verb_of(decided),
            policy=action_of(answer),
            rule=answer.rule,
            says=sentences.get(answer.rule),
            missing=list(answer.missing),
            entry=f"{'' if row.repo.type == 'model' else 'datasets/'}{row.repo.id}#{decision.seq}",
        )


def describe_rules(policy: Policy) -> Mapping[str, str]:
    """Return the sentence of each rule."""
    return {rule.id: describe_rule(rule, policy.let, is_first=n == 0) for n, rule in enumerate(policy.rules)}


def name_decider(store: Store, decided: DecidedRequest) -> str | None:
    """Return the account that decided; None if the Hub did not name it."""
    if not decided.decision.is_outside:
        return decided.decision.actor
    entry = decided.decision.entry
    return name_granter(read_private_parts(store, [entry]).get(entry, {}))


# ---- one workspace -----------------------------------------------------------------------------------------------------


class DecisionSelection(NamedTuple):
    """Which decisions are compared: the last ones, those since a time (ms), or those about these requests."""

    last: int
    since: int | None = None
    requests: Sequence[int] | None = None


def compare_policy(
    workspace: Workspace, policy: Policy, tables: Mapping[str, Table], selection: DecisionSelection
) -> PolicyComparison:
    """Compare a policy, alone and as if it were enforced, with decisions of people at the repos that it applies to."""
    store, sources = workspace.store, workspace.sources
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

    comparison = compare_decisions(enforced, decided, evaluate)
    comparison.erased_count = reader.erased_count
    return comparison


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
