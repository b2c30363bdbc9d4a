"""Tries a draft of a policy, alone and as if it were enforced, on the waiting requests of a repo, part by part."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, tzinfo
from typing import Final

import msgspec
from msgspec.structs import replace

from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Action, Policy, PolicyMode, Verdict
from hf_gate.core.stored_rows import ListRange
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.policies.evaluation.opinions import why_people_decide
from hf_gate.settings.service.workspace import Workspace

from .current_verdicts import read_current_verdicts
from .evaluation import RepoPolicies, compile_policies, fill_templates, open_fact_sources, read_inputs
from .policy_bundle import PolicyBundle, load_tables
from .table_store import bind_known_accounts

MAX_EXAMPLES: Final = 3  # requests named for each rule
MAX_DIFFERENCES: Final = 12  # requests named for which the draft and the desk disagree


class TriedRequest(msgspec.Struct, frozen=True):
    """What a draft says about one request, and what the desk says (None: no verdict)."""

    request: int
    action: str
    rule: str
    desk: str | None


class TrialTally(msgspec.Struct):
    """How often each rule decided, and where the desk decides differently.

    `by_action` counts pairs of actions: the draft's, and the desk's. `examples` are the first requests of each rule,
    `differences` the first requests where the two differ.
    """

    tried: int = 0
    by_rule: dict[tuple[str, str], int] = {}
    by_action: dict[tuple[str, str | None], int] = {}
    examples: dict[str, list[int]] = {}
    differences: list[TriedRequest] = []

    def add(self, tried: TriedRequest) -> None:
        """Count one request."""
        pair = tried.action, tried.rule
        both = tried.action, tried.desk
        self.tried += 1
        self.by_rule[pair] = self.by_rule.get(pair, 0) + 1
        self.by_action[both] = self.by_action.get(both, 0) + 1
        known = self.examples.setdefault(tried.rule, [])
        if len(known) < MAX_EXAMPLES:
            known.append(tried.request)
        if tried.action != tried.desk and len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(tried)

    def merge(self, later: TrialTally) -> None:
        """Add the counts of a later part."""
        self.tried += later.tried
        self.by_rule = dict(Counter(self.by_rule) + Counter(later.by_rule))
        self.by_action = dict(Counter(self.by_action) + Counter(later.by_action))
        for rule, requests in later.examples.items():
            self.examples[rule] = [*self.examples.get(rule, []), *requests][:MAX_EXAMPLES]
        self.differences = [*self.differences, *later.differences][:MAX_DIFFERENCES]

    @property
    def differing(self) -> int:
        """The number of requests where the draft and the desk decide differently."""
        return sum(n for (ours, desk), n in self.by_action.items() if ours != desk)

    @property
    def newly_accepted(self) -> int:
        """The number of requests that the draft accepts and the desk does not."""
        return sum(n for (ours, desk), n in self.by_action.items() if ours == Action.ACCEPT != desk)

    @property
    def no_longer_accepted(self) -> int:
        """The number of requests that the desk accepts and the draft does not."""
        return sum(n for (ours, desk), n in self.by_action.items() if desk == Action.ACCEPT != ours)

    def count_rule(self, rule: str) -> int:
        """Return how many of the requests a rule decided."""
        return sum(n for (_, name), n in self.by_rule.items() if name == rule)


def find_action(verdict: Verdict, now: datetime, zone: tzinfo) -> str:
    """Return the action that follows from a verdict: a person decides if the policy may not accept by itself."""
    needs_people = why_people_decide(verdict, now, zone) is not None
    return Action.HUMAN.value if needs_people else verdict.action.value


def enforce_alone(policy: Policy) -> Policy:
    """Return a policy as if it were enforced on waiting requests."""
    return replace(policy, mode=PolicyMode.ENFORCE, judges=(Status.PENDING.value,))


def load_draft(workspace: Workspace, policy: Policy) -> PolicyBundle:
    """Return a checked draft alone, as if it were enforced, with its tables and those of hf-gate.yaml."""
    if workspace.location.folder is None:
        raise UsageError("There is no workspace here, so there are no policies.")
    folder = read_folder(workspace.location.folder)
    policies = (enforce_alone(fill_templates(policy, folder.config.templates)),)
    store = workspace.store
    read = load_tables(folder, policies, store, workspace.now())
    tables = {name: bind_known_accounts(store, table) for name, table in read.items()}
    compiled = compile_policies(policies, sorted(tables), folder.config.source_types)
    return PolicyBundle(folder, policies, compiled, tables, policies[0].digest)


def try_part(
    workspace: Workspace, policy_set: RepoPolicies, now: datetime, part: ListRange = (None, None)
) -> TrialTally:
    """Try a draft on a part of the waiting requests of a repo, beside the verdicts that are recorded."""
    tally = TrialTally()
    verdicts = read_current_verdicts(workspace.location.folder)
    sources = open_fact_sources(workspace)
    for case in read_inputs(workspace.store, policy_set, sources, Status.PENDING, now, part):
        verdict = policy_set.evaluator.evaluate(case.facts, now=now)
        if verdict is not None:
            recorded = verdicts.verdict_of(case.row)
            desk = None if recorded is None else recorded[0]
            action = find_action(verdict, now, policy_set.evaluator.zone)
            tally.add(TriedRequest(case.row.id, action, verdict.rule, desk))
    return tally
