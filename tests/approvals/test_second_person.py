"""More than 500 changes need two people, however they are cut into parts: two different Hub accounts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from pathlib import Path
from threading import Event
from typing import cast
from urllib.parse import urlencode

import pytest

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.entry_records import text_of_entry
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.core.runs import RunEvent, RunKind, RunState
from hf_gate.core.stored_rows import RequestRow, RunRow
from hf_gate.decisions.service.runs import runs
from hf_gate.decisions.service.runs.run_executor import halt_run
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.desk.app_state import AppState
from hf_gate.errors import Guarded
from hf_gate.grants.service.ends.end_changes import change_end_by_hand, write_end_changes
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.rows.selections import select_requests
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.model import build_plan
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import GOOD, Answer, Desk, InterruptedStore, Visitor, open_desk, text_of
from tests.kits.desk_actions import create_plan, wait_for_run
from tests.kits.program_server import program_words
from tests.kits.stores import read_links

MANY = 700


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Desk]:
    """700 whom the policy sends back."""
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": f"p{n:03}"} for n in range(MANY)], {"Purpose": "test"})
        desk.read(SyncKind.FULL)
        yield desk


def admin(name: str) -> Member:
    return Member(name=name, role=MemberRole.ADMIN)


def without(visitor: Visitor, plan: str, count: int) -> str:
    """A plan without the first so many; its address."""
    pairs = [("do", "exclude"), *(("n", str(n)) for n in range(1, count + 1))]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return visitor.ask("POST", plan, urlencode(pairs).encode(), headers).headers["location"]


def select(desk: Desk, visitor: Visitor, first: int, end: int, verb: str = "accept") -> tuple[str, Answer]:
    """The page that says what follows for some of them, and the answer to its yes."""
    visitor.post("/selection", {"do": "clear"})
    rows = [desk.row(f"p{n:03}") for n in range(first, end)]
    select_requests(
        desk.app_state.workspace.store, f"s_{_of(desk, visitor).id}", _of(desk, visitor).id, [row.id for row in rows], 1
    )
    place = visitor.post("/bulk", {"verb": verb}).headers["location"]
    page = visitor.get(place)
    values = {"verb": verb, "count": str(end - first), "typed": str(end - first)}
    return text_of(page.body), visitor.post(place.partition("?")[0], values)


def _of(desk: Desk, visitor: Visitor) -> Member:
    name = re.search(r"you are ([\w-]+)", visitor.get("/settings").body)
    assert name is not None
    member = desk.app_state.membership.find(name[1])
    assert member is not None
    return member


def one(desk: Desk, visitor: Visitor, number: int) -> Answer:
    """A single acceptance."""
    row = desk.row(f"p{number:03}")
    return visitor.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"})


# ---- parts ---------------------------------------------------------------------------------------------------------------


def test_a_part_of_a_plan_needs_the_second_person_of_the_whole(full: Desk) -> None:
    lena, noor, before = full.visitor(), full.visitor(admin("noor")), full.count_writes()
    part = without(lena, create_plan(full, lena), 250)
    less = without(lena, part, 400)
    for plan, count in ((part, 450), (less, 50)):
        refused = lena.post(plan, {"do": "apply", "count": str(count)})
        assert refused.status == 409
        assert f"This is a part of {MANY} changes" in text_of(refused.body) or "part of 450 changes" in text_of(
            refused.body
        )
        assert "Ask noor to open the plan and agree." in text_of(refused.body)
    assert full.count_writes() == before
    assert noor.post(less, {"do": "approve", "count": "50"}).status == 303
    wait_for_run(full, lena.post(less, {"do": "apply", "count": "50"}).headers["location"])
    assert full.app_state.workspace.store.runs(1)[0].is_free, "what two agreed to counts for nobody"


def test_what_one_person_sent_within_a_day_counts_together(full: Desk) -> None:
    lena = full.visitor()
    full.visitor(admin("noor"))
    assert select(full, lena, 0, 400)[1].headers["location"] == "/queue"
    full.send_due()
    page, answer = select(full, lena, 400, 501)
    assert "these are 501 to accept" in page
    assert answer.headers["location"].startswith("/plans/")
    assert select(full, lena, 400, 500)[1].headers["location"] == "/queue"
    refused = one(full, lena, 600)
    assert (refused.status, "a second person" not in refused.body) == (409, True)
    assert "Together with the last 24 hours, these are 501 to accept. More than 500 need two people." in text_of(
        refused.body
    )


def test_decisions_that_wait_count(full: Desk) -> None:
    lena = full.visitor()
    full.visitor(admin("noor"))
    assert select(full, lena, 0, 500)[1].headers["location"] == "/queue"
    lena.post("/tray/hold")
    assert "these are 501 to accept" in text_of(one(full, lena, 600).body)
    lena.post("/tray/undo")
    assert "Together with the last 24 hours" not in text_of(one(full, lena, 600).body)


def test_what_a_command_sends_meanwhile_counts_too(full: Desk) -> None:
    """The command has the store when somebody decides on the desk, and writes its run only then."""
    full.visitor()
    full.visitor(admin("noor"))
    old, is_waiting = full.app_state, Event()
    old.workspace.store.close()

    connection = bootstrap.Connection(old.workspace.settings)

    def opened(*, lends: bool) -> Workspace:
        return bootstrap.connect_workspace(
            connection, old.workspace.location, lends=lends, on_wait=lambda *_: is_waiting.set()
        )

    with connection, opened(lends=True) as workspace:
        lent = workspace.store
        app_state = AppState(workspace, old.owner, owner_id=old.owner_id)
        row = lent.find_by_identity(None, "p600")[0]
        wish, now = (
            DecisionRequest("accept", {row.id: row.version.token}, app_state.membership.owner_member),
            app_state.now(),
        )
        run = RunRow(
            id="r_command", kind=RunKind.DIRECT, actor=old.owner, state=RunState.READY, made_at=to_ms(now), total=500,
            verbs={"accept": 500}, account=old.owner_id,
        )  # fmt: skip
        with ThreadPoolExecutor(1) as aside:
            with opened(lends=False) as command:
                decided = aside.submit(app_state.tray_service.queue_decisions, wish, now, 10.0)
                assert is_waiting.wait(20)
                with command.store.writing() as write:
                    write.write_run(run)
            with pytest.raises(Guarded, match="these are 501 to accept"):
                decided.result(30)


def test_ends_that_one_person_sets_within_a_day_count_together(tmp_path: Path) -> None:
    with open_desk(tmp_path, requests=2_700) as desk:
        lena, noor, store = desk.visitor(), desk.visitor(admin("noor")), desk.app_state.workspace.store
        rows = list(store.iterate_requests(desk.repo, "accepted"))[:502]

        def change(visitor: Visitor, row: RequestRow, until: str) -> Answer:
            values = {"until": until, "version": row.version.token}
            return visitor.post(f"/requests/{row.state.hub_request}/end", values)

        with store.writing() as write:
            now, zone = to_ms(desk.app_state.now()), desk.app_state.workspace.zone
            changes = [change_end_by_hand(store, row, "1d", from_ms(now), zone) for row in rows[:499]]
            write_end_changes(write, changes, "lena-brandt", now)
        assert change(lena, rows[499], "1d").status == 303
        refused = change(lena, rows[500], "1d")
        assert (refused.status, "You set 500 end dates within 24 hours" in text_of(refused.body)) == (409, True)
        assert change(lena, rows[500], "none").status == 303, "that takes nobody out"
        assert change(noor, rows[501], "1d").status == 303, "another person"


def run_of(desk: Desk, ident: str, first: int, end: int, days: int) -> None:
    """A run that lena began some days ago, and that was paused at once."""
    app_state = desk.app_state
    changes = [runs.make_direct_change(desk.row(f"p{n:03}"), "accepted", None) for n in range(first, end)]
    at, author = app_state.now() - timedelta(days=days), RunAuthor(account=app_state.owner_id)
    plan = build_plan(
        changes, policy_digest="", endpoint=app_state.workspace.store.endpoint, now=at, summary={}, guards=[]
    )
    run = runs.create_run(
        app_state.workspace.store, plan, run_id=ident, kind=RunKind.BULK, actor=app_state.owner, now=at, author=author
    )
    app_state.workspace.store.request_stop(ident, "pause")
    halt_run(app_state.workspace.store, run, RunEvent("pause"), to_ms(at))


def test_runs_that_were_paused_on_earlier_days_are_not_resumed_all_at_once_by_one_person(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(admin("noor"))
    for days in (3, 2, 1):
        run_of(full, f"r_day{days}", 200 * (days - 1), 200 * days, days + 1)
    for days in (3, 2):
        wait_for_run(full, lena.post(f"/runs/r_day{days}", {"do": "resume"}).headers["location"])
        assert full.app_state.workspace.store.run(f"r_day{days}").counts == {"done": 200}  # type: ignore[union-attr]
    before = full.count_writes()
    refused = lena.post("/runs/r_day1", {"do": "resume"})
    assert (refused.status, full.count_writes()) == (409, before)
    assert "these are 600 to accept" in text_of(refused.body)
    wait_for_run(full, noor.post("/runs/r_day1", {"do": "resume"}).headers["location"])
    assert full.app_state.workspace.store.run("r_day1").counts == {"done": 200}  # type: ignore[union-attr]
    told = [
        text_of_entry(link, None, UTC)
        for link in read_links(full.app_state.workspace.store, repos=())
        if link.kind == "RunResumed"
    ]
    assert told[0] == "run r_day1 resumed: 200 changes left"
    assert verify_ledger(full.app_state.workspace.store, with_tables=True).ok


def test_who_is_the_only_admin_needs_nobody_and_who_was_until_just_now_does(full: Desk) -> None:
    lena = full.visitor()
    plan = create_plan(full, lena)
    assert "Apply 700 changes" in text_of(lena.get(plan).body)
    full.visitor(admin("sock"))
    full.remove("sock")
    refused = lena.post(plan, {"do": "apply", "count": str(MANY)})
    assert refused.status == 409
    assert "another admin was removed less than 24 hours ago" in text_of(refused.body)


def test_apply_in_the_terminal_asks_for_the_second_person_too(full: Desk, tmp_path: Path) -> None:
    lena = full.visitor()
    noor = full.visitor(admin("noor"))
    full.ask([{"username": "noor"}], {"Purpose": GOOD})
    whole, before = create_plan(full, lena), full.count_writes()
    alone, agreed = without(lena, whole, MANY - 2), without(lena, whole, MANY - 1)
    assert noor.post(agreed, {"do": "approve", "count": "1"}).status == 303
    for plan in (whole, alone, agreed):
        (tmp_path / f"{plan[7:15]}.json").write_text(lena.get(f"{plan}.json").body, "utf-8")
    full.app_state.workspace.store.close()

    def applied(plan: str) -> subprocess.CompletedProcess[str]:
        command = [*program_words(), "apply", f"{plan[7:15]}.json", "--yes", "--max-changes", str(MANY)]
        env = os.environ | {"HF_TOKEN": full.local.tokens["owner"], "HF_ENDPOINT": full.local.url}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
        )  # fmt: skip

    for plan in (whole, alone):
        refused = applied(plan)
        assert (refused.returncode, "Ask noor to open the plan and agree." in refused.stderr) == (6, True), (
            refused.stderr
        )
    connection = bootstrap.Connection(full.app_state.workspace.settings)
    with bootstrap.connect_workspace(connection, full.app_state.workspace.location) as opened:
        full.app_state.workspace.store = opened.store
        run_of(full, "r_old", 0, 400, 0)
        run_of(full, "r_new", 400, 600, 0)
    resumed = [*program_words(), "runs", "continue", "r_old"]
    env = os.environ | {"HF_TOKEN": full.local.tokens["owner"], "HF_ENDPOINT": full.local.url}
    refused = subprocess.run(resumed, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, "these are 600 to accept" in refused.stderr) == (6, True), refused.stderr
    assert full.count_writes() == before
    env = os.environ | {"HF_TOKEN": full.local.tokens["noor"], "HF_ENDPOINT": full.local.url}
    own = [*program_words(), "accept", f"noor@{full.repo}"]
    refused = subprocess.run(own, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, "you cannot decide your own request" in refused.stderr) == (4, True), refused.stderr
    done = applied(agreed)
    assert (done.returncode, full.count_writes()) == (0, before + 1), done.stderr


# ---- two people ----------------------------------------------------------------------------------------------------------


def test_one_person_who_agrees_and_applies_is_no_second_person(full: Desk) -> None:
    lena, before = full.visitor(), full.count_writes()
    full.visitor(admin("sock"))
    plan = create_plan(full, lena)
    refused = lena.post(plan, {"do": "apply", "count": str(MANY)})
    assert refused.status == 409
    assert "Ask sock to open the plan and agree" in text_of(refused.body)
    lena.post(plan, {"do": "approve", "count": str(MANY)})
    again = full.visitor()
    again.post(plan, {"do": "approve", "count": str(MANY)})
    assert again.post(plan, {"do": "apply", "count": str(MANY)}).status == 409
    assert full.count_writes() == before


def test_what_a_person_sent_counts_for_them_alone(full: Desk) -> None:
    lena, noor, sock = full.visitor(), full.visitor(admin("noor")), full.visitor(admin("sock"))
    assert select(full, noor, 0, 500)[1].headers["location"] == "/queue"
    assert one(full, lena, 500).status == 303, "lena and noor are two people"
    assert one(full, noor, 501).status == 409
    assert one(full, full.sign_in(full.add_member(admin("noor"))), 501).status == 409, "also after she was added again"
    assert one(full, sock, 501).status == 303


def test_of_two_people_who_agree_at_once_none_is_lost(full: Desk) -> None:
    lena, noor, mara = full.visitor(), full.visitor(admin("noor")), full.visitor(admin("mara"))
    plan, store = create_plan(full, lena), full.app_state.workspace.store
    agree = {"do": "approve", "count": str(MANY)}
    full.app_state.workspace.store = cast("Store", InterruptedStore(store, lambda: mara.post(plan, agree)))
    assert noor.post(plan, agree).status == 303
    full.app_state.workspace.store = store
    assert "mara, noor" in text_of(lena.get(plan).body)


def test_an_agreement_is_an_entry_of_the_ledger_and_ends_with_its_member(full: Desk) -> None:
    lena = full.visitor()
    noor = full.visitor(admin("noor"))
    plan = create_plan(full, lena)
    member = full.app_state.membership.find("noor")
    assert member is not None
    assert noor.post(plan, {"do": "approve", "count": str(MANY)}).status == 303
    assert noor.post(plan, {"do": "approve", "count": str(MANY)}).status == 303
    told = [link for link in read_links(full.app_state.workspace.store, repos=()) if link.kind == "PlanAgreed"]
    assert [(link.actor, json.loads(link.body)["account"]) for link in told] == [("noor", member.user_id)]
    full.remove("noor")
    full.add_member(admin("noor"))
    assert lena.post(plan, {"do": "apply", "count": str(MANY)}).status == 409
