"""Computes how many people must approve a request before it is accepted, by the rules of the enforced policies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.events.events import canonical_json
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.approvals import ONE_PERSON, PromotedPolicy, Quorum
from hf_gate.core.policy_model import Action, Facts, Opinion, Policy, PolicyMode, Rule
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.policies.evaluation.evaluator import CompiledPolicy
from hf_gate.policies.facts.fact_table import is_identity_fact
from hf_gate.policies.parsing.policy_digest import canonical_rule
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.service.evaluation import RepoPolicies, build_inputs, open_fact_sources
from hf_gate.verdicts.service.policy_bundle import PolicyBundle


class PolicyQuorumRules(Struct, frozen=True):
    """Computes the quorums of requests. `bundle` are the compiled policies; None if they cannot be read.

    With a `problem`, nothing is accepted at `blocked` repos (globs). Nor is anything accepted where two people must
    approve, and the policies are not the `promoted` ones (by name).
    """

    workspace: Workspace
    bundle: PolicyBundle | None = None
    problem: str = ""
    blocked: tuple[str, ...] = ()
    promoted: Mapping[str, PromotedPolicy] = {}

    @property
    def digest(self) -> str:
        """The digest of all rules that ask for two people. An endorsement counts only under the same rules."""
        asking = [(policy, _most(policy.rules)) for policy in self._policies if policy.has_two_person_rule]
        return _make_quorum(asking, ()).digest

    def is_two_person_repo(self, repo: Repo) -> bool:
        """Tell whether some requests at a repo need two people, or nobody knows whether they do."""
        return bool(self._find_problem(repo) or self._policies_at(repo))

    def compute(self, repo: Repo, rows: Iterable[RequestRow], now: datetime) -> dict[int, Quorum]:
        """Return the quorums of the requests that need two people."""
        if not self.is_two_person_repo(repo):
            return {}
        if problem := self._find_problem(repo):
            return {row.id: Quorum(2, problem=problem) for row in rows}
        found = dict.fromkeys((row.id for row in rows), self.strictest(repo))
        policy_set = self._policy_set(repo)
        if policy_set is None:
            return found
        store = self.workspace.store
        sources = open_fact_sources(self.workspace)
        known = [row for row in rows if row.request is not None]
        for case in build_inputs(store, policy_set, sources, known, now):
            found[case.row.id] = _quorum_of(policy_set, self._policies_at(repo), case.facts, now)
        return {ident: quorum for ident, quorum in found.items() if quorum.is_double}

    def strictest(self, repo: Repo) -> Quorum:
        """Return the quorum of a person without a stored request: the most people that any rule asks for."""
        if problem := self._find_problem(repo):
            return Quorum(2, problem=problem)
        return _make_quorum([(policy, _most(policy.rules)) for policy in self._policies_at(repo)], ())

    def _find_problem(self, repo: Repo) -> str:
        """Return why nothing is accepted at a repo, and what to do; "" if it is."""
        return self._find_problem_by_name(repo) or ("" if self._policies_at(repo) else self._find_other_name(repo))

    def _find_other_name(self, repo: Repo) -> str:
        """Return why nobody knows that one person decides at a repo: two people may decide under another name of it."""
        row = self.workspace.store.repo(repo)
        if row is None or not row.hub_ids:
            return (
                "two people decide at some repos, and hf-gate has not read yet whether this is one of them under "
                f"another name; run `hf-gate sync {repo}`"
            )
        for other in self.workspace.store.repos():
            is_same = other.repo != repo and not row.hub_ids.isdisjoint(other.hub_ids)
            if is_same and (self._policies_at(other.repo) or self._find_problem_by_name(other.repo)):
                return (
                    f"the Hub has this repo under a new name, and two people decide at {other.repo}; write {repo} into "
                    "`applies_to` of the same policies, then run `hf-gate policy promote`"
                )
        return ""

    def _find_problem_by_name(self, repo: Repo) -> str:
        if matches_any(self.blocked, repo):
            return self.problem
        here = [policy for policy in self._policies if matches_any(policy.applies_to, repo)]
        enforced = {policy.name for policy in here if policy.mode is PolicyMode.ENFORCE}
        doubles = {name for name, one in self.promoted.items() if one.is_double and matches_any(one.repos, repo)}
        if not doubles and not self._policies_at(repo):
            return ""
        present = {policy.name: policy.digest for policy in self._policies}
        for name in sorted(enforced | doubles):
            last = self.promoted.get(name, PromotedPolicy()).digest
            if present.get(name) != last:
                return _describe_difference(name, last, is_missing=name not in present)
        return ""

    @property
    def _policies(self) -> tuple[Policy, ...]:
        return () if self.bundle is None else self.bundle.policies

    def _policies_at(self, repo: Repo) -> list[Policy]:
        return [one for one in self._policies if one.has_two_person_rule and matches_any(one.applies_to, repo)]

    def _policy_set(self, repo: Repo) -> RepoPolicies | None:
        row = self.workspace.store.repo(repo) or RepoRow(id=0, repo=repo)
        return None if self.bundle is None else self.bundle.for_repo(row, open_fact_sources(self.workspace))


def _describe_difference(name: str, last: str, *, is_missing: bool) -> str:
    if is_missing:
        return (
            f"the policy {name} cannot be found, and it asks for two people; put the file back "
            "(with `mode: shadow`, if two members will promote that)"
        )
    use = f"use the files with its last promoted version ({last[:8]}), or " if last else ""
    return (
        f"two people decide here, and this version of the policy {name} was not promoted; {use}run "
        f"`hf-gate policy promote {name}`; whoever promotes a version alone is not one of its two approvers"
    )


# ---- the quorum of one request -------------------------------------------------------------------------------------


def _quorum_of(policy_set: RepoPolicies, double: Sequence[Policy], facts: Facts, now: datetime) -> Quorum:
    """Return the quorum of a request with these facts.

    A policy without an opinion counts only if no enforced policy has one.
    """
    evaluator = policy_set.evaluator
    verdict = evaluator.evaluate(facts, now=now, status=Status.PENDING)
    opinions = {} if verdict is None else {opinion.policy: opinion for opinion in verdict.opinions}
    names = {policy.name for policy in double}
    compiled = [one for one in evaluator.policies if one.policy.name in names]
    counted = [one for one in compiled if one.policy.name in opinions or not opinions]
    found = [(one.policy, _count_of(policy_set, one, opinions.get(one.policy.name), facts)) for one in counted]
    return _make_quorum(found, [name for one in counted for name in one.facts])


def _count_of(policy_set: RepoPolicies, compiled: CompiledPolicy, opinion: Opinion | None, facts: Facts) -> int:
    """Return how many people a policy asks for.

    The first accept rule that holds says it, together with the earlier ones that may hold and with the rule that
    decides. If no accept rule certainly holds, the most people that any rule asks for are needed.
    """
    policy = compiled.policy
    most = _most(compiled.policy.rules)
    reviewers = {rule.id: rule.reviewers for rule in policy.rules}
    possible = []
    for trace in policy_set.evaluator.trace_rules(facts, policy.name, lambda rule: rule.then is Action.ACCEPT):
        if trace.matched is not False:
            possible.append(reviewers[trace.rule])
        if trace.matched:
            decides = opinion.reviewers if opinion is not None and not opinion.needs and not opinion.missing else most
            return max(*possible, decides)
    return most


def _most(rules: Iterable[Rule]) -> int:
    return max((rule.reviewers for rule in rules), default=1)


def _make_quorum(found: Sequence[tuple[Policy, int]], facts: Iterable[str]) -> Quorum:
    asking = [policy for policy, count in found if count > 1]
    if not asking:
        return ONE_PERSON
    rules = [
        [policy.name, dict(policy.let), [canonical_rule(rule) for rule in policy.rules if rule.reviewers > 1]]
        for policy in sorted(asking, key=lambda policy: policy.name)
    ]
    return Quorum(
        count=max(count for _, count in found),
        digest=hashlib.sha256(canonical_json(rules)).hexdigest(),
        policies=tuple(sorted(policy.digest for policy in asking)),
        reads_identity=any(map(is_identity_fact, facts)),
    )
