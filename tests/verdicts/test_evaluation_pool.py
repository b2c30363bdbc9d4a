"""However many processes judge a long list, the plan is the same to the byte, and so is what is entered on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.base.ids import parse_repo
from hf_gate.config import Paths, Settings
from hf_gate.decisions.service.plans.planning import propose_plan
from hf_gate.errors import Guarded
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.requests.service.sync import sync_repo
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.testing import LocalHub
from hf_gate.verdicts.plan.change_builders import PlanSubject, change_for_verdict
from hf_gate.verdicts.plan.model import encode_plan
from hf_gate.verdicts.service.evaluated_parts import PlanBuffer
from hf_gate.verdicts.service.evaluation import open_fact_sources, read_inputs
from hf_gate.verdicts.service.evaluation_pool import EvaluationPool
from hf_gate.verdicts.service.policy_bundle import load_policies
from hf_gate.workspace.service.bootstrap import Connection, connect_workspace, read_location

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DESK = "version: 1\nrepos: ['*/*', 'datasets/*/*']\n"
POLICY = """\
version: 1
policy: welcome
applies_to: ['*/*', 'datasets/*/*']
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk", "thin"]
    then: reset
    reason: Please say in a sentence what you will use it for, then ask again.
  - id: known
    when: email.academic && history.rejected == 0
    then: accept
    until: 1y
  - id: rest
    then: human
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A desk whose store holds what a local Hub has."""
    folder = tmp_path_factory.mktemp("hall")
    (folder / "policies").mkdir()
    (folder / "hf-gate.yaml").write_text(DESK, "utf-8")
    (folder / "policies" / "welcome.yaml").write_text(POLICY, "utf-8")
    with LocalHub(requests=600, repos=2, seed=3) as local, Hub(local.tokens["owner"], local.url) as hub:
        paths = Paths(folder / "c", folder / "d", folder / "s", folder / "k")
        settings = Settings(paths, endpoint=local.url, workspace=folder)
        with connect_workspace(Connection(settings), read_location(settings)) as workspace:
            for line in local.repos:
                repo = parse_repo(line["repo"], line["repo_type"])
                sync_repo(hub, workspace.store, HubClock(hub.endpoint, lambda: hub), repo, SyncKind.FULL, actor="lena")
        yield settings


def judged(
    desk: Settings, folder: Path, processes: int, part: int, most: int = 1_000, *, enters: bool = True
) -> tuple[bytes, dict[str, tuple[int, bytes]]]:
    """The plan as it is written, and the heads of all chains after it, of a copy of that desk."""
    assert desk.workspace is not None
    shutil.copytree(desk.workspace, folder)
    settings = replace(desk, workspace=folder)
    with connect_workspace(Connection(settings), read_location(settings)) as workspace:
        store, bundle = workspace.store, load_policies(workspace)
        heads = dict(store.chains())
        before = entries_of(heads)
        with EvaluationPool(workspace, bundle, processes=processes, threshold=10, part_size=part) as pool:
            policy_sets = bundle.for_repos(store, open_fact_sources(workspace))
            proposal = propose_plan(
                store,
                policy_sets,
                pool.evaluate,
                now=NOW,
                policies=bundle.policies,
                limit=most,
                should_record=enters,
                sources=open_fact_sources(workspace),
                is_full=True,
            )
        after = dict(store.chains())
        assert (entries_of(after) - before > 300) is enters
        assert (after == heads) is not enters
        return encode_plan(proposal.plan), after


def entries_of(chains: dict[str, tuple[int, bytes]]) -> int:
    return sum(length for length, _ in chains.values())


def test_a_plan_for_a_moment_that_is_only_supposed_is_the_same_and_enters_nothing(
    desk: Settings, tmp_path: Path
) -> None:
    plan, _ = judged(desk, tmp_path / "earnest", 1, 50)
    assert judged(desk, tmp_path / "one", 1, 50, enters=False)[0] == plan
    assert judged(desk, tmp_path / "two", 2, 50, enters=False)[0] == plan


def test_a_plan_without_room_for_all_is_the_same_too_and_holds_the_oldest(desk: Settings, tmp_path: Path) -> None:
    alone = judged(desk, tmp_path / "one", 1, 20, most=30)
    assert judged(desk, tmp_path / "two", 2, 20, most=30) == alone
    whole, _ = judged(desk, tmp_path / "whole", 1, 20)
    few, all_ = json.loads(alone[0]), json.loads(whole)
    oldest = sorted(
        all_["changes"], key=lambda one: (one["asked_at"], one["repo_type"], one["repo"], one["request_id"])
    )
    assert [one["row"] for one in oldest[:30]] == sorted(
        (one["row"] for one in few["changes"]), key=[one["row"] for one in oldest].index
    )
    assert few["summary"] == {**all_["summary"], "remaining": len(oldest) - 30}


def test_a_plan_tells_the_reasons_of_the_whole_verdict(desk: Settings) -> None:
    with connect_workspace(Connection(desk), read_location(desk), read_only=True) as workspace:
        store, bundle = workspace.store, load_policies(workspace)
        pool = EvaluationPool(workspace, bundle, processes=1)
        policy_sets = bundle.for_repos(store, open_fact_sources(workspace))
        told = {
            change.row: change
            for policy_set in policy_sets
            for heard in pool.evaluate(policy_set, "pending", NOW, PlanBuffer())
            for change in heard.changes
        }
        assert {change.rule for change in told.values()} == {"say-more", "known"}
        for policy_set in policy_sets:
            for case in read_inputs(store, policy_set, open_fact_sources(workspace), "pending", NOW):
                verdict = policy_set.evaluator.evaluate_with_traces(case.facts, now=NOW)
                assert verdict is not None
                assert case.row.request is not None
                trace = None if verdict.deciding is None else verdict.deciding.deciding_trace
                conditions = () if trace is None else trace.conditions
                subject = PlanSubject(case.row.request, case.row.state, case.row.id)
                whole = change_for_verdict(subject, verdict, conditions)
                assert told.get(case.row.id) == whole
                assert whole is None or whole.because


def test_nothing_is_planned_when_the_policies_changed_while_they_were_judged(desk: Settings, tmp_path: Path) -> None:
    assert desk.workspace is not None
    folder = tmp_path / "desk"
    shutil.copytree(desk.workspace, folder)
    settings = replace(desk, workspace=folder)
    with connect_workspace(Connection(settings), read_location(settings)) as workspace:
        store, bundle = workspace.store, load_policies(workspace)
        pool = EvaluationPool(workspace, bundle, processes=2, threshold=10, part_size=50)
        (folder / "policies" / "welcome.yaml").write_text(POLICY.replace("until: 1y", "until: 2y"), "utf-8")
        policy_sets = bundle.for_repos(store, open_fact_sources(workspace))
        with pool, pytest.raises(Guarded, match="policies changed"):
            propose_plan(
                store,
                policy_sets,
                pool.evaluate,
                now=NOW,
                policies=bundle.policies,
                sources=open_fact_sources(workspace),
                is_full=True,
            )
