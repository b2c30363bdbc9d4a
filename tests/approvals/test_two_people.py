"""Every way to let one person count as two, tried through the desk: by a click, a selection and the JSON API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.approvals.rows.approvals import read_approvals
from hf_gate.approvals.rows.plans import delete_plans
from hf_gate.approvals.service.approvals import endorse, read_act_endorsers
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.runs import RunState
from hf_gate.errors import UsageError
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import find_member
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.approvals import promote_files
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk
from tests.kits.desk_actions import TWO_REVIEWERS, make_reviewer, read_status, wait_for_run


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, TWO_REVIEWERS) as made:
        made.ask([{"username": "ada", "email": "ada@eth.ch"}], {"Purpose": GOOD})
        yield made


def click(desk: Desk, visitor: Visitor) -> int:
    row = desk.row("ada")
    return visitor.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status


def select(desk: Desk, visitor: Visitor) -> int:
    visitor.post("/selection", {"do": "clear"})
    visitor.post("/selection", {"do": "add", "key": str(desk.row("ada").state.hub_request)})
    address = visitor.post("/bulk", {"verb": "accept"}).headers.get("location", "/bulk/b_none").partition("?")[0]
    return visitor.post(address, {"verb": "accept", "count": "1", "do": "send"}).status


WAYS = (click, select)
BOTH = tuple(product(WAYS, WAYS))
Way = Callable[[Desk, Visitor], int]


@pytest.mark.parametrize(("first", "second"), BOTH)
def test_two_people_meet_in_whatever_way_each_of_them_accepts(desk: Desk, first: Way, second: Way) -> None:
    mia, lena, before = desk.visitor(make_reviewer("mia")), desk.visitor(), desk.count_writes()
    first(desk, mia)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)
    second(desk, lena)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("accepted", before + 1)


@pytest.mark.parametrize(("first", "second"), BOTH)
def test_one_person_counts_once_in_whatever_ways(desk: Desk, first: Way, second: Way) -> None:
    mia, before = desk.visitor(make_reviewer("mia")), desk.count_writes()
    first(desk, mia)
    second(desk, mia)
    desk.send_due()
    second(desk, mia)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


@pytest.mark.parametrize("way", WAYS)
def test_a_person_who_is_added_twice_counts_once(desk: Desk, way: Way) -> None:
    mia, before = desk.visitor(make_reviewer("mia")), desk.count_writes()
    way(desk, mia)
    desk.send_due()
    way(desk, desk.visitor(Member(name="mia", role=MemberRole.ADMIN)))
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


@pytest.mark.parametrize("way", WAYS)
def test_the_requester_is_nobody(desk: Desk, way: Way) -> None:
    ada, before = desk.visitor(make_reviewer("ada")), desk.count_writes()
    way(desk, ada)
    desk.send_due()
    way(desk, desk.visitor())
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


def take_back(desk: Desk, mia: Visitor) -> None:
    assert mia.post(f"/requests/{desk.row('ada').state.hub_request}/approval/withdraw").status == 303


def revoke(desk: Desk, _: Visitor) -> None:
    desk.remove("mia")


def become_viewer(desk: Desk, _: Visitor) -> None:
    _change(desk, role=MemberRole.VIEWER)


def lose_the_repo(desk: Desk, _: Visitor) -> None:
    _change(desk, repos=("other/*",))


def _change(desk: Desk, role: MemberRole = MemberRole.REVIEWER, repos: tuple[str, ...] | None = None) -> None:
    desk.add_account("mia", role, repos or ())


def ask_again(desk: Desk, _: Visitor) -> None:
    with Hub(desk.local.tokens["ada"], desk.local.url) as hub:
        hub.withdraw(desk.repo)
    desk.read(SyncKind.FULL)
    desk.ask([{"username": "ada", "email": "ada@eth.ch"}], {"Purpose": "Something else, at length, about speech."})
    desk.read(SyncKind.FULL)


def change_the_rule(desk: Desk, _: Visitor) -> None:
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    text = TWO_REVIEWERS.replace("    reviewers: 2\n", "    reviewers: 2\n    until: 5y\n")
    (folder / "policies" / "house.yaml").write_text(text, "utf-8")
    promote_files(desk.app_state.workspace)
    desk.app_state.policies.expire()


@pytest.mark.parametrize("spoil", [take_back, revoke, become_viewer, lose_the_repo, ask_again, change_the_rule])
@pytest.mark.parametrize("way", WAYS)
def test_an_approval_that_ended_is_no_second_one(desk: Desk, way: Way, spoil: Callable[[Desk, Visitor], None]) -> None:
    mia, lena = desk.visitor(make_reviewer("mia")), desk.visitor()
    way(desk, mia)
    desk.send_due()
    spoil(desk, mia)
    before = desk.count_writes()
    way(desk, lena)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


@pytest.mark.parametrize("spoil", [revoke, become_viewer, lose_the_repo])
@pytest.mark.parametrize("way", WAYS)
def test_an_approval_that_is_not_sent_yet_goes_with_its_member(
    desk: Desk, way: Way, spoil: Callable[[Desk, Visitor], None]
) -> None:
    mia, lena, before = desk.visitor(make_reviewer("mia")), desk.visitor(), desk.count_writes()
    way(desk, mia)
    spoil(desk, mia)
    way(desk, lena)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


@pytest.mark.parametrize("way", WAYS)
def test_an_approval_that_was_undone_before_it_was_sent_leaves_nothing(desk: Desk, way: Way) -> None:
    mia, lena, before = desk.visitor(make_reviewer("mia")), desk.visitor(), desk.count_writes()
    way(desk, mia)
    mia.post("/tray/undo")
    desk.send_due()
    assert [one.link.kind for one in desk.app_state.workspace.store.entries(request=desk.row("ada").id)] == [
        "RequestSeen"
    ]
    way(desk, lena)
    desk.send_due()
    assert (read_status(desk), desk.count_writes()) == ("pending", before)


@pytest.mark.parametrize("way", WAYS)
def test_an_approval_on_hold_counts_only_when_it_is_sent(desk: Desk, way: Way) -> None:
    mia, lena = desk.visitor(make_reviewer("mia")), desk.visitor()
    way(desk, mia)
    mia.post("/tray/hold")
    click(desk, lena)
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=2))
    assert read_status(desk) == "pending"
    mia.post("/tray/send")
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(minutes=2))
    assert read_status(desk) == "accepted"


# ---- more than one person may decide alone ---------------------------------------------------------------------------


MANY = 501


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Desk]:
    """So many ask that a selection of them becomes a plan."""
    with open_desk(tmp_path, TWO_REVIEWERS) as made:
        made.ask([{"username": f"p{n:03}"} for n in range(MANY)], {"Purpose": GOOD})
        made.read(SyncKind.FULL)
        yield made


def plan_all(visitor: Visitor) -> str:
    """Confirm the acceptance of everybody; return the address of the plan that this makes."""
    visitor.post("/selection", {"do": "clear"})
    visitor.post("/selection", {"do": "all", "q": "status:pending"})
    address = visitor.post("/bulk", {"verb": "accept"}).headers["location"].partition("?")[0]
    answer = visitor.post(address, {"verb": "accept", "count": str(MANY), "typed": str(MANY), "do": "send"})
    assert answer.headers.get("location", "").startswith("/plans/"), answer.body
    return answer.headers["location"]


def press(visitor: Visitor, plan: str, do: str) -> Answer:
    return visitor.post(plan, {"do": do, "count": str(MANY)})


def count_accepted(desk: Desk) -> int:
    return len(list(desk.app_state.workspace.store.iterate_requests(desk.repo, "accepted")))


def approvers(desk: Desk, name: str) -> list[str]:
    """Those whose approvals of a request the audit log has."""
    entries = desk.app_state.workspace.store.entries(request=desk.row(name).id)
    return sorted(one.link.actor for one in entries if one.link.kind == "ApprovalGiven")


@pytest.mark.parametrize("is_agreed", [True, False])
def test_a_selection_of_one_and_a_plan_of_another_meet(full: Desk, *, is_agreed: bool) -> None:
    """One person selects and another agrees or applies: each change has two approvals when the run starts, and none before."""
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan = plan_all(lena)
    if is_agreed:
        assert press(noor, plan, "approve").status == 303
    assert approvers(full, "p007") == []
    wait_for_run(full, press(lena if is_agreed else noor, plan, "apply").headers["location"])
    assert count_accepted(full) == MANY
    assert approvers(full, "p007") == ["lena-brandt", "noor"]
    assert verify_ledger(full.app_state.workspace.store, with_tables=True).ok


def test_a_plan_that_was_discarded_leaves_no_approval(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan, before = plan_all(lena), full.count_writes()
    press(noor, plan, "approve")
    assert press(noor, plan, "discard").status == 303
    mia = full.visitor(make_reviewer("mia"))
    row = full.row("p007")
    mia.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"})
    full.send_due()
    assert (full.count_writes(), approvers(full, "p007")) == (before, ["mia"])


def test_the_agreement_of_a_member_who_was_revoked_does_not_come_back_with_them(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan, before = plan_all(lena), full.count_writes()
    press(noor, plan, "approve")
    full.remove("noor")
    full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    assert press(lena, plan, "apply").status == 409
    assert full.count_writes() == before


def test_a_plan_does_not_approve_a_request_that_changed_since(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan = plan_all(lena)
    press(noor, plan, "approve")
    with Hub(full.local.tokens["p007"], full.local.url) as hub:
        hub.withdraw(full.repo)
    full.ask([{"username": "p007"}], {"Purpose": "Something else, at length, about speech."})
    full.read(SyncKind.FULL)
    wait_for_run(full, press(lena, plan, "apply").headers["location"])
    assert count_accepted(full) == MANY - 1
    assert (full.row("p007").state.status, approvers(full, "p007")) == ("pending", [])


def test_a_plan_that_was_endorsed_under_other_rules_does_not_approve_its_requests(full: Desk) -> None:
    lena, noor, before = (
        full.visitor(),
        full.visitor(Member(name="noor", role=MemberRole.ADMIN)),
        full.count_writes(),
    )
    plan = plan_all(lena)
    press(noor, plan, "approve")
    change_the_rule(full, noor)
    wait_for_run(full, press(lena, plan, "apply").headers["location"])
    assert (count_accepted(full), full.count_writes()) == (0, before)
    assert approvers(full, "p007") == ["lena-brandt"]


def test_one_person_alone_cannot_apply_what_they_selected(full: Desk) -> None:
    lena, before = full.visitor(), full.count_writes()
    full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan = plan_all(lena)
    for do in ("approve", "apply"):
        press(lena, plan, do)
    assert press(lena, plan, "apply").status == 409
    assert full.count_writes() == before


@pytest.mark.parametrize("is_starter", [True, False])
def test_an_approval_that_was_taken_back_does_not_return_when_the_run_is_resumed(
    full: Desk, *, is_starter: bool
) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan, workspace = plan_all(lena), full.app_state.workspace
    press(noor, plan, "approve")
    full.local.set_faults(["answer:status=429:on=batch"])
    patient = workspace.hub
    with Hub(full.local.tokens["owner"], full.local.url, max_wait=0.0) as impatient:
        workspace.hub = impatient
        run = press(lena, plan, "apply").headers["location"]
        wait_for_run(full, run)
    workspace.hub = patient
    full.local.set_faults([])
    assert (count_accepted(full), approvers(full, "p007")) == (0, ["lena-brandt", "noor"])
    who, other = (lena, noor) if is_starter else (noor, lena)
    assert who.post(f"/requests/{full.row('p007').state.hub_request}/approval/withdraw").status == 303
    other.post(run, {"do": "resume"})
    wait_for_run(full, run)
    assert (count_accepted(full), full.row("p007").state.status) == (MANY - 1, "pending")


@pytest.mark.parametrize("is_before", [True, False])
def test_an_approval_that_was_taken_back_does_not_return_through_an_earlier_agreement_to_a_plan(
    full: Desk, *, is_before: bool
) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    row = full.row("p007")
    noor.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"})
    full.send_due()
    plan = plan_all(lena)

    def withdraw() -> None:
        assert noor.post(f"/requests/{row.state.hub_request}/approval/withdraw").status == 303

    steps: list[Callable[[], object]] = [withdraw, lambda: press(noor, plan, "approve")]
    for step in steps if is_before else reversed(steps):
        step()
    wait_for_run(full, press(lena, plan, "apply").headers["location"])
    assert count_accepted(full) == (MANY if is_before else MANY - 1)
    assert full.row("p007").state.status == ("accepted" if is_before else "pending")


def test_a_plan_that_was_discarded_meanwhile_cannot_be_endorsed(full: Desk) -> None:
    full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan, workspace = plan_all(full.visitor()).rpartition("/")[2], full.app_state.workspace
    noor = find_member(workspace.store, "noor")
    assert noor is not None
    delete_plans(workspace.store, [plan])
    with pytest.raises(UsageError, match="discarded meanwhile"):
        endorse(workspace, plan, MANY, noor, "noor")
    assert read_act_endorsers(workspace.store, plan) == []


def test_whoever_agreed_under_other_rules_can_agree_again(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    plan = plan_all(lena)
    press(noor, plan, "approve")
    assert 'value="approve"' not in noor.get(plan).body
    change_the_rule(full, noor)
    assert 'value="approve"' in noor.get(plan).body
    press(noor, plan, "approve")
    wait_for_run(full, press(lena, plan, "apply").headers["location"])
    assert count_accepted(full) == MANY


def _set_state(desk: Desk, run: str, state: RunState) -> None:
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE runs SET state = ? WHERE id = ?", (state, run))


@pytest.mark.parametrize("is_sending", [True, False])
def test_an_approval_is_taken_back_with_its_acceptance_in_the_tray_or_not_at_all(
    desk: Desk, *, is_sending: bool
) -> None:
    mia, lena, workspace = desk.visitor(make_reviewer("mia")), desk.visitor(), desk.app_state.workspace
    click(desk, mia)
    desk.send_due()
    click(desk, lena)
    desk.local.set_faults(["answer:status=429:on=handle"])
    patient = workspace.hub
    with Hub(desk.local.tokens["owner"], desk.local.url, max_wait=0.0) as impatient:
        workspace.hub = impatient
        desk.send_due()
    workspace.hub = patient
    desk.local.set_faults([])
    assert (read_status(desk), approvers(desk, "ada")) == ("pending", ["lena-brandt", "mia"])
    (waiting,) = list_waiting_decisions(workspace.store)
    _set_state(desk, waiting.run.id, RunState.READY if is_sending else RunState.QUEUED)
    answer = lena.post(f"/requests/{desk.row('ada').state.hub_request}/approval/withdraw")
    assert (answer.status, "is being sent" in answer.body) == ((422, True) if is_sending else (303, False))
    assert len(list_waiting_decisions(workspace.store)) == is_sending
    approvals = read_approvals(workspace.store, [desk.row("ada").id])
    assert len(approvals[desk.row("ada").id]) == 1 + is_sending
    _set_state(desk, waiting.run.id, RunState.QUEUED)
    desk.send_due()
    assert read_status(desk) == ("accepted" if is_sending else "pending")


def test_an_approval_that_is_due_while_the_policies_cannot_be_read_waits(desk: Desk) -> None:
    mia = desk.visitor(make_reviewer("mia"))
    workspace = desk.app_state.workspace
    click(desk, mia)
    assert workspace.location.folder is not None
    file = workspace.location.folder / "policies" / "house.yaml"
    file.write_text("version: [ # reviewers: 2\nreviewers: 2\n", "utf-8")
    desk.send_due()
    assert [(one.is_being_sent, one.outcome) for one in list_waiting_decisions(workspace.store)] == [(False, None)]
    assert "cannot be read" in (desk.app_state.tray_service.problem or "")
    file.write_text(TWO_REVIEWERS, "utf-8")
    desk.app_state.policies.expire()
    desk.send_due()
    assert (list_waiting_decisions(workspace.store), approvers(desk, "ada")) == ([], ["mia"])
