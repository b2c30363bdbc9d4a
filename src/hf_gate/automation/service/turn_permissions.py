"""Stores what unattended runs may do: promoted policy versions, refusals and registered plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime

from hf_gate.approvals.service.promoted_policies import record_promotion
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.people.approvals import PolicyAuthor, PromotedPolicy
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.policy_model import Policy
from hf_gate.core.stored_rows import RunRow
from hf_gate.core.turns import Hold
from hf_gate.decisions.rows import (
    delete_halts_of,
    read_first_turns,
    read_halts,
    read_promotions,
    write_promotion,
)
from hf_gate.decisions.service.runs.runs import is_halted_change
from hf_gate.errors import Guarded
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.guards import FirstTurnHold, PolicyStart, start_of_change
from hf_gate.verdicts.plan.model import Plan
from hf_gate.verdicts.rows.policy_authors import read_promoted_policies, write_policy_author

from .holds import hold_of_policy, hold_of_run, read_halted_runs


def is_promoted(store: Store, policy: Policy) -> bool:
    """Tell whether a policy version is promoted, and is not halted."""
    last = read_promoted_policies(store).get(policy.name, PromotedPolicy())
    return read_promotions(store).get(policy.name) == last.digest == policy.digest and not any(
        policy.digest == version for halt in read_halts(store).values() for version, _ in halt.versions
    )


def promote(
    workspace: Workspace, policies: Collection[Policy], policy: Policy, actor: str, author: RunAuthor = NO_AUTHOR
) -> str:
    """Let a policy version act unattended, delete its halts, and record the actor in the ledger.

    `policies` are all policies of the files. Who alone promoted a version is not one of its two approvers. Return why a
    second member must promote it before it may act; "" if it may.
    """
    event = e.PolicyPromoted(policy=policy.name, digest=policy.digest, member=author.member, account=author.account)
    with workspace.store.writing() as write:
        write.append(None, [e.LedgerEntry(event=event, at=to_ms(workspace.now()), actor=actor)])
        write_policy_author(write, PolicyAuthor(policy.digest, actor, author.member, author.account))
        lack = record_promotion(workspace, write, policies, policy, author.account)
        if not lack:
            write_promotion(write, policy.name, policy.digest)
            delete_halts_of(write, policy.digest)
    return lack


# ---- turns -----------------------------------------------------------------------------------------------------------


def store_refusals(store: Store, repos: Collection[Repo], why: str, at: int) -> None:
    """Store where decisions were refused, so that the next turns do not repeat them."""
    with store.writing() as write:
        for repo in repos:
            write.update_repo(repo, {"refused_at": at, "refused_why": why})


class TurnFilter(FirstTurnHold):
    """The change filter of an unattended turn. It excludes halted changes and large first turns of policy versions.

    It also excludes changes at `skipped_repos` (repos that could not be read, or where the Hub recently refused
    decisions).
    """

    def __init__(self, store: Store, skipped_repos: Collection[Repo] = ()) -> None:
        super().__init__(self._may_act_at)
        self.counts: dict[str, Counter[str]] = {}  # changes that wait, by the run or skipped repo, and by policy
        self.skipped_versions: set[tuple[str, str]] = set()  # digests and repos of the policies of these changes
        self._skipped_repos = frozenset(map(str, skipped_repos))
        self._halts = read_halted_runs(store)
        self._promoted = read_promotions(store)
        self._started = {(digest, str(repo)) for digest, repo in read_first_turns(store)}

    def allows(self, change: Change) -> bool:
        """Tell whether a change may be sent in this turn."""
        run = next((run for run, halt in self._halts if is_halted_change(halt, change)), None)
        return not self._withholds(start_of_change(change), 1, run) and super().allows(change)

    def refuses(self, start: PolicyStart, repo: Repo, count: int) -> bool:
        """Return whether no change of a version at a repo may be sent in this turn; if so, count them.

        If it returns False, `allows` decides about each change.
        """
        run = next((run for run, halt in self._halts if (start[1], repo) in halt.versions), None)
        return self._withholds(start, count, run) or super().refuses(start, repo, count)

    def _withholds(self, start: PolicyStart, count: int, run: RunRow | None) -> bool:
        """Return whether changes wait for a person or another turn; if so, count them. `run` is their halted run."""
        policy, digest, repo = start
        if run is None and repo not in self._skipped_repos:
            return False
        self.counts.setdefault(repo if run is None else run.id, Counter())[policy] += count
        self.skipped_versions.add((digest, repo))
        return True

    def find_holds(self) -> Iterator[Hold]:
        """Yield the promotions and the halted runs for which changes of this turn wait."""
        versions: Counter[tuple[str, str]] = Counter()
        for (policy, digest, _), count in self.held_counts.items():
            versions[policy, digest] += count
        for (policy, digest), count in sorted(versions.items()):
            yield hold_of_policy(policy, digest, count)
        for run, _ in self._halts:
            if run.id in self.counts:
                yield hold_of_run(run, self.counts[run.id])

    def _may_act_at(self, start: PolicyStart) -> bool:
        """Tell whether a version is promoted, or has completed its first turn at this repo."""
        policy, digest, repo = start
        return self._promoted.get(policy) == digest or (digest, repo) in self._started


def register_plan(store: Store, plan: Plan, now: datetime) -> Plan:
    """Register a plan in the store until it expires, and return it."""
    if plan.changes:
        with store.writing() as write:
            write.register_plan(plan.digest, to_ms(plan.expires_at), to_ms(now))
    return plan


def check_registered(store: Store, plan: Plan) -> None:
    """Raise Guarded if this workspace did not make the plan. A complete plan in the store also proves its origin."""
    if not store.is_plan_made(plan.digest) and store.plan(plan.digest) is None:
        raise Guarded(
            "this plan was not made in this workspace, or expired long ago; nothing was sent.",
            hint="Make it here: hf-gate plan --out plan.json",
        )
