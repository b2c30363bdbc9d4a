"""The page of a run tells the truth while it goes, after it ended and after a power cut; Nothing is sent twice."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hf_gate import Hub
from hf_gate.approvals.service.approvals import ApprovalCheck
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.core.requests import Decision, Target
from hf_gate.core.runs import RunEvent, RunKind
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.decisions.service.runs import runs as run_cases
from hf_gate.desk.decisions.plan import read_plan
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.testing import LocalHub
from hf_gate.verdicts.plan.model import Plan, make_partial_plan
from tests.kits.desk import GOOD, POLICY, Desk, Visitor, open_desk, run_desk_program, text_of, write_desk
from tests.kits.desk_actions import ProgramVisitor, create_plan, wait_for_run


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.ask([{"username": name, "email": f"{name}@ethz.ch"} for name in ("ada", "dee")], {"Purpose": GOOD})
    desk.ask([{"username": name} for name in ("bob", "cyd")], {"Purpose": "test"})
    return desk


def applied(desk: Desk, visitor: Visitor, **more: str) -> str:
    """The address of the run of a plan that was made and let go now."""
    return visitor.post(create_plan(desk, visitor), {"do": "apply", **more}).headers["location"]


def begun(desk: Desk, visitor: Visitor) -> str:
    """The address of a run that is written down and that nobody carries."""
    digest = create_plan(desk, visitor).rpartition("/")[2]
    app_state = desk.app_state
    run = run_cases.create_run(
        app_state.workspace.store, read_plan(app_state, digest), run_id="r_0123456789ab", kind=RunKind.PLAN, actor="lena-brandt", now=app_state.now()
    )  # fmt: skip
    return f"/runs/{run.id}"


# ---- how it ended --------------------------------------------------------------------------------------------------------


def test_the_page_says_how_many_came_out_how_and_names_each(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    with Hub(asked.local.tokens["admin"], asked.local.url) as other:
        other.reject(asked.repo, "bob", reason="outside")
    run = lena.post(place, {"do": "apply"}).headers["location"]
    wait_for_run(asked, run)
    said = text_of(lena.get(run).body)
    assert "4 changes: ended" in said
    assert "4 of 4" in said
    assert "done 3" in said
    assert "stale 1" in said
    assert "now it is rejected" in said
    assert "bob" in said
    assert "ada" not in said.split()
    assert {"ada", "bob", "cyd", "dee"} <= set(text_of(lena.get(f"{run}?outcome=all").body).split())
    assert "bob" not in text_of(lena.get(f"{run}?outcome=done").body).split()
    outcomes = {row["user"]: row["outcome"] for row in lena.get(f"{run}.json").json}
    assert outcomes == {"ada": "done", "bob": "stale", "cyd": "done", "dee": "done"}


def test_decisions_that_were_never_sent_are_listed_under_needs_attention(asked: Desk) -> None:
    space = asked.app_state.workspace
    sender = DecisionSender(space.store, space.hub, space.clock, space.zone, "lena-brandt", ApprovalCheck(space))
    missing = DecisionTarget(parse_repo("acme/nowhere"), Target(username="cyd"), "Say more.")
    found = sender.decide(
        [DecisionTarget(asked.repo, Target(username="bob"), "Say more."), missing], Choice(Status.RESET), run_id="r_1"
    )
    assert found.run == "r_1"
    shown = text_of(asked.visitor().get("/runs/r_1").body)
    assert "1 of 2" in shown
    assert "Needs attention" in shown
    assert "cyd" in shown.split()
    assert "bob" not in shown.split()


def test_a_run_that_nobody_began_says_so_and_can_be_stopped_for_good(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    run = begun(asked, lena)
    assert "nothing was sent" in text_of(lena.get(run).body)
    assert "not begun" in text_of(lena.get("/plans").body)
    lena.post(run, {"do": "stop"})
    wait_for_run(asked, run)
    assert "Stopped: 4 changes" in text_of(lena.get(run).body)
    lena.post(run, {"do": "resume"})
    assert not asked.app_state.run_worker.is_live(run.rpartition("/")[2])
    assert asked.count_writes() == before


def test_a_hub_that_is_away_interrupts_a_run_that_goes_on_when_it_is_back(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    asked.local.set_faults(["down:s=3600"])
    with Hub(asked.local.tokens["owner"], asked.local.url, max_wait=0.0) as impatient:
        asked.app_state.workspace.hub = impatient
        run = lena.post(place, {"do": "apply"}).headers["location"]
        wait_for_run(asked, run)
        said = text_of(lena.get(run).body)
        assert "Interrupted: 4 changes" in said
        assert "0 of 4 are settled" in said
    asked.local.set_faults([])
    with Hub(asked.local.tokens["owner"], asked.local.url) as patient:
        asked.app_state.workspace.hub = patient
        lena.post(run, {"do": "resume"})
        wait_for_run(asked, run)
        assert "done 4" in text_of(lena.get(run).body)


def test_a_run_whose_token_is_refused_says_that_the_desk_needs_another(asked: Desk) -> None:
    lena = asked.visitor()
    place = create_plan(asked, lena)
    with Hub("hf_local_nobody", asked.local.url) as stranger:
        asked.app_state.workspace.hub = stranger
        run = lena.post(place, {"do": "apply"}).headers["location"]
        wait_for_run(asked, run)
        said = text_of(lena.get(run).body)
    assert "(401). Replace the token of the desk. This call needs repo.content.read" in said
    assert "HF_TOKEN" not in said


# ---- again, and back -----------------------------------------------------------------------------------------------------


def test_how_those_that_failed_are_tried_again_is_shown(asked: Desk) -> None:
    lena = asked.visitor()
    run = begun(asked, lena)
    ident, store = run.rpartition("/")[2], asked.app_state.workspace.store
    known = store.run(ident)
    assert known is not None
    with store.writing() as write:  # as if the Hub had refused two and done the others
        states = [(n, "refused" if n < 3 else "done", "the Hub said no" if n < 3 else "") for n in range(1, 5)]
        write.set_change_states(ident, [(n, "started", "") for n in range(1, 5)])
        write.set_change_states(ident, states)
        write.move_run(known, RunEvent.END)
    said = text_of(lena.get(run).body)
    assert "the Hub said no" in said
    assert f"To plan 2 failed changes again: hf-gate runs retry {ident}" in said


def test_the_way_back_is_a_plan_that_says_what_cannot_be_undone(asked: Desk) -> None:
    lena = asked.visitor()
    run = applied(asked, lena)
    wait_for_run(asked, run)
    place = lena.post(run, {"do": "undo"}).headers["location"]
    said = text_of(lena.get(place).body)
    assert "Undo" in said
    assert "downloads cannot be undone" in said
    assert "mail cannot be undone" in said
    assert "current policies would plan the same changes again" in said
    assert all(asked.row(name).state.status != "pending" for name in ("ada", "bob"))
    wait_for_run(asked, lena.post(place, {"do": "apply"}).headers["location"])
    assert all(asked.row(name).state.status == "pending" for name in ("ada", "bob", "cyd", "dee"))


def test_of_a_run_that_moved_nobody_there_is_no_way_back(asked: Desk) -> None:
    lena = asked.visitor()
    run = begun(asked, lena)
    answer = lena.post(run, {"do": "undo"})
    assert answer.status == 409
    assert "nothing to undo" in text_of(answer.body)
    assert lena.post(run, {"do": "explode"}).status == 422


# ---- while it goes -------------------------------------------------------------------------------------------------------


class Held:
    """A Hub that takes a hundred decisions, and more only when it is let go on."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.go, self.is_here = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def decide_many(self, repo: Repo, decisions: Iterable[Decision]) -> Iterator[Outcome]:
        return self._hub.decide_many(repo, self._slowly(decisions))

    def _slowly(self, decisions: Iterable[Decision]) -> Iterator[Decision]:
        for n, decision in enumerate(decisions):
            if n == 100:
                self.is_here.set()
                assert self.go.wait(60.0)
            yield decision


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Desk, Held]]:
    """600 who wrote too little: more than are written down as started at once."""
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": f"p{n:03}"} for n in range(600)], {"Purpose": "test"})
        desk.read(SyncKind.FULL)
        hub = Held(desk.app_state.workspace.hub)
        desk.app_state.workspace.hub = cast("Hub", hub)  # it is all that a run asks of a Hub
        yield desk, hub
        hub.go.set()
        desk.app_state.run_worker.stop()


def test_a_run_is_watched_paused_and_goes_on(held: tuple[Desk, Held]) -> None:
    desk, hub = held
    lena = desk.visitor()
    run = applied(desk, lena, count="600")
    assert hub.is_here.wait(60.0)
    said = text_of(lena.get(run).body)
    assert "Applying 600 changes" in said
    assert "running" in text_of(lena.get("/plans").body)
    part = lena.get(f"{run}/live", hx_request="true").body
    assert re.match(r'<div id="live"\s+data-part=', part)
    assert re.search(r'data-said="\d+ percent\. [^"]+\."', part), part[:300]
    assert lena.post(run, {"do": "undo"}).status == 409
    lena.post(run, {"do": "pause"})
    assert "Pausing 600 changes" in text_of(lena.get(run).body)
    hub.go.set()
    wait_for_run(desk, run)
    said = text_of(lena.get(run).body)
    assert "Paused: 600 changes" in said
    assert "500 of 600" in said, said
    lena.post(run, {"do": "resume"})
    wait_for_run(desk, run)
    assert "done 600" in text_of(lena.get(run).body)
    assert max(Counter(line["user"] for line in desk.local.journal() if line["to"] == "reset").values()) == 1


def test_the_runs_of_somebody_who_is_put_out_stop_by_themselves(held: tuple[Desk, Held]) -> None:
    desk, hub = held
    lena, mia = desk.visitor(), desk.visitor(Member(name="mia", role=MemberRole.ADMIN))
    plan = create_plan(desk, lena)
    run = mia.post(plan, {"do": "apply", "count": "600"}).headers["location"]
    assert hub.is_here.wait(60.0)
    member = desk.app_state.membership.find("mia")
    assert member is not None
    idle = run_cases.create_run(
        desk.app_state.workspace.store, _one_of(desk, plan), run_id="r_0123456789ab", kind=RunKind.PLAN, actor="mia", now=desk.app_state.now(),
        author=RunAuthor(member=member.id),
    )  # fmt: skip
    assert lena.post("/settings/members/remove", {"name": "mia"}).status == 303
    hub.go.set()
    for place in (run, f"/runs/{idle.id}"):
        wait_for_run(desk, place)
        assert "Stopped" in text_of(lena.get(place).body)
    lena.post(run, {"do": "resume"})
    sent = [line["user"] for line in desk.local.journal() if line["to"] == "reset"]
    assert len(sent) == 500


def _one_of(desk: Desk, plan: str) -> Plan:
    """The plan with its last change alone."""
    whole = read_plan(desk.app_state, plan.rpartition("/")[2])
    return make_partial_plan(whole, whole.changes[-1:])


# ---- who may -------------------------------------------------------------------------------------------------------------


def test_a_viewer_and_a_reviewer_read_a_run_of_others_and_steer_it_not(asked: Desk) -> None:
    lena = asked.visitor()
    run = begun(asked, lena)
    vic, mia = asked.viewer(), asked.reviewer("mia")
    assert "bob" in text_of(vic.get(run).body)
    assert vic.get(f"{run}.json").status == 200
    assert vic.post(run, {"do": "stop"}).status == 403
    assert 'name="do"' not in mia.get(run).body
    assert "bob" in text_of(mia.get(run).body)
    assert mia.post(run, {"do": "stop"}).status == 403
    assert asked.reviewer("ola", "no/such").get(run).status == 404
    assert asked.app_state.workspace.store.stop_request(run.rpartition("/")[2]) is None


# ---- a power cut ---------------------------------------------------------------------------------------------------------


def test_after_a_power_cut_the_page_tells_the_truth_and_nothing_is_sent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1, clock="x60") as local:
        write_desk(tmp_path, local, POLICY)
        repo = local.repos[0]["repo"]
        local.add_people([{"username": f"p{n:03}"} for n in range(150)])
        local.add_requests([{"repo": repo, "user": f"p{n:03}", "answers": {"Purpose": "test"}} for n in range(150)])
        with run_desk_program(tmp_path, local) as program:
            lena = ProgramVisitor(program)
            lena.until("/queue", "150")
            place = lena.ask("POST", "/plans")[1]
            place = place if place != "/plans" else _plan_in(lena.until("/plans", "150 to reset"))
            local.set_faults(["delay_after:s=0.3:on=batch"])
            run = lena.ask("POST", place, {"do": "apply", "count": "150"})[1]
            assert run.startswith("/runs/r_")
            while not any(line["to"] == "reset" for line in local.journal()):
                pass
            program.kill()
        local.set_faults([])
        with run_desk_program(tmp_path, local) as program:
            lena = ProgramVisitor(program)
            body = lena.until(run, "Interrupted: 150 changes")
            assert "Nothing is sent twice" in body
            assert 'value="resume"' in body
            assert lena.ask("POST", run, {"do": "resume"})[0] == 303
            body = lena.until(run, "150 changes: ended")
            assert program.end() == 0
        sent = Counter(line["user"] for line in local.journal() if line["to"] == "reset")
        assert (len(sent), max(sent.values())) == (150, 1)


def _plan_in(body: str) -> str:
    found = re.search(r'href="(/plans/[0-9a-f]{64})"', body)
    assert found
    return found[1]
