"""Whatever people do, in whatever order, the Hub never hears an acceptance without two different people."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hf_gate.approvals.service.approval_status import read_approval_status, resolve_approvals
from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.automation.service.turn_permissions import promote
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.approvals import Approver
from hf_gate.core.people.members import MemberRole, RunAuthor
from hf_gate.core.requests import Target
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.decisions.service.runs import runs
from hf_gate.decisions.service.tray import withdraw_approval
from hf_gate.errors import HfGateError, NotAllowed
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import remove_member
from hf_gate.requests.query_parser import parse_query
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import Workspace
from hf_gate.workspace.rows.opening import open_store
from tests.kits.approvals import TWO_REVIEWERS, use_policy
from tests.kits.faulty_stores import FailingStore, KilledError
from tests.kits.in_process_hub import ORIGIN, InProcessHub
from tests.kits.invariants import OURS
from tests.kits.members import store_member
from tests.kits.stores import empty_place as place
from tests.kits.stores import new_store
from tests.kits.workspaces import POLICY, HubWorkspace, PlacedScene, make_settings, write_workspace

__all__ = ["place"]

NAMES = st.sampled_from(["ada", "bo"])
MEMBERS = ("mia", "kim", "noor")
DECIDERS = st.sampled_from(["owner", "stranger", *MEMBERS])
POLICIES = (TWO_REVIEWERS, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 2\n    until: 300d"), POLICY)
ALONE = 2
"""The number of the policy under which one person is enough."""


class ApprovalMachine(RuleBasedStateMachine):
    """`approved` is the most that the desk may count: the accounts that approved each request as it is now.

    `variant` is the number of the policy in the files, and `promoted` of the one that was promoted last.
    """

    make_place: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="approvals-"))
        write_workspace(self.folder, POLICIES[0])
        placed = type("Placed", (PlacedScene,), {"place": type(self).make_place(self.folder)})
        self.scene: HubWorkspace = placed(self.folder, InProcessHub(repos=1))
        self.variant, self.seen = 0, 0
        self.approved: dict[str, set[tuple[str, int]]] = {"ada": set(), "bo": set()}
        self.unread = set[str]()  # accepted at the Hub, and perhaps still pending in the store
        self.able, self.authors = {"id-owner"}, set[tuple[str, int]]()
        with self.scene.store.writing() as write:
            write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
        for name in MEMBERS:
            self._add(name)
        use_policy(self.scene, POLICIES[0])
        self.promoted = 0
        self.promoters = set[tuple[str, int]]()  # of the version that would be next
        self.scene.ask(["ada", "bo"])
        self.scene.sync()

    def teardown(self) -> None:
        self.scene.close()
        shutil.rmtree(self.folder)

    # ---- people ----------------------------------------------------------------------------------------------------------

    def _add(self, name: str, role: MemberRole = MemberRole.REVIEWER) -> None:
        store_member(self.scene.store, name, role)
        if role is MemberRole.VIEWER:
            self.able.discard(f"id-{name}")
        else:
            self.able.add(f"id-{name}")

    def _author(self, name: str) -> RunAuthor:
        found = next((one for one in self.scene.store.members() if one.name == name), None)
        if found is None:
            return RunAuthor(account=f"id-{name}")
        return RunAuthor(member=found.id, account=found.account_id)

    @rule(name=st.sampled_from(MEMBERS))
    def remove(self, name: str) -> None:
        found = next(one for one in self.scene.store.members() if one.name == name)
        remove_member(self.scene.store, found, "owner", to_ms(self.scene.clock.now()))
        self.able.discard(f"id-{name}")
        self._forget(f"id-{name}")

    @rule(name=st.sampled_from(MEMBERS), role=st.sampled_from(MemberRole))
    def add(self, name: str, role: MemberRole) -> None:
        self._add(name, role)

    @rule(name=st.sampled_from(["owner", *MEMBERS]))
    def promote(self, name: str) -> None:
        (policy,) = self.scene.bundle.policies
        account = f"id-{name}"
        takes_two = self.promoted not in (self.variant, ALONE)
        if takes_two and account not in self.able:
            with pytest.raises(NotAllowed):
                promote(self.scene.workspace, self.scene.bundle.policies, policy, name, self._author(name))
            return
        lack = promote(self.scene.workspace, self.scene.bundle.policies, policy, name, self._author(name))
        self.authors.add((account, self.variant))
        earlier = {one for one in self.promoters if one[1] == self.variant}
        self.promoters = {*earlier, (account, self.variant)} if takes_two else set()
        assert bool(lack) == (takes_two and len({one for one, _ in self.promoters} & self.able) < 2), lack
        if not lack:
            self.promoted = self.variant
            self.promoters = set()

    @rule(variant=st.sampled_from([0, 1, 0, 1, ALONE]), is_promoted=st.booleans())
    def change_rules(self, variant: int, is_promoted: bool) -> None:
        self.variant = variant
        if is_promoted:
            use_policy(self.scene, POLICIES[variant])
            self.promoted = variant
            self.promoters = set()
        else:
            write_workspace(self.folder, POLICIES[variant])
            self.scene.join()

    # ---- requests --------------------------------------------------------------------------------------------------------

    @rule(name=NAMES)
    def ask_again(self, name: str) -> None:
        with suppress(HfGateError, ValueError):
            self.scene.local_hub.withdraw(name, self.scene.repos[0])
            self.scene.ask([name])
            self.approved[name].clear()
        self.scene.sync()
        self.unread.discard(name)

    @rule(name=NAMES)
    def return_to_pending_outside(self, name: str) -> None:
        with suppress(HfGateError):
            self.scene.decide(name, "pending")
        self.scene.sync()

    # ---- decisions -------------------------------------------------------------------------------------------------------

    def _decide(self, name: str, who: str, to: Status, dies: tuple[int, str] | None = None) -> OutcomeKind | None:
        self.scene.count += 1
        by, store = self._author(who), self.scene.store
        if to is Status.ACCEPTED:
            self.approved[name].add((f"id-{who}", self.variant))
        dying: Any = store if dies is None else FailingStore(store, *dies)
        gate = self.scene.approvals
        sender = DecisionSender(dying, self.scene.hub, self.scene.clock, self.scene.zone, who, gate, author=by)
        ask = DecisionTarget(self.scene.repos[0], Target(username=name), None if to is Status.ACCEPTED else "No.")
        try:
            done = sender.decide([ask], Choice(to), run_id=f"r_{self.scene.count}")
        except (HfGateError, KilledError):
            done = None
        if dies is not None:
            self.scene.restart()
        return done.outcomes[0].kind if done is not None and done.outcomes else None

    @rule(name=NAMES, who=DECIDERS)
    def approve(self, name: str, who: str) -> None:
        self._decide(name, who, Status.ACCEPTED)

    @rule(name=NAMES, who=DECIDERS, at=st.integers(1, 5), when=st.sampled_from(["before", "in", "after"]))
    def approve_and_die(self, name: str, who: str, at: int, when: str) -> None:
        """The process dies between two of its writes, such as between the approval and the call."""
        self._decide(name, who, Status.ACCEPTED, (at, when))

    @rule(name=NAMES, who=st.sampled_from(["owner", *MEMBERS]))
    def take_back(self, name: str, who: str) -> None:
        by = self._author(who)
        with suppress(HfGateError):
            withdraw_approval(self.scene.workspace, self.scene.row(name), Approver(who, by.member, by.account))
            self.approved[name] = {one for one in self.approved[name] if one[0] != f"id-{who}"}

    @rule(name=NAMES, who=st.sampled_from(["owner", *MEMBERS]), to=st.sampled_from([Status.RESET, Status.REJECTED]))
    def send_back(self, name: str, who: str, to: Status) -> None:
        if self._decide(name, who, to) is OutcomeKind.DONE:
            self.approved[name].clear()

    @precondition(lambda self: self.scene.store.runs())
    @rule(who=DECIDERS)
    def undo(self, who: str) -> None:
        """Undo the last run, which gives access back after a removal."""
        run = self.scene.store.runs()[0]
        plan, _ = runs.plan_undo(self.scene.store, run, now=self.scene.clock.now())
        if not plan.changes:
            return
        for change in plan.changes:
            if change.after == Status.ACCEPTED:
                self.approved[str(change.user)].add((f"id-{who}", self.variant))
        self.scene.count += 1
        made = runs.create_run(
            self.scene.store, plan, run_id=f"r_{self.scene.count}", kind=RunKind.PLAN, actor=who,
            now=self.scene.clock.now(), author=self._author(who),
        )  # fmt: skip
        with suppress(HfGateError):
            self.scene.execute(made)

    @rule()
    def turn(self) -> None:
        with suppress(HfGateError):
            self.scene.turn()

    @rule()
    def wait(self) -> None:
        self.scene.local_hub.time.advance(60)

    # ---- what must hold --------------------------------------------------------------------------------------------------

    def _forget(self, account: str) -> None:
        for name, found in self.approved.items():
            self.approved[name] = {one for one in found if one[0] != account}

    @invariant()
    def the_hub_hears_no_acceptance_without_two_people(self) -> None:
        journal = self.scene.local_hub.journal()
        for move in journal[self.seen :]:
            if move["token"] in OURS and move["to"] == "accepted":
                assert self.variant == self.promoted, "nobody is accepted under other policies than the promoted ones"
                authors = {account for account, variant in self.authors if variant == self.variant}
                single = authors if len(authors & self.able) < 2 else set()
                counted = {
                    account
                    for account, variant in self.approved[move["user"]]
                    if account in self.able and variant == self.variant and account not in single
                }
                assert len(counted) > 1 or self.variant == ALONE, (move, self.approved, self.able, self.authors)
                self.approved[move["user"]].clear()
                self.unread.add(move["user"])
        self.seen = len(journal)

    @invariant()
    def the_query_finds_exactly_what_one_person_approved(self) -> None:
        workspace, store = self.scene.workspace, self.scene.store
        query = resolve_approvals(workspace, parse_query("status:pending approval:second"))
        found = {row.id for row in store.query(query, now=to_ms(self.scene.clock.now())).rows}
        pending = store.query(parse_query("status:pending"), now=to_ms(self.scene.clock.now())).rows
        shown = read_approval_status(workspace, pending, Approver("", None, None))
        assert found == {ident for ident, one in shown.items() if len(one.given) == 1}
        names = {row.id: str(row.person.identity.username) for row in pending}
        self.unread &= set(names.values())
        possible = {ident for ident, name in names.items() if self.approved.get(name) or name in self.unread}
        assert found <= possible, (found, self.approved)

    @invariant()
    def the_books_verify(self) -> None:
        assert verify_ledger(self.scene.store, with_tables=True).broken == []


def _settings(examples: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=min(30, settings().stateful_step_count))


def test_on_sqlite() -> None:
    class OnFiles(ApprovalMachine):
        make_place = staticmethod(lambda folder: str(folder / "desk.db"))

    run_state_machine_as_test(OnFiles, settings=_settings(settings().max_examples // 3))


def test_on_postgresql(postgres_uri: str) -> None:
    class OnServer(ApprovalMachine):
        make_place = staticmethod(lambda _: new_store(postgres_uri, ORIGIN))

    run_state_machine_as_test(OnServer, settings=_settings(max(5, settings().max_examples // 10)))


def test_two_people_at_the_same_moment_both_count_and_one_acceptance_is_sent(place: str, tmp_path: Path) -> None:
    scene: HubWorkspace = type("Placed", (PlacedScene,), {"place": place})(tmp_path, InProcessHub(repos=1))
    use_policy(scene, TWO_REVIEWERS)
    names = [f"p{n}" for n in range(5)]
    scene.ask(names)
    scene.sync()
    scene.store.close()
    ready = Barrier(2)

    def accept_all(account: str) -> list[OutcomeKind]:
        found = []
        for n, name in enumerate(names):
            ready.wait()
            with open_store(place, endpoint=ORIGIN, wait=60.0) as store:
                desk = Workspace(
                    make_settings(tmp_path),
                    scene.workspace.location,
                    store,
                    clock=scene.clock,
                    open_hub=lambda: cast("Any", None),
                )
                sender = DecisionSender(
                    store,
                    scene.hub,
                    scene.clock,
                    scene.zone,
                    account,
                    ApprovalCheck(desk),
                    author=RunAuthor(account=account),
                )
                ask = DecisionTarget(scene.repos[0], Target(username=name))
                done = sender.decide([ask], Choice(Status.ACCEPTED), run_id=f"r_{account}_{n}")
                found.append(done.outcomes[0].kind)
        return found

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(zip(*pool.map(accept_all, ["id-one", "id-two"]), strict=True))
    assert [sorted(kinds) for kinds in outcomes] == [["deferred", "done"]] * len(names)
    assert {scene.status_on_hub(name) for name in names} == {"accepted"}
    assert len([one for one in scene.moves() if one["to"] == "accepted"]) == len(names)
    scene.close()
