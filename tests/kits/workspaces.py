"""A workspace with its store and an in-process Hub, run by the real application; it opens in milliseconds and can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, cast

from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.automation.service.turn import ExecutorFactory, TurnContext, TurnResult, run_turn
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.config import Paths, Settings
from hf_gate.core.ports import ClockPort, HubPort
from hf_gate.core.runs import RunKind
from hf_gate.core.stored_rows import RequestRow, RunRow
from hf_gate.decisions.service.plans.planning import PlanResult, make_plan, propose_plan
from hf_gate.decisions.service.runs import runs
from hf_gate.decisions.service.runs.run_executor import RunExecutor
from hf_gate.errors import HfGateError
from hf_gate.requests.service.sync import SyncResult, sync_repo
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.model import Plan
from hf_gate.verdicts.service.evaluated_parts import EvaluatedPart, PlanBuffer, evaluate_part
from hf_gate.verdicts.service.evaluation import RepoPolicies, open_fact_sources
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, load_policies
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.bootstrap import read_location
from tests.kits.faulty_stores import FailingStore, KilledError
from tests.kits.in_process_hub import ORIGIN, InProcessClient, InProcessHub, WorkspaceClock
from tests.kits.invariants import OURS, find_final_violations, find_violations

WORKSPACE_FILE = """\
version: 1
repos: ["*/*", "datasets/*/*"]
policies: [policies/*.yaml]
"""
# Whoever asks says what shall become of it: `wish` is an answer that the rules read.
POLICY = """\
version: 1
policy: wishes
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: again
    when: form.exists(k, k == "wish" && form[k] == "reset")
    then: reset
    reason: Please ask again.
  - id: no
    when: form.exists(k, k == "wish" && form[k] == "reject")
    then: reject
    reason: Not for this one.
  - id: for-a-while
    when: form.exists(k, k == "wish" && form[k] == "while")
    then: accept
    until: 30d
  - id: welcome
    when: form.exists(k, k == "wish" && form[k] == "accept")
    then: accept
  - id: rest
    then: human
"""
STRICT = POLICY.replace("then: accept\n  - id: rest", "then: human\n  - id: rest")
"""The same, but whoever only wishes to be accepted waits for a person."""

MakeExecutor = Callable[..., RunExecutor]
_BUNDLES: dict[str, PolicyBundle] = {}


def write_workspace(folder: Path, policy: str = POLICY) -> Path:
    """Write the files of a workspace."""
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "hf-gate.yaml").write_text(WORKSPACE_FILE)
    (folder / "policies" / "wishes.yaml").write_text(policy)
    return folder


def make_settings(folder: Path) -> Settings:
    """Return the settings of a user whose workspace is here."""
    return Settings(Paths(folder / "c", folder / "d", folder / "s", folder / "k"), endpoint=ORIGIN, workspace=folder)


@dataclass
class HubWorkspace:
    """One workspace and its Hub. `make_executor` makes the executor of runs: the real one, or one that a test wants to see caught."""

    folder: Path
    local_hub: InProcessHub
    make_executor: MakeExecutor = RunExecutor
    actor: str = "lena-brandt"
    store: Store = field(init=False)
    hub: InProcessClient = field(init=False)
    workspace: Workspace = field(init=False)
    bundle: PolicyBundle = field(init=False)
    repos: list[Repo] = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        write_workspace(self.folder)
        self.store = self._opened()
        self.repos = [parse_repo(line["repo"], line["repo_type"]) for line in self.local_hub.control("GET", "repos")]
        self.begin()

    def begin(self) -> None:
        """A process begins: its own client, its own budget."""
        self.hub = InProcessClient(self.local_hub)
        self.join()

    def _opened(self) -> Store:
        return open_store(self.folder / "desk.db", endpoint=ORIGIN, pid=1, wait=0.0)

    def join(self) -> None:
        """The policies as they are written now; what the same text came to is kept, for it takes longer than all the rest."""
        text = (self.folder / "policies" / "wishes.yaml").read_text()
        settings = make_settings(self.folder)
        location = read_location(settings)
        hub = cast("Any", self.hub)
        self.workspace = Workspace(settings, location, self.store, clock=self.clock, open_hub=lambda: hub)
        if text not in _BUNDLES:
            _BUNDLES[text] = load_policies(self.workspace)
        self.bundle = _BUNDLES[text]

    @property
    def approvals(self) -> ApprovalCheck:
        return ApprovalCheck(self.workspace)

    @property
    def zone(self) -> tzinfo:
        return self.workspace.zone

    def evaluate(self, policy_set: RepoPolicies, status: str, now: datetime, _: PlanBuffer) -> Iterator[EvaluatedPart]:
        """Evaluate a list in this process, without room for what a plan keeps."""
        return evaluate_part(self.store, policy_set, open_fact_sources(self.workspace), status, now)

    def make_plan(self) -> PlanResult:
        """A plan as the command makes it."""
        return make_plan(self.workspace, self.bundle, self.evaluate, profile_budget=0)

    def run_turn(self, executor_of: ExecutorFactory, *, is_full: bool = False) -> TurnResult:
        """One turn of `run`, by what executes its runs."""
        context = TurnContext(self.workspace, self.bundle, self.actor, self.evaluate, executor_of, is_full)
        return run_turn(context, self.repos, run_id=f"r_{self.count}", profile_budget=0)

    def restart(self) -> None:
        """The process is gone, and another one opens what it left."""
        self.close()
        self.store = self._opened()
        self.begin()

    def close(self) -> None:
        self.hub.close()
        self.store.close()

    @property
    def clock(self) -> ClockPort:
        return WorkspaceClock(self.local_hub)

    # ---- what a process does ---------------------------------------------------------------------------------------

    def sync(self, kind: SyncKind = SyncKind.FULL, repo: Repo | None = None) -> SyncResult:
        return sync_repo(self.hub, self.store, self.clock, repo or self.repos[0], kind, actor=self.actor)

    def sync_with(self, store: FailingStore, kind: SyncKind, repo: Repo) -> None:
        """A reading whose process may die."""
        with suppress(HfGateError, KilledError):
            sync_repo(self.hub, store, self.clock, repo, kind, actor=self.actor)

    def plan(self) -> Plan:
        policy_sets = self.bundle.for_repos(self.store, open_fact_sources(self.workspace))
        return propose_plan(
            self.store,
            policy_sets,
            self.evaluate,
            now=self.clock.now(),
            policies=self.bundle.policies,
            sources=open_fact_sources(self.workspace),
            is_full=True,
        ).plan

    def approve(self, plan: Plan, kind: RunKind = RunKind.PLAN) -> RunRow:
        self.count += 1
        return runs.create_run(
            self.store, plan, run_id=f"r_{self.count}", kind=kind, actor=self.actor, now=self.clock.now()
        )

    def execute(self, run: RunRow, store: Store | None = None, hub: HubPort | None = None, **more: Any) -> RunRow:
        executor = self.make_executor(
            store or self.store, hub or self.hub, self.clock, self.zone, self.approvals, **more
        )
        return executor.execute(run)

    def die_while_sending(self, run: RunRow) -> None:
        """The process dies when the first decisions of a run are on their way; another one opens what it left."""
        dying = FailingStore(self.store, 1_000_000)
        self.local_hub.on_send = lambda send: dying.die() if send.is_change else None
        with suppress(HfGateError, KilledError):
            self.execute(run, store=dying)
        self.local_hub.on_send = lambda _: None
        self.restart()

    def turn(self, *, is_full: bool = False) -> TurnResult:
        """One turn of `run`, which hears what somebody wishes of its run."""
        self.count += 1

        def make_executor(run: RunRow) -> RunExecutor:
            return self.make_executor(
                self.store, self.hub, self.clock, self.zone, self.approvals,
                read_stop_request=lambda: self.store.stop_request(run.id),
            )  # fmt: skip

        return self.run_turn(make_executor, is_full=is_full)

    def reload(self, run: RunRow) -> RunRow:
        """The run as the store has it now."""
        found = self.store.run(run.id)
        assert found is not None
        return found

    def states(self, run: RunRow) -> dict[str, str]:
        """What became of each change, by the Hub's id of its request."""
        return {str(self._hub_id(row.request)): row.state for row in self.store.changes(run.id)}

    def _hub_id(self, request: int | None) -> str | None:
        row = self.store.request(request or 0)
        return None if row is None else row.state.hub_request

    def row(self, name: str, repo: Repo | None = None) -> RequestRow:
        found = self.store.find_by_identity(repo or self.repos[0], name)
        assert found, f"{name} is not in the store"
        return found[-1]

    # ---- the world -------------------------------------------------------------------------------------------------

    def ask(self, wishes: Mapping[str, str] | Sequence[str], repo: Repo | None = None) -> None:
        """People ask, each a second after the one before; who is new gets an account."""
        where = repo or self.repos[0]
        named = wishes if isinstance(wishes, Mapping) else dict.fromkeys(wishes, "accept")
        self.local_hub.add_people(*(name for name in named if name not in self.local_hub.tokens))
        for name, wish in named.items():
            self.local_hub.ask(where.id, name, repo_type=where.type.value, wish=wish)
            self.local_hub.time.advance(1)

    def decide(self, name: str, status: str, repo: Repo | None = None, holder: str = "admin") -> None:
        """Somebody else decides, on the Hub's page."""
        hub = InProcessClient(self.local_hub, holder)
        where = repo or self.repos[0]
        verb = {"accepted": hub.accept, "pending": hub.cancel}.get(status)
        if verb is not None:
            verb(where, name)
        else:
            (hub.reject if status == "rejected" else hub.reset)(where, name, reason=None)
        hub.close()

    def status_on_hub(self, name: str, repo: Repo | None = None) -> str | None:
        """Where a person stands on the Hub."""
        gated = self.local_hub.app.world.find_repo(repo or self.repos[0])
        account = self.local_hub.app.world.find_user(name)
        row = None if gated is None or account is None else gated.people.get(account.id)
        return None if row is None else row.status.value

    def moves(self) -> list[dict[str, Any]]:
        return [move for move in self.local_hub.journal() if move["token"] in OURS and move["from"] is not None]

    # ---- checks ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What must hold at any moment."""
        assert find_violations(self.store, self.local_hub.journal()) == []

    def check_over(self) -> None:
        """What must hold when runs have ended."""
        assert find_final_violations(self.store, self.local_hub.journal()) == []


class PlacedScene(HubWorkspace):
    """A workspace whose store is anywhere."""

    place: str = ""

    def _opened(self) -> Store:
        return open_store(self.place, endpoint=ORIGIN, pid=1, wait=0.0)


def list_statuses(workspace: HubWorkspace) -> set[str | None]:
    return {workspace.status_on_hub(name) for name in ("ada", "bo", "cy")}


def policy_ending_on(day: str) -> str:
    """The policy whose welcome ends on a day."""
    welcome = "then: accept\n  - id: rest"
    assert welcome in POLICY
    return POLICY.replace(welcome, f"then: accept\n    until: {day}\n  - id: rest")


def interrupt_turn(workspace: HubWorkspace) -> RunRow:
    """Three people are to be let in by a turn whose calls all fail."""
    workspace.ask(["ada", "bo", "cy"])
    workspace.local_hub.set_faults(["fail_before:status=503:on=batch|handle"])
    with suppress(HfGateError):
        workspace.turn()
    workspace.local_hub.set_faults([])
    (run,) = workspace.store.runs()
    return run


def accept_for_thirty_days(workspace: HubWorkspace) -> None:
    write_workspace(workspace.folder, policy_ending_on("30d"))
    workspace.join()
    workspace.ask(["ada"])
    workspace.turn()
    assert workspace.status_on_hub("ada") == "accepted"
