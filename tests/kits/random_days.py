"""A state machine of random days: people ask, leave and rename, others decide, runs are executed in steps, processes die, the Hub fails, clocks jump."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hf_gate.base.ids import Repo
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs import runs
from hf_gate.decisions.service.runs.run_executor import RunExecutor
from hf_gate.errors import HfGateError
from hf_gate.hub.protocol.messages import HubCall
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.verdicts.plan.model import Plan
from tests.kits.faulty_stores import FailingStore, KilledError
from tests.kits.in_process_hub import InProcessHub
from tests.kits.invariants import find_final_violations, find_stale_rows, find_violations
from tests.kits.workspaces import POLICY, STRICT, HubWorkspace, MakeExecutor, write_workspace

PROFILE: Final = os.environ.get("HF_GATE_TEST_PROFILE", "dev")
SIZES: Final = {"dev": (30, 25), "ci": (60, 40), "torture": (1000, 80)}
SHARDS: Final = {"dev": 1, "ci": 1, "torture": 4}
"""So many tests of that size, so that several processes share them (tools/torture.py)."""


NAMES: Final = ("ada", "bob", "cem", "dora", "eve", "finn")


FAULTS: Final = (
    (),
    ("fail_before:p=0.5:on=batch",),
    ("fail_after:p=0.5:on=batch",),
    ("fail_after:on=batch", "truncate:p=0.5:on=list"),
    ("fail_before:on=batch",),
    ("fail_before:status=503:p=0.4", "reset_at:byte=9:p=0.2"),
    ("delay_before:s=15:p=0.5:on=batch",),
    ("delay_after:s=15:p=0.5:on=batch",),
    ("limit_bare:p=0.3", "hidden_limit:rate=1"),
    ("truncate:p=0.4", "html_200:p=0.2:on=list|batch"),
    ("dup_rows:p=0.5", "shuffle", "lag:s=1"),
    ("no_batch", "fail_after:p=0.3:on=handle"),
    ("bad_record:kind=no_id:p=0.3:on=list",),
    ("down:s=600:call=3",),
    ("empty_200:p=0.5:on=batch", "link_loop:p=0.2"),
)


POLICIES: Final = (POLICY, STRICT, POLICY.replace("mode: enforce", "mode: shadow"), POLICY.replace("30d", "7d"))
UNFINISHED: Final = ("ready", "interrupted", "paused")
names, places = st.sampled_from(NAMES), st.integers(0, 1)


class RandomDays(RuleBasedStateMachine):
    """`check` after every step; `quiet` makes the Hub well again, lets everything end, and asks whether all is as it should be."""

    make_executor: MakeExecutor = RunExecutor

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hf-gate-days-"))
        self.local_hub = InProcessHub(repos=2, page_size=10)
        self.workspace = HubWorkspace(self.folder, self.local_hub, make_executor=self.make_executor)
        self.plan: Plan | None = None
        self.fresh = 0
        for name in NAMES:
            self.local_hub.add_people(name)
        self.called = {name: name for name in NAMES}  # what an account is called by now

    def teardown(self) -> None:
        self.workspace.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def repo(self, at: int) -> Repo:
        return self.workspace.repos[at]

    # ---- what people do --------------------------------------------------------------------------------------------

    @rule(name=names, wish=st.sampled_from(("accept", "while", "reset", "reject", "x")), at=places)
    def asks(self, name: str, wish: str, at: int) -> None:
        self.land()
        with suppress(ValueError):  # there already
            self.local_hub.ask(self.repo(at).id, self.called[name], repo_type=self.repo(at).type.value, wish=wish)

    @rule(wish=st.sampled_from(("accept", "reject")), at=places)
    def all_ask(self, wish: str, at: int) -> None:
        for name in NAMES:
            self.asks(name=name, wish=wish, at=at)

    @rule(name=names, at=places)
    def withdraws(self, name: str, at: int) -> None:
        self.land()
        if self.workspace.status_on_hub(self.called[name], self.repo(at)) == "pending":
            with self.well():
                self.local_hub.withdraw(self.called[name], self.repo(at))

    @rule(name=names, is_reused=st.booleans(), at=places)
    def renames(self, name: str, is_reused: bool, at: int) -> None:
        """And somebody else may take the old name and ask."""
        self.fresh += 1
        old, new = self.called[name], f"{name}-{self.fresh}"
        self.local_hub.rename(old, new)
        self.called[name] = new
        if is_reused:
            self.local_hub.add_people(old)
            self.local_hub.ask(self.repo(at).id, old, repo_type=self.repo(at).type.value, wish="x")

    @rule(name=names, to=st.sampled_from(("accepted", "rejected", "reset")), at=places)
    def is_decided_elsewhere(self, name: str, to: str, at: int) -> None:
        """Never back to pending: the Hub then shows no trace that anybody was ever decided."""
        self.land()
        if self.workspace.status_on_hub(self.called[name], self.repo(at)) not in {None, to}:
            with self.well():
                self.workspace.decide(self.called[name], to, self.repo(at))

    @rule(at=places, question=st.sampled_from(("What for?", "wish", "Where?")))
    def form_changes(self, at: int, question: str) -> None:
        text = f"---\nextra_gated_fields:\n  {question!r}: text\n---\n# Card\n"
        line = {"repo": self.repo(at).id, "repo_type": self.repo(at).type.value, "text": text}
        self.local_hub.control("POST", "card", line)

    # ---- what the desk does ----------------------------------------------------------------------------------------

    @rule(at=places, kind=st.sampled_from(SyncKind))
    def syncs(self, at: int, kind: SyncKind) -> None:
        with suppress(HfGateError):
            self.workspace.sync(kind, self.repo(at))

    @rule(at=places)
    def is_planned(self, at: int) -> None:
        """Of what was just read, as a rule; else plans would be of nobody."""
        with suppress(HfGateError):
            self.workspace.sync(SyncKind.QUICK, self.repo(at))
        self.plan = self.workspace.plan()

    @precondition(lambda self: self.plan is not None)
    @rule()
    def is_applied(self) -> None:
        self.carried(self.begun())

    @precondition(lambda self: self.plan is not None)
    @rule(steps=st.integers(0, 2))
    def is_applied_in_steps(self, steps: int) -> None:
        asked = iter([None] * steps)
        self.carried(self.begun(), watch=lambda: next(asked, "pause"))

    @precondition(lambda self: self.plan is not None)
    @rule(at=st.integers(1, 5), when=st.sampled_from(("before", "in", "after")))
    def dies_at_a_write(self, at: int, when: str) -> None:
        self.carried(self.begun(), FailingStore(self.workspace.store, at, when))
        self.workspace.restart()

    @precondition(lambda self: self.plan is not None)
    @rule(at=st.integers(1, 8), is_sent=st.booleans())
    def dies_at_a_call(self, at: int, is_sent: bool) -> None:
        """Before it leaves, or when the Hub has it and the answer is on its way."""
        dying, calls = FailingStore(self.workspace.store, 1_000_000), iter(range(1, at))

        def count(_: HubCall) -> None:
            if next(calls, None) is None:
                dying.die()

        setattr(self.local_hub, "on_reply" if is_sent else "on_send", count)
        self.carried(self.begun(), dying)
        self.local_hub.on_reply = self.local_hub.on_send = lambda _: None
        self.workspace.restart()

    @rule(
        at=st.integers(1, 4),
        when=st.sampled_from(("before", "in", "after")),
        place=places,
        kind=st.sampled_from(SyncKind),
    )
    def dies_while_reading(self, at: int, when: str, place: int, kind: SyncKind) -> None:
        self.workspace.sync_with(FailingStore(self.workspace.store, at, when), kind, self.repo(place))
        self.workspace.restart()

    @rule()
    def restarts(self) -> None:
        self.workspace.restart()

    @rule()
    def resumes(self) -> None:
        for run in reversed(self.workspace.store.runs()):
            if run.state in UNFINISHED:
                self.carried(run)

    @rule()
    def takes_a_turn(self) -> None:
        """The loop that needs nobody there."""
        self.land()
        self.workspace.count += 1
        with suppress(HfGateError):
            self.workspace.run_turn(self.carrier_of)

    @rule()
    def is_turned_back(self) -> None:
        for run in self.workspace.store.runs()[:1]:
            self.plan, _ = runs.plan_undo(self.workspace.store, run, now=self.workspace.clock.now())

    @rule(text=st.sampled_from(POLICIES))
    def policy_is_edited(self, text: str) -> None:
        write_workspace(self.folder, text)
        self.workspace.join()

    # ---- what happens to both --------------------------------------------------------------------------------------

    @rule(faults=st.sampled_from(FAULTS))
    def hub_misbehaves(self, faults: tuple[str, ...]) -> None:
        """A Hub that begins to lag forgets nobody who was read just now: whom no list shows twice is taken for gone."""
        self.local_hub.time.advance(2)
        self.local_hub.set_faults(faults)

    @rule(seconds=st.sampled_from((1, 15, 700, 90_000, 8 * 86_400, 40 * 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.local_hub.time.advance(seconds)

    @rule(skew=st.sampled_from((0.0, -7200.0, -5.0, 5.0, 7200.0)))
    def clock_jumps(self, skew: float) -> None:
        """The desk's clock alone."""
        self.local_hub.skew = skew

    # ---- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        assert find_violations(self.workspace.store, self.local_hub.journal()) == []

    @rule()
    def quiet(self) -> None:
        """The Hub is well, everything under way ends, all is read whole: nothing is left, and both sides agree."""
        self.local_hub.set_faults(())
        self.land()
        self.local_hub.time.advance(7200)
        self.workspace.begin()
        for run in reversed(self.workspace.store.runs()):
            if run.state in UNFINISHED:
                ended = self.workspace.execute(run)
                assert ended.state == "ended", (ended, self.workspace.states(ended))
        for repo in self.workspace.repos:
            assert self.workspace.sync(SyncKind.FULL, repo).complete
        assert self.workspace.store.open_changes() == []
        assert find_final_violations(self.workspace.store, self.local_hub.journal()) == []
        assert find_stale_rows(self.workspace.store, self.local_hub.app.world) == []

    # ---- helpers ---------------------------------------------------------------------------------------------------

    def begun(self) -> RunRow:
        assert self.plan is not None
        self.land()
        plan, self.plan = self.plan, None
        return self.workspace.approve(plan)

    def carried(
        self, run: RunRow, store: FailingStore | None = None, watch: Callable[[], str | None] = lambda: None
    ) -> None:
        with suppress(HfGateError, KilledError):
            self.workspace.execute(run, store=store, read_stop_request=watch)

    def carrier_of(self, _: RunRow) -> RunExecutor:
        return self.workspace.make_executor(
            self.workspace.store,
            self.workspace.hub,
            self.workspace.clock,
            self.workspace.zone,
            self.workspace.approvals,
        )

    def land(self) -> None:
        """Calls of ours that are under way arrive before anything else is decided: what comes later nobody can prevent."""
        if self.local_hub.late_calls:
            self.local_hub.time.advance(20)
            self.local_hub.deliver_late_calls()

    @contextmanager
    def well(self) -> Iterator[None]:
        """Whoever else calls does not meet our faults."""
        before = [fault.spec for fault in self.local_hub.app.faults.active]
        self.local_hub.set_faults(())
        yield
        self.local_hub.set_faults(before)
