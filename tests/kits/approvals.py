"""A workspace whose policy wants two reviewers, its members, and their decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.approvals.service.approval_alarms import list_open_alarms, raise_approval_alarms
from hf_gate.approvals.service.promoted_policies import describe_version
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.core.requests import Target
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.rows.policy_authors import write_promoted_policies
from hf_gate.verdicts.service.policy_bundle import load_policies
from tests.kits.acts import decide
from tests.kits.in_process_hub import InProcessHub
from tests.kits.members import store_member
from tests.kits.workspaces import POLICY, HubWorkspace, write_workspace

ACCEPT, REJECT = Choice(Status.ACCEPTED), Choice(Status.REJECTED)
WELCOME = "then: accept\n  - id: rest"
TWO_REVIEWERS = POLICY.replace(WELCOME, "then: accept\n    reviewers: 2\n  - id: rest")
OWNER = RunAuthor(account="id-owner")
LATER = 1_800_000_000_000  # ms


@pytest.fixture
def two_people(tmp_path: Path) -> Iterator[HubWorkspace]:
    """A workspace that wants two reviewers; ada and bo have asked."""
    made = HubWorkspace(tmp_path, InProcessHub(repos=2))
    use_policy(made, TWO_REVIEWERS)
    with made.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    made.ask(["ada", "bo"])
    made.sync()
    yield made
    made.close()


def use_policy(workspace: HubWorkspace, policy: str) -> None:
    """Write another policy, load and promote it."""
    write_workspace(workspace.folder, policy)
    workspace.join()
    promote_files(workspace.workspace)


def promote_files(workspace: Workspace) -> None:
    """Make the policy files the promoted ones, as two members would who approve nothing."""
    policies = load_policies(workspace).policies
    with workspace.store.writing() as write:
        write_promoted_policies(write, {policy.name: describe_version(policy) for policy in policies})


def create_member(workspace: HubWorkspace, name: str, *, role: MemberRole = MemberRole.REVIEWER) -> Member:
    """Make a Hub account a member."""
    return store_member(workspace.store, name, role)


def author_of(member: Member) -> RunAuthor:
    """Return a member as the author of a decision."""
    return RunAuthor(member=member.id, account=member.account_id)


def decide_as(
    workspace: HubWorkspace, by: RunAuthor, who: str = "ada", choice: Choice = ACCEPT, actor: str | None = None
) -> Outcome:
    """Decide one request as an author; return what came of it."""
    target = DecisionTarget(workspace.repos[0], Target(username=who), "No." if choice is REJECT else None)
    (outcome,) = decide(workspace, choice, target, actor=actor or str(by.account), author=by).outcomes
    return outcome


def list_alarms(workspace: HubWorkspace) -> list[tuple[str | None, int, int]]:
    """Raise what is due; return the person, and the approvals given and needed, of each open alarm."""
    raise_approval_alarms(workspace.workspace, workspace.repos)
    return [(row.person.identity.username, one.given, one.needed) for one, row in list_open_alarms(workspace.store)]
